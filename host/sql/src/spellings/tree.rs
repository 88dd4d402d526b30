//! Making and reading nodes of the parser's tree.
//!
//! Knows the tree's shapes. Must not know what a function means.

use crate::report::Refusal;
use crate::syntax::arguments;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Spanned, Subscript, Value, ValueWithSpan,
};
use sqlparser::tokenizer::{Location, Span};

pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// A call that stands at a place.
pub(super) fn call(name: &str, arguments: Vec<Expr>, at: Location) -> Expr {
    Expr::Function(function(name, arguments, at))
}

pub(super) fn function(name: &str, arguments: Vec<Expr>, at: Location) -> Function {
    let args = arguments.into_iter().map(|it| FunctionArg::Unnamed(FunctionArgExpr::Expr(it))).collect();
    Function {
        name: ObjectName::from(vec![Ident::with_span(Span::new(at, at), name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

pub(super) fn text(value: &str, at: Location) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(value.to_owned()), span: Span::new(at, at) })
}

pub(super) fn whole(value: i64) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// `left op right`, in brackets.
pub(super) fn operation(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
}

/// `CASE WHEN condition THEN result ELSE otherwise END`.
pub(super) fn case(condition: Expr, result: Expr, otherwise: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: Some(Box::new(otherwise)),
    }
}

pub(super) fn cast(kind: CastKind, expression: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind, expr: Box::new(expression), data_type, array: false, format: None }
}

/// `of[index]`.
pub(super) fn item(of: Expr, index: Expr) -> Expr {
    Expr::CompoundFieldAccess {
        root: Box::new(of),
        access_chain: vec![AccessExpr::Subscript(Subscript::Index { index })],
    }
}

/// Says `of[1].name` as `of[1]['name']`: the name is of a member, not of a column.
pub(super) fn members_as_keys(chain: &mut [AccessExpr]) {
    for access in chain {
        if let AccessExpr::Dot(Expr::Identifier(member)) = access {
            let index = text(&member.value, member.span.start);
            *access = AccessExpr::Subscript(Subscript::Index { index });
        }
    }
}

/// The text of a constant, and its place.
pub(super) fn constant_text(expression: &Expr) -> Option<(&str, Location)> {
    match expression {
        Expr::Nested(inner) => constant_text(inner),
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => {
            Some((text, span.start))
        }
        _ => None,
    }
}

/// The whole number of a constant.
pub(super) fn constant_whole(expression: &Expr) -> Option<u32> {
    match expression {
        Expr::Nested(inner) => constant_whole(inner),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
        _ => None,
    }
}

/// The arguments of a call that takes so many; the error says how it is written.
pub(super) fn exactly<const N: usize>(function: &Function, usage: &str) -> Result<[Expr; N], Refusal> {
    let given: Vec<Expr> = arguments(function)?.into_iter().cloned().collect();
    let count = given.len();
    given.try_into().map_err(|_| {
        let name = function.name.to_string().to_uppercase();
        let plural = if count == 1 { "" } else { "s" };
        Refusal::new(
            function.name.span().start,
            format!("{name} has {count} argument{plural}; write {usage}"),
        )
    })
}
