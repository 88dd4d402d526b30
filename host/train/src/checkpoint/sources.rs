//! What a job's history is read from, as far as a checkpoint relies on it to be what it was.
//!
//! Must not know what is read.

use crate::error::TrainError;
use crate::{Input, Job};
use serde::{Deserialize, Serialize};

/// A source, or what comes before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ReadFrom {
    stream: String,
    /// Which rows are its own, where another has the rest.
    cut: Option<String>,
    /// Its parts, each with what tells it from another.
    parts: Vec<(String, String)>,
}

/// All of a job's sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadFromAll(Vec<ReadFrom>);

impl ReadFromAll {
    /// As they are now.
    pub(crate) async fn of(job: &Job) -> Result<ReadFromAll, TrainError> {
        let mut all = Vec::new();
        for (Input { source, archive, .. }, of_plan) in job.inputs.iter().zip(&job.plan.inputs) {
            let stream = &of_plan.stream.name;
            let cut = archive.as_ref().map(|archive| format!("{} {:?}", archive.cut, archive.gap));
            for source in archive.iter().map(|archive| &archive.source).chain([source]) {
                let parts = source.stamps().await?;
                all.push(ReadFrom { stream: stream.clone(), cut: cut.clone(), parts });
            }
        }
        Ok(ReadFromAll(all))
    }

    /// What is not any more as it was then, if anything is. What has come behind the last part since was not there then.
    pub(crate) fn changed(&self, now: &ReadFromAll) -> Option<String> {
        if self.0.len() != now.0.len() {
            return Some("its streams are others than they were".to_owned());
        }
        self.0.iter().zip(&now.0).find_map(|(then, now)| then.changed(now))
    }
}

impl ReadFrom {
    fn changed(&self, now: &ReadFrom) -> Option<String> {
        let stream = &self.stream;
        if self.stream != now.stream || self.cut != now.cut {
            return Some(format!("where the archive of stream `{stream}` ends is not where it was"));
        }
        let mut there = now.parts.iter();
        for (name, stamp) in &self.parts {
            match there.next() {
                Some((other, found)) if other == name && found == stamp => {}
                Some((other, _)) if other == name => {
                    return Some(format!("`{name}` of stream `{stream}` was written to or replaced"));
                }
                _ if now.parts.iter().any(|(other, _)| other == name) => {
                    return Some(format!("stream `{stream}` has files before `{name}` that were not there"));
                }
                _ => return Some(format!("`{name}` of stream `{stream}` is gone")),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(&str, &str)]) -> ReadFromAll {
        let parts = parts.iter().map(|(name, stamp)| ((*name).to_owned(), (*stamp).to_owned())).collect();
        ReadFromAll(vec![ReadFrom { stream: "rides".to_owned(), cut: None, parts }])
    }

    #[test]
    fn what_was_there_has_to_be_as_it_was_and_more_may_come_behind_it() {
        let then = of(&[("a", "1"), ("b", "2")]);
        let changed = |now: &[(&str, &str)]| then.changed(&of(now)).unwrap_or_default();
        assert_eq!(changed(&[("a", "1"), ("b", "2")]), "");
        assert_eq!(changed(&[("a", "1"), ("b", "2"), ("c", "3")]), "");
        assert!(changed(&[("a", "1"), ("b", "3")]).contains("`b` of stream `rides` was written to"));
        assert!(changed(&[("a", "1")]).contains("`b` of stream `rides` is gone"));
        assert!(changed(&[("a", "1"), ("aa", "1"), ("b", "2")]).contains("has files before `b`"));
    }
}
