//! `SERIES(SUM(x))`: the value of an aggregate in each step of a HOP window, as a list, the oldest first.
//!
//! Knows which windows have steps. Must not know how aggregates are bound.

use crate::aggregates::Aggregates;
use crate::report::Refusal;
use crate::stage::StageWindows;
use crate::syntax::{arguments, single_name};
use crate::windows::{Shape, WindowKind};
use sqlparser::ast::{Expr, Function, Spanned};
use std::sync::Arc;
use weir_event::Span;
use weir_timeline::{Aggregate, series};

/// Its name in lower case.
pub(crate) const SERIES: &str = "series";

/// More values than this in one list are refused.
const MAX_STEPS: i64 = 10_000;

const USAGE: &str = "write SERIES(SUM(x)) in a query grouped by HOP(rowtime, INTERVAL '7' DAY, INTERVAL '84' DAY) for \
                     the sums of the last 12 weeks";

/// The steps that a series has a value for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    length: Span,
    offset: Span,
    count: u32,
}

impl Steps {
    /// The aggregate's value in each step.
    pub(crate) fn of(self, inner: Arc<dyn Aggregate>) -> Arc<dyn Aggregate> {
        series(inner, self.length, self.offset, self.count).expect("steps are counted and have a length")
    }
}

/// The aggregate that a call of SERIES is of, and the steps of its window.
pub(crate) fn read<'f>(
    function: &'f Function,
    windows: &StageWindows,
    aggregates: &Aggregates<'_>,
) -> Result<(String, &'f Function, Steps), Refusal> {
    let at = function.name.span().start;
    let refuse = |message: String| Err(Refusal::new(at, message));
    if function.filter.is_some() {
        return refuse("FILTER goes behind the aggregate inside SERIES".to_owned());
    }
    let given = arguments(function)?;
    let (Some(Expr::Function(inner)), 1) = (given.first().copied(), given.len()) else {
        return refuse(format!("SERIES takes one aggregate; {USAGE}"));
    };
    let name = single_name(&inner.name).map(|name| name.to_lowercase());
    let Some(name) = name.filter(|name| name != SERIES && aggregates.is_aggregate(name)) else {
        return refuse(format!("SERIES takes one aggregate, and `{inner}` is not one; {USAGE}"));
    };
    let StageWindows::Group(window) = windows else {
        return refuse(format!("SERIES is of the steps of a HOP window; {USAGE}"));
    };
    let Shape::Grid(grid) = &window.shape else {
        return refuse(format!(
            "SERIES is of the steps of a HOP window, not of {}; {USAGE}",
            window.kind.name()
        ));
    };
    let count = grid.size.millis() / grid.slide.millis();
    if window.kind != WindowKind::Hop || count * grid.slide.millis() != grid.size.millis() {
        return refuse(format!("SERIES needs a HOP window whose size is a multiple of its slide; {USAGE}"));
    }
    match u32::try_from(count) {
        Ok(steps) if count <= MAX_STEPS => {
            Ok((name, inner, Steps { length: grid.slide, offset: grid.offset, count: steps }))
        }
        _ => {
            refuse(format!("SERIES would have {count} values, more than {MAX_STEPS}; make the slide longer"))
        }
    }
}
