//! Which sink of an edited job is which.
//!
//! A sink is what writes to one place: it keeps its name, its token and what waits for it wherever it stands in the
//! definition and whatever else of it is changed. One that writes elsewhere is another. Knows what checkpoints say of
//! sinks; must not know what a place is.

use crate::manifest::{Body, Kept};
use crate::sink_task::SinkSpec;
use std::collections::BTreeMap;
use weir_connect::Token;
use weir_plan::SinkPlan;

impl SinkSpec {
    /// What it is known by over edits; `None` if its settings are wrong.
    pub(crate) fn identity(&self) -> Option<String> {
        let sink = (self.make)().ok()?;
        Some(format!("{} {}", self.kind, sink.place()).trim_end().to_owned())
    }
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
    /// What the checkpoint says of a sink.
    pub(crate) fn of_sink(&self, name: &str, identity: Option<&str>) -> Option<(Option<Token>, Kept)> {
        let known = self.sink_identities.get(name);
        let is_another = known.zip(identity).is_some_and(|(known, identity)| known != identity);
        let (token, kept) = (self.sinks.get(name).cloned(), self.outboxes.get(name).cloned());
        (!is_another).then(|| (token, kept.unwrap_or_default()))
    }

    /// Says of each sink that the job has no more how many rows waited for it.
    pub(crate) fn tell_gone_sinks(&self, job: &str, sinks: &[SinkSpec]) {
        let now: BTreeMap<&str, Option<String>> =
            sinks.iter().map(|sink| (sink.name.as_str(), sink.identity())).collect();
        for (name, kept) in &self.outboxes {
            let has = |identity: &Option<String>| self.of_sink(name, identity.as_deref()).is_some();
            if now.get(name.as_str()).is_some_and(has) {
                continue;
            }
            let rows: u64 = kept.files.iter().map(|file| file.rows).sum();
            let identity = self.sink_identities.get(name).unwrap_or(name);
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
