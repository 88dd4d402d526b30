//! What a job's result rows look like, as its plan knows it: what a sink checks what it writes to against.
//!
//! Must not know SQL or any sink.

use arrow_schema::{FieldRef, SchemaRef};
use std::sync::Arc;

/// What tells one result row of a key from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowIdentity {
    /// The window, by its end: windows of a grid.
    WindowEnd,
    /// The window, by its start: sessions, whose ends move.
    WindowStart,
    /// The event that it is of.
    Event,
    /// Nothing: a key has one result, over all time.
    Key,
}

/// The result rows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowShape {
    /// The job.
    pub job: Arc<str>,
    /// The query's columns, in query order.
    pub columns: SchemaRef,
    /// The columns of the entity key, by the names that lookups use; none where rows have no key.
    pub keys: SchemaRef,
    /// For each column of the key, the query's column that holds it, if it is selected.
    pub key_columns: Vec<Option<usize>>,
    /// What tells rows of one key apart.
    pub identity: RowIdentity,
    /// Whether rows may come that take others away.
    pub deletes: bool,
}

impl RowShape {
    /// Every column that a text may name: the query's, and those of the key that it does not hold under the same name.
    pub fn nameable(&self) -> impl Iterator<Item = &FieldRef> {
        let of_keys = self.keys.fields().iter();
        let hidden = of_keys.filter(|field| self.columns.column_with_name(field.name()).is_none());
        self.columns.fields().iter().chain(hidden)
    }
}
