//! Failed results: what a dead letter says of a result of which some value is an error.
//!
//! Knows how a key and a window are written. Must not know where letters go.

use crate::keyed::emit::StageRows;
use crate::keyed::outputs::FailedOutput;
use crate::letter::{EventPlace, FailedResult, FailedWindow};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_event::EventTime;
use weir_plan::Output;

/// One entry per result that failed, with all its columns.
pub(crate) fn failed_results(
    output: &Output,
    stage: &StageRows,
    key_names: &[String],
    failed: Vec<FailedOutput>,
) -> Vec<FailedResult> {
    let mut by_row: BTreeMap<u32, FailedResult> = BTreeMap::new();
    for FailedOutput { row, column, reason } in failed {
        let of_row = by_row.entry(row).or_insert_with(|| described(stage, key_names, row as usize, reason));
        of_row.columns.extend(column.map(|column| output.columns[column].name.clone()));
    }
    by_row.into_values().collect()
}

fn described(stage: &StageRows, key_names: &[String], row: usize, reason: String) -> FailedResult {
    let time = |millis| EventTime::from_millis(millis).to_string();
    let keys = key_names.iter().zip(stage.batch.columns());
    FailedResult {
        key: keys.map(|(name, column)| (name.clone(), key_value(column, row))).collect(),
        window: stage
            .windows
            .get(row)
            .map(|(start, end)| FailedWindow { start: time(*start), end: time(*end) }),
        event: stage
            .events
            .get(row)
            .map(|(_, rank)| EventPlace { partition: rank.partition, offset: rank.record() }),
        columns: Vec::new(),
        reason,
    }
}

fn key_value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            let millis = column.as_primitive::<arrow_array::types::TimestampMillisecondType>().value(row);
            json!(EventTime::from_millis(millis).to_string())
        }
        // What cannot be shown is not worth losing the letter for.
        _ => json!(array_value_to_string(column, row).unwrap_or_default()),
    }
}
