//! How unusual the amount of a ride is for its rider: computed when it is asked, of the amount in the request and of what a job has
//! stored of the rider. Only what every machine rounds alike is used, so that the same in another language gives the same bits.

/// What a ride costs where nothing is known of its rider.
const USUAL_FARE: f64 = 20.0;
/// The usual fare counts as much as so many rides of the rider's own.
const USUAL_RIDES: f64 = 5.0;
/// A ride of so many times what is expected beyond that itself has half of the highest score.
const HALF: f64 = 3.0;
const MEDIUM: f64 = 0.25;
const HIGH: f64 = 0.5;

weir::export! { transforms: [risk] }

/// What is told of an amount.
#[derive(Clone, Debug, PartialEq, weir::Row)]
pub struct Risk {
    /// From 0, no more than is expected, to almost 1.
    score: f64,
    band: String,
    /// The amount in mean fares of the rider.
    times_usual: Option<f64>,
}

/// How unusual an amount is for a rider of so many rides with this mean fare, neither of which a new rider has: a score from 0
/// to 1 and its band, low, medium or high.
#[weir::transform]
pub fn risk(amount: f64, mean_fare: Option<f64>, rides: Option<i64>) -> Risk {
    let mean_fare = mean_fare.filter(|mean| *mean > 0.0);
    let rides = rides.filter(|rides| *rides > 0);
    let expected = match (mean_fare, rides) {
        (Some(mean), Some(rides)) => {
            let rides = as_double(rides);
            (rides * mean + USUAL_RIDES * USUAL_FARE) / (rides + USUAL_RIDES)
        }
        _ => USUAL_FARE,
    };
    let times = amount / expected;
    // What is not a number stays so, and its band is high.
    let beyond = if times <= 1.0 { 0.0 } else { times - 1.0 };
    let score = 1.0 - HALF / (beyond + HALF);
    let band = if score < MEDIUM {
        "low"
    } else if score < HIGH {
        "medium"
    } else {
        "high"
    };
    Risk { score, band: band.to_owned(), times_usual: mean_fare.map(|mean| amount / mean) }
}

/// A count beyond 2^53 is the nearest double.
#[allow(clippy::cast_precision_loss)]
fn as_double(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(amount: f64, mean_fare: Option<f64>, rides: Option<i64>) -> (f64, String, Option<f64>) {
        let Risk { score, band, times_usual } = risk(amount, mean_fare, rides);
        (score, band, times_usual)
    }

    #[test]
    fn bands_begin_where_they_are_said_to() {
        let told = |amount| told(amount, Some(20.0), Some(100));
        assert_eq!(told(20.0), (0.0, "low".to_owned(), Some(1.0)));
        assert_eq!(told(-5.0), (0.0, "low".to_owned(), Some(-0.25)));
        assert_eq!(told(40.0), (0.25, "medium".to_owned(), Some(2.0)));
        assert_eq!(told(80.0), (0.5, "high".to_owned(), Some(4.0)));
    }

    #[test]
    fn a_new_rider_is_compared_with_everybody() {
        assert_eq!(told(80.0, None, None), (0.5, "high".to_owned(), None));
        assert_eq!(told(80.0, None, Some(3)), (0.5, "high".to_owned(), None));
        assert_eq!(told(80.0, Some(0.0), Some(3)), (0.5, "high".to_owned(), None));
        assert_eq!(told(80.0, Some(40.0), Some(0)), (0.5, "high".to_owned(), Some(2.0)));
    }

    #[test]
    fn what_is_known_of_a_rider_counts_the_more_the_more_rides_there_are() {
        let few = risk(80.0, Some(40.0), Some(1)).score;
        let many = risk(80.0, Some(40.0), Some(1000)).score;
        assert!(few < 0.5 && many < few && many > 0.24, "{few} {many}");
    }

    #[test]
    fn what_is_beyond_every_number_is_high() {
        assert_eq!(told(f64::INFINITY, Some(1.0), Some(1)), (1.0, "high".to_owned(), Some(f64::INFINITY)));
        let nan = risk(f64::NAN, Some(1.0), Some(1));
        assert!(nan.score.is_nan() && nan.band == "high" && nan.times_usual.is_some_and(f64::is_nan));
    }

    /// The samples in other languages have the same test, with the same number in it.
    #[test]
    fn the_bits_are_those_of_every_language() {
        let mut folded = 0_u64;
        let mut fold = |value: f64| folded = folded.wrapping_mul(31).wrapping_add(value.to_bits());
        for n in 0..2000_i32 {
            let mean_fare = (n % 13 != 0).then(|| f64::from(n % 17) * 1.7);
            let rides = (n % 7 != 0).then(|| (i64::from(n % 11) << (n % 55)) + i64::from(n));
            let Risk { score, band, times_usual } = risk(f64::from(n) * 0.37, mean_fare, rides);
            fold(score);
            fold(f64::from(u32::try_from(band.len()).unwrap()));
            fold(times_usual.unwrap_or(-1.0));
        }
        assert_eq!(folded, 13_387_914_542_432_622_362);
    }
}
