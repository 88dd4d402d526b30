//! The types of a stream's columns and how they look in Arrow.
//!
//! Knows the names that a definition uses (`bigint`, `array<string>`, ..). Must not know where a schema was
//! written or what decodes it.

use crate::decimal::DecimalType;
use crate::written::TimeForm;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Fields, TimeUnit};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The type of a column as a definition spells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// UTF-8 text; `string`.
    String,
    /// 64-bit integer; `bigint`.
    Bigint,
    /// 32-bit integer; `int`.
    Int,
    /// 64-bit float; `double`.
    Double,
    /// 32-bit float; `float`.
    Float,
    /// Exact, with so many digits before and after the point; `decimal(p, s)`.
    Decimal(DecimalType),
    /// `boolean`.
    Boolean,
    /// Milliseconds since the epoch, UTC; `timestamp`.
    Timestamp,
    /// A day of the calendar; `date`.
    Date,
    /// Raw bytes, base64 in JSON; `bytes`.
    Bytes,
    /// Any JSON value, kept as its text; `json`.
    Json,
    /// A list; `array<T>`.
    Array(Box<DataType>),
    /// A map; `map<K, V>`.
    Map(Box<DataType>, Box<DataType>),
    /// A record; `row<name T, ..>`.
    Row(Vec<(String, DataType)>),
}

impl DataType {
    /// The Arrow type of a column of this type.
    pub fn to_arrow(&self) -> ArrowType {
        match self {
            DataType::String => ArrowType::Utf8View,
            // Another layout of text than a string's, so that the type alone tells the two apart wherever it goes.
            DataType::Json => ArrowType::Utf8,
            DataType::Bigint => ArrowType::Int64,
            DataType::Int => ArrowType::Int32,
            DataType::Double => ArrowType::Float64,
            DataType::Float => ArrowType::Float32,
            DataType::Decimal(of) => ArrowType::Decimal128(of.precision(), of.scale() as i8),
            DataType::Boolean => ArrowType::Boolean,
            DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Millisecond, None),
            DataType::Date => ArrowType::Date32,
            DataType::Bytes => ArrowType::BinaryView,
            DataType::Array(item) => {
                ArrowType::List(Arc::new(ArrowField::new("item", item.to_arrow(), true)))
            }
            DataType::Map(key, value) => {
                let entries = Fields::from(vec![
                    ArrowField::new("key", key.to_arrow(), false),
                    ArrowField::new("value", value.to_arrow(), true),
                ]);
                let entries = ArrowField::new("entries", ArrowType::Struct(entries), false);
                ArrowType::Map(Arc::new(entries), false)
            }
            DataType::Row(fields) => ArrowType::Struct(
                fields.iter().map(|(name, item)| ArrowField::new(name, item.to_arrow(), true)).collect(),
            ),
        }
    }

    /// Whether it is JSON or holds it.
    pub fn has_json(&self) -> bool {
        match self {
            DataType::Json => true,
            DataType::Array(item) => item.has_json(),
            DataType::Map(key, value) => key.has_json() || value.has_json(),
            DataType::Row(fields) => fields.iter().any(|(_, field)| field.has_json()),
            _ => false,
        }
    }

    /// The type with plain text wherever it has JSON.
    #[must_use]
    pub fn without_json(self) -> DataType {
        match self {
            DataType::Json => DataType::String,
            DataType::Array(item) => DataType::Array(Box::new(item.without_json())),
            DataType::Map(key, value) => {
                DataType::Map(Box::new(key.without_json()), Box::new(value.without_json()))
            }
            DataType::Row(fields) => {
                DataType::Row(fields.into_iter().map(|(name, field)| (name, field.without_json())).collect())
            }
            other => other,
        }
    }

    /// The type whose columns look so in Arrow; `None` for what no definition can spell.
    pub fn from_arrow(arrow: &ArrowType) -> Option<DataType> {
        Some(match arrow {
            ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::String,
            ArrowType::Utf8 => DataType::Json,
            ArrowType::Dictionary(_, value) => return DataType::from_arrow(value),
            ArrowType::Int64 | ArrowType::UInt64 | ArrowType::UInt32 => DataType::Bigint,
            ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::UInt8 | ArrowType::UInt16 => {
                DataType::Int
            }
            ArrowType::Float64 => DataType::Double,
            ArrowType::Decimal32(precision, scale)
            | ArrowType::Decimal64(precision, scale)
            | ArrowType::Decimal128(precision, scale) => {
                DataType::Decimal(DecimalType::new(*precision, u8::try_from(*scale).ok()?)?)
            }
            ArrowType::Float32 | ArrowType::Float16 => DataType::Float,
            ArrowType::Boolean => DataType::Boolean,
            ArrowType::Timestamp(..) => DataType::Timestamp,
            ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
            ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => DataType::Bytes,
            ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::ListView(item) => {
                DataType::Array(Box::new(DataType::from_arrow(item.data_type())?))
            }
            ArrowType::Map(entries, _) => match entries.data_type() {
                ArrowType::Struct(fields) if fields.len() == 2 => DataType::Map(
                    Box::new(DataType::from_arrow(fields[0].data_type())?),
                    Box::new(DataType::from_arrow(fields[1].data_type())?),
                ),
                _ => return None,
            },
            ArrowType::Struct(fields) => DataType::Row(
                fields
                    .iter()
                    .map(|field| Some((field.name().clone(), DataType::from_arrow(field.data_type())?)))
                    .collect::<Option<_>>()?,
            ),
            _ => return None,
        })
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::String => f.write_str("string"),
            DataType::Bigint => f.write_str("bigint"),
            DataType::Int => f.write_str("int"),
            DataType::Double => f.write_str("double"),
            DataType::Float => f.write_str("float"),
            DataType::Decimal(of) => of.fmt(f),
            DataType::Boolean => f.write_str("boolean"),
            DataType::Timestamp => f.write_str("timestamp"),
            DataType::Date => f.write_str("date"),
            DataType::Bytes => f.write_str("bytes"),
            DataType::Json => f.write_str("json"),
            DataType::Array(item) => write!(f, "array<{item}>"),
            DataType::Map(key, value) => write!(f, "map<{key}, {value}>"),
            DataType::Row(fields) => {
                f.write_str("row<")?;
                for (i, (name, item)) in fields.iter().enumerate() {
                    write!(f, "{}{name} {item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
        }
    }
}

/// A text that is not a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a type; write {known} (a decimal has 1 to 38 digits, s of them after the point)", known = spellings())]
pub struct TypeError(String);

/// What people are told of a type.
#[derive(Debug, Clone, Copy)]
pub struct TypeDoc {
    /// How a definition spells it.
    pub spelling: &'static str,
    /// Which JSON it is read from.
    pub read: &'static str,
    /// Which JSON it is written as.
    pub written: &'static str,
}

/// Every type that a definition can spell.
pub const TYPES: [TypeDoc; 14] = [
    TypeDoc { spelling: "string", read: "a text", written: "a text" },
    TypeDoc { spelling: "bigint", read: "a whole number of 64 bits, also as `12.0`", written: "a number" },
    TypeDoc { spelling: "int", read: "a whole number of 32 bits", written: "a number" },
    TypeDoc {
        spelling: "double",
        read: "any number",
        written: "the shortest number that reads back the same; NaN and the infinities as `null`",
    },
    TypeDoc { spelling: "float", read: "any number, as 32 bits", written: "as `double`" },
    TypeDoc {
        spelling: "decimal(p, s)",
        read: "a number, or a text of one, whose digits all fit: up to 38 (p), of them s after the point, beyond \
               which only zeros may stand; nothing is rounded",
        written: "a number with s digits after the point: `1.50`",
    },
    TypeDoc { spelling: "boolean", read: "`true` or `false`", written: "`true` or `false`" },
    TypeDoc {
        spelling: "timestamp",
        read: "a text in RFC 3339 with its zone, or milliseconds since 1970; otherwise as `unit` or `pattern` say",
        written: "a text in RFC 3339 with milliseconds, in UTC",
    },
    TypeDoc { spelling: "date", read: "a text such as `2026-01-31`", written: "a text such as `2026-01-31`" },
    TypeDoc { spelling: "bytes", read: "a text in base64", written: "a text in base64" },
    TypeDoc { spelling: "json", read: "any value", written: "the value, as it came" },
    TypeDoc { spelling: "array<T>", read: "an array", written: "an array" },
    TypeDoc { spelling: "map<K, T>", read: "an object; the names are read as K", written: "an object" },
    TypeDoc { spelling: "row<name T, ..>", read: "an object", written: "an object" },
];

fn spellings() -> String {
    let [first @ .., last] = TYPES.map(|doc| doc.spelling);
    format!("{} or {last}", first.join(", "))
}

impl FromStr for DataType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        parse_type(text.trim(), 0).ok_or_else(|| TypeError(text.to_owned()))
    }
}

/// Deeper nesting than this is refused: a definition that needs it is a mistake, and recursion has an end.
const NESTING_LIMIT: usize = 16;

fn parse_type(text: &str, depth: usize) -> Option<DataType> {
    if depth > NESTING_LIMIT {
        return None;
    }
    if let Some(decimal) = parse_decimal_type(text) {
        return Some(decimal);
    }
    if let Some((head, rest)) = text.split_once('<') {
        let inner = rest.trim_end().strip_suffix('>')?;
        let parts = split_top_level(inner);
        return match (head.trim().to_ascii_lowercase().as_str(), parts.as_slice()) {
            ("array", [item]) => Some(DataType::Array(Box::new(parse_type(item.trim(), depth + 1)?))),
            ("map", [key, value]) => Some(DataType::Map(
                Box::new(parse_type(key.trim(), depth + 1)?),
                Box::new(parse_type(value.trim(), depth + 1)?),
            )),
            ("row", fields) => fields
                .iter()
                .map(|field| {
                    let (name, item) = field.trim().split_once(char::is_whitespace)?;
                    Some((name.to_owned(), parse_type(item.trim(), depth + 1)?))
                })
                .collect::<Option<Vec<_>>>()
                .map(DataType::Row),
            _ => None,
        };
    }
    Some(match text.to_ascii_lowercase().as_str() {
        "string" => DataType::String,
        "bigint" => DataType::Bigint,
        "int" => DataType::Int,
        "double" => DataType::Double,
        "float" => DataType::Float,
        "boolean" => DataType::Boolean,
        "timestamp" => DataType::Timestamp,
        "date" => DataType::Date,
        "bytes" => DataType::Bytes,
        "json" => DataType::Json,
        _ => return None,
    })
}

/// `decimal(p, s)`, or `decimal(p)` for one without digits after the point.
fn parse_decimal_type(text: &str) -> Option<DataType> {
    let (head, rest) = text.split_once('(')?;
    if !head.trim_end().eq_ignore_ascii_case("decimal") {
        return None;
    }
    let inside = rest.trim_end().strip_suffix(')')?;
    let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    DecimalType::new(precision.trim().parse().ok()?, scale.trim().parse().ok()?).map(DataType::Decimal)
}

/// Splits at the commas that stand outside every pair of brackets.
fn split_top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' | b'(' => depth += 1,
            b'>' | b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// One declared column of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in queries.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Where it stands in the event: the members to follow from the top. `[name]` unless `from` says otherwise.
    pub path: Vec<String>,
    /// How it is written, if it is a time.
    pub form: TimeForm,
}

impl Field {
    /// A column that stands in the event under its own name.
    pub fn named(name: &str, data_type: DataType) -> Field {
        Field { name: name.to_owned(), data_type, path: vec![name.to_owned()], form: TimeForm::Standard }
    }
}

/// The declared columns of a stream and which of them is the event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSchema {
    /// The columns in order of declaration.
    pub fields: Vec<Field>,
    /// Index of the event-time column.
    pub event_time: usize,
}

/// The name of the column that a stream has whose rows may be taken back: true of a row that is taken back, as it was when
/// it came. Nobody declares it, and no text of a definition can hold its name.
pub const TAKEN_BACK: &str = "\0taken_back";

impl StreamSchema {
    /// The columns that the definition declares.
    pub fn declared(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.name != TAKEN_BACK)
    }

    /// The index of the column that says which rows are taken back; `None` where none ever is.
    pub fn taken_back(&self) -> Option<usize> {
        self.fields.iter().position(|field| field.name == TAKEN_BACK)
    }

    /// Lets its rows be taken back.
    #[must_use]
    pub fn with_taken_back(mut self) -> StreamSchema {
        self.fields.push(Field::named(TAKEN_BACK, DataType::Boolean));
        self
    }

    /// The index of the column of this name; `rowtime` is always an alias of the event-time column.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let declared = self.fields.iter().position(|field| field.name == name);
        declared.or((name == "rowtime").then_some(self.event_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_back_as_they_were_written() {
        for text in [
            "string",
            "json",
            "date",
            "decimal(38, 0)",
            "array<json>",
            "map<string, array<double>>",
            "row<a int, b map<string, decimal(10, 2)>>",
        ] {
            let parsed: DataType = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
            assert_eq!(DataType::from_arrow(&parsed.to_arrow()), Some(parsed));
        }
    }

    #[test]
    fn the_types_that_are_told_of_are_those_that_are_read() {
        for doc in TYPES {
            let example = doc.spelling.replace("(p, s)", "(5, 2)").replace('K', "string").replace('T', "int");
            assert!(example.replace(", ..", "").parse::<DataType>().is_ok(), "{example}");
        }
        let error = "number".parse::<DataType>().unwrap_err().to_string();
        assert!(error.starts_with("`number` is not a type; write string, bigint, int,"), "{error}");
        assert!(error.contains("map<K, T> or row<name T, ..> (a decimal"), "{error}");
    }

    #[test]
    fn what_is_not_a_type_is_refused() {
        assert_eq!("DECIMAL( 5 )".parse::<DataType>().unwrap().to_string(), "decimal(5, 0)");
        for text in [
            "",
            "text",
            "decimal",
            "decimal(39, 2)",
            "decimal(2, 3)",
            "decimal(2",
            "numeric(2, 1)",
            "array<>",
            "array<int",
            "map<string>",
            "row<a>",
            &"array<".repeat(99),
        ] {
            assert!(text.parse::<DataType>().is_err(), "{text}");
        }
    }
}
