//! Flink's spellings of what the expression library has under another name, or as another construct.
//!
//! A call or an operator is rewritten before its names are resolved, so that one meaning has one form from there on;
//! what is constant in it, such as a pattern or a unit, is checked where it stands. Must not know columns or types.

mod constants;
mod docs;
mod functions;
mod lag;
mod nulls;
mod patterns;
mod texts;
mod times;
mod tree;

pub(crate) use docs::TOLD;
pub(crate) use times::{AT_TIME_ZONE, doubtful_patterns};

use crate::report::Refusal;
use crate::syntax::single_name;
use sqlparser::ast::{BinaryOperator, CeilFloorKind, DateTimeField, Expr, Spanned};
use std::mem::replace;

/// Rewrites a node of the tree; its inner nodes come later.
pub(crate) fn respell(expression: &mut Expr) -> Result<(), Refusal> {
    while let Some(rewritten) = respelt(expression)? {
        *expression = rewritten;
    }
    Ok(())
}

fn respelt(expression: &mut Expr) -> Result<Option<Expr>, Refusal> {
    let at = expression.span().start;
    nulls::refuse_comparison(expression, at)?;
    Ok(match expression {
        Expr::Function(function) => {
            let Some(name) = single_name(&function.name) else { return Ok(None) };
            let name = name.to_lowercase();
            match name.as_str() {
                "lag" => Some(lag::lag(function)?),
                "listagg" | "string_agg" => Some(texts::listagg(function)?),
                "json_value" => texts::json_value(function)?,
                "current_date" => Some(times::current_date(function.name.span().start)),
                _ => functions::respelt(&name, function)?,
            }
        }
        Expr::Extract { field, expr, .. } => Some(times::extract(field, take(expr), at)?),
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(unit) }
            if *unit != DateTimeField::NoDateTime =>
        {
            Some(times::ceil_to(take(expr), unit, at)?)
        }
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(unit) }
            if *unit != DateTimeField::NoDateTime =>
        {
            Some(times::floor_to(take(expr), unit, at)?)
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            Some(times::at_time_zone(take(timestamp), time_zone, at)?)
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            texts::escape(pattern, escape_char)?;
            None
        }
        Expr::RLike { negated, expr, pattern, .. } => {
            Some(texts::matches(take(expr), take(pattern), *negated, at))
        }
        Expr::SimilarTo { pattern, .. } => {
            constants::regular_expression(pattern)?;
            None
        }
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Arrow => Some(texts::json_member("json_member", take(left), right, at)?),
            BinaryOperator::LongArrow => Some(texts::json_member("json_text", take(left), right, at)?),
            BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch => {
                constants::regular_expression(right)?;
                None
            }
            _ => None,
        },
        Expr::CompoundFieldAccess { access_chain, .. } => {
            tree::members_as_keys(access_chain);
            None
        }
        Expr::Cast { data_type, .. } => {
            times::plain(data_type);
            None
        }
        _ => None,
    })
}

fn take(expression: &mut Expr) -> Expr {
    replace(expression, tree::null())
}
