//! Events that come again.

use super::harness::{World, lines, plan, positive, seconds, with_stream};
use crate::manifest::Body;
use crate::progress::Progress;
use crate::state::restore;
use std::sync::Arc;
use weir_plan::{Dedup, JobPlan};
use weir_store::CheckpointStore;

fn by_id() -> JobPlan {
    let mut plan = plan();
    plan.inputs[0].event_id = Some(3);
    with_stream(&mut plan, |stream| stream.dedup = Some(Dedup { event_id: 3, within: seconds(60) }));
    plan
}

#[tokio::test]
async fn the_second_event_of_an_id_is_dropped_and_counted_also_after_a_restart() {
    let world = World::new();
    let log = "u,1,1,a u,2,1,b u,1,1,a u,3,1, u,3,1,";
    world.run(&by_id(), lines(&[log, "u,4,1,a"])).await.unwrap();
    assert_eq!(world.rows(), ["u@0=5"], "one of the other partition, and two that have no id");
    assert_eq!(world.counts().duplicates, 1);

    let log = format!("{log} u,5,1,b u,6,1,c u,62,1,b");
    world.run(&by_id(), lines(&[&log, "u,4,1,a u,4,1,c u,4,1,a"])).await.unwrap();
    // b of 5 and a of 4 are repetitions; b of 62 is as far from that of 2 as may be.
    assert_eq!(world.counts().duplicates, 4);
    assert_eq!(world.rows(), ["u@0=5", "u@0=7"]);

    let log = format!("{log} u,63,1,b");
    world.run(&by_id(), lines(&[&log, "u,4,1,a u,4,1,c u,4,1,a"])).await.unwrap();
    assert_eq!((world.counts().duplicates, world.rows()[2].as_str()), (4, "u@60=1"));
}

#[tokio::test]
async fn where_blocks_are_cut_and_what_where_leaves_out_makes_no_difference() {
    let mut plan = by_id();
    plan.inputs[0].projection.filter = Some(positive());
    let log = "u,1,0,a u,1,1,a u,30,1,b u,2,1,c u,2,1,c u,31,1,b u,91,1,b u,95,1,d u,95,1,d";
    for block in 1..=9 {
        let world = World::new();
        let mut source = lines(&[log]);
        source.block = block;
        world.run(&plan, source).await.unwrap();
        // The first `a` is not read by the query, and the second repeats it all the same.
        assert_eq!(world.rows(), ["u@0=1", "u@30=1", "u@90=2"], "{block}");
        assert_eq!(world.counts().duplicates, 4, "{block}");
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_is_not_remembered() {
    let world = World::new();
    world.run(&by_id(), lines(&["u,99999999999,1,a u,1,1,a"])).await.unwrap();
    assert_eq!((world.rows(), world.counts().duplicates), (vec!["u@0=1".to_owned()], 0));
}

#[tokio::test]
async fn what_nothing_can_repeat_any_more_is_not_read_back() {
    let (world, mut plan) = (World::new(), by_id());
    with_stream(&mut plan, |stream| stream.disorder = seconds(10));
    // The watermark of the first partition is 490, less a minute: 430.
    let log = "u,1,1,a u,420,1,b u,436,1,f u,470,1,c u,500,1,d";
    world.run(&plan, lines(&[log, "u,2,1,e"])).await.unwrap();
    let head = world.store.head().unwrap().unwrap();
    let body = Body::read(&plan, &head.jobs["counts"]).unwrap();
    let intake =
        restore(&Arc::new(plan.clone()), &body, &*world.store, 1, &Progress::default()).unwrap().intake;
    assert_eq!(intake.ids(), 4, "f, c, d, and e of the other partition");
    let log = format!("{log} u,491,1,f");
    world.run(&plan, lines(&[&log, "u,2,1,e"])).await.unwrap();
    assert_eq!(world.counts().duplicates, 1);
    plan.inputs[0].event_id = None;
    with_stream(&mut plan, |stream| stream.dedup = None);
    world.run(&plan, lines(&[&log, "u,2,1,e u,3,1,e"])).await.unwrap();
    assert_eq!(world.counts().duplicates, 1, "of a stream that tells no events apart nothing is one");
}
