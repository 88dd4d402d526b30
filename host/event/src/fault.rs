//! Whose fault an error is. Every error type of weir answers this, and the command line turns it into the
//! exit code. Knows nothing of any particular error.

use std::fmt;

/// Who has to act for an error to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// A definition, a request or a setting is wrong: changing it helps, retrying does not.
    User,
    /// Another system (broker, disk, network) failed: retrying may help.
    External,
    /// weir itself, or state that it wrote, is wrong.
    Weir,
}

impl Fault {
    /// The process exit code of a run that ended with this fault.
    ///
    /// ```
    /// assert_eq!(weir_event::Fault::User.exit_code(), 1);
    /// ```
    pub fn exit_code(self) -> u8 {
        match self {
            Fault::User => 1,
            Fault::External => 2,
            Fault::Weir => 3,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::User => "user",
            Fault::External => "external",
            Fault::Weir => "weir",
        })
    }
}
