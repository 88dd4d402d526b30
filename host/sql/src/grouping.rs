//! What a query's rows are grouped by: the window and key of GROUP BY, or of OVER, or nothing.
//!
//! Knows which clauses go together. Must not know result columns beyond what stands in them.

use crate::aggregates::Aggregates;
use crate::over::over_window;
use crate::parse::{Item, Parsed};
use crate::report::{Refusal, Report};
use crate::results::is_column;
use crate::stage::{Key, Rows, StageWindows, calls, first_call, place, written};
use crate::windows::{WindowCall, group_window, window_call};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Location;
use weir_event::key::is_key_type;

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
    report: &mut Report<'_>,
) -> Option<Grouping> {
    if let Some(filter) = &parsed.filter
        && let Some(call) = first_call(filter, aggregates)
    {
        let message = format!(
            "{} cannot stand in WHERE, which sees one row at a time; write HAVING, or FILTER (WHERE ..) behind an \
             aggregate",
            call.name
        );
        report.refuse(Refusal::new(call.at, message));
    }
    let found: Vec<_> = parsed.items.iter().flat_map(|item| calls(&item.expression, aggregates)).collect();
    let over = found.iter().find(|call| call.over.is_some());
    if let Some(over) = over {
        if let Some(first) = parsed.group_by.first() {
            let message = "GROUP BY and OVER cannot stand in one query; write two jobs";
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
    if parsed.group_by.is_empty() {
        if let Some(call) = found.first() {
            report.refuse(Refusal::new(call.at, without_window(&call.name, call.is_window)));
        } else if let Some(having) = &parsed.having {
            let message = "HAVING filters the windows of GROUP BY, and there are none; write WHERE";
            report.refuse(Refusal::new(place(having, crate::report::START), message));
        }
        return None;
    }
    by_group(parsed, aggregates, event_time, report)
}

fn without_window(name: &str, is_window: bool) -> String {
    if is_window {
        return format!(
            "{name} stands in a query without a window in GROUP BY; add GROUP BY with the window"
        );
    }
    format!(
        "{name} has no window: over a whole stream it would never be final; add GROUP BY TUMBLE(rowtime, INTERVAL '1' \
         HOUR), or {name}(..) OVER (PARTITION BY .. ORDER BY rowtime RANGE INTERVAL '30' DAY PRECEDING)"
    )
}

fn by_over(
    parsed: &Parsed,
    aggregates: &Aggregates<'_>,
    event_time: &str,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    let mut keys: Option<Vec<Expr>> = None;
    for call in parsed.items.iter().flat_map(|item| calls(&item.expression, aggregates)) {
        let Some(over) = &call.over else { continue };
        let Some(window) = report.take(over_window(over, &parsed.windows, event_time, call.at)) else {
            continue;
        };
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
    let keys = keys?.into_iter().map(|key| (key.clone(), place(&key, crate::report::START))).collect();
    Some(Grouping { windows: StageWindows::Over(Vec::new()), keys })
}

fn by_group(
    parsed: &Parsed,
    aggregates: &Aggregates<'_>,
    event_time: &str,
    report: &mut Report<'_>,
) -> Option<Grouping> {
    let (mut window, mut keys) = (None, Vec::new());
    for expression in &parsed.group_by {
        let at = place(expression, crate::report::START);
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
        } else if let Some(call) = first_call(expression, aggregates) {
            let message =
                format!("{} cannot stand inside a GROUP BY column; write the window by itself", call.name);
            report.refuse(Refusal::new(call.at, message));
        } else if !keys.iter().any(|(known, _)| known == expression) {
            keys.push((expression.clone(), at));
        }
    }
    let Some((window, at)) = window else {
        let at =
            parsed.group_by.first().map_or(crate::report::START, |first| place(first, crate::report::START));
        let message = "GROUP BY has no window: over a whole stream it would never be final; add TUMBLE(rowtime, \
                       INTERVAL '1' HOUR) or HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)";
        report.refuse(Refusal::new(at, message));
        return None;
    };
    let window = window?;
    if window.is_reversed {
        let message = format!(
            "HOP takes the slide first, then the size; it was read as {}, the longer as the size",
            window.describe()
        );
        report.notice(at, message);
    }
    if keys.is_empty() {
        keys = entity_keys(&parsed.items, event_time, report);
    }
    Some(Grouping { windows: StageWindows::Grid(window), keys })
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
            (Some(column), _) => column.to_owned(),
            (None, Some(item)) => item.name.clone(),
            (None, None) => format!("key_{index}"),
        };
        projected.push(Key { expression, column, name });
    }
    projected
}
