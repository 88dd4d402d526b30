//! Text is never taken for a number.
//!
//! The expression library casts text to compare it or to call a function with it; what a row then means, or whether it
//! fails, is nothing that a query says. Must not know SQL text.

use super::canonical::type_name;
use super::errors::planning_error;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result as LibraryResult};
use datafusion_expr::expr::{Case, ScalarFunction};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{Expr, ExprSchemable, Operator};
use std::sync::Arc;

/// Refuses text where a number is meant, and comparisons of the two: one of them would be cast silently, and rows
/// would fail or differ in ways that nobody meant.
pub(super) fn refuse_text_as_number(expression: &Expr, schema: &DFSchema) -> Result<(), String> {
    let mut refused = None;
    let walked = expression.apply(|node| {
        refused = match node {
            Expr::ScalarFunction(call) => text_argument(call, schema)?,
            Expr::Case(case) => match mixed_branches(case, schema)? {
                None if case.expr.is_none() => text_condition(case, schema)?,
                None => mixed_pair(node, schema)?,
                mixed => mixed,
            },
            node => mixed_pair(node, schema)?,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(|error| planning_error(&error))?;
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
        // A constant that is not a time is found when it is cast.
        let is_constant = [left, right].iter().any(|side| matches!(side, Expr::Literal(..)));
        let (left, right) = (left.get_type(schema)?, right.get_type(schema)?);
        if is_mixed(&left, &right) || (!is_constant && is_text_and_time(&left, &right)) {
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

fn is_text_and_time(left: &DataType, right: &DataType) -> bool {
    let is_time = |of: &DataType| of.is_temporal();
    (left.is_string() && is_time(right)) || (is_time(left) && right.is_string())
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

/// Texts and numbers among what CASE gives: all of it would become text.
fn mixed_branches(case: &Case, schema: &DFSchema) -> LibraryResult<Option<String>> {
    let branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    let given = branches.map(|branch| branch.get_type(schema)).collect::<LibraryResult<Vec<_>>>()?;
    Ok(mixed(&given).map(|(left, right)| {
        format!(
            "CASE, IF and LAG give one of their values, which are {} and {} here; write a CAST, or the constant as the \
             other type",
            type_name(left),
            type_name(right)
        )
    }))
}

/// Two of these types of which one is a text's and the other a number's.
fn mixed(given: &[DataType]) -> Option<(&DataType, &DataType)> {
    let pairs = given.iter().flat_map(|left| given.iter().map(move |right| (left, right)));
    pairs.into_iter().find(|(left, right)| is_mixed(left, right))
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
        return Ok(mixed(of_values).map(|(left, right)| {
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
