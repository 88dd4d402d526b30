//! A plugin that was taken: its functions, its exports, and what instances are made of. What is done with a row that
//! fails is the adapters' business.

use crate::describe::{Described, Fields};
use crate::engine::Shared;
use crate::failure::Failure;
use crate::guest::GuestData;
use crate::ledger::DECODES;
use crate::limits::Allowed;
use crate::wire::Field;
use crate::world::Exports;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::InstancePre;

/// One version of a plugin, ready to run. Its functions are reached through the registry or the adapters.
pub struct Plugin {
    pub(crate) name: Arc<str>,
    pub(crate) sha256: Arc<str>,
    pub(crate) functions: Vec<Described>,
    /// What it decodes payloads into; empty where it decodes none.
    pub(crate) columns: Vec<Field>,
    pub(crate) ignored: Vec<String>,
    pub(crate) exports: Exports,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pre: InstancePre<GuestData>,
    pub(crate) allowed: Allowed,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// The name that it was uploaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hash of the component's file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its functions.
    pub fn functions(&self) -> &[Described] {
        &self.functions
    }

    /// The columns that it decodes payloads into; none where it decodes no payloads.
    pub fn columns(&self) -> &[Field] {
        &self.columns
    }

    /// Names of all its functions.
    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(|function| function.name.as_str())
    }

    /// A signature per function, such as `scalar distance(lat double, lon double) -> double`, and one of what it decodes,
    /// such as `decode payload -> (at timestamp, fare double)`.
    pub fn exports(&self) -> Vec<String> {
        self.functions.iter().map(ToString::to_string).chain(self.decodes()).collect()
    }

    /// What it decodes payloads into, if it does.
    pub(crate) fn decodes(&self) -> Option<String> {
        (!self.columns.is_empty()).then(|| format!("{DECODES}-> ({})", Fields(&[&self.columns])))
    }

    /// Exports that this version of weir has no use for.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// A failure of one of its functions, in words: which plugin, function and phase.
    pub(crate) fn blame(&self, function: &str, phase: &str, failure: &Failure) -> String {
        format!("plugin `{}`, {phase} of `{function}`: {}", self.name, failure.reason)
    }
}
