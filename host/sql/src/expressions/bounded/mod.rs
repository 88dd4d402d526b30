//! Functions whose values have a bound, so that one row can take neither the memory nor an hour.
//!
//! Every function of the library is wrapped: where its arguments tell how large a value would become or how long it
//! would take ([`estimate`]), that is asked before anything is allocated; and each value that was made is measured
//! ([`size`]). Must not know a query.

mod estimate;
mod size;

use super::plugin;
use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, UInt32Array, new_empty_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, FieldRef};
use arrow_select::nullif::nullif;
use arrow_select::take::take;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The most bytes that one value may have which a function makes: what stores and sinks take without complaint.
const VALUE_LIMIT_BYTES: u64 = 1 << 20;

/// The most bytes that the values of one call may have together; what needs more comes in smaller batches.
const BATCH_LIMIT_BYTES: u64 = 64 << 20;

/// Gives every function in an expression its bound.
pub(super) fn bounded(expression: Expr) -> Result<Expr> {
    let wrapped = expression.transform_up(|node| match node {
        Expr::ScalarFunction(mut call) if !is_bounded(&call.func) => {
            refuse_columns(&call)?;
            call.func = Arc::new(ScalarUDF::new_from_impl(Bounded { of: call.func }));
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => {
            Ok(Transformed::yes(CHECKED[&Check::Joined].call(vec![Expr::BinaryExpr(binary)])))
        }
        Expr::BinaryExpr(mut binary) if takes_pattern(binary.op) && !is_known(&binary.right) => {
            binary.right = Box::new(CHECKED[&Check::Pattern].call(vec![*binary.right]));
            Ok(Transformed::yes(Expr::BinaryExpr(binary)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(wrapped.data)
}

/// Functions that take some arguments from the first row of a batch for all of them, with the position of the first.
const FIRST_ROW_FOR_ALL: [(&str, usize); 1] = [("array_sort", 1)];

/// Refuses columns where a function takes the value of one row for all: how rows come together must not matter.
fn refuse_columns(call: &ScalarFunction) -> Result<()> {
    let name = call.func.name();
    let Some((_, first)) = FIRST_ROW_FOR_ALL.iter().find(|(function, _)| *function == name) else {
        return Ok(());
    };
    if call.args.iter().skip(*first).all(|argument| argument.column_refs().is_empty()) {
        return Ok(());
    }
    let message = format!("`{name}` takes constants, and not columns, from argument {} on", first + 1);
    Err(DataFusionError::Plan(message))
}

fn takes_pattern(operator: Operator) -> bool {
    use Operator as O;
    matches!(operator, O::RegexMatch | O::RegexIMatch | O::RegexNotMatch | O::RegexNotIMatch)
}

/// Whether a pattern comes with the query, or has its check.
fn is_known(pattern: &Expr) -> bool {
    match pattern {
        Expr::Literal(..) => true,
        Expr::ScalarFunction(call) => is_bounded(&call.func) && call.func.name() == Check::Pattern.name(),
        _ => false,
    }
}

/// A plugin's values are bounded by what its calls may give.
fn is_bounded(function: &ScalarUDF) -> bool {
    let any: &dyn Any = function.inner().as_ref();
    any.is::<Bounded>() || any.is::<Checked>() || plugin::identity(function).is_some()
}

/// A function of the library with the bound.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    of: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.of.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.of.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.of.coerce_types(arguments)
    }

    fn short_circuits(&self) -> bool {
        self.of.short_circuits()
    }

    fn conditional_arguments<'a>(&self, arguments: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.of.conditional_arguments(arguments)
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.of.simplify(arguments, context)? {
            ExprSimplifyResult::Simplified(simpler) => ExprSimplifyResult::Simplified(bounded(simpler)?),
            original @ ExprSimplifyResult::Original(_) => original,
        })
    }

    fn invoke_with_args(&self, mut call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = self.of.name();
        call.args = call.args.into_iter().map(without_hidden_items).collect::<Result<_>>()?;
        estimate::check(name, &call.args, call.number_rows)?;
        if call.number_rows == 0 && estimate::has_cost(name) {
            return Ok(ColumnarValue::Array(new_empty_array(call.return_field.data_type())));
        }
        let null_for_null =
            NULL_FOR_NULL.contains(&name).then(|| nulls(&call.args, call.number_rows)).transpose()?;
        let value = self.of.invoke_with_args(call)?;
        let value = match null_for_null.flatten() {
            Some(is_null) => ColumnarValue::Array(nullif(&value.into_array(is_null.len())?, &is_null)?),
            None => value,
        };
        measured(name, value)
    }
}

/// What the library makes operators of: functions that give their argument back, checked.
static CHECKED: LazyLock<HashMap<Check, ScalarUDF>> = LazyLock::new(|| {
    let checked = |check| Checked { check, signature: Signature::any(1, Volatility::Immutable) };
    [Check::Joined, Check::Pattern].map(|check| (check, ScalarUDF::new_from_impl(checked(check)))).into()
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Check {
    /// The value of `a || b`.
    Joined,
    /// The right side of `a ~ b`.
    Pattern,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Joined => "||",
            Check::Pattern => "~",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    check: Check,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.check.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, mut call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = call.args.swap_remove(0);
        match self.check {
            Check::Joined => measured(self.name(), value),
            Check::Pattern => {
                estimate::check_patterns(self.name(), &value)?;
                Ok(value)
            }
        }
    }
}

/// Functions that forget of nulls among their arguments where the other rows of a batch are empty.
const NULL_FOR_NULL: [&str; 2] = ["array_has_all", "array_has_any"];

/// The rows of which some argument is null, if there are any.
fn nulls(arguments: &[ColumnarValue], rows: usize) -> Result<Option<BooleanArray>> {
    let mut valid: Option<NullBuffer> = None;
    for argument in arguments {
        valid = NullBuffer::union(valid.as_ref(), argument.to_array(rows)?.logical_nulls().as_ref());
    }
    Ok(valid.map(|valid| BooleanArray::new(!valid.inner(), None)))
}

/// A null list may still span items, which no function should see.
fn without_hidden_items(value: ColumnarValue) -> Result<ColumnarValue> {
    let ColumnarValue::Array(array) = &value else { return Ok(value) };
    let Some(list) = array.as_list_opt::<i32>().filter(|list| list.null_count() > 0) else {
        return Ok(value);
    };
    if (0..list.len()).all(|row| list.is_valid(row) || list.value_length(row) == 0) {
        return Ok(value);
    }
    // Taking copies what is valid alone.
    let rows: UInt32Array =
        (0..list.len() as u32).map(|row| list.is_valid(row as usize).then_some(row)).collect();
    Ok(ColumnarValue::Array(take(array, &rows, None)?))
}

fn measured(name: &str, value: ColumnarValue) -> Result<ColumnarValue> {
    let largest = match &value {
        ColumnarValue::Array(array) => size::largest(array)?,
        ColumnarValue::Scalar(scalar) if size::is_fixed(&scalar.data_type()) => 0,
        ColumnarValue::Scalar(scalar) => size::largest(&scalar.to_array()?)?,
    };
    if largest > VALUE_LIMIT_BYTES { Err(too_large(name, u128::from(largest))) } else { Ok(value) }
}

fn too_large(name: &str, bytes: u128) -> DataFusionError {
    let limit = VALUE_LIMIT_BYTES >> 20;
    DataFusionError::Execution(format!(
        "`{name}` would make a value of {bytes} bytes; the limit is {limit} MiB"
    ))
}
