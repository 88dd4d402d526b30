//! Geohashes: a position as a text, where a longer common beginning means a smaller common cell.

/// The digits, in order of value: base 32 without the letters a, i, l and o.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Twelve digits are 60 bits, a cell of 4 cm: finer than positions are known.
const MAX_PRECISION_DIGITS: i64 = 12;

/// The geohash of a position in degrees, with so many digits (1 to 12).
#[weir::scalar]
pub fn geohash_encode(lat: f64, lon: f64, precision: i64) -> Result<String, String> {
    if !(-90.0..=90.0).contains(&lat) {
        return Err(format!("latitude {lat} is not within -90 and 90 degrees"));
    }
    if !(-180.0..=180.0).contains(&lon) {
        return Err(format!("longitude {lon} is not within -180 and 180 degrees"));
    }
    if !(1..=MAX_PRECISION_DIGITS).contains(&precision) {
        return Err(format!("precision {precision} is not within 1 and {MAX_PRECISION_DIGITS} digits"));
    }
    let mut longitude = Halving { low: -180.0, high: 180.0 };
    let mut latitude = Halving { low: -90.0, high: 90.0 };
    // Bits go to longitude and latitude in turn, over the whole text.
    let mut of_longitude = true;
    let mut digit = || {
        let mut value = 0;
        for _ in 0..5 {
            let upper = if of_longitude { longitude.is_upper(lon) } else { latitude.is_upper(lat) };
            value = value * 2 + usize::from(upper);
            of_longitude = !of_longitude;
        }
        char::from(DIGITS[value])
    };
    Ok((0..precision).map(|_| digit()).collect())
}

/// A range that is halved around a value, bit by bit.
struct Halving {
    low: f64,
    high: f64,
}

impl Halving {
    /// Whether the value lies in the upper half, which is then the range; if not, the lower half is.
    fn is_upper(&mut self, value: f64) -> bool {
        let middle = f64::midpoint(self.low, self.high);
        let upper = value >= middle;
        *(if upper { &mut self.low } else { &mut self.high }) = middle;
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_cells() {
        let cases = [
            (57.64911, 10.40744, 11, "u4pruydqqvj"),
            (42.605, -5.603, 5, "ezs42"),
            (37.7749, -122.4194, 6, "9q8yyk"),
            (0.0, 0.0, 4, "s000"),
            (90.0, 180.0, 3, "zzz"),
            (-90.0, -180.0, 3, "000"),
        ];
        for (lat, lon, precision, expected) in cases {
            assert_eq!(geohash_encode(lat, lon, precision).unwrap(), expected);
        }
    }

    #[test]
    fn a_shorter_hash_begins_a_longer_one() {
        let longest = geohash_encode(-33.8688, 151.2093, 12).unwrap();
        for precision in 1..12 {
            let hash = geohash_encode(-33.8688, 151.2093, precision).unwrap();
            assert!(longest.starts_with(&hash) && hash.len() == usize::try_from(precision).unwrap());
        }
    }

    #[test]
    fn what_is_not_a_position_is_an_error() {
        let cases = [(91.0, 0.0, 5), (f64::NAN, 0.0, 5), (0.0, -180.1, 5), (0.0, 0.0, 0), (0.0, 0.0, 13)];
        for (lat, lon, precision) in cases {
            assert!(geohash_encode(lat, lon, precision).is_err(), "{lat} {lon} {precision}");
        }
    }
}
