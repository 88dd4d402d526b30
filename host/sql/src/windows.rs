//! Intervals, and the windows of GROUP BY: TUMBLE and HOP.
//!
//! Knows how their arguments are read and put in order. Must not know keys, aggregates or result columns.

use crate::parse::single_name;
use crate::report::Refusal;
use sqlparser::ast::{
    DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Interval, Spanned,
    UnaryOperator, Value,
};
use sqlparser::tokenizer::Location;
use weir_event::Span;
use weir_timeline::Grid;

/// The most panes that one window may be made of: beyond, a key's state alone is megabytes.
const PANES_LIMIT: i64 = 100_000;

/// Which window function groups rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowKind {
    Tumble,
    Hop,
}

impl WindowKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            WindowKind::Tumble => "TUMBLE",
            WindowKind::Hop => "HOP",
        }
    }
}

/// What a window function in an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowBound {
    Start,
    End,
    /// The last millisecond of the window, which a later window can be made over.
    Rowtime,
}

/// A call of a window function, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowCall {
    /// The window itself, in GROUP BY.
    Window(WindowKind),
    /// One of its bounds.
    Bound(WindowKind, WindowBound),
    /// A window that weir knows and cannot run yet, or never will.
    Refused(&'static str),
}

/// The window function of a call, if it is one.
pub(crate) fn window_call(name: &str) -> Option<WindowCall> {
    use WindowCall::{Bound, Refused, Window};
    Some(match name {
        "tumble" => Window(WindowKind::Tumble),
        "tumble_start" => Bound(WindowKind::Tumble, WindowBound::Start),
        "tumble_end" => Bound(WindowKind::Tumble, WindowBound::End),
        "tumble_rowtime" => Bound(WindowKind::Tumble, WindowBound::Rowtime),
        "hop" => Window(WindowKind::Hop),
        "hop_start" => Bound(WindowKind::Hop, WindowBound::Start),
        "hop_end" => Bound(WindowKind::Hop, WindowBound::End),
        "hop_rowtime" => Bound(WindowKind::Hop, WindowBound::Rowtime),
        "session" | "session_start" | "session_end" | "session_rowtime" => Refused(
            "SESSION windows are known but not available yet; write TUMBLE, HOP, or OVER with RANGE for what \
             happened just before each event",
        ),
        "cumulate" | "cumulate_start" | "cumulate_end" | "cumulate_rowtime" => Refused(
            "CUMULATE windows are known but not available yet; write HOP with a short slide, or TUMBLE",
        ),
        "tumble_proctime" | "hop_proctime" | "session_proctime" => Refused(
            "results never depend on the time of day; write TUMBLE_ROWTIME or HOP_ROWTIME for the window's event time",
        ),
        _ => return None,
    })
}

/// Whether a name is a window function's.
pub(crate) fn is_window_function(name: &str) -> bool {
    window_call(name).is_some()
}

/// The windows of a query's GROUP BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupWindow {
    pub(crate) kind: WindowKind,
    pub(crate) grid: Grid,
    /// Whether HOP's arguments stood in another order than Flink's (slide, size).
    pub(crate) is_reversed: bool,
}

impl GroupWindow {
    /// The window as Flink writes it.
    pub(crate) fn describe(&self) -> String {
        let Grid { size, slide, offset } = self.grid;
        let offset = if offset == Span::ZERO { String::new() } else { format!(", offset {offset}") };
        match self.kind {
            WindowKind::Tumble => format!("TUMBLE of {size}{offset}"),
            WindowKind::Hop => format!("HOP of size {size} and slide {slide}{offset}"),
        }
    }
}

/// Reads the arguments of a window function: the time column, one or two lengths, perhaps an offset.
pub(crate) fn group_window(
    kind: WindowKind,
    function: &Function,
    event_time: &str,
) -> Result<GroupWindow, Refusal> {
    let at = function.name.span().start;
    let name = single_name(&function.name).unwrap_or_default().to_uppercase();
    let usage = match kind {
        WindowKind::Tumble => format!("{name}({event_time}, INTERVAL '1' HOUR)"),
        WindowKind::Hop => {
            format!("{name}({event_time}, INTERVAL '1' HOUR, INTERVAL '1' DAY), slide and size")
        }
    };
    let arguments = arguments(function)?;
    let lengths = match kind {
        WindowKind::Tumble => 1,
        WindowKind::Hop => 2,
    };
    let [time, intervals @ ..] = arguments.as_slice() else {
        return Err(Refusal::new(at, format!("{name} takes a time column and lengths; write {usage}")));
    };
    if intervals.len() != lengths && intervals.len() != lengths + 1 {
        return Err(Refusal::new(at, format!("{name} has {} arguments; write {usage}", arguments.len())));
    }
    if !matches!(time, Expr::Identifier(column) if column.value == event_time) {
        let message =
            format!("{name} must be over the event time `{event_time}` (or its alias rowtime), not {time}");
        return Err(Refusal::new(time.span().start, message));
    }
    let spans =
        intervals.iter().map(|interval| self::interval(interval, at)).collect::<Result<Vec<_>, _>>()?;
    if let Some(wrong) = spans[..lengths].iter().find(|span| span.millis() <= 0) {
        return Err(Refusal::new(
            at,
            format!("{name} has a length of {wrong}; a window's lengths are positive"),
        ));
    }
    let (slide, size) = match kind {
        WindowKind::Tumble => (spans[0], spans[0]),
        WindowKind::Hop => (spans[0].min(spans[1]), spans[0].max(spans[1])),
    };
    let offset = spans.get(lengths).map_or(0, |offset| offset.millis().rem_euclid(slide.millis()));
    let grid = Grid { size, slide, offset: Span::from_millis(offset) };
    let panes = size.millis() / grid.pane().millis();
    if panes > PANES_LIMIT {
        let message = format!(
            "a window of {size} with a slide of {slide} is made of {panes} panes of {}, the limit is {PANES_LIMIT}; \
             write a longer slide that divides the size",
            grid.pane()
        );
        return Err(Refusal::new(at, message));
    }
    Ok(GroupWindow { kind, grid, is_reversed: kind == WindowKind::Hop && spans[0] > spans[1] })
}

/// The plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Result<Vec<&Expr>, Refusal> {
    let FunctionArguments::List(list) = &function.args else {
        return Ok(Vec::new());
    };
    let plain = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {
            Err(Refusal::new(function.name.span().start, "`*` stands only in COUNT(*)"))
        }
        _ => Err(Refusal::new(
            function.name.span().start,
            "named arguments are not available; write them in order",
        )),
    });
    plain.collect()
}

/// Reads an INTERVAL of a fixed length; it stands at or after `at`.
pub(crate) fn interval(expression: &Expr, at: Location) -> Result<Span, Refusal> {
    let place = expression.span().start;
    let at = if place.line == 0 { at } else { place };
    let Expr::Interval(interval) = expression else {
        let message = format!("`{expression}` is not a length of time; write it as INTERVAL '90' DAY");
        return Err(Refusal::new(at, message));
    };
    if interval.last_field.is_some() {
        let message = "intervals of two units are not available; write one number and one unit, such as INTERVAL '90' \
                       MINUTE";
        return Err(Refusal::new(at, message));
    }
    let (number, unit_millis) = (number(interval, at)?, unit(interval.leading_field.as_ref(), at)?);
    millis(&number, unit_millis).map(Span::from_millis).ok_or_else(|| {
        let message = format!(
            "INTERVAL '{number}' is not a whole number of milliseconds in range; write INTERVAL '90' DAY"
        );
        Refusal::new(at, message)
    })
}

fn number(interval: &Interval, at: Location) -> Result<String, Refusal> {
    let (sign, value) = match &*interval.value {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", &**expr),
        value => ("", value),
    };
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => Ok(format!("{sign}{}", text.trim())),
            _ => Err(Refusal::new(at, "an interval is one number and one unit, such as INTERVAL '90' DAY")),
        },
        _ => Err(Refusal::new(at, "an interval is a constant, such as INTERVAL '90' DAY")),
    }
}

fn unit(field: Option<&DateTimeField>, at: Location) -> Result<i64, Refusal> {
    use DateTimeField as F;
    match field {
        Some(F::Week(_) | F::Weeks) => Ok(7 * 86_400_000),
        Some(F::Day | F::Days) => Ok(86_400_000),
        Some(F::Hour | F::Hours) => Ok(3_600_000),
        Some(F::Minute | F::Minutes) => Ok(60_000),
        Some(F::Second | F::Seconds) => Ok(1_000),
        Some(F::Millisecond | F::Milliseconds) => Ok(1),
        Some(F::Month | F::Months | F::Year | F::Years | F::Quarter) => Err(Refusal::new(
            at,
            "months and years have no fixed length; write days, such as INTERVAL '30' DAY",
        )),
        Some(other) => {
            let message = format!(
                "an interval in units of {other} is not available; write DAY, HOUR, MINUTE or SECOND"
            );
            Err(Refusal::new(at, message))
        }
        None => {
            Err(Refusal::new(at, "the interval has no unit; write it after the quotes, as INTERVAL '90' DAY"))
        }
    }
}

/// A decimal number of units in whole milliseconds; `None` if there is a remainder or it is out of range.
fn millis(number: &str, unit_millis: i64) -> Option<i64> {
    let (sign, digits) = number.strip_prefix('-').map_or((1, number), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit_millis)?;
    let scale = 10_i128.pow(fraction.len() as u32);
    let parts = fraction.parse::<i128>().unwrap_or(0) * i128::from(unit_millis);
    if parts % scale != 0 {
        return None;
    }
    whole.checked_add((parts / scale) as i64)?.checked_mul(sign)
}
