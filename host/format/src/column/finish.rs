//! Columns become arrays.

use super::{Column, Values};
use arrow_array::types::{BinaryViewType, StringViewType};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    ListArray, MapArray, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType as ArrowType};
use std::sync::Arc;
use weir_event::DataType;

impl Column {
    /// The Arrow array; `block` is the bytes that every borrowed value is a part of.
    pub(crate) fn finish(mut self, block: &Buffer) -> Result<ArrayRef, ArrowError> {
        let rows = self.len();
        let nulls = self.valid.finish();
        Ok(match self.values {
            Values::Views(views) if self.data_type == DataType::Bytes => {
                Arc::new(views.finish::<BinaryViewType>(block, nulls)?)
            }
            Values::Views(views) => Arc::new(views.finish::<StringViewType>(block, nulls)?),
            Values::Int64(values) if self.data_type == DataType::Timestamp => {
                Arc::new(TimestampMillisecondArray::try_new(values.into(), nulls)?)
            }
            Values::Int64(values) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
            Values::Json { ends, text } => {
                Arc::new(StringArray::try_new(offsets(ends), Buffer::from(text), nulls)?)
            }
            Values::Decimal(of, values) => {
                let decimals = Decimal128Array::try_new(values.into(), nulls)?;
                Arc::new(decimals.with_precision_and_scale(of.precision(), of.scale() as i8)?)
            }
            Values::Int32(values) if self.data_type == DataType::Date => {
                Arc::new(Date32Array::try_new(values.into(), nulls)?)
            }
            Values::Int32(values) => Arc::new(Int32Array::try_new(values.into(), nulls)?),
            Values::Float64(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Float32(values) => Arc::new(Float32Array::try_new(values.into(), nulls)?),
            Values::Boolean(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::List { ends, items } => {
                let ArrowType::List(field) = self.data_type.to_arrow() else {
                    return Err(ArrowError::SchemaError("a list's type is not a list".to_owned()));
                };
                Arc::new(ListArray::try_new(field, offsets(ends), items.finish(block)?, nulls)?)
            }
            Values::Map { ends, keys, values } => {
                let ArrowType::Map(field, sorted) = self.data_type.to_arrow() else {
                    return Err(ArrowError::SchemaError("a map's type is not a map".to_owned()));
                };
                let ArrowType::Struct(parts) = field.data_type().clone() else {
                    return Err(ArrowError::SchemaError("a map's entries are no record".to_owned()));
                };
                let columns = vec![keys.finish(block)?, values.finish(block)?];
                let entries = StructArray::try_new(parts, columns, None)?;
                Arc::new(MapArray::try_new(field, offsets(ends), entries, nulls, sorted)?)
            }
            Values::Row(children) => {
                let ArrowType::Struct(fields) = self.data_type.to_arrow() else {
                    return Err(ArrowError::SchemaError("a record's type is not a record".to_owned()));
                };
                let columns =
                    children.into_iter().map(|child| child.finish(block)).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields, columns, nulls, rows)?)
            }
        })
    }
}

/// Rising by construction, from 0.
fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}
