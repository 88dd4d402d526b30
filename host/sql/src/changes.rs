//! Queries over tables whose rows change: rows that were updated or deleted take back what they were before, and only what
//! can do without a row that has counted may be asked for.
//!
//! Knows which queries those are, and what to write in place of others. Must not know how an aggregate takes a row back.

use crate::aggregates::Call;
use crate::last_join::column;
use crate::relation::{Branch, Relation};
use crate::report::{Refusal, Report};
use crate::stage::StageWindows;
use crate::windows::{GroupWindow, Shape};
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Location;
use std::sync::Arc;
use weir_event::schema::TAKEN_BACK;
use weir_timeline::{Aggregate, taking_back};

/// What every refusal ends with.
fn instead(stream: &str) -> String {
    format!(
        "write `deletes: ignore` in the format of `{stream}`, with which every version of a row counts and deletes are \
         dead letters"
    )
}

/// The table whose rows change, as its aggregates see it.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    /// What messages call it.
    stream: String,
    /// Whether a row takes another back.
    pub(crate) taken_back: Expr,
}

impl Changed {
    /// Of the rows that a query reads, if any of them take others back.
    pub(crate) fn of(relation: &Relation) -> Option<Changed> {
        let branch = relation.changed()?;
        Some(Changed { stream: branch.stream.name.clone(), taken_back: column(TAKEN_BACK, branch.at) })
    }

    /// The aggregate over the rows that are left.
    pub(crate) fn aggregate(
        &self,
        call: &Call,
        function: Arc<dyn Aggregate>,
    ) -> Result<Arc<dyn Aggregate>, Refusal> {
        taking_back(function).ok_or_else(|| {
            let message = format!(
                "{}{} cannot take back rows that are updated or deleted; COUNT, SUM, AVG, VARIANCE, STDDEV, CORR and others \
                 that add up can: use those, or {}",
                call.name.to_uppercase(),
                if call.distinct { "(DISTINCT ..)" } else { "" },
                instead(&self.stream)
            );
            Refusal::new(call.at, message)
        })
    }
}

/// Refuses what gives a result for each row as it comes, which the row's end could not take back, and what keeps rows.
pub(crate) fn check_changes(
    relation: &Relation,
    windows: Option<&StageWindows>,
    report: &mut Report<'_>,
) -> Option<()> {
    let Some(Branch { stream, at, .. }) = relation.changed() else { return Some(()) };
    let what = match windows {
        None => "a query that computes each row alone",
        Some(StageWindows::Over { .. }) => "OVER, which gives a result for each row,",
        Some(StageWindows::Group(GroupWindow { shape: Shape::Session(_), .. })) => "SESSION",
        // A key's rows are kept one by one, and are not told apart from those that take them back.
        Some(StageWindows::Process(_)) => "keyed logic",
        Some(StageWindows::Lifetime) => "a query without a window",
        Some(StageWindows::Group(_)) => return Some(()),
    };
    refuse(what, &stream.name, *at, report)
}

/// Refuses tables whose rows change as sides of a join.
pub(crate) fn refuse_changes<'b>(
    mut sides: impl Iterator<Item = &'b Branch>,
    report: &mut Report<'_>,
) -> Option<()> {
    match sides.find(|branch| branch.stream.schema.taken_back().is_some()) {
        Some(Branch { stream, at, .. }) => refuse("LAST JOIN", &stream.name, *at, report),
        None => Some(()),
    }
}

fn refuse(what: &str, stream: &str, at: Location, report: &mut Report<'_>) -> Option<()> {
    let message = format!(
        "{what} cannot take back rows of `{stream}` that are updated or deleted; group by TUMBLE, HOP or CUMULATE, or {}",
        instead(stream)
    );
    report.refuse(Refusal::new(at, message));
    None
}
