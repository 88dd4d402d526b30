//! Results that are no more.

use super::harness::{World, dropping, having, lines, plan, seconds};
use std::sync::Arc;
use weir_plan::JobPlan;
use weir_timeline::{Frames, Session};

/// Sessions with a gap of 5 s, and `HAVING COUNT(*) > 0`.
fn sessions() -> JobPlan {
    let mut plan = plan();
    let stage = plan.stage.as_mut().unwrap();
    let mut spec = (*stage.spec).clone();
    spec.frames = Frames::Session(Session { gap: seconds(5) });
    stage.spec = Arc::new(spec);
    plan.output.filter = Some(having());
    plan
}

/// Two sessions are over when a late row joins them.
const JOINED: &str = "u,1,1, u,10,1, u,30,1, u,6,1,";

#[tokio::test]
async fn a_late_row_that_joins_two_sessions_rewrites_one_and_deletes_the_other() {
    let world = World::new();
    world.run(&sessions(), lines(&[JOINED])).await.unwrap();
    let written = world.written();
    let rows: Vec<_> = written.iter().map(|(row, _)| row.as_str()).collect();
    assert_eq!(rows, ["u@1=1", "u@10=1", "u@10 is gone", "u@1=3", "u@30=1"]);
    assert!(written[1].1 < written[2].1 && written[0].1 < written[3].1, "{written:?}");
}

#[tokio::test]
async fn a_sink_that_cannot_tell_is_handed_no_deletes() {
    let mut world = World::new();
    world.wants_meta = false;
    world.run(&sessions(), lines(&[JOINED])).await.unwrap();
    assert_eq!(world.rows(), ["u@10=1", "u@1=1", "u@1=3", "u@30=1"]);
}

#[tokio::test]
async fn under_drop_the_row_does_not_count() {
    let world = World::new();
    let mut plan = sessions();
    dropping(&mut plan);
    world.run(&plan, lines(&[JOINED])).await.unwrap();
    assert_eq!(world.rows(), ["u@10=1", "u@1=1", "u@30=1"]);
    assert_eq!(world.counts().dropped, 1);
}

#[tokio::test]
async fn under_drop_a_session_that_was_open_at_the_end_of_a_run_can_be_taken_back_by_the_next() {
    let world = World::new();
    let mut plan = sessions();
    plan.output.filter = None;
    dropping(&mut plan);
    world.run(&plan, lines(&["u,1,1, u,10,1,"])).await.unwrap();
    world.run(&plan, lines(&["u,1,1, u,10,1, u,8,1,"])).await.unwrap();
    assert_eq!(world.rows(), ["u@10 is gone", "u@10=1", "u@1=1", "u@8=2"]);
    assert!(plan.row_shape().deletes);
}
