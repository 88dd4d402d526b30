//! The bare loops: what each query costs at least, without a system around it.

use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hint::black_box;

const HOUR_MS: i64 = 3_600_000;
const DISORDER_MS: i64 = 600_000;
const NINETY_DAYS_MS: i64 = 90 * 24 * HOUR_MS;
const LONGEST_SEQUENCE: usize = 2056;
const SESSION_GAP_MS: i64 = 30 * 60_000;

fn events<'a, T: Deserialize<'a>>(text: &'a [u8]) -> impl Iterator<Item = T> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| sonic_rs::from_slice(line).expect("generated rides are JSON"))
}

#[derive(Deserialize)]
struct Cell<'a> {
    geohash: &'a str,
    event_time: i64,
}

/// Q1: rides per geohash and hour.
pub(crate) fn tumbling_count(text: &[u8]) -> u64 {
    let mut panes: BTreeMap<i64, HashMap<&str, u64>> = BTreeMap::new();
    let (mut newest, mut rows) = (i64::MIN, 0);
    for event in events::<Cell<'_>>(text) {
        newest = newest.max(event.event_time);
        let hour = event.event_time.div_euclid(HOUR_MS);
        *panes.entry(hour).or_default().entry(event.geohash).or_default() += 1;
        while let Some(pane) =
            panes.first_entry().filter(|pane| (pane.key() + 1) * HOUR_MS <= newest - DISORDER_MS)
        {
            rows += emit(pane.remove());
        }
    }
    rows + panes.into_values().map(emit).sum::<u64>()
}

fn emit<K, V>(pane: HashMap<K, V>) -> u64 {
    pane.into_iter().map(black_box).fold(0, |rows, _| rows + 1)
}

#[derive(Deserialize)]
struct Ride<'a> {
    user_id: i64,
    ride_id: Option<&'a str>,
    event_time: i64,
}

/// Q2, Q2m: rides per user in the last `HOURS`, every hour.
pub(crate) fn hopping_count<const HOURS: i64>(text: &[u8]) -> u64 {
    let mut panes: BTreeMap<i64, HashMap<i64, (u64, u64)>> = BTreeMap::new();
    let mut running: HashMap<i64, (u64, u64)> = HashMap::new();
    let (mut newest, mut rows, mut next) = (i64::MIN, 0, i64::MAX);
    let mut close = |end: i64, panes: &mut BTreeMap<i64, HashMap<i64, (u64, u64)>>| {
        for (user, (events, rides)) in panes.get(&(end - 1)).into_iter().flatten() {
            let sum = running.entry(*user).or_default();
            *sum = (sum.0 + events, sum.1 + rides);
        }
        for (user, (events, rides)) in panes.remove(&(end - 1 - HOURS)).into_iter().flatten() {
            if let Some(sum) = running.get_mut(&user) {
                *sum = (sum.0 - events, sum.1 - rides);
            }
        }
        running.retain(|_, sum| sum.0 > 0);
        rows += running.iter().map(black_box).fold(0, |rows, _| rows + 1);
    };
    for event in events::<Ride<'_>>(text) {
        newest = newest.max(event.event_time);
        let hour = event.event_time.div_euclid(HOUR_MS);
        next = next.min(hour + 1);
        let pane = panes.entry(hour).or_default().entry(event.user_id).or_default();
        *pane = (pane.0 + 1, pane.1 + u64::from(event.ride_id.is_some()));
        while next * HOUR_MS <= newest - DISORDER_MS {
            close(next, &mut panes);
            next += 1;
        }
    }
    while !panes.is_empty() {
        close(next, &mut panes);
        next += 1;
    }
    rows
}

#[derive(Deserialize)]
struct Action<'a> {
    user_id: i64,
    action: &'a str,
    event_time: i64,
}

/// Q3: the last actions of a user at each event.
pub(crate) fn sequences(text: &[u8]) -> u64 {
    let mut rows = 0;
    follow(text, |log| {
        drop(black_box(sequence(log)));
        rows += 1;
    });
    rows
}

/// Q3 kept: the last actions of each user at the end.
pub(crate) fn kept_sequences(text: &[u8]) -> u64 {
    let users = follow(text, |_| {});
    users.values().map(|log| drop(black_box(sequence(log)))).count() as u64
}

/// A user's actions with their times.
type Actions = VecDeque<(i64, u8)>;

fn sequence(log: &Actions) -> Vec<u8> {
    let skip = log.len().saturating_sub(LONGEST_SEQUENCE);
    log.iter().skip(skip).map(|(_, action)| *action).collect()
}

/// Keeps the actions of ninety days, shows a user's after each event, and returns them all.
fn follow(text: &[u8], mut visit: impl FnMut(&Actions)) -> HashMap<i64, Actions> {
    let mut names: HashMap<&str, u8> = HashMap::new();
    let mut users: HashMap<i64, Actions> = HashMap::new();
    let mut pending: BTreeMap<(i64, u64), (i64, u8)> = BTreeMap::new();
    let mut newest = i64::MIN;
    let mut settle = |pending: &mut BTreeMap<(i64, u64), (i64, u8)>, watermark: i64| {
        while let Some(event) = pending.first_entry().filter(|event| event.key().0 < watermark) {
            let ((time, _), (user, action)) = event.remove_entry();
            let log = users.entry(user).or_default();
            log.push_back((time, action));
            while log.front().is_some_and(|(first, _)| *first < time - NINETY_DAYS_MS) {
                log.pop_front();
            }
            visit(log);
        }
    };
    for (number, event) in events::<Action<'_>>(text).enumerate() {
        newest = newest.max(event.event_time);
        let known = names.len() as u8;
        let action = *names.entry(event.action).or_insert(known);
        pending.insert((event.event_time, number as u64), (event.user_id, action));
        settle(&mut pending, newest - DISORDER_MS);
    }
    settle(&mut pending, i64::MAX);
    users
}

#[derive(Deserialize)]
struct Whole<'a> {
    user_id: i64,
    action: &'a str,
    ride_id: Option<&'a str>,
    fare: f64,
    event_time: i64,
}

#[derive(Default)]
struct Seven<'a> {
    count: u64,
    sum: f64,
    least: f64,
    most: f64,
    rides: HashSet<&'a str>,
    last: Vec<(i64, &'a str)>,
}

/// Q4: seven aggregates per user and hour.
pub(crate) fn seven_aggregates(text: &[u8]) -> u64 {
    let mut panes: BTreeMap<i64, HashMap<i64, Seven<'_>>> = BTreeMap::new();
    let (mut newest, mut rows) = (i64::MIN, 0);
    for event in events::<Whole<'_>>(text) {
        newest = newest.max(event.event_time);
        let hour = event.event_time.div_euclid(HOUR_MS);
        let user = panes.entry(hour).or_default().entry(event.user_id).or_default();
        user.least = if user.count == 0 { event.fare } else { user.least.min(event.fare) };
        user.most = if user.count == 0 { event.fare } else { user.most.max(event.fare) };
        user.count += 1;
        user.sum += event.fare;
        user.rides.extend(event.ride_id);
        let at = user.last.partition_point(|(time, _)| *time <= event.event_time);
        user.last.insert(at, (event.event_time, event.action));
        if user.last.len() > 5 {
            user.last.remove(0);
        }
        while let Some(pane) =
            panes.first_entry().filter(|pane| (pane.key() + 1) * HOUR_MS <= newest - DISORDER_MS)
        {
            rows += emit(pane.remove());
        }
    }
    rows + panes.into_values().map(emit).sum::<u64>()
}

#[derive(Deserialize)]
struct Seen {
    user_id: i64,
    event_time: i64,
}

/// Q5: sessions per user. Sessions that are not yet final are few for a user at a time.
pub(crate) fn sessions(text: &[u8]) -> u64 {
    let mut users: HashMap<i64, Vec<(i64, i64, u64)>> = HashMap::new();
    let (mut newest, mut rows, mut swept) = (i64::MIN, 0, i64::MIN);
    let mut sweep = |users: &mut HashMap<i64, Vec<(i64, i64, u64)>>, watermark: i64| {
        users.retain(|_, open| {
            open.retain(|(start, last, count)| {
                let is_open = last + SESSION_GAP_MS >= watermark;
                if !is_open {
                    black_box((start, last, count));
                    rows += 1;
                }
                is_open
            });
            !open.is_empty()
        });
    };
    for event in events::<Seen>(text) {
        newest = newest.max(event.event_time);
        let open = users.entry(event.user_id).or_default();
        let mut joined = (event.event_time, event.event_time, 1);
        open.retain(|(start, last, count)| {
            let apart = joined.0 - last > SESSION_GAP_MS || start - joined.1 > SESSION_GAP_MS;
            if !apart {
                joined = (joined.0.min(*start), joined.1.max(*last), joined.2 + count);
            }
            apart
        });
        open.push(joined);
        // Every ten minutes of event time.
        if newest - DISORDER_MS > swept.saturating_add(DISORDER_MS) {
            swept = newest - DISORDER_MS;
            sweep(&mut users, swept);
        }
    }
    sweep(&mut users, i64::MAX);
    rows
}
