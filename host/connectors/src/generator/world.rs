//! The ride-share world: its users, places and actions, and what happens as event number `i`.

use super::random::{Draws, Weighted};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What users do, how often out of a hundred, and whether it belongs to a ride.
const ACTIONS: [(&str, f64, bool); 12] = [
    ("app_open", 18.0, false),
    ("price_check", 14.0, false),
    ("search_destination", 10.0, false),
    ("ride_requested", 12.0, true),
    ("ride_accepted", 10.0, true),
    ("driver_contact", 6.0, true),
    ("cancel_ride", 3.0, true),
    ("driver_arrived", 7.0, true),
    ("ride_started", 7.0, true),
    ("ride_completed", 7.0, true),
    ("tip_added", 3.0, true),
    ("rating_submitted", 3.0, true),
];
const RIDE_REQUESTED: usize = 3;

/// Latitude and longitude of the cities around which everything happens.
const CITIES: [(f64, f64); 5] =
    [(37.77, -122.42), (40.71, -74.0), (34.05, -118.24), (41.88, -87.63), (25.76, -80.19)];
const CITY_DEGREES: f64 = 1.2;
const PLACES: usize = 2000;

/// How skewed users and places are.
const USER_EXPONENT: f64 = 0.99;
const PLACE_EXPONENT: f64 = 0.8;

/// So often it is somebody who was seen lately: that makes sessions.
const RETURN_SHARE: f64 = 0.5;

// Purposes of streams of draws, kept apart from the events' own by the top bits.
const USERS_STREAM: u64 = 1 << 62;
const PLACES_STREAM: u64 = 2 << 62;
const DETAILS_STREAM: u64 = 3 << 62;

/// Users, places and the seed.
#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    user_ranks: Weighted,
    /// The user of each rank: without it the busy users would be the small numbers.
    users: Vec<u32>,
    place_ranks: Weighted,
    places: Vec<[u8; 5]>,
    actions: Weighted,
    /// A returning user is one of the last so many events.
    recent_events: u64,
}

/// What happens in one event, but for its time and which ride it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) user: u32,
    action: usize,
    place: [u8; 5],
    cents: u64,
}

impl Event {
    /// Whether the user asks for a new ride.
    pub(super) fn requests_ride(&self) -> bool {
        self.action == RIDE_REQUESTED
    }

    /// Appends the event as a line of JSON; `users` says how its user looks, `ride` is the number of the user's ride.
    pub(super) fn write(&self, id: u64, users: Users, ride: u64, time_millis: i64, out: &mut Vec<u8>) {
        let (action, _, in_ride) = ACTIONS[self.action];
        out.extend_from_slice(b"{\"event_id\":");
        push_number(id, 1, out);
        out.extend_from_slice(b",\"user_id\":");
        match users {
            Users::Numbers => push_number(u64::from(self.user), 1, out),
            Users::Text => {
                out.extend_from_slice(b"\"u");
                push_number(u64::from(self.user), 1, out);
                out.push(b'"');
            }
        }
        out.extend_from_slice(b",\"action\":\"");
        out.extend_from_slice(action.as_bytes());
        out.extend_from_slice(b"\",\"geohash\":\"");
        out.extend_from_slice(&self.place);
        out.extend_from_slice(b"\",\"ride_id\":");
        if in_ride {
            out.push(b'"');
            out.extend((0..5).rev().map(|digit| HEX_DIGITS[(self.user >> (4 * digit) & 15) as usize]));
            out.push(b'-');
            push_number(ride, 5, out);
            out.push(b'"');
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"fare\":");
        push_number(self.cents / 100, 1, out);
        out.push(b'.');
        push_number(self.cents % 100, 2, out);
        out.extend_from_slice(b",\"event_time\":");
        if time_millis < 0 {
            out.push(b'-');
        }
        push_number(time_millis.unsigned_abs(), 1, out);
        out.extend_from_slice(b"}\n");
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// How users look in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// `"u42"`
    Text,
    /// `42`
    Numbers,
}

impl World {
    pub(super) fn new(seed: u64, users: u32, recent_events: u64) -> Self {
        let mut order: Vec<u32> = (0..users).collect();
        let mut draws = Draws::new(seed, USERS_STREAM);
        for last in (1..order.len()).rev() {
            order.swap(last, draws.below(last as u64 + 1) as usize);
        }
        World {
            seed,
            user_ranks: Weighted::zipf(order.len(), USER_EXPONENT),
            users: order,
            place_ranks: Weighted::zipf(PLACES, PLACE_EXPONENT),
            places: places(seed),
            actions: Weighted::new(ACTIONS.iter().map(|(_, weight, _)| *weight)),
            recent_events,
        }
    }

    /// What happens as event number `index`, and the draws for whatever else has to be decided about it.
    pub(super) fn event(&self, index: u64) -> (Event, Draws) {
        let mut draws = Draws::new(self.seed, DETAILS_STREAM | index);
        let action = self.actions.pick(&mut draws);
        let place = self.places[self.place_ranks.pick(&mut draws)];
        let cents = 300 + draws.below(6000) + draws.below(2000);
        (Event { user: self.user(index), action, place, cents }, draws)
    }

    /// Whoever acts in event number `index`: somebody by popularity, or whoever acted in an event shortly before.
    /// That one may have returned too, so this goes back until somebody came anew: two steps on average.
    fn user(&self, index: u64) -> u32 {
        let mut index = index;
        loop {
            let mut draws = Draws::new(self.seed, index);
            if draws.unit() < RETURN_SHARE {
                let back = 1 + draws.below(self.recent_events);
                if back <= index {
                    index -= back;
                    continue;
                }
            }
            return self.users[self.user_ranks.pick(&mut draws)];
        }
    }
}

fn places(seed: u64) -> Vec<[u8; 5]> {
    let mut draws = Draws::new(seed, PLACES_STREAM);
    let (mut places, mut seen) = (Vec::with_capacity(PLACES), BTreeSet::new());
    while places.len() < PLACES {
        let (latitude, longitude) = CITIES[draws.below(CITIES.len() as u64) as usize];
        let mut around = |degrees: f64| degrees + (draws.unit() - 0.5) * CITY_DEGREES;
        let place = geohash(around(latitude), around(longitude));
        if seen.insert(place) {
            places.push(place);
        }
    }
    places
}

/// A place as five characters of geohash, a cell of about 5 km: bits halve longitude and latitude by turns.
fn geohash(latitude: f64, longitude: f64) -> [u8; 5] {
    const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let mut axes = [(-180.0, 180.0, longitude), (-90.0, 90.0, latitude)];
    let mut axis = 0;
    std::array::from_fn(|_| {
        let digit = (0..5).fold(0, |digit, _| {
            let (low, high, value): &mut (f64, f64, f64) = &mut axes[axis];
            let middle = f64::midpoint(*low, *high);
            let upper = *value >= middle;
            if upper {
                *low = middle;
            } else {
                *high = middle;
            }
            axis = 1 - axis;
            digit << 1 | usize::from(upper)
        });
        DIGITS[digit]
    })
}

/// Appends a number with at least so many digits.
fn push_number(value: u64, min_digits: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut start) = (value, digits.len());
    while rest > 0 {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - min_digits)..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geohashes_are_those_of_the_map() {
        assert_eq!(&geohash(57.64911, 10.40744), b"u4pru");
        assert_eq!(&geohash(37.77, -122.42), b"9q8yy");
    }

    #[test]
    fn numbers_have_the_digits_asked_for() {
        let mut out = Vec::new();
        for (value, digits) in [(0, 1), (7, 2), (1234, 2), (u64::MAX, 1)] {
            push_number(value, digits, &mut out);
            out.push(b' ');
        }
        assert_eq!(out, b"0 07 1234 18446744073709551615 ");
    }
}
