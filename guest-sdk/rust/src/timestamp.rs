//! A point in event time. Knows no calendar.

use std::ops::{Add, Sub};

/// Milliseconds since 1970-01-01T00:00:00Z: SQL's timestamp.
///
/// ```
/// let departed = weir::Timestamp(0);
/// let landed = weir::Timestamp(90_000);
/// assert!(departed < landed);
/// assert_eq!(landed - departed, 90_000);
/// assert_eq!(departed + 90_000, landed);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(pub i64);

/// So many milliseconds later; the last moment there is where that is beyond it.
impl Add<i64> for Timestamp {
    type Output = Timestamp;
    fn add(self, milliseconds: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(milliseconds))
    }
}

/// The milliseconds from one moment to another.
impl Sub for Timestamp {
    type Output = i64;
    fn sub(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
