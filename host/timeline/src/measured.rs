//! How much memory state takes, said at any time without a walk over it.
//!
//! A walk is made when so much has changed since the last one that it costs little beside; in between, the state is taken
//! to be as dense as it was. Knows nothing of what is held.

/// A walk is due when rows have come for so much of the memory each. It costs a small part of a nanosecond for a byte, as
/// there are hardly ten bytes without a step of it: less than a hundredth of what the rows took.
const BYTES_PER_ROW: u64 = 32;

/// What the last walk found.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    bytes: u64,
    /// How much there was: keys, tiles and rows.
    things: u64,
    /// Rows that have come since.
    changes: u64,
}

impl Measured {
    /// Rows have come; whether a walk is due.
    pub(crate) fn is_due_after(&mut self, rows: usize) -> bool {
        self.changes += rows as u64;
        self.changes.saturating_mul(BYTES_PER_ROW) > self.bytes
    }

    /// So many bytes were written to what is held, which may be as large as it was; whether a walk is due.
    pub(crate) fn is_due_after_bytes(&mut self, bytes: u64) -> bool {
        self.is_due_after((bytes / BYTES_PER_ROW) as usize)
    }

    /// A walk has found so much.
    pub(crate) fn set(&mut self, bytes: u64, things: u64) {
        *self = Measured { bytes, things, changes: 0 };
    }

    /// How much memory so many things take.
    pub(crate) fn bytes_of(&self, things: u64) -> u64 {
        let scaled = u128::from(self.bytes) * u128::from(things + 1) / u128::from(self.things + 1);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_come_less_often_as_there_is_more_to_walk_over() {
        let (mut measured, mut walks, mut walked_over) = (Measured::default(), 0, 0);
        for rows in (1..=1_000).map(|batch| batch * 1_000) {
            if measured.is_due_after(1_000) {
                (walks, walked_over) = (walks + 1, walked_over + rows);
                measured.set(rows * 50, rows);
            }
            let found = measured.bytes_of(rows);
            assert!((rows * 49..=rows * 51).contains(&found), "{found} for {rows}");
        }
        assert!(walks > 3 && walked_over < 2_000_000, "{walks} walks over {walked_over}");
        assert!(measured.bytes_of(0) < 100, "nothing is left");
    }
}
