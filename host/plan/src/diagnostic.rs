//! What is wrong (or worth knowing) about a definition, with its place and what to do.

use std::fmt;

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The definition was understood in a way that its author may want to know of.
    Notice,
    /// It runs, but probably not as wanted.
    Warning,
    /// It cannot run.
    Error,
}

/// One thing to say about a definition, as `file:line:column: what is wrong; what to do`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The file, relative to the project folder; empty for what came over HTTP.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is wrong and what to do; lower case, no full stop.
    pub message: String,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(file: impl Into<String>, line: u32, column: u32, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Error, file: file.into(), line, column, message: message.into() }
    }

    /// A notice at a place.
    pub fn notice(file: impl Into<String>, line: u32, column: u32, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Notice, ..Diagnostic::error(file, line, column, message) }
    }

    /// A warning at a place.
    pub fn warning(file: impl Into<String>, line: u32, column: u32, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(file, line, column, message) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        match self.severity {
            Severity::Error => {}
            Severity::Warning => f.write_str("warning: ")?,
            Severity::Notice => f.write_str("notice: ")?,
        }
        f.write_str(&self.message)
    }
}
