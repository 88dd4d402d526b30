//! `SPLIT_INDEX(text, separator, i)`: the part of a text between separators, counted from 0.
//!
//! Knows text. Must not know a query.

use super::{Own, is_text, is_whole};
use arrow_array::StringViewArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use std::sync::Arc;

pub(super) const FUNCTIONS: [Own; 1] = [Own {
    name: "split_index",
    told: Some((
        "SPLIT_INDEX(text, separator, n)",
        "the part of a text between separators, counted from 0; null where there are fewer",
    )),
    takes: "a text, a separator and a position counted from 0",
    arguments: |given| match given {
        [text, separator, position] if is_text(text) && is_text(separator) && is_whole(position) => {
            Some(vec![DataType::Utf8View, DataType::Utf8View, DataType::Int64])
        }
        _ => None,
    },
    result: |_, _| Ok(DataType::Utf8View),
    call: |call| {
        let (texts, separators, positions) = (call.array(0)?, call.array(1)?, call.array(2)?);
        let rows = texts.as_string_view().iter().zip(separators.as_string_view().iter());
        let parts: StringViewArray = rows
            .zip(positions.as_primitive::<Int64Type>().iter())
            .map(|((text, separator), position)| split(text?, separator?, position?))
            .collect();
        Ok(Arc::new(parts))
    },
}];

/// Null where there are fewer parts, as in Flink.
fn split<'t>(text: &'t str, separator: &str, position: i64) -> Option<&'t str> {
    let position = usize::try_from(position).ok()?;
    if separator.is_empty() {
        return (position == 0).then_some(text);
    }
    text.split(separator).nth(position)
}
