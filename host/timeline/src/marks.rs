//! Whether a result was returned, and what has come since: one set of marks for whatever has results.
//!
//! ```text
//!               rows come             it is returned
//!     (nothing) ---------> CHANGED ------------------> RETURNED
//!                                                       |    ^
//!                                             rows come |    | it is returned anew, as revised
//!                                                       v    |
//!                                               RETURNED + CHANGED = STALE
//! ```
//!
//! Beside that, each of these comes and goes by itself:
//!
//! ```text
//!     a row comes                           --> LISTED  --> gone when changes, or all that is open, are asked for
//!     a row comes that is late              --> DUE     --> gone when the corrections are returned
//!     a row comes among those of a state    --> REFOLD  --> gone when the state is folded anew
//!       that takes them in order
//!     an aggregate fails on a row           --> REFUSED     stays, as this is told once
//!     anything of it differs from the store --> DIRTY   --> gone when it is stored, which leaves STORED
//! ```
//!
//! Which part of this each kind of thing uses:
//!
//! * A tile (`pane.rs`): `CHANGED` and `RETURNED` are said of the open windows that hold it, and only a flush returns
//!   all of these; `LISTED`, `REFOLD`, `DIRTY`. Of rows that are due it has the number.
//! * A note on an open window (`grid/change.rs`): `RETURNED` or `STALE`; a window that was not returned as a change has
//!   none.
//! * A kept window (`grid/kept.rs`): `CHANGED` and `RETURNED`, which follow from how many of its rows were returned;
//!   `LISTED`.
//! * A run (`runs/table.rs`): `CHANGED`, `LISTED`, `REFOLD`, `DIRTY`, `STORED`. That it was returned is said by the end
//!   that it was returned with.
//! * A row of a log (`row_log/block.rs`), which is an event: `RETURNED` or `STALE` where that was before it was settled,
//!   and neither else; `LISTED`, `DUE`. Of a session's row: `REFUSED`. Of an event of keyed logic: `REFUSED`, and `LISTED` where that
//!   was told of the timer behind it.
//!
//! Knows which marks there are and how their numbers are stored. Must not know what carries them.

/// A set of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    /// Nothing has come that is not returned, and nothing was returned.
    pub(crate) const NONE: Marks = Marks(0);
    /// Rows came since it was last returned, or it never was.
    pub(crate) const CHANGED: Marks = Marks(1);
    /// A result was returned that may be returned anew.
    pub(crate) const RETURNED: Marks = Marks(2);
    /// Rows came since changes, or all that is open, were last asked for.
    pub(crate) const LISTED: Marks = Marks(4);
    /// A late row came, and the corrections that follow from it were not returned yet.
    pub(crate) const DUE: Marks = Marks(8);
    /// States that take rows in order are to be folded anew.
    pub(crate) const REFOLD: Marks = Marks(16);
    /// An aggregate failed on the row, which was told.
    pub(crate) const REFUSED: Marks = Marks(32);
    /// Not stored as it is now.
    pub(crate) const DIRTY: Marks = Marks(64);
    /// Stored in some form, so that its end is to be told too.
    pub(crate) const STORED: Marks = Marks(128);
    /// What was returned is no longer all.
    pub(crate) const STALE: Marks = Marks::RETURNED.with(Marks::CHANGED);

    /// The set as a number in memory; what is stored is said by [`StoredMarks`].
    #[inline]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The set that has this number in memory.
    #[inline]
    pub(crate) const fn of_bits(bits: u8) -> Marks {
        Marks(bits)
    }

    /// Whether all of these are set.
    #[inline]
    pub(crate) const fn has(self, marks: Marks) -> bool {
        self.0 & marks.0 == marks.0
    }

    /// Whether any of these is set.
    #[inline]
    pub(crate) const fn has_any(self, marks: Marks) -> bool {
        self.0 & marks.0 != 0
    }

    /// Whether what was returned is still all.
    #[inline]
    pub(crate) const fn is_current(self) -> bool {
        self.has(Marks::RETURNED) && !self.has(Marks::CHANGED)
    }

    /// These and those.
    #[inline]
    #[must_use]
    pub(crate) const fn with(self, marks: Marks) -> Marks {
        Marks(self.0 | marks.0)
    }

    /// These and, if so, those.
    #[inline]
    #[must_use]
    pub(crate) const fn with_if(self, marks: Marks, is_so: bool) -> Marks {
        if is_so { self.with(marks) } else { self }
    }

    /// These without those.
    #[inline]
    #[must_use]
    pub(crate) const fn without(self, marks: Marks) -> Marks {
        Marks(self.0 & !marks.0)
    }

    /// Sets some.
    #[inline]
    pub(crate) const fn set(&mut self, marks: Marks) {
        self.0 |= marks.0;
    }

    /// Takes some away.
    #[inline]
    pub(crate) const fn clear(&mut self, marks: Marks) {
        self.0 &= !marks.0;
    }
}

/// The numbers that one kind of thing stores its marks as, which are other than those in memory and never change:
/// every set of marks has the number of its own, larger sets before those that are part of them.
pub(crate) struct StoredMarks(pub(crate) &'static [(Marks, u8)]);

impl StoredMarks {
    /// The number of those of the marks that are stored.
    pub(crate) fn write(&self, mut marks: Marks) -> u8 {
        let mut stored = 0;
        for (set, number) in self.0 {
            if marks.has(*set) {
                marks.clear(*set);
                stored |= number;
            }
        }
        stored
    }

    /// The marks of a number; `None` if no marks have it.
    pub(crate) fn read(&self, stored: u8) -> Option<Marks> {
        let (mut marks, mut rest) = (Marks::NONE, stored);
        for (set, number) in self.0 {
            if stored & number != 0 {
                marks.set(*set);
                rest &= !number;
            }
        }
        (rest == 0).then_some(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_and_go() {
        let mut marks = Marks::CHANGED;
        marks.clear(Marks::CHANGED);
        marks.set(Marks::RETURNED);
        assert!(marks.is_current());
        marks.set(Marks::CHANGED);
        assert!(marks.has(Marks::STALE) && !marks.is_current());
        assert_eq!(marks.with(Marks::DIRTY).without(Marks::STALE), Marks::DIRTY);
        assert!(
            marks.has_any(Marks::RETURNED.with(Marks::DUE)) && !marks.has(Marks::RETURNED.with(Marks::DUE))
        );
        assert_eq!(Marks::of_bits(marks.bits()), marks);
    }

    #[test]
    fn a_set_is_stored_by_its_own_number() {
        let stored = StoredMarks(&[(Marks::STALE, 16), (Marks::RETURNED, 2), (Marks::LISTED, 4)]);
        for (marks, number) in [
            (Marks::NONE, 0),
            (Marks::RETURNED, 2),
            (Marks::STALE, 16),
            (Marks::RETURNED.with(Marks::LISTED), 6),
            (Marks::STALE.with(Marks::LISTED), 20),
        ] {
            assert_eq!((stored.write(marks), stored.read(number)), (number, Some(marks)));
        }
        assert_eq!(stored.write(Marks::RETURNED.with(Marks::DIRTY)), 2);
        assert_eq!((stored.read(1), stored.read(64)), (None, None));
    }
}
