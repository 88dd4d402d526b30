//! A replay as a checkpoint keeps it, between two of the things that it does: the workers are done with all that they were
//! told, and nothing is on its way.
//!
//! Must not know how often that is.

use crate::checkpoint::{Keeper, Written};
use crate::error::TrainError;
use crate::kept_feed::{FeedMark, SortingMark};
use crate::kept_history::HistoryMark;
use crate::kept_rows::RowsMark;
use crate::kept_worker::{Keep, WorkerMark};
use crate::orders::Order;
use crate::replay::{JobReport, Replay};
use crate::sorting::Sorter;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::mpsc::channel;
use weir_core::idle::{Idleness, Silences};
use weir_event::{EventTime, JobWatermark, PartitionId, Span};
use weir_plan::JobPlan;

/// How far a job is.
#[derive(Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Its logs are being put into the order of event time.
    Sorting(SortingMark),
    /// It is asked for rows of the spine.
    Replaying(Box<ReplayMark>),
    /// It has answered all.
    Done(DoneMark),
}

/// A job that has answered all.
#[derive(Serialize, Deserialize)]
pub(crate) struct DoneMark {
    pub(crate) answers: RowsMark,
    pub(crate) report: JobReport,
}

/// A job between two rows of the spine, or on the way to one.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReplayMark {
    pub(crate) feed: FeedMark,
    history: HistoryMark,
    pub(crate) workers: Vec<WorkerMark>,
    pub(crate) answers: RowsMark,
    /// Rows of the spine that were asked for.
    pub(crate) asked: u64,
    /// The partitions that hold the watermark back, or do so when they are not idle.
    holders: Vec<Holder>,
    /// The watermark as it was when it was last asked for.
    reached: Option<EventTime>,
    silences: Silences,
    logs_behind: Vec<PartitionId>,
    now: Option<EventTime>,
    distance: Option<Span>,
    newest: Option<EventTime>,
    before_any: u64,
    beyond: u64,
    cut_off: u64,
    settled: EventTime,
}

/// A partition in the job's watermark.
#[derive(Serialize, Deserialize)]
struct Holder {
    partition: PartitionId,
    is_idle: bool,
}

impl ReplayMark {
    /// How many events of the history were read.
    pub(crate) fn events(&self) -> u64 {
        self.history.events()
    }

    /// What is needed of it.
    fn files(&self) -> Vec<Written> {
        let timelines = self.workers.iter().map(|worker| worker.timelines.clone());
        let files = timelines.chain([self.history.file.clone()]).chain(self.answers.files());
        files.chain(self.feed.files()).collect()
    }
}

impl Replay<'_> {
    /// Keeps everything, if it is time for that.
    pub(crate) fn keep_when_due(&mut self) -> Result<(), TrainError> {
        let Some(keeper) = self.keeper.take_if(|keeper| keeper.is_due()) else { return Ok(()) };
        let kept = self.keep(keeper);
        self.keeper = Some(keeper);
        kept
    }

    fn keep(&mut self, keeper: &mut Keeper) -> Result<(), TrainError> {
        let number = keeper.begin();
        let (done, marks) = channel();
        self.orders.push(Order::Keep(Keep { folder: keeper.folder().to_owned(), number, done }));
        self.send()?;
        // The workers do their part meanwhile.
        let history = self.history.keep(keeper.folder(), number)?;
        let mark = || marks.recv().map_err(|_| TrainError::weir("a worker has ended"))?;
        let mut workers = (0..self.workers.len()).map(|_| mark()).collect::<Result<Vec<_>, _>>()?;
        workers.sort_by_key(|mark| mark.worker);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).keep()?;
        let watermark = &self.watermark;
        let holder = |partition| Holder { partition, is_idle: watermark.is_idle(partition) };
        let mark = ReplayMark {
            feed: self.history.feed.mark(),
            history,
            workers,
            answers,
            asked: self.asked.0,
            holders: watermark.partitions().map(holder).collect(),
            reached: watermark.reached(),
            silences: self.idleness.silences(),
            logs_behind: self.logs_behind.clone(),
            now: self.now,
            distance: self.distance,
            newest: self.newest,
            before_any: self.before_any,
            beyond: self.beyond,
            cut_off: self.cut_off,
            settled: self.settled,
        };
        keeper.commit(mark.files(), &Stage::Replaying(Box::new(mark)))
    }

    /// Goes on there, with workers and a feed that do so too.
    pub(crate) fn restore(
        &mut self,
        folder: &Path,
        plan: &JobPlan,
        mark: &ReplayMark,
    ) -> Result<(), TrainError> {
        self.history.restore(folder, plan, &mark.history)?;
        self.asked.0 = mark.asked;
        self.watermark = JobWatermark::resume(mark.reached);
        for Holder { partition, is_idle } in &mark.holders {
            self.watermark.add(*partition);
            let ahead = self.history.partitions.get(partition);
            // Before its first row it has said nothing.
            if let Some(ahead) = ahead.filter(|ahead| ahead.watermark.newest() > EventTime::MIN) {
                self.watermark.update(*partition, ahead.watermark.current());
            }
            self.watermark.set_idle(*partition, *is_idle);
        }
        self.idleness = Idleness::of(plan).after(mark.silences.clone());
        self.logs_behind.clone_from(&mark.logs_behind);
        (self.now, self.distance, self.newest) = (mark.now, mark.distance, mark.newest);
        (self.before_any, self.beyond, self.cut_off) = (mark.before_any, mark.beyond, mark.cut_off);
        self.settled = mark.settled;
        Ok(())
    }
}

/// Keeps that a job is at its end, and its answers.
pub(crate) fn keep_done(
    keeper: &mut Keeper,
    answers: &mut Sorter,
    report: &JobReport,
) -> Result<(), TrainError> {
    keeper.begin();
    let answers = answers.keep()?;
    let done = DoneMark { answers, report: report.clone() };
    keeper.commit(done.answers.files().collect(), &Stage::Done(done))
}
