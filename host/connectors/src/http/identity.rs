//! Which log a log is, so that rows of one are never taken for rows of another: a log that was put back, or made anew
//! where one was moved away, counts its rows with the same numbers.
//!
//! Knows a position and what it says of a log. Must not know files or jobs.

use weir_event::{Position, random_id};

/// What a log is told from all others by; it is in the header of each of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogIdentity {
    /// Random.
    pub(super) id: u64,
    /// The offset that it was begun at: rows before were never in it.
    pub(super) origin: u64,
}

/// What a position means in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Reading goes on there.
    Within,
    /// It is of another log, and all rows of this one come after it.
    BeforeOrigin,
    /// The log ends before it.
    BeyondEnd,
    /// It is of another log, and which rows of this one come after it cannot be told.
    OfAnother,
}

impl LogIdentity {
    /// Of a log that begins at this offset.
    pub(super) fn new(origin: u64) -> LogIdentity {
        LogIdentity { id: random_id(), origin }
    }

    /// The position before the row at an offset.
    pub(super) fn position(&self, next: u64) -> Position {
        Position { next, place: self.to_string() }
    }

    /// What a position means in this log, which ends at `end`. One that an older weir stored names no log.
    pub(super) fn standing(&self, position: &Position, end: u64) -> Standing {
        let is_of_this = position.place.is_empty() || position.place == self.to_string();
        match is_of_this {
            true if position.next <= end => Standing::Within,
            true => Standing::BeyondEnd,
            false if position.next <= self.origin => Standing::BeforeOrigin,
            false => Standing::OfAnother,
        }
    }
}

impl std::fmt::Display for LogIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_of_one_log_alone() {
        let (this, other) = (LogIdentity::new(100), LogIdentity::new(0));
        assert_ne!(this.id, other.id);
        let of_no_log = |next| Position { next, place: String::new() };
        assert_eq!(this.standing(&this.position(200), 200), Standing::Within);
        assert_eq!(this.standing(&this.position(201), 200), Standing::BeyondEnd);
        assert_eq!(this.standing(&of_no_log(200), 200), Standing::Within);
        assert_eq!(this.standing(&of_no_log(201), 200), Standing::BeyondEnd);
        assert_eq!(this.standing(&other.position(100), 200), Standing::BeforeOrigin);
        assert_eq!(this.standing(&other.position(101), 200), Standing::OfAnother);
    }
}
