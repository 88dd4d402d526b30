//! States on their way to another version of what made them: first they are gathered from blocks, many at once, then those
//! that were made of them are put into the same blocks in the same order.
//!
//! Must not know how blocks are written, or what makes states of others.

use std::borrow::Cow;
use std::vec::IntoIter;

/// A version of what makes states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateMaker {
    /// Its number.
    pub version: u32,
    /// The sha256 of its component.
    pub component: String,
}

/// States of some blocks, by the number of their aggregate; the memories of keyed logic are of number 0.
#[derive(Debug)]
pub(crate) enum Migrating {
    /// No state is another version's.
    None,
    /// They are gathered.
    Gathered(Vec<Vec<Vec<u8>>>),
    /// What was made of them, to be put in their places.
    Migrated(Vec<IntoIter<Vec<u8>>>),
}

impl Migrating {
    /// Of so many aggregates.
    pub(crate) fn gather(aggregates: usize) -> Migrating {
        Migrating::Gathered(vec![Vec::new(); aggregates])
    }

    /// What stands in the place of a stored state; nothing where there are fewer than were gathered.
    pub(crate) fn state<'s>(&mut self, aggregate: usize, stored: &'s [u8]) -> Option<Cow<'s, [u8]>> {
        match self {
            Migrating::None => None,
            Migrating::Gathered(states) => {
                states.get_mut(aggregate)?.push(stored.to_vec());
                Some(Cow::Borrowed(stored))
            }
            Migrating::Migrated(states) => states.get_mut(aggregate)?.next().map(Cow::Owned),
        }
    }
}
