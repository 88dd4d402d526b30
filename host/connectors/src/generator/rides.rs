//! Rides as a file: what `weir generate rides` writes and measurements read.

use super::random::Draws;
use super::world::{Users, World};
use std::io::{self, Write};

const USERS: u32 = 100_000;
/// 2026-01-01T00:00:00Z.
const START_MILLIS: i64 = 1_767_225_600_000;
const DAY_MICROS: u64 = 86_400_000_000;
/// Who was seen in about the last ten minutes comes back; within bounds that keep it a crowd.
const RECENT_MICROS: u64 = 600_000_000;
const RECENT_EVENTS: (u64, u64) = (32, 4096);
/// Written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes `events` lines that span about `days`, the same ones for the same arguments.
///
/// A line is `{"event_id":0,"user_id":42,"action":"ride_requested","geohash":"9q8yy","ride_id":"0002a-00001",
/// "fare":12.50,"event_time":1767225600000}`: 100,000 users of skewed popularity, of whom half come back within ten
/// minutes, 2,000 skewed places, a ride that lasts until the user asks for the next one and is `null` before a
/// request. Of the times 90 % are in order, 9 % up to 30 s and 1 % up to 10 min late.
///
/// # Errors
/// Those of `out`.
///
/// ```
/// let mut out = Vec::new();
/// use weir_connectors::generator::{Users, write_rides};
/// write_rides(3, 1, 7, Users::Numbers, &mut out).unwrap();
/// assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 3);
/// ```
pub fn write_rides(events: u64, days: u64, seed: u64, users: Users, mut out: impl Write) -> io::Result<()> {
    let mean_gap_micros = (days * DAY_MICROS).checked_div(events).unwrap_or_default();
    let (fewest, most) = RECENT_EVENTS;
    let recent_events = (RECENT_MICROS / mean_gap_micros.max(1)).clamp(fewest, most);
    let world = World::new(seed, USERS, recent_events);
    let mut rides = vec![0_u64; USERS as usize];
    let mut elapsed_micros = 0;
    let mut lines = Vec::with_capacity(CHUNK_BYTES);
    for id in 0..events {
        let (event, mut draws) = world.event(id);
        elapsed_micros += draws.below(2 * mean_gap_micros + 1);
        let ride = &mut rides[event.user as usize];
        *ride += u64::from(event.requests_ride());
        let in_order = START_MILLIS + (elapsed_micros / 1000) as i64;
        let time = (in_order - late_millis(&mut draws)).max(START_MILLIS);
        event.write(id, users, *ride, time, &mut lines);
        if lines.len() > CHUNK_BYTES - 1024 {
            out.write_all(&lines)?;
            lines.clear();
        }
    }
    out.write_all(&lines)?;
    out.flush()
}

fn late_millis(draws: &mut Draws) -> i64 {
    match draws.unit() {
        share if share < 0.90 => 0,
        share if share < 0.99 => draws.below(30_000) as i64,
        _ => 30_000 + draws.below(570_000) as i64,
    }
}
