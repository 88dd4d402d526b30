//! What types and values are called in messages. Knows no values.

use std::fmt;

use crate::{Literal, LogicalType, Values};

impl fmt::Display for LogicalType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            LogicalType::Boolean => "boolean",
            LogicalType::Bigint => "bigint",
            LogicalType::Double => "double",
            LogicalType::Text => "text",
            LogicalType::Timestamp => "timestamp",
            LogicalType::Bytes => "bytes",
        })
    }
}

/// The name of the case that a column's values are of.
pub(crate) fn representation(values: &Values) -> &'static str {
    match values {
        Values::Booleans(_) => "booleans",
        Values::Int64s(_) => "int64s",
        Values::Float64s(_) => "float64s",
        Values::Texts(_) => "texts",
        Values::Blobs(_) => "blobs",
    }
}

/// The name of the case that a literal is of.
pub(crate) fn kind(literal: &Literal) -> &'static str {
    match literal {
        Literal::Null => "null",
        Literal::Boolean(_) => "boolean",
        Literal::Int64(_) => "int64",
        Literal::Float64(_) => "float64",
        Literal::Text(_) => "text",
        Literal::Blob(_) => "blob",
    }
}
