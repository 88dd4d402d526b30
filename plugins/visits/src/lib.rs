//! Logic of one key's events: a rider's visits, each told when it is over.

use weir::{Output, Timestamp};

/// What is told of a visit has so many cities, the first ones.
const MOST_CITIES: usize = 16;
const MINUTE_MS: i64 = 60_000;

weir::export! { processes: [Visits] }

/// What is taken of a ride.
#[derive(weir::Event)]
pub struct Ride {
    city: Option<String>,
}

/// A visit that is over.
#[derive(Debug, PartialEq, weir::Row)]
pub struct Visit {
    started: Timestamp,
    rides: i64,
    cities: Vec<String>,
}

/// The visit that goes on, if one does.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Visits {
    pause_minutes: i64,
    started: Option<Timestamp>,
    rides: i64,
    cities: Vec<String>,
}

/// Visits: events with no pause of so many minutes between them. Each is a row when it is over, with its cities in the order
/// in which they came.
#[weir::process(parameters(pause_minutes))]
impl weir::Process for Visits {
    type Parameters = i64;
    type Event = Ride;
    type Row = Visit;

    fn start(pause_minutes: &i64) -> Self {
        Visits { pause_minutes: *pause_minutes, ..Visits::default() }
    }

    fn on_event(&mut self, at: Timestamp, ride: Ride, out: &mut Output<Visit>) {
        self.started.get_or_insert(at);
        self.rides += 1;
        if let Some(city) = ride.city
            && self.cities.len() < MOST_CITIES
            && !self.cities.contains(&city)
        {
            self.cities.push(city);
        }
        out.set_timer(at + self.pause_minutes.saturating_mul(MINUTE_MS));
    }

    fn on_timer(&mut self, _at: Timestamp, out: &mut Output<Visit>) {
        let over = std::mem::replace(self, Self::start(&self.pause_minutes));
        if let Some(started) = over.started {
            out.emit(Visit { started, rides: over.rides, cities: over.cities });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visits(pause_minutes: i64, rides: &[(i64, &str)]) -> Vec<(i64, Visit)> {
        let named = |city: &str| (!city.is_empty()).then(|| city.to_owned());
        let rides =
            rides.iter().map(|(minute, city)| (Timestamp(minute * MINUTE_MS), Ride { city: named(city) }));
        let rows = weir::play::<Visits>(pause_minutes, rides, Timestamp(1000 * MINUTE_MS)).unwrap();
        rows.into_iter().map(|(at, visit)| (at.0 / MINUTE_MS, visit)).collect()
    }

    fn visit(minute: i64, rides: i64, cities: &[&str]) -> Visit {
        let cities = cities.iter().map(ToString::to_string).collect();
        Visit { started: Timestamp(minute * MINUTE_MS), rides, cities }
    }

    #[test]
    fn a_visit_ends_with_the_pause_behind_its_last_ride() {
        let rides = [(0, "berlin"), (29, "paris"), (59, "berlin"), (60, ""), (91, "rome")];
        let expected = [(90, visit(0, 4, &["berlin", "paris"])), (121, visit(91, 1, &["rome"]))];
        assert_eq!(visits(30, &rides), expected);
        assert_eq!(visits(31, &rides), [(122, visit(0, 5, &["berlin", "paris", "rome"]))]);
    }

    #[test]
    fn rides_of_one_time_are_one_visit_whatever_the_pause() {
        for pause in [0, -5] {
            let expected = [(3, visit(3, 2, &[])), (4, visit(4, 1, &[]))];
            assert_eq!(visits(pause, &[(3, ""), (3, ""), (4, "")]), expected);
        }
    }

    #[test]
    fn the_first_cities_are_told() {
        let names: Vec<String> = (0..20).map(|n| format!("city{n}")).collect();
        let rides: Vec<(i64, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
        let [(_, visit)] = &visits(5, &rides)[..] else { panic!("one visit is due") };
        assert_eq!((visit.rides, &visit.cities[..]), (20, &names[..MOST_CITIES]));
    }
}
