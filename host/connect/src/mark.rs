//! The mark that a server's state leaves beside what was made with it: in the folder of an ingest log that it has read,
//! and in that of files that it has written. By it a state that was put back, replaced or deleted is noticed.
//!
//! Knows a path. Must not know what a state is.

use std::fmt::Debug;
use std::io;
use std::path::Path;

/// Leaves the mark of the newest safe commit.
pub trait StateMark: Send + Sync + Debug {
    /// Puts the mark in place of one that is there; it survives the loss of power when this returns. Blocks.
    ///
    /// # Errors
    /// What the system said.
    fn leave(&self, at: &Path) -> io::Result<()>;
}

/// That of no state: for whoever only looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMark;

impl StateMark for NoMark {
    fn leave(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}
