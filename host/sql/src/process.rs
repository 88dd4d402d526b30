//! A query over the rows of keyed logic: `SELECT user_id, rides FROM TABLE(visits(TABLE rides PARTITION BY user_id))`.
//!
//! The table's columns are those that the logic and PARTITION BY name; the query's are of what the logic makes: its rows'
//! columns, those of PARTITION BY, and `rowtime`. WHERE is about these rows; which events the logic sees, a query inside FROM
//! says. Must not know how logic is run.

use crate::aggregates::constants;
use crate::expressions::{Bound, Scope, ScopeColumn, shown_type};
use crate::labels;
use crate::names::Names;
use crate::parse::Parsed;
use crate::planner::{Named, Query, ResultColumnPlan};
use crate::process_call::ProcessCall;
use crate::relation::{Relation, all_of};
use crate::report::{Refusal, Report, START};
use crate::resolution::resolve_views;
use crate::results::is_column;
use crate::stage::{Key, Processing, Rows, Stage, StageWindows, first_call};
use crate::syntax::place;
use crate::warnings::warn;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema, TimeUnit};
use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::{Location, Span};
use std::sync::Arc;
use weir_event::key::is_key_type;
use weir_event::suggestion::nearest;
use weir_event::{DataType, Field, StreamSchema};
use weir_plan::{ColumnRole, Emit, JobPlan, KeyedStage};
use weir_timeline::{ProcessSpec, storable};

/// What the time of a row is called.
const ROWTIME: &str = "rowtime";

/// A column that the rows of the logic have for the query.
struct RowColumn {
    name: String,
    data_type: ArrowType,
    canonical: String,
}

/// The plan of such a query; `base` is what the table's names mean.
pub(crate) fn plan(
    named: &Named<'_>,
    call: &ProcessCall,
    mut parsed: Parsed,
    base: &Names<'_>,
    report: &mut Report<'_>,
) -> Option<JobPlan> {
    let (view, filters) = resolve_views(std::mem::take(&mut parsed.views), base, report);
    let of_table = Names { view: view.as_ref(), ..*base };
    if report.has_errors() {
        return None;
    }
    report.refuse_all(refused(named, call, &parsed));
    let scope = named.relation.scope(named.functions).map_err(|message| Refusal::new(START, message));
    let mut rows = Rows { scope: report.take(scope)?, projected: Vec::new() };
    let filter = match all_of(filters) {
        Some(filter) => {
            let at = place(&filter, START);
            Some(report.take(rows.condition(filter, "WHERE", at))?)
        }
        None => None,
    };
    let keys = report.take(keys(call, &of_table, &mut rows));
    let processing = report.take(logic(named, call, &of_table, &mut rows));
    let (keys, processing) = keys.zip(processing).filter(|_| !report.has_errors())?;
    let made = report.take(made(call, &keys, &processing, &rows))?;
    resolve(named, call, &mut parsed, &made, base, report)?;
    let windows = StageWindows::Process(processing);
    warn(named.job, &windows, report);
    labels::check(named.job, &windows, report);
    let Named { job, relation, functions, aggregates, event_time } = named;
    let query = Query { job, relation, functions, filter, parsed };
    let stage = Stage {
        rows: &mut rows,
        aggregates,
        window_clauses: &query.parsed.windows,
        event_time,
        windows,
        keys,
        computed: Vec::new(),
        carried: Vec::new(),
        changed: None,
        join: None,
        joined: Vec::new(),
    };
    query.processed(&stage, &made, report)
}

/// What does not go with keyed logic.
fn refused(named: &Named<'_>, call: &ProcessCall, parsed: &Parsed) -> Vec<Refusal> {
    let Relation { join, .. } = &named.relation;
    let name = &call.name;
    let mut refusals = Vec::new();
    let mut refuse = |is_there: bool, message: String| {
        refusals.extend(is_there.then(|| Refusal::new(call.at, message)));
    };
    let grouped = !parsed.group_by.is_empty() || parsed.having.is_some() || !parsed.windows.named.is_empty();
    refuse(
        grouped,
        format!(
            "GROUP BY, HAVING and WINDOW do not go over the rows of {name}: weir 0.1 does not read another query's results \
             yet; let the logic make what is wanted, or let this job write to a Kafka topic that has a stream of its own"
        ),
    );
    refuse(
        join.is_some(),
        format!("{name} does not read the rows of a LAST JOIN; write UNION ALL of both sides"),
    );
    refuse(
        named.relation.changed().is_some(),
        format!(
            "{name} does not read changes of a table; write `deletes: ignore` in the format of its stream"
        ),
    );
    refuse(
        named.job.emit != Emit::Close,
        format!("`emit` of the job: the rows of {name} are written when they are final; leave it out"),
    );
    refuse(named.job.tail.is_some(), format!("`tail` of the job: {name} has no frames; leave it out"));
    refusals
}

/// The columns of PARTITION BY.
fn keys(call: &ProcessCall, of_table: &Names<'_>, rows: &mut Rows<'_>) -> Result<Vec<Key>, Refusal> {
    let mut keys: Vec<Key> = Vec::new();
    for (expression, at) in &call.partition_by {
        let Expr::Identifier(Ident { value: name, .. }) = expression else {
            let message = "PARTITION BY takes columns here; compute it in a query inside FROM, WITH t AS (SELECT .. AS a ..), \
                           and write its name";
            return Err(Refusal::new(*at, message));
        };
        let mut resolved = expression.clone();
        of_table.resolve(&mut resolved).into_iter().next().map_or(Ok(()), Err)?;
        let column = rows.project(resolved.clone(), *at)?;
        let data_type = &rows.projected[column].data_type;
        if !is_key_type(data_type) {
            let message = format!(
                "a column of type {} cannot be a key; partition by a string, whole number, double, boolean or timestamp",
                shown_type(data_type)
            );
            return Err(Refusal::new(*at, message));
        }
        keys.push(Key { expression: resolved, column, name: name.clone() });
    }
    Ok(keys)
}

/// The logic, bound to the columns of the table that it names.
fn logic(
    named: &Named<'_>,
    call: &ProcessCall,
    of_table: &Names<'_>,
    rows: &mut Rows<'_>,
) -> Result<Processing, Refusal> {
    let catalog = of_table.catalog.functions();
    let name = &call.name;
    let Some(wanted) = catalog.logic_arguments(name) else {
        return Err(Refusal::new(call.at, unknown(name, of_table)));
    };
    let mut arguments = Vec::with_capacity(wanted.len());
    for wanted in &wanted {
        let Some(column) = of_table.inherited(wanted) else {
            let message = format!(
                "{name} reads the column `{wanted}`, which `{}` does not have; name one so in a query inside FROM: WITH t AS \
                 (SELECT *, .. AS {wanted} FROM ..)",
                of_table.view.map_or(of_table.table, |view| &view.name)
            );
            return Err(Refusal::new(call.at, message));
        };
        let column = rows.project(column, call.at)?;
        let data_type = &rows.projected[column].data_type;
        if !storable(data_type) {
            let message = format!(
                "`{wanted}` is of type {}, and events cannot be kept with it; make a string, number, boolean, timestamp or \
                 bytes of it in a query inside FROM",
                shown_type(data_type)
            );
            return Err(Refusal::new(call.at, message));
        }
        arguments.push(column);
    }
    let mut parameters = Vec::new();
    for (value, at) in &call.parameters {
        let found = constants(value, *at)?;
        parameters.extend(found.ok_or_else(|| {
            Refusal::new(
                *at,
                format!(
                    "what stands behind the table of {name} is a constant, such as 30 or 'a'; several columns of PARTITION BY \
                     stand in brackets"
                ),
            )
        })?);
    }
    let types: Vec<ArrowType> =
        arguments.iter().map(|column| rows.projected[*column].data_type.clone()).collect();
    let logic = catalog
        .logic(&named.job.name, name, &types, &parameters)
        .map_err(|message| Refusal::new(call.at, message))?;
    let texts: Vec<&str> =
        arguments.iter().map(|column| rows.projected[*column].canonical.as_str()).collect();
    let canonical = format!("{}[{}]", logic.card().identity, texts.join(", "));
    Ok(Processing { canonical, spec: ProcessSpec { logic, arguments } })
}

fn unknown(name: &str, of_table: &Names<'_>) -> String {
    if let Some(unseen) = of_table.catalog.unseen(name) {
        return unseen;
    }
    let names = of_table.catalog.functions().logic_names();
    let known = ["tumble", "hop", "cumulate", "session"].into_iter().chain(names.iter().map(String::as_str));
    match nearest(name, known) {
        Some(near) => format!("table function `{name}` not found; did you mean `{near}`?"),
        None if names.is_empty() => {
            format!(
                "table function `{name}` not found; write TUMBLE, HOP, CUMULATE or SESSION, or push a plugin of the kind \
                 `process` that has it"
            )
        }
        None => format!(
            "table function `{name}` not found; write TUMBLE, HOP, CUMULATE or SESSION, or keyed logic: {}",
            names.join(", ")
        ),
    }
}

/// The columns that the query sees: those of PARTITION BY, of the rows that are made, and their time.
fn made(
    call: &ProcessCall,
    keys: &[Key],
    processing: &Processing,
    rows: &Rows<'_>,
) -> Result<Vec<RowColumn>, Refusal> {
    let of_key = |key: &Key| {
        let bound: &Bound = &rows.projected[key.column];
        let canonical = format!("key[{}]", bound.canonical);
        RowColumn { name: key.name.clone(), data_type: bound.data_type.clone(), canonical }
    };
    let of_row = |name: &str, data_type: ArrowType| {
        let canonical = format!("{}.{name}", processing.canonical);
        RowColumn { name: name.to_owned(), data_type, canonical }
    };
    let results = &processing.spec.logic.card().results;
    let made: Vec<RowColumn> = keys
        .iter()
        .map(of_key)
        .chain(results.iter().map(|(name, data_type)| of_row(name, data_type.clone())))
        .chain([of_row(ROWTIME, ArrowType::Timestamp(TimeUnit::Millisecond, None))])
        .collect();
    let twice =
        made.iter().enumerate().find(|(at, one)| made[..*at].iter().any(|other| other.name == one.name));
    match twice {
        None => Ok(made),
        Some((_, RowColumn { name, .. })) => Err(Refusal::new(
            call.at,
            format!(
                "the rows of {} have two columns that are called `{name}`; give the one of PARTITION BY another name in a \
                 query inside FROM",
                call.name
            ),
        )),
    }
}

/// Resolves the names of the query's columns and of WHERE, which are of the rows that are made.
fn resolve(
    named: &Named<'_>,
    call: &ProcessCall,
    parsed: &mut Parsed,
    made: &[RowColumn],
    base: &Names<'_>,
    report: &mut Report<'_>,
) -> Option<()> {
    let field = |it: &RowColumn| Some(Field::named(&it.name, DataType::from_arrow(&it.data_type)?));
    let fields: Vec<Field> = made.iter().map(field).collect::<Option<_>>()?;
    let schema = StreamSchema { event_time: fields.len() - 1, fields };
    let items = parsed.items.clone();
    let qualifier = parsed.qualifier.clone();
    let names = Names { table: &call.name, schema: &schema, qualifier: &qualifier, items: &items, ..*base };
    for item in &mut parsed.items {
        report.refuse_all(names.resolve(&mut item.expression));
    }
    report.refuse_all(names.resolve(&mut parsed.filter));
    let parts = parsed.items.iter().map(|item| &item.expression).chain(&parsed.filter);
    for part in parts {
        if let Some(found) = first_call(part, named.aggregates) {
            let message = format!(
                "{} does not go over the rows of {}: weir 0.1 does not read another query's results yet; let the logic make \
                 what is wanted",
                found.name, call.name
            );
            report.refuse(Refusal::new(found.at, message));
        }
    }
    (!report.has_errors()).then_some(())
}

impl Query<'_> {
    /// The plan, over a stage of keyed logic whose rows have these columns.
    fn processed(
        &self,
        stage: &Stage<'_, '_>,
        made: &[RowColumn],
        report: &mut Report<'_>,
    ) -> Option<JobPlan> {
        let column = |it: &RowColumn| ScopeColumn {
            name: it.name.clone(),
            data_type: it.data_type.clone(),
            canonical: it.canonical.clone(),
        };
        let scope = Scope::new(self.functions, made.iter().map(column).collect());
        let scope = self.checked(scope, START, report)?;
        let mut columns = Vec::new();
        for item in &self.parsed.items {
            let role = role(&item.expression, stage, item.at);
            let bound = self.bind(&scope, item.expression.clone(), item.at, report)?;
            columns.push(ResultColumnPlan { name: item.name.clone(), role, bound });
        }
        let filter = match &self.parsed.filter {
            Some(filter) => {
                Some(self.condition(&scope, (filter.clone(), "WHERE"), place(filter, START), report)?)
            }
            None => None,
        };
        let fields = made.iter().map(|it| ArrowField::new(&it.name, it.data_type.clone(), true));
        let results = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let spec = self.spec(stage, report)?;
        let keyed = KeyedStage {
            keys: stage.keys.iter().map(|key| key.column).collect(),
            key_names: stage.keys.iter().map(|key| key.name.clone()).collect(),
            key_types: made[..stage.keys.len()].iter().map(|it| it.data_type.clone()).collect(),
            spec: Arc::new(spec),
            present: None,
            results,
        };
        self.finish_keyed(stage, keyed, &scope, columns, filter, report)
    }
}

/// What a column of the query is for a lookup.
fn role(expression: &Expr, stage: &Stage<'_, '_>, at: Location) -> ColumnRole {
    let of_name = |name: &str| Expr::Identifier(Ident::with_quote_and_span('"', Span::new(at, at), name));
    let is = |name: &str| *expression == of_name(name);
    match stage.keys.iter().position(|key| is(&key.name)) {
        Some(key) => ColumnRole::Key(key),
        None if is_column(expression) && is(ROWTIME) => ColumnRole::Plain,
        None => ColumnRole::Feature,
    }
}
