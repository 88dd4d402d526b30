//! The error of everything that is done with a plugin before its functions run for a job: which plugin, in
//! which phase of its life, whose fault, and every reason that was found. Knows nothing of rows; a call that
//! fails is a `failure::Failure`.

use std::fmt;
use weir_event::Fault;

/// Where in a plugin's life something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The bytes, before anything was compiled.
    Admit,
    /// Compiling, or what the compiled component asks for.
    Compile,
    /// Making an instance and looking up its exports.
    Instantiate,
    /// Asking it for its functions.
    Describe,
    /// Calling a function.
    Call,
    /// Choosing the version that queries see.
    Activate,
    /// Reading or writing what is kept on disk.
    Store,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Admit => "admit",
            Phase::Compile => "compile",
            Phase::Instantiate => "instantiate",
            Phase::Describe => "describe",
            Phase::Call => "call",
            Phase::Activate => "activate",
            Phase::Store => "store",
        })
    }
}

/// Why a plugin is not taken, or not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}` ({phase}): {}", reasons.join("; "))]
pub struct PluginError {
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the same call may succeed later without anybody changing anything.
    pub retry: bool,
    /// In which phase.
    pub phase: Phase,
    /// Name of the plugin.
    pub plugin: String,
    /// Everything that is wrong, each with what to do; never empty.
    pub reasons: Vec<String>,
}

impl PluginError {
    /// The component, or what was asked of it, is wrong.
    pub(crate) fn user(plugin: &str, phase: Phase, reasons: Vec<String>) -> Self {
        PluginError { fault: Fault::User, retry: false, phase, plugin: plugin.to_owned(), reasons }
    }

    /// The disk or the machine failed.
    pub(crate) fn external(plugin: &str, phase: Phase, reason: String) -> Self {
        PluginError {
            fault: Fault::External,
            retry: true,
            phase,
            plugin: plugin.to_owned(),
            reasons: vec![reason],
        }
    }

    /// weir is at fault, or what it kept is damaged.
    pub(crate) fn weir(plugin: &str, phase: Phase, reason: String) -> Self {
        PluginError {
            fault: Fault::Weir,
            retry: false,
            phase,
            plugin: plugin.to_owned(),
            reasons: vec![reason],
        }
    }
}
