//! Why the core cannot go on with a job, whatever its rows: whose fault that is, is for the host to say of each kind.

use arrow_schema::ArrowError;
use weir_event::key::{KeyDecodeError, KeyTypeError};
use weir_plan::ExpressionError;
use weir_timeline::{AggregateError, DecodeError, SpecError};

/// What ends a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// An expression or aggregate cannot go on whatever its rows, such as a plugin behind its circuit breaker.
    #[error("{0}")]
    Broken(String),
    /// A plan that cannot run: whoever planned let it through.
    #[error("the plan cannot run: {0}")]
    Plan(String),
    /// State that was kept or rows that were sent do not read.
    #[error("{0}")]
    Damaged(String),
    /// What was handed in does not fit the plan.
    #[error("{0}")]
    Input(String),
}

impl From<ExpressionError> for CoreError {
    fn from(error: ExpressionError) -> Self {
        CoreError::Broken(error.to_string())
    }
}

impl From<AggregateError> for CoreError {
    fn from(error: AggregateError) -> Self {
        match error {
            AggregateError::Damaged(message) => CoreError::Damaged(message),
            other => CoreError::Broken(other.to_string()),
        }
    }
}

impl From<KeyTypeError> for CoreError {
    fn from(error: KeyTypeError) -> Self {
        CoreError::Plan(error.to_string())
    }
}

impl From<SpecError> for CoreError {
    fn from(error: SpecError) -> Self {
        CoreError::Plan(error.to_string())
    }
}

impl From<DecodeError> for CoreError {
    fn from(error: DecodeError) -> Self {
        CoreError::Damaged(error.to_string())
    }
}

impl From<KeyDecodeError> for CoreError {
    fn from(error: KeyDecodeError) -> Self {
        CoreError::Damaged(error.to_string())
    }
}

impl From<ArrowError> for CoreError {
    fn from(error: ArrowError) -> Self {
        CoreError::Broken(error.to_string())
    }
}
