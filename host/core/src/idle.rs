//! Idleness: which partitions do not hold the watermark back, and what happens when none does.
//!
//! A partition is idle when it was read to the end of its log *and* has been silent for `idle_after`, counted anew
//! from each start; one that lags, or whose source cannot be reached, is never idle.
//!
//! Where all were idle and one has rows again, the others may have as many, and only have not been asked yet: rows of a
//! day come at once to all. So none is idle again before every source could be looked at.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use weir_event::{EventTime, JobWatermark, PartitionId, Span};
use weir_plan::JobPlan;
use weir_plan::definition::WhenIdle;

/// So long after the first has woken, sources have been looked at: files are five times, brokers ten.
const LOOKED_AT_AFTER: Duration = Duration::from_secs(1);

/// The idleness of one job's partitions.
#[derive(Debug)]
pub struct Idleness {
    /// Of each input's stream.
    idle_after: Vec<Duration>,
    when_idle: WhenIdle,
    partitions: BTreeMap<PartitionId, Silence>,
    /// Since when all are idle, and the watermark then.
    all_idle: Option<(Duration, EventTime)>,
    flushed: bool,
    /// When one had rows again after all were idle, while the others have not been looked at since.
    woken: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Silence {
    caught_up: bool,
    since: Duration,
}

/// What was heard of a job's partitions so far: for whoever goes on by the same clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Silences {
    partitions: Vec<(PartitionId, Silence)>,
    all_idle: Option<(Duration, EventTime)>,
    flushed: bool,
    woken: Option<Duration>,
}

/// What idleness asks of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The watermark may have moved.
    Watermark,
    /// Write everything that is open.
    Flush,
}

impl Idleness {
    /// Of a job's partitions, each by its own stream's rule. When all are idle, the most careful of the streams' wishes
    /// is the job's: none of them is to see its windows closed earlier than it said.
    pub fn of(plan: &JobPlan) -> Self {
        let wishes = || plan.inputs.iter().map(|input| input.stream.when_idle);
        let careful = [WhenIdle::Hold, WhenIdle::Advance, WhenIdle::Flush];
        let when_idle = careful.into_iter().find(|wish| wishes().any(|other| other == *wish));
        let idle_after = plan.inputs.iter().map(|input| input.stream.idle_after);
        Idleness::new(idle_after.collect(), when_idle.unwrap_or_default())
    }

    fn new(idle_after: Vec<Span>, when_idle: WhenIdle) -> Self {
        let duration = |span: Span| Duration::from_millis(span.millis().max(0) as u64);
        let idle_after = idle_after.into_iter().map(duration).collect();
        let partitions = BTreeMap::new();
        Idleness { idle_after, when_idle, partitions, all_idle: None, flushed: false, woken: None }
    }

    /// What was heard so far.
    pub fn silences(&self) -> Silences {
        let Idleness { partitions, all_idle, flushed, woken, .. } = self;
        let partitions = partitions.iter().map(|(partition, silence)| (*partition, *silence)).collect();
        Silences { partitions, all_idle: *all_idle, flushed: *flushed, woken: *woken }
    }

    /// Goes on where [`Idleness::silences`] was asked for.
    #[must_use]
    pub fn after(self, silences: Silences) -> Idleness {
        let Silences { partitions, all_idle, flushed, woken } = silences;
        Idleness { partitions: partitions.into_iter().collect(), all_idle, flushed, woken, ..self }
    }

    /// Rows of a partition, or its source's promise, are about to be taken: if all were idle, the others hold the
    /// watermark back until they have been looked at.
    pub fn wake(&mut self, now: Duration, watermark: &mut JobWatermark) {
        if self.partitions.len() > 1 && watermark.all_idle() {
            self.woken = Some(now);
            self.partitions.keys().for_each(|partition| watermark.set_idle(*partition, false));
        }
    }

    /// A partition has handed out rows.
    pub fn heard(&mut self, partition: PartitionId, now: Duration) {
        self.partitions.insert(partition, Silence { caught_up: false, since: now });
        self.all_idle = None;
        self.flushed = false;
    }

    /// A partition was read to its present end.
    pub fn caught_up(&mut self, partition: PartitionId, now: Duration) {
        let silence = self.partitions.entry(partition).or_insert(Silence { caught_up: true, since: now });
        silence.caught_up = true;
    }

    /// Nothing more will come of a partition: it holds nothing back.
    pub fn ended(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// The source cannot be reached: nothing is idle until it has been read to its end again.
    pub fn lost(&mut self, watermark: &mut JobWatermark) {
        for (partition, silence) in &mut self.partitions {
            silence.caught_up = false;
            watermark.set_idle(*partition, false);
        }
        self.all_idle = None;
    }

    /// When, after this time, judging anew could come out otherwise, if nothing is heard until then: for whoever has a
    /// clock that can be set.
    pub fn next_change(&self, after: Duration) -> Option<Duration> {
        let of_partition = |(partition, silence): (&PartitionId, &Silence)| {
            let idle_after = self.idle_after.get(partition.input())?;
            silence.caught_up.then(|| silence.since.saturating_add(*idle_after))
        };
        let silent = self.partitions.iter().filter_map(of_partition);
        let looked_at = self.woken.map(|woken| woken.saturating_add(LOOKED_AT_AFTER));
        silent.chain(looked_at).filter(|time| *time > after).min()
    }

    /// Judges every partition anew.
    pub fn tick(&mut self, now: Duration, watermark: &mut JobWatermark) -> Wish {
        self.woken = self.woken.filter(|woken| now.saturating_sub(*woken) < LOOKED_AT_AFTER);
        for (partition, silence) in &self.partitions {
            let idle_after = self.idle_after.get(partition.input());
            let silent = now.saturating_sub(silence.since);
            let is_silent = idle_after.is_some_and(|idle_after| silent >= *idle_after);
            let idle = silence.caught_up && is_silent && self.woken.is_none();
            watermark.set_idle(*partition, idle);
        }
        if !watermark.all_idle() {
            self.all_idle = None;
            return Wish::Watermark;
        }
        match self.when_idle {
            WhenIdle::Hold => Wish::Watermark,
            WhenIdle::Advance => {
                let current = watermark.current();
                let (since, from) = *self.all_idle.get_or_insert((now, current));
                if from > EventTime::MIN {
                    let passed = now.saturating_sub(since).as_millis() as i64;
                    watermark.advance_to(from + Span::from_millis(passed));
                }
                Wish::Watermark
            }
            WhenIdle::Flush if self.flushed => Wish::Watermark,
            WhenIdle::Flush => {
                self.flushed = true;
                Wish::Flush
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P0: PartitionId = PartitionId { source: 0, partition: 0 };
    const P1: PartitionId = PartitionId { source: 0, partition: 1 };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn job() -> (Idleness, JobWatermark) {
        let mut watermark = JobWatermark::default();
        watermark.add(P0);
        watermark.add(P1);
        watermark.update(P0, EventTime::from_millis(100_000));
        (Idleness::new(vec![Span::from_millis(10_000)], WhenIdle::Advance), watermark)
    }

    #[test]
    fn a_silent_partition_holds_until_it_is_at_its_end_and_silent_long_enough() {
        let (mut idleness, mut watermark) = job();
        idleness.heard(P0, seconds(0));
        idleness.tick(seconds(60), &mut watermark);
        assert_eq!(watermark.current(), EventTime::MIN, "not read to its end: never idle");
        idleness.caught_up(P1, seconds(60));
        idleness.tick(seconds(69), &mut watermark);
        assert_eq!(watermark.current(), EventTime::MIN);
        idleness.tick(seconds(70), &mut watermark);
        assert_eq!(watermark.current(), EventTime::from_millis(100_000));
    }

    #[test]
    fn who_was_at_its_end_and_has_read_on_is_not_idle_before_it_is_there_again() {
        let (mut idleness, mut watermark) = job();
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        idleness.heard(P1, seconds(1));
        idleness.tick(seconds(60), &mut watermark);
        assert_eq!(watermark.current(), EventTime::MIN, "it has more to read, however long that takes");
        idleness.caught_up(P1, seconds(60));
        idleness.tick(seconds(60), &mut watermark);
        assert_eq!(watermark.current(), EventTime::from_millis(100_000));
    }

    #[test]
    fn who_speaks_again_holds_the_watermark_back_at_once() {
        let (mut idleness, mut watermark) = job();
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        idleness.tick(seconds(10), &mut watermark);
        assert!(watermark.all_idle());
        watermark.update(P1, EventTime::from_millis(20_000));
        watermark.update(P0, EventTime::from_millis(200_000));
        assert_eq!(
            watermark.current(),
            EventTime::from_millis(100_000),
            "it waits for P1, and never goes back"
        );
    }

    #[test]
    fn when_one_wakes_after_all_were_idle_the_others_are_looked_at_first() {
        let (mut idleness, mut watermark) = job();
        watermark.update(P1, EventTime::from_millis(90_000));
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        idleness.tick(seconds(10), &mut watermark);
        let reached = watermark.current();
        assert!(watermark.all_idle());
        let wake = |idleness: &mut Idleness, watermark: &mut JobWatermark, partition, at, time| {
            idleness.wake(at, watermark);
            watermark.update(partition, EventTime::from_millis(time));
            idleness.heard(partition, at);
            idleness.caught_up(partition, at);
        };
        wake(&mut idleness, &mut watermark, P0, seconds(20), 900_000);
        idleness.tick(seconds(20) + LOOKED_AT_AFTER / 2, &mut watermark);
        assert_eq!(watermark.current(), reached, "P1 may have as much to hand out");
        wake(&mut idleness, &mut watermark, P1, seconds(20) + LOOKED_AT_AFTER / 2, 300_000);
        assert_eq!(watermark.current(), EventTime::from_millis(300_000));
        // P1 is silent again, and P0 never was so long: nobody waits for P1 a second time.
        wake(&mut idleness, &mut watermark, P0, seconds(29), 950_000);
        idleness.tick(seconds(31), &mut watermark);
        assert!(watermark.is_idle(P1));
        wake(&mut idleness, &mut watermark, P0, seconds(32), 960_000);
        assert_eq!(watermark.current(), EventTime::from_millis(960_000));
    }

    #[test]
    fn who_was_looked_at_and_has_nothing_is_idle_again() {
        let (mut idleness, mut watermark) = job();
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        idleness.tick(seconds(10), &mut watermark);
        idleness.wake(seconds(20), &mut watermark);
        watermark.update(P0, EventTime::from_millis(900_000));
        idleness.heard(P0, seconds(20));
        idleness.tick(seconds(20) + LOOKED_AT_AFTER, &mut watermark);
        assert_eq!(watermark.current(), EventTime::from_millis(900_000));
    }

    #[test]
    fn when_all_are_idle_the_watermark_goes_on_at_the_wall_s_pace() {
        let (mut idleness, mut watermark) = job();
        idleness.heard(P0, seconds(0));
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        idleness.tick(seconds(10), &mut watermark);
        idleness.tick(seconds(15), &mut watermark);
        assert_eq!(watermark.current(), EventTime::from_millis(105_000));
    }

    #[test]
    fn a_lost_source_is_not_idle() {
        let (mut idleness, mut watermark) = job();
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        idleness.lost(&mut watermark);
        idleness.tick(seconds(99), &mut watermark);
        assert!(!watermark.all_idle());
        assert_eq!(watermark.current(), EventTime::MIN);
    }

    #[test]
    fn flush_is_asked_for_once_per_silence() {
        let (_, mut watermark) = job();
        let mut idleness = Idleness::new(vec![Span::ZERO], WhenIdle::Flush);
        idleness.caught_up(P0, seconds(0));
        idleness.caught_up(P1, seconds(0));
        assert_eq!(idleness.tick(seconds(1), &mut watermark), Wish::Flush);
        assert_eq!(idleness.tick(seconds(2), &mut watermark), Wish::Watermark);
        idleness.heard(P0, seconds(3));
        idleness.caught_up(P0, seconds(3));
        assert_eq!(idleness.tick(seconds(4), &mut watermark), Wish::Flush);
    }
}
