//! Where the states of an edited stage's blocks come from.
//!
//! Knows how states stand in stored blocks. Must not know what else is in them, or of which aggregates they are.

use crate::bytes::{self, Reader};
use crate::migration::Migrating;

/// Where the states of one aggregate come from.
#[derive(Debug)]
pub(crate) enum StateOrigin {
    /// They are those of the stored aggregate of this number.
    Stored(usize),
    /// The aggregate makes its own of those of the stored one.
    Migrated(usize),
    /// There are none: the bytes of a state without rows.
    New(Vec<u8>),
}

/// Where states come from.
#[derive(Debug)]
pub(crate) struct StateOrigins {
    stored: usize,
    /// Of each aggregate.
    of: Vec<StateOrigin>,
}

impl StateOrigins {
    /// Of blocks with so many aggregates.
    pub(crate) fn new(stored: usize, of: Vec<StateOrigin>) -> StateOrigins {
        StateOrigins { stored, of }
    }

    /// Copies the states of a stored block; each aggregate has as many in a row as `each` says.
    pub(crate) fn copy(
        &self,
        reader: &mut Reader<'_>,
        each: usize,
        migrating: &mut Migrating,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let stored: Vec<&[u8]> = (0..self.stored * each).map(|_| reader.bytes()).collect::<Option<_>>()?;
        for (aggregate, from) in self.of.iter().enumerate() {
            for at in 0..each {
                match from {
                    StateOrigin::Stored(from) => bytes::put_bytes(stored[from * each + at], out),
                    StateOrigin::Migrated(from) => {
                        bytes::put_bytes(&migrating.state(aggregate, stored[from * each + at])?, out);
                    }
                    StateOrigin::New(empty) => bytes::put_bytes(empty, out),
                }
            }
        }
        Some(())
    }
}
