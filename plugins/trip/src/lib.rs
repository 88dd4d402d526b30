//! An aggregate over positions: how far somebody travelled.

/// The Earth's mean radius, as the International Union of Geodesy and Geophysics has it.
const EARTH_RADIUS_KM: f64 = 6371.0088;

weir::export! { aggregates: [Trip] }

/// A position in degrees: latitude, longitude.
type Position = (f64, f64);

/// The first and last position of a stretch of time, and the way between them.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Trip {
    ends: Option<(Position, Position)>,
    distance_km: f64,
}

/// The distance travelled along successive positions in degrees, in event-time order, in kilometres.
#[weir::aggregate]
impl weir::Aggregate for Trip {
    type Input = Position;
    type Output = Option<f64>;

    fn update(&mut self, _time: i64, (lat, lon): Position) {
        let here = (lat, lon);
        self.merge(&Trip { ends: Some((here, here)), distance_km: 0.0 });
    }

    fn merge(&mut self, later: &Self) {
        let Some((next, end)) = later.ends else { return };
        let start = match self.ends {
            Some((start, last)) => {
                self.distance_km += great_circle_km(last, next);
                start
            }
            None => next,
        };
        self.distance_km += later.distance_km;
        self.ends = Some((start, end));
    }

    fn finish(&self, _as_of: i64) -> Option<f64> {
        self.ends.map(|_| self.distance_km)
    }
}

/// The great-circle distance, by the haversine formula.
fn great_circle_km((lat1, lon1): Position, (lat2, lon2): Position) -> f64 {
    let half_sine_squared = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let chord = half_sine_squared(lat2 - lat1)
        + lat1.to_radians().cos() * lat2.to_radians().cos() * half_sine_squared(lon2 - lon1);
    // Rounding can carry the chord of antipodes just past 1, where the arc sine ends.
    2.0 * EARTH_RADIUS_KM * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use weir::Aggregate;

    use super::*;

    const WAY: [Position; 5] = [(52.52, 13.40), (52.40, 13.06), (52.13, 11.63), (52.37, 9.73), (53.55, 9.99)];

    fn along(way: &[Position]) -> Trip {
        let mut trip = Trip::default();
        for (position, time) in way.iter().zip(0..) {
            trip.update(time, *position);
        }
        trip
    }

    #[test]
    fn distances_add_up_in_order() {
        let expected: f64 = WAY.windows(2).map(|leg| great_circle_km(leg[0], leg[1])).sum();
        let travelled = along(&WAY).finish(9).unwrap();
        assert!((travelled - expected).abs() < 1e-9 && (390.0..400.0).contains(&travelled), "{travelled}");
    }

    #[test]
    fn one_position_is_no_distance_and_none_is_null() {
        assert_eq!(along(&WAY[..1]).finish(0), Some(0.0));
        assert_eq!(Trip::default().finish(0), None);
    }

    #[test]
    fn a_cut_anywhere_changes_nothing() {
        let whole = along(&WAY).finish(9).unwrap();
        for cut in 0..=WAY.len() {
            let mut merged = along(&WAY[..cut]);
            merged.merge(&along(&WAY[cut..]));
            assert_eq!(merged.ends, Some((WAY[0], WAY[4])));
            assert!((merged.finish(9).unwrap() - whole).abs() < 1e-9, "cut at {cut}");
        }
    }
}
