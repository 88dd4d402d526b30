//! Partitions that appear while a job runs, and that end.

use super::harness::{Cells, World, plan};
use super::skew::{Told, id, line};
use super::waiting::{as_time_passes, eventually, moment};
use crate::{Mode, StreamHub};
use std::sync::Arc;
use weir_connect::{CpuTime, Decoder, Fetch, OpenPartition, Reader};
use weir_event::{EventTime, ManualClock, Position};

fn at(seconds: i64) -> Option<EventTime> {
    Some(EventTime::from_millis(seconds * 1000))
}

/// A place from which a partition begins that nobody has read.
fn beginning(next: u64) -> Position {
    Position { next, place: "there".to_owned() }
}

#[tokio::test]
async fn one_that_appears_holds_the_watermark_and_one_that_has_ended_does_not() {
    let world = World::new();
    let (say, source) = Told::new();
    let source = Arc::new(source);
    let (engine, job) = world.start_from(&plan(), source.clone(), Mode::Live);
    for fetch in [line(0, 0, "u,1,1,"), line(1, 0, "u,2,1,"), Fetch::Appeared(id(2), beginning(0))] {
        say.send(fetch).unwrap();
    }
    say.send(line(0, 1, "u,90,1,")).unwrap();
    say.send(line(1, 1, "u,80,1,")).unwrap();
    eventually("four rows are read", || job.status().counts.events == 4).await;
    assert_eq!((job.watermark(), job.status().partitions.len()), (at(1), 3), "the new one has no row");
    say.send(line(2, 0, "u,70,1,")).unwrap();
    eventually("the new one is the slowest", || job.watermark() == at(70)).await;
    for partition in [0, 1] {
        say.send(Fetch::CaughtUp(id(partition))).unwrap();
    }
    say.send(Fetch::Ended(id(2))).unwrap();
    eventually("what has ended is not waited for", || job.watermark() == at(80)).await;
    eventually("nor for readiness", || job.is_ready()).await;
    engine.stop().await.unwrap();

    // The one that has ended is known, and holds nothing back as soon as its reader says so again.
    let (say, again) = Told::new();
    let again = Arc::new(again);
    let (engine, job) = world.start_from(&plan(), again.clone(), Mode::Live);
    for fetch in [Fetch::Ended(id(2)), line(0, 2, "u,99,1,"), line(1, 2, "u,95,1,")] {
        say.send(fetch).unwrap();
    }
    eventually("it goes on", || job.watermark() == at(95)).await;
    engine.stop().await.unwrap();
    let known: Vec<_> = again.opened.lock().unwrap().iter().map(|open| open.partition).collect();
    assert_eq!((source.opened.lock().unwrap().len(), known), (2, vec![0, 1, 2]));
    assert_eq!(world.counts().late, 0);
}

#[tokio::test]
async fn where_one_begins_is_on_record_before_its_first_record() {
    let world = World::new();
    let (say, source) = Told::new();
    let (engine, job) = world.start_from(&plan(), Arc::new(source), Mode::Live);
    say.send(Fetch::Appeared(id(2), beginning(7))).unwrap();
    eventually("it is there", || job.status().partitions.len() == 3).await;
    engine.stop().await.unwrap();

    let (say, again) = Told::new();
    let again = Arc::new(again);
    let (engine, job) = world.start_from(&plan(), again.clone(), Mode::Live);
    eventually("it is opened", || again.opened.lock().unwrap().len() == 3).await;
    let expected = OpenPartition { partition: 2, from: Some(beginning(7)) };
    assert_eq!(again.opened.lock().unwrap()[2], expected);
    say.send(line(2, 9, "u,50,1,")).unwrap();
    eventually("it began behind the log's beginning", || job.data_since() == at(50)).await;
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_run_to_the_end_is_at_it_where_a_partition_has_ended() {
    let world = World::new();
    let (say, source) = Told::new();
    let (_engine, job) = world.start_from(&plan(), Arc::new(source), Mode::UntilEnd);
    for fetch in [line(0, 0, "u,1,1,"), Fetch::CaughtUp(id(0)), line(1, 0, "u,2,1,"), Fetch::Ended(id(1))] {
        say.send(fetch).unwrap();
    }
    job.outcome().await.unwrap();
    assert_eq!(world.rows(), ["u@0=2"]);
}

/// What a reader hands out, in words.
async fn said(reader: &mut dyn Reader, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    while said.len() < count {
        said.push(match reader.next().await.unwrap() {
            Fetch::Block(block) => format!("{} to {}", block.partition.partition, block.next.next),
            Fetch::Appeared(id, at) => format!("{} from {}", id.partition, at.next),
            Fetch::Ended(id) => format!("{} ended", id.partition),
            Fetch::CaughtUp(id) => format!("{} at end", id.partition),
            Fetch::Watermark(id, _) => format!("{} promises", id.partition),
        });
    }
    said
}

#[tokio::test]
async fn all_who_follow_one_reader_hear_of_it() {
    let (say, source) = Told::new();
    let clock = Arc::new(ManualClock::default());
    let decoder: Arc<dyn Decoder> = Arc::new(Cells);
    let own = decoder.clone();
    let hub = StreamHub::new(Arc::new(source), Box::new(move |_| decoder.clone()), 2, clock.clone());
    (0..2).for_each(|_| hub.expect(&[0]));
    let for_job = || hub.for_job(own.clone(), &[0], &CpuTime::default()).0;
    let (one, other, third) = (for_job(), for_job(), for_job());
    let start = one.partitions(&[]).await.unwrap();
    let mut first = one.open(0, &start, false).await.unwrap();
    let mut second = other.open(0, &start, false).await.unwrap();
    let told = [Fetch::Appeared(id(2), beginning(0)), line(0, 0, "u,1,1,"), Fetch::Ended(id(0))];
    told.into_iter().for_each(|fetch| say.send(fetch).unwrap());
    let expected = ["2 from 0", "0 to 1", "0 ended"];
    assert_eq!(as_time_passes(&clock, said(&mut *first, 3)).await, expected);
    assert_eq!(as_time_passes(&clock, said(&mut *second, 3)).await, expected);

    // Who comes with all of that behind it is told what has ended.
    say.send(line(1, 0, "u,1,1,")).unwrap();
    for reader in [&mut first, &mut second] {
        assert_eq!(as_time_passes(&clock, said(&mut **reader, 1)).await, ["1 to 1"]);
    }
    let stands = |partition, next, place: &str| OpenPartition {
        partition,
        from: Some(Position { next, place: place.to_owned() }),
    };
    let known = [stands(0, 1, ""), stands(1, 1, ""), stands(2, 0, "there")];
    // The ring is let go by a task of its own.
    moment().await;
    let mut late = as_time_passes(&clock, third.open(0, &known, false)).await.unwrap();
    say.send(line(1, 1, "u,2,1,")).unwrap();
    assert_eq!(as_time_passes(&clock, said(&mut *late, 2)).await, ["0 ended", "1 to 2"]);
}
