//! The queue against a sink that fails, hangs and is killed at random: what is visible is always a beginning of what was
//! appended, each row once; and so is what is visible of the past.

use super::admission::WORKING_BYTES;
use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use weir_connect::sink::RowMeta;
use weir_plan::OnFull;

const NOW: EventTime = EventTime::from_millis(0);
/// Rows of the past have numbers from here on.
const PAST: i64 = 1_000_000;

fn batch(number: i64) -> Arc<SinkRows> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![number]));
    let columns = RecordBatch::try_from_iter([("n", column)]).unwrap();
    Arc::new(SinkRows { columns, meta: RowMeta::default() })
}

fn number_of(rows: &SinkRows) -> i64 {
    rows.columns.column(0).as_primitive::<Int64Type>().value(0)
}

fn token(length: usize) -> Token {
    Token(serde_json::json!(length))
}

/// Pseudo-random choices that differ from seed to seed and not from run to run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A sink, its outbox's files and the newest safe checkpoint: what outlives the process.
#[derive(Default)]
struct Outside {
    written: Vec<i64>,
    visible: usize,
    files: Vec<i64>,
    /// The sink's token and outbox, and how many rows the job had made, and of the past.
    checkpoint: (Option<Token>, Kept, (i64, i64)),
}

impl Outside {
    fn start(&mut self, token: Option<&Token>) {
        let length = token.map_or(0, |token| token.0.as_u64().unwrap() as usize);
        assert!(self.visible <= length && length <= self.written.len(), "visible rows would vanish");
        self.written.truncate(length);
        self.visible = length;
    }

    fn commit(&mut self, token: &Token) {
        self.visible = self.visible.max(token.0.as_u64().unwrap() as usize);
    }

    fn check(&self) {
        let (past, shown): (Vec<i64>, Vec<i64>) =
            self.written[..self.visible].iter().partition(|number| **number >= PAST);
        assert!(shown.iter().copied().eq(0..shown.len() as i64), "{shown:?}");
        assert!(past.iter().copied().eq(PAST..PAST + past.len() as i64), "{past:?}");
    }
}

/// A job that makes numbers, one at a time.
struct World {
    dice: Dice,
    outside: Outside,
    queue: Queue,
    made: i64,
    /// Of the past.
    made_past: i64,
    checkpoint: u64,
    /// The sink is open.
    is_open: bool,
    /// What the checkpoint that has begun holds, apart from the sink's part.
    begun: Option<(i64, i64)>,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            dice: Dice(seed * 2 + 1),
            outside: Outside::default(),
            queue: Queue::default(),
            made: 0,
            made_past: 0,
            checkpoint: 0,
            is_open: false,
            begun: None,
        }
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0..=6 => {
                self.queue.append(batch(self.made), 8, NOW);
                self.made += 1;
            }
            7..=8 if self.begun.is_none() => {
                self.checkpoint += 1;
                self.queue.begin(self.checkpoint);
                self.begun = Some((self.made, self.made_past));
            }
            9..=11 if self.queue.is_answered() => self.make_checkpoint(),
            12 => self.queue.is_behind = true,
            13 => {
                self.queue.is_behind = true;
                self.is_open = false;
            }
            14 => self.spool(self.queue.in_memory()),
            16 => {
                self.queue.past.append(batch(PAST + self.made_past), 8, NOW);
                self.made_past += 1;
            }
            15 if self.dice.roll(4) == 0 => self.crash(),
            _ => self.work(),
        }
        self.outside.check();
    }

    fn spool(&mut self, rows: Vec<(u64, Arc<SinkRows>)>) {
        let mut place = |rows: Arc<SinkRows>| {
            let from = self.outside.files.len() as u64;
            self.outside.files.push(number_of(&rows));
            Stretch { file: "f".into(), from, to: from + 1 }
        };
        let places = rows.into_iter().map(|(number, rows)| (number, place(rows))).collect();
        let past = self.queue.past.in_memory().into_iter().map(place).collect();
        self.queue.moved(places);
        self.queue.past.moved(past);
        self.queue.past.synced();
    }

    fn make_checkpoint(&mut self) {
        let Some(made) = self.begun.take() else { return };
        self.queue.take_token();
        // The sink does not wait until rows are in files.
        for _ in 0..self.dice.roll(3) {
            self.work();
        }
        self.spool(self.queue.to_be_kept());
        assert!(self.queue.past.is_kept());
        for _ in 0..self.dice.roll(3) {
            self.work();
        }
        if self.dice.roll(8) == 0 {
            self.is_open = false;
            self.work();
        }
        let (token, kept) = self.queue.part();
        self.outside.checkpoint = (token, kept, made);
        // The process may end before anybody hears of it.
        if self.dice.roll(10) == 0 { self.crash() } else { self.queue.make_safe() }
    }

    fn crash(&mut self) {
        let (token, kept, made) = self.outside.checkpoint.clone();
        self.queue = Queue::restored(token, kept);
        ((self.made, self.made_past), self.begun, self.is_open) = (made, None, false);
    }

    /// The sink is given a row of the past, if there is one for it; meanwhile a row may come, or a barrier.
    fn take_past(&mut self) {
        let Some(stretch) = self.queue.past.next() else { return };
        if self.dice.roll(4) == 0 {
            self.queue.append(batch(self.made), 8, NOW);
            self.made += 1;
        }
        if self.queue.barrier.is_none() && self.dice.roll(4) == 0 {
            self.checkpoint += 1;
            self.queue.begin(self.checkpoint);
            self.begun = Some((self.made, self.made_past));
        }
        self.queue.take_past(stretch.from + 1, 1);
        self.outside.written.push(self.outside.files[stretch.from as usize]);
        assert_eq!(self.queue.wrote(true), 1, "it was never given before");
    }

    /// The sink does one thing.
    fn work(&mut self) {
        if !self.is_open {
            let Some(safe) = self.queue.rewind() else { return };
            self.outside.start(safe.as_ref());
            self.is_open = true;
            return;
        }
        match self.queue.next() {
            NextStep::Commit(token) => {
                self.outside.commit(&token);
                self.queue.committed();
            }
            NextStep::Write(rows) => {
                self.outside.written.push(number_of(&rows));
                self.queue.wrote(true);
            }
            NextStep::Read(stretch) => {
                self.queue.was_read(stretch.from + 1, 1);
                self.outside.written.push(self.outside.files[stretch.from as usize]);
                self.queue.wrote(true);
            }
            NextStep::Prepare(checkpoint) => {
                let token = token(self.outside.written.len());
                self.queue.prepared(checkpoint, token, false);
            }
            NextStep::Wait => self.take_past(),
            NextStep::CaughtUp => {}
            NextStep::GoBack => self.is_open = false,
            NextStep::Suspended | NextStep::Closed => panic!("nobody asked for it"),
        }
    }
}

#[test]
fn whatever_fails_and_ends_when_each_row_is_visible_once_and_in_order() {
    let mut past = 0;
    for seed in 1..=400 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        // Everything is mended: some more checkpoints, and everything is visible. A row of the past needs one that holds it
        // before it is given, one that covers it, and both again after a crash.
        for _ in 0..20 {
            world.make_checkpoint();
            if world.begun.is_none() {
                world.checkpoint += 1;
                world.queue.begin(world.checkpoint);
                world.begun = Some((world.made, world.made_past));
            }
            let has_all =
                |queue: &mut Queue| matches!(queue.next(), NextStep::Wait) && queue.past.next().is_none();
            while !(world.is_open && has_all(&mut world.queue)) {
                world.work();
            }
        }
        world.outside.check();
        assert_eq!(world.outside.visible as i64, world.made + world.made_past, "seed {seed}");
        assert!(world.queue.is_settled() && world.queue.waiting().0 == 0, "seed {seed}");
        assert_eq!(world.queue.waiting_past(), (0, 0), "seed {seed}");
        past += world.made_past;
    }
    assert!(past > 1000, "{past}");
}

#[test]
fn what_waits_of_the_past_is_given_once_a_checkpoint_holds_it_and_later_rows_come_first() {
    let mut world = World { is_open: true, ..World::new(1) };
    for number in 0..3 {
        world.queue.past.append(batch(PAST + number), 8, NOW);
    }
    assert!(world.queue.past.next().is_none() && world.queue.waiting_past().0 == 3);
    assert!(!world.queue.is_settled());
    world.queue.begin(1);
    // What comes behind the barrier is not in the checkpoint.
    world.queue.past.append(batch(PAST + 3), 8, NOW);
    world.work();
    world.spool(world.queue.to_be_kept());
    let (_, kept) = world.queue.part();
    assert_eq!((kept.waiting_rows(), kept.files.len()), (3, 0));
    assert_eq!(kept.past.unwrap().files.len(), 1, "neighbours are one stretch");
    world.queue.make_safe();
    while world.outside.written.is_empty() {
        world.work();
    }
    world.queue.append(batch(0), 8, NOW);
    (world.made, world.made_past) = (1, 4);
    (0..8).for_each(|_| world.work());
    assert_eq!(world.outside.written[..2], [PAST, 0], "{:?}", world.outside.written);
    let of_past = world.outside.written.iter().filter(|number| **number >= PAST).count();
    assert_eq!(of_past, 3, "the fourth is in no checkpoint yet: {:?}", world.outside.written);
    // A sink that fails is given all of it again, and counts none of it twice.
    assert!(world.queue.rewind().is_some());
    assert_eq!(world.queue.waiting_past().0, 4);
    assert_eq!(world.queue.waiting().0, world.made as u64);
}

#[test]
fn rows_that_no_disk_keeps_are_missed_of_the_past_too() {
    let mut world = World { is_open: true, ..World::new(1) };
    world.queue.past.append(batch(PAST), 8, NOW);
    world.spool(world.queue.in_memory());
    world.queue.past.append(batch(PAST + 1), 8, NOW);
    world.queue.suspend_without_memory();
    assert_eq!((world.queue.missed, world.queue.waiting_past().0), (1, 1));
}

#[test]
fn a_sink_beyond_a_barrier_that_no_disk_keeps_goes_back_and_prepares_at_it() {
    let mut world = World { is_open: true, ..World::new(1) };
    world.queue.append(batch(0), 8, NOW);
    world.queue.is_behind = true;
    world.queue.begin(1);
    assert!(world.queue.is_answered(), "nobody waits for it");
    world.queue.append(batch(1), 8, NOW);
    (world.made, world.checkpoint, world.begun) = (2, 1, Some((1, 0)));
    while !matches!(world.queue.next(), NextStep::Wait) {
        world.work();
    }
    world.queue.take_token();
    assert!(!world.queue.is_covered(), "what it has prepared covers rows behind the barrier");
    for _ in 0..2 {
        world.queue.wait_at_barrier();
        for _ in 0..6 {
            world.work();
        }
    }
    assert!(world.queue.is_covered(), "no disk is needed");
    let (token, kept) = world.queue.part();
    assert_eq!((token.and_then(|token| token.0.as_u64()), kept.files.len()), (Some(1), 0));
    world.queue.make_safe();
    world.work();
    assert_eq!(world.outside.visible, 1);
}

#[test]
fn a_token_of_a_part_that_came_early_is_not_waited_with() {
    let mut world = World { is_open: true, ..World::new(1) };
    for checkpoint in 1..=2 {
        world.queue.append(batch(world.made), 8, NOW);
        world.made += 1;
        world.queue.is_behind = true;
        (world.checkpoint, world.begun) = (checkpoint, Some((world.made, 0)));
        world.queue.begin(checkpoint);
        assert!(world.queue.is_answered(), "nobody waits for it");
        if checkpoint == 1 {
            // The checkpoint is done without it, by files; then it prepares.
            world.spool(world.queue.to_be_kept());
            world.queue.part();
            world.queue.make_safe();
            world.work();
            world.work();
        }
    }
    world.queue.take_token();
    for _ in 0..3 {
        world.queue.wait_at_barrier();
        for _ in 0..6 {
            world.work();
        }
    }
    assert!(world.queue.is_covered(), "no disk is needed");
    let (token, kept) = world.queue.part();
    assert_eq!((token.and_then(|token| token.0.as_u64()), kept.files.len()), (Some(2), 0));
}

#[test]
fn a_sink_that_stays_behind_prepares_at_every_checkpoint_what_it_has_written() {
    let mut world = World { is_open: true, ..World::new(1) };
    let mut visible = Vec::new();
    for checkpoint in 1..=20 {
        for _ in 0..4 {
            world.queue.append(batch(world.made), 8, NOW);
            world.made += 1;
        }
        world.queue.is_behind = true;
        world.work();
        world.work();
        world.checkpoint = checkpoint;
        world.queue.begin(checkpoint);
        world.begun = Some((world.made, world.made_past));
        assert!(world.queue.is_answered(), "nobody waits for it");
        // It prepares; what else it writes belongs to the next checkpoint.
        world.work();
        world.work();
        let (token, kept) = {
            world.spool(world.queue.to_be_kept());
            world.queue.part()
        };
        let waiting: u64 = kept.files.iter().map(|file| file.rows).sum();
        let covered = token.map_or(0, |token| token.0.as_u64().unwrap());
        assert_eq!(covered + waiting, world.made as u64, "checkpoint {checkpoint}");
        world.queue.make_safe();
        world.work();
        visible.push(world.outside.visible);
        world.outside.check();
    }
    assert!(visible.windows(2).all(|pair| pair[1] == pair[0] + 3), "{visible:?}");
    // In its file each takes a byte.
    assert_eq!(world.queue.kept_bytes, world.made as u64 - visible[19] as u64, "what is visible is not kept");
}

#[test]
fn a_sink_whose_rows_no_disk_takes_is_suspended_without_those_that_are_in_memory_alone() {
    let mut world = World { is_open: true, ..World::new(1) };
    for _ in 0..2 {
        world.queue.append(batch(world.made), 8, NOW);
        world.made += 1;
    }
    world.spool(world.queue.in_memory());
    world.queue.append(batch(2), 8, NOW);
    world.work();
    world.queue.suspend_without_memory();
    assert_eq!((world.queue.missed, world.queue.waiting().0, world.queue.memory_bytes()), (1, 1, 0));
    assert!(matches!(world.queue.next(), NextStep::Suspended));
    world.queue.hold = Hold::None;
    world.is_open = false;
    (0..4).for_each(|_| world.work());
    assert_eq!(world.outside.written, [0, 1]);
}

#[test]
fn a_sink_that_works_slows_its_job_down_and_one_that_is_behind_does_so_when_its_outbox_is_full() {
    let mut queue = Queue::default();
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Pause), Admission::Taken);
    queue.append(batch(0), WORKING_BYTES, NOW);
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Pause), Admission::Full);
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Suspend), Admission::Full, "it works");
    queue.is_behind = true;
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Pause), Admission::Taken);
    assert!(!queue.is_full(1 << 30, OnFull::Pause));
    queue.append(batch(1), 1 << 30, NOW);
    assert!(queue.is_full(1 << 30, OnFull::Pause), "its job reads no more");
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Pause), Admission::Taken, "which was on its way");
    queue.append(batch(2), 1 << 30, NOW);
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Pause), Admission::Full);
    queue.hold = Hold::GivenUp;
    assert_eq!(queue.admit(1, 1 << 30, OnFull::Pause), Admission::Hopeless);
}

#[test]
fn what_a_suspended_sink_misses_is_counted_and_what_waits_for_it_stays() {
    let mut queue = Queue { is_behind: true, ..Queue::default() };
    queue.append(batch(0), 10, NOW);
    assert_eq!(queue.admit(3, 10, OnFull::Suspend), Admission::Missed);
    assert_eq!(queue.admit(4, 10, OnFull::Suspend), Admission::Missed);
    assert_eq!((queue.missed, queue.waiting().0), (7, 1));
    assert!(matches!(queue.next(), NextStep::Suspended));
    queue.hold = Hold::None;
    assert!(matches!(queue.next(), NextStep::Write(rows) if number_of(&rows) == 0));
}

#[test]
fn rows_that_nobody_needs_again_are_let_go_when_they_are_written() {
    let mut queue = Queue::default();
    queue.append(batch(0), 10, NOW);
    assert!(matches!(queue.next(), NextStep::Write(_)));
    assert_eq!(queue.wrote(false), 1);
    assert_eq!((queue.memory_bytes(), queue.in_memory().len()), (0, 0));
    assert!(!queue.lacks_token());
}

#[test]
fn rows_that_are_written_again_are_counted_once() {
    let mut queue = Queue::default();
    for number in 0..2 {
        queue.append(batch(number), 10, NOW);
        queue.next();
        assert_eq!(queue.wrote(true), 1);
    }
    assert_eq!(queue.rewind(), Some(None));
    assert_eq!(queue.waiting().0, 2);
    queue.append(batch(2), 10, NOW);
    let counted: Vec<u64> = (0..3).map(|_| queue.wrote(true)).collect();
    assert_eq!(counted, [0, 0, 1]);
}
