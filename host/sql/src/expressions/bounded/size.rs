//! How many bytes a value takes.

use super::VALUE_LIMIT_BYTES;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::DataType;
use datafusion_common::Result;

/// What an item of a list takes beside its bytes, so that a list of nothing is not for nothing.
const ITEM_BYTES: u64 = 4;

/// Whether all values of a type take the same, few bytes.
pub(super) fn is_fixed(data_type: &DataType) -> bool {
    data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Null)
}

/// The bytes of the largest value.
pub(super) fn largest(array: &ArrayRef) -> Result<u64> {
    if is_fixed(array.data_type()) || is_small(array) {
        return Ok(0);
    }
    Ok(sizes(array)?.into_iter().max().unwrap_or(0))
}

/// Whether even all values together are within the limit, as far as that is known without looking at each.
fn is_small(array: &ArrayRef) -> bool {
    array.get_buffer_memory_size() as u64 <= VALUE_LIMIT_BYTES / 2
}

/// The bytes of each value; none for a null.
pub(super) fn sizes(array: &ArrayRef) -> Result<Vec<u64>> {
    let rows = array.len();
    Ok(match array.data_type() {
        DataType::Utf8 => lengths(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => lengths(array.as_string::<i64>().iter()),
        DataType::Utf8View => lengths(array.as_string_view().iter()),
        DataType::Binary => lengths(array.as_binary::<i32>().iter()),
        DataType::LargeBinary => lengths(array.as_binary::<i64>().iter()),
        DataType::BinaryView => lengths(array.as_binary_view().iter()),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let bounds = list.offsets().windows(2).map(|pair| (pair[0] as usize, pair[1] as usize));
            spans(array, bounds, list.values())?
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let bounds = list.offsets().windows(2).map(|pair| (pair[0] as usize, pair[1] as usize));
            spans(array, bounds, list.values())?
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let bounds = map.offsets().windows(2).map(|pair| (pair[0] as usize, pair[1] as usize));
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            spans(array, bounds, &entries)?
        }
        DataType::FixedSizeList(_, size) => {
            let size = *size as usize;
            spans(
                array,
                (0..rows).map(|row| (row * size, (row + 1) * size)),
                array.as_fixed_size_list().values(),
            )?
        }
        DataType::Struct(_) => {
            let mut total = vec![0; rows];
            for column in array.as_struct().columns() {
                total.iter_mut().zip(sizes(column)?).for_each(|(total, own)| *total += own);
            }
            total
        }
        DataType::Dictionary(_, value) => sizes(&cast(array, value)?)?,
        fixed => vec![fixed.primitive_width().unwrap_or(1) as u64; rows],
    })
}

fn lengths<B: AsRef<[u8]>>(values: impl Iterator<Item = Option<B>>) -> Vec<u64> {
    values.map(|value| value.map_or(0, |value| value.as_ref().len() as u64)).collect()
}

/// Sums over the items of lists, each from one bound to the other.
fn spans(
    lists: &ArrayRef,
    bounds: impl Iterator<Item = (usize, usize)>,
    items: &ArrayRef,
) -> Result<Vec<u64>> {
    let mut up_to = Vec::with_capacity(items.len() + 1);
    let mut sum = 0;
    up_to.push(sum);
    for size in sizes(items)? {
        sum += size + ITEM_BYTES;
        up_to.push(sum);
    }
    let of_row = |(row, (start, end)): (usize, (usize, usize))| {
        if lists.is_null(row) { 0 } else { up_to[end] - up_to[start] }
    };
    Ok(bounds.enumerate().map(of_row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, ListArray, StringArray, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn texts_and_lists_are_measured_by_value() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None, Some("äöü")]));
        assert_eq!(sizes(&texts).unwrap(), [3, 0, 6]);
        let long = "x".repeat(2 << 20);
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["short", &long]));
        assert_eq!(largest(&views).unwrap(), 2 << 20);
        let lists = [Some(vec![Some(1), None]), None, Some(vec![])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        assert_eq!(sizes(&lists.slice(0, 3)).unwrap(), [24, 0, 0]);
        assert_eq!(sizes(&lists.slice(1, 2)).unwrap(), [0, 0]);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; 1 << 20]));
        assert_eq!(largest(&numbers).unwrap(), 0);
    }
}
