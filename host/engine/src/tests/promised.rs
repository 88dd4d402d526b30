//! Sources that know their own watermark.

use super::harness::{World, plan, seconds, with_stream};
use super::skew::{Told, id, line};
use super::waiting::eventually;
use crate::Mode;
use std::sync::Arc;
use weir_connect::Fetch;
use weir_event::EventTime;

fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(seconds * 1000)
}

#[tokio::test]
async fn what_a_source_promises_closes_windows_and_outlives_a_restart() {
    let world = World::new();
    let mut plan = plan();
    with_stream(&mut plan, |stream| stream.disorder = seconds(3600));
    let (say, source) = Told::new();
    let (engine, job) = world.start_from(&plan, Arc::new(source), Mode::Live);
    let promises = [Fetch::Watermark(id(0), at(30)), Fetch::Watermark(id(1), at(20))];
    for fetch in [line(0, 0, "u,1,1,"), line(1, 0, "u,2,1,")].into_iter().chain(promises) {
        say.send(fetch).unwrap();
    }
    eventually("the least promise is the watermark", || job.watermark() == Some(at(20))).await;
    engine.stop().await.unwrap();
    assert_eq!((world.rows(), world.counts().late), (vec!["u@0=2".to_owned()], 0));

    let (say, source) = Told::new();
    let (engine, job) = world.start_from(&plan, Arc::new(source), Mode::Live);
    say.send(line(0, 1, "u,25,1,")).unwrap();
    eventually("the row is read", || job.status().counts.events == 3).await;
    engine.stop().await.unwrap();
    assert_eq!(world.counts().late, 1, "it is behind what was promised before it");
}
