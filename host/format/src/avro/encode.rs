//! Writing Avro: a schema made of the query's columns, each of which may be null, and records of it.
//!
//! Messages carry the number that the registry gives the schema, if there is a registry; files are object container files.
//! Columns have Avro's own types: a `timestamp` is timestamp-millis, a `decimal` bytes of that logical type, `json` its text.
//! A name that Avro cannot have has `_` for each character that it must not hold.

use super::container;
use super::default::{push_bytes, push_long};
use crate::registry::{SchemaKind, SchemaRegistry, probed};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType as ArrowType, Field, Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Encoder, Records, SinkRows};
use weir_event::DataType;

/// Encodes rows as Avro.
#[derive(Debug)]
pub(super) struct AvroEncoder {
    in_files: bool,
    registered: Option<Registering>,
}

/// Where schemas are registered, and the numbers that they have there.
#[derive(Debug)]
pub(super) struct Registering {
    pub(super) registry: Arc<dyn SchemaRegistry>,
    pub(super) subject: String,
    pub(super) numbers: Mutex<HashMap<String, u32>>,
}

impl AvroEncoder {
    /// For files, or for messages with the numbers of a registry, or without.
    pub(super) fn new(in_files: bool, registered: Option<Registering>) -> AvroEncoder {
        AvroEncoder { in_files, registered }
    }
}

#[async_trait]
impl Encoder for AvroEncoder {
    async fn ready(&self, rows: &SinkRows) -> Result<(), ConnectError> {
        let Some(to) = &self.registered else { return Ok(()) };
        let text = schema_of(rows.columns.schema_ref())?.to_string();
        let is_known =
            |to: &Registering| to.numbers.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&text);
        if !is_known(to) {
            let number = to.registry.register(&to.subject, SchemaKind::Avro, &text).await?;
            to.numbers.lock().unwrap_or_else(PoisonError::into_inner).insert(text, number);
        }
        Ok(())
    }

    async fn probe(&self) -> Result<Option<String>, ConnectError> {
        let Some(to) = &self.registered else { return Ok(None) };
        probed(&*to.registry, None).await.map(Some)
    }

    fn head(&self, rows: &SinkRows) -> Result<Vec<u8>, ConnectError> {
        let text = schema_of(rows.columns.schema_ref())?.to_string();
        Ok(container::head_of(&text, &mark_of(&text)))
    }

    fn terminator(&self) -> &'static [u8] {
        b""
    }

    fn records<'r>(&self, rows: &'r SinkRows) -> Result<Box<dyn Records + 'r>, ConnectError> {
        let mut before = Vec::new();
        if let Some(to) = &self.registered {
            let text = schema_of(rows.columns.schema_ref())?.to_string();
            let number = to.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(&text).copied();
            let number =
                number.ok_or_else(|| ConnectError::internal("a schema was used before it had a number"))?;
            before.push(0);
            before.extend_from_slice(&number.to_be_bytes());
        }
        let schema = normal(rows.columns.schema_ref())?;
        let columns = schema.fields().iter().zip(rows.columns.columns());
        let columns =
            columns.map(|(field, column)| widened(column, field.data_type())).collect::<Result<_, _>>()?;
        Ok(Box::new(AvroRows { before, columns }))
    }

    fn encode(&self, rows: &SinkRows, out: &mut Vec<u8>) -> Result<(), ConnectError> {
        let (records, mut bytes) = (self.records(rows)?, Vec::new());
        for row in 0..rows.columns.num_rows() {
            records.write(row, &mut bytes);
        }
        if self.in_files {
            let text = schema_of(rows.columns.schema_ref())?.to_string();
            container::push_block(rows.columns.num_rows() as u64, &bytes, &mark_of(&text), out);
        } else {
            out.extend_from_slice(&bytes);
        }
        Ok(())
    }
}

/// A file that is gone on with must be closed by the same mark, so it is made of the schema.
fn mark_of(schema: &str) -> container::Sync {
    xxhash_rust::xxh3::xxh3_128(schema.as_bytes()).to_be_bytes()
}

/// The columns in the types that weir's own have.
fn normal(schema: &SchemaRef) -> Result<SchemaRef, ConnectError> {
    let field = |field: &Arc<Field>| {
        let data_type = DataType::from_arrow(field.data_type()).ok_or_else(|| {
            ConnectError::user(format!(
                "column `{}` of type {} has no form in Avro; cast it to another type in the query",
                field.name(),
                field.data_type()
            ))
        })?;
        Ok(Field::new(field.name(), data_type.to_arrow(), true))
    };
    let fields = schema.fields().iter().map(field).collect::<Result<Vec<_>, ConnectError>>()?;
    Ok(Arc::new(ArrowSchema::new(fields)))
}

fn widened(column: &ArrayRef, to: &ArrowType) -> Result<ArrayRef, ConnectError> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    arrow_cast::cast(column, to)
        .map_err(|error| ConnectError::user(format!("a column cannot be written as Avro: {error}")))
}

/// The schema of rows of these columns.
pub(super) fn schema_of(schema: &SchemaRef) -> Result<Value, ConnectError> {
    let schema = normal(schema)?;
    let (mut names, mut fields) = (Vec::new(), Vec::new());
    for field in schema.fields() {
        let name = name_of(field.name());
        if names.contains(&name) {
            return Err(ConnectError::user(format!(
                "column `{}` would be called `{name}` in Avro, as another is; give it another name in the query",
                field.name()
            )));
        }
        let data_type = DataType::from_arrow(field.data_type()).unwrap_or(DataType::Json);
        fields.push(json!({"name": name, "type": ["null", type_of(&data_type, &name)], "default": null}));
        names.push(name);
    }
    Ok(json!({"type": "record", "name": "Row", "namespace": "weir", "fields": fields}))
}

/// Letters, digits and underscores, no digit first.
fn name_of(column: &str) -> String {
    let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    let name: String = column.chars().map(allowed).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        format!("_{name}")
    } else {
        name
    }
}

fn type_of(data_type: &DataType, path: &str) -> Value {
    match data_type {
        DataType::String | DataType::Json => json!("string"),
        DataType::Bigint => json!("long"),
        DataType::Int => json!("int"),
        DataType::Double => json!("double"),
        DataType::Float => json!("float"),
        DataType::Decimal(of) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": of.precision(), "scale": of.scale()})
        }
        DataType::Boolean => json!("boolean"),
        DataType::Timestamp => json!({"type": "long", "logicalType": "timestamp-millis"}),
        DataType::Date => json!({"type": "int", "logicalType": "date"}),
        DataType::Bytes => json!("bytes"),
        DataType::Array(item) => {
            json!({"type": "array", "items": ["null", type_of(item, &format!("{path}_item"))]})
        }
        DataType::Map(_, value) => {
            json!({"type": "map", "values": ["null", type_of(value, &format!("{path}_value"))]})
        }
        DataType::Row(fields) => {
            let field = |(name, data_type): &(String, DataType)| {
                let name = name_of(name);
                let below = type_of(data_type, &format!("{path}_{name}"));
                json!({"name": name, "type": ["null", below], "default": null})
            };
            json!({"type": "record", "name": path, "fields": fields.iter().map(field).collect::<Vec<_>>()})
        }
    }
}

/// The rows of one batch.
struct AvroRows {
    before: Vec<u8>,
    columns: Vec<ArrayRef>,
}

impl Records for AvroRows {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        self.columns.iter().for_each(|column| push_value(column, row, out));
    }
}

/// Appends a value as a union of null and its type.
fn push_value(column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        return push_long(0, out);
    }
    push_long(1, out);
    match column.data_type() {
        ArrowType::Utf8View => push_bytes(column.as_string_view().value(row).as_bytes(), out),
        ArrowType::Utf8 => push_bytes(column.as_string::<i32>().value(row).as_bytes(), out),
        ArrowType::BinaryView => push_bytes(column.as_binary_view().value(row), out),
        ArrowType::Int64 => push_long(column.as_primitive::<Int64Type>().value(row), out),
        ArrowType::Int32 => push_long(column.as_primitive::<Int32Type>().value(row).into(), out),
        ArrowType::Date32 => push_long(column.as_primitive::<Date32Type>().value(row).into(), out),
        ArrowType::Timestamp(..) => {
            push_long(column.as_primitive::<TimestampMillisecondType>().value(row), out)
        }
        ArrowType::Float64 => out.extend(column.as_primitive::<Float64Type>().value(row).to_le_bytes()),
        ArrowType::Float32 => out.extend(column.as_primitive::<Float32Type>().value(row).to_le_bytes()),
        ArrowType::Decimal128(..) => {
            push_bytes(&shortest(column.as_primitive::<Decimal128Type>().value(row)), out)
        }
        ArrowType::Boolean => out.push(u8::from(column.as_boolean().value(row))),
        ArrowType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            push_items(items.len(), out, |item, out| push_value(&items, item, out));
        }
        ArrowType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            push_items(entries.len(), out, |entry, out| {
                let mut key = Vec::new();
                if let Ok(cells) = crate::json::Cells::new(keys.as_ref()) {
                    cells.write_plain(entry, &mut key);
                }
                push_bytes(&key, out);
                push_value(values, entry, out);
            });
        }
        ArrowType::Struct(_) => {
            column.as_struct().columns().iter().for_each(|child| push_value(child, row, out));
        }
        other => unreachable!("no column of weir is of type {other}"),
    }
}

fn push_items(count: usize, out: &mut Vec<u8>, write: impl Fn(usize, &mut Vec<u8>)) {
    if count > 0 {
        push_long(count as i64, out);
        (0..count).for_each(|item| write(item, out));
    }
    push_long(0, out);
}

/// The fewest bytes of two's complement, the largest first.
fn shortest(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let fill = if value < 0 { 0xff } else { 0 };
    let surplus =
        (0..15).take_while(|at| bytes[*at] == fill && (bytes[at + 1] >= 0x80) == (value < 0)).count();
    bytes[surplus..].to_vec()
}
