//! Logic of one key's events: what it remembers, and when it is called again, are its own.

use weir::{Output, Timestamp};

/// A visit is over when no ride came for so long.
const PAUSE_MS: i64 = 30 * 60_000;

weir::export! { processes: [{{TYPE}}] }

/// What is taken of an event: the columns of these names.
#[derive(weir::Event)]
pub struct OneRide {
    fare: f64,
}

/// A row that is made.
#[derive(Debug, PartialEq, weir::Row)]
pub struct OneVisit {
    started: Timestamp,
    rides: i64,
    fares: f64,
}

/// What is remembered of a key.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct {{TYPE}} {
    started: Option<Timestamp>,
    rides: i64,
    fares: f64,
}

/// Rides with no pause of half an hour between them.
#[weir::process(name = "{{NAME}}")]
impl weir::Process for {{TYPE}} {
    type Event = OneRide;
    type Row = OneVisit;

    fn on_event(&mut self, at: Timestamp, ride: OneRide, out: &mut Output<OneVisit>) {
        self.started.get_or_insert(at);
        self.rides += 1;
        self.fares += ride.fare;
        out.set_timer(at + PAUSE_MS);
    }

    fn on_timer(&mut self, _at: Timestamp, out: &mut Output<OneVisit>) {
        if let Some(started) = self.started {
            out.emit(OneVisit { started, rides: self.rides, fares: self.fares });
        }
        // A key of which nothing is remembered takes no room.
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_ends_with_the_pause_behind_its_last_ride() {
        let rides = [(0, 2.5), (PAUSE_MS, 4.0), (2 * PAUSE_MS + 1, 1.0)];
        let rides = rides.map(|(at, fare)| (Timestamp(at), OneRide { fare }));
        let rows = weir::play::<{{TYPE}}>((), rides, Timestamp(3 * PAUSE_MS)).unwrap();
        let visit = OneVisit { started: Timestamp(0), rides: 2, fares: 6.5 };
        assert_eq!(rows, [(Timestamp(2 * PAUSE_MS), visit)]);
    }
}
