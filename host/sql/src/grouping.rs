//! What a query's rows are grouped by: the window and key of GROUP BY, of a table function in FROM, or of OVER, or
//! nothing.
//!
//! Knows which clauses go together. Must not know result columns beyond what stands in them.

use crate::aggregates::Aggregates;
use crate::labels;
use crate::over::over_window;
use crate::parse::{Item, Parsed};
use crate::report::{Refusal, Report, START};
use crate::results::is_column;
use crate::stage::{FoundCall, Key, Rows, StageWindows, calls, first_call, is_window_column, written};
use crate::syntax::place;
use crate::table_function::TableFunction;
use crate::windows::{
    FirstDay, GroupWindow, Shape, WindowCall, WindowKind, group_window, read_window, window_call,
};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Location;
use weir_event::key::is_key_type;
use weir_plan::{Emit, JobDefinition};

/// How a query groups its rows.
#[derive(Debug)]
pub(crate) struct Grouping {
    pub(crate) windows: StageWindows,
    /// The expressions of the key, in order, with their places.
    pub(crate) keys: Vec<(Expr, Location)>,
}

/// Finds the grouping; `None` for a query that computes each row alone. Errors are in the report.
pub(crate) fn grouping(
    parsed: &Parsed,
    aggregates: &Aggregates<'_>,
    event_time: &str,
    job: &JobDefinition,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    if let Some(filter) = &parsed.filter
        && let Some(call) = first_call(filter, aggregates)
    {
        let message = format!(
            "{} cannot be used in WHERE, which sees one row at a time; write HAVING, or FILTER (WHERE ..) behind an \
             aggregate",
            call.name
        );
        report.refuse(Refusal::new(call.at, message));
    }
    let found: Vec<_> = parsed.items.iter().flat_map(|item| calls(&item.expression, aggregates)).collect();
    let over = found.iter().find(|call| call.over.is_some());
    if let Some(over) = over {
        if let Some(function) = &parsed.table_function {
            let message =
                format!("{} in FROM and OVER cannot be in one query; write two jobs", function.window.name);
            report.refuse(Refusal::new(over.at, message));
            return None;
        }
        if let Some(first) = parsed.group_by.first() {
            let message = "GROUP BY and OVER cannot be in one query; write two jobs";
            report.refuse(Refusal::new(place(first, over.at), message));
            return None;
        }
        if let Some(having) = &parsed.having {
            let message = "HAVING filters the windows of GROUP BY; results of OVER are written for every row: write \
                           WHERE for a condition on the row";
            report.refuse(Refusal::new(place(having, over.at), message));
        }
        return by_over(parsed, aggregates, event_time, report);
    }
    if let Some(function) = &parsed.table_function {
        return by_table_function(parsed, function, aggregates, event_time, report);
    }
    if parsed.group_by.is_empty() {
        return without_group_by(parsed, found.first(), job, report);
    }
    by_group(parsed, aggregates, event_time, job, report)
}

/// A query of plain rows, or one of aggregates over everything.
fn without_group_by(
    parsed: &Parsed,
    first: Option<&FoundCall>,
    job: &JobDefinition,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    match first {
        Some(call) if call.is_window => {
            let message = format!(
                "{} needs a window in GROUP BY; add one, such as TUMBLE(rowtime, INTERVAL '1' HOUR)",
                call.name
            );
            report.refuse(Refusal::new(call.at, message));
        }
        Some(_) if job.emit != Emit::Close => {
            return Some(Grouping { windows: StageWindows::Lifetime, keys: Vec::new() });
        }
        Some(call) => {
            let name = &call.name;
            let message = format!(
                "{name} has no window: over a whole stream it would never be final; add GROUP BY TUMBLE(rowtime, \
                 INTERVAL '1' HOUR), or {name}(..) OVER (PARTITION BY .. ORDER BY rowtime RANGE INTERVAL '30' DAY \
                 PRECEDING), or write `emit: {{on: change}}` in the job"
            );
            report.refuse(Refusal::new(call.at, message));
        }
        None => {
            if let Some(having) = &parsed.having {
                let message = "HAVING filters the windows of GROUP BY, and there are none; write WHERE";
                report.refuse(Refusal::new(place(having, START), message));
            }
        }
    }
    None
}

fn by_over(
    parsed: &Parsed,
    aggregates: &Aggregates<'_>,
    event_time: &str,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    let (mut keys, mut ahead): (Option<Vec<Expr>>, _) = (None, None);
    for call in parsed.items.iter().flat_map(|item| calls(&item.expression, aggregates)) {
        let Some(over) = &call.over else { continue };
        let Some(window) = report.take(over_window(over, &parsed.windows, event_time, call.at)) else {
            continue;
        };
        if *ahead.get_or_insert(window.ahead) != window.ahead {
            report.refuse(labels::mixed(call.at));
        }
        match &keys {
            None => keys = Some(window.partition_by),
            Some(first) if *first == window.partition_by => {}
            Some(first) => {
                let list = |keys: &[Expr]| keys.iter().map(written).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "the OVER windows of one query share one PARTITION BY, here are ({}) and ({}); write two jobs",
                    list(first),
                    list(&window.partition_by)
                );
                report.refuse(Refusal::new(call.at, message));
            }
        }
    }
    let keys = keys?.into_iter().map(|key| (key.clone(), place(&key, START))).collect();
    let windows = StageWindows::Over { frames: Vec::new(), ahead: ahead.flatten() };
    Some(Grouping { windows, keys })
}

fn by_group(
    parsed: &Parsed,
    aggregates: &Aggregates<'_>,
    event_time: &str,
    job: &JobDefinition,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    let (mut window, mut keys) = (None, Vec::new());
    for expression in &parsed.group_by {
        let at = place(expression, START);
        if let Expr::Function(function) = expression
            && let Some(call) = window_call(&function.name.to_string())
        {
            match call {
                WindowCall::Window(kind) if window.is_none() => {
                    window = Some((report.take(group_window(kind, function, event_time)), at));
                }
                WindowCall::Refused(message) => {
                    report.refuse(Refusal::new(at, message));
                    window = Some((None, at));
                }
                WindowCall::Window(_) => {
                    report.refuse(Refusal::new(at, "GROUP BY takes one window; write a job for each"));
                }
                WindowCall::Bound(kind, _) => {
                    let message = format!("GROUP BY takes the window itself; write {}(..)", kind.name());
                    report.refuse(Refusal::new(at, message));
                    window = Some((None, at));
                }
            }
        } else {
            key(expression, aggregates, &mut keys, report);
        }
    }
    let Some((window, at)) = window else {
        return lifetime(parsed, keys, job, report);
    };
    let window = window?;
    note_order(&window, at, report);
    note_weeks(&window, at, report);
    if keys.is_empty() {
        keys = entity_keys(&parsed.items, event_time, report);
    }
    Some(Grouping { windows: StageWindows::Group(window), keys })
}

/// Adds a part of the key.
fn key(
    expression: &Expr,
    aggregates: &Aggregates<'_>,
    keys: &mut Vec<(Expr, Location)>,
    report: &mut Report<'_>,
) {
    if let Some(call) = first_call(expression, aggregates) {
        let message =
            format!("{} cannot be part of a GROUP BY column; write the window by itself", call.name);
        report.refuse(Refusal::new(call.at, message));
    } else if !keys.iter().any(|(known, _)| known == expression) {
        keys.push((expression.clone(), place(expression, START)));
    }
}

/// GROUP BY without a window: everything of a key, for jobs that do not wait until a result is final.
fn lifetime(
    parsed: &Parsed,
    keys: Vec<(Expr, Location)>,
    job: &JobDefinition,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    if job.emit != Emit::Close {
        return Some(Grouping { windows: StageWindows::Lifetime, keys });
    }
    let at = parsed.group_by.first().map_or(START, |first| place(first, START));
    let message = "GROUP BY has no window: over a whole stream it would never be final; add TUMBLE(rowtime, INTERVAL \
                   '1' HOUR) or HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY), or write `emit: {on: change}` in \
                   the job";
    report.refuse(Refusal::new(at, message));
    None
}

/// Tells of lengths in another order than Flink's.
fn note_order(window: &GroupWindow, at: Location, report: &mut Report<'_>) {
    if window.is_reversed {
        let (kind, step) = (window.kind.name(), window.kind.lengths()[0].to_lowercase());
        let message = format!(
            "{kind} takes the {step} first, then the size; it was read as {}, the longer as the size",
            window.describe()
        );
        report.notice(at, message);
    }
}

/// Tells on which day weeks begin, where the query does not say it.
fn note_weeks(window: &GroupWindow, at: Location, report: &mut Report<'_>) {
    match window.first_day {
        Some(FirstDay::Monday) => report.notice(
            at,
            "weeks begin on Monday, 00:00 UTC; for Flink's, which begin on Thursday as 1970-01-01 did, write INTERVAL '7' DAY",
        ),
        Some(FirstDay::Thursday) => report.notice(
            at,
            "windows of 7 days begin on Thursday, 00:00 UTC, as 1970-01-01 did; for weeks from Monday on write INTERVAL '1' WEEK",
        ),
        None => {}
    }
}

/// GROUP BY over a window table function.
fn by_table_function(
    parsed: &Parsed,
    function: &TableFunction,
    aggregates: &Aggregates<'_>,
    event_time: &str,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    let window = report.take(read_window(&function.window, event_time))?;
    note_order(&window, function.window.at, report);
    note_weeks(&window, function.window.at, report);
    let (mut keys, mut bounds) = (Vec::new(), Vec::new());
    for expression in &parsed.group_by {
        match expression {
            Expr::Identifier(name) if is_window_column(&name.value) => bounds.push(name.value.as_str()),
            Expr::Function(called)
                if matches!(window_call(&called.name.to_string()), Some(WindowCall::Window(_))) =>
            {
                let message = "FROM has a window already; write window_start, window_end in GROUP BY";
                report.refuse(Refusal::new(place(expression, START), message));
            }
            _ => key(expression, aggregates, &mut keys, report),
        }
    }
    let ends_tell = !matches!(window.shape, Shape::Cumulate(_));
    if !bounds.iter().any(|bound| *bound == "\0window_end" || (ends_tell && *bound == "\0window_start")) {
        let message = format!(
            "{} in FROM gives windows, and GROUP BY does not tell them apart; write GROUP BY window_start, window_end",
            window.kind.name()
        );
        let at = parsed.group_by.first().map_or(function.window.at, |first| place(first, function.window.at));
        report.refuse(Refusal::new(at, message));
        return None;
    }
    if keys.is_empty() {
        keys = entity_keys(&parsed.items, event_time, report);
    }
    let whose = &function.partition_by;
    let is_same = whose.iter().all(|one| keys.iter().any(|(key, _)| key == one))
        && keys.iter().all(|(key, _)| whose.contains(key));
    if window.kind == WindowKind::Session && !is_same {
        let list =
            |columns: &mut dyn Iterator<Item = &Expr>| columns.map(written).collect::<Vec<_>>().join(", ");
        let message = format!(
            "the sessions are of PARTITION BY ({}), GROUP BY is by ({}); name the same columns in both",
            list(&mut whose.iter()),
            list(&mut keys.iter().map(|(key, _)| key))
        );
        report.refuse(Refusal::new(function.window.at, message));
        return None;
    }
    Some(Grouping { windows: StageWindows::Group(window), keys })
}

/// Where GROUP BY names a window and nothing else, the plain columns among the results are the entity.
fn entity_keys(items: &[Item], event_time: &str, report: &mut Report<'_>) -> Vec<(Expr, Location)> {
    let mut keys: Vec<(Expr, Location)> = Vec::new();
    for item in items.iter().filter(|item| is_column(&item.expression)) {
        let is_time = matches!(&item.expression, Expr::Identifier(name) if name.value == event_time);
        if is_time || keys.iter().any(|(known, _)| *known == item.expression) {
            continue;
        }
        let name = written(&item.expression);
        report.notice(
            item.at,
            format!("`{name}` is not in GROUP BY; results are grouped by it, as the entity's key"),
        );
        keys.push((item.expression.clone(), item.at));
    }
    keys
}

/// Projects the key's columns and names them: by the column, or as the result column of the same expression.
pub(crate) fn project_keys(
    keys: Vec<(Expr, Location)>,
    items: &[Item],
    rows: &mut Rows<'_>,
    report: &mut Report<'_>,
) -> Vec<Key> {
    let mut projected = Vec::new();
    for (index, (expression, at)) in keys.into_iter().enumerate() {
        let Some(column) = report.take(rows.project(expression.clone(), at)) else { continue };
        let bound = &rows.projected[column];
        if !is_key_type(&bound.data_type) {
            let message = format!(
                "a column of type {} cannot be a key; group by a string, whole number, double, boolean or timestamp",
                crate::expressions::type_name(&bound.data_type)
            );
            report.refuse(Refusal::new(at, message));
            continue;
        }
        let selected = items.iter().find(|item| item.expression == expression);
        let name = match (bound.column(), selected) {
            // A plain column is called as what it is read from calls it: a query inside FROM may rename it.
            (Some(_), Some(item)) if !item.is_named && !item.name.starts_with("EXPR$") => item.name.clone(),
            (Some(column), _) => column.to_owned(),
            (None, Some(item)) => item.name.clone(),
            (None, None) => {
                let (name, of) = (format!("key_{index}"), written(&expression));
                let message = format!(
                    "`{of}` is a part of the key and is not in SELECT, so lookups call it `{name}`; write {of} AS a name of \
                     yours in SELECT"
                );
                report.notice(at, message);
                name
            }
        };
        projected.push(Key { expression, column, name });
    }
    projected
}
