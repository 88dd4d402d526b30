//! The windows of `OVER (..)`: whose rows, how far back.
//!
//! Knows PARTITION BY, ORDER BY, RANGE, ROWS, EXCLUDE and named windows. Must not know aggregates or result columns.

use crate::labels;
use crate::report::Refusal;
use crate::tokens::Exclusion;
use crate::windows::interval;
use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Spanned, Value, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType,
};
use sqlparser::tokenizer::Location;
use weir_event::Span;
use weir_timeline::{Bounds, Exclude, OverFrame};

/// What a query says of windows outside of the calls that use them.
#[derive(Debug, Clone, Default)]
pub(crate) struct WindowClauses {
    /// WINDOW w AS (..).
    pub(crate) named: Vec<NamedWindowDefinition>,
    /// EXCLUDE, by the brackets that it stood in.
    pub(crate) exclusions: Vec<Exclusion>,
}

/// A window of `OVER`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OverWindow {
    pub(crate) partition_by: Vec<Expr>,
    pub(crate) frame: OverFrame,
    /// How far behind the row it is asked for; the frame ends there.
    pub(crate) ahead: Option<Span>,
}

/// The most named windows that may stand on one another; more is a circle.
const NAMED_LIMIT: usize = 16;

/// Reads a window; `at` is the place of the call that it belongs to.
pub(crate) fn over_window(
    window: &WindowType,
    clauses: &WindowClauses,
    event_time: &str,
    at: Location,
) -> Result<OverWindow, Refusal> {
    let (spec, exclude) = match window {
        WindowType::WindowSpec(spec) => clauses.inherit(spec, at, 0)?,
        WindowType::NamedWindow(name) => clauses.named_window(name, at, 0)?,
    };
    ordered_by_time(&spec, event_time, at)?;
    let ahead = spec.window_frame.as_ref().map_or(Ok(None), |frame| labels::ahead(frame, exclude, at))?;
    let frame = match (&spec.window_frame, ahead) {
        (Some(frame), None) => read(frame, at)?,
        (_, ahead) => OverFrame::range(ahead),
    };
    Ok(OverWindow { partition_by: spec.partition_by, frame: OverFrame { exclude, ..frame }, ahead })
}

impl WindowClauses {
    fn named_window(
        &self,
        name: &Ident,
        at: Location,
        depth: usize,
    ) -> Result<(WindowSpec, Exclude), Refusal> {
        let found = self.named.iter().find(|NamedWindowDefinition(known, _)| known.value == name.value);
        let Some(NamedWindowDefinition(_, definition)) = found.filter(|_| depth < NAMED_LIMIT) else {
            let message =
                format!("window `{}` not found; define it with WINDOW {} AS (..)", name.value, name.value);
            return Err(Refusal::new(if name.span.start.line == 0 { at } else { name.span.start }, message));
        };
        match definition {
            NamedWindowExpr::NamedWindow(other) => self.named_window(other, at, depth + 1),
            NamedWindowExpr::WindowSpec(spec) => self.inherit(spec, at, depth + 1),
        }
    }

    /// `OVER (w RANGE ..)` takes from `w` what it does not say itself.
    fn inherit(
        &self,
        spec: &WindowSpec,
        at: Location,
        depth: usize,
    ) -> Result<(WindowSpec, Exclude), Refusal> {
        let (mut spec, own) = (spec.clone(), self.exclude(spec));
        let Some(name) = spec.window_name.take() else {
            return Ok((spec, own));
        };
        let (base, inherited) = self.named_window(&name, at, depth)?;
        let exclude = if spec.window_frame.is_some() { own } else { inherited };
        if spec.partition_by.is_empty() {
            spec.partition_by = base.partition_by;
        }
        if spec.order_by.is_empty() {
            spec.order_by = base.order_by;
        }
        spec.window_frame = spec.window_frame.or(base.window_frame);
        Ok((spec, exclude))
    }

    /// What a window's frame excludes. A window keeps no place of its own: it is found by the first of its parts that
    /// has one, and a window without any is refused as one without an order.
    fn exclude(&self, spec: &WindowSpec) -> Exclude {
        let name = spec.window_name.iter().map(|name| name.span.start);
        let keys = spec.partition_by.iter().map(|key| key.span().start);
        let orders = spec.order_by.iter().map(|order| order.expr.span().start);
        let Some(place) = name.chain(orders).chain(keys).find(|place| place.line > 0) else {
            return Exclude::None;
        };
        let around = self.exclusions.iter().filter(|it| it.open < place && place < it.close);
        around.max_by_key(|it| it.open).map_or(Exclude::None, |it| it.exclude)
    }
}

fn ordered_by_time(spec: &WindowSpec, event_time: &str, at: Location) -> Result<(), Refusal> {
    let [order] = spec.order_by.as_slice() else {
        let message = match spec.order_by.get(1) {
            Some(second) => {
                return Err(Refusal::new(
                    second.expr.span().start,
                    format!(
                        "OVER is ordered by the event time `{event_time}` alone; leave the second column out"
                    ),
                ));
            }
            None => format!("OVER has no order; add ORDER BY {event_time}"),
        };
        return Err(Refusal::new(at, message));
    };
    let place = order.expr.span().start;
    if !matches!(&order.expr, Expr::Identifier(column) if column.value == event_time) {
        let message = format!("OVER must be ordered by the event time `{event_time}` (or its alias rowtime)");
        return Err(Refusal::new(place, message));
    }
    if order.options.asc == Some(false) {
        let message = format!(
            "OVER runs forward in time, DESC is not available; write ORDER BY {event_time} (TOP(n, x, 'desc') gives \
             the newest first)"
        );
        return Err(Refusal::new(place, message));
    }
    Ok(())
}

/// A frame without what it excludes.
fn read(frame: &WindowFrame, at: Location) -> Result<OverFrame, Refusal> {
    let bounds = match frame.units {
        WindowFrameUnits::Range => {
            let (preceding, until) = both(frame, Span::ZERO, at, |length| {
                let span = interval(length, at)?;
                if span.millis() >= 0 {
                    return Ok(span);
                }
                let message =
                    format!("a frame's bound of {span} is after the row; write a positive interval");
                Err(Refusal::new(at, message))
            })?;
            Bounds::Range { preceding, until }
        }
        WindowFrameUnits::Rows => {
            let (preceding, until) = both(frame, 0, at, |count| rows(count, at))?;
            Bounds::Rows { preceding, until }
        }
        WindowFrameUnits::Groups => {
            let message = "GROUPS frames are not available; write RANGE INTERVAL '90' DAY PRECEDING for a length of \
                           time, or ROWS 9 PRECEDING for a number of rows";
            return Err(Refusal::new(at, message));
        }
    };
    Ok(OverFrame { bounds, exclude: Exclude::None })
}

/// The bounds of a frame: how far before the row it begins, if that has a limit, and ends.
fn both<T: PartialOrd + Copy>(
    frame: &WindowFrame,
    row_itself: T,
    at: Location,
    length: impl Fn(&Expr) -> Result<T, Refusal>,
) -> Result<(Option<T>, T), Refusal> {
    let preceding = match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(row_itself),
        WindowFrameBound::Preceding(None) => None,
        WindowFrameBound::Preceding(Some(bound)) => Some(length(bound)?),
        WindowFrameBound::Following(_) => return Err(labels::following(at)),
    };
    let until = match &frame.end_bound {
        None | Some(WindowFrameBound::CurrentRow) => row_itself,
        Some(WindowFrameBound::Preceding(Some(bound))) => length(bound)?,
        Some(WindowFrameBound::Preceding(None)) => {
            let message = "a frame that ends at UNBOUNDED PRECEDING holds no row; write BETWEEN UNBOUNDED PRECEDING AND \
                           CURRENT ROW";
            return Err(Refusal::new(at, message));
        }
        Some(WindowFrameBound::Following(_)) => return Err(labels::following(at)),
    };
    if preceding.is_some_and(|preceding| preceding < until) {
        let message = "the frame ends before it begins; write the bound that is farther back first, as in BETWEEN \
                       INTERVAL '7' DAY PRECEDING AND INTERVAL '1' DAY PRECEDING";
        return Err(Refusal::new(at, message));
    }
    Ok((preceding, until))
}

/// A number of rows.
fn rows(count: &Expr, at: Location) -> Result<u64, Refusal> {
    let place = count.span().start;
    let at = if place.line == 0 { at } else { place };
    if let Expr::Value(value) = count
        && let Value::Number(digits, _) = &value.value
        && let Ok(count) = digits.parse()
    {
        return Ok(count);
    }
    let message = match count {
        Expr::Interval(_) => {
            format!("ROWS counts rows, {count} is a length of time; write RANGE {count} PRECEDING")
        }
        count => format!("ROWS counts rows, `{count}` is not a whole number; write ROWS 5 PRECEDING"),
    };
    Err(Refusal::new(at, message))
}

/// A frame as canonical text.
pub(crate) fn canonical(frame: &OverFrame) -> String {
    fn bounded(kind: &str, preceding: Option<impl ToString>, until: Option<impl ToString>) -> String {
        let preceding = preceding.map_or_else(|| "unbounded".to_owned(), |it| it.to_string());
        let until = until.map(|until| format!(" until {}", until.to_string())).unwrap_or_default();
        format!("{kind} {preceding}{until}")
    }
    let bounds = match frame.bounds {
        Bounds::Range { preceding, until } => {
            let until = (until != Span::ZERO).then_some(until.millis());
            bounded("range", preceding.map(Span::millis), until)
        }
        Bounds::Rows { preceding, until } => bounded("rows", preceding, (until != 0).then_some(until)),
    };
    let excluded = match frame.exclude {
        Exclude::None => "",
        Exclude::CurrentRow => " without current row",
        Exclude::Ties => " without ties",
    };
    format!("{bounds}{excluded}")
}
