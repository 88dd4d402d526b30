//! Comparisons with NULL, which are never true.
//!
//! Must not know columns or types.

use crate::report::Refusal;
use crate::syntax::place;
use sqlparser::ast::{BinaryOperator, Expr, Value};
use sqlparser::tokenizer::Location;

/// Refuses `x = NULL` and its like: whoever writes it means `IS NULL`, and would get nothing at all.
pub(super) fn refuse_comparison(expression: &Expr, at: Location) -> Result<(), Refusal> {
    use BinaryOperator as O;
    match expression {
        Expr::BinaryOp { left, op, right } => {
            let instead = match op {
                O::Eq => "IS NULL",
                O::NotEq => "IS NOT NULL",
                O::Lt | O::LtEq | O::Gt | O::GtEq => "IS NULL or IS NOT NULL",
                _ => return Ok(()),
            };
            let (of, null) = match (is_null(left), is_null(right)) {
                (_, true) => (left, right),
                (true, false) => (right, left),
                (false, false) => return Ok(()),
            };
            let message = format!("`{expression}` is never true, nor false; write {of} {instead}");
            Err(Refusal::new(place(null, place(of, at)), message))
        }
        Expr::InList { expr, list, negated: true } if list.iter().any(is_null) => {
            let message = format!(
                "NOT IN with NULL in its list is never true; leave NULL out, or write {expr} IS NOT NULL"
            );
            Err(Refusal::new(place(expr, at), message))
        }
        Expr::Case { operand: Some(of), conditions, .. } => {
            match conditions.iter().find(|when| is_null(&when.condition)) {
                Some(when) => {
                    let message = format!("WHEN NULL never applies; write CASE WHEN {of} IS NULL THEN ..");
                    Err(Refusal::new(place(&when.condition, place(of, at)), message))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn is_null(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_null(inner),
        Expr::Value(value) => value.value == Value::Null,
        _ => false,
    }
}
