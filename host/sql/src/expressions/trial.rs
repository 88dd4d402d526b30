//! Calls whose constants are wrong on every row are refused when they are planned.
//!
//! What is constant as a whole is computed; a call of constants and columns is tried with a few values for the columns,
//! and refused if it fails with each of them. Must not know SQL text.

use super::arithmetic::exact;
use super::errors::{evaluation_error, planning_error};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, TimeUnit};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result as LibraryResult, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator, Volatility};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::create_physical_expr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How many values each column is tried with.
const SAMPLES: usize = 4;

/// Functions that are not tried: those that read a text fail on most, and those that repeat one may make a giant.
fn is_untried(name: &str) -> bool {
    name.starts_with("to_")
        || matches!(
            name,
            "array_repeat"
                | "array_resize"
                | "generate_series"
                | "lpad"
                | "range"
                | "repeat"
                | "rpad"
                | "arrow_cast"
        )
}

/// Refuses constants that have no value, as `1 / 0`, and calls that fail whatever the row holds, as `n % 0`.
pub(super) fn refuse_what_always_fails(expression: &Expr, schema: &DFSchema) -> Result<(), String> {
    let mut refused = None;
    let walked = expression.apply(|node| {
        let (constants, others): (Vec<&Expr>, Vec<&Expr>) =
            operands(node).into_iter().partition(|operand| matches!(operand, Expr::Literal(..)));
        if constants.is_empty() {
            return Ok(TreeNodeRecursion::Continue);
        }
        refused = match others.is_empty() {
            true => error_of(node)?.map(|reason| no_value(&reason)),
            false => always_fails(node, schema)?,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(|error| planning_error(&error))?;
    refused.map_or(Ok(()), Err)
}

/// Refuses divisions of constant doubles by zero. The simplifier makes an infinity of one, or no number, of which every
/// row would then be null in silence: what it computes itself is never a division of doubles, but their sides are.
pub(super) fn refuse_constants_over_zero(
    expression: &Expr,
    schema: &DFSchema,
    simplifier: &ExprSimplifier,
) -> Result<(), String> {
    let mut refused = None;
    let walked = expression.apply(|node| {
        if let Expr::BinaryExpr(binary) = node
            && matches!(binary.op, Operator::Divide | Operator::Modulo)
            && node.get_type(schema)?.is_floating()
            && node.column_refs().is_empty()
        {
            let sides = [&binary.left, &binary.right].map(|side| simplifier.simplify((**side).clone()));
            let [left, right] = sides;
            let (left, right) = (left?, right?);
            if [&left, &right].iter().all(|side| matches!(side, Expr::Literal(..))) {
                let division = BinaryExpr::new(Box::new(left), binary.op, Box::new(right));
                refused = error_of(&Expr::BinaryExpr(division))?.map(|reason| no_value(&reason));
            }
        }
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(|error| planning_error(&error))?;
    refused.map_or(Ok(()), Err)
}

fn no_value(reason: &str) -> String {
    format!("a constant of the query has no value: {reason}")
}

/// What a call or an operation is made of, if it can be computed apart from its row.
fn operands(node: &Expr) -> Vec<&Expr> {
    match node {
        Expr::BinaryExpr(binary) => vec![&binary.left, &binary.right],
        Expr::Cast(cast) => vec![&cast.expr],
        Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Immutable => {
            call.args.iter().collect()
        }
        _ => Vec::new(),
    }
}

fn always_fails(node: &Expr, schema: &DFSchema) -> LibraryResult<Option<String>> {
    let name = match node {
        Expr::ScalarFunction(call) if is_untried(call.name()) => return Ok(None),
        Expr::ScalarFunction(call) => format!("`{}`", call.name()),
        Expr::BinaryExpr(binary) => format!("`{}`", binary.op),
        _ => return Ok(None),
    };
    let mut reason = None;
    for number in 0..SAMPLES {
        let Some(tried) = with_samples(node, schema, number)? else { return Ok(None) };
        match error_of(&tried)? {
            Some(error) => reason = Some(error),
            None => return Ok(None),
        }
    }
    Ok(reason.map(|reason| format!("{name} fails on every row with these constants: {reason}")))
}

/// The node with values in the place of what is not constant; `None` if there is none of a type.
fn with_samples(node: &Expr, schema: &DFSchema, number: usize) -> LibraryResult<Option<Expr>> {
    let sampled = |operand: &Expr| -> LibraryResult<Option<Expr>> {
        if matches!(operand, Expr::Literal(..)) {
            return Ok(Some(operand.clone()));
        }
        Ok(sample(&operand.get_type(schema)?, number).map(|value| Expr::Literal(value, None)))
    };
    Ok(match node {
        Expr::BinaryExpr(binary) => match (sampled(&binary.left)?, sampled(&binary.right)?) {
            (Some(left), Some(right)) => {
                Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), binary.op, Box::new(right))))
            }
            _ => None,
        },
        Expr::ScalarFunction(call) => {
            let arguments = call.args.iter().map(sampled).collect::<LibraryResult<Option<Vec<_>>>>()?;
            arguments
                .map(|arguments| Expr::ScalarFunction(ScalarFunction::new_udf(call.func.clone(), arguments)))
        }
        _ => None,
    })
}

fn sample(data_type: &DataType, number: usize) -> Option<ScalarValue> {
    let text = || Some(["", "a", "1", "1970-01-01"][number].to_owned());
    let whole = [1, 2, 0, -1][number];
    Some(match data_type {
        DataType::Utf8 => ScalarValue::Utf8(text()),
        DataType::Utf8View => ScalarValue::Utf8View(text()),
        DataType::LargeUtf8 => ScalarValue::LargeUtf8(text()),
        DataType::Int32 => ScalarValue::Int32(Some(whole)),
        DataType::Int64 => ScalarValue::Int64(Some(i64::from(whole))),
        DataType::Float32 => ScalarValue::Float32(Some(whole as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(f64::from(whole))),
        DataType::Decimal128(precision, scale) => {
            ScalarValue::Decimal128(Some(i128::from(whole)), *precision, *scale)
        }
        DataType::Boolean => ScalarValue::Boolean(Some(whole == 1)),
        DataType::Date32 => ScalarValue::Date32(Some(whole)),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            ScalarValue::TimestampMillisecond(Some(i64::from(whole)), zone.clone())
        }
        _ => return None,
    })
}

/// Why an expression of constants has no value, if it has none.
fn error_of(constant: &Expr) -> LibraryResult<Option<String>> {
    let nothing = Arc::new(DFSchema::empty());
    let context = PhysicalPlanningContext::default();
    let physical = create_physical_expr(constant, &nothing, &ExecutionProps::new(), &context)?;
    let physical = exact(physical, nothing.as_arrow())?;
    let row = RecordBatchOptions::new().with_row_count(Some(1));
    let one = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &row)?;
    // The library panics on some times out of range; what it does in a row is the rows' business.
    let value = catch_unwind(AssertUnwindSafe(|| physical.evaluate(&one)));
    Ok(match value {
        Ok(value) => value.err().map(|error| evaluation_error(&error).to_string()),
        Err(_) => Some("its value is out of range".to_owned()),
    })
}
