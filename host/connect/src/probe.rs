//! What trying a connector without any effect comes to.
//!
//! Must not know how any connector is tried.

/// What came of trying a connector; that it cannot be used is an error of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It could start; what was found there, for a person: `3 partitions`.
    Ready(String),
    /// It was not tried, for this reason.
    NotTried(&'static str),
}
