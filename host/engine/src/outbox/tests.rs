//! An outbox with rows of the past, by a clock that is moved: what comes later is first, the rest at its pace, and what
//! waits is there after a restart.

use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use std::path::Path;
use weir_connect::sink::RowMeta;
use weir_connect::{CpuTime, Op};
use weir_event::ManualClock;

/// Rows a second.
const RATE: u64 = 10;

struct World {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    outbox: Arc<Outbox>,
    checkpoint: u64,
    written: Vec<i64>,
}

fn rows(number: i64) -> Arc<SinkRows> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![number]));
    let columns = RecordBatch::try_from_iter([("n", column)]).unwrap();
    Arc::new(SinkRows { columns, meta: RowMeta::default() })
}

fn open(
    folder: &Path,
    clock: &Arc<ManualClock>,
    past_rate: Option<u64>,
    part: Option<SinkPart>,
) -> Arc<Outbox> {
    let part = part.unwrap_or(SinkPart { token: None, covered: Covered::default(), kept: Kept::default() });
    Arc::new(Outbox::open(OutboxOpening {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        identity: None,
        folder: folder.to_owned(),
        // Much less than what waits of the past.
        limit_bytes: 1000,
        on_full: OnFull::Pause,
        is_kept: true,
        shows_when_safe: true,
        goes_on: false,
        is_bounded: false,
        attempt: 1,
        token: part.token,
        kept: part.kept,
        covered: part.covered,
        past_rate,
        progress: Arc::new(Progress::started(clock.now(), CpuTime::default())),
        clock: clock.clone(),
        stop: watch::Sender::new(false).subscribe(),
        room: Arc::default(),
    }))
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let outbox = open(folder.path(), &clock, Some(RATE), None);
        World { folder, clock, outbox, checkpoint: 0, written: Vec::new() }
    }

    async fn past(&self, numbers: std::ops::Range<i64>) {
        for number in numbers {
            self.outbox.append_past(&rows(number), 100).await.unwrap();
        }
    }

    /// The sink does what there is for it now.
    #[allow(
        clippy::disallowed_methods,
        reason = "a thread of the machine reads files: what it does is waited for"
    )]
    async fn work(&mut self) {
        loop {
            let next = tokio::time::timeout(Duration::from_millis(200), self.outbox.next()).await;
            match next.map(Result::unwrap) {
                Err(_) => return,
                Ok(Work::Write(rows)) => {
                    self.written.push(rows.columns.column(0).as_primitive::<Int64Type>().value(0));
                    self.outbox.wrote();
                }
                Ok(Work::Prepare(checkpoint)) => {
                    self.outbox.prepared(checkpoint, Token(self.written.len().into()), false);
                }
                Ok(Work::Commit(token)) => self.outbox.committed(&token).await,
                Ok(Work::Pause | Work::End) => panic!("nobody asked for it"),
            }
        }
    }

    /// A checkpoint that is safe; gives what it says of the sink.
    async fn checkpoint(&mut self) -> SinkPart {
        self.checkpoint += 1;
        self.outbox.begin(self.checkpoint);
        self.work().await;
        let part = self.outbox.part().await.unwrap();
        self.outbox.make_safe().await.unwrap();
        part
    }
}

#[tokio::test]
async fn later_rows_come_first_and_those_of_the_past_at_their_pace() {
    let mut world = World::new();
    world.past(100..200).await;
    assert!(world.outbox.has_past() && !world.outbox.is_full(), "a past of any length stops no job");
    world.work().await;
    assert!(world.written.is_empty(), "no checkpoint holds them yet: {:?}", world.written);
    world.checkpoint().await;
    world.work().await;
    // A beginning is made up for as a pause is; then each has its tenth of a second.
    let begun = world.written.len();
    assert!((1..=3).contains(&begun), "{:?}", world.written);
    for _ in 0..5 {
        world.clock.advance(Duration::from_millis(100));
        world.work().await;
    }
    assert_eq!(world.written.len(), begun + 5, "{:?}", world.written);
    world.outbox.append(&rows(0), 10).await.unwrap();
    world.outbox.append(&rows(1), 10).await.unwrap();
    world.clock.advance(Duration::from_millis(100));
    world.work().await;
    assert_eq!(world.written[begun + 5..], [0, 1, 100 + begun as i64 + 5], "{:?}", world.written);
}

#[tokio::test]
async fn what_waits_of_the_past_is_given_after_a_restart_though_the_definition_says_nothing_of_it_any_more() {
    let mut world = World::new();
    world.past(100..110).await;
    world.checkpoint().await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_millis(100));
        world.work().await;
    }
    let part = world.checkpoint().await;
    let covered = part.token.as_ref().and_then(|token| token.0.as_u64()).unwrap();
    assert!(covered >= 3 && covered + part.kept.waiting_rows() == 10, "{part:?}");
    assert_eq!(part.kept.past.as_ref().map(|past| past.rate), Some(RATE));
    // Some is written that no token covers, and what is made of the past meanwhile is in no checkpoint.
    world.past(110..120).await;
    world.clock.advance(Duration::from_millis(100));
    world.work().await;
    world.outbox = open(world.folder.path(), &world.clock, None, Some(part));
    let safe = world.outbox.rewind().await;
    world.written.truncate(safe.and_then(|token| token.0.as_u64()).unwrap() as usize);
    world.past(110..112).await;
    for _ in 0..2 {
        world.checkpoint().await;
        for _ in 0..12 {
            world.clock.advance(Duration::from_millis(100));
            world.work().await;
        }
    }
    world.checkpoint().await;
    world.work().await;
    assert!(world.written.iter().copied().eq(100..112), "{:?}", world.written);
    assert!(!world.outbox.has_past() && !world.outbox.lacks_token());
    let names = std::fs::read_dir(world.folder.path()).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".rows")).collect();
    assert!(left.is_empty(), "files that nobody needs are removed: {left:?}");
}

#[tokio::test]
async fn a_sink_that_tells_older_rows_is_given_current_ones_and_what_deletes_comes_again_behind_the_past() {
    use crate::deliver::{Era, Outlet, Takes, Way};
    let world = World::new();
    let outlet = |refuses_older| Outlet {
        outbox: world.outbox.clone(),
        wants_meta: true,
        takes: Takes::Smooth { together: 1, refuses_older },
    };
    let (keyed, files) = (outlet(true), outlet(false));
    assert_eq!(keyed.way(Era::Current, Op::Upsert), Some(Way::AtOnce));
    assert_eq!(files.way(Era::Current, Op::Upsert), None, "it has them among those of the past");
    assert_eq!(keyed.way(Era::Later, Op::Delete), Some(Way::AtOnce));
    world.past(0..1).await;
    assert_eq!(keyed.way(Era::Later, Op::Delete), Some(Way::Twice(1)));
    assert_eq!(files.way(Era::Later, Op::Delete), Some(Way::AtOnce));
    assert_eq!(keyed.way(Era::Past, Op::Upsert), Some(Way::InTime(1)));
}
