//! How the parser reads Flink's SQL.
//!
//! Knows the parser's switches. Must not know what any construct means.

use sqlparser::dialect::Dialect;

/// Flink's SQL, as far as a query of weir goes: identifiers in backticks or double quotes, `FILTER (WHERE ..)`,
/// intervals with or without quotes.
#[derive(Debug)]
pub(crate) struct Flink;

impl Dialect for Flink {
    fn is_delimited_identifier_start(&self, character: char) -> bool {
        character == '"' || character == '`'
    }

    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_' || character == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    /// Parts that there are not are refused where the others are known.
    fn allow_extract_custom(&self) -> bool {
        true
    }
}
