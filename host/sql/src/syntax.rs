//! Parts of a query's tree as the parser made it: where something stands, a call's arguments, names.
//!
//! Knows no meaning.

use crate::report::Refusal;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Spanned,
};
use sqlparser::tokenizer::{Location, Span};

/// The place of an expression, or of what it stands in.
pub(crate) fn place(expression: &Expr, otherwise: Location) -> Location {
    let at = expression.span().start;
    if at.line == 0 { otherwise } else { at }
}

/// A name of one part.
pub(crate) fn single_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(part)] => Some(part.value.clone()),
        _ => None,
    }
}

/// The plain arguments of a call.
pub(crate) fn arguments(function: &Function) -> Result<Vec<&Expr>, Refusal> {
    let FunctionArguments::List(list) = &function.args else {
        return Ok(Vec::new());
    };
    let plain = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression),
        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {
            Err(Refusal::new(function.name.span().start, "`*` is for COUNT(*) only"))
        }
        _ => Err(Refusal::new(
            function.name.span().start,
            "named arguments are not available; write them in order",
        )),
    });
    plain.collect()
}

/// The event time of the row, whatever the queries inside FROM call it.
pub(crate) const EVENT_TIME: &str = "\0event_time";

/// The event time of the row, before names are resolved.
pub(crate) fn event_time(at: Location) -> Expr {
    Expr::Identifier(Ident::with_quote_and_span('"', Span::new(at, at), EVENT_TIME))
}
