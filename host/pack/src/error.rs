//! What goes wrong with packs: whose fault it is, and what to do.

use std::fmt::Display;
use std::path::Path;
use weir_event::Fault;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PackError {
    /// Who has to act.
    pub fault: Fault,
    /// What is wrong and what to do; lower case, no full stop.
    pub message: String,
}

/// What most functions here return.
pub type Result<T> = std::result::Result<T, PackError>;

impl PackError {
    /// Something that was given is wrong.
    pub fn user(message: impl Display) -> PackError {
        PackError { fault: Fault::User, message: message.to_string() }
    }

    /// Another system failed: the disk, the network, a registry.
    pub fn external(message: impl Display) -> PackError {
        PackError { fault: Fault::External, message: message.to_string() }
    }

    /// A file or folder could not be read or written.
    pub(crate) fn io(doing: &str, path: &Path, error: &std::io::Error) -> PackError {
        let fault = match error.kind() {
            std::io::ErrorKind::NotFound
            | std::io::ErrorKind::PermissionDenied
            | std::io::ErrorKind::AlreadyExists => Fault::User,
            _ => Fault::External,
        };
        PackError { fault, message: format!("cannot {doing} {}: {error}", path.display()) }
    }
}
