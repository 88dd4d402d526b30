//! What FROM reads in the end: a stream, or the rows of several as one table, whose columns are computed from each
//! stream's own.
//!
//! Knows how columns of several queries become one, and what each stream's are. Must not know windows, aggregates or
//! what the query around it computes.

use crate::aggregates::Aggregates;
use crate::expressions::{Bound, Functions, Scope, ScopeColumn, type_name};
use crate::last_join::{Join, column};
use crate::names::{Names, ResolvedView};
use crate::planner::unknown_stream;
use crate::report::{Refusal, Report};
use crate::resolution::resolve_views;
use crate::syntax::{EVENT_TIME, event_time, place};
use crate::unnest::{Items, WrittenUnnest};
use crate::views::{Base, Source};
use arrow_schema::DataType as ArrowType;
use sqlparser::ast::{BinaryOperator, Expr, Value};
use sqlparser::tokenizer::Location;
use std::cell::Cell;
use std::sync::Arc;
use weir_event::schema::TAKEN_BACK;
use weir_event::{DataType, Field, StreamSchema};
use weir_plan::{Catalog, StreamDefinition};

/// A table that rows are read of.
#[derive(Debug)]
pub(crate) struct Relation {
    /// What messages call it.
    pub(crate) name: String,
    pub(crate) schema: StreamSchema,
    /// The stream, or those whose rows it has, in the order of the query.
    pub(crate) branches: Vec<Branch>,
    /// How its rows belong together where they are those of two sides.
    pub(crate) join: Option<Join>,
}

/// A stream whose rows are a table's.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) stream: Arc<StreamDefinition>,
    /// Where the query names it.
    pub(crate) at: Location,
    /// How its rows become the table's; `None` where it is the table.
    pub(crate) made: Option<Made>,
    /// The list whose items its rows are, where they are not its events.
    pub(crate) items: Option<Items>,
    /// Whether its rows are those of the right side of a join, which the query's condition is not about.
    pub(crate) is_right: bool,
}

/// How rows of a stream become rows of a table.
#[derive(Debug)]
pub(crate) struct Made {
    /// The table's columns, over the stream's.
    pub(crate) columns: Vec<Bound>,
    /// Which rows are kept, over the stream's columns.
    pub(crate) filter: Option<Bound>,
}

/// What names mean while a relation is made.
pub(crate) struct Making<'m> {
    pub(crate) catalog: &'m dyn Catalog,
    pub(crate) functions: &'m Functions<'m>,
    pub(crate) aggregates: &'m Aggregates<'m>,
    /// How many parts the columns of queries inside FROM may still grow to.
    pub(crate) parts_left: &'m Cell<usize>,
    pub(crate) unnests: &'m [WrittenUnnest],
}

/// The scope of a stream's columns, and behind them of those that items of a list add.
pub(crate) fn stream_scope<'a>(
    stream: &StreamDefinition,
    items: Option<&Items>,
    functions: &'a Functions<'a>,
) -> Result<Scope<'a>, String> {
    let columns = stream.schema.fields.iter().map(|field| ScopeColumn {
        name: field.name.clone(),
        data_type: field.data_type.to_arrow(),
        canonical: format!("{}:{}", crate::hashes::written(field), field.data_type),
    });
    let columns = columns.chain(items.into_iter().flat_map(Items::scope_columns));
    Scope::new(functions, columns.collect())
}

impl Relation {
    /// The stream whose rows take others back, if there is one.
    pub(crate) fn changed(&self) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.stream.schema.taken_back().is_some())
    }

    /// The scope of its columns.
    pub(crate) fn scope<'a>(&self, functions: &'a Functions<'a>) -> Result<Scope<'a>, String> {
        if let [Branch { stream, made: None, items, .. }] = self.branches.as_slice() {
            return stream_scope(stream, items.as_ref(), functions);
        }
        let columns = self.schema.fields.iter().enumerate().map(|(index, field)| {
            let made = self.branches.iter().filter_map(|branch| branch.made.as_ref()?.columns.get(index));
            let texts: Vec<&str> = made.map(|column| column.canonical.as_str()).collect();
            ScopeColumn {
                name: field.name.clone(),
                data_type: field.data_type.to_arrow(),
                canonical: format!("union[{}]", texts.join("; ")),
            }
        });
        Scope::new(functions, columns.collect())
    }
}

/// The conditions of the queries inside FROM and of the outer one, in this order: each sees only rows that those before
/// it let through.
pub(crate) fn all_of(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// The rows of several streams under the same columns.
pub(crate) struct Table {
    pub(crate) schema: StreamSchema,
    pub(crate) branches: Vec<Branch>,
}

/// A column of a branch on its way into the table.
struct Column {
    name: String,
    bound: Bound,
    is_event_time: bool,
    at: Location,
}

impl Making<'_> {
    /// What a base is; what is wrong with it is in the report.
    pub(crate) fn relation(&self, base: &Base, report: &mut Report<'_>) -> Option<Relation> {
        match base {
            Base::Stream(table, at) => {
                let stream = self.stream(table, *at, report)?;
                let items = self.items(&stream, *at, report)?;
                let (name, schema) = (stream.name.clone(), with_items(&stream, items.as_ref()));
                let branch = Branch { stream, at: *at, made: None, items, is_right: false };
                Some(Relation { name, schema, branches: vec![branch], join: None })
            }
            Base::Union { name, branches, .. } => {
                let Table { schema, branches } = self.union(branches, report)?;
                Some(Relation { name: name.clone(), schema, branches, join: None })
            }
            Base::LastJoin(sides) => self.last_join(sides, report),
        }
    }

    /// What a query over this table may name.
    pub(crate) fn names<'t>(&'t self, table: &'t str, schema: &'t StreamSchema) -> Names<'t> {
        Names {
            table,
            schema,
            view: None,
            parts_left: self.parts_left,
            qualifier: "",
            functions: self.functions,
            aggregates: self.aggregates,
            catalog: self.catalog,
            has_window_columns: false,
            items: &[],
            unknown: None,
        }
    }

    fn stream(&self, table: &str, at: Location, report: &mut Report<'_>) -> Option<Arc<StreamDefinition>> {
        let found = self.catalog.stream(table);
        if found.is_none() {
            report.refuse(Refusal::new(at, unknown_stream(table, self.catalog)));
        }
        found
    }

    /// The list whose items are the rows of the stream that the query names here, if it says so; `None` for errors.
    #[allow(clippy::option_option, reason = "no list is not a list that is wrong")]
    fn items(
        &self,
        stream: &StreamDefinition,
        at: Location,
        report: &mut Report<'_>,
    ) -> Option<Option<Items>> {
        let Some(unnest) = self.unnests.iter().find(|unnest| unnest.table_at == at) else {
            return Some(None);
        };
        let names = self.names(&stream.name, &stream.schema);
        match unnest.items(stream, &names, self.functions) {
            Ok(items) => Some(Some(items)),
            Err(refusals) => {
                report.refuse_all(refusals);
                None
            }
        }
    }

    pub(crate) fn union(&self, sources: &[Source], report: &mut Report<'_>) -> Option<Table> {
        let is_changed = |source: &Source| match &source.base {
            Base::Stream(table, _) => {
                self.catalog.stream(table).is_some_and(|stream| stream.schema.taken_back().is_some())
            }
            _ => false,
        };
        let takes_back = sources.iter().any(is_changed);
        let (mut branches, mut columns) = (Vec::new(), Vec::new());
        for source in sources {
            if let Some((branch, of_branch)) = self.branch(source, takes_back, report) {
                branches.push(branch);
                columns.push(of_branch);
            }
        }
        if branches.len() < sources.len() {
            return None;
        }
        let mut fields = Vec::new();
        let width = columns.first().map_or(0, Vec::len);
        for index in 0..width {
            let of_branches = || columns.iter().map(|columns: &Vec<Column>| &columns[index]);
            fields.push(report.take(common(index, of_branches(), &branches))?);
        }
        let event_time =
            (0..width).find(|index| columns.iter().all(|columns| columns[*index].is_event_time))?;
        for (branch, columns) in branches.iter_mut().zip(columns) {
            if let Some(made) = &mut branch.made {
                let typed = columns.into_iter().zip(&fields);
                made.columns =
                    typed.map(|(column, field)| column.bound.cast(&field.data_type.to_arrow())).collect();
            }
        }
        Some(Table { schema: StreamSchema { fields, event_time }, branches })
    }

    /// A stream with the queries over it, and the columns of the last; behind them the event time, which the query
    /// around may name whether or not they do, and where rows of the table take others back, whether they do.
    fn branch(
        &self,
        source: &Source,
        takes_back: bool,
        report: &mut Report<'_>,
    ) -> Option<(Branch, Vec<Column>)> {
        let Base::Stream(table, at) = &source.base else { return None };
        let stream = self.stream(table, *at, report)?;
        let items = self.items(&stream, *at, report)?;
        let schema = with_items(&stream, items.as_ref());
        let names = self.names(&stream.name, &schema);
        let (view, filters) = resolve_views(source.views.clone(), &names, report);
        let listed = view.map_or_else(
            || schema.declared().map(|field| (field.name.clone(), column(&field.name, *at))).collect(),
            |ResolvedView { columns, .. }| columns,
        );
        let mut time = event_time(*at);
        report.refuse_all(names.resolve(&mut time));
        if report.has_errors() {
            return None;
        }
        let scope = stream_scope(&stream, items.as_ref(), self.functions)
            .map_err(|message| Refusal::new(*at, message));
        let scope = report.take(scope)?;
        let listed_at = source.views.last().into_iter().flat_map(|view| &view.items).map(|item| item.at);
        let places = listed_at.chain(std::iter::repeat(*at));
        let hidden = [(EVENT_TIME.to_owned(), time.clone())].into_iter();
        let hidden = hidden.chain(takes_back.then(|| (TAKEN_BACK.to_owned(), taken_back(&schema, *at))));
        let listed = listed.into_iter().chain(hidden);
        let bind = |((name, expression), at): ((String, Expr), Location)| {
            let is_event_time = expression == time || is_same_column(&expression, &time);
            let bound = scope.bind(expression).and_then(|bound| match bound.data_type {
                ArrowType::Null => Ok(bound),
                _ => bound.normalised(),
            });
            let bound = bound.map_err(|message| Refusal::new(at, message))?;
            Ok(Column { name, bound, is_event_time, at })
        };
        let columns: Vec<_> = listed.zip(places).map(bind).filter_map(|it| report.take(it)).collect();
        let filter = match all_of(filters) {
            Some(filter) => Some(report.take(condition(&scope, filter, *at))?),
            None => None,
        };
        if report.has_errors() {
            return None;
        }
        let made = Some(Made { columns: Vec::new(), filter });
        Some((Branch { stream, at: *at, made, items, is_right: false }, columns))
    }
}

/// A stream's columns, and behind them those that items of a list add.
fn with_items(stream: &StreamDefinition, items: Option<&Items>) -> StreamSchema {
    let mut schema = stream.schema.clone();
    schema.fields.extend(items.into_iter().flat_map(|items| items.columns.iter().cloned()));
    schema
}

/// Whether a row of these columns takes another back.
fn taken_back(schema: &StreamSchema, at: Location) -> Expr {
    match schema.taken_back() {
        Some(_) => column(TAKEN_BACK, at),
        None => Expr::Value(Value::Boolean(false).into()),
    }
}

fn condition(scope: &Scope<'_>, filter: Expr, at: Location) -> Result<Bound, Refusal> {
    let at = place(&filter, at);
    let bound = scope.bind(filter).map_err(|message| Refusal::new(at, message))?;
    if bound.data_type == ArrowType::Boolean {
        return Ok(bound);
    }
    let message = format!("WHERE needs a condition, not a value of type {}", type_name(&bound.data_type));
    Err(Refusal::new(at, message))
}

/// Whether two expressions are one column, wherever they stand.
fn is_same_column(one: &Expr, other: &Expr) -> bool {
    matches!((one, other), (Expr::Identifier(one), Expr::Identifier(other)) if one.value == other.value)
}

/// The table's column that one of each branch is.
fn common<'c>(
    index: usize,
    mut columns: impl Iterator<Item = &'c Column> + Clone,
    branches: &[Branch],
) -> Result<Field, Refusal> {
    let typed = |column: &&Column| column.bound.data_type != ArrowType::Null;
    let all = columns.clone();
    let Some(first) = columns.next() else {
        return Err(Refusal::new(crate::report::START, "UNION ALL has no queries"));
    };
    let of_type = |column: &Column| DataType::from_arrow(&column.bound.data_type);
    let named = |at: usize| branches.get(at).map_or("", |branch| branch.stream.name.as_str());
    let is_time = |column: &Column| column.is_event_time;
    if first.name == "rowtime"
        && let Some((at, other)) = all.clone().enumerate().find(|(_, other)| is_time(other) != is_time(first))
    {
        let message = format!(
            "column {} between UNION ALL is the event time of one of `{}` and `{}` and not of the other; write rowtime at \
             the same place in each query",
            index + 1,
            named(0),
            named(at)
        );
        return Err(Refusal::new(other.at, message));
    }
    let mut common: Option<DataType> = None;
    for (at, column) in all.enumerate().filter(|(_, column)| typed(column)) {
        let Some(own) = of_type(column) else { continue };
        common = Some(match common {
            None => own,
            Some(common) => wider(&common, &own).ok_or_else(|| {
                let message = format!(
                    "column {} between UNION ALL is {own} in the query of `{}` and {common} before it; CAST one of them",
                    index + 1,
                    named(at)
                );
                Refusal::new(column.at, message)
            })?,
        });
    }
    let data_type = common.ok_or_else(|| {
        let message = format!(
            "`{}` is NULL in every query between UNION ALL; write CAST(NULL AS ..) in one",
            first.name
        );
        Refusal::new(first.at, message)
    })?;
    Ok(Field::named(&first.name, data_type))
}

/// The type that holds the values of both, as in Flink.
fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Bigint, Double, Float, Int};
    Some(match (one, other) {
        (one, other) if one == other => one.clone(),
        (Int, Bigint) | (Bigint, Int) => Bigint,
        (Float | Int | Bigint, Double) | (Double, Float | Int | Bigint) => Double,
        _ => return None,
    })
}
