//! The kinds of interface that a component may export, a row each. Adding a kind is a file that implements [`World`] and
//! a row of [`WORLDS`].
//!
//! Must not know what becomes of a function's values.

use crate::account::Account;
use crate::aggregate::AggregateWorld;
use crate::describe::Described;
use crate::failure::{Cause, Failure, one_line};
use crate::guest::Guest;
use crate::migrate;
use crate::payloads::DecodeWorld;
use crate::process::ProcessWorld;
use crate::scalar::ScalarWorld;
use crate::transform::TransformWorld;
use crate::wire::Field;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

/// One interface of `wit/`: how it is found, checked, described and tried.
pub(crate) trait World: fmt::Debug + Sync {
    /// What it is called; the first word of its functions' signatures.
    fn kind(&self) -> &'static str;
    /// The interface's name up to the last part of its version.
    fn interface(&self) -> &'static str;
    /// All that the interface must export.
    fn exports(&self) -> &'static [&'static str];
    /// Whether each export has the type that `wit/` gives it.
    fn check_types(&self, check: &mut TypeCheck<'_>);
    /// The functions that a component has of it.
    fn describe(&self, guest: &mut Guest, exports: &Exports) -> Result<Vec<Described>, Failure>;
    /// The columns that a component makes of payloads; none unless it is of the kind that does.
    fn columns(&self, _: &mut Guest, _: &Exports) -> Result<Vec<Field>, Failure> {
        Ok(Vec::new())
    }
    /// Calls a function without rows; the error says what is wrong.
    fn dry_run(&self, account: &Arc<Account>, function: &Described) -> Result<(), String>;
}

/// Every kind.
pub(crate) const WORLDS: &[&dyn World] = &[
    &ScalarWorld,
    &AggregateWorld,
    &ProcessWorld,
    &DecodeWorld,
    &TransformWorld,
    &migrate::AGGREGATES,
    &migrate::LOGIC,
];

/// The exports of a component that the host calls, by interface and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exports(BTreeMap<&'static str, BTreeMap<&'static str, ComponentExportIndex>>);

impl Exports {
    pub(crate) fn insert(&mut self, world: &dyn World, name: &'static str, export: ComponentExportIndex) {
        self.0.entry(world.interface()).or_default().insert(name, export);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The worlds that are exported.
    pub(crate) fn worlds(&self) -> impl Iterator<Item = &'static dyn World> {
        WORLDS.iter().copied().filter(|world| self.0.contains_key(world.interface()))
    }

    pub(crate) fn find(&self, world: &dyn World, name: &str) -> Result<&ComponentExportIndex, Failure> {
        let found = self.0.get(world.interface()).and_then(|exports| exports.get(name));
        found.ok_or_else(|| Failure::new(Cause::Output, format!("exports no {} functions", world.kind())))
    }
}

/// Looks at the types of one interface's exports.
pub(crate) struct TypeCheck<'a> {
    pub(crate) world: &'a dyn World,
    pub(crate) guest: &'a mut Guest,
    pub(crate) exports: &'a Exports,
    pub(crate) reasons: &'a mut Vec<String>,
}

impl TypeCheck<'_> {
    /// Whether an export takes `P` and gives `R`; if not, that is a reason.
    pub(crate) fn export<P, R>(&mut self, name: &str)
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let found = self.exports.find(self.world, name).map_err(|failure| failure.reason);
        if let Err(reason) = found.and_then(|export| self.guest.check::<P, R>(export)) {
            let (interface, reason) = (self.world.interface(), one_line(&reason));
            self.reasons.push(format!(
                "`{interface}0#{name}` is not as weir:feature@0.1.0 has it ({reason}); build it against that version"
            ));
        }
    }
}
