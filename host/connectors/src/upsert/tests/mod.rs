//! The frame over a store in memory whose faults are ordered, by a clock that moves only when everything waits for it.

mod compliance;
pub(crate) mod fixture;
mod memory;

use super::{Fence, Keep, Template, UpsertSettings, UpsertSink};
use crate::context::SinkContext;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use memory::{MemoryStore, StoreFault};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::sink::RowMeta;
use weir_connect::{NoMark, Op, RowShape, Sink, SinkCounts, SinkRows};
use weir_event::{Clock, EventTime, ManualClock};

struct World {
    clock: Arc<ManualClock>,
    store: MemoryStore,
    folder: tempfile::TempDir,
    settings: UpsertSettings,
}

impl World {
    fn new() -> World {
        let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
        World {
            store: MemoryStore::new(&clock),
            clock,
            folder: tempfile::tempdir().unwrap(),
            settings: UpsertSettings::default(),
        }
    }

    fn context(&self) -> SinkContext {
        SinkContext {
            project: self.folder.path().to_owned(),
            data_dir: self.folder.path().to_owned(),
            job: "j".to_owned(),
            sink: "memory".to_owned(),
            shape: None,
            refused_bytes: 1 << 20,
            clock: self.clock.clone(),
            began: EventTime::from_millis(0),
            mark: Arc::new(NoMark),
        }
    }

    async fn sink(&self) -> UpsertSink {
        let key: Template = "{job}:{user}".parse().unwrap();
        let store = Box::new(self.store.clone());
        let mut sink = UpsertSink::new(store, vec![key], self.settings.clone(), &self.context());
        sink.start(None).await.unwrap();
        sink
    }

    /// Moves time on, a little at a time, until the work is done.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        for _ in 0..100_000 {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = settle() => self.clock.advance(Duration::from_millis(1)),
            }
        }
        panic!("it never ends");
    }

    fn refused(&self) -> String {
        let path = Path::new("refused/j/memory/refused.jsonl");
        std::fs::read_to_string(self.folder.path().join(path)).unwrap_or_default()
    }
}

/// Lets other tasks come to where they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Rows of users with a number each, in the window that ends then.
fn rows(of: &[(Option<&str>, i64)], end: i64, revision: u64) -> SinkRows {
    let users: ArrayRef = Arc::new(of.iter().map(|(user, _)| *user).collect::<StringViewArray>());
    let numbers: ArrayRef = Arc::new(of.iter().map(|(_, number)| *number).collect::<Int64Array>());
    SinkRows {
        columns: RecordBatch::try_from_iter([("user", users), ("n", numbers)]).unwrap(),
        meta: RowMeta {
            job: "j".into(),
            windows: vec![(end - 10, end); of.len()],
            revision,
            ..RowMeta::default()
        },
    }
}

fn seen(store: &MemoryStore) -> String {
    store.visible().into_iter().map(|(key, row)| format!("{key} {row}\n")).collect()
}

#[tokio::test]
async fn the_newest_row_of_each_key_holds_whatever_order_rows_come_in() {
    let world = World::new();
    let mut sink = world.sink().await;
    let work = async {
        sink.write(&rows(&[(Some("a"), 1), (Some("b"), 1), (Some("a"), 2)], 20, 5)).await.unwrap();
        // A late correction of an older window, and one of the same window.
        sink.write(&rows(&[(Some("a"), 7)], 10, 6)).await.unwrap();
        sink.write(&rows(&[(Some("b"), 8)], 20, 6)).await.unwrap();
        sink.prepare(1).await.unwrap();
        sink.write(&rows(&[(Some("b"), 9)], 10, 7)).await.unwrap();
        sink.prepare(2).await.unwrap();
    };
    world.run(work).await;
    assert_eq!(seen(&world.store), "j:a user=\"a\",n=2\nj:b user=\"b\",n=8\n");
    assert_eq!(sink.counts().stale, 1);
    let deleting = |end, revision| {
        let mut rows = rows(&[(Some("b"), 0)], end, revision);
        rows.meta.op = Op::Delete;
        rows
    };
    let work = async {
        sink.write(&deleting(10, 8)).await.unwrap();
        sink.prepare(3).await.unwrap();
        assert!(seen(&world.store).contains("j:b"));
        sink.write(&deleting(20, 9)).await.unwrap();
        sink.prepare(4).await.unwrap();
    };
    world.run(work).await;
    assert_eq!(seen(&world.store), "j:a user=\"a\",n=2\n");
}

#[tokio::test]
async fn all_rows_of_a_key_are_told_apart_by_their_windows() {
    let mut world = World::new();
    world.settings.keep = Keep::All;
    let mut sink = world.sink().await;
    let work = async {
        sink.write(&rows(&[(Some("a"), 1)], 20, 5)).await.unwrap();
        sink.write(&rows(&[(Some("a"), 2)], 10, 6)).await.unwrap();
        sink.write(&rows(&[(Some("a"), 3)], 20, 7)).await.unwrap();
        sink.prepare(1).await.unwrap();
    };
    world.run(work).await;
    let expected =
        "j:a|1970-01-01T00:00:00.010Z user=\"a\",n=2\nj:a|1970-01-01T00:00:00.020Z user=\"a\",n=3\n";
    assert_eq!(seen(&world.store), expected);
}

#[tokio::test]
async fn what_a_store_puts_off_or_loses_the_answer_of_comes_again_and_counts_once() {
    let world = World::new();
    world.store.contents().faults =
        [StoreFault::AnswerLost, StoreFault::Throttled(1), StoreFault::Unreachable].into();
    let mut sink = world.sink().await;
    let work = async {
        sink.write(&rows(&[(Some("a"), 1), (Some("b"), 2), (Some("c"), 3)], 20, 5)).await.unwrap();
        sink.prepare(1).await.unwrap();
    };
    world.run(work).await;
    assert_eq!(seen(&world.store).lines().count(), 3);
    let SinkCounts { stale, refused, retries, .. } = sink.counts();
    assert_eq!((stale, refused), (0, 0));
    assert!(retries >= 2, "{retries}");
}

#[tokio::test]
async fn a_store_that_never_takes_rows_fails_the_sink_which_loses_nothing() {
    let mut world = World::new();
    world.settings.retry_count = 2;
    world.store.contents().faults = vec![StoreFault::Throttled(0); 3].into();
    let mut sink = world.sink().await;
    let work = async {
        sink.write(&rows(&[(Some("a"), 1)], 20, 5)).await.unwrap();
        let error = sink.prepare(1).await.unwrap_err();
        assert!(error.retry && error.message == "memory: throttled; tried 3 times", "{error}");
        assert_eq!(sink.write(&rows(&[(Some("b"), 1)], 20, 5)).await.unwrap_err(), error);
    };
    world.run(work).await;
    drop(sink);
    world.store.contents().faults = vec![StoreFault::Forbidden].into();
    let mut sink = world.sink().await;
    let error = world.run(async {
        sink.write(&rows(&[(Some("a"), 1)], 20, 5)).await.unwrap();
        sink.prepare(1).await.unwrap_err()
    });
    assert_eq!(error.await.message, "memory: forbidden");
    assert_eq!(world.store.contents().calls.len(), 4);
}

#[tokio::test]
async fn refused_rows_are_set_aside_with_their_reasons_and_the_others_are_written() {
    let world = World::new();
    world.store.contents().faults = [StoreFault::Refuses("j:b")].into();
    let mut sink = world.sink().await;
    let work = async {
        sink.write(&rows(&[(Some("a"), 1), (Some("b"), 2), (None, 3)], 20, 5)).await.unwrap();
        sink.prepare(1).await.unwrap();
    };
    world.run(work).await;
    assert_eq!((seen(&world.store).lines().count(), sink.counts().refused), (1, 2));
    let refused = world.refused();
    let lines: Vec<serde_json::Value> =
        refused.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reason = |user: &str| {
        let of = lines
            .iter()
            .find(|line| line["row"]["user"].as_str() == Some(user).filter(|user| !user.is_empty()));
        of.map(|line| line["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(reason("b").as_deref(), Some("too large"), "{refused}");
    assert!(reason("").unwrap().contains("its column `user` is null"), "{refused}");
    assert_eq!(lines[0]["window"]["end"], "1970-01-01T00:00:00.020Z");
    assert_eq!(lines[0]["revision"], 5);
}

#[tokio::test]
async fn batches_are_bounded_several_are_on_their_way_and_the_rate_is_kept() {
    let mut world = World::new();
    world.settings.batch_rows = 10;
    world.settings.concurrency = 3;
    world.store.contents().delay_ms = 50;
    let users: Vec<String> = (0..100).map(|user| format!("u{user}")).collect();
    let of: Vec<(Option<&str>, i64)> = users.iter().map(|user| (Some(user.as_str()), 1)).collect();
    let mut sink = world.sink().await;
    world
        .run(async {
            for revision in 1..=3 {
                sink.write(&rows(&of, 20, revision)).await.unwrap();
            }
            sink.prepare(1).await.unwrap();
        })
        .await;
    {
        let contents = world.store.contents();
        assert!(contents.calls.iter().all(|items| *items <= 10), "{:?}", contents.calls);
        assert_eq!(contents.most_at_once, 3);
    }
    world.settings.write_rate = Some(100);
    let mut sink = world.sink().await;
    let began = world.clock.monotonic();
    world
        .run(async {
            sink.write(&rows(&of, 30, 9)).await.unwrap();
            sink.prepare(2).await.unwrap();
        })
        .await;
    let took = world.clock.monotonic().saturating_sub(began);
    assert!(took >= Duration::from_millis(900) && took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn memory_is_bounded_also_where_one_row_is_left_of_each_that_came_together() {
    let mut world = World::new();
    world.settings.every = Duration::from_secs(3600);
    world.store.contents().delay_ms = 50;
    let mut sink = world.sink().await;
    let large = "x".repeat(2 << 20);
    let (written, count) = (std::cell::Cell::new(0), 40);
    let mut work = std::pin::pin!(async {
        for number in 0..count {
            // The large one takes the place of the one before it, and the small one still holds that in memory.
            let small = format!("u{number}");
            let rows = rows(&[(Some(&small), 1), (Some(&large), number)], 20, 1 + number as u64);
            sink.write(&rows).await.unwrap();
            written.set(number + 1);
        }
        sink.prepare(1).await.unwrap();
    });
    for _ in 0..100 {
        tokio::select! {
            biased;
            () = &mut work => panic!("a store that has not answered has everything"),
            () = settle() => {}
        }
    }
    assert!((5..=12).contains(&written.get()), "{} of 2 MiB each", written.get());
    world.run(&mut work).await;
    assert_eq!(world.store.visible().len(), count as usize + 1);
    assert!(world.clock.monotonic() < Duration::from_secs(60), "{:?}", world.clock.monotonic());
}

#[tokio::test]
async fn a_row_that_is_put_off_is_not_replaced_by_an_older_one_that_came_behind_it() {
    let world = World::new();
    world.store.contents().faults = [StoreFault::Throttled(0), StoreFault::Unreachable].into();
    world.store.contents().delay_ms = 50;
    let mut sink = world.sink().await;
    let work = async {
        for (number, end) in [(1, 100), (2, 50), (3, 60)] {
            sink.write(&rows(&[(Some("a"), number)], end, 5 + number as u64)).await.unwrap();
            // By then it is on its way.
            world.clock.sleep(Duration::from_millis(120)).await;
        }
        sink.prepare(1).await.unwrap();
    };
    world.run(work).await;
    assert_eq!(seen(&world.store), "j:a user=\"a\",n=1\n");
}

#[tokio::test]
async fn a_row_that_waits_alone_goes_when_it_is_old_enough() {
    let world = World::new();
    let mut sink = world.sink().await;
    sink.write(&rows(&[(Some("a"), 1)], 20, 5)).await.unwrap();
    settle().await;
    assert_eq!(seen(&world.store), "");
    world.run(world.clock.sleep(Duration::from_millis(150))).await;
    settle().await;
    assert_eq!(seen(&world.store).lines().count(), 1);
}

#[test]
fn fences_sort_as_their_texts_do() {
    let times = [i64::MIN, -1, 0, 1, 1_700_000_000_000];
    let fences =
        times.iter().flat_map(|time| [0, 1, 1 << 52].map(|revision| Fence { time: *time, revision }));
    let fences: Vec<Fence> = fences.collect();
    assert!(fences.is_sorted() && fences.iter().map(Fence::text).is_sorted());
}

#[test]
fn texts_name_columns_or_say_what_is_wrong() {
    let rows = rows(&[(Some("a:b"), 7)], 20, 1);
    let text = |template: &str| template.parse::<Template>().unwrap().over(&rows).text(0).unwrap();
    assert_eq!(text("{job}/{user}/{n} {{x}}"), "j/a:b/7 {x}");
    // Two rows never come to the same text: of the last column nothing need be told from what follows.
    assert_eq!(text("{user}:{n}"), "a%3Ab:7");
    assert_eq!(text("k:{user}"), "k:a:b");
    assert_eq!(text("{n}:{user}"), "7:a:b");
    assert_eq!(text("{user}, {user}"), "a:b, a:b");
    assert_eq!(text("{n}7:{user}"), "%377:a:b");
    for wrong in ["{user", "user}", "{}", "a{{b}"] {
        assert!(wrong.parse::<Template>().unwrap_err().contains("without its other half"), "{wrong}");
    }
}

#[test]
fn values_before_the_last_hold_no_sign_that_stands_between_whatever_their_types() {
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(["a:-b"]));
    let users: ArrayRef = Arc::new(DictionaryArray::new(Int32Array::from(vec![0]), texts));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![-7.5]));
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0]));
    let columns = RecordBatch::try_from_iter([("user", users), ("n", numbers), ("t", times)]).unwrap();
    let rows = SinkRows { columns, meta: RowMeta { job: "j".into(), ..RowMeta::default() } };
    for (template, text) in [
        ("{user}:{n}", "a%3A-b:-7.5"),
        ("{n}-{user}", "%2D7.5-a:-b"),
        ("{n}.{n}", "-7%2E5.-7.5"),
        ("{t}:{user}-{t}", "1970-01-01T00:00:00.000Z:a%3A%2Db-1970-01-01T00:00:00.000Z"),
        ("{user}{job}:{n}", "a%3A-bj:-7.5"),
    ] {
        assert_eq!(template.parse::<Template>().unwrap().over(&rows).text(0).as_deref(), Ok(text));
    }
}

#[test]
fn columns_between_which_no_sign_stands_are_refused() {
    let shape = fixture::shape();
    let check_of = |shape: &RowShape, template: &str| template.parse::<Template>().unwrap().check(shape);
    let check = |template| check_of(&shape, template);
    for sound in
        ["{user}", "{job}{user}", "{user}:{n}", "{user}x7_{n}", "{user}:{job}{n}", "{user}{job}%/{n}"]
    {
        assert_eq!(check(sound), Ok(()), "{sound}");
    }
    for wrong in
        ["{user}{n}", "{user}{job}{n}", "{user}%{n}", "{user}x7{n}", "{user}é{n}", "{n}:{user}%41{n}"]
    {
        let told = check(wrong).unwrap_err();
        assert!(told.contains("stands nothing that is not a letter, a digit or `%`"), "{wrong}: {told}");
    }
    let mut columns = shape.columns.fields().to_vec();
    columns.push(Arc::new(Field::new("job", DataType::Utf8View, true)));
    let shape = RowShape { columns: Arc::new(Schema::new(columns)), ..shape };
    let told = check_of(&shape, "{job}{user}").unwrap_err();
    assert!(told.starts_with("between {job} and {user}"), "{told}");
}
