//! A plugin's aggregate function bound to its types and parameters: its card, and single calls into the guest.
//! Must not know how states are kept (`states` does) or what a window is.

use crate::account::Account;
use crate::binding::{self, Wording};
use crate::columns::{self, Lent};
use crate::describe::Described;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::migrate::{self, Migration};
use crate::pace::Pace;
use crate::scalar::lend;
use crate::states::{self, PluginStates};
use crate::wire::{
    self, AGGREGATE_FUNCTIONS, AggregateFunctionInfo, ColumnIn, ColumnResult, FinishParams, Literal,
    MergeParams, StatesResult, UpdateParams,
};
use crate::world::{Exports, TypeCheck, World};
use arrow_array::ArrayRef;
use arrow_schema::DataType as ArrowType;
use std::sync::Arc;
use wasmtime::component::ComponentExportIndex;
use weir_timeline::aggregate::Parameter;
use weir_timeline::{Aggregate, AggregateError, Algebra, Card, StateMaker, States};

/// What an aggregate's constants are to a query.
const PARAMETERS: Wording = Wording { one: "parameter", place: "before its arguments" };

/// Functions of the rows of a frame.
#[derive(Debug)]
pub(crate) struct AggregateWorld;

impl World for AggregateWorld {
    fn kind(&self) -> &'static str {
        "aggregate"
    }

    fn interface(&self) -> &'static str {
        AGGREGATE_FUNCTIONS
    }

    fn exports(&self) -> &'static [&'static str] {
        &["describe", "update", "merge", "finish"]
    }

    fn check_types(&self, check: &mut TypeCheck<'_>) {
        check.export::<(), (Vec<AggregateFunctionInfo>,)>("describe");
        check.export::<UpdateParams, StatesResult>("update");
        check.export::<MergeParams, StatesResult>("merge");
        check.export::<FinishParams, ColumnResult>("finish");
    }

    fn describe(&self, guest: &mut Guest, exports: &Exports) -> Result<Vec<Described>, Failure> {
        let export = exports.find(self, "describe")?;
        let ((infos,), _) = guest.call::<(), (Vec<AggregateFunctionInfo>,)>(export, ())?;
        Ok(infos.into_iter().map(|info| described(self.kind(), info)).collect())
    }

    /// A function with parameters waits for a query that gives them.
    fn dry_run(&self, account: &Arc<Account>, function: &Described) -> Result<(), String> {
        if !function.parameters.is_empty() {
            return Ok(());
        }
        PluginAggregate::new(account, function, Vec::new(), &[]).dry_run()
    }
}

fn described(kind: &'static str, info: AggregateFunctionInfo) -> Described {
    let AggregateFunctionInfo { name, parameters, arguments, result, algebra, description } = info;
    let algebra = Some(match algebra {
        wire::Algebra::Exact => Algebra::Exact,
        wire::Algebra::Ordered => Algebra::Ordered,
        wire::Algebra::Approximate => Algebra::Approximate,
    });
    Described { parameters, result, algebra, ..Described::new(kind, name, arguments, description) }
}

/// One aggregate function of one version of a plugin, bound to its parameters and called for one job.
#[derive(Debug, Clone)]
pub(crate) struct PluginAggregate {
    bound: Arc<Bound>,
}

/// A pace per kind of call: what a row costs says nothing of what a group costs.
#[derive(Debug)]
pub(crate) struct Paces {
    pub(crate) update: Pace,
    pub(crate) merge: Pace,
    pub(crate) finish: Pace,
}

/// What states share with the aggregate that made them.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) account: Arc<Account>,
    info: Described,
    parameters: Vec<Literal>,
    pub(crate) card: Card,
    pub(crate) paces: Paces,
}

impl PluginAggregate {
    /// `parameters` are literals of the described types and `given` the same as the query has them.
    pub(crate) fn new(
        account: &Arc<Account>,
        info: &Described,
        parameters: Vec<Literal>,
        given: &[Parameter],
    ) -> Self {
        let plugin = &account.plugin;
        let card = Card {
            // Every description of an aggregate says it; order matters to one that does not.
            algebra: info.algebra.unwrap_or(Algebra::Ordered),
            // The world asks a guest for none: blocks of panes fold with two merges per pane, as many calls as
            // taking each in and out again, and a wrong inverse would make windows differ from their rows.
            inverse: false,
            // The host holds states to what they may have.
            bounded: true,
            result: info.result.to_arrow(),
            identity: binding::identity(plugin, info, given),
            nulls: "handed to the plugin",
        };
        let pace = || Pace::new(plugin.allowed.fuel_per_call);
        let paces = Paces { update: pace(), merge: pace(), finish: pace() };
        let (account, info) = (Arc::clone(account), info.clone());
        PluginAggregate { bound: Arc::new(Bound { account, info, parameters, card, paces }) }
    }

    /// Binds the function to a query's argument types and parameters; the error says what does not fit.
    pub(crate) fn bind(
        account: &Arc<Account>,
        info: &Described,
        arguments: &[ArrowType],
        given: &[Parameter],
    ) -> Result<Self, String> {
        let empty: Vec<ArrayRef> = arguments.iter().map(arrow_array::new_empty_array).collect();
        lend(&empty, info.arguments.iter().map(|field| field.data_type))
            .map_err(|failure| format!("{}: {info}", failure.reason))?;
        let literals = binding::literals(info, given, &PARAMETERS)?;
        let aggregate = PluginAggregate::new(account, info, literals, given);
        if !given.is_empty() {
            aggregate.dry_run()?;
        }
        Ok(aggregate)
    }

    /// What its states share with it.
    pub(crate) fn bound(&self) -> &Arc<Bound> {
        &self.bound
    }

    /// Calls without rows: an empty update, and the value of no rows, merged and finished.
    pub(crate) fn dry_run(&self) -> Result<(), String> {
        let bound = &self.bound;
        let arguments = binding::no_arguments(&bound.info);
        bound
            .account
            .pool
            .run(|guest| bound.update(guest, &[], &[], &[], &arguments))
            .map_err(|failure| bound.blame("update", &failure))?;
        let (states, _) = bound
            .account
            .pool
            .run(|guest| bound.merge(guest, &[], &[], 1))
            .map_err(|failure| bound.blame("merge", &failure))?;
        let states: Vec<&[u8]> = states.iter().map(Vec::as_slice).collect();
        bound
            .account
            .pool
            .run(|guest| bound.finish(guest, &states, &[0]))
            .map_err(|failure| bound.blame("finish", &failure))?;
        Ok(())
    }
}

impl Aggregate for PluginAggregate {
    fn card(&self) -> &Card {
        &self.bound.card
    }

    fn states(&self) -> Box<dyn States> {
        Box::new(PluginStates::new(Arc::clone(&self.bound)))
    }

    fn migrates(&self) -> bool {
        self.bound.migration().is_there()
    }

    fn migrate(&self, from: &StateMaker, states: &[&[u8]]) -> Result<Vec<Vec<u8>>, AggregateError> {
        states::with_bytes(states, |held| self.bound.migration().run(from, held))
    }
}

impl Bound {
    /// What takes over states of other versions.
    fn migration(&self) -> Migration<'_> {
        Migration {
            account: &self.account,
            of: &migrate::AGGREGATES,
            function: &self.info.name,
            parameters: &self.parameters,
        }
    }

    pub(crate) fn blame(&self, phase: &str, failure: &Failure) -> String {
        self.account.plugin.blame(&self.info.name, phase, failure)
    }

    fn export(&self, name: &str) -> Result<&ComponentExportIndex, Failure> {
        self.account.plugin.exports.find(&AggregateWorld, name)
    }

    /// The new states of `states` with the rows of `groups`, `times` and `arguments` added, and the fuel used.
    pub(crate) fn update(
        &self,
        guest: &mut Guest,
        states: &[&[u8]],
        groups: &[u32],
        times: &[i64],
        arguments: &[ArrayRef],
    ) -> Result<(Vec<Vec<u8>>, u64), Failure> {
        let lent = lend(arguments, self.info.arguments.iter().map(|field| field.data_type))?;
        let columns: Vec<ColumnIn<'_>> = lent.iter().map(Lent::column).collect();
        let parameters: UpdateParams<'_> =
            (&self.info.name, &self.parameters, states, groups, times, &columns);
        let ((answer,), fuel) = guest.call::<_, StatesResult>(self.export("update")?, parameters)?;
        Ok((self.checked(answer, states.len())?, fuel))
    }

    /// One state for each of `group_count` groups, and the fuel used.
    pub(crate) fn merge(
        &self,
        guest: &mut Guest,
        states: &[&[u8]],
        groups: &[u32],
        group_count: usize,
    ) -> Result<(Vec<Vec<u8>>, u64), Failure> {
        let parameters: MergeParams<'_> =
            (&self.info.name, &self.parameters, states, groups, group_count as u32);
        let ((answer,), fuel) = guest.call::<_, StatesResult>(self.export("merge")?, parameters)?;
        Ok((self.checked(answer, group_count)?, fuel))
    }

    /// The value of each state, and the fuel used.
    pub(crate) fn finish(
        &self,
        guest: &mut Guest,
        states: &[&[u8]],
        as_of: &[i64],
    ) -> Result<(ArrayRef, u64), Failure> {
        let parameters: FinishParams<'_> = (&self.info.name, &self.parameters, states, as_of);
        let ((answer,), fuel) = guest.call::<_, ColumnResult>(self.export("finish")?, parameters)?;
        let column = answer.map_err(|reason| Failure::refused(&reason))?;
        Ok((columns::to_arrow(column, self.info.result, states.len())?, fuel))
    }

    /// A guest's states, once there are as many as there should be and none is too long.
    fn checked(&self, answer: Result<Vec<Vec<u8>>, String>, due: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let wrong = |what: String| Failure::new(Cause::Output, what);
        let states = answer.map_err(|reason| Failure::refused(&reason))?;
        if states.len() != due {
            return Err(wrong(format!("gave {} states where {due} were due", states.len())));
        }
        let most = self.account.plugin.allowed.state_bytes;
        match states.iter().map(Vec::len).max() {
            Some(longest) if longest > most => {
                Err(wrong(format!("gave a state of {longest} bytes, of which {most} are allowed")))
            }
            _ => Ok(states),
        }
    }
}
