//! Writing Protocol Buffers: a message made of the query's columns, registered in a registry, whose number stands before each
//! record.
//!
//! The first column is field 1, the next field 2, ..: a column that is added at the end goes on as evolution asks. A single
//! value that is null is not there, nor are nulls within lists and maps, which the wire cannot hold.

use super::wire::push_varint;
use crate::json::Cells;
use crate::registry::{SchemaKind, SchemaRegistry, probed};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType as ArrowType;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Encoder, Records, SinkRows};
use weir_event::DataType;

/// Encodes rows as Protocol Buffers.
#[derive(Debug)]
pub(super) struct ProtobufEncoder {
    registry: Arc<dyn SchemaRegistry>,
    subject: String,
    numbers: Mutex<HashMap<String, u32>>,
}

impl ProtobufEncoder {
    pub(super) fn new(registry: Arc<dyn SchemaRegistry>, subject: String) -> ProtobufEncoder {
        ProtobufEncoder { registry, subject, numbers: Mutex::default() }
    }

    fn number(&self, text: &str) -> Option<u32> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(text).copied()
    }
}

#[async_trait]
impl Encoder for ProtobufEncoder {
    async fn ready(&self, rows: &SinkRows) -> Result<(), ConnectError> {
        let text = source_of(rows)?;
        if self.number(&text).is_none() {
            let number = self.registry.register(&self.subject, SchemaKind::Protobuf, &text).await?;
            self.numbers.lock().unwrap_or_else(PoisonError::into_inner).insert(text, number);
        }
        Ok(())
    }

    async fn probe(&self) -> Result<Option<String>, ConnectError> {
        probed(&*self.registry, None).await.map(Some)
    }

    fn terminator(&self) -> &'static [u8] {
        b""
    }

    fn records<'r>(&self, rows: &'r SinkRows) -> Result<Box<dyn Records + 'r>, ConnectError> {
        let number = self.number(&source_of(rows)?);
        let number =
            number.ok_or_else(|| ConnectError::internal("a schema was used before it had a number"))?;
        let mut before = vec![0];
        before.extend_from_slice(&number.to_be_bytes());
        // The first message of the file.
        before.push(0);
        let column = |column: &ArrayRef| {
            let to = data_type(column.data_type()).map_or(ArrowType::Null, |data_type| data_type.to_arrow());
            if *column.data_type() == to {
                return Ok(column.clone());
            }
            arrow_cast::cast(column, &to).map_err(|error| {
                ConnectError::user(format!("a column cannot be written as protobuf: {error}"))
            })
        };
        let columns = rows.columns.columns().iter().map(column).collect::<Result<_, _>>()?;
        Ok(Box::new(Messages { before, columns }))
    }
}

fn data_type(arrow: &ArrowType) -> Option<DataType> {
    DataType::from_arrow(arrow)
}

/// The rows of one batch.
struct Messages {
    before: Vec<u8>,
    columns: Vec<ArrayRef>,
}

impl Records for Messages {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        push_fields(&self.columns, row, out);
    }
}

fn push_fields(columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) {
    for (column, number) in columns.iter().zip(1..) {
        push_field(column, row, number, out);
    }
}

/// The text of the message that rows of these columns are.
pub(super) fn source_of(rows: &SinkRows) -> Result<String, ConnectError> {
    let (mut fields, mut inner, mut names) = (String::new(), String::new(), Vec::new());
    for (field, number) in rows.columns.schema_ref().fields().iter().zip(1..) {
        let name = name_of(field.name());
        let of = data_type(field.data_type()).and_then(|of| Some((type_of(&of, &name, &mut inner)?, of)));
        let Some((spelled, _)) = of.filter(|_| !names.contains(&name)) else {
            return Err(ConnectError::user(format!(
                "column `{}` of type {} has no form or no name of its own in protobuf; cast it to another type, or rename it, in \
                 the query",
                field.name(),
                field.data_type()
            )));
        };
        fields += &format!("  {spelled} {name} = {number};\n");
        names.push(name);
    }
    let import =
        if fields.contains("google.protobuf.Timestamp") || inner.contains("google.protobuf.Timestamp") {
            "import \"google/protobuf/timestamp.proto\";\n"
        } else {
            ""
        };
    Ok(format!("syntax = \"proto3\";\npackage weir;\n{import}message Row {{\n{fields}{inner}}}\n"))
}

fn name_of(column: &str) -> String {
    let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    let name: String = column.chars().map(allowed).collect();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("f{name}") }
}

/// A field's type with what stands before it; messages within are added to `inner`. `None` where there is no form.
fn type_of(of: &DataType, name: &str, inner: &mut String) -> Option<String> {
    Some(match of {
        DataType::Array(item) => format!("repeated {}", item_of(item, name, inner)?),
        DataType::Map(key, value) => {
            let key = match **key {
                DataType::Int | DataType::Bigint | DataType::Boolean => item_of(key, name, inner)?,
                _ => "string".to_owned(),
            };
            format!("map<{key}, {}>", item_of(value, name, inner)?)
        }
        DataType::Row(_) | DataType::Timestamp => item_of(of, name, inner)?,
        _ => format!("optional {}", item_of(of, name, inner)?),
    })
}

fn item_of(of: &DataType, name: &str, inner: &mut String) -> Option<String> {
    Some(match of {
        DataType::String | DataType::Json | DataType::Date | DataType::Decimal(_) => "string".to_owned(),
        DataType::Bigint => "int64".to_owned(),
        DataType::Int => "int32".to_owned(),
        DataType::Double => "double".to_owned(),
        DataType::Float => "float".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Bytes => "bytes".to_owned(),
        DataType::Timestamp => "google.protobuf.Timestamp".to_owned(),
        DataType::Array(_) | DataType::Map(..) => return None,
        DataType::Row(fields) => {
            let message = format!("{name}_row");
            let mut body = String::new();
            for ((field, of), number) in fields.iter().zip(1..) {
                let field = name_of(field);
                body +=
                    &format!("    {} {field} = {number};\n", type_of(of, &format!("{name}_{field}"), inner)?);
            }
            *inner += &format!("  message {message} {{\n{body}  }}\n");
            message
        }
    })
}

fn push_field(column: &ArrayRef, row: usize, number: u32, out: &mut Vec<u8>) {
    if column.is_null(row) {
        return;
    }
    match column.data_type() {
        ArrowType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len())
                .filter(|item| items.is_valid(*item))
                .for_each(|item| push_value(&items, item, number, out));
        }
        ArrowType::Map(..) => {
            let entries = column.as_map().value(row);
            for entry in (0..entries.len()).filter(|entry| entries.column(1).is_valid(*entry)) {
                let mut bytes = Vec::new();
                push_key(entries.column(0), entry, &mut bytes);
                push_value(entries.column(1), entry, 2, &mut bytes);
                push_bytes(number, &bytes, out);
            }
        }
        _ => push_value(column, row, number, out),
    }
}

fn push_key(keys: &ArrayRef, entry: usize, out: &mut Vec<u8>) {
    match keys.data_type() {
        ArrowType::Int32 | ArrowType::Int64 | ArrowType::Boolean => push_value(keys, entry, 1, out),
        _ => push_bytes(1, &text_of(keys, entry), out),
    }
}

fn push_value(column: &ArrayRef, row: usize, number: u32, out: &mut Vec<u8>) {
    let varint = |value: u64, out: &mut Vec<u8>| {
        push_varint(u64::from(number) << 3, out);
        push_varint(value, out);
    };
    match column.data_type() {
        ArrowType::Int64 => varint(column.as_primitive::<Int64Type>().value(row) as u64, out),
        ArrowType::Int32 => varint(i64::from(column.as_primitive::<Int32Type>().value(row)) as u64, out),
        ArrowType::Boolean => varint(u64::from(column.as_boolean().value(row)), out),
        ArrowType::Float64 => {
            push_varint(u64::from(number) << 3 | 1, out);
            out.extend(column.as_primitive::<Float64Type>().value(row).to_le_bytes());
        }
        ArrowType::Float32 => {
            push_varint(u64::from(number) << 3 | 5, out);
            out.extend(column.as_primitive::<Float32Type>().value(row).to_le_bytes());
        }
        ArrowType::BinaryView => push_bytes(number, column.as_binary_view().value(row), out),
        ArrowType::Timestamp(..) => {
            let millis = column.as_primitive::<TimestampMillisecondType>().value(row);
            let (seconds, nanos) = (millis.div_euclid(1000), millis.rem_euclid(1000) * 1_000_000);
            let mut bytes = Vec::new();
            for (value, tag) in [(seconds, 8), (nanos, 16)] {
                if value != 0 {
                    bytes.push(tag);
                    push_varint(value as u64, &mut bytes);
                }
            }
            push_bytes(number, &bytes, out);
        }
        ArrowType::Struct(_) => {
            let mut bytes = Vec::new();
            push_fields(column.as_struct().columns(), row, &mut bytes);
            push_bytes(number, &bytes, out);
        }
        _ => push_bytes(number, &text_of(column, row), out),
    }
}

/// Text, JSON, decimals, dates.
fn text_of(column: &ArrayRef, row: usize) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(cells) = Cells::new(column.as_ref()) {
        cells.write_plain(row, &mut text);
    }
    text
}

fn push_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(u64::from(number) << 3 | 2, out);
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
