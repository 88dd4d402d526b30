//! The expression library's errors in weir's words.
//!
//! Knows how that library phrases its errors. Must not know a query.

use super::canonical::type_name;
use arrow_schema::DataType;
use datafusion_common::DataFusionError;
use weir_plan::ExpressionError;

/// What the library calls types, and what definitions call them; longer names first.
const TYPE_NAMES: [(&str, &str); 16] = [
    ("Timestamp(Millisecond, None)", "timestamp"),
    ("Timestamp(ms)", "timestamp"),
    ("Interval(MonthDayNano)", "interval"),
    ("Duration(Millisecond)", "interval"),
    ("Duration(ms)", "interval"),
    ("Date32", "date"),
    ("Decimal128", "decimal"),
    ("LargeUtf8", "string"),
    ("Utf8View", "string"),
    ("Utf8", "string"),
    ("Float64", "double"),
    ("Float32", "float"),
    ("Int64", "bigint"),
    ("Int32", "int"),
    ("Boolean", "boolean"),
    ("BinaryView", "bytes"),
];

/// What the library puts before its messages, outer words first.
const PREFIXES: [&str; 9] = [
    "Error during planning: ",
    "This feature is not implemented: ",
    "Internal error: ",
    "Schema error: ",
    "Execution error: ",
    "Arrow error: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
];

/// Why an expression cannot be planned: one line, without the library's own hints.
pub(super) fn planning_error(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let mut text = text.lines().next().unwrap_or_default();
    for prefix in PREFIXES {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    if let Some((_, own)) = text.split_once("user-defined coercion failed with: ") {
        text = own.strip_prefix("Error during planning: ").unwrap_or(own);
    }
    for hint in [" No function matches", " You might need to add", " Candidate functions"] {
        text = text.split(hint).next().unwrap_or(text);
    }
    let mut text = misfit(text)
        .or_else(|| wrong_argument(text))
        .or_else(|| failed_cast(text))
        .or_else(|| unlike_types(text))
        .or_else(|| unread_time(text))
        .unwrap_or_else(|| text.trim_end_matches(['.', ' ']).to_owned());
    for (theirs, ours) in TYPE_NAMES {
        text = text.replace(theirs, ours);
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// Why values of a type that no column can have are refused.
pub(super) fn not_a_column(data_type: &DataType) -> String {
    match data_type {
        DataType::Duration(_) => {
            "a difference of times cannot be a column; write EXTRACT(EPOCH FROM a - b) for \
                                  seconds, or CAST(a - b AS BIGINT) for milliseconds"
                .to_owned()
        }
        DataType::Interval(_) => {
            "an interval cannot be a column; write the number of its units, as a whole number".to_owned()
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            "a time of day cannot be a column; write CAST(.. AS STRING), or EXTRACT(HOUR FROM ..) for a part"
                .to_owned()
        }
        DataType::Decimal256(..) => format!(
            "a {} cannot be a column; write a CAST to DECIMAL(38, s), which has as many digits as there can be",
            type_name(data_type)
        ),
        other => {
            format!("a value of type {} cannot be a column; write a CAST to another type", type_name(other))
        }
    }
}

/// A call whose arguments have types that its function does not take.
fn misfit(text: &str) -> Option<String> {
    if let Some((name, reasons)) = text.split_once("' failed to match any signature")
        && let Some(name) = name.strip_prefix("Function '")
    {
        let given =
            reasons.split("(DataType: ").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or("..");
        return Some(format!(
            "`{name}` does not take such arguments ({given}); write a CAST, or another number of them"
        ));
    }
    let (_, call) = text.split_once("call to '")?;
    let (name, coercion) = call.split_once("' function: coercion from ")?;
    let (given, _) = coercion.split_once(" to the signature ")?;
    Some(format!("`{name}` does not take ({given}); write a CAST, or another number of arguments"))
}

/// An argument of a function that is of another kind than it takes, or is missing.
fn wrong_argument(text: &str) -> Option<String> {
    let (name, rest) = text.strip_prefix("Function '")?.split_once("' ")?;
    let rest = rest.strip_prefix("requires ").or_else(|| rest.strip_prefix("expects "))?;
    let (wanted, given) = rest.split_once(" but received ")?;
    let given = given.split(" (").next().unwrap_or(given).trim_end_matches('.');
    let wanted = wanted.trim_end_matches(',');
    if wanted.ends_with("arguments") {
        return Some(format!("`{name}` takes {wanted}, not {given}"));
    }
    let plain = |of: &str| match of {
        "Numeric" => "a number".to_owned(),
        "String" => "string".to_owned(),
        other => other.to_owned(),
    };
    Some(format!("`{name}` takes {}, not {}; write a CAST", plain(wanted), plain(given)))
}

/// A constant that is cast to a type that it is not of.
fn failed_cast(text: &str) -> Option<String> {
    let rest = text.strip_prefix("Cannot cast ").or_else(|| text.strip_prefix("Can't cast "))?;
    let rest = rest.strip_prefix("string ").or_else(|| rest.strip_prefix("value "))?;
    let (value, wanted) = rest.split_once(" to value of ").or_else(|| rest.split_once(" to type "))?;
    Some(format!("{value} is not a value of type {}", wanted.trim_end_matches(" type")))
}

/// Operands whose types have nothing to do with one another.
fn unlike_types(text: &str) -> Option<String> {
    if let Some(types) = text.strip_prefix("Cannot infer common argument type for comparison operation ") {
        return Some(format!("{types}: these types cannot be compared; write a CAST"));
    }
    if let Some(types) = text.strip_prefix("There isn't a common type to coerce ") {
        let types = types.trim_end_matches(" in LIKE expression");
        return Some(format!("{types} cannot be compared by LIKE; write a CAST"));
    }
    let types = text.strip_prefix("Cannot coerce arithmetic expression ")?.strip_suffix(" to valid types")?;
    let text = if types.contains(" + ") && types.contains("Utf8") { ", `||` to join texts" } else { "" };
    Some(format!(
        "{types}: these types cannot be computed with; write a CAST{text}, or INTERVAL '5' SECOND for a length of time"
    ))
}

/// A text that is not a time.
fn unread_time(text: &str) -> Option<String> {
    let (text, _) = text.strip_prefix("Error parsing timestamp from ")?.rsplit_once("': ")?;
    Some(format!("{text}' is not a time; write RFC 3339, such as '2026-01-31T12:00:00Z'"))
}

/// Why an expression has no value. What a plugin said goes through as it is; all else is about the rows.
pub(super) fn evaluation_error(error: &DataFusionError) -> ExpressionError {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(plugin) = inner.downcast_ref::<ExpressionError>()
    {
        return plugin.clone();
    }
    let text = root.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let text = PREFIXES.iter().fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    let text = match text {
        "Divide by zero error" => "division by zero".to_owned(),
        text => unread_time(text).unwrap_or_else(|| text.to_owned()),
    };
    ExpressionError::Rows(text)
}
