//! States of another version of a plugin, of which this one makes its own. Calls are cut by what they cost; where one state
//! alone is not taken over, none is. Must not know what states mean, or where they are kept.

use crate::account::Account;
use crate::bisect;
use crate::describe::Described;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::pace::Pace;
use crate::wire::{AGGREGATE_MIGRATION, Literal, MigrateParams, PROCESS_MIGRATION, StatesResult};
use crate::world::{Exports, TypeCheck, World};
use std::sync::Arc;
use weir_timeline::{AggregateError, StateMaker};

/// What takes over states: of aggregates, or of keyed logic.
#[derive(Debug)]
pub(crate) struct MigrationWorld {
    kind: &'static str,
    interface: &'static str,
}

/// Of aggregates.
pub(crate) const AGGREGATES: MigrationWorld =
    MigrationWorld { kind: "aggregate migration", interface: AGGREGATE_MIGRATION };
/// Of keyed logic.
pub(crate) const LOGIC: MigrationWorld =
    MigrationWorld { kind: "process migration", interface: PROCESS_MIGRATION };

const MIGRATE: &str = "migrate";

impl World for MigrationWorld {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn interface(&self) -> &'static str {
        self.interface
    }

    fn exports(&self) -> &'static [&'static str] {
        &[MIGRATE]
    }

    fn check_types(&self, check: &mut TypeCheck<'_>) {
        check.export::<MigrateParams, StatesResult>(MIGRATE);
    }

    /// Its functions are those whose states it takes over.
    fn describe(&self, _: &mut Guest, _: &Exports) -> Result<Vec<Described>, Failure> {
        Ok(Vec::new())
    }

    /// What it makes of states can be tried on states alone.
    fn dry_run(&self, _: &Arc<Account>, _: &Described) -> Result<(), String> {
        Ok(())
    }
}

/// A function that takes over the states of another version of it.
pub(crate) struct Migration<'f> {
    pub(crate) account: &'f Arc<Account>,
    pub(crate) of: &'f MigrationWorld,
    pub(crate) function: &'f str,
    pub(crate) parameters: &'f [Literal],
}

impl Migration<'_> {
    /// Whether the component has it.
    pub(crate) fn is_there(&self) -> bool {
        self.account.plugin.exports.find(self.of, MIGRATE).is_ok()
    }

    /// One state for each of another version.
    pub(crate) fn run(&self, from: &StateMaker, states: &[&[u8]]) -> Result<Vec<Vec<u8>>, AggregateError> {
        let pace = Pace::new(self.account.plugin.allowed.fuel_per_call);
        let mut all = Vec::with_capacity(states.len());
        let outcome = bisect::run(states.len(), &pace, |first, count| {
            let states = &states[first..first + count];
            let (migrated, fuel) = self.account.pool.run(|guest| self.call(guest, from, states))?;
            all.extend(migrated);
            Ok(fuel)
        });
        outcome.map_err(|failure| {
            AggregateError::Broken(self.account.plugin.blame(self.function, MIGRATE, &failure))
        })?;
        Ok(all)
    }

    fn call(
        &self,
        guest: &mut Guest,
        from: &StateMaker,
        states: &[&[u8]],
    ) -> Result<(Vec<Vec<u8>>, u64), Failure> {
        let plugin = &self.account.plugin;
        let export = plugin.exports.find(self.of, MIGRATE)?;
        let parameters: MigrateParams<'_> =
            (self.function, self.parameters, from.version, &from.component, states);
        let ((answer,), fuel) = guest.call::<_, StatesResult>(export, parameters)?;
        let migrated = answer.map_err(|reason| Failure::refused(&reason))?;
        let wrong = |what: String| Failure::new(Cause::Output, what);
        if migrated.len() != states.len() {
            let (given, due) = (migrated.len(), states.len());
            return Err(wrong(format!("gave {given} states where {due} were due")));
        }
        let most = plugin.allowed.state_bytes;
        match migrated.iter().map(Vec::len).max() {
            Some(longest) if longest > most => {
                Err(wrong(format!("gave a state of {longest} bytes, of which {most} are allowed")))
            }
            _ => Ok((migrated, fuel)),
        }
    }
}
