//! What is wrong with a query, told as places in the file that holds it.
//!
//! Knows how a place in the text becomes a place in a file. Must not know any rule of SQL.

use sqlparser::tokenizer::Location;
use weir_plan::definition::Query;
use weir_plan::diagnostic::{Diagnostic, Severity};

/// A query, or a part of it, that cannot run: where, why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The place in the text; line 0 where the parser keeps none.
    pub(crate) at: Location,
    /// The message.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(at: Location, message: impl Into<String>) -> Self {
        Refusal { at, message: message.into() }
    }
}

/// The place of a text as a whole.
pub(crate) const START: Location = Location { line: 1, column: 1 };

/// Everything there is to say about one query.
pub(crate) struct Report<'a> {
    query: &'a Query,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(query: &'a Query) -> Self {
        Report { query, found: Vec::new() }
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        let (line, column) = self.place(refusal.at);
        self.add(Diagnostic::error(&self.query.file, line, column, refusal.message));
    }

    pub(crate) fn refuse_all(&mut self, refusals: Vec<Refusal>) {
        refusals.into_iter().for_each(|refusal| self.refuse(refusal));
    }

    pub(crate) fn notice(&mut self, at: Location, message: impl Into<String>) {
        let (line, column) = self.place(at);
        self.add(Diagnostic::notice(&self.query.file, line, column, message));
    }

    pub(crate) fn warn(&mut self, at: Location, message: impl Into<String>) {
        let (line, column) = self.place(at);
        self.add(Diagnostic::warning(&self.query.file, line, column, message));
    }

    /// Something about another file than the query's.
    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    /// Takes over all that is said of another text.
    pub(crate) fn add_all(&mut self, other: Report<'_>) {
        other.found.into_iter().for_each(|found| self.add(found));
    }

    /// Takes over what another report about the same query refuses between two places.
    pub(crate) fn add_errors_between(&mut self, other: &Report<'_>, from: Location, to: Location) {
        let (from, to) = (self.place(from), self.place(to));
        let is_between = |found: &&Diagnostic| {
            found.severity == Severity::Error
                && found.file == self.query.file
                && (from..to).contains(&(found.line, found.column))
        };
        let found: Vec<Diagnostic> = other.found.iter().filter(is_between).cloned().collect();
        found.into_iter().for_each(|found| self.add(found));
    }

    /// Takes the value, or notes why there is none.
    pub(crate) fn take<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|refusal| self.refuse(refusal)).ok()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// All of it, in order of place.
    pub(crate) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.found
    }

    fn place(&self, at: Location) -> (u32, u32) {
        let at = if at.line == 0 { START } else { at };
        self.query.place(at.line as u32, at.column as u32)
    }
}
