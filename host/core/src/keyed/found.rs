//! Results as a segment gives them, with the bytes of their keys: batches are made of them when it is free again.

use crate::error::CoreError;
use crate::keyed::effects::Effects;
use crate::keyed::emit::{StageRows, stage_rows};
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::{Results, Timelines};

/// Some results of a segment.
#[derive(Debug)]
pub(crate) struct Found {
    results: Results,
    keys: Keys,
    /// Whether the same question has more to return.
    pub(crate) has_more: bool,
}

/// The encoded keys of results, end to end in one stretch of memory.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[*start..*end])
    }
}

impl Found {
    /// Results of these timelines, whose slots may be other keys' as soon as something else is done to them.
    pub(crate) fn of(timelines: &Timelines, results: Results) -> Found {
        let mut keys = Keys::default();
        for slot in &results.slots {
            keys.bytes.extend_from_slice(timelines.key(*slot));
            keys.ends.push(keys.bytes.len());
        }
        Found { has_more: results.more, results, keys }
    }

    /// The rows of the stage's results; `None` if there are none. Events on which an aggregate failed are set aside.
    pub(crate) fn rows(
        mut self,
        plan: &JobPlan,
        stage: &KeyedStage,
        effects: &mut Effects,
    ) -> Result<Option<StageRows>, CoreError> {
        for refused in std::mem::take(&mut self.results.refused) {
            effects.refuse(&plan.name, refused.rank, refused.reason, String::new());
        }
        if self.results.is_empty() {
            return Ok(None);
        }
        Ok(Some(stage_rows(stage, self.keys.iter(), self.results)?))
    }
}
