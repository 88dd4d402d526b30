//! Scalars over places on Earth.

mod geohash;

pub use geohash::geohash_encode;

/// The Earth's mean radius, as the International Union of Geodesy and Geophysics has it.
const EARTH_RADIUS_KM: f64 = 6371.0088;

weir::export! { scalars: [haversine_km, geohash_encode] }

/// The great-circle distance between two positions in degrees, in kilometres.
#[weir::scalar]
pub fn haversine_km(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let half_sine_squared = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let chord = half_sine_squared(lat2 - lat1)
        + lat1.to_radians().cos() * lat2.to_radians().cos() * half_sine_squared(lon2 - lon1);
    // Rounding can carry the chord of antipodes just past 1, where the arc sine ends.
    2.0 * EARTH_RADIUS_KM * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances() {
        let new_york = (40.6398, -73.7789);
        let los_angeles = (33.9425, -118.4081);
        let distance = haversine_km(new_york.0, new_york.1, los_angeles.0, los_angeles.1);
        assert!((distance - 3974.2).abs() < 1.0, "{distance}");
        let degree = haversine_km(0.0, 0.0, 0.0, 1.0);
        assert!((degree - EARTH_RADIUS_KM.to_radians()).abs() < 1e-9, "{degree}");
    }

    #[test]
    fn the_date_line_is_no_border() {
        let across = haversine_km(10.0, 179.5, 10.0, -179.5);
        let elsewhere = haversine_km(10.0, 0.0, 10.0, 1.0);
        assert!((across - elsewhere).abs() < 1e-9);
    }

    #[test]
    fn antipodes_are_half_a_turn_apart() {
        for (lat, lon) in [(0.0, 0.0), (90.0, 0.0), (12.3, 45.6), (-33.9, 151.2)] {
            let distance = haversine_km(lat, lon, -lat, lon + 180.0);
            assert!((distance - std::f64::consts::PI * EARTH_RADIUS_KM).abs() < 1e-3, "{distance}");
        }
        assert_eq!(haversine_km(1.0, 2.0, 1.0, 2.0).to_bits(), 0);
    }
}
