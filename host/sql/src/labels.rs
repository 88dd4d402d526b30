//! Labels: frames that look ahead, for training only.
//!
//! What follows a row is not known when its result is due. It is known later: a label over the time from a moment on is
//! what a frame of the same length that ends at the row says when it is asked at the end of that time. So a query that
//! looks ahead is planned with such frames, and its plan says how much later to ask. Knows what cannot be asked so. Must not
//! know who asks.

use crate::report::{Refusal, Report};
use crate::stage::StageWindows;
use crate::windows::interval;
use sqlparser::ast::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use sqlparser::tokenizer::Location;
use weir_event::Span;
use weir_plan::{Diagnostic, JobDefinition};
use weir_timeline::Exclude;

/// How far a frame looks ahead, if it is one that can.
pub(crate) fn ahead(frame: &WindowFrame, exclude: Exclude, at: Location) -> Result<Option<Span>, Refusal> {
    let (
        WindowFrameUnits::Range,
        WindowFrameBound::CurrentRow,
        Some(WindowFrameBound::Following(Some(length))),
    ) = (frame.units, &frame.start_bound, &frame.end_bound)
    else {
        return Ok(None);
    };
    let span = interval(length, at)?;
    if span <= Span::ZERO {
        let message =
            format!("a frame that ends {span} after the row looks nowhere; write a positive interval");
        return Err(Refusal::new(at, message));
    }
    if exclude != Exclude::None {
        let message = "EXCLUDE leaves out rows beside the one that a result is of, and a label has no such row: it is asked for \
                       moments; leave EXCLUDE out";
        return Err(Refusal::new(at, message));
    }
    Ok(Some(span))
}

/// Any other frame that ends, or begins, after the row.
pub(crate) fn following(at: Location) -> Refusal {
    let message = "a frame with FOLLOWING is available as RANGE BETWEEN CURRENT ROW AND INTERVAL '7' DAY FOLLOWING alone, for \
                   labels that `weir train` asks for: what follows a row is not known when its result is due; write that, or a \
                   frame that ends at the row, such as RANGE BETWEEN INTERVAL '90' DAY PRECEDING AND CURRENT ROW";
    Refusal::new(at, message)
}

/// A frame that looks ahead, beside one that does not or looks elsewhere: one question cannot be asked at two times, as what
/// was known then differs.
pub(crate) fn mixed(at: Location) -> Refusal {
    let message = "the OVER windows of one query all look equally far ahead (FOLLOWING), or none does; write two jobs, and name \
                   both in `weir train --features`";
    Refusal::new(at, message)
}

/// A feature that repeats something of the row.
pub(crate) fn of_row(at: Location) -> Refusal {
    let message = "a label is of the time after a moment (FOLLOWING), at which there need not be a row, so a feature cannot read \
                   the row's own columns; leave them out, or write LAST_VALUE(..) in a job whose frames end at the row";
    Refusal::new(at, message)
}

/// What frames that look ahead are as canonical text.
pub(crate) fn canonical(ahead: Span) -> String {
    format!("following {}", ahead.millis())
}

/// Refuses what a job for training only cannot have.
pub(crate) fn check(job: &JobDefinition, windows: &StageWindows, report: &mut Report<'_>) {
    if windows.ahead().is_none() {
        return;
    }
    if job.tail.is_some() {
        let message = "`tail`: a frame begins up to a step too early with it, and a label (FOLLOWING) would have rows from \
                       before its moment; leave `tail` out";
        report.add(Diagnostic::error(&*job.file, 1, 1, message));
    }
    if !job.sinks.is_empty() {
        let message = "`sinks`: the query looks ahead (FOLLOWING), so the job is for training only, and writes no row anywhere; \
                       leave `sinks` out, and ask for its features by `weir train`";
        report.add(Diagnostic::error(&*job.file, 1, 1, message));
    }
}
