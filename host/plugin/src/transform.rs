//! A plugin's function of what a lookup has, with several values for each row. Must not know requests or features: it is
//! handed columns, and gives rows.

use crate::account::Account;
use crate::columns;
use crate::describe::Described;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::scalar::{PluginScalar, RowWorld};
use crate::wire::{CallParams, ColumnOut, ColumnsResult, Field, TRANSFORMER, TransformInfo};
use crate::world::{Exports, TypeCheck, World};
use arrow_array::{ArrayRef, StructArray};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Fields};
use std::sync::Arc;
use wasmtime::component::ComponentExportIndex;

/// Functions with several values for each row, computed when they are asked for.
#[derive(Debug)]
pub(crate) struct TransformWorld;

impl World for TransformWorld {
    fn kind(&self) -> &'static str {
        "transform"
    }

    fn interface(&self) -> &'static str {
        TRANSFORMER
    }

    fn exports(&self) -> &'static [&'static str] {
        &["describe", "call"]
    }

    fn check_types(&self, check: &mut TypeCheck<'_>) {
        check.export::<(), (Vec<TransformInfo>,)>("describe");
        check.export::<CallParams, ColumnsResult>("call");
    }

    fn describe(&self, guest: &mut Guest, exports: &Exports) -> Result<Vec<Described>, Failure> {
        let ((infos,), _) = guest.call::<(), (Vec<TransformInfo>,)>(exports.find(self, "describe")?, ())?;
        let described = |TransformInfo { name, arguments, results, description }| Described {
            rows: results,
            ..Described::new(self.kind(), name, arguments, description)
        };
        Ok(infos.into_iter().map(described).collect())
    }

    fn dry_run(&self, account: &Arc<Account>, function: &Described) -> Result<(), String> {
        PluginScalar::new(&TransformWorld, account, function).dry_run()
    }
}

impl RowWorld for TransformWorld {
    fn result(&self, function: &Described) -> ArrowType {
        ArrowType::Struct(fields(function))
    }

    fn answer(
        &self,
        guest: &mut Guest,
        (export, parameters): (&ComponentExportIndex, CallParams<'_>),
        function: &Described,
    ) -> Result<(ArrayRef, u64), Failure> {
        let ((answer,), fuel) = guest.call::<_, ColumnsResult>(export, parameters)?;
        let answer = answer.map_err(|reason| Failure::refused(&reason))?;
        Ok((rows_of(answer, function, parameters.2 as usize)?, fuel))
    }
}

fn fields(function: &Described) -> Fields {
    let field = |field: &Field| ArrowField::new(&field.name, field.data_type.to_arrow(), true);
    function.rows.iter().map(field).collect()
}

/// A guest's columns as rows, once they are shown to be what was promised.
fn rows_of(answer: Vec<ColumnOut>, function: &Described, rows: usize) -> Result<ArrayRef, Failure> {
    let columns = columns::each_to_arrow(answer, function.rows.iter(), rows)?;
    let rows = StructArray::try_new_with_length(fields(function), columns, None, rows);
    rows.map(|rows| Arc::new(rows) as ArrayRef).map_err(|error| {
        Failure::new(Cause::Output, format!("gave columns that do not fit together: {error}"))
    })
}
