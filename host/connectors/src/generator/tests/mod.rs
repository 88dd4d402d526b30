//! The same seed gives the same events, from any position.

use super::*;
use crate::registry::tests::source_context;
use futures_util::FutureExt;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_connect::compliance::{self, records};
use weir_connect::{Fetch, KnownTimes, Left, OpenPartition, Reader};
use weir_event::{EventTime, Fault, ManualClock, Position};

fn generator(settings: GeneratorSettings, clock: &Arc<ManualClock>) -> GeneratorSource {
    GeneratorSource::new(settings, clock.clone())
}

fn start_at(millis: i64) -> GeneratorSettings {
    GeneratorSettings { start: Some(EventTime::from_millis(millis)), ..GeneratorSettings::default() }
}

fn from(position: Option<Position>) -> [OpenPartition; 1] {
    [OpenPartition { partition: 0, from: position }]
}

/// What there is now, if anything.
fn now(reader: &mut dyn Reader) -> Option<Fetch> {
    reader.next().now_or_never().map(Result::unwrap)
}

fn next(reader: &mut dyn Reader) -> Fetch {
    now(reader).expect("something is due")
}

#[tokio::test]
async fn the_source_replays_from_each_of_its_positions() {
    let settings = GeneratorSettings { until: Some(20_000), ..start_at(1_767_225_600_000) };
    let source = generator(settings, &Arc::new(ManualClock::default()));
    compliance::source_replays(&source).await.unwrap();
    let (all, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
    assert_eq!((all.len(), positions.len()), (20_000, 3));
    let line: Value = serde_json::from_slice(&all[1500].2).unwrap();
    assert_eq!(line["event_time"], 1_767_225_601_500_i64);
    assert_eq!(line["event_id"], 1500);
    assert!(line["user_id"].as_str().unwrap().starts_with('u'));
    let other = GeneratorSettings { seed: 1, ..settings };
    let (others, _) = compliance::read_all(&generator(other, &Arc::new(ManualClock::default())), &from(None))
        .await
        .unwrap();
    assert_ne!(all, others);
}

#[tokio::test]
async fn the_source_and_the_file_have_the_same_fields_and_users_as_they_are_asked_to() {
    let types = |line: &[u8]| {
        let Value::Object(event) = serde_json::from_slice(line).unwrap() else { panic!("no object") };
        let names: Vec<_> = event.keys().cloned().collect();
        (names, event["user_id"].is_string(), event["user_id"].is_u64())
    };
    for (users, is_text) in [(Users::Text, true), (Users::Numbers, false)] {
        let settings = GeneratorSettings { until: Some(1), users, ..start_at(0) };
        let source = generator(settings, &Arc::new(ManualClock::default()));
        let (all, _) = compliance::read_all(&source, &from(None)).await.unwrap();
        let mut file = Vec::new();
        write_rides(1, 1, 0, users, &mut file).unwrap();
        assert_eq!(types(&all[0].2), types(&file));
        assert_eq!(types(&file).1, is_text);
        assert_eq!(types(&file).2, !is_text);
    }
}

#[tokio::test]
async fn what_is_left_is_what_is_due() {
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(10_000)));
    let source = generator(GeneratorSettings { rate: 100, until: Some(1500), ..start_at(0) }, &clock);
    let at = |next| from(Some(Position { next, place: "0".to_owned() }));
    for (position, bounded, left) in [(at(0), false, 1001), (at(1000), false, 1), (at(1000), true, 500)] {
        assert_eq!(source.left(&position, bounded).await.unwrap(), Left::records(left));
    }
}

#[tokio::test]
async fn events_come_when_their_time_has_come() {
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(10_000)));
    let settings = GeneratorSettings { rate: 100, until: Some(1500), ..start_at(0) };
    let source = generator(settings, &clock);
    let mut reader = source.open(3, &from(None), false).await.unwrap();
    let Fetch::Block(backlog) = next(reader.as_mut()) else { panic!("no backlog") };
    assert_eq!(backlog.next.next, 1001);
    assert_eq!((backlog.partition.source, &backlog.known), (3, &KnownTimes::EventTime));
    assert!(matches!(next(reader.as_mut()), Fetch::CaughtUp(_)));
    assert!(now(reader.as_mut()).is_none(), "nothing is due");
    // Whoever waits is woken.
    let waiting = async {
        let waits = async { reader.next().await.unwrap() };
        tokio::join!(waits, async { clock.advance(Duration::from_millis(19)) }).0
    };
    let Fetch::Block(block) = waiting.await else { panic!("nothing came") };
    assert_eq!(records(&block).iter().map(|record| record.1).collect::<Vec<_>>(), [1001]);
    clock.advance(Duration::from_mins(1));
    let Fetch::Block(rest) = next(reader.as_mut()) else { panic!("nothing came") };
    assert_eq!(rest.next.next, 1500);
    assert!(matches!(next(reader.as_mut()), Fetch::CaughtUp(_)));
    assert!(now(reader.as_mut()).is_none(), "it has ended");
}

#[tokio::test]
async fn the_first_start_is_kept() {
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(5000)));
    let source = generator(GeneratorSettings::default(), &clock);
    let mut reader = source.open(0, &from(None), false).await.unwrap();
    let Fetch::Block(first) = next(reader.as_mut()) else { panic!("nothing came") };
    clock.advance(Duration::from_secs(1));
    let mut resumed = source.open(0, &from(Some(first.next)), false).await.unwrap();
    let Fetch::Block(rest) = next(resumed.as_mut()) else { panic!("nothing came") };
    let times: Vec<i64> = records(&rest)
        .iter()
        .map(|(_, _, line)| serde_json::from_slice::<Value>(line).unwrap()["event_time"].as_i64().unwrap())
        .collect();
    assert_eq!((times.first(), times.last()), (Some(&5001), Some(&6000)));
}

#[tokio::test]
async fn a_run_until_the_end_needs_an_end() {
    let source = generator(GeneratorSettings::default(), &Arc::new(ManualClock::default()));
    let error = source.open(0, &from(None), true).await.err().unwrap();
    assert_eq!(error.fault, Fault::User);
}

#[test]
fn a_file_of_rides_looks_like_rides() {
    const EVENTS: u64 = 50_000;
    let mut out = Vec::new();
    write_rides(EVENTS, 1, 7, Users::Numbers, &mut out).unwrap();
    let mut again = Vec::new();
    write_rides(EVENTS, 1, 7, Users::Numbers, &mut again).unwrap();
    assert_eq!(out, again, "the same seed makes the same file");
    let (mut users, mut places, mut actions) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let (mut newest, mut late, mut very_late) = (0, 0, 0);
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).unwrap();
        let user = event["user_id"].as_u64().unwrap();
        let action = event["action"].as_str().unwrap().to_owned();
        *users.entry(user).or_insert(0) += 1;
        places.insert(event["geohash"].as_str().unwrap().to_owned());
        let before_ride = ["app_open", "price_check", "search_destination"].contains(&action.as_str());
        assert_eq!(event["ride_id"].is_null(), before_ride);
        if let Some(ride) = event["ride_id"].as_str() {
            assert!(ride.starts_with(&format!("{user:05x}-")), "{ride}");
        }
        *actions.entry(action).or_insert(0_u64) += 1;
        let time = event["event_time"].as_i64().unwrap();
        late += u64::from(time < newest - 3000);
        very_late += u64::from(time < newest - 30_000);
        newest = newest.max(time);
    }
    let hours = (newest - 1_767_225_600_000) as f64 / 3_600_000.0;
    assert!((23.5..24.5).contains(&hours), "the events span {hours} hours");
    assert_eq!(actions.len(), 12);
    assert!((5..=7).contains(&(actions["driver_contact"] * 100 / EVENTS)), "{actions:?}");
    assert!((4..=11).contains(&(late * 100 / EVENTS)) && (5..=12).contains(&(very_late * 1000 / EVENTS)));
    assert!(places.len() > 1500 && users.len() > 5000 && users.values().max() > Some(&500));
}

#[test]
fn settings_are_checked() {
    let context = source_context();
    let wrong = json!({"kind": "trips", "rate": 0, "keys": 0, "start": "soon", "speed": 1});
    let mut keys: Vec<_> =
        super::source(&wrong, &context).unwrap_err().into_iter().map(|error| error.key).collect();
    keys.sort();
    assert_eq!(keys, ["keys", "kind", "rate", "speed", "start"]);
    let right = json!({"kind": "rides", "rate": 1000, "seed": 7, "keys": 1000, "until": 100, "start": 0});
    assert!(super::source(&right, &context).is_ok());
}
