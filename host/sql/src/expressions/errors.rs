//! The expression library's errors in weir's words.
//!
//! Knows how that library phrases its errors. Must not know a query.

use datafusion_common::DataFusionError;
use weir_plan::ExpressionError;

/// What the library calls types, and what definitions call them; longer names first.
const TYPE_NAMES: [(&str, &str); 12] = [
    ("Timestamp(Millisecond, None)", "timestamp"),
    ("Timestamp(ms)", "timestamp"),
    ("Interval(MonthDayNano)", "interval"),
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

/// Why an expression cannot be planned: one line, without the library's own hints.
pub(super) fn planning_error(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let mut text = text.lines().next().unwrap_or_default();
    for prefix in
        ["Error during planning: ", "This feature is not implemented: ", "Internal error: ", "Schema error: "]
    {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    for hint in [" No function matches", " You might need to add", " Candidate functions"] {
        text = text.split(hint).next().unwrap_or(text);
    }
    let mut text = misfit(text).unwrap_or_else(|| text.trim_end_matches(['.', ' ']).to_owned());
    for (theirs, ours) in TYPE_NAMES {
        text = text.replace(theirs, ours);
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// A call whose arguments have types that its function does not take.
fn misfit(text: &str) -> Option<String> {
    let (_, call) = text.split_once("call to '")?;
    let (name, coercion) = call.split_once("' function: coercion from ")?;
    let (given, _) = coercion.split_once(" to the signature ")?;
    Some(format!("`{name}` does not take ({given}); write a CAST, or another number of arguments"))
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
    let text = ["Arrow error: ", "Execution error: "]
        .iter()
        .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    ExpressionError::Rows(text.to_owned())
}
