//! Late rows: which are, and what becomes of them.

use super::harness::{World, dropping, lines, plan, positive, seconds};
use crate::dead_letters::Listed;
use std::sync::Arc;
use weir_plan::LatePolicy;
use weir_timeline::StageSpec;

#[tokio::test]
async fn a_row_that_where_leaves_out_is_not_late_and_moves_the_watermark() {
    let world = World::new();
    let mut plan = plan();
    plan.late.policy = LatePolicy::Divert;
    plan.inputs[0].projection.filter = Some(positive());
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
async fn a_row_is_late_once_its_window_is_over_and_too_late_once_that_is_longer_ago_than_allow() {
    let mut plan = plan();
    plan.late.allow = seconds(20);
    // The newest row before it, whether it is late, whether it is dropped, and what its window, which ends at 10, has.
    let cases = [(9, 0, 0, "u@0=3"), (10, 1, 0, "u@0=2"), (29, 1, 0, "u@0=2"), (30, 1, 1, "u@0=1")];
    for (newest, late, dropped, last) in cases {
        let world = World::new();
        world.run(&plan, lines(&[&format!("u,5,1, u,{newest},1, u,6,1,")])).await.unwrap();
        let counts = world.counts();
        assert_eq!((counts.late, counts.dropped), (late, dropped), "{newest}");
        let of_window: Vec<_> =
            world.written().into_iter().filter(|(row, _)| row.starts_with("u@0=")).collect();
        let newest_row = of_window.iter().max_by_key(|(_, revision)| *revision).unwrap();
        assert_eq!(newest_row.0, last, "{newest}: {of_window:?}");
    }
}

#[tokio::test]
async fn what_is_dropped_is_diverted_from_the_moment_on_in_which_its_window_is_over() {
    for (newest, diverted) in [(9, 0), (10, 1)] {
        let (world, mut plan) = (World::new(), plan());
        dropping(&mut plan);
        plan.late.policy = LatePolicy::Divert;
        world.run(&plan, lines(&[&format!("u,5,1, u,{newest},1, u,6,1,")])).await.unwrap();
        assert_eq!((world.dead().len(), world.counts().dropped), (diverted, diverted as u64), "{newest}");
    }
}

#[tokio::test]
async fn a_row_in_time_for_its_own_partition_whose_state_is_gone_is_dropped_and_counted() {
    let (world, mut plan) = (World::new(), plan());
    let stage = plan.stage.as_mut().unwrap();
    stage.spec = Arc::new(StageSpec { history: seconds(100), ..(*stage.spec).clone() });
    // The other partition is empty at the first start and holds nothing back; its first row is far behind.
    world.run(&plan, lines(&["u,5,1, u,500,1,", ""])).await.unwrap();
    world.run(&plan, lines(&["u,5,1, u,500,1,", "u,6,1, u,505,1,"])).await.unwrap();
    let counts = world.counts();
    assert_eq!((counts.late, counts.dropped), (0, 1));
    assert_eq!(world.rows(), ["u@0=1", "u@500=1", "u@500=2"]);
}

#[tokio::test]
async fn a_row_in_time_for_its_own_partition_counts_however_far_another_was_read() {
    let (world, mut plan) = (World::new(), plan());
    plan.late.allow = seconds(20);
    let stage = plan.stage.as_mut().unwrap();
    let history = seconds(100_000);
    stage.spec = Arc::new(StageSpec { history, corrects: Some(seconds(20)), ..(*stage.spec).clone() });
    let (first, second) = ("u,5,1, u,500,1,", "u,6,1, u,300,1, u,505,1, u,299,1, u,7,1,");
    world.run(&plan, lines(&[first, ""])).await.unwrap();
    world.run(&plan, lines(&[first, second])).await.unwrap();
    let counts = world.counts();
    // Of the second partition the rows at 299 and 7 are late, and too late.
    assert_eq!((counts.late, counts.dropped), (2, 2));
    assert_eq!(world.rows(), ["u@0=1", "u@0=2", "u@300=1", "u@500=1", "u@500=2"]);
}

#[tokio::test]
async fn a_time_that_cannot_be_is_a_dead_letter_whatever_where_says() {
    let world = World::new();
    let mut plan = plan();
    plan.inputs[0].projection.filter = Some(positive());
    world.run(&plan, lines(&["u,5,1, u,99999999999,0, u,6,1,"])).await.unwrap();
    assert_eq!(world.dead().len(), 1);
    assert_eq!((world.counts().late, world.rows()), (0, vec!["u@0=2".to_owned()]));
}
