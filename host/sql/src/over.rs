//! The windows of `OVER (..)`: whose rows, how far back.
//!
//! Knows PARTITION BY, ORDER BY, RANGE and named windows. Must not know aggregates or result columns.

use crate::report::Refusal;
use crate::windows::interval;
use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Spanned, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType,
};
use sqlparser::tokenizer::Location;
use weir_event::Span;
use weir_timeline::OverFrame;

/// A window of `OVER`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OverWindow {
    pub(crate) partition_by: Vec<Expr>,
    pub(crate) frame: OverFrame,
}

/// The most named windows that may stand on one another; more is a circle.
const NAMED_LIMIT: usize = 16;

/// Reads a window; `at` is the place of the call that it belongs to.
pub(crate) fn over_window(
    window: &WindowType,
    named: &[NamedWindowDefinition],
    event_time: &str,
    at: Location,
) -> Result<OverWindow, Refusal> {
    let spec = match window {
        WindowType::WindowSpec(spec) => inherit(spec.clone(), named, at, 0)?,
        WindowType::NamedWindow(name) => named_window(name, named, at, 0)?,
    };
    ordered_by_time(&spec, event_time, at)?;
    let frame = spec.window_frame.as_ref().map_or(Ok(OverFrame::range(None)), |frame| range(frame, at))?;
    Ok(OverWindow { partition_by: spec.partition_by, frame })
}

fn named_window(
    name: &Ident,
    named: &[NamedWindowDefinition],
    at: Location,
    depth: usize,
) -> Result<WindowSpec, Refusal> {
    let found = named.iter().find(|NamedWindowDefinition(known, _)| known.value == name.value);
    let Some(NamedWindowDefinition(_, definition)) = found.filter(|_| depth < NAMED_LIMIT) else {
        let message =
            format!("there is no window `{}`; define it with WINDOW {} AS (..)", name.value, name.value);
        return Err(Refusal::new(if name.span.start.line == 0 { at } else { name.span.start }, message));
    };
    match definition {
        NamedWindowExpr::NamedWindow(other) => named_window(other, named, at, depth + 1),
        NamedWindowExpr::WindowSpec(spec) => inherit(spec.clone(), named, at, depth + 1),
    }
}

/// `OVER (w RANGE ..)` takes from `w` what it does not say itself.
fn inherit(
    mut spec: WindowSpec,
    named: &[NamedWindowDefinition],
    at: Location,
    depth: usize,
) -> Result<WindowSpec, Refusal> {
    let Some(name) = spec.window_name.take() else {
        return Ok(spec);
    };
    let base = named_window(&name, named, at, depth)?;
    if spec.partition_by.is_empty() {
        spec.partition_by = base.partition_by;
    }
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by;
    }
    spec.window_frame = spec.window_frame.or(base.window_frame);
    Ok(spec)
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

fn range(frame: &WindowFrame, at: Location) -> Result<OverFrame, Refusal> {
    let message = match frame.units {
        WindowFrameUnits::Range => None,
        WindowFrameUnits::Rows => Some(
            "ROWS frames are known but not available yet; write RANGE INTERVAL '90' DAY PRECEDING, and TOP(n, x) \
             for the last n values",
        ),
        WindowFrameUnits::Groups => {
            Some("GROUPS frames are not available; write RANGE INTERVAL '90' DAY PRECEDING")
        }
    };
    if let Some(message) = message {
        return Err(Refusal::new(at, message));
    }
    if !matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow)) {
        let message = "a frame ends at the row itself: what follows is not known yet; write RANGE BETWEEN INTERVAL \
                       '90' DAY PRECEDING AND CURRENT ROW";
        return Err(Refusal::new(at, message));
    }
    let preceding = match &frame.start_bound {
        WindowFrameBound::CurrentRow => Some(Span::ZERO),
        WindowFrameBound::Preceding(None) => None,
        WindowFrameBound::Preceding(Some(length)) => Some(interval(length, at)?),
        WindowFrameBound::Following(_) => {
            return Err(Refusal::new(at, "a frame begins before the row; write INTERVAL '90' DAY PRECEDING"));
        }
    };
    if let Some(length) = preceding.filter(|length| length.millis() < 0) {
        return Err(Refusal::new(
            at,
            format!("a frame of {length} ends before it begins; write a positive interval"),
        ));
    }
    Ok(OverFrame::range(preceding))
}
