//! Which sink of an edited job is which.
//!
//! A sink is what writes to one place: it keeps its name, its token and what waits for it wherever it stands in the
//! definition and whatever else of it is changed. One that writes elsewhere is another. Knows what checkpoints say of
//! sinks; must not know what a place is.

use crate::error::EngineError;
use crate::fit::check_state;
use crate::manifest::{Body, Covered, Kept};
use crate::outbox::SinkPart;
use crate::sink_task::SinkSpec;
use std::collections::BTreeMap;
use weir_plan::{JobPlan, SinkPlan};
use weir_store::Commit;

impl SinkSpec {
    /// What it is known by over edits; `None` if its settings are wrong.
    pub(crate) fn identity(&self) -> Option<String> {
        let sink = (self.make)().ok()?;
        Some(sink_identity(&self.kind, &sink.place()))
    }
}

/// What a sink of this kind that writes to this place is known by over edits.
pub fn sink_identity(kind: &str, place: &str) -> String {
    format!("{kind} {place}").trim_end().to_owned()
}

/// Rows that wait for a sink that a job has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRows {
    /// How the last checkpoint names the sink.
    pub name: String,
    /// Its kind and place.
    pub identity: String,
    /// How many they are.
    pub rows: u64,
}

impl std::fmt::Display for LeftRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LeftRows { identity, rows, .. } = self;
        let waiting = if *rows == 1 { "1 row waits".to_owned() } else { format!("{rows} rows wait") };
        write!(
            f,
            "{waiting} for the sink `{identity}`, which the definition does not have any more: put it back, beside the \
             others, and it gets them; the next start of `weir serve` or `weir run` without it drops them"
        )
    }
}

/// The rows that wait, by what a store's newest commit holds of a job, for none of the sinks that are known as these. A
/// job that starts with these sinks drops them.
///
/// # Errors
/// The state does not fit the plan.
pub fn left_rows(plan: &JobPlan, head: &Commit, sinks: &[String]) -> Result<Vec<LeftRows>, EngineError> {
    let body = check_state(plan, Some(head))?;
    let left = |body: Body| body.left_rows(|_, identity| sinks.iter().any(|sink| sink == identity));
    Ok(body.map(left).unwrap_or_default())
}

/// Gives sinks the names by which the last checkpoint knows them, and others names that are free; `plans` likewise.
pub(crate) fn keep_names(sinks: &mut [SinkSpec], plans: &mut [SinkPlan], body: &Body) {
    if body.sink_identities.is_empty() {
        return;
    }
    let mut known = body.sink_identities.clone();
    let kept: Vec<Option<String>> =
        sinks.iter().map(|sink| take_name(&mut known, &sink.identity()?)).collect();
    let mut taken: Vec<String> = kept.iter().flatten().cloned().collect();
    let mut renamed = BTreeMap::new();
    for (sink, kept) in sinks.iter_mut().zip(kept) {
        let name = kept.unwrap_or_else(|| {
            let free = free_name(&sink.kind, &taken);
            taken.push(free.clone());
            free
        });
        renamed.insert(std::mem::replace(&mut sink.name, name.clone()), name);
    }
    for plan in plans {
        if let Some(name) = renamed.get(&plan.name) {
            plan.name.clone_from(name);
        }
    }
}

fn take_name(known: &mut BTreeMap<String, String>, identity: &str) -> Option<String> {
    let name = known.iter().find(|(_, of)| *of == identity)?.0.clone();
    known.remove(&name);
    Some(name)
}

/// The kind, or that and the smallest number that makes it unique.
fn free_name(kind: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{kind}-{number}"));
    let mut names = std::iter::once(kind.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_else(|| kind.to_owned())
}

impl Body {
    /// What the checkpoint says of a sink; `None` where it knows another one by that name.
    pub(crate) fn of_sink(&self, name: &str, identity: Option<&str>) -> Option<SinkPart> {
        let known = self.sink_identities.get(name);
        let is_another = known.zip(identity).is_some_and(|(known, identity)| known != identity);
        let (token, kept) = (self.sinks.get(name).cloned(), self.outboxes.get(name).cloned());
        let covered = self.covered.get(name).copied().unwrap_or_default();
        (!is_another).then(|| SinkPart { token, covered, kept: kept.unwrap_or_default() })
    }

    /// What a sink has that takes the name of another: it misses what waited for that one.
    pub(crate) fn in_place_of(&self, name: &str) -> SinkPart {
        let missed = self.outboxes.get(name).map_or(0, Kept::waiting_rows);
        SinkPart { token: None, covered: Covered::default(), kept: Kept { missed, ..Kept::default() } }
    }

    /// The rows that wait for sinks of which the job has none, by name and identity.
    fn left_rows(&self, has: impl Fn(&str, &str) -> bool) -> Vec<LeftRows> {
        let left = |(name, kept): (&String, &Kept)| {
            let identity = self.sink_identities.get(name).unwrap_or(name);
            let rows = kept.waiting_rows();
            let left = LeftRows { name: name.clone(), identity: identity.clone(), rows };
            (rows > 0 && !has(name, identity)).then_some(left)
        };
        self.outboxes.iter().filter_map(left).collect()
    }

    /// Says of each sink that the job has no more how many rows waited for it.
    pub(crate) fn tell_gone_sinks(&self, job: &str, sinks: &[SinkSpec]) {
        let now: BTreeMap<&str, Option<String>> =
            sinks.iter().map(|sink| (sink.name.as_str(), sink.identity())).collect();
        let has = |name: &str, _: &str| {
            now.get(name).is_some_and(|identity| self.of_sink(name, identity.as_deref()).is_some())
        };
        for LeftRows { name, identity, rows } in self.left_rows(has) {
            tracing::warn!(
                job,
                sink = name,
                rows,
                "the job has no sink `{identity}` any more; rows that waited for it are dropped with the next checkpoint"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_name_is_the_kind_or_that_with_the_smallest_number() {
        let taken = ["file-2".to_owned(), "kafka".to_owned()];
        assert_eq!(free_name("file", &taken), "file");
        assert_eq!(free_name("kafka", &taken), "kafka-2");
        assert_eq!(free_name("file", &["file".to_owned(), "file-2".to_owned()]), "file-3");
    }
}
