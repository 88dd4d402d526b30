//! Arithmetic that never wraps around.
//!
//! The expression library wraps whole numbers silently; a feature must not.

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result as LibraryResult, ScalarValue};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr as PhysicalBinary;
use std::any::Any;
use std::sync::Arc;

use super::division::DecimalDivision;
use super::finite::DoubleDivision;
use super::zeros::compared;

/// Makes every operation of an expression fail where its result does not fit, every division by zero fail, every
/// division of decimals round, and every comparison take 0.0 and -0.0 for one.
pub(super) fn exact(
    physical: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> LibraryResult<Arc<dyn PhysicalExpr>> {
    let exact = physical.transform_up(|node| {
        let any: &dyn Any = node.as_ref();
        let Some(binary) = any.downcast_ref::<PhysicalBinary>() else {
            return Ok(match compared(&node, schema)? {
                Some(compared) => Transformed::yes(compared),
                None => Transformed::no(node),
            });
        };
        let exact: Arc<dyn PhysicalExpr> = match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply => {
                Arc::new(binary.clone().with_fail_on_overflow(true))
            }
            Operator::Divide | Operator::Modulo => match (binary.op(), binary.data_type(schema)?) {
                (Operator::Divide, result @ DataType::Decimal128(..)) => {
                    Arc::new(DecimalDivision::new(binary.left().clone(), binary.right().clone(), result))
                }
                (_, DataType::Float64 | DataType::Float32) => Arc::new(DoubleDivision::new(binary.clone())),
                _ => return Ok(Transformed::no(node)),
            },
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(exact))
    })?;
    Ok(exact.data)
}

/// Fails where a decimal has more digits than its type: the library checks only that 128 bits hold it.
pub(super) fn checked_digits(values: ArrayRef) -> LibraryResult<ArrayRef> {
    if let DataType::Decimal128(precision, _) = values.data_type() {
        values.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?;
    }
    Ok(values)
}

/// Computes whole-number constants with a check, before the simplifier would without one, and turns the negation
/// of a whole number into a subtraction, which is checked when it runs.
pub(super) fn fold_whole_numbers(expression: Expr, schema: &DFSchema) -> Result<Expr, String> {
    let folded = expression.transform_up(|node| match node {
        Expr::Negative(of) if of.get_type(schema)?.is_integer() => {
            let zero = ScalarValue::new_zero(&of.get_type(schema)?)?;
            let negated = BinaryExpr::new(Box::new(lit(zero)), Operator::Minus, of);
            Ok(Transformed::yes(Expr::BinaryExpr(negated)))
        }
        Expr::BinaryExpr(binary) => match constant(&binary)? {
            Some(value) => Ok(Transformed::yes(lit(value))),
            None => Ok(Transformed::no(Expr::BinaryExpr(binary))),
        },
        other => Ok(Transformed::no(other)),
    });
    folded.map(|folded| folded.data).map_err(|error| match error {
        DataFusionError::Plan(message) => message,
        other => super::errors::planning_error(&other),
    })
}

fn constant(binary: &BinaryExpr) -> LibraryResult<Option<ScalarValue>> {
    let (Expr::Literal(ScalarValue::Int64(Some(left)), _), Expr::Literal(ScalarValue::Int64(Some(right)), _)) =
        (&*binary.left, &*binary.right)
    else {
        return Ok(None);
    };
    let value = match binary.op {
        Operator::Plus => left.checked_add(*right),
        Operator::Minus => left.checked_sub(*right),
        Operator::Multiply => left.checked_mul(*right),
        Operator::Divide => left.checked_div(*right),
        Operator::Modulo => left.checked_rem(*right),
        _ => return Ok(None),
    };
    let Some(value) = value else {
        let message = format!("the constant {left} {} {right} has no value among bigints", binary.op);
        return Err(DataFusionError::Plan(message));
    };
    Ok(Some(ScalarValue::Int64(Some(value))))
}
