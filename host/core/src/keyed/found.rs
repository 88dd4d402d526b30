//! Results as a segment gives them, with the bytes of their keys: batches are made of them when it is free again.
//!
//! Where windows overlap, one call may return many windows of each key: its bytes are copied, and decoded, once.

use crate::error::CoreError;
use crate::keyed::effects::Effects;
use crate::keyed::emit::{StageRows, stage_rows};
use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use weir_event::key::decode_keys;
use weir_plan::{ExpressionError, JobPlan, KeyedStage};
use weir_timeline::{Results, Slot, Timelines};

/// Some results of a segment.
#[derive(Debug)]
pub(crate) struct Found {
    results: Results,
    keys: Keys,
    /// Whether the same question has more to return.
    pub(crate) has_more: bool,
}

/// The encoded keys of results, end to end in one stretch of memory.
#[derive(Debug)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Which of them each result has; `None` where each has its own.
    of_results: Option<Vec<u32>>,
}

impl Keys {
    fn held(timelines: &Timelines, slots: &[Slot]) -> Keys {
        // More results than keys: some have the same.
        if slots.len() <= timelines.slots() {
            return Keys::copied(timelines, slots, None);
        }
        const UNSEEN: u32 = u32::MAX;
        let mut seen = vec![UNSEEN; timelines.slots()];
        let mut distinct = Vec::new();
        let number = |slot: &Slot| {
            let seen = &mut seen[slot.0 as usize];
            if *seen == UNSEEN {
                *seen = distinct.len() as u32;
                distinct.push(*slot);
            }
            *seen
        };
        let of_results = slots.iter().map(number).collect();
        Keys::copied(timelines, &distinct, Some(of_results))
    }

    fn copied(timelines: &Timelines, slots: &[Slot], of_results: Option<Vec<u32>>) -> Keys {
        let length = slots.iter().map(|slot| timelines.key(*slot).len()).sum();
        let (mut bytes, mut ends) = (Vec::with_capacity(length), Vec::with_capacity(slots.len()));
        for slot in slots {
            bytes.extend_from_slice(timelines.key(*slot));
            ends.push(bytes.len());
        }
        Keys { bytes, ends, of_results }
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }

    /// The key of a result.
    pub(crate) fn of(&self, result: usize) -> &[u8] {
        let key = self.of_results.as_ref().map_or(result, |of_results| of_results[result] as usize);
        let start = key.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[key]]
    }

    /// The key's columns, a row for each result.
    fn columns(&self, stage: &KeyedStage) -> Result<Vec<ArrayRef>, ExpressionError> {
        let broken = |message: String| ExpressionError::Broken(message);
        let keys = decode_keys(self.iter(), &stage.key_types).map_err(|error| broken(error.to_string()))?;
        let Some(of_results) = &self.of_results else { return Ok(keys) };
        let of_results = UInt32Array::from(of_results.clone());
        let gather = |column: &ArrayRef| take(column, &of_results, None);
        keys.iter().map(gather).collect::<Result<_, _>>().map_err(|error| broken(error.to_string()))
    }
}

impl Found {
    /// Results of these timelines, whose slots may be other keys' as soon as something else is done to them.
    pub(crate) fn of(timelines: &Timelines, results: Results) -> Found {
        let keys = Keys::held(timelines, &results.slots);
        Found { has_more: results.more, results, keys }
    }

    /// The rows of the stage's results, with their keys; `None` if there are none. Events on which an aggregate failed are set aside.
    pub(crate) fn rows(
        mut self,
        plan: &JobPlan,
        stage: &KeyedStage,
        effects: &mut Effects,
    ) -> Result<Option<(StageRows, Keys)>, CoreError> {
        for refused in std::mem::take(&mut self.results.refused) {
            effects.refuse(&plan.name, refused.rank, refused.reason, String::new());
        }
        if self.results.is_empty() {
            return Ok(None);
        }
        let rows = stage_rows(stage, self.keys.columns(stage)?, self.results)?;
        Ok(Some((rows, self.keys)))
    }
}
