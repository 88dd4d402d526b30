//! Sinks that the definition of a job does not have any more: what is kept of them, so that one that is put back goes on from
//! there, and rows of theirs that a checkpoint holds and nobody sees.
//!
//! A sink that shows rows only when their checkpoint is safe has such rows where the process was killed, or the sink was
//! away, between the two. The next start makes them visible, unless an edit has taken the sink away by then. Knows what
//! checkpoints and marks say of sinks; must not know what a place is.

use crate::error::EngineError;
use crate::fit::check_state;
use crate::manifest::{Body, Covered};
use crate::outbox::VisibleMark;
use crate::sink_task::SinkSpec;
use std::collections::BTreeMap;
use std::path::Path;
use weir_connect::Token;
use weir_plan::JobPlan;
use weir_store::Commit;

/// Rows of a checkpoint that are not visible in a sink that a job has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenRows {
    /// Its kind and place.
    pub identity: String,
    /// How many they are; 0 where nobody knows whether there are any.
    pub rows: u64,
}

impl std::fmt::Display for HiddenRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HiddenRows { identity, rows } = self;
        let gone = format!("the sink `{identity}`, which the definition does not have any more");
        match rows {
            0 => write!(
                f,
                "the last rows of {gone}, may not be visible: the process ended before the sink had finished what it \
                 wrote; put it back once, beside the others, and stop the job, and they are"
            ),
            1 => write!(
                f,
                "1 row of the last checkpoint is not visible in {gone}: put it back once, beside the others, and it is; else \
                 it is given up"
            ),
            rows => write!(
                f,
                "{rows} rows of the last checkpoint are not visible in {gone}: put it back once, beside the others, and they \
                 are; else they are given up"
            ),
        }
    }
}

/// The rows that are not visible, by what a store's newest commit and the folder of all outboxes hold of a job, in sinks
/// that are not among those that are known as these.
///
/// # Errors
/// The state does not fit the plan.
pub fn hidden_rows(
    plan: &JobPlan,
    head: &Commit,
    outboxes: &Path,
    sinks: &[String],
) -> Result<Vec<HiddenRows>, EngineError> {
    let Some(body) = check_state(plan, Some(head))? else { return Ok(Vec::new()) };
    let (folder, mut all) = (outboxes.join(&plan.name), body.hidden.clone());
    all.extend(body.gone(sinks).filter_map(|gone| Some((gone.identity.to_owned(), gone.hidden(&folder)?))));
    all.retain(|identity, _| !sinks.contains(identity));
    Ok(all.into_iter().map(|(identity, rows)| HiddenRows { identity, rows }).collect())
}

/// A sink of the last checkpoint that the definition does not have.
struct Gone<'a> {
    name: &'a str,
    identity: &'a str,
    token: &'a Token,
    /// Nothing in a body of an older weir.
    covered: Option<Covered>,
}

impl Gone<'_> {
    /// Whether one that is put back starts with its token, whatever is visible.
    fn goes_on(&self) -> bool {
        self.covered.is_none_or(|covered| covered.goes_on)
    }

    /// How many of its rows are not visible, 0 where nobody knows; `None` where all are. `folder` has the outboxes of the
    /// job.
    fn hidden(&self, folder: &Path) -> Option<u64> {
        let covered = self.covered?;
        let is_visible = || VisibleMark::of(Some(self.identity), self.token).is_in(&folder.join(self.name));
        if covered.rows > 0 && !is_visible() {
            return Some(covered.rows);
        }
        (covered.goes_on && !covered.is_last).then_some(0)
    }
}

impl Body {
    fn gone<'a>(&'a self, sinks: &'a [String]) -> impl Iterator<Item = Gone<'a>> {
        let gone = self.sink_identities.iter().filter(|(_, identity)| !sinks.contains(identity));
        gone.filter_map(|(name, identity)| {
            let covered = self.covered.get(name).copied();
            Some(Gone { name, identity, token: self.sinks.get(name)?, covered })
        })
    }

    /// Keeps the tokens of sinks that are not among these, where they are of use. `folder` has the outboxes of the job.
    pub(crate) fn keep_gone(&mut self, job: &str, sinks: &[SinkSpec], folder: &Path) {
        let now: Vec<String> = sinks.iter().filter_map(SinkSpec::identity).collect();
        let (mut tokens, mut hidden) = (BTreeMap::new(), BTreeMap::new());
        for gone in self.gone(&now) {
            let rows = gone.hidden(folder);
            if rows.is_some() || gone.goes_on() {
                tokens.insert(gone.identity.to_owned(), gone.token.clone());
            }
            if let Some(rows) = rows {
                let told = HiddenRows { identity: gone.identity.to_owned(), rows };
                tracing::warn!(job, sink = gone.name, "{told}");
                hidden.insert(told.identity, rows);
            }
        }
        self.gone_sinks.extend(tokens);
        self.hidden.extend(hidden);
    }

    /// The token that a sink starts with that was not in the definition for a while; `goes_on` as the sink says it.
    pub(crate) fn of_returned(&self, identity: Option<&str>, goes_on: bool) -> Option<(Token, Covered)> {
        let identity = identity?;
        let token = self.gone_sinks.get(identity)?;
        let hidden = self.hidden.get(identity).copied();
        let covered = Covered { rows: hidden.unwrap_or(0), ..Covered::default() };
        (goes_on || hidden.is_some()).then(|| (token.clone(), covered))
    }

    /// Sinks that the checkpoint has itself are not gone.
    pub(crate) fn forget_returned(&mut self) {
        let Body { gone_sinks, hidden, sink_identities, .. } = self;
        let is_gone = |gone: &String| sink_identities.values().all(|identity| identity != gone);
        gone_sinks.retain(|gone, _| is_gone(gone));
        hidden.retain(|gone, _| is_gone(gone));
    }
}
