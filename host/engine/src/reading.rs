//! What a job carries from block to block: positions, watermarks and what else decides how reading goes on.
//!
//! What of it must survive is in every checkpoint's body. Knows no connector and does nothing by itself.

use crate::backlog::Backlog;
use crate::decode::Arrival;
use crate::manifest::{Body, PartitionState};
use crate::skew::Skew;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use weir_core::idle::Idleness;
use weir_core::{Counts, Intake, Refusals, Standing};
use weir_event::{PartitionId, Position, Span};
use weir_plan::JobPlan;

/// What the driver carries from block to block; what of it must survive is in every checkpoint's body.
pub(crate) struct DriverState {
    pub(crate) body: Body,
    /// For each input, the name of its stream.
    streams: Vec<String>,
    /// What the job had counted when the attempt began.
    before: Counts,
    pub(crate) intake: Intake,
    pub(crate) positions: BTreeMap<PartitionId, Position>,
    pub(crate) idleness: Idleness,
    pub(crate) skew: Skew,
    /// For each input.
    pub(crate) refusals: Vec<Refusals>,
    /// For each input, what is wrong with most of its rows.
    pub(crate) warnings: Vec<Option<String>>,
    /// Why the next block cannot be decoded now.
    pub(crate) undecoded: Option<String>,
    pub(crate) caught_up: BTreeSet<PartitionId>,
    pub(crate) all: BTreeSet<PartitionId>,
    /// Those that were reported to be idle.
    pub(crate) idle: BTreeSet<PartitionId>,
    pub(crate) sequence: u64,
    pub(crate) begun: Option<u64>,
    pub(crate) last_barrier: Duration,
    /// What lies behind the place where a job stood whose place this state has taken, until all partitions are there.
    pub(crate) held: VecDeque<Arrival>,
    /// Asks how much is left of what is read now.
    pub(crate) backlog: Option<Backlog>,
    /// Whether the past has ended and no checkpoint holds that yet.
    pub(crate) is_just_over: bool,
    /// When it was first known how many bytes of the past are left, and how many these were.
    pub(crate) pace: Option<(Duration, u64)>,
}

impl DriverState {
    /// Goes on where `body` says, with an intake that knows the ids that were seen until then.
    pub(crate) fn resume(plan: &JobPlan, body: Body, intake: Intake, now: Duration) -> Self {
        let mut state = DriverState {
            intake: intake.from_watermark(body.watermark),
            positions: BTreeMap::new(),
            idleness: Idleness::of(plan),
            skew: Skew::new(plan.inputs.iter().map(|input| input.stream.max_skew).collect()),
            refusals: plan.inputs.iter().map(|input| Refusals::of(plan, input)).collect(),
            warnings: vec![None; plan.inputs.len()],
            undecoded: None,
            caught_up: BTreeSet::new(),
            all: BTreeSet::new(),
            idle: BTreeSet::new(),
            sequence: 0,
            begun: None,
            last_barrier: now,
            held: VecDeque::new(),
            backlog: None,
            is_just_over: false,
            pace: None,
            before: body.counts,
            streams: plan.inputs.iter().map(|input| input.stream.name.clone()).collect(),
            body,
        };
        for partition in &state.body.partitions {
            state.positions.insert(partition.id, partition.position.clone());
            let PartitionState { newest, promised, beginning, .. } = *partition;
            let standing = Standing { newest, promised, beginning: Some(beginning) };
            state.intake.resume(partition.id, standing);
        }
        state
    }

    /// The body of the next checkpoint, as far as intake knows it; `counted` is what it counted in this attempt, and
    /// `behind` how far the job's time is behind the wall's.
    pub(crate) fn next_body(&mut self, counted: Counts, behind: Option<Span>) -> Body {
        self.body.checkpoint += 1;
        self.body.behind = behind;
        self.body.watermark = self.intake.promised();
        self.body.counts = self.before;
        self.body.counts.add(counted);
        let partitions = self.positions.iter().map(|(id, position)| {
            let Standing { newest, promised, beginning } = self.intake.standing(*id);
            let beginning = beginning.unwrap_or_default();
            let stream = self.streams.get(id.input()).cloned();
            PartitionState { id: *id, stream, position: position.clone(), newest, promised, beginning }
        });
        self.body.partitions = partitions.collect();
        self.body.clone()
    }
}
