//! Constants that a call is wrong with on every row: patterns, units, encodings.
//!
//! Knows which argument of which function such a constant is. Must not know what the functions compute.

use super::times::{pattern, truncated_to};
use super::tree::{constant_text, text};
use crate::expressions::{JsonPath, part_named};
use crate::report::Refusal;
use crate::syntax::place;
use regex::Regex;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};
use sqlparser::tokenizer::Location;

const ENCODINGS: [&str; 3] = ["hex", "base64", "base64pad"];
const DIGESTS: [&str; 8] = ["md5", "sha224", "sha256", "sha384", "sha512", "blake2s", "blake2b", "blake3"];

/// Checks the constants of a call, and gives them the form that the library knows.
pub(super) fn check(name: &str, function: &mut Function) -> Result<(), Refusal> {
    let at = function.name.span().start;
    let mut arguments = arguments_mut(function);
    match (name, arguments.as_mut_slice()) {
        ("date_trunc", [unit, ..]) => {
            let (written, at) = constant(unit, at, "the unit of date_trunc", "'day'")?;
            **unit = text(truncated_to(&written, at)?, at);
        }
        ("date_part", [part, ..]) => {
            let (written, at) = constant(part, at, "the part of date_part", "'hour'")?;
            **part = text(part_named(&written).map_err(|message| Refusal::new(at, message))?, at);
        }
        ("encode" | "decode", [_, encoding]) => among(encoding, at, "an encoding", &ENCODINGS)?,
        ("digest", [_, method]) => among(method, at, "a digest", &DIGESTS)?,
        (
            "regexp_like" | "regexp_match" | "regexp_replace" | "regexp_count" | "regexp_instr",
            [_, given, ..],
        ) => {
            regular_expression(given)?;
        }
        ("json_value" | "json_query" | "json_exists", [_, path]) => {
            let (written, at) = constant(path, at, "a JSON path", "'$.user.name'")?;
            JsonPath::read(&written).map_err(|message| Refusal::new(at, message))?;
        }
        ("to_char" | "date_format", [time, given]) => {
            let is_zoned = is_zoned(time);
            pattern(name, given, is_zoned)?;
        }
        (
            "to_timestamp"
            | "to_timestamp_seconds"
            | "to_timestamp_millis"
            | "to_timestamp_micros"
            | "to_timestamp_nanos"
            | "to_date"
            | "to_unixtime",
            [_, patterns @ ..],
        ) => patterns.iter_mut().try_for_each(|given| pattern(name, given, true))?,
        _ => {}
    }
    Ok(())
}

fn arguments_mut(function: &mut Function) -> Vec<&mut Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return Vec::new() };
    let plain = list.args.iter_mut().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    });
    plain.collect()
}

fn is_zoned(time: &Expr) -> bool {
    match time {
        Expr::Nested(inner) => is_zoned(inner),
        Expr::AtTimeZone { .. } => true,
        _ => false,
    }
}

/// The text of an argument that must be a constant.
fn constant(
    expression: &Expr,
    at: Location,
    what: &str,
    such_as: &str,
) -> Result<(String, Location), Refusal> {
    match constant_text(expression) {
        Some((written, at)) => Ok((written.to_owned(), at)),
        None => {
            Err(Refusal::new(place(expression, at), format!("{what} is a constant text, such as {such_as}")))
        }
    }
}

fn among(expression: &Expr, at: Location, what: &str, known: &[&str]) -> Result<(), Refusal> {
    let (written, at) = constant(expression, at, what, &format!("'{}'", known[0]))?;
    if known.contains(&written.to_lowercase().as_str()) {
        return Ok(());
    }
    let message = format!("'{written}' is not {what}; write one of {}", known.join(", "));
    Err(Refusal::new(at, message))
}

/// Checks a regular expression, if it is a constant: how many groups it has.
pub(super) fn regular_expression(pattern: &Expr) -> Result<Option<usize>, Refusal> {
    let Some((written, at)) = constant_text(pattern) else { return Ok(None) };
    match Regex::new(written) {
        Ok(regex) => Ok(Some(regex.captures_len() - 1)),
        Err(error) => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            Err(Refusal::new(at, format!("the regular expression '{written}' cannot be read: {reason}")))
        }
    }
}
