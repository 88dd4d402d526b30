//! Derived features: expressions over what a job serves and what a request says.
//!
//! Knows which names such an expression may use, and whose they are. Must not know how the served values are computed.

use crate::aggregates::Aggregates;
use crate::dialect::Flink;
use crate::expressions::{Bound, Functions, Scope, ScopeColumn};
use crate::features::{declare, declared_default};
use crate::hashes::FORM;
use crate::names::Names;
use crate::parse::{RECURSION_LIMIT, unreadable};
use crate::report::{Refusal, Report, START};
use crate::spellings::doubtful_patterns;
use crate::stage::first_call;
use crate::syntax::{place, single_name};
use crate::tokens::tokens;
use crate::views::PARTS_LIMIT;
use arrow_schema::DataType as ArrowType;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, visit_expressions_mut,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use weir_event::suggestion::nearest;
use weir_event::{DataType, Field, StreamSchema};
use weir_plan::definition::{DerivedDefinition, FeatureDefinition, RequestField};
use weir_plan::hash::definition_hash;
use weir_plan::{
    Catalog, ColumnRole, DerivedFeature, DerivedInput, Diagnostic, Expression, JobDefinition, JobPlan,
    Transform,
};

/// A derived feature whose expression was read.
pub(crate) struct Written<'j> {
    definition: &'j DerivedDefinition,
    expression: Expr,
}

/// Reads the expressions of a job; what cannot be read is in the report.
pub(crate) fn read<'j>(job: &'j JobDefinition, report: &mut Report<'_>) -> Vec<Written<'j>> {
    let mut written = Vec::new();
    for definition in &job.transform {
        let mut own = Report::new(&definition.expression);
        match expression(&definition.expression.text) {
            Ok(expression) => written.push(Written { definition, expression }),
            Err(refusals) => own.refuse_all(refusals),
        }
        report.add_all(own);
    }
    written
}

fn expression(text: &str) -> Result<Expr, Vec<Refusal>> {
    let tokens = tokens(text)?.tokens;
    let mut parser =
        Parser::new(&Flink).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
    let expression = parser.parse_expr().map_err(|error| vec![unreadable("the expression", error)])?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(expression);
    }
    let message = format!("`{rest}` does not continue the expression; is an operator missing before it?");
    Err(vec![Refusal::new(rest.span.start, message)])
}

/// Plans what a job derives of what its plan serves.
pub(crate) fn derive(
    written: Vec<Written<'_>>,
    (job, plan): (&JobDefinition, &JobPlan),
    catalog: &dyn Catalog,
    report: &mut Report<'_>,
) -> Transform {
    if let Some(first) = job.transform.first().filter(|_| plan.stage.is_none()) {
        let message = "`transform`: the job has neither window nor aggregate, so nothing of it can be looked up and \
                       nothing is derived; leave it out, or write a query that aggregates";
        refuse_at(job, first.place, message.to_owned(), report);
        return Transform::default();
    }
    refuse_taken_names(job, plan, report);
    let caller = Transform::caller(&job.name);
    let given = Given::of(job, plan);
    let deriving = Deriving {
        job,
        plan,
        catalog,
        functions: &Functions::at_lookups(catalog.functions(), &caller),
        aggregates: &Aggregates { catalog: catalog.functions(), job: &job.name },
        given: &given,
    };
    let (mut features, mut calls) = (Vec::new(), Calls::new());
    for Written { definition, expression } in written {
        let mut own = Report::new(&definition.expression);
        features.extend(deriving.feature((definition, expression), &mut calls, &mut own));
        report.add_all(own);
    }
    if !report.has_errors() {
        warn_of_unread(job, &features, report);
    }
    let definitions = features.iter().map(|feature| feature.definition.as_str());
    let definition = if features.is_empty() { String::new() } else { definition_hash(definitions) };
    let calls = calls.into_iter().map(|(_, call)| call).collect();
    Transform { request: job.request.clone(), features, calls, definition }
}

fn refuse_at(job: &JobDefinition, (line, column): (u32, u32), message: String, report: &mut Report<'_>) {
    report.add(Diagnostic::error(&*job.file, line, column, message));
}

/// Refuses names of fields and of derived features that something else of the job has.
fn refuse_taken_names(job: &JobDefinition, plan: &JobPlan, report: &mut Report<'_>) {
    for RequestField { name, place, .. } in &job.request {
        if let Some(taken) = taken(name, plan) {
            let message = format!("`request.{name}`: {taken}; give the field another name");
            refuse_at(job, *place, message, report);
        }
    }
    for DerivedDefinition { name, place, .. } in &job.transform {
        let of_request = job.request.iter().any(|field| field.name == *name);
        let of_request = of_request.then(|| format!("`{name}` is a field of the request"));
        if let Some(taken) = taken(name, plan).or(of_request) {
            let message = format!("`transform.{name}`: {taken}; give the derived feature another name");
            refuse_at(job, *place, message, report);
        }
    }
}

/// What of a job's entity and results has a name already.
fn taken(name: &str, plan: &JobPlan) -> Option<String> {
    let is_key = plan.stage.as_ref().is_some_and(|stage| stage.key_names.iter().any(|key| key == name));
    if is_key {
        return Some(format!("`{name}` is a column of the entity's key"));
    }
    let is_result = plan.output.columns.iter().any(|column| column.name == name)
        || plan.features.iter().any(|feature| feature.name == name);
    is_result.then(|| format!("`{name}` is a result column of the query"))
}

/// Warns of fields that no derived feature reads: requests would bring them for nothing.
fn warn_of_unread(job: &JobDefinition, features: &[DerivedFeature], report: &mut Report<'_>) {
    let read: BTreeSet<usize> = features.iter().flat_map(DerivedFeature::requested).collect();
    for (_, field) in job.request.iter().enumerate().filter(|(at, _)| !read.contains(at)) {
        let name = &field.name;
        let message = format!("`request.{name}`: nothing in `transform` reads it; leave it out");
        report.add(Diagnostic::warning(&*job.file, field.place.0, field.place.1, message));
    }
}

/// Writes the names of a plugin's arguments in place of the `*` of `f(*)`.
fn name_arguments(expression: &mut Expr, functions: &Functions<'_>) {
    let _: ControlFlow<()> = visit_expressions_mut(expression, |part| {
        let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = part else {
            return ControlFlow::Continue(());
        };
        let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = list.args.as_slice() else {
            return ControlFlow::Continue(());
        };
        let span = name.span();
        let known = single_name(name).and_then(|name| functions.named_arguments(&name.to_lowercase()));
        let argument = |name: String| {
            let name = Ident { span, ..Ident::new(name) };
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(name)))
        };
        if let Some(known) = known {
            list.args = known.into_iter().map(argument).collect();
        }
        ControlFlow::Continue(())
    });
}

/// What an expression may name: keys, stored features and fields of the request.
struct Given {
    columns: Vec<(ScopeColumn, DerivedInput)>,
    schema: StreamSchema,
}

impl Given {
    fn of(job: &JobDefinition, plan: &JobPlan) -> Given {
        let keys = plan.stage.iter().flat_map(|stage| stage.key_names.iter().zip(&stage.key_types));
        let column = |name: &str, data_type: ArrowType, canonical: String| ScopeColumn {
            name: name.to_owned(),
            data_type,
            canonical,
        };
        let keys = keys.enumerate().map(|(at, (name, arrow))| {
            (column(name, arrow.clone(), format!("key {at} {arrow}")), DerivedInput::Key(at))
        });
        let stored = plan.features.iter().enumerate().map(|(at, feature)| {
            let canonical = format!("feature {} {}", feature.definition, feature.data_type);
            (column(&feature.name, feature.data_type.to_arrow(), canonical), DerivedInput::Stored(at))
        });
        let request = job.request.iter().enumerate().map(|(at, field)| {
            let canonical = format!("request {} {}", field.name, field.data_type);
            (column(&field.name, field.data_type.to_arrow(), canonical), DerivedInput::Request(at))
        });
        let mut seen = BTreeSet::new();
        // A name that is taken twice is refused where it stands.
        let columns: Vec<_> = keys
            .chain(stored)
            .chain(request)
            .filter(|(column, _)| seen.insert(column.name.clone()))
            .collect();
        let field = |(column, _): &(ScopeColumn, DerivedInput)| {
            let data_type = DataType::from_arrow(&column.data_type).unwrap_or(DataType::String);
            Field::named(&column.name, data_type)
        };
        let fields: Vec<Field> = columns.iter().map(field).collect();
        // Without an event there is no time of one.
        let schema = StreamSchema { event_time: fields.len(), fields };
        Given { columns, schema }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(column, _)| column.name.as_str())
    }
}

/// The calls that features are parts of, each bound to their inputs.
type Calls = Vec<(Bound, Arc<dyn Expression>)>;

struct Deriving<'d> {
    job: &'d JobDefinition,
    plan: &'d JobPlan,
    catalog: &'d dyn Catalog,
    functions: &'d Functions<'d>,
    aggregates: &'d Aggregates<'d>,
    given: &'d Given,
}

impl Deriving<'_> {
    fn feature(
        &self,
        (definition, mut expression): (&DerivedDefinition, Expr),
        calls: &mut Calls,
        report: &mut Report<'_>,
    ) -> Option<DerivedFeature> {
        for (at, message) in doubtful_patterns(&expression) {
            report.warn(at, message);
        }
        name_arguments(&mut expression, self.functions);
        report.refuse_all(self.resolve(&mut expression));
        if let Some(call) = first_call(&expression, self.aggregates) {
            let message = format!(
                "{} is computed over rows, which a request has none of; write it in the query, and the name of its column \
                 here",
                call.name
            );
            report.refuse(Refusal::new(call.at, message));
        }
        if report.has_errors() {
            return None;
        }
        let at = place(&expression, START);
        let planned = self.planned((definition, expression), calls, report);
        report.take(planned.map_err(|message| Refusal::new(at, message)))
    }

    fn planned(
        &self,
        (definition, expression): (&DerivedDefinition, Expr),
        calls: &mut Calls,
        report: &mut Report<'_>,
    ) -> Result<DerivedFeature, String> {
        let columns = self.given.columns.iter().map(|(column, _)| column.clone()).collect();
        let scope = Scope::new(self.functions, columns)?;
        let mut bound = scope.bind(expression)?.normalised()?;
        let declared = self.job.features.iter().find(|declared| declared.name == definition.name);
        let data_type = self.typed(definition, &mut bound, declared, report)?;
        let read = bound.columns();
        let is_read = |at: &usize| read.contains(&self.given.columns[*at].0.name);
        let reads: Vec<usize> = (0..self.given.columns.len()).filter(is_read).collect();
        let hash = definition_hash([FORM, "transform", &bound.canonical]);
        let of_inputs = scope.of(&reads)?;
        let (call, expression) = match scope.part_of_call(&bound) {
            Some(part) => {
                let known = calls.iter().position(|(known, _)| known.computes(&part.call));
                let call = match known {
                    Some(known) => known,
                    None => {
                        calls.push((part.call.clone(), of_inputs.compile(&part.call)?));
                        calls.len() - 1
                    }
                };
                (Some(call), part.compile(self.functions)?)
            }
            None => (None, of_inputs.compile(&bound)?),
        };
        Ok(DerivedFeature {
            name: definition.name.clone(),
            data_type,
            version: declared.and_then(|declared| declared.version).unwrap_or(self.job.version),
            definition: hash,
            description: declared.and_then(|declared| declared.description.clone()),
            owner: declared.and_then(|declared| declared.owner.clone()),
            default: declared.and_then(|declared| declared.default.clone()),
            text: self.job.masks.masked(definition.expression.text.trim().to_owned()),
            inputs: reads.iter().map(|at| self.given.columns[*at].1).collect(),
            call,
            expression,
        })
    }

    /// The type that a derived feature has, which may be declared; so may what stands in for null.
    fn typed(
        &self,
        definition: &DerivedDefinition,
        bound: &mut Bound,
        declared: Option<&FeatureDefinition>,
        report: &mut Report<'_>,
    ) -> Result<DataType, String> {
        let inferred = DataType::from_arrow(&bound.data_type)
            .ok_or_else(|| format!("`{}` has a type that no feature can have", definition.name))?;
        let Some(declared) = declared else { return Ok(inferred) };
        let data_type = declared.data_type.clone().unwrap_or_else(|| inferred.clone());
        let fits = declare((&definition.name, "expression"), bound, &inferred, &data_type);
        for message in fits.err().into_iter().chain(declared_default(declared, &data_type)) {
            let (line, column) = declared.place;
            report.add(Diagnostic::error(&*self.job.file, line, column, message));
        }
        Ok(data_type)
    }

    fn resolve(&self, expression: &mut Expr) -> Vec<Refusal> {
        let unknown = |name: &str| self.unknown(name);
        let names = Names {
            table: &self.job.name,
            schema: &self.given.schema,
            view: None,
            parts_left: &Cell::new(PARTS_LIMIT),
            qualifier: "",
            functions: self.functions,
            aggregates: self.aggregates,
            catalog: self.catalog,
            has_window_columns: false,
            items: &[],
            unknown: Some(&unknown),
        };
        names.resolve(expression)
    }

    /// What is wrong with a name that no expression here can use.
    fn unknown(&self, name: &str) -> String {
        if name == "rowtime" {
            return "a request has no row, and so neither rowtime nor CURRENT_TIMESTAMP; let it bring the time, as in \
                    `request: {now: timestamp}`"
                .to_owned();
        }
        if self.job.transform.iter().any(|derived| derived.name == name) {
            return format!("`{name}` is a derived feature itself; write its expression here");
        }
        let column = self.plan.output.columns.iter().find(|column| column.name == name);
        let what = column.map(|column| match column.role {
            ColumnRole::WindowBound => "a bound of the window",
            ColumnRole::Plain => "a plain column of the row",
            ColumnRole::Key(_) => "another name of a key column",
            ColumnRole::Feature => "another name of a feature",
        });
        let names = || self.given.names().collect::<Vec<_>>().join(", ");
        if let Some(what) = what {
            return format!("`{name}` is {what}, which is not served by this name; there is {}", names());
        }
        match nearest(name, self.given.names()) {
            Some(near) if near.eq_ignore_ascii_case(name) => {
                format!("`{name}` is not known; names are case-sensitive: write `{near}`")
            }
            Some(near) => format!("`{name}` is not known; did you mean `{near}`?"),
            None => format!(
                "`{name}` is neither a feature nor a key of the job, nor a field of its `request`; there is {}",
                names()
            ),
        }
    }
}
