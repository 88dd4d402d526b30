//! Calls of functions that give rows, of which expressions are parts: what several expressions are parts of is called once.
//!
//! Must not know who keeps what a call gave.

use super::{Bound, Functions, Scope, ScopeColumn, plugin};
use datafusion_common::Column;
use datafusion_expr::{Expr, ExprSchemable};
use std::sync::Arc;
use weir_plan::Expression;

/// The name of the column that holds what a call gives.
const CALLED: &str = "\0called";

/// An expression that is a part of what a call gives, and nothing else.
pub(crate) struct PartOfCall {
    /// The call.
    pub(crate) call: Bound,
    /// What is taken of the column [`CALLED`].
    part: Bound,
}

impl PartOfCall {
    /// The part, over one column: what the call gives.
    pub(crate) fn compile(&self, functions: &Functions<'_>) -> Result<Arc<dyn Expression>, String> {
        let column = ScopeColumn {
            name: CALLED.to_owned(),
            data_type: self.call.data_type.clone(),
            canonical: self.call.canonical.clone(),
        };
        Scope::new(functions, vec![column])?.compile(&self.part)
    }
}

impl Bound {
    /// Whether two compute the same.
    pub(crate) fn computes(&self, other: &Bound) -> bool {
        self.expression == other.expression
    }
}

impl Scope<'_> {
    /// The call of which an expression is a member, or all of it. One that is only somewhere within an expression does not
    /// count: it may be made for some rows alone.
    pub(crate) fn part_of_call(&self, bound: &Bound) -> Option<PartOfCall> {
        let mut part = bound.clone();
        let place = called_row(&mut part.expression)?;
        let call = std::mem::replace(place, Expr::Column(Column::new_unqualified(CALLED)));
        let data_type = call.get_type(self.schema.as_ref()).ok()?;
        let call = Bound { expression: call, data_type, ..bound.clone() };
        Some(PartOfCall { call, part })
    }
}

/// Where the row comes from that an expression is a part of, if a plugin's call gives it.
fn called_row(expression: &mut Expr) -> Option<&mut Expr> {
    let is_call = matches!(expression, Expr::ScalarFunction(call) if plugin::gives_rows(&call.func));
    match expression {
        call if is_call => Some(call),
        Expr::ScalarFunction(member) if member.name() == "get_field" => called_row(member.args.first_mut()?),
        Expr::Cast(cast) => called_row(&mut cast.expr),
        _ => None,
    }
}
