//! The types of a table's columns: what is made for a column of a query, and whether one that is there takes its values.
//!
//! Must not know any table.

use weir_event::DataType;

/// The type that is made for a column. Any value may be null, except whole lists, maps and records, which cannot be in a
/// table: those are empty.
pub(super) fn made(data_type: &DataType) -> String {
    match data_type {
        DataType::Array(item) => format!("Array({})", made(item)),
        DataType::Map(key, value) => format!("Map({}, {})", plain(key), made(value)),
        DataType::Row(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, of)| format!("`{}` {}", name.replace('`', "\\`"), made(of)))
                .collect();
            format!("Tuple({})", fields.join(", "))
        }
        other => format!("Nullable({})", plain(other)),
    }
}

/// The same of a value that is never null.
fn plain(data_type: &DataType) -> String {
    match data_type {
        DataType::String | DataType::Bytes | DataType::Json => "String".to_owned(),
        DataType::Bigint => "Int64".to_owned(),
        DataType::Int => "Int32".to_owned(),
        DataType::Double => "Float64".to_owned(),
        DataType::Float => "Float32".to_owned(),
        DataType::Decimal(of) => format!("Decimal({}, {})", of.precision(), of.scale()),
        DataType::Boolean => "Bool".to_owned(),
        DataType::Timestamp => "DateTime64(3, 'UTC')".to_owned(),
        DataType::Date => "Date32".to_owned(),
        nested => made(nested),
    }
}

/// Whether a column of this type takes every value of one of a query, as far as types tell.
pub(super) fn takes(found: &str, data_type: &DataType) -> bool {
    let found = inside(found, "LowCardinality").unwrap_or(found);
    let found = inside(found, "Nullable").unwrap_or(found);
    let name = found.split('(').next().unwrap_or_default();
    // What takes anything, as far as can be told.
    if matches!(name, "Dynamic" | "Variant" | "JSON" | "Object") {
        return true;
    }
    match data_type {
        DataType::String => {
            matches!(name, "String" | "FixedString" | "Enum8" | "Enum16" | "UUID" | "IPv4" | "IPv6")
        }
        DataType::Bytes | DataType::Json => name == "String",
        DataType::Bigint => matches!(name, "Int64" | "Int128" | "Int256" | "UInt64" | "UInt128" | "UInt256"),
        DataType::Int => {
            name.trim_start_matches('U').starts_with("Int") && !name.ends_with("t8") && !name.ends_with("t16")
        }
        DataType::Double => name == "Float64",
        DataType::Float => matches!(name, "Float32" | "Float64"),
        DataType::Decimal(of) => {
            let parts = inside(found, "Decimal").and_then(|parts| parts.split_once(','));
            let parts = parts.and_then(|(precision, scale)| {
                Some((precision.trim().parse::<u8>().ok()?, scale.trim().parse::<u8>().ok()?))
            });
            parts.is_some_and(|(precision, scale)| {
                scale >= of.scale() && precision.saturating_sub(scale) >= of.precision() - of.scale()
            })
        }
        DataType::Boolean => matches!(name, "Bool" | "UInt8"),
        DataType::Timestamp => {
            let digits =
                inside(found, "DateTime64").and_then(|of| of.split(',').next()?.trim().parse::<u8>().ok());
            digits.is_some_and(|digits| digits >= 3)
        }
        DataType::Date => matches!(name, "Date" | "Date32"),
        DataType::Array(item) => inside(found, "Array").is_some_and(|of| takes(of, item)),
        DataType::Map(..) => name == "Map",
        DataType::Row(_) => matches!(name, "Tuple" | "Map"),
    }
}

/// What stands between the brackets of `NAME(..)`.
fn inside<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}
