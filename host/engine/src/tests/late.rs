//! Late rows: which are, and what becomes of them.

use super::harness::{World, lines, plan, positive};
use crate::dead_letters::Listed;
use weir_plan::LatePolicy;

#[tokio::test]
async fn a_row_that_where_leaves_out_is_not_late_and_moves_the_watermark() {
    let world = World::new();
    let mut plan = plan();
    plan.late.policy = LatePolicy::Divert;
    plan.projection.filter = Some(positive());
    // The row at 30 is not read by the query, and makes what follows late.
    let log = "u,5,1, u,30,0, u,6,0, u,7,1, u,31,1,";
    world.run(&plan, lines(&[log])).await.unwrap();
    let dead = world.dead();
    assert_eq!(dead.iter().map(Listed::offset).collect::<Vec<_>>(), [Some(3)]);
    assert!(
        dead[0].reason.starts_with("late: its event time 1970-01-01T00:00:07.000Z"),
        "{}",
        dead[0].reason
    );
    let counts = world.counts();
    assert_eq!((counts.late, counts.dropped, counts.dead_letters), (1, 1, 1));
    assert_eq!(world.rows(), ["u@0=1", "u@30=1"]);
}

#[tokio::test]
async fn a_time_that_cannot_be_is_a_dead_letter_whatever_where_says() {
    let world = World::new();
    let mut plan = plan();
    plan.projection.filter = Some(positive());
    world.run(&plan, lines(&["u,5,1, u,99999999999,0, u,6,1,"])).await.unwrap();
    assert_eq!(world.dead().len(), 1);
    assert_eq!((world.counts().late, world.rows()), (0, vec!["u@0=2".to_owned()]));
}
