//! Intake: the rows of partitions' logs, judged, projected and keyed.
//!
//! What counts is decided in the order of each partition's log, by that partition's log alone: [`admit`] says how. All
//! that such a verdict depends on is in [`Intake::snapshot`], for hosts that keep a partition's state beside its position.
//! Hosts with a store of their own keep [`Intake::standing`], and of the ids only those that are new:
//! [`Intake::fresh_ids`].
//!
//! Must not know how a log is read: it is handed blocks, decoded, or columns.

pub(crate) mod admit;
pub(crate) mod beginning;
mod columns;
mod cut;
mod expand;
pub(crate) mod refusals;
pub(crate) mod route;
pub(crate) mod seen;
mod snapshot;
pub(crate) mod steps;

use crate::counts::Counts;
use crate::error::CoreError;
use crate::filter::Filtered;
use crate::keyed::emit::emit_projected;
use crate::letter::DeadLetter;
use crate::project::project;
use crate::rows::Rows;
use crate::stored::Stored;
use admit::{Admission, Admitted, Heard, Payloads, Rules, admit, heard, letter};
use arrow_array::{Array, RecordBatch};
use beginning::Beginning;
use expand::expand;
use refusals::{FirstRefused, Taken};
use route::KeyedRows;
use seen::Seen;
use std::collections::BTreeMap;
use std::sync::Arc;
use steps::{Step, Steps};
use weir_connect::{Decoded, Framing, RawBlock};
use weir_event::{EventTime, JobWatermark, PartitionId, PartitionWatermark, Rank};
use weir_plan::{JobPlan, StreamInput};

/// Some partitions' logs, on their way into a job.
#[derive(Debug)]
pub struct Intake {
    plan: Arc<JobPlan>,
    /// For each input of the plan.
    inputs: Vec<InputState>,
    with_identity: bool,
    /// That of the last results of a job without a stage.
    revision: u64,
    watermarks: BTreeMap<PartitionId, PartitionWatermark>,
    beginnings: BTreeMap<PartitionId, Beginning>,
    counts: BTreeMap<PartitionId, Counts>,
    watermark: JobWatermark,
}

/// How the rows of one input are judged.
#[derive(Debug)]
struct InputState {
    rules: Rules,
    /// The ids that were seen, where its stream tells events apart.
    seen: Option<Seen>,
}

impl InputState {
    fn of(plan: &JobPlan, input: &StreamInput) -> InputState {
        let seen = input.stream.dedup.map(|dedup| Seen::new(dedup.within));
        InputState { rules: Rules::of(plan, input), seen }
    }
}

/// Where a partition stands, without the ids that it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Its newest event time; `None` before the first row.
    pub newest: Option<EventTime>,
    /// What its source had promised of the rest; `None` where it promises nothing.
    pub promised: Option<EventTime>,
    /// Where in its log the job began; `None` before the first block.
    pub beginning: Option<Beginning>,
}

/// By column, whether any row has a value of it; nothing where no row could be read.
fn filled(columns: &RecordBatch) -> Vec<bool> {
    if columns.num_rows() == 0 {
        return Vec::new();
    }
    columns.columns().iter().map(|column| column.null_count() < column.len()).collect()
}

impl Intake {
    /// For a job that has read nothing.
    pub fn open(plan: Arc<JobPlan>) -> Intake {
        Intake {
            inputs: plan.inputs.iter().map(|input| InputState::of(&plan, input)).collect(),
            with_identity: false,
            revision: 0,
            watermarks: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            counts: BTreeMap::new(),
            watermark: JobWatermark::default(),
            plan,
        }
    }

    /// Whether the results of a job without a stage say what tells them apart.
    #[must_use]
    pub fn with_identity(self, with_identity: bool) -> Intake {
        Intake { with_identity, ..self }
    }

    /// Results of a job without a stage get revisions above this one, as well as above those that are in snapshots.
    #[must_use]
    pub fn revised_above(self, revision: u64) -> Intake {
        Intake { revision: self.revision.max(revision), ..self }
    }

    /// The watermark had reached `reached` before; it does not go back.
    #[must_use]
    pub fn from_watermark(self, reached: Option<EventTime>) -> Intake {
        Intake { watermark: JobWatermark::resume(reached), ..self }
    }

    /// A partition that is to be read: it holds the watermark back until its first row.
    pub fn expect(&mut self, partition: PartitionId) {
        self.watermark.add(partition);
    }

    /// A partition that was never read begins at this offset, whatever its first record has.
    pub fn begin(&mut self, partition: PartitionId, offset: u64) {
        self.beginnings.entry(partition).or_insert_with(|| Beginning::at(offset));
    }

    /// Nothing more will come of a partition: it does not hold the watermark back any more. Returns the watermark of
    /// all partitions.
    pub fn ended(&mut self, partition: PartitionId) -> Option<EventTime> {
        self.watermark.remove(partition);
        self.promised()
    }

    /// A partition goes on where it stood. The ids that it had seen are for [`Intake::restore_ids`].
    pub fn resume(&mut self, partition: PartitionId, standing: Standing) {
        self.beginnings.extend(standing.beginning.map(|beginning| (partition, beginning)));
        let rules = self.inputs.get(partition.input()).map(|input| &input.rules);
        if standing.newest.is_none() && standing.promised.is_none() {
            return;
        }
        if let Some(rules) = rules {
            let newest = standing.newest.unwrap_or(EventTime::MIN);
            let mut watermark = PartitionWatermark::resume(rules.disorder, newest);
            standing.promised.into_iter().for_each(|time| watermark.promise(time));
            self.watermarks.insert(partition, watermark);
            self.watermark.update(partition, watermark.current());
        }
    }

    /// Where a partition stands.
    pub fn standing(&self, partition: PartitionId) -> Standing {
        let watermark = self.watermarks.get(&partition);
        let known = |time: EventTime| Some(time).filter(|time| *time > EventTime::MIN);
        Standing {
            newest: watermark.and_then(|watermark| known(watermark.newest())),
            promised: watermark.and_then(|watermark| known(watermark.promised())),
            beginning: self.beginnings.get(&partition).copied(),
        }
    }

    /// The watermark of each partition that a block has come of.
    pub fn watermarks(&self) -> &BTreeMap<PartitionId, PartitionWatermark> {
        &self.watermarks
    }

    /// All archives have ended: nothing of them is answered for any more.
    pub fn forget_archives(&mut self) {
        self.watermarks.retain(|partition, _| !partition.is_of_archive());
        self.beginnings.retain(|partition, _| !partition.is_of_archive());
        (0..self.inputs.len()).for_each(|input| self.end_archive(input));
    }

    /// The archive of an input has ended: ids that it has seen are known of the log behind it, if that has one partition.
    pub fn end_archive(&mut self, input: usize) {
        let mut live = self.watermark.partitions().filter(|it| it.input() == input && !it.is_of_archive());
        let goes_on = live.next().filter(|_| live.next().is_none());
        let seen = self.inputs.get_mut(input).and_then(|input| input.seen.as_mut());
        seen.into_iter().for_each(|seen| seen.end_archives(goes_on));
    }

    /// The watermark of all partitions. Which of them hold it back is for whoever has a clock to say.
    pub fn watermark(&mut self) -> &mut JobWatermark {
        &mut self.watermark
    }

    /// Since when the job has all data of some partitions; `None` for all that was ever in their logs.
    pub fn data_since(&self, of: impl Fn(PartitionId) -> bool) -> Option<EventTime> {
        let beginnings = self.beginnings.iter().filter(|(partition, _)| of(**partition));
        beginnings.filter_map(|(_, beginning)| beginning.since()).max()
    }

    /// What was counted of all partitions so far, also by those that read them before.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.counts.values().for_each(|counts| all.add(*counts));
        all
    }

    /// Everything up to the present end of a partition's log was handed in. Where that end is all that will be read, a
    /// partition without any row does not hold the watermark back. Returns the watermark of all partitions.
    pub fn caught_up(&mut self, partition: PartitionId, is_all: bool) -> Option<EventTime> {
        // One that has nothing but a promise has no row either.
        let has_promise_alone = |watermark: &PartitionWatermark| {
            watermark.newest() == EventTime::MIN && watermark.promised() > EventTime::MIN
        };
        if is_all && self.watermarks.get(&partition).is_none_or(has_promise_alone) {
            self.watermark.set_idle(partition, true);
        }
        self.promised()
    }

    /// The source of a partition promises that every later row of it has an event time at or after this. Returns the
    /// watermark of all partitions.
    pub fn watermark_at_least(
        &mut self,
        partition: PartitionId,
        time: EventTime,
    ) -> Result<Option<EventTime>, CoreError> {
        let input = self.inputs.get(partition.input());
        let disorder = input.ok_or_else(|| not_of_the_plan(partition))?.rules.disorder;
        let watermark = self.watermarks.entry(partition).or_insert_with(|| PartitionWatermark::new(disorder));
        watermark.promise(time);
        self.watermark.update(partition, watermark.current());
        Ok(self.promised())
    }

    /// Whether a partition holds the watermark back, which it does not while it is idle. Returns the watermark of all
    /// partitions.
    pub fn idle(&mut self, partition: PartitionId, is_idle: bool) -> Option<EventTime> {
        self.watermark.set_idle(partition, is_idle);
        self.promised()
    }

    /// Whether a partition does not hold the watermark back.
    pub fn is_idle(&self, partition: PartitionId) -> bool {
        self.watermark.is_idle(partition)
    }

    /// The watermark of all partitions, once there is one.
    pub fn promised(&mut self) -> Option<EventTime> {
        Some(self.watermark.current()).filter(|watermark| *watermark > EventTime::MIN)
    }

    /// The events of a block that is to be taken whose times can be, in the order of the log: for whoever asks when they
    /// were known.
    pub fn heard(&self, block: &RawBlock, decoded: &Decoded) -> Result<Vec<Heard>, CoreError> {
        let partition = block.partition;
        let input = self.inputs.get(partition.input());
        let rules = &input.ok_or_else(|| not_of_the_plan(partition))?.rules;
        let newest = self.watermarks.get(&partition).map_or(EventTime::MIN, PartitionWatermark::newest);
        Ok(heard(rules, newest, block, decoded))
    }

    /// Those of a block's [`Intake::heard`] events whose ids did not come before, as the others would not count: for
    /// whoever sorts a log instead of having its blocks taken, and hands them in here in their order.
    pub fn first_of(
        &mut self,
        mut events: Vec<Heard>,
        block: &RawBlock,
        decoded: &Decoded,
    ) -> Result<Vec<Heard>, CoreError> {
        let partition = block.partition;
        let input = self.inputs.get_mut(partition.input());
        let InputState { rules, seen } = input.ok_or_else(|| not_of_the_plan(partition))?;
        let watermark =
            self.watermarks.entry(partition).or_insert_with(|| PartitionWatermark::new(rules.disorder));
        let mut repeats = match (seen, rules.event_id) {
            (Some(seen), Some(column)) => Some(seen.block(partition, decoded.columns.column(column))?),
            _ => None,
        };
        let mut rows = decoded.offsets.iter().enumerate();
        events.retain(|event| {
            let row = rows.find(|(_, offset)| **offset == event.offset);
            let is_repeat = row
                .zip(repeats.as_mut())
                .is_some_and(|((row, _), repeats)| repeats.is_repeat(row, event.time, watermark.current()));
            watermark.observe(event.time);
            !is_repeat
        });
        Ok(events)
    }

    /// Takes a block of a partition's log, and what decoding made of it.
    pub fn block(&mut self, block: &RawBlock, decoded: &Decoded) -> Result<Steps, CoreError> {
        let partition = block.partition;
        let input = self.plan.input_of(partition).ok_or_else(|| not_of_the_plan(partition))?;
        let filtered = Filtered::of(input.projection.filter.as_ref(), &decoded.columns)?;
        let admission = self.admit(block, decoded, &filtered)?;
        let Passed { skipped, refused: mut letters, unread } = self.passed(block);
        let rows = (decoded.offsets.len() + decoded.bad.len() + letters.len()) as u64;
        letters.extend(admission.dead);
        let heard = admission.first.and_then(|_| self.standing(partition).newest);
        let mut steps = Steps { heard, ..Steps::default() };
        let payloads = Payloads::of(block);
        for admitted in admission.steps {
            match admitted {
                Admitted::Rows(rows) => letters.extend(self.forward(rows, &payloads, &mut steps.steps)?),
                Admitted::Watermark(watermark) => {
                    self.watermark.update(partition, watermark);
                    steps.steps.extend(self.promised().map(Step::Watermark));
                }
            }
        }
        let refused = letters.len() as u64;
        steps.taken = Taken {
            rows,
            refused,
            too_late: admission.dropped,
            like_seconds: admission.like_seconds,
            recent: admission.recent,
            unread: unread.iter().map(|letter| letter.reason.clone()).collect(),
            first: FirstRefused::of(&letters),
            first_like_seconds: admission.first_like_seconds.map(FirstRefused::like_seconds),
            first_ahead: admission.first_ahead.map(FirstRefused::far_ahead),
            filled: filled(&decoded.columns),
        };
        letters.extend(admission.diverted);
        letters.extend(unread);
        steps.counts = Counts {
            events: rows,
            late: admission.late,
            dropped: admission.dropped,
            duplicates: admission.duplicates,
            skipped,
            refused,
            dead_letters: letters.len() as u64,
            ..Counts::default()
        };
        self.counts.entry(partition).or_default().add(steps.counts);
        steps.letters = letters;
        Ok(steps)
    }

    fn admit(
        &mut self,
        block: &RawBlock,
        decoded: &Decoded,
        filtered: &Filtered,
    ) -> Result<Admission, CoreError> {
        let partition = block.partition;
        let input = self.inputs.get_mut(partition.input());
        let InputState { rules, seen } = input.ok_or_else(|| not_of_the_plan(partition))?;
        let beginning = self.beginnings.entry(partition);
        let beginning = beginning.or_insert_with(|| Beginning::at(first_offset(block)));
        let watermark =
            self.watermarks.entry(partition).or_insert_with(|| PartitionWatermark::new(rules.disorder));
        let repeats = match (seen, rules.event_id) {
            (Some(seen), Some(column)) => Some(seen.block(partition, decoded.columns.column(column))?),
            _ => None,
        };
        let admission = admit(rules, watermark, filtered, repeats, block, decoded);
        if let Some(first) = admission.first {
            beginning.heard(first, rules.disorder);
        }
        Ok(admission)
    }

    /// What the source passed over.
    fn passed(&self, block: &RawBlock) -> Passed {
        let (partition, mut passed) = (block.partition, Passed::default());
        for record in &block.refused {
            let (offset, reason) = (record.offset, record.reason.clone());
            if record.skip {
                passed.skipped += 1;
            } else if offset >= block.next.next {
                let letter = DeadLetter::of_unread(&self.plan.name, reason, partition, offset);
                passed.unread.push(letter);
            } else {
                passed.refused.push(letter(&self.plan.name, partition, offset, reason, &record.payload));
            }
        }
        passed
    }

    /// Projects admitted rows and keys them; returns those that an expression failed on.
    fn forward(
        &mut self,
        rows: Rows,
        payloads: &Payloads<'_>,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<DeadLetter>, CoreError> {
        let partition = rows.partition;
        let input = self.plan.input_of(partition).ok_or_else(|| not_of_the_plan(partition))?;
        let projection = &input.projection;
        let (rows, mut failed) = match &input.unnest {
            Some(unnest) => expand(unnest, rows)?,
            None => (rows, Vec::new()),
        };
        let (projected, of_projection) = project(&projection.columns, &rows)?;
        failed.extend(of_projection);
        match &self.plan.stage {
            Some(stage) if projected.rows() > 0 => {
                steps.push(Step::Rows(Arc::new(KeyedRows::of(projected, &stage.keys)?)));
            }
            Some(_) => {}
            None => {
                let rows = projected.into_rows(&projection.schema)?;
                self.revision += 1;
                let (results, failing) =
                    emit_projected(&self.plan.output, &rows, self.with_identity, self.revision)?;
                failed.extend(failing);
                if results.columns.num_rows() > 0 {
                    steps.push(Step::Results(results));
                }
            }
        }
        let record = |row: &crate::project::FailedRow| Rank { partition, offset: row.offset }.record();
        // An event is set aside once, however many of its rows fail.
        failed.dedup_by_key(|row| record(row));
        let of_row = |row: crate::project::FailedRow| {
            let offset = record(&row);
            letter(&self.plan.name, partition, offset, row.reason, payloads.get(row.record))
        };
        Ok(failed.into_iter().map(of_row).collect())
    }

    /// Ids that were seen since this was last asked, to be kept beside what was kept before.
    pub fn fresh_ids(&mut self, checkpoint: u64) -> Vec<Stored> {
        let seen = self.inputs.iter_mut().filter_map(|input| input.seen.as_mut());
        let mut fresh: Vec<Stored> = seen.flat_map(|seen| seen.take_fresh(checkpoint)).collect();
        // Archives come before logs, and their numbers behind those.
        fresh.sort_by(|one, other| one.key.cmp(&other.key));
        fresh
    }

    /// Takes ids back that [`Intake::fresh_ids`] gave.
    pub fn restore_ids(&mut self, key: &[u8], block: &[u8]) -> Result<(), CoreError> {
        let damaged = || CoreError::Damaged("a block of seen ids".to_owned());
        let partition = seen::partition_of(key).ok_or_else(damaged)?;
        let input = self.inputs.get_mut(partition.input());
        // A stream that does not tell events apart any more has no use for ids.
        let Some(seen) = input.and_then(|input| input.seen.as_mut()) else { return Ok(()) };
        seen.decode(key, block).ok_or_else(damaged)
    }

    /// How many ids are remembered.
    pub fn ids(&self) -> usize {
        self.inputs.iter().filter_map(|input| input.seen.as_ref()).map(Seen::count).sum()
    }
}

fn not_of_the_plan(partition: PartitionId) -> CoreError {
    CoreError::Input(format!(
        "partition {partition} is of an input that the plan does not have; number inputs as the plan does, from 0"
    ))
}

/// What a source passed over.
#[derive(Default)]
struct Passed {
    /// Records without fault.
    skipped: u64,
    /// Letters of records that cannot be used.
    refused: Vec<DeadLetter>,
    /// Letters of what is not of the log.
    unread: Vec<DeadLetter>,
}

/// The offset of a block's first record, or of the next one where it holds none.
pub fn first_offset(block: &RawBlock) -> u64 {
    let framed = match &block.framing {
        Framing::Lines { first } => (!block.data.is_empty()).then_some(*first),
        Framing::Records { offsets, .. } => offsets.first().copied(),
        Framing::Container { first, .. } => (!block.data.is_empty()).then_some(*first),
    };
    let refused = block.refused.iter().map(|record| record.offset);
    framed.into_iter().chain(refused).min().unwrap_or(block.next.next)
}
