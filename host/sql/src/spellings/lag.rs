//! `LAG(x [, n [, default]]) OVER (..)`: x in the row so many rows before.
//!
//! It is the last value of a frame of one row, and the default where that frame is empty. Must not know how frames
//! are answered.

use super::tree::{case, constant_whole, function, operation, whole};
use crate::report::Refusal;
use crate::syntax::{arguments, place};
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

const USAGE: &str = "LAG(x) OVER (PARTITION BY user_id ORDER BY rowtime), or LAG(x, 2, 0) for the row before the last, \
                     and 0 where there is none";

pub(super) fn lag(lag: &Function) -> Result<Expr, Refusal> {
    let at = lag.name.span().start;
    let refuse = |message: String| Err(Refusal::new(at, message));
    let Some(over) = &lag.over else {
        return refuse(format!("LAG has no window; write {USAGE}"));
    };
    if lag.null_treatment.is_some() || lag.filter.is_some() {
        return refuse(format!("LAG takes the row as it is, without IGNORE NULLS or FILTER; write {USAGE}"));
    }
    let (of, rows, default) = match arguments(lag)?.as_slice() {
        [of] => ((*of).clone(), 1, None),
        [of, rows, default @ ..] if default.len() <= 1 => {
            let Some(count) = constant_whole(rows) else {
                let message = format!("`{rows}` is not a whole number of rows; write {USAGE}");
                return Err(Refusal::new(place(rows, at), message));
            };
            ((*of).clone(), count, default.first().map(|default| (*default).clone()))
        }
        _ => return refuse(format!("LAG takes a column, a number of rows and a default; write {USAGE}")),
    };
    let window = WindowType::WindowSpec(one_row(over, rows).ok_or_else(|| {
        Refusal::new(at, "LAG counts rows by itself; leave the frame (RANGE or ROWS) out of its window")
    })?);
    let mut value = function("last_value", vec![of], at);
    value.over = Some(window.clone());
    let Some(default) = default else { return Ok(Expr::Function(value)) };
    let mut count = function("count", Vec::new(), at);
    if let FunctionArguments::List(list) = &mut count.args {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    }
    count.over = Some(window);
    let is_missing = operation(Expr::Function(count), BinaryOperator::Eq, whole(0));
    Ok(case(is_missing, default, Expr::Function(value)))
}

/// The window with a frame of the row that is so many rows before; `None` if it has a frame of its own.
fn one_row(over: &WindowType, rows: u32) -> Option<WindowSpec> {
    let mut spec = match over {
        WindowType::WindowSpec(spec) if spec.window_frame.is_some() => return None,
        WindowType::WindowSpec(spec) => spec.clone(),
        WindowType::NamedWindow(name) => WindowSpec {
            window_name: Some(name.clone()),
            partition_by: Vec::new(),
            order_by: Vec::new(),
            window_frame: None,
        },
    };
    let bound = || WindowFrameBound::Preceding(Some(Box::new(whole(i64::from(rows)))));
    spec.window_frame =
        Some(WindowFrame { units: WindowFrameUnits::Rows, start_bound: bound(), end_bound: Some(bound()) });
    Some(spec)
}
