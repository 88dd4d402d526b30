//! Records that cannot be decoded now, since a schema is not at hand: they are decoded later, in their order, and what
//! will never be decodes stops the job.

use super::harness::{Cells, World, lines, plan};
use super::waiting::{as_time_passes, in_time};
use crate::status::JobState;
use crate::{Mode, StreamHub};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use weir_connect::{ConnectError, CpuTime, Decoded, Decoder, RawBlock};
use weir_event::ManualClock;

/// Lacks something for the blocks that hold this text, until it is given.
#[derive(Debug)]
struct Lacking {
    text: &'static str,
    error: ConnectError,
    given: AtomicBool,
}

impl Lacking {
    fn new(text: &'static str, error: ConnectError) -> Arc<Lacking> {
        Arc::new(Lacking { text, error, given: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Decoder for Lacking {
    async fn ready(&self, block: &RawBlock) -> Result<(), ConnectError> {
        let needs = String::from_utf8_lossy(&block.data).contains(self.text);
        if needs && !self.given.load(Ordering::SeqCst) { Err(self.error.clone()) } else { Ok(()) }
    }

    fn decode(&self, block: &RawBlock) -> Decoded {
        Cells.decode(block)
    }
}

const LOG: &str = "u,1,1, u,2,1, v,3,1, u,4,1, u,12,1, w,13,1, v,30,1, u,40,1,";

#[tokio::test]
async fn a_block_whose_schema_is_away_is_decoded_later_and_nothing_is_lost() {
    let alone = World::new();
    alone.run(&plan(), lines(&[LOG])).await.unwrap();
    let away = || Lacking::new("v,3,1,", ConnectError::unavailable("the registry is away"));
    for shared in [false, true] {
        let world = World::new();
        let (engine, decoder) = (world.engine(), away());
        let (source, decoding): (Arc<dyn weir_connect::Source>, Arc<dyn Decoder>) = if shared {
            let (clock, of_all) = (Arc::new(ManualClock::default()), away());
            let hub =
                StreamHub::new(Arc::new(lines(&[LOG])), Box::new(move |_| of_all.clone()), 2, clock.clone());
            hub.expect(&[0, 1, 2, 3]);
            hub.for_job(decoder.clone(), &[0, 1, 2, 3], &CpuTime::default())
        } else {
            (Arc::new(lines(&[LOG])), decoder.clone())
        };
        let job = world.start_in(&engine, &plan(), source, decoding, Mode::UntilEnd);
        let waits = || job.status().state == JobState::Retrying("the registry is away".to_owned());
        in_time(&world.clock, "it says what it waits for", waits).await;
        in_time(&world.clock, "it still does", waits).await;
        assert_eq!(world.rows(), [""; 0]);
        decoder.given.store(true, Ordering::SeqCst);
        as_time_passes(&world.clock, job.outcome()).await.unwrap();
        assert_eq!((world.rows(), world.dead().len()), (alone.rows(), 0));
    }
}

#[tokio::test]
async fn records_that_nothing_makes_decodable_stop_the_job_before_them() {
    let world = World::new();
    let engine = world.engine();
    let decoder = Lacking::new("v,3,1,", ConnectError::user("schema 2 does not fit schema 1"));
    let job = world.start_in(&engine, &plan(), Arc::new(lines(&[LOG])), decoder, Mode::UntilEnd);
    let error = as_time_passes(&world.clock, job.outcome()).await.unwrap_err();
    assert!(error.to_string().contains("schema 2 does not fit schema 1"), "{error}");
    assert_eq!(world.rows(), [""; 0]);
}
