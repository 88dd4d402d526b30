//! What is said of a key of a definition: one row, from which unknown keys are refused and the reference is printed.
//!
//! Must not know how any value is read.

/// A key and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDoc {
    /// The key as it is written, without those above it.
    pub name: &'static str,
    /// What belongs there: `duration`, `text`, `correct, drop or divert`.
    pub value: &'static str,
    /// What is taken where it is absent, as it would be written; [`REQUIRED`] or [`NONE`] otherwise.
    pub default: &'static str,
    /// What it does.
    pub does: &'static str,
}

/// Stands for the default of a key that must be there.
pub const REQUIRED: &str = "required";

/// Stands for the default of a key without which its matter does not arise.
pub const NONE: &str = "none";

impl KeyDoc {
    /// A row of a table of keys.
    pub const fn new(
        name: &'static str,
        value: &'static str,
        default: &'static str,
        does: &'static str,
    ) -> Self {
        KeyDoc { name, value, default, does }
    }
}
