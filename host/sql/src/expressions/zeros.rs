//! 0.0 and -0.0 are one number wherever values are compared: `=` takes them for one, and what the expression library
//! compares by other means does not.
//!
//! Knows which of its expressions compare bits. Must not know what a query compares.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use datafusion_common::utils::{normalize_float_zero, normalize_float_zero_scalar};
use datafusion_common::{Result, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::expressions::{CaseExpr, InListExpr, Literal, in_list, lit};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The same expression where IN, `CASE x WHEN`, or NULLIF compares doubles; `None` if it does not.
pub(super) fn compared(
    node: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let any: &dyn Any = node.as_ref();
    let one_zero = |side: &Arc<dyn PhysicalExpr>| one_zero(side, schema);
    if let Some(list) = any.downcast_ref::<InListExpr>() {
        let of = list.expr();
        if of.data_type(schema)?.is_floating() {
            let items = list.list().iter().map(one_zero).collect::<Result<_>>()?;
            return in_list(one_zero(of)?, items, &list.negated(), schema).map(Some);
        }
    } else if let Some(case) = any.downcast_ref::<CaseExpr>()
        && let Some(of) = case.expr()
        && of.data_type(schema)?.is_floating()
    {
        let branches = case.when_then_expr().iter();
        let branches = branches.map(|(when, then)| Ok((one_zero(when)?, then.clone())));
        let branches = branches.collect::<Result<_>>()?;
        let case = CaseExpr::try_new(Some(one_zero(of)?), branches, case.else_expr().cloned())?;
        return Ok(Some(Arc::new(case)));
    } else if let Some(call) = any.downcast_ref::<ScalarFunctionExpr>()
        && call.name() == "nullif"
        && call.return_type().is_floating()
    {
        let sides = call.args().iter().map(one_zero).collect::<Result<_>>()?;
        return node.clone().with_new_children(sides).map(Some);
    }
    Ok(None)
}

/// What is compared, with 0.0 for -0.0. A constant stays one: a list of constants is looked up and not gone through.
fn one_zero(of: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let any: &dyn Any = of.as_ref();
    Ok(match any.downcast_ref::<Literal>() {
        Some(constant) => lit(normalize_float_zero_scalar(constant.value().clone())),
        None if of.data_type(schema)?.is_floating() => Arc::new(OneZero(of.clone())),
        None => of.clone(),
    })
}

/// The values of an expression, with 0.0 for -0.0.
#[derive(Debug, Clone, Eq)]
struct OneZero(Arc<dyn PhysicalExpr>);

impl PartialEq for OneZero {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq(&other.0)
    }
}

impl Hash for OneZero {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for OneZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PhysicalExpr for OneZero {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.0.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.0.nullable(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.0.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(normalize_float_zero(&values)),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(normalize_float_zero_scalar(value)),
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.0]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 1]>::try_from(children) {
            Ok([of]) => Ok(Arc::new(OneZero(of))),
            Err(children) => internal_err!("{self} has one part, not {}", children.len()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}
