//! How result rows look in a Parquet file: types that every reader of Parquet knows.
//!
//! Texts are UTF-8 and `json` is its text, times are milliseconds in UTC (Spark reads no nanoseconds), decimals, dates,
//! lists, maps and rows are what they are. All columns may be null. The parts of lists and maps have the names that the
//! format's own description gives them. Must not know files.

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType as ArrowType, Field, FieldRef, Fields, Schema, TimeUnit};
use std::sync::Arc;
use weir_connect::{ConnectError, SinkRows};

/// The zone of times, as an offset: names of zones are known only to a library that not every host brings.
const UTC: &str = "+00:00";
/// The column that says what weir knows of each row.
const META: &str = "_weir";

/// The columns of rows as they stand in a file: those of the query, and with `meta` one that says what weir
/// knows of each row. The error names a column of a type that no file can hold.
pub fn file_columns(rows: &SinkRows, meta: bool) -> Result<RecordBatch, ConnectError> {
    let mut columns = Vec::new();
    let schema = rows.columns.schema_ref();
    for (field, array) in schema.fields().iter().zip(rows.columns.columns()) {
        columns.push(column(field.name(), array)?);
    }
    if meta {
        columns.push(meta_column(rows)?);
    }
    let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.columns.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    batch
        .map_err(|error| ConnectError::internal(format!("result rows do not make a file's columns: {error}")))
}

fn column(name: &str, array: &ArrayRef) -> Result<(FieldRef, ArrayRef), ConnectError> {
    let data_type = file_type(array.data_type()).ok_or_else(|| {
        ConnectError::user(format!(
            "column `{name}` of type {} has no form in Parquet; cast it to another type in the query",
            array.data_type()
        ))
    })?;
    let array = as_file_type(array, &data_type).map_err(|error| {
        ConnectError::user(format!("column `{name}` cannot be written as {data_type}: {error}"))
    })?;
    Ok((Arc::new(Field::new(name, data_type, true)), array))
}

/// The type that a column of this type has in a file; `None` where there is none.
fn file_type(data_type: &ArrowType) -> Option<ArrowType> {
    Some(match data_type {
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View | ArrowType::Null => ArrowType::Utf8,
        ArrowType::Binary
        | ArrowType::LargeBinary
        | ArrowType::BinaryView
        | ArrowType::FixedSizeBinary(_) => ArrowType::Binary,
        ArrowType::Boolean
        | ArrowType::Int32
        | ArrowType::Int64
        | ArrowType::Float32
        | ArrowType::Float64
        | ArrowType::Date32
        | ArrowType::Decimal128(..) => data_type.clone(),
        ArrowType::Int8 | ArrowType::Int16 | ArrowType::UInt8 | ArrowType::UInt16 => ArrowType::Int32,
        ArrowType::UInt32 | ArrowType::UInt64 => ArrowType::Int64,
        ArrowType::Float16 => ArrowType::Float32,
        ArrowType::Date64 => ArrowType::Date32,
        ArrowType::Decimal32(precision, scale) | ArrowType::Decimal64(precision, scale) => {
            ArrowType::Decimal128(*precision, *scale)
        }
        ArrowType::Timestamp(..) => ArrowType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
        ArrowType::Dictionary(_, values) => file_type(values)?,
        ArrowType::List(item)
        | ArrowType::LargeList(item)
        | ArrowType::ListView(item)
        | ArrowType::FixedSizeList(item, _) => {
            ArrowType::List(Arc::new(Field::new("element", file_type(item.data_type())?, true)))
        }
        ArrowType::Map(entries, _) => {
            let ArrowType::Struct(fields) = entries.data_type() else { return None };
            let (key, value) = (fields.first()?, fields.get(1)?);
            let fields = Fields::from(vec![
                Field::new("key", file_type(key.data_type())?, false),
                Field::new("value", file_type(value.data_type())?, true),
            ]);
            ArrowType::Map(Arc::new(Field::new("key_value", ArrowType::Struct(fields), false)), false)
        }
        ArrowType::Struct(fields) if !fields.is_empty() => {
            let field = |field: &FieldRef| {
                Some(Field::new(field.name().as_str(), file_type(field.data_type())?, true))
            };
            ArrowType::Struct(fields.iter().map(field).collect::<Option<Vec<_>>>()?.into())
        }
        _ => return None,
    })
}

fn as_file_type(array: &ArrayRef, data_type: &ArrowType) -> Result<ArrayRef, ArrowError> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&in_millis(array), data_type, &exact)
}

/// Finer times floored to milliseconds: a cast would round those before 1970 up.
fn in_millis(array: &ArrayRef) -> ArrayRef {
    let floored = |times: TimestampMillisecondArray| Arc::new(times) as ArrayRef;
    match array.data_type() {
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => floored(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .unary::<_, TimestampMillisecondType>(|micros| micros.div_euclid(1000)),
        ),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => floored(
            array
                .as_primitive::<TimestampNanosecondType>()
                .unary::<_, TimestampMillisecondType>(|nanos| nanos.div_euclid(1_000_000)),
        ),
        _ => array.clone(),
    }
}

/// What JSON rows say in their `_weir` member, as one column of rows.
fn meta_column(rows: &SinkRows) -> Result<(FieldRef, ArrayRef), ConnectError> {
    let (meta, count) = (&rows.meta, rows.columns.num_rows());
    let text = |text: &str| Arc::new(StringArray::from_iter_values(vec![text; count])) as ArrayRef;
    let number = |number: u64| Arc::new(Int64Array::from(vec![number as i64; count])) as ArrayRef;
    let mut members: Vec<(FieldRef, ArrayRef)> = Vec::new();
    let mut add = |name: &str, array: ArrayRef| {
        members.push((Arc::new(Field::new(name, array.data_type().clone(), true)), array));
    };
    add("job", text(&meta.job));
    add("version", Arc::new(Int32Array::from(vec![meta.version as i32; count])));
    if let Some(key) = meta.keys.as_ref().filter(|keys| keys.num_columns() > 0) {
        let fields = key.schema_ref().fields().iter().zip(key.columns());
        let columns = fields.map(|(field, array)| column(field.name(), array));
        let columns: Vec<_> = columns.collect::<Result<_, ConnectError>>()?;
        add("key", Arc::new(StructArray::from(columns)));
    }
    add("window", windows(&meta.windows, count));
    let positions = (0..count).map(|row| meta.identities.get(row).map(String::as_str));
    add("position", Arc::new(positions.collect::<StringArray>()));
    add("revision", number(meta.revision));
    add("op", text(&meta.op.to_string()));
    add("epoch", number(meta.epoch));
    add("definition", text(&meta.definition));
    let array = Arc::new(StructArray::from(members));
    Ok((Arc::new(Field::new(META, array.data_type().clone(), true)), array))
}

/// The windows of so many rows; null where rows have none.
fn windows(windows: &[(i64, i64)], count: usize) -> ArrayRef {
    let time = ArrowType::Timestamp(TimeUnit::Millisecond, Some(UTC.into()));
    let fields = Fields::from(vec![Field::new("start", time.clone(), true), Field::new("end", time, true)]);
    let bounds = |bound: fn(&(i64, i64)) -> i64| {
        let times = (0..count).map(|row| windows.get(row).map(bound));
        let times: Int64Array = times.collect();
        let times = times.reinterpret_cast::<TimestampMillisecondType>();
        Arc::new(times.with_timezone(UTC)) as ArrayRef
    };
    let nulls: NullBuffer = (0..count).map(|row| row < windows.len()).collect::<Vec<_>>().into();
    let columns = vec![bounds(|window| window.0), bounds(|window| window.1)];
    Arc::new(StructArray::new(fields, columns, Some(nulls)))
}
