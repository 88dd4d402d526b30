//! A plugin's function of one row as the engine calls it. A batch is cut into calls by what they cost; a call that
//! fails is cut in halves in fresh instances, so that the batch fails if and only if some row fails alone. Must
//! not know what becomes of that row: the caller bisects in its turn.

use crate::account::Account;
use crate::bisect;
use crate::columns::{self, Lent};
use crate::describe::Described;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::pace::Pace;
use crate::wire::{CallParams, ColumnIn, ColumnResult, FunctionInfo, SCALAR_FUNCTIONS};
use crate::world::{Exports, TypeCheck, World};
use arrow_array::ArrayRef;
use arrow_schema::DataType as ArrowType;
use std::sync::Arc;
use wasmtime::component::ComponentExportIndex;
use weir_plan::{ExpressionError, ScalarFunction};

/// A kind of functions whose values depend on nothing except their row's arguments. What a call gives differs.
pub(crate) trait RowWorld: World {
    /// The type of a function's values.
    fn result(&self, function: &Described) -> ArrowType;
    /// One call; also the fuel that it took.
    fn answer(
        &self,
        guest: &mut Guest,
        call: (&ComponentExportIndex, CallParams<'_>),
        function: &Described,
    ) -> Result<(ArrayRef, u64), Failure>;
}

/// Functions with one value for each row.
#[derive(Debug)]
pub(crate) struct ScalarWorld;

impl World for ScalarWorld {
    fn kind(&self) -> &'static str {
        "scalar"
    }

    fn interface(&self) -> &'static str {
        SCALAR_FUNCTIONS
    }

    fn exports(&self) -> &'static [&'static str] {
        &["describe", "call"]
    }

    fn check_types(&self, check: &mut TypeCheck<'_>) {
        check.export::<(), (Vec<FunctionInfo>,)>("describe");
        check.export::<CallParams, ColumnResult>("call");
    }

    fn describe(&self, guest: &mut Guest, exports: &Exports) -> Result<Vec<Described>, Failure> {
        let ((infos,), _) = guest.call::<(), (Vec<FunctionInfo>,)>(exports.find(self, "describe")?, ())?;
        let described = |FunctionInfo { name, arguments, result, description }| Described {
            result,
            ..Described::new(self.kind(), name, arguments, description)
        };
        Ok(infos.into_iter().map(described).collect())
    }

    fn dry_run(&self, account: &Arc<Account>, function: &Described) -> Result<(), String> {
        PluginScalar::new(&ScalarWorld, account, function).dry_run()
    }
}

impl RowWorld for ScalarWorld {
    fn result(&self, function: &Described) -> ArrowType {
        function.result.to_arrow()
    }

    fn answer(
        &self,
        guest: &mut Guest,
        (export, parameters): (&ComponentExportIndex, CallParams<'_>),
        function: &Described,
    ) -> Result<(ArrayRef, u64), Failure> {
        let ((answer,), fuel) = guest.call::<_, ColumnResult>(export, parameters)?;
        let column = answer.map_err(|reason| Failure::refused(&reason))?;
        Ok((columns::to_arrow(column, function.result, parameters.2 as usize)?, fuel))
    }
}

/// One function of a row of one version of a plugin, called for one job.
#[derive(Debug)]
pub(crate) struct PluginScalar {
    world: &'static dyn RowWorld,
    account: Arc<Account>,
    info: Described,
    arguments: Vec<ArrowType>,
    result: ArrowType,
    identity: String,
    pace: Pace,
}

impl PluginScalar {
    pub(crate) fn new(world: &'static dyn RowWorld, account: &Arc<Account>, info: &Described) -> Self {
        let plugin = &account.plugin;
        PluginScalar {
            world,
            arguments: info.arguments.iter().map(|field| field.data_type.to_arrow()).collect(),
            result: world.result(info),
            identity: format!("{}@sha256:{}", info.name, plugin.sha256),
            pace: Pace::new(plugin.allowed.fuel_per_call),
            account: Arc::clone(account),
            info: info.clone(),
        }
    }

    /// A call without rows.
    pub(crate) fn dry_run(&self) -> Result<(), String> {
        let arguments: Vec<ArrayRef> = self.arguments.iter().map(arrow_array::new_empty_array).collect();
        let answer = self.account.pool.run(|guest| self.invoke(guest, &arguments, 0));
        answer.map(|_| ()).map_err(|failure| self.blame(&failure))
    }

    /// One call in an instance that may have been used before.
    pub(crate) fn run<T>(&self, call: impl FnOnce(&mut Guest) -> Result<T, Failure>) -> Result<T, Failure> {
        self.account.pool.run(call)
    }

    /// Drops every instance.
    pub(crate) fn forget(&self) {
        self.account.barrier();
    }

    fn blame(&self, failure: &Failure) -> String {
        self.account.plugin.blame(&self.info.name, "call", failure)
    }

    /// One call into one instance.
    pub(crate) fn invoke(
        &self,
        guest: &mut Guest,
        arguments: &[ArrayRef],
        rows: usize,
    ) -> Result<(ArrayRef, u64), Failure> {
        let export = self.account.plugin.exports.find(self.world, "call")?;
        let lent = lend(arguments, self.info.arguments.iter().map(|field| field.data_type))?;
        let columns: Vec<ColumnIn<'_>> = lent.iter().map(Lent::column).collect();
        let parameters: CallParams<'_> = (&self.info.name, &columns, rows as u32);
        self.world.answer(guest, (export, parameters), &self.info)
    }

    /// The results of `rows` rows from `first` on, and the fuel used.
    fn attempt(&self, arguments: &[ArrayRef], first: usize, rows: usize) -> Result<(ArrayRef, u64), Failure> {
        let part: Vec<ArrayRef> = arguments.iter().map(|column| columns::part(column, first, rows)).collect();
        let call = |guest: &mut Guest| self.invoke(guest, &part, rows);
        let pool = &self.account.pool;
        if rows == 1 { pool.run_to_verdict(call) } else { pool.run(call) }
    }
}

/// Columns ready to be lent, of the types that a function declares.
pub(crate) fn lend(
    arguments: &[ArrayRef],
    types: impl ExactSizeIterator<Item = crate::wire::DataType>,
) -> Result<Vec<Lent<'_>>, Failure> {
    if arguments.len() != types.len() {
        let (found, wanted) = (arguments.len(), types.len());
        return Err(Failure::new(Cause::Refused, format!("takes {wanted} arguments and is given {found}")));
    }
    arguments.iter().zip(types).map(|(array, data_type)| Lent::new(array, data_type)).collect()
}

impl ScalarFunction for PluginScalar {
    fn name(&self) -> &str {
        &self.info.name
    }

    fn arguments(&self) -> &[ArrowType] {
        &self.arguments
    }

    fn result(&self) -> &ArrowType {
        &self.result
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError> {
        self.account.check_breaker().map_err(ExpressionError::Broken)?;
        let mut pieces = Vec::new();
        let outcome = bisect::run(rows, &self.pace, |first, rows| {
            let (piece, fuel) = self.attempt(arguments, first, rows)?;
            pieces.push(piece);
            Ok(fuel)
        });
        let Err(failure) = outcome else {
            self.account.passed(rows);
            self.account.took_rows(rows);
            return Ok(columns::join(&pieces, &self.result));
        };
        let reason = self.blame(&failure);
        if failure.cause == Cause::Host {
            return Err(ExpressionError::Broken(reason));
        }
        // Callers bisect, and a row has its verdict when it comes alone: so each is counted once.
        if rows == 1 && failure.is_misbehaviour() {
            self.account.misbehaved(&reason);
        }
        Err(ExpressionError::Rows(reason))
    }
}
