//! A state that was made beside a job, and whose process ended when it had just taken the job's place: whoever goes on, it
//! writes no row again, and loses none.

use super::harness::{Cells, World, lines, plan};
use crate::{Engine, Mode, filling_name};
use serde_json::json;
use std::collections::BTreeMap;
use weir_plan::JobPlan;
use weir_store::CheckpointStore;

/// So many windows of ten seconds, each with a row of `u`.
fn log(windows: i64) -> super::harness::Lines {
    let text: Vec<String> = (0..windows).map(|window| format!("u,{},1,", window * 10 + 1)).collect();
    lines(&[&text.join(" ")])
}

/// The store as it is between the commit that has the other's state in the job's place and the first of who goes on: the
/// job had read six rows, and the other four.
async fn taken_over(world: &World) -> Engine {
    let filling = JobPlan { name: filling_name("counts"), sinks: Vec::new(), ..plan() };
    let live = |engine: &Engine, plan: &JobPlan, windows: i64| {
        let source = std::sync::Arc::new(log(windows));
        let mut spec = world.spec(plan, source, std::sync::Arc::new(Cells), Mode::Live);
        if plan.sinks.is_empty() {
            spec.sinks.clear();
        }
        engine.start(spec).unwrap()
    };
    let engine = world.engine();
    for (plan, windows) in [(&plan(), 6), (&filling, 4)] {
        let job = live(&engine, plan, windows);
        while job.positions().values().all(|position| position.next < windows as u64) {
            tokio::task::yield_now().await;
        }
        engine.stop_job(&plan.name).await;
    }
    let mut head = world.store.head().unwrap().unwrap();
    let manifest = head.jobs.get_mut(&filling.name).unwrap();
    let nothing = json!({"rows": 0, "refused": 0});
    manifest.body["bootstrap"] =
        json!({"phase": "done", "cuts": {}, "newest": null, "bytes": null, "archive": nothing, "log": []});
    let manifest = manifest.clone();
    drop(engine);
    world.store.commit(BTreeMap::from([(filling.name, manifest)])).unwrap();
    let engine = world.engine();
    engine.take_over("counts").await.unwrap();
    engine
}

/// Nobody is told that the server is not ready, since lookups are answered all the time.
#[tokio::test]
async fn who_succeeds_a_job_that_was_ready_is_ready_at_once() {
    let world = World::new();
    let engine = world.engine();
    let spec = || {
        let source = std::sync::Arc::new(log(6));
        world.spec(&plan(), source, std::sync::Arc::new(Cells), Mode::Live)
    };
    let job = engine.start(spec()).unwrap();
    assert!(!job.status().ready);
    while !job.status().ready {
        tokio::task::yield_now().await;
    }
    engine.stop_job("counts").await;
    let job = engine.succeed(spec()).unwrap();
    assert!(job.status().ready && !job.is_catching_up());
    while job.positions().is_empty() {
        assert!(job.status().ready && !job.is_catching_up());
        tokio::task::yield_now().await;
    }
    engine.stop_job("counts").await;
    assert!(!engine.start(spec()).unwrap().status().ready, "one that is started anew has to read first");
}

#[tokio::test]
async fn a_run_to_the_end_goes_on_where_the_job_stood() {
    let world = World::new();
    let engine = taken_over(&world).await;
    let before: Vec<String> = (0..5).map(|window| format!("u@{}=1", window * 10)).collect();
    assert_eq!(world.rows(), before);
    let source = std::sync::Arc::new(log(9));
    let job = world.start_in(&engine, &plan(), source, std::sync::Arc::new(Cells), Mode::UntilEnd);
    job.outcome().await.unwrap();
    // Each key's current result is written once more, and then what the job had not written.
    let current = "u@40=1".to_owned();
    let later = (5..9).map(|window| format!("u@{}=1", window * 10));
    let mut expected: Vec<String> = before.into_iter().chain([current]).chain(later).collect();
    expected.sort();
    assert_eq!(world.rows(), expected);
    assert_eq!(world.counts().events, 9);
    // There is nothing more, however often it is run.
    world.run(&plan(), log(9)).await.unwrap();
    assert_eq!(world.rows(), expected);
}
