//! Failed results: what a dead letter says of a result of which some value is an error.
//!
//! Knows how a key and a window are written. Must not know where letters go.

use crate::keyed::emit::StageRows;
use crate::keyed::outputs::FailedOutput;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use weir_event::{EventTime, PartitionId};
use weir_plan::Output;

/// A result of which some value is an error, by what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedResult {
    /// The columns of its key.
    pub key: Map<String, Value>,
    /// Its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<FailedWindow>,
    /// Of `OVER`: where its event stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventPlace>,
    /// The columns that are null for it; none where HAVING has no value, so that the result has no row.
    pub columns: Vec<String>,
    /// Why, of the first of them.
    #[serde(skip)]
    pub reason: String,
}

/// Bounds of a window as RFC 3339 texts; the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedWindow {
    /// Its first moment.
    pub start: String,
    /// The moment behind its last.
    pub end: String,
}

/// Where an event stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventPlace {
    /// The partition.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: u64,
}

impl fmt::Display for FailedResult {
    /// Its key, then the window or event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(self.key.clone()))?;
        if let Some(window) = &self.window {
            write!(f, " {} to {}", window.start, window.end)?;
        }
        if let Some(place) = self.event {
            write!(f, " at {}:{}", place.partition, place.offset)?;
        }
        Ok(())
    }
}

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
