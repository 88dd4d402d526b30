//! When result rows are written.

use super::harness::{Lines, World, dropping, having, lines, plan, seconds, with_stream};
use super::waiting::{eventually, in_time};
use crate::Mode;
use std::sync::Arc;
use std::time::Duration;
use weir_event::Clock;
use weir_plan::{Emit, JobPlan};

fn emitting(emit: Emit) -> JobPlan {
    let mut plan = plan();
    plan.emit = emit;
    let stage = plan.stage.as_mut().unwrap();
    let mut spec = (*stage.spec).clone();
    spec.emit_changes = emit != Emit::Close;
    stage.spec = Arc::new(spec);
    plan
}

/// One line per block.
fn single(log: &str) -> Lines {
    Lines { block: 1, ..lines(&[log]) }
}

#[tokio::test]
async fn on_change_a_key_s_row_comes_with_every_batch_and_not_again_when_nothing_came() {
    let world = World::new();
    let plan = emitting(Emit::Change);
    world.run(&plan, single("u,1,1, u,2,1, v,3,1, u,12,1, v,30,1,")).await.unwrap();
    assert_eq!(world.rows(), ["u@0=1", "u@0=2", "u@10=1", "v@0=1", "v@30=1"]);

    // In one block, so at most one row per key; and rows of the first run are not told again.
    let source = Lines { block: 9, ..single("u,1,1, u,2,1, v,3,1, u,12,1, v,30,1, v,31,1, v,32,1,") };
    world.run(&plan, source).await.unwrap();
    assert_eq!(world.rows(), ["u@0=1", "u@0=2", "u@10=1", "v@0=1", "v@30=1", "v@30=3"]);
}

#[tokio::test]
async fn under_drop_what_changes_before_it_is_final_is_written() {
    let world = World::new();
    let mut plan = emitting(Emit::Change);
    dropping(&mut plan);
    world.run(&plan, single("u,1,1, u,2,1, u,10,1, u,3,1,")).await.unwrap();
    assert_eq!(world.rows(), ["u@0=1", "u@0=2", "u@10=1"]);
    assert_eq!(world.counts().dropped, 1);
}

#[tokio::test]
async fn on_close_only_what_is_final_or_open_at_the_end_is_written() {
    let world = World::new();
    world.run(&emitting(Emit::Close), single("u,1,1, u,2,1, u,12,1,")).await.unwrap();
    assert_eq!(world.rows(), ["u@0=2", "u@10=1"]);
}

#[tokio::test]
async fn what_was_open_at_the_end_of_a_run_is_revised_by_the_next_also_under_drop() {
    let world = World::new();
    let mut plan = emitting(Emit::Close);
    dropping(&mut plan);
    world.run(&plan, single("u,1,1,")).await.unwrap();
    world.run(&plan, single("u,1,1, u,2,1,")).await.unwrap();
    assert_eq!(world.rows(), ["u@0=1", "u@0=2"]);
    // So HAVING may take a row away that was written.
    assert!(!plan.row_shape().deletes);
    plan.output.filter = Some(having());
    assert!(plan.row_shape().deletes);
}

#[tokio::test]
async fn what_was_told_of_an_open_window_is_not_believed_after_a_time_without_changes() {
    let world = World::new();
    let live = |emit: Emit| {
        let mut plan = emitting(emit);
        with_stream(&mut plan, |stream| stream.disorder = seconds(60));
        plan
    };
    let (engine, job) = world.start(&live(Emit::Change), single("u,1,1, u,2,1,"), Mode::Live);
    eventually("it is told", || job.status().counts.results >= 2).await;
    engine.stop().await.unwrap();
    // A row comes that nobody notes.
    let (engine, job) = world.start(&live(Emit::Close), single("u,1,1, u,2,1, u,3,1,"), Mode::Live);
    eventually("it is read", || job.status().counts.events >= 3).await;
    engine.stop().await.unwrap();
    let (engine, job) = world.start(&live(Emit::Change), single("u,1,1, u,2,1, u,3,1, v,200,1,"), Mode::Live);
    eventually("the window is over", || job.status().counts.results >= 4).await;
    engine.stop().await.unwrap();
    assert_eq!(world.rows(), ["u@0=1", "u@0=2", "u@0=3", "v@200=1"]);
}

#[tokio::test]
async fn at_intervals_what_has_changed_is_written_by_the_passing_of_time() {
    let world = World::new();
    let mut plan = emitting(Emit::Every(seconds(60)));
    with_stream(&mut plan, |stream| stream.disorder = seconds(60));
    let source = single("u,1,1, u,2,1, v,3,1,");
    let (engine, job) = world.start(&plan, source.clone(), Mode::Live);
    eventually("it is read", || job.is_ready()).await;
    world.clock.advance(Duration::from_secs(59));
    engine.stop().await.unwrap();
    assert!(world.rows().is_empty(), "no minute has passed since the start: {:?}", world.rows());

    // What was not told before the restart is told after it, and not before a minute has passed again.
    let (engine, job) = world.start(&plan, source, Mode::Live);
    eventually("it is read", || job.is_ready()).await;
    let began = world.clock.monotonic();
    in_time(&world.clock, "it is told", || job.status().counts.results >= 2).await;
    assert!(world.clock.monotonic() >= began + Duration::from_secs(59));
    engine.stop().await.unwrap();
    assert!(world.rows().contains(&"u@0=2".to_owned()) && world.rows().contains(&"v@0=1".to_owned()));
}
