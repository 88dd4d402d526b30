//! The error of every connector: whose fault it is and whether trying again may help.

use weir_event::Fault;

/// What went wrong between weir and an outside system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the same call may succeed later without anybody changing a definition.
    pub retry: bool,
    /// What is wrong, where, and what to do; lower case, no full stop.
    pub message: String,
}

impl ConnectError {
    /// A setting is wrong, or names what does not exist: no retry.
    pub fn user(message: impl Into<String>) -> Self {
        ConnectError { fault: Fault::User, retry: false, message: message.into() }
    }

    /// The other side refuses for good (a missing topic, say): no retry.
    pub fn external(message: impl Into<String>) -> Self {
        ConnectError { fault: Fault::External, retry: false, message: message.into() }
    }

    /// The other side cannot be reached or is not ready: retry with back-off.
    pub fn unavailable(message: impl Into<String>) -> Self {
        ConnectError { fault: Fault::External, retry: true, message: message.into() }
    }

    /// weir broke its own promise, or data that it wrote is damaged.
    pub fn internal(message: impl Into<String>) -> Self {
        ConnectError { fault: Fault::Weir, retry: false, message: message.into() }
    }
}
