//! Where the states of an edited stage's blocks come from.
//!
//! Knows how states stand in stored blocks. Must not know what else is in them, or of which aggregates they are.

use crate::bytes::{self, Reader};

/// Where states come from.
#[derive(Debug)]
pub(crate) struct StateOrigins {
    stored: usize,
    /// Of each aggregate, which of the stored it is, or else the bytes of a state without rows.
    of: Vec<Result<usize, Vec<u8>>>,
}

impl StateOrigins {
    /// Of blocks with so many aggregates.
    pub(crate) fn new(stored: usize, of: Vec<Result<usize, Vec<u8>>>) -> StateOrigins {
        StateOrigins { stored, of }
    }

    /// Copies the states of a stored block; each aggregate has as many in a row as `each` says.
    pub(crate) fn copy(&self, reader: &mut Reader<'_>, each: usize, out: &mut Vec<u8>) -> Option<()> {
        let stored: Vec<&[u8]> = (0..self.stored * each).map(|_| reader.bytes()).collect::<Option<_>>()?;
        for from in &self.of {
            for at in 0..each {
                match from {
                    Ok(from) => bytes::put_bytes(stored[from * each + at], out),
                    Err(empty) => bytes::put_bytes(empty, out),
                }
            }
        }
        Some(())
    }
}
