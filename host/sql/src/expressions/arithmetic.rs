//! Arithmetic that never wraps around and never compares text with numbers.
//!
//! The expression library wraps whole numbers silently and casts text to compare it; a feature must do neither.

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, Result as LibraryResult, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{Case, ScalarFunction};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Operator, Volatility, lit};
use datafusion_physical_expr::expressions::BinaryExpr as PhysicalBinary;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use std::any::Any;
use std::sync::Arc;

use super::canonical::type_name;

/// Makes every operation of an expression fail where its result does not fit.
pub(super) fn fail_on_overflow(physical: Arc<dyn PhysicalExpr>) -> LibraryResult<Arc<dyn PhysicalExpr>> {
    let checked = physical.transform_up(|node| {
        let any: &dyn Any = node.as_ref();
        let Some(binary) = any.downcast_ref::<PhysicalBinary>() else {
            return Ok(Transformed::no(node));
        };
        if !matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) {
            return Ok(Transformed::no(node));
        }
        let checked: Arc<dyn PhysicalExpr> = Arc::new(binary.clone().with_fail_on_overflow(true));
        Ok(Transformed::yes(checked))
    })?;
    Ok(checked.data)
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

/// Refuses text where a number is meant, and comparisons of the two: one of them would be cast silently, and rows
/// would fail or differ in ways that nobody meant.
pub(super) fn refuse_text_as_number(expression: &Expr, schema: &DFSchema) -> Result<(), String> {
    let mut refused = None;
    let walked = expression.apply(|node| {
        refused = match node {
            Expr::ScalarFunction(call) => text_argument(call, schema)?,
            Expr::Case(case) if case.expr.is_none() => text_condition(case, schema)?,
            node => mixed_pair(node, schema)?,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(|error| super::errors::planning_error(&error))?;
    refused.map_or(Ok(()), Err)
}

/// A text and a number that are to be compared or combined.
fn mixed_pair(node: &Expr, schema: &DFSchema) -> LibraryResult<Option<String>> {
    let pairs: Vec<(&Expr, &Expr)> = match node {
        Expr::BinaryExpr(binary) if needs_like_types(binary.op) => vec![(&binary.left, &binary.right)],
        Expr::InList(list) => list.list.iter().map(|item| (&*list.expr, item)).collect(),
        Expr::Between(between) => vec![(&*between.expr, &*between.low), (&*between.expr, &*between.high)],
        Expr::Case(case) => {
            let of = case.expr.as_deref();
            of.map_or_else(Vec::new, |of| case.when_then_expr.iter().map(|(when, _)| (of, &**when)).collect())
        }
        _ => Vec::new(),
    };
    for (left, right) in pairs {
        let (left, right) = (left.get_type(schema)?, right.get_type(schema)?);
        if is_mixed(&left, &right) {
            return Ok(Some(format!(
                "{} and {} cannot be compared or combined; write a CAST, or the constant as the other type",
                type_name(&left),
                type_name(&right)
            )));
        }
    }
    Ok(None)
}

fn is_mixed(left: &DataType, right: &DataType) -> bool {
    (left.is_string() && right.is_numeric()) || (left.is_numeric() && right.is_string())
}

/// A text where CASE WHEN takes a condition.
fn text_condition(case: &Case, schema: &DFSchema) -> LibraryResult<Option<String>> {
    for (when, _) in &case.when_then_expr {
        if when.get_type(schema)?.is_string() {
            return Ok(Some("CASE WHEN takes a condition, not a string; write x = 'text'".to_owned()));
        }
    }
    Ok(None)
}

/// Functions whose arguments are alternatives of one type; the first of `nvl2` is a condition.
pub(super) const ALTERNATIVES: [&str; 6] = ["coalesce", "greatest", "least", "nullif", "nvl", "nvl2"];

/// How many arguments of one of these functions stand before its alternatives.
pub(super) fn conditions(name: &str) -> usize {
    usize::from(name == "nvl2")
}

/// A text that a function takes as a number.
fn text_argument(call: &ScalarFunction, schema: &DFSchema) -> LibraryResult<Option<String>> {
    let given = call.args.iter().map(|argument| argument.get_type(schema));
    let given = given.collect::<LibraryResult<Vec<DataType>>>()?;
    let name = call.name();
    if ALTERNATIVES.contains(&name) {
        let of_values = given.get(conditions(name)..).unwrap_or_default();
        let mixed = of_values.iter().flat_map(|left| of_values.iter().map(move |right| (left, right)));
        return Ok(mixed.into_iter().find(|(left, right)| is_mixed(left, right)).map(|(left, right)| {
            format!(
                "`{name}` gives one of its arguments, which are {} and {} here; write a CAST of one",
                type_name(left),
                type_name(right)
            )
        }));
    }
    // What does not fit at all is told with the types that would.
    let fields: Vec<_> = given.iter().map(|given| Arc::new(Field::new("", given.clone(), true))).collect();
    let Ok(taken) = fields_with_udf(&fields, call.func.as_ref()) else { return Ok(None) };
    let is_wrong =
        |(given, taken): (&DataType, &FieldRef)| given.is_string() && taken.data_type().is_numeric();
    let wrong = given.iter().zip(&taken).position(is_wrong);
    Ok(wrong.map(|position| {
        let wanted = type_name(taken[position].data_type());
        format!(
            "argument {} of `{name}` is a text, and a {wanted} is wanted; write CAST({} AS {})",
            position + 1,
            written(&call.args[position]),
            wanted.to_uppercase()
        )
    }))
}

/// An argument as a query would write it, if it is short.
fn written(argument: &Expr) -> String {
    match argument {
        Expr::Column(column) if !column.name.starts_with('\0') => column.name.clone(),
        Expr::Literal(value, _) => match value.try_as_str().flatten() {
            Some(text) => format!("'{text}'"),
            None => value.to_string(),
        },
        _ => "..".to_owned(),
    }
}

/// Refuses what is constant and has no value, as `1 / 0` or a text that is not a time: every row that reaches it would
/// fail.
pub(super) fn refuse_failing_constants(expression: &Expr) -> Result<(), String> {
    let mut refused = None;
    let walked = expression.apply(|node| {
        if !is_unfolded(node) {
            return Ok(TreeNodeRecursion::Continue);
        }
        let nothing = Arc::new(DFSchema::empty());
        let physical = create_physical_expr(
            node,
            &nothing,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )?;
        let row = RecordBatchOptions::new().with_row_count(Some(1));
        let one = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &row)?;
        if let Err(error) = physical.evaluate(&one) {
            refused = Some(super::errors::evaluation_error(&error).to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Jump)
    });
    walked.map_err(|error| super::errors::planning_error(&error))?;
    refused.map_or(Ok(()), |reason| Err(format!("a constant of the query has no value: {reason}")))
}

/// Whether a node is made of constants alone, and the simplifier left it as it was.
fn is_unfolded(node: &Expr) -> bool {
    let is_constant = |of: &Expr| matches!(of, Expr::Literal(..));
    match node {
        Expr::BinaryExpr(binary) => is_constant(&binary.left) && is_constant(&binary.right),
        Expr::Cast(cast) => is_constant(&cast.expr),
        Expr::ScalarFunction(call) => {
            call.func.signature().volatility == Volatility::Immutable && call.args.iter().all(is_constant)
        }
        _ => false,
    }
}

/// Whether an operator's operands are of one kind.
pub(super) fn needs_like_types(operator: Operator) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::Plus
            | O::Minus
            | O::Multiply
            | O::Divide
            | O::Modulo
            | O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
    )
}
