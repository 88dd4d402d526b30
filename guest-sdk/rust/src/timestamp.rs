//! A point in event time. Knows no calendar.

/// Milliseconds since 1970-01-01T00:00:00Z: SQL's timestamp.
///
/// ```
/// let departed = weir::Timestamp(0);
/// let landed = weir::Timestamp(90_000);
/// assert!(departed < landed);
/// assert_eq!(landed.0 - departed.0, 90_000);
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Timestamp(pub i64);
