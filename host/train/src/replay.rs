//! The replay: a job's history and the rows of the spine, side by side in the order of time.
//!
//! Its clock stands where the rows do. Partitions become idle, and watermarks go on, as they did at that time, so that the
//! windows that a lookup took for complete are the same. Of a job that looks ahead each row is asked for so much later: what
//! follows its moment is known by then, and is what a lookup would have said then.

use crate::checkpoint::Keeper;
use crate::error::TrainError;
use crate::feed::{Begins, Feed};
use crate::history::{History, Known, Pasts};
use crate::kept_replay::keep_done;
use crate::kept_worker::WorkerMark;
use crate::orders::{Ask, Asking, Order};
use crate::sorting::{Sorted, Sorter};
use crate::spine::{MOMENT, moment};
use crate::worker::{Done, Worker};
use crate::{AsOfRule, Job, Listener, Progress, Settings};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use weir_core::groups::{ALL_GROUPS, range_of};
use weir_core::idle::Idleness;
use weir_core::{AsOf, Counts, Cut, Entities, Intake, meant_in_seconds};
use weir_event::{EventTime, JobWatermark, PartitionId, Span};

/// Workers are told so many things at a time.
const ORDERS: usize = 512;
/// So many times is something on its way to a worker that is not done with what came before.
const WAITING: usize = 8;

/// What a job's history was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JobReport {
    /// What was counted of its rows, up to the last that was needed.
    pub counts: Counts,
    /// Since when it has all data; `None` for all that was ever in its logs.
    pub since: Option<EventTime>,
    /// The newest event time that counts.
    pub newest: Option<EventTime>,
    /// Why the first row of its history was refused that was.
    pub refused: Option<String>,
    /// Rows that say that they were known long before rows that stand before them in their log.
    pub unordered: u64,
    /// Rows of the spine that ask for a time before any event was known, and how many it has.
    pub before_any: (u64, u64),
    /// Rows of the spine that ask for a time behind the last event of one of its inputs.
    pub beyond: u64,
    /// Rows of the spine for which the history ends before the time that values look ahead to.
    pub cut_off: u64,
    /// Rows of the spine that have no answer though they have a key, as a lookup would have been refused.
    pub failed: u64,
    /// Why the first of them has none.
    pub reason: Option<String>,
}

/// A job on its way.
pub(crate) struct Replay<'k> {
    job: String,
    pub(crate) history: History,
    listener: Listener,
    /// Rows of the spine that were asked for, and how many there are.
    pub(crate) asked: (u64, u64),
    rule: AsOfRule,
    pub(crate) idleness: Idleness,
    pub(crate) watermark: JobWatermark,
    /// Partitions of logs whose archives are not at their end yet.
    pub(crate) logs_behind: Vec<PartitionId>,
    /// Where its clock stands; `None` before the first row.
    pub(crate) now: Option<EventTime>,
    /// The least distance behind its clock at which an event was known.
    pub(crate) distance: Option<Span>,
    pub(crate) newest: Option<EventTime>,
    /// Rows of the spine that ask for a time before any event.
    pub(crate) before_any: u64,
    /// How much later than its moment a row of the spine is asked for.
    ahead: Option<Span>,
    /// How many inputs there are.
    inputs: usize,
    /// Rows of the spine that ask for a time behind the last event of an input.
    pub(crate) beyond: u64,
    /// Rows of the spine for which the history ends too early.
    pub(crate) cut_off: u64,
    pub(crate) settled: EventTime,
    groups: Vec<Range<u16>>,
    pub(crate) workers: Vec<(SyncSender<Arc<Vec<Order>>>, JoinHandle<Result<Done, TrainError>>)>,
    pub(crate) orders: Vec<Order>,
    pub(crate) answers: Arc<Mutex<Sorter>>,
    /// Keeps how far it is, if that is wanted.
    pub(crate) keeper: Option<&'k mut Keeper>,
}

impl<'k> Replay<'k> {
    /// One that asks for so many rows of a spine, with workers, whose answers have this place.
    pub(crate) fn open(
        job: &Job,
        (count, answers): (u64, Sorter),
        settings: &Settings,
        (feed, begins): (Box<dyn Feed>, &Begins),
        (keeper, kept): (Option<&'k mut Keeper>, &[WorkerMark]),
    ) -> Result<Replay<'k>, TrainError> {
        let plan = &job.plan;
        let mut intake = Intake::open(plan.clone());
        let mut watermark = JobWatermark::default();
        let pasts = pasts(job, settings.rule);
        let is_behind = |id: &PartitionId| !id.is_of_archive() && pasts.gaps.contains_key(&id.input());
        for (id, begin) in begins.iter().filter(|(id, _)| !is_behind(id)) {
            if let Some(begin) = begin {
                intake.begin(*id, *begin);
            }
            watermark.add(*id);
        }
        let partitions: Vec<PartitionId> = begins.iter().map(|(id, _)| *id).collect();
        let logs_behind = partitions.iter().copied().filter(is_behind).collect();
        let disorder = |id: &PartitionId| {
            let input = plan.input_of(*id);
            (*id, input.map_or(Span::ZERO, |input| input.stream.disorder))
        };
        let with_disorder: Vec<_> = partitions.iter().map(disorder).collect();
        let workers = settings.workers.max(1);
        let groups: Vec<Range<u16>> = (0..workers).map(|at| range_of(at, workers, &ALL_GROUPS)).collect();
        let answers = Arc::new(Mutex::new(answers));
        let started = groups.iter().enumerate().map(|(number, groups)| {
            let mut worker = Worker::new(number, job, groups.clone(), answers.clone())?;
            if let Some(keeper) = keeper.as_ref().filter(|_| !kept.is_empty()) {
                worker.restore(keeper.folder(), kept)?;
            }
            let (sender, receiver) = sync_channel(WAITING);
            Ok((sender, std::thread::spawn(move || worker.run(&receiver))))
        });
        let workers = started.collect::<Result<Vec<_>, TrainError>>()?;
        Ok(Replay {
            job: plan.name.clone(),
            listener: settings.listener.clone(),
            asked: (0, count),
            history: History::new(
                intake,
                feed,
                (settings.rule, settings.now),
                groups.clone(),
                &with_disorder,
                pasts,
            ),
            rule: settings.rule,
            idleness: Idleness::of(plan),
            watermark,
            logs_behind,
            now: None,
            distance: None,
            newest: None,
            before_any: 0,
            ahead: plan.looks_ahead,
            inputs: plan.inputs.len(),
            beyond: 0,
            cut_off: 0,
            settled: EventTime::MIN,
            groups,
            workers,
            orders: Vec::new(),
            answers,
            keeper,
        })
    }

    /// Asks for what was not asked for yet of a spine.
    pub(crate) async fn run(
        mut self,
        spine: Sorted,
        settings: &Settings,
    ) -> Result<(Sorted, JobReport), TrainError> {
        let asked = self.ask_all(spine, settings).await;
        // What stopped half way has not done what it was asked for.
        if asked.is_err() {
            self.keeper = None;
        }
        // A worker says better why it has ended.
        let finished = self.finish()?;
        asked.map(|()| finished)
    }

    async fn ask_all(&mut self, mut spine: Sorted, settings: &Settings) -> Result<(), TrainError> {
        let mut passed = self.asked.0;
        while let Some(rows) = spine.next()? {
            let first = passed.min(rows.num_rows() as u64);
            passed -= first;
            if first == rows.num_rows() as u64 {
                continue;
            }
            let keys = (MOMENT + 1..rows.num_columns()).map(|column| rows.column(column).clone()).collect();
            let entities = Entities::of(keys, rows.num_rows());
            let entities = entities.map_err(|error| TrainError::weir(error.to_string()))?;
            let asking = Arc::new(Asking { rows, entities });
            for row in first as usize..asking.rows.num_rows() {
                let group = asking.entities.group(row).0;
                let worker =
                    self.groups.iter().position(|groups| groups.contains(&group)).unwrap_or_default();
                self.ask(&asking, row, worker, settings.serving_delay).await?;
            }
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        rows: &Arc<Asking>,
        row: usize,
        worker: usize,
        serving_delay: Span,
    ) -> Result<(), TrainError> {
        let of_spine = moment(&rows.rows, row);
        self.refuse_other_units(of_spine).await?;
        // What happens after a moment is asked for when it has happened: all moments are as much later, so in one order.
        let asked_for = of_spine + self.ahead.unwrap_or(Span::ZERO);
        let reached = if self.rule == AsOfRule::Known { asked_for - serving_delay } else { asked_for };
        self.go_on_to(reached).await?;
        let (as_of, time) = match self.rule {
            AsOfRule::Known => {
                let own = self.distance.map(|distance| reached - distance);
                (AsOf::JobTime(own.unwrap_or(reached)), own)
            }
            AsOfRule::Event => {
                // Whatever comes now happened later.
                self.settle(reached + Span::from_millis(1))?;
                (AsOf::Asked(reached), Some(reached))
            }
        };
        // Events of any time were known in a gap.
        let known_by = if self.rule == AsOfRule::Known { reached } else { EventTime::MAX };
        let since = self.history.data_since(known_by);
        let is_beyond = self.ends_before(reached);
        self.beyond += u64::from(is_beyond);
        let is_cut_off = self.ahead.is_some() && is_beyond;
        self.cut_off += u64::from(is_cut_off);
        self.before_any += u64::from(self.newest.is_none());
        self.asked.0 += 1;
        self.order(Order::Ask(Ask { worker, rows: rows.clone(), row, as_of, time, since, is_cut_off }))
    }

    /// Whether some input has no event that was known at this time or later, so that nobody can say whether there was one
    /// before.
    fn ends_before(&self, time: EventTime) -> bool {
        (0..self.inputs).any(|input| self.history.known_up_to(input).is_none_or(|known| known < time))
    }

    /// Refuses a moment that is a time of the history's only in another unit: no answer to it means anything.
    async fn refuse_other_units(&mut self, moment: EventTime) -> Result<(), TrainError> {
        let Some((next, _)) = self.history.next_known().await? else { return Ok(()) };
        match meant_in_seconds(moment, next) {
            Some(reason) => Err(TrainError::user(format!("the spine asks for {moment}, which {reason}"))),
            None => Ok(()),
        }
    }

    /// Has everything taken effect that was known by then.
    async fn go_on_to(&mut self, to: EventTime) -> Result<(), TrainError> {
        self.keep_when_due()?;
        while let Some((known, id)) = self.history.next_known().await?.filter(|(known, _)| *known <= to) {
            self.let_pass(known);
            // What went on while nothing came has taken effect before the rows that come then, as it had at that time.
            self.settle_known()?;
            // Who has rows when all were idle has the others looked at anew, which says when they are idle again.
            let by = if self.watermark.all_idle() { known } else { self.next_change(known).min(to) };
            let by = self.history.next_of_others(id).map_or(by, |other| other.min(by));
            let mut newest_known = known;
            while let Some((known, what)) = self.history.take(id, by.max(known)) {
                newest_known = known;
                self.take(known, what)?;
            }
            self.let_pass(newest_known);
            (self.listener)(Progress {
                job: &self.job,
                events: self.history.counts().events,
                known: newest_known,
                answered: self.asked,
            });
            self.keep_when_due()?;
        }
        self.let_pass(to);
        self.settle_known()
    }

    /// Everything is settled that the watermark says; in event time the rows of the spine say it.
    fn settle_known(&mut self) -> Result<(), TrainError> {
        if self.rule == AsOfRule::Event {
            return Ok(());
        }
        let reached = self.watermark.current();
        self.settle(reached)
    }

    /// The last moment behind `now` before which of the partitions are idle stays as it is.
    fn next_change(&self, now: EventTime) -> EventTime {
        let next = self.idleness.next_change(on_clock(now)).filter(|_| self.rule == AsOfRule::Known);
        next.map_or(EventTime::MAX, |next| off_clock(next) - Span::from_millis(1))
    }

    fn take(&mut self, known: EventTime, what: Known) -> Result<(), TrainError> {
        match what {
            Known::Watermark { of, is, newest } => {
                let now = on_clock(known);
                self.idleness.wake(now, &mut self.watermark);
                self.watermark.update(of, is);
                if let Some(newest) = newest {
                    let distance = Span::from_millis(known.since(newest).millis().max(0));
                    self.distance = Some(self.distance.map_or(distance, |least| least.min(distance)));
                    self.newest = self.newest.max(Some(newest));
                    self.idleness.heard(of, now);
                    self.idleness.caught_up(of, now);
                }
                Ok(())
            }
            Known::Cut => {
                let reached = self.watermark.current();
                self.settle(reached)
            }
            Known::Rows(rows, range) => self.order(Order::Rows(rows, range)),
            Known::Ended(partition) => {
                self.archive_ended(partition);
                Ok(())
            }
        }
    }

    /// A partition of an archive holds nothing back any more. Behind the last of its input the log does.
    fn archive_ended(&mut self, partition: PartitionId) {
        self.idleness.ended(partition);
        self.watermark.current();
        self.watermark.remove(partition);
        let is_of_input = |id: &PartitionId| id.input() == partition.input();
        if self.watermark.partitions().any(|id| id.is_of_archive() && is_of_input(&id)) {
            return;
        }
        for log in self.logs_behind.extract_if(.., |id| is_of_input(id)) {
            self.watermark.add(log);
            if let Some(now) = self.now {
                self.idleness.caught_up(log, on_clock(now));
            }
        }
    }

    /// The clock goes on to a time, and on the way partitions become idle.
    fn let_pass(&mut self, to: EventTime) {
        // What comes before any row (a block of which none can be used) was not known at a time.
        if to == EventTime::MIN {
            return;
        }
        let Some(now) = self.now else {
            // Reading began with the first row.
            self.watermark.partitions().for_each(|id| self.idleness.caught_up(id, on_clock(to)));
            self.now = Some(to);
            return;
        };
        if self.rule == AsOfRule::Event || to <= now {
            return;
        }
        let (mut at, end) = (on_clock(now), on_clock(to));
        while let Some(next) = self.idleness.next_change(at).filter(|next| *next < end) {
            at = next;
            self.idleness.tick(at, &mut self.watermark);
            // It never goes back from here, whoever has rows next.
            self.watermark.current();
        }
        self.idleness.tick(end, &mut self.watermark);
        self.watermark.current();
        self.now = Some(to);
    }

    fn settle(&mut self, to: EventTime) -> Result<(), TrainError> {
        if to <= self.settled {
            return Ok(());
        }
        self.settled = to;
        self.order(Order::Settle(to))
    }

    fn order(&mut self, order: Order) -> Result<(), TrainError> {
        self.orders.push(order);
        if self.orders.len() < ORDERS { Ok(()) } else { self.send() }
    }

    pub(crate) fn send(&mut self) -> Result<(), TrainError> {
        let orders = Arc::new(std::mem::take(&mut self.orders));
        let is_gone = self.workers.iter().any(|(sender, _)| sender.send(orders.clone()).is_err());
        // Why is said by the worker, when it is waited for.
        if is_gone { Err(TrainError::weir("a worker has ended")) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<(Sorted, JobReport), TrainError> {
        let mut failure = self.send().err();
        let (mut counts, mut failed, mut reason) = (self.history.counts(), 0, None);
        for (sender, worker) in std::mem::take(&mut self.workers) {
            drop(sender);
            match worker.join() {
                Ok(Ok(done)) => {
                    counts.late += done.late;
                    counts.dropped += done.dropped;
                    failed += done.failed;
                    reason = reason.or(done.reason);
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some(TrainError::weir("a worker panicked")),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let answers = Arc::into_inner(self.answers).ok_or_else(|| TrainError::weir("a worker still runs"))?;
        let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (since, newest) = (self.history.data_since(EventTime::MAX), self.newest);
        let (refused, unordered) = (self.history.refused().map(str::to_owned), self.history.unordered());
        let report = JobReport {
            counts,
            since,
            newest,
            refused,
            unordered,
            before_any: (self.before_any, self.asked.1),
            beyond: self.beyond,
            cut_off: self.cut_off,
            failed,
            reason,
        };
        if let Some(keeper) = self.keeper {
            keep_done(keeper, &mut answers, &report)?;
        }
        Ok((answers.finish()?, report))
    }
}

/// The inputs whose archives are read before their logs.
fn pasts(job: &Job, rule: AsOfRule) -> Pasts {
    let mut pasts = Pasts::default();
    for (at, (input, of_plan)) in job.inputs.iter().zip(&job.plan.inputs).enumerate() {
        let Some(archive) = &input.archive else { continue };
        pasts.gaps.insert(at, archive.gap);
        let is_first = matches!(archive.cut, Cut::At(_)) || of_plan.stream.dedup.is_some();
        if is_first && rule == AsOfRule::Known {
            pasts.first.insert(at);
        }
    }
    pasts
}

/// A time as that of a monotonic clock which began before all of them.
fn on_clock(time: EventTime) -> Duration {
    Duration::from_millis(time.millis().abs_diff(i64::MIN))
}

/// The time that stands so on that clock.
fn off_clock(at: Duration) -> EventTime {
    let millis = i128::try_from(at.as_millis()).unwrap_or(i128::MAX) + i128::from(i64::MIN);
    EventTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
