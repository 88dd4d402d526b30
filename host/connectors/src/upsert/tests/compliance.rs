//! The frame over the store in memory passes the kit of keyed sinks, also where every other call goes wrong.

use super::memory::StoreFault;
use super::{World, rows};
use crate::upsert::{Template, UpsertSink};
use weir_connect::compliance::keyed::KeyedCase;
use weir_connect::{Sink, SinkRows};

async fn passes(world: &World) {
    let key: Template = "{job}:{user}".parse().unwrap();
    let make = || -> Box<dyn Sink> {
        let store = Box::new(world.store.clone());
        Box::new(UpsertSink::new(store, vec![key.clone()], world.settings.clone(), &world.context()))
    };
    let number = |(_, row): (String, String)| -> u64 { row.rsplit('=').next().unwrap().parse().unwrap() };
    let visible = || -> Vec<u64> { world.store.visible().into_iter().map(number).collect() };
    let of = |round: u64, revision: u64| -> SinkRows {
        let number = revision as i64;
        rows(&[(Some("a"), number), (Some("b"), number)], round as i64 * 10, revision)
    };
    let case = KeyedCase { make: &make, rows: &of, visible: &visible };
    world.run(case.keeps_the_newest()).await.unwrap();
}

#[tokio::test]
async fn a_sound_store() {
    passes(&World::new()).await;
}

#[tokio::test]
async fn a_store_that_throttles_and_loses_answers() {
    let world = World::new();
    let faults =
        [StoreFault::AnswerLost, StoreFault::Throttled(1), StoreFault::None, StoreFault::Unreachable];
    world.store.contents().faults = faults.into_iter().cycle().take(400).collect();
    passes(&world).await;
}
