//! Since when a job has data.

use super::harness::{Lines, World, lines, plan, seconds, with_stream};
use weir_event::EventTime;

#[tokio::test]
async fn a_log_read_from_its_beginning_is_all_there_is() {
    let job = World::new().run(&plan(), lines(&["u,5,1,", "u,7,1,"])).await.unwrap();
    assert_eq!(job.data_since(), None);
}

#[tokio::test]
async fn a_log_that_lacks_its_first_row_alone_was_cut() {
    let cut = Lines { first: 1, ..lines(&["u,5,1, u,6,1,"]) };
    let job = World::new().run(&plan(), cut).await.unwrap();
    assert_eq!(job.data_since(), Some(EventTime::from_millis(5000)));
}

#[tokio::test]
async fn a_log_that_was_cut_is_whole_from_its_first_row_on_and_a_restart_knows() {
    let world = World::new();
    let mut plan = plan();
    with_stream(&mut plan, |stream| stream.disorder = seconds(3));
    let cut = |log: &str| Lines { first: 100, ..lines(&[log, "u,7,1, u,1,1,"]) };
    let since = Some(EventTime::from_millis(10_000));
    let job = world.run(&plan, cut("u,5,1, u,4,1,")).await.unwrap();
    // Before the row at 7 there may have been one at 10: that is what the disorder allows.
    assert_eq!(job.data_since(), since);
    let job = world.run(&plan, cut("u,5,1, u,4,1, u,50,1,")).await.unwrap();
    assert_eq!(job.data_since(), since);
    assert_eq!(job.status().data_since, since);
}
