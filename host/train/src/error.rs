//! Why a training set cannot be made: whose fault it is.

use arrow_schema::ArrowError;
use std::io;
use weir_connect::ConnectError;
use weir_core::CoreError;
use weir_event::Fault;

/// Why a training set cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TrainError {
    /// Whose fault it is.
    pub fault: Fault,
    /// What is wrong, where, and what to do; lower case, no full stop.
    pub message: String,
}

impl TrainError {
    /// The spine or what is asked for is wrong.
    pub fn user(message: impl Into<String>) -> TrainError {
        TrainError { fault: Fault::User, message: message.into() }
    }

    /// weir broke its own promise.
    pub fn weir(message: impl Into<String>) -> TrainError {
        TrainError { fault: Fault::Weir, message: message.into() }
    }

    /// The same of something that it is about.
    #[must_use]
    pub fn of(self, what: &str) -> TrainError {
        TrainError { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<ConnectError> for TrainError {
    fn from(error: ConnectError) -> TrainError {
        TrainError { fault: error.fault, message: error.message }
    }
}

impl From<CoreError> for TrainError {
    fn from(error: CoreError) -> TrainError {
        TrainError::weir(error.to_string())
    }
}

impl From<ArrowError> for TrainError {
    fn from(error: ArrowError) -> TrainError {
        TrainError::weir(error.to_string())
    }
}

impl From<io::Error> for TrainError {
    fn from(error: io::Error) -> TrainError {
        TrainError {
            fault: Fault::External,
            message: format!("rows cannot be put aside on disk: {error}; make room there and run it again"),
        }
    }
}
