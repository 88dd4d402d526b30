//! A job over two logs that are read in turns, one of them perhaps idle meanwhile: how it is driven, and what it writes.
//! Knows neither queries nor what their results must be.

use crate::groups::ALL_GROUPS;
use crate::{Effects, Intake, Keyed, ResultRows, Step};
use arrow_array::RecordBatch;
use std::ops::Range;
use std::sync::Arc;
use weir_connect::KnownTimes;
use weir_event::{EventTime, KeyGroup, PartitionId};
use weir_plan::JobPlan;

/// Which log is read, how many rows, and whether the other is idle.
pub(super) type Turn = (bool, usize, bool);

pub(super) struct TwoLogs {
    ids: [PartitionId; 2],
    intake: Intake,
    pub(super) keyed: Keyed,
    /// In order of writing.
    pub(super) written: Vec<ResultRows>,
}

/// The turns in which logs of these lengths are read to their ends: which log, which rows, and whether the other is
/// idle.
pub(super) fn in_turns(lengths: [usize; 2], turns: &[Turn]) -> Vec<(usize, Range<usize>, bool)> {
    let mut at = [0_usize, 0];
    let rest = [(false, usize::MAX, false), (true, usize::MAX, false)];
    let turn = |(is_second, length, is_idle): &Turn| {
        let log = usize::from(*is_second);
        let start = at[log];
        at[log] = start.saturating_add(*length).min(lengths[log]);
        (log, start..at[log], *is_idle)
    };
    turns.iter().chain(&rest).map(turn).filter(|(_, rows, _)| !rows.is_empty()).collect()
}

impl TwoLogs {
    pub(super) fn new(plan: &Arc<JobPlan>, ids: [PartitionId; 2]) -> TwoLogs {
        let mut intake = Intake::open(plan.clone());
        ids.into_iter().for_each(|id| intake.expect(id));
        let keyed = Keyed::open(plan.clone(), ALL_GROUPS).unwrap().with_identity(true);
        TwoLogs { ids, intake, keyed, written: Vec::new() }
    }

    /// How far the job has come.
    pub(super) fn settled(&self) -> EventTime {
        self.keyed.settled(KeyGroup(0)).unwrap()
    }

    /// The oldest time that it can be asked for.
    pub(super) fn oldest(&self) -> EventTime {
        self.keyed.oldest(KeyGroup(0)).unwrap()
    }

    /// Rows of a log, of which the first is at offset `first`.
    pub(super) fn read(&mut self, log: usize, first: usize, rows: &RecordBatch) {
        let offsets: Vec<u64> = (first as u64..).take(rows.num_rows()).collect();
        let steps = self.intake.columns(self.ids[log], &offsets, KnownTimes::Unknown, rows).unwrap();
        for step in steps.steps {
            let effects: Vec<_> = match step {
                Step::Rows(rows) => self.keyed.rows(&rows).unwrap().collect(),
                Step::Watermark(watermark) => self.keyed.settle(watermark).collect(),
                Step::Results(_) => unreachable!("the job has keys"),
            };
            self.write(effects);
        }
    }

    /// A log does not hold the watermark back until it is read on.
    pub(super) fn idle(&mut self, log: usize) {
        let watermark = self.intake.idle(self.ids[log], true);
        self.settle(watermark);
    }

    pub(super) fn end(&mut self) {
        for id in self.ids {
            let watermark = self.intake.caught_up(id, true);
            self.settle(watermark);
        }
        let effects = self.keyed.end().collect();
        self.write(effects);
    }

    fn settle(&mut self, watermark: Option<EventTime>) {
        if let Some(watermark) = watermark {
            let effects = self.keyed.settle(watermark).collect();
            self.write(effects);
        }
    }

    fn write(&mut self, effects: Vec<Result<Effects, crate::CoreError>>) {
        self.written.extend(effects.into_iter().flat_map(|effects| effects.unwrap().results));
    }
}
