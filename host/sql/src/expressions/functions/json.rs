//! Values out of JSON text: `JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS`, `j -> 'a'` and `j ->> 'a'`.
//!
//! Text that is not JSON, or has no such value, gives null: as in Flink without an ON ERROR. Must not know how a query
//! spells a path.

use super::json_path::{JsonPath, unescaped};
use super::{BatchCall, Own, is_text};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, StringArray, StringViewArray};
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result};
use std::borrow::Cow;
use std::sync::Arc;

/// Those whose values are JSON and not text, in the layout that JSON has: see `weir_event::DataType::to_arrow`.
pub(in crate::expressions) const JSON_VALUED: [&str; 2] = ["json_member", "json_query"];

pub(super) const FUNCTIONS: [Own; 5] = [
    Own {
        name: "json_value",
        told: Some((
            "JSON_VALUE(j, '$.a.b[0]' [RETURNING type])",
            "the number, text or boolean at a path; null where there is none, or where it is not of that type",
        )),
        takes: "a JSON text and a constant path",
        arguments: json_and_path,
        result: |_, _| Ok(DataType::Utf8View),
        call: |call| texts::<StringViewArray>(call, scalar),
    },
    Own {
        name: JSON_VALUED[1],
        told: Some((
            "JSON_QUERY(j, '$.a')",
            "the object or list at a path, as JSON; null where there is none",
        )),
        takes: "a JSON text and a constant path",
        arguments: json_and_path,
        result: |_, _| Ok(DataType::Utf8),
        call: |call| {
            texts::<StringArray>(call, |found| found.starts_with(['{', '[']).then_some(Cow::Borrowed(found)))
        },
    },
    Own {
        name: JSON_VALUED[0],
        told: Some((
            "j -> 'name', j -> 0",
            "a member of a JSON object, or an item of a JSON list counted from 0, as JSON",
        )),
        takes: "a JSON text and a constant path",
        arguments: json_and_path,
        result: |_, _| Ok(DataType::Utf8),
        call: |call| texts::<StringArray>(call, |found| Some(Cow::Borrowed(found))),
    },
    Own {
        name: "json_text",
        told: Some((
            "j ->> 'name', j ->> 0",
            "a member of a JSON object, or an item of a JSON list counted from 0, as text",
        )),
        takes: "a JSON text and a constant path",
        arguments: json_and_path,
        result: |_, _| Ok(DataType::Utf8View),
        call: |call| {
            texts::<StringViewArray>(call, |found| {
                scalar(found).or((found != "null").then_some(Cow::Borrowed(found)))
            })
        },
    },
    Own {
        name: "json_exists",
        told: Some(("JSON_EXISTS(j, '$.a')", "whether there is a value at a path")),
        takes: "a JSON text and a constant path",
        arguments: json_and_path,
        result: |_, _| Ok(DataType::Boolean),
        call: |call| {
            let (path, jsons) = (path(call)?, call.array(0)?);
            let found: BooleanArray = jsons
                .as_string_view()
                .iter()
                .map(|json| json.map(|json| path.find(json).is_some()))
                .collect();
            Ok(Arc::new(found))
        },
    },
];

fn json_and_path(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [json, path] if is_text(json) && is_text(path) => Some(vec![DataType::Utf8View, DataType::Utf8]),
        _ => None,
    }
}

fn path(call: &BatchCall<'_>) -> Result<JsonPath> {
    JsonPath::read(call.text(1)?).map_err(DataFusionError::Execution)
}

fn texts<A>(call: &BatchCall<'_>, text: impl Fn(&str) -> Option<Cow<'_, str>>) -> Result<ArrayRef>
where
    A: Array + for<'t> FromIterator<Option<Cow<'t, str>>> + 'static,
{
    let (path, jsons) = (path(call)?, call.array(0)?);
    let found: A =
        jsons.as_string_view().iter().map(|json| json.and_then(|json| text(path.find(json)?))).collect();
    Ok(Arc::new(found))
}

/// A value that is neither a list nor an object, as text without quotes.
fn scalar(found: &str) -> Option<Cow<'_, str>> {
    match found.as_bytes().first()? {
        b'{' | b'[' | b'n' => None,
        b'"' if found.contains('\\') => unescaped(found).map(Cow::Owned),
        b'"' => Some(Cow::Borrowed(&found[1..found.len() - 1])),
        _ => Some(Cow::Borrowed(found)),
    }
}
