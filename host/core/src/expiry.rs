//! Which of a job's stored state is out of reach.
//!
//! Must not know where it is kept.

use crate::error::CoreError;
use crate::intake::seen;
use crate::stored::Name;
use std::collections::BTreeMap;
use weir_event::{EventTime, PartitionId, Span};
use weir_plan::JobPlan;
use weir_timeline::Timelines;

/// Whether an entry of a job's state is of its intake (ids that it has seen) and not of a key group.
pub fn is_of_intake(entry: &[u8]) -> bool {
    seen::is_entry(entry)
}

/// Judges which entries of a job's state have expired at a *committed* watermark. (At the running one, a block could be
/// gone that a replay after a crash still needs.)
pub struct Expiry {
    blocks: Option<Timelines>,
    /// How long each input's ids are remembered, where its stream tells events apart.
    dedup_within: Vec<Option<Span>>,
    watermarks: BTreeMap<PartitionId, EventTime>,
}

impl Expiry {
    /// For a job that had settled at `settled` and could be asked for `oldest`, or as far back as its plan reaches
    /// where that is [`EventTime::MIN`]; `newest` is the newest event time of each partition. What a plan that reaches
    /// less far does not need goes with the next watermark, as lookups do until then what they did.
    pub fn at(
        plan: &JobPlan,
        settled: EventTime,
        oldest: EventTime,
        newest: impl IntoIterator<Item = (PartitionId, EventTime)>,
    ) -> Result<Expiry, CoreError> {
        let blocks = match &plan.stage {
            Some(stage) => {
                let mut judge = Timelines::new(stage.spec.clone())?;
                judge.restore_done(settled, oldest)?;
                judge.expire();
                Some(judge)
            }
            None => None,
        };
        let watermark =
            |(id, newest): (PartitionId, EventTime)| Some((id, newest - plan.input_of(id)?.stream.disorder));
        let watermarks = newest.into_iter().filter_map(watermark).collect();
        let within = plan.inputs.iter().map(|input| input.stream.dedup.map(|dedup| dedup.within));
        Ok(Expiry { blocks, dedup_within: within.collect(), watermarks })
    }

    /// Whether an entry is out of reach.
    pub fn is_expired(&self, entry: &[u8]) -> bool {
        if is_of_intake(entry) {
            // A stream that does not tell events apart any more has no use for ids.
            let input = seen::partition_of(entry).map(PartitionId::input);
            let within = input.and_then(|input| *self.dedup_within.get(input)?);
            return within.is_none_or(|within| seen::is_expired(entry, within, &self.watermarks));
        }
        let Some(Name::Block { block, .. }) = Name::parse_with_group(entry) else { return false };
        if block.column == Name::WRITTEN {
            // Whoever holds it says what of it goes.
            return false;
        }
        self.blocks.as_ref().is_some_and(|blocks| blocks.is_expired(block))
    }
}
