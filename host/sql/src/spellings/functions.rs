//! Calls that have another name in the expression library, or are an operator or a construct there.
//!
//! Knows names and numbers of arguments. Must not know what the functions compute.

use super::tree::{call, case, cast, constant_whole, exactly, item, operation, text, whole};
use super::{constants, times};
use crate::report::Refusal;
use crate::syntax::{arguments, place};
use sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, Function, Ident, ObjectName, Spanned};

/// Other names of functions and aggregates that need nothing else changed.
const NAMES: [(&str, &str); 7] = [
    ("ceiling", "ceil"),
    ("datepart", "date_part"),
    ("datetrunc", "date_trunc"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("regexp", "regexp_like"),
    ("truncate", "trunc"),
];

/// The call in its one form; `None` if it has that already.
pub(super) fn respelt(name: &str, function: &mut Function) -> Result<Option<Expr>, Refusal> {
    let at = function.name.span().start;
    if let Some((_, known)) = NAMES.iter().find(|(other, _)| *other == name) {
        function.name = ObjectName::from(vec![Ident::with_span(function.name.span(), *known)]);
        return respelt(known, function);
    }
    Ok(Some(match name {
        "mod" => {
            let [left, right] = exactly(function, "MOD(a, b)")?;
            operation(nested(left), BinaryOperator::Modulo, nested(right))
        }
        "if" => {
            let [condition, then, otherwise] = exactly(function, "IF(condition, a, b)")?;
            case(condition, then, otherwise)
        }
        "element_at" => {
            let [of, key] = exactly(function, "ELEMENT_AT(a, 1) or ELEMENT_AT(m, 'key')")?;
            item(nested(of), key)
        }
        "locate" => {
            let [part, whole] = exactly(function, "LOCATE('part', text)")?;
            call("strpos", vec![whole, part], at)
        }
        "to_base64" => {
            let [of] = exactly(function, "TO_BASE64(text)")?;
            call("encode", vec![of, text("base64pad", at)], at)
        }
        "from_base64" => {
            let [of] = exactly(function, "FROM_BASE64(text)")?;
            let bytes = call("decode", vec![of, text("base64pad", at)], at);
            cast(CastKind::Cast, bytes, DataType::String(None))
        }
        // Flink replaces every match, the library the first one alone.
        "regexp_replace" if arguments(function)?.len() == 3 => {
            constants::check(name, function)?;
            let [of, pattern, by] = exactly(function, "REGEXP_REPLACE(text, pattern, by)")?;
            call(name, vec![of, pattern, by, text("g", at)], at)
        }
        "log" if arguments(function)?.len() == 1 => {
            let message = "LOG(x) is the natural logarithm in Flink and the decimal one in Postgres; write LN(x) or LOG10(x)";
            return Err(Refusal::new(at, message));
        }
        "regexp_extract" => regexp_extract(function)?,
        "sha224" | "sha256" | "sha384" | "sha512" => {
            let [of] = exactly(function, &format!("{}(text)", name.to_uppercase()))?;
            hex_digest(of, name, function)
        }
        "sha2" => {
            let [of, bits] = exactly(function, "SHA2(text, 256)")?;
            let Some(bits @ (224 | 256 | 384 | 512)) = constant_whole(&bits) else {
                let message = "the length of SHA2 is one of 224, 256, 384 and 512";
                return Err(Refusal::new(place(&bits, at), message));
            };
            hex_digest(of, &format!("sha{bits}"), function)
        }
        _ => match times::respelt(name, function)? {
            Some(respelt) => respelt,
            None => {
                constants::check(name, function)?;
                return Ok(None);
            }
        },
    }))
}

fn nested(expression: Expr) -> Expr {
    Expr::Nested(Box::new(expression))
}

/// A digest as Flink has it: its bytes in hexadecimal digits.
fn hex_digest(of: Expr, method: &str, function: &Function) -> Expr {
    let at = function.name.span().start;
    call("encode", vec![call("digest", vec![of, text(method, at)], at), text("hex", at)], at)
}

/// `REGEXP_EXTRACT(text, pattern [, group])`: a group of the first match, the first one or, as group 0, all of it.
fn regexp_extract(function: &Function) -> Result<Expr, Refusal> {
    let at = function.name.span().start;
    let usage = "REGEXP_EXTRACT(text, '([a-z]+)-([0-9]+)', 2)";
    let (of, pattern, group) = match arguments(function)?.as_slice() {
        [of, pattern] => ((*of).clone(), (*pattern).clone(), 1),
        [of, pattern, group] => {
            let Some(number) = constant_whole(group) else {
                let message = format!("the group of REGEXP_EXTRACT is a whole number; write {usage}");
                return Err(Refusal::new(place(group, at), message));
            };
            ((*of).clone(), (*pattern).clone(), number)
        }
        _ => return exactly::<3>(function, usage).map(|_| Expr::Value(sqlparser::ast::Value::Null.into())),
    };
    let groups = constants::regular_expression(&pattern)?;
    if let Some(groups) = groups
        && usize::try_from(group).is_ok_and(|group| group > groups)
    {
        let message =
            format!("the pattern has {groups} groups, and not a group {group}; put one into round brackets");
        return Err(Refusal::new(place(&pattern, at), message));
    }
    // The whole pattern becomes a group, so that there is always one, and all of them count one higher.
    let whole_pattern = match super::tree::constant_text(&pattern) {
        Some((known, at)) => text(&format!("({known})"), at),
        None => operation(
            operation(text("(", at), BinaryOperator::StringConcat, pattern),
            BinaryOperator::StringConcat,
            text(")", at),
        ),
    };
    Ok(item(call("regexp_match", vec![of, whole_pattern], at), whole(i64::from(group) + 1)))
}
