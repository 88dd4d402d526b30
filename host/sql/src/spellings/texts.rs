//! Text and JSON: `LIKE .. ESCAPE`, `RLIKE`, `LISTAGG`, `JSON_VALUE(.. RETURNING ..)`, `j -> 'a'`, `j ->> 'a'`.
//!
//! Knows their clauses. Must not know how they are computed.

use super::constants;
use super::tree::{call, cast, constant_text, constant_whole, function, text};
use crate::report::Refusal;
use crate::syntax::{arguments, place};
use sqlparser::ast::{
    CastKind, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Spanned,
    UnaryOperator, Value, ValueWithSpan,
};
use sqlparser::tokenizer::Location;

/// Says a pattern of LIKE with another escape character in the library's, which is the backslash.
pub(super) fn escape(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) -> Result<(), Refusal> {
    let Some(given) = escape.take() else { return Ok(()) };
    let at = given.span.start;
    let character = match &given.value {
        Value::SingleQuotedString(text) if text.chars().count() == 1 => text.chars().next(),
        _ => None,
    };
    let Some(character) = character else {
        return Err(Refusal::new(
            at,
            format!("ESCAPE takes one character, as in ESCAPE '!', not {}", given.value),
        ));
    };
    let Some((written, place)) = constant_text(pattern) else {
        let message =
            "the pattern of LIKE .. ESCAPE is a constant text; leave ESCAPE out and escape with a backslash";
        return Err(Refusal::new(crate::syntax::place(pattern, at), message));
    };
    let (mut library, mut characters) = (String::new(), written.chars());
    while let Some(next) = characters.next() {
        if next == character {
            match characters.next() {
                Some(escaped @ ('%' | '_')) => library.extend(['\\', escaped]),
                Some(escaped) if escaped == character => {
                    if escaped == '\\' {
                        library.push('\\');
                    }
                    library.push(escaped);
                }
                _ => {
                    let message = format!("`{character}` in '{written}' escapes neither %, _ nor itself");
                    return Err(Refusal::new(place, message));
                }
            }
        } else if next == '\\' {
            library.push_str("\\\\");
        } else {
            library.push(next);
        }
    }
    *pattern = text(&library, place);
    Ok(())
}

/// `text RLIKE 'pattern'`.
pub(super) fn matches(of: Expr, pattern: Expr, is_negated: bool, at: Location) -> Expr {
    let matches = call("regexp_like", vec![of, pattern], at);
    if is_negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) } } else { matches }
}

/// `LISTAGG(x [, ', '])`: all values as one text.
pub(super) fn listagg(listagg: &Function) -> Result<Expr, Refusal> {
    let at = listagg.name.span().start;
    let (of, separator) = match arguments(listagg)?.as_slice() {
        [of] => ((*of).clone(), text(",", at)),
        [of, separator] if constant_text(separator).is_some() => ((*of).clone(), (*separator).clone()),
        _ => {
            let message = "LISTAGG takes what it lists and a constant separator; write LISTAGG(x, ', ')";
            return Err(Refusal::new(at, message));
        }
    };
    if !listagg.within_group.is_empty() {
        return Err(Refusal::new(
            at,
            "LISTAGG .. WITHIN GROUP is not available; values are always in order of time",
        ));
    }
    let mut collect = function("collect", vec![of], at);
    collect.filter = listagg.filter.clone();
    collect.over = listagg.over.clone();
    if let FunctionArguments::List(list) = &listagg.args
        && (!list.clauses.is_empty() || list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
    {
        let message = "LISTAGG takes all values in order of time; for distinct ones write \
                       array_to_string(COLLECT_DISTINCT(100, x), ',')";
        return Err(Refusal::new(at, message));
    }
    Ok(call("array_to_string", vec![Expr::Function(collect), separator], at))
}

/// `JSON_VALUE(j, '$.a' RETURNING type)`: a value that does not fit the type is null, as in Flink.
pub(super) fn json_value(function: &mut Function) -> Result<Option<Expr>, Refusal> {
    let at = function.name.span().start;
    let FunctionArguments::List(list) = &mut function.args else { return Ok(None) };
    if list.args.len() != 2 {
        return Err(Refusal::new(
            at,
            "JSON_VALUE takes a JSON text and a path; write JSON_VALUE(j, '$.user.name')",
        ));
    }
    let mut returning = None;
    for clause in std::mem::take(&mut list.clauses) {
        match clause {
            FunctionArgumentClause::JsonReturningClause(clause) => returning = Some(clause.data_type),
            clause => {
                return Err(Refusal::new(
                    at,
                    format!("JSON_VALUE(.. {clause}) is not available; leave it out"),
                ));
            }
        }
    }
    constants::check("json_value", function)?;
    Ok(returning.map(|data_type| cast(CastKind::TryCast, Expr::Function(function.clone()), data_type)))
}

/// `j -> 'a'` and `j ->> 'a'`: a member of an object, or an item of a list, counted from 0.
pub(super) fn json_member(name: &str, json: Expr, key: &Expr, at: Location) -> Result<Expr, Refusal> {
    let place = place(key, at);
    let path = match (constant_text(key), constant_whole(key)) {
        (Some((member, _)), _) if !member.contains('"') => format!("$[\"{member}\"]"),
        (Some((member, _)), _) if !member.contains('\'') => format!("$['{member}']"),
        (None, Some(position)) => format!("$[{position}]"),
        _ => {
            let message = format!(
                "`{key}` is neither the name of a member nor a position; write j ->> 'name', or JSON_VALUE(j, '$.a.b')"
            );
            return Err(Refusal::new(place, message));
        }
    };
    Ok(call(name, vec![json, text(&path, place)], at))
}
