//! Scalar expressions as the engine sees them: columns in, a column out.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType;
use std::fmt::Debug;

/// What stands behind the name of a plugin's function in canonical texts and identities, before its component's hash.
pub const COMPONENT_MARK: &str = "@sha256:";

/// The hashes of the components that a canonical text names.
pub(crate) fn components_in(text: &str) -> Vec<String> {
    let marks = text.match_indices(COMPONENT_MARK).map(|(at, mark)| &text[at + mark.len()..]);
    let hash = |rest: &str| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>();
    marks.map(hash).collect()
}

/// The functions of plugins that a canonical text calls, as it names them: `distance@sha256:..`, each once, in its order.
pub fn plugin_calls(text: &str) -> Vec<&str> {
    let mut calls = Vec::new();
    for (mark, _) in text.match_indices(COMPONENT_MARK) {
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let name = text[..mark].trim_end_matches(is_of_name).len();
        let hash = &text[mark + COMPONENT_MARK.len()..];
        let end = hash
            .find(|character: char| !character.is_ascii_hexdigit())
            .map_or(text.len(), |end| mark + COMPONENT_MARK.len() + end);
        let call = &text[name..end];
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

/// A scalar expression bound to the columns of one kind of batch.
pub trait Expression: Debug + Send + Sync {
    /// One value per row of `batch`, whose columns are those that the expression was bound to, by position.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError>;

    /// Type of the values.
    fn data_type(&self) -> &DataType;

    /// The same text for the same meaning, for definition hashes; plugin functions appear with their sha256.
    fn canonical(&self) -> &str;

    /// Positions of the columns that it reads.
    fn reads(&self) -> &[usize];

    /// The position of the input column, if the expression is nothing but that column.
    fn as_column(&self) -> Option<usize> {
        None
    }
}

/// An expression that has no value for a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Some rows cannot be computed (division by zero, a failed CAST, a plugin that traps): the caller bisects
    /// to find them, and a row is a dead letter if it fails alone.
    #[error("{0}")]
    Rows(String),
    /// It cannot be computed for any row (a plugin behind its circuit breaker): the job stops.
    #[error("{0}")]
    Broken(String),
}
