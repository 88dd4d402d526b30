//! State encoded ahead of a barrier, some blocks at a time between batches, so that the barrier itself finds little left to
//! encode and holds no row up.
//!
//! When a barrier is near, segments are gone through again and again: what changed since a segment's last turn is encoded
//! anew, and then that counts. The first round has everything to encode, each later one only what the batches in between
//! have touched.
//!
//! Knows no checkpoint, only how often there is one.

use crate::entries::Entries;
use crate::shard::Locked;
use std::sync::Arc;
use std::time::Duration;
use weir_core::Keyed;
use weir_event::{Clock, Sleep};

/// So long rows wait for a slice, and then for the blocks that it was at.
const SLICE: Duration = Duration::from_millis(2);
/// So many blocks are encoded before the time is looked at; a long one takes some microseconds.
const AT_ONCE: usize = 64;
/// Of the time between two barriers, the part before the second one in which state is encoded ahead: rounds that come too
/// early are encoded in vain.
const PART: u32 = 40;
/// As long as some rounds over a hundred thousand keys take, with batches in between.
const LONGEST: Duration = Duration::from_millis(150);

/// What a shard has encoded of its state since the last barrier.
pub(crate) struct Ahead {
    clock: Arc<dyn Clock>,
    every: Duration,
    last_barrier: Duration,
    entries: Entries,
    /// The segment whose turn is next.
    next: usize,
    /// Whether the last slice went through all segments in its time, so that nothing is left without further rows.
    is_through: bool,
    /// Until the next barrier is near; there is none before anybody has waited for it.
    nearing: Option<Sleep>,
}

impl Ahead {
    /// Where barriers come about so often.
    pub(crate) fn of_barriers_every(every: Duration, clock: Arc<dyn Clock>) -> Ahead {
        let last_barrier = clock.monotonic();
        let entries = Entries::default();
        Ahead { clock, every, last_barrier, entries, next: 0, is_through: false, nearing: None }
    }

    fn lead(&self) -> Duration {
        (self.every / PART).min(LONGEST)
    }

    fn since_barrier(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.last_barrier)
    }

    /// Whether a barrier is near. One that has not come long after its time waits for something, and nobody knows how long.
    fn is_near(&self) -> bool {
        let since = self.since_barrier();
        since + self.lead() >= self.every && since <= self.every + self.lead()
    }

    /// Returns when there is something to encode though no rows come: [`Ahead::slice`] does it.
    pub(crate) async fn is_due(&mut self) {
        match (self.is_near(), self.is_through) {
            (true, false) => tokio::task::yield_now().await,
            (true, true) => std::future::pending().await,
            (false, _) => {
                let begins = self.every.saturating_sub(self.lead());
                match begins.checked_sub(self.since_barrier()).filter(|left| !left.is_zero()) {
                    // One wait from barrier to barrier, however many batches come meanwhile.
                    Some(left) => self.nearing.get_or_insert_with(|| self.clock.sleep(left)).await,
                    None => std::future::pending().await,
                }
            }
        }
    }

    /// Encodes some segments, if a barrier is near.
    pub(crate) fn slice(&mut self, keyed: &mut Keyed<Locked>) {
        if self.is_near() {
            self.encode(keyed);
        }
    }

    fn encode(&mut self, keyed: &mut Keyed<Locked>) {
        let began = self.clock.monotonic();
        let mut left = keyed.segments();
        while left > 0 {
            let entries = &mut self.entries;
            let is_through = keyed.dirty_of(self.next, AT_ONCE, &mut |name, value| {
                entries.push(|out| name.put_with_group(out), value);
            });
            if is_through {
                self.next = (self.next + 1) % keyed.segments();
                left -= 1;
            }
            if self.clock.monotonic().saturating_sub(began) >= SLICE {
                self.is_through = false;
                return;
            }
        }
        self.is_through = true;
    }

    /// A barrier falls: encodes what is left, and gives everything that changed since the last one.
    pub(crate) fn barrier(&mut self, keyed: &mut Keyed<Locked>) -> Entries {
        let mut entries = std::mem::take(&mut self.entries);
        keyed.dirty(&mut |name, value| entries.push(|out| name.put_with_group(out), value));
        (self.last_barrier, self.is_through, self.nearing) = (self.clock.monotonic(), false, None);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Shards;
    use crate::tests::harness::plan;
    use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
    use arrow_schema::Schema;
    use weir_connect::{CpuTime, KnownTimes};
    use weir_core::{Intake, Parts, Step};
    use weir_event::{EventTime, ManualClock, PartitionId, Span};
    use weir_plan::JobPlan;
    use weir_store::Entry;
    use weir_timeline::{Bounds, Exclude, Frames, OverFrame, StageSpec};

    const EVERY: Duration = Duration::from_secs(10);

    /// A job with one shard.
    struct World {
        intake: Intake,
        keyed: Keyed<Locked>,
        ahead: Ahead,
        rows: u64,
    }

    impl World {
        fn new(plan: &JobPlan, clock: Arc<dyn Clock>) -> World {
            let plan = Arc::new(plan.clone());
            let stage = plan.stage.as_ref().unwrap();
            let shards = Arc::new(Shards::new(stage, 1, true).unwrap());
            World {
                intake: Intake::open(plan.clone()),
                keyed: Keyed::over(plan, Locked { shards, number: 0 }).unwrap(),
                ahead: Ahead::of_barriers_every(EVERY, clock),
                rows: 0,
            }
        }

        /// Rows of some users, all at one time.
        fn insert(&mut self, users: impl Iterator<Item = u64>, seconds: i64) {
            let users: StringViewArray = users.map(|user| Some(format!("user {user}"))).collect();
            let count = users.len();
            let times = TimestampMillisecondArray::from(vec![seconds * 1000; count]);
            let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; count]));
            let ids: ArrayRef = Arc::new(users.clone());
            let columns: [(&str, ArrayRef); 4] =
                [("user", Arc::new(users)), ("t", Arc::new(times)), ("n", numbers), ("id", ids)];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let offsets: Vec<u64> = (self.rows..self.rows + count as u64).collect();
            self.rows += count as u64;
            let steps = self.intake.columns(PartitionId::default(), &offsets, KnownTimes::Unknown, &batch);
            for step in steps.unwrap().steps {
                match step {
                    Step::Rows(rows) => drain(self.keyed.rows(&rows).unwrap()),
                    Step::Watermark(watermark) => drain(self.keyed.settle(watermark)),
                    Step::Results(_) => panic!("the job has keys"),
                }
            }
        }

        fn barrier(&mut self) -> Vec<Entry> {
            self.ahead.barrier(&mut self.keyed).into_iter().collect()
        }
    }

    /// The same events, as counts of the last hour at each.
    fn over() -> JobPlan {
        let mut plan = plan();
        let stage = plan.stage.as_mut().unwrap();
        let bounds = Bounds::Range { preceding: Some(Span::from_millis(3_600_000)), until: Span::ZERO };
        let frame = OverFrame { bounds, exclude: Exclude::None };
        stage.spec = Arc::new(StageSpec { frames: Frames::Over(vec![frame]), ..(*stage.spec).clone() });
        let fields = |schema: &Schema| Schema::new(schema.fields()[..2].to_vec());
        stage.results = Arc::new(fields(&stage.results));
        plan.output.columns.remove(1);
        let of_output =
            Schema::new(vec![plan.output.schema.field(0).clone(), plan.output.schema.field(2).clone()]);
        plan.output.schema = Arc::new(of_output);
        plan
    }

    fn drain(parts: Parts<'_, Locked>) {
        parts.for_each(|effects| drop(effects.unwrap()));
    }

    #[test]
    fn what_is_encoded_ahead_and_changes_again_is_stored_as_it_is_at_the_barrier() {
        let (plan, clock) = (plan(), Arc::new(ManualClock::at(EventTime::from_millis(0))));
        let (mut sliced, mut at_once) = (World::new(&plan, clock.clone()), World::new(&plan, clock.clone()));
        for barrier in 0..3 {
            clock.advance(EVERY.mul_f64(0.99));
            for batch in 0..7 {
                let users = || (0..40).map(|user| user * (batch + 1) % 97 + barrier);
                for world in [&mut sliced, &mut at_once] {
                    world.insert(users(), (barrier * 20 + batch) as i64 * 3);
                }
                sliced.ahead.slice(&mut sliced.keyed);
            }
            let left = sliced.ahead.entries.len();
            let (found, expected) = (sliced.barrier(), at_once.barrier());
            assert!(left > found.len(), "some were encoded more than once");
            assert_eq!(found, expected);
            clock.advance(EVERY.mul_f64(0.01));
        }
    }

    /// The processor time of some work.
    fn cost(work: impl FnOnce()) -> Duration {
        let cpu = CpuTime::default();
        cpu.measure(work);
        cpu.total()
    }

    #[test]
    fn a_barrier_finds_little_left_to_encode() {
        waits_at_barriers("windows", &plan(), 1, 1);
        // A long block is encoded whole where one row came to it, so that there must be time between batches.
        waits_at_barriers("OVER with 20 rows for each key", &over(), 20, 20);
    }

    /// Prints how long rows wait for a barrier of a shard that holds half of 100,000 keys, all of which have changed and
    /// have so many rows, where there is time for so many slices between two batches.
    fn waits_at_barriers(what: &str, plan: &JobPlan, rows: i64, slices: usize) {
        const KEYS: u64 = 50_000;
        const BATCH: u64 = 3_000;
        let mut world = World::new(plan, Arc::new(crate::SystemClock::default()));
        let (mut pauses, mut random) = (Vec::new(), 1_u64);
        (0..rows).for_each(|row| world.insert(0..KEYS, row - rows));
        let at_once = cost(|| drop(world.ahead.barrier(&mut world.keyed)));
        for barrier in 1..5 {
            world.insert(0..KEYS, barrier);
            for _ in 0..40 {
                let users = (0..BATCH).map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (random >> 33) % KEYS
                });
                world.insert(users, barrier);
                for _ in 0..slices {
                    pauses.push(cost(|| world.ahead.encode(&mut world.keyed)));
                    if world.ahead.is_through {
                        break;
                    }
                }
            }
            let before = world.ahead.entries.len();
            let mut entries = Entries::default();
            pauses.push(cost(|| entries = world.ahead.barrier(&mut world.keyed)));
            let left = entries.len() - before;
            assert!(left < KEYS as usize / 2, "{left} of {KEYS} are left for the barrier");
            assert!(entries.into_iter().count() >= KEYS as usize);
        }
        pauses.sort();
        let at = |part: usize| pauses[(pauses.len() - 1) * part / 100];
        println!(
            "{what}: rows wait {:?} at p50, {:?} at p99, {:?} at most; {at_once:?} at once",
            at(50),
            at(99),
            at(100)
        );
    }
}
