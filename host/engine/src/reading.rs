//! What a job carries from block to block: positions, watermarks and what else decides how reading goes on.
//!
//! What of it must survive is in every checkpoint's body. Knows no connector and does nothing by itself.

use crate::idle::Idleness;
use crate::manifest::{Body, PartitionState};
use crate::skew::Skew;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_core::intake::admit::Rules;
use weir_core::intake::refusals::Refusals;
use weir_core::intake::seen::Seen;
use weir_core::{Beginning, Counts};
use weir_event::{EventTime, JobWatermark, PartitionId, PartitionWatermark, Position, Span};
use weir_plan::JobPlan;

/// What the driver carries from block to block; what of it must survive is in every checkpoint's body.
pub(crate) struct DriverState {
    pub(crate) body: Body,
    /// How far behind the watermark state reaches.
    reach: Option<Span>,
    /// What the job had counted when the attempt began.
    before: Counts,
    pub(crate) rules: Rules,
    pub(crate) positions: BTreeMap<PartitionId, Position>,
    pub(crate) watermarks: BTreeMap<PartitionId, PartitionWatermark>,
    pub(crate) seen: Option<Seen>,
    pub(crate) beginnings: BTreeMap<PartitionId, Beginning>,
    pub(crate) watermark: JobWatermark,
    pub(crate) idleness: Idleness,
    pub(crate) skew: Skew,
    pub(crate) refusals: Refusals,
    pub(crate) caught_up: BTreeSet<PartitionId>,
    pub(crate) all: BTreeSet<PartitionId>,
    pub(crate) sequence: u64,
    pub(crate) begun: Option<u64>,
    pub(crate) last_barrier: Duration,
}

impl DriverState {
    /// Goes on where `body` says, with the ids that were seen until then.
    pub(crate) fn resume(plan: &JobPlan, mut body: Body, seen: Option<Seen>, now: Duration) -> Self {
        let input = &plan.inputs[0].stream;
        body.reached = Some(body.oldest(plan));
        let mut state = DriverState {
            reach: plan.stage.as_ref().map(|stage| stage.spec.reach()),
            rules: Rules::of(plan),
            positions: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            seen,
            beginnings: BTreeMap::new(),
            watermark: JobWatermark::resume(body.watermark),
            idleness: Idleness::new(input.idle_after, input.when_idle),
            skew: Skew::new(input.max_skew),
            refusals: Refusals::default(),
            caught_up: BTreeSet::new(),
            all: BTreeSet::new(),
            sequence: 0,
            begun: None,
            last_barrier: now,
            before: body.counts,
            body,
        };
        for partition in &state.body.partitions {
            state.positions.insert(partition.id, partition.position.clone());
            state.beginnings.insert(partition.id, partition.beginning);
            if let Some(newest) = partition.newest {
                let watermark = PartitionWatermark::resume(input.disorder, newest);
                state.watermarks.insert(partition.id, watermark);
                state.watermark.update(partition.id, watermark.current());
            }
        }
        state
    }

    /// Since when the job has all data; `None` for all that was ever in its source.
    pub(crate) fn data_since(&self) -> Option<EventTime> {
        self.beginnings.values().filter_map(|beginning| beginning.since()).max()
    }

    /// The body of the next checkpoint, as far as intake knows it; `counted` is what it counted in this attempt, and
    /// `behind` how far the job's time is behind the wall's.
    pub(crate) fn next_body(&mut self, counted: Counts, behind: Option<Span>) -> Body {
        self.body.checkpoint += 1;
        self.body.behind = behind;
        self.body.watermark = Some(self.watermark.current()).filter(|watermark| *watermark > EventTime::MIN);
        let reached = self.reach.map(|reach| self.watermark.current() - reach);
        self.body.reached = self.body.reached.max(reached);
        self.body.counts = self.before;
        self.body.counts.add(counted);
        let newest = |id: &PartitionId| self.watermarks.get(id).map(PartitionWatermark::newest);
        let partitions = self.positions.iter().map(|(id, position)| PartitionState {
            id: *id,
            position: position.clone(),
            newest: newest(id).filter(|newest| *newest > EventTime::MIN),
            beginning: self.beginnings.get(id).copied().unwrap_or_default(),
        });
        self.body.partitions = partitions.collect();
        self.body.clone()
    }
}
