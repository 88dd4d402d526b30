//! Jobs that are asked to stop before they run: those that could not have run now have nothing to lose, and end in order.

use super::harness::{Cells, World, plan};
use super::waiting::as_time_passes;
use crate::Mode;
use crate::job::Job;
use crate::status::JobState;
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};
use weir_connect::{ConnectError, OpenPartition, Reader, Source};

/// Cannot be read; and whoever looks is asked to stop meanwhile.
#[derive(Debug, Default)]
struct Unreadable {
    job: OnceLock<Arc<Job>>,
}

#[async_trait]
impl Source for Unreadable {
    async fn partitions(&self, _: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        self.job.get().expect("it has started").stop();
        Err(ConnectError::user("there is no such topic"))
    }

    async fn open(&self, _: u16, _: &[OpenPartition], _: bool) -> Result<Box<dyn Reader>, ConnectError> {
        unreachable!("it has no partitions")
    }
}

#[tokio::test]
async fn a_live_job_that_is_stopped_while_it_cannot_begin_ends_in_order() {
    for (mode, ends_in_order) in [(Mode::Live, true), (Mode::UntilEnd, false)] {
        let world = World::new();
        let (engine, source) = (world.engine(), Arc::new(Unreadable::default()));
        let job = world.start_in(&engine, &plan(), source.clone(), Arc::new(Cells), mode);
        source.job.set(job.clone()).expect("it is set once");
        let outcome = as_time_passes(&world.clock, job.outcome()).await;
        assert_eq!(outcome.is_ok(), ends_in_order, "{mode:?}: {outcome:?}");
        assert_eq!(job.status().state == JobState::Stopped, ends_in_order, "{mode:?}");
    }
}
