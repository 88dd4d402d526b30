//! A column in a block: whether it has nulls (1 byte), then a bit per value if it has, then its values by type. Numbers
//! and times: as they lie in memory, little endian; booleans: a bit each; texts and bytes: the length of each (4 bytes),
//! then all of them end to end; lists and maps: the length of each (4 bytes), then a column of all items; rows: a column
//! per field.

use super::damaged;
use super::reader::Reader;
use crate::error::CoreError;
use arrow_array::builder::{BinaryViewBuilder, GenericByteViewBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::ByteViewType;
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, NullArray,
    PrimitiveArray, StringArray, StructArray, downcast_primitive,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer, ToByteSlice};
use arrow_schema::{ArrowError, DataType};
use std::ops::Range;
use std::sync::Arc;

const _: () = assert!(cfg!(target_endian = "little"), "blocks hold numbers as they lie in memory");

/// Appends some rows of a column.
pub(super) fn put(array: &ArrayRef, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), CoreError> {
    let array = array.slice(rows.start, rows.len());
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            out.push(1);
            put_bits(nulls.inner(), out);
        }
        None => out.push(0),
    }
    put_values(&array, out)
}

fn put_values(array: &ArrayRef, out: &mut Vec<u8>) -> Result<(), CoreError> {
    macro_rules! numbers {
        ($type:ty) => {
            put_numbers::<$type>(array, out)
        };
    }
    let all = 0..array.len();
    downcast_primitive! {
        array.data_type() => (numbers),
        DataType::Null => {}
        DataType::Boolean => put_bits(array.as_boolean().values(), out),
        DataType::Utf8View => {
            let texts = array.as_string_view();
            put_bytes(all.map(|row| if texts.is_valid(row) { texts.value(row).as_bytes() } else { &[] }), out);
        }
        DataType::BinaryView => {
            let bytes = array.as_binary_view();
            put_bytes(all.map(|row| if bytes.is_valid(row) { bytes.value(row) } else { &[] }), out);
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            put_bytes(all.map(|row| texts.value(row).as_bytes()), out);
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            put_bytes(all.map(|row| bytes.value(row)), out);
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            put(lists.values(), put_lengths(lists.offsets(), out), out)?;
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let entries: ArrayRef = Arc::new(maps.entries().clone());
            put(&entries, put_lengths(maps.offsets(), out), out)?;
        }
        DataType::Struct(_) => {
            for field in array.as_struct().columns() {
                put(field, all.clone(), out)?;
            }
        }
        other => return Err(unknown(other)),
    }
    Ok(())
}

fn unknown(data_type: &DataType) -> CoreError {
    CoreError::Plan(format!("a column of type {data_type} cannot be sent from an intake to a keyed stage"))
}

fn put_numbers<T: ArrowPrimitiveType>(array: &ArrayRef, out: &mut Vec<u8>) {
    out.extend_from_slice(array.as_primitive::<T>().values().to_byte_slice());
}

fn put_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    // The first bit of what is sliced may lie within a byte.
    out.extend_from_slice(&bits.sliced().as_slice()[..bits.len().div_ceil(8)]);
}

fn put_bytes<'a>(values: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
    values.clone().for_each(|value| out.extend_from_slice(&(value.len() as u32).to_le_bytes()));
    values.for_each(|value| out.extend_from_slice(value));
}

/// Appends the length of each list; returns which items they hold.
fn put_lengths(offsets: &OffsetBuffer<i32>, out: &mut Vec<u8>) -> Range<usize> {
    offsets.lengths().for_each(|length| out.extend_from_slice(&(length as u32).to_le_bytes()));
    offsets[0] as usize..offsets[offsets.len() - 1] as usize
}

/// Reads a column of so many rows.
pub(super) fn take(
    data_type: &DataType,
    rows: usize,
    reader: &mut Reader<'_>,
) -> Result<ArrayRef, CoreError> {
    let nulls = match reader.byte()? {
        0 => None,
        1 => Some(NullBuffer::new(take_bits(rows, reader)?)),
        _ => return Err(damaged("not read: a column has neither nulls nor none")),
    };
    macro_rules! numbers {
        ($type:ty) => {
            take_numbers::<$type>(data_type, rows, nulls, reader)
        };
    }
    downcast_primitive! {
        data_type => (numbers),
        DataType::Null => Ok(Arc::new(NullArray::new(rows))),
        DataType::Boolean => Ok(Arc::new(BooleanArray::new(take_bits(rows, reader)?, nulls))),
        DataType::Utf8View => take_views(StringViewBuilder::new(), rows, nulls.as_ref(), reader),
        DataType::BinaryView => take_views(BinaryViewBuilder::new(), rows, nulls.as_ref(), reader),
        DataType::Utf8 => {
            let (ends, bytes) = take_bytes(rows, reader)?;
            Ok(Arc::new(StringArray::try_new(ends, bytes, nulls).map_err(unread)?))
        }
        DataType::Binary => {
            let (ends, bytes) = take_bytes(rows, reader)?;
            Ok(Arc::new(BinaryArray::try_new(ends, bytes, nulls).map_err(unread)?))
        }
        DataType::List(item) => {
            let (ends, items) = take_ends(rows, reader)?;
            let items = take(item.data_type(), items, reader)?;
            Ok(Arc::new(ListArray::try_new(item.clone(), ends, items, nulls).map_err(unread)?))
        }
        DataType::Map(entry, is_sorted) => {
            let (ends, entries) = take_ends(rows, reader)?;
            let entries = take(entry.data_type(), entries, reader)?;
            let entries = entries.as_struct().clone();
            let maps = MapArray::try_new(entry.clone(), ends, entries, nulls, *is_sorted);
            Ok(Arc::new(maps.map_err(unread)?))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| take(field.data_type(), rows, reader));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let rows = StructArray::try_new_with_length(fields.clone(), columns, nulls, rows);
            Ok(Arc::new(rows.map_err(unread)?))
        }
        other => Err(unknown(other)),
    }
}

fn unread(error: ArrowError) -> CoreError {
    damaged(&format!("not read: {error}"))
}

fn take_numbers<T: ArrowPrimitiveType>(
    data_type: &DataType,
    rows: usize,
    nulls: Option<NullBuffer>,
    reader: &mut Reader<'_>,
) -> Result<ArrayRef, CoreError> {
    let width = size_of::<T::Native>();
    let values = Buffer::from(reader.bytes(rows.saturating_mul(width))?);
    let values = ScalarBuffer::<T::Native>::new(values, 0, rows);
    let array = PrimitiveArray::<T>::try_new(values, nulls).map_err(unread)?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

fn take_bits(count: usize, reader: &mut Reader<'_>) -> Result<BooleanBuffer, CoreError> {
    Ok(BooleanBuffer::new(Buffer::from(reader.bytes(count.div_ceil(8))?), 0, count))
}

fn take_bytes(rows: usize, reader: &mut Reader<'_>) -> Result<(OffsetBuffer<i32>, Buffer), CoreError> {
    let (ends, bytes) = take_ends(rows, reader)?;
    Ok((ends, Buffer::from(reader.bytes(bytes)?)))
}

/// Where each of so many lists ends among the items, and how many items there are.
fn take_ends(rows: usize, reader: &mut Reader<'_>) -> Result<(OffsetBuffer<i32>, usize), CoreError> {
    let lengths = reader.lengths(rows)?;
    let items: usize = lengths.iter().sum();
    if i32::try_from(items).is_err() {
        return Err(damaged("not read: its lists are too long"));
    }
    Ok((OffsetBuffer::from_lengths(lengths), items))
}

/// Texts or bytes as views of one copy.
fn take_views<T: ByteViewType + ?Sized>(
    mut builder: GenericByteViewBuilder<T>,
    rows: usize,
    nulls: Option<&NullBuffer>,
    reader: &mut Reader<'_>,
) -> Result<ArrayRef, CoreError> {
    let (ends, bytes) = take_bytes(rows, reader)?;
    let block = builder.append_block(bytes);
    for row in 0..rows {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            builder.append_null();
        } else {
            let (start, end) = (ends[row] as u32, ends[row + 1] as u32);
            builder.try_append_view(block, start, end - start).map_err(unread)?;
        }
    }
    Ok(Arc::new(builder.finish()))
}
