//! Columns handed in as they are, by whoever has an Arrow batch and no bytes to decode.

use crate::error::CoreError;
use crate::intake::steps::Steps;
use crate::intake::{Intake, not_of_the_plan};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use std::sync::Arc;
use weir_connect::{BadRow, Decoded, Framing, KnownTimes, RawBlock};
use weir_event::{PartitionId, Position};
use weir_plan::StreamInput;

impl Intake {
    /// Takes rows of a partition's log, whose offsets rise strictly. The stream's columns are found by their names, and
    /// those that the job does not read are not looked at. A row without event time is a dead letter.
    pub fn columns(
        &mut self,
        partition: PartitionId,
        offsets: &[u64],
        known: KnownTimes,
        columns: &RecordBatch,
    ) -> Result<Steps, CoreError> {
        let count_fits = |count: usize| count == columns.num_rows();
        let known_fits = if let KnownTimes::Each(times) = &known { count_fits(times.len()) } else { true };
        if !count_fits(offsets.len()) || !known_fits || !offsets.is_sorted_by(|one, next| one < next) {
            return Err(CoreError::Input(format!(
                "partition {partition}: {} rows need as many offsets, rising strictly, and as many known times or none",
                columns.num_rows()
            )));
        }
        if offsets.is_empty() {
            return Ok(Steps::default());
        }
        let input = self.plan.input_of(partition).ok_or_else(|| not_of_the_plan(partition))?;
        let decoded = decoded(input, offsets, columns)?;
        let block = RawBlock {
            partition,
            data: Bytes::new(),
            framing: Framing::Records { ends: vec![0; offsets.len()], offsets: offsets.to_vec() },
            known,
            next: Position { next: offsets.last().map_or(0, |last| last + 1), place: String::new() },
            refused: Vec::new(),
        };
        self.block(&block, &decoded)
    }
}

/// The columns as a decoder of the plan would have made them.
fn decoded(input: &StreamInput, offsets: &[u64], batch: &RecordBatch) -> Result<Decoded, CoreError> {
    let fields = input.columns.iter().map(|index| &input.stream.schema.fields[*index]);
    let columns: Vec<(&str, ArrayRef)> = fields
        .map(|field| Ok((field.name.as_str(), column(batch, &field.name, &field.data_type.to_arrow())?)))
        .collect::<Result<_, CoreError>>()?;
    let schema = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(schema.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let columns = RecordBatch::try_new_with_options(schema, arrays, &options)?;
    let times = columns.column(input.event_time);
    let records = 0..offsets.len() as u32;
    if times.null_count() == 0 {
        return Ok(Decoded {
            columns,
            offsets: offsets.to_vec(),
            records: records.collect(),
            bad: Vec::new(),
        });
    }
    let is_good = |row: &u32| times.is_valid(*row as usize);
    let good: BooleanArray = records.clone().map(|row| Some(is_good(&row))).collect();
    let name = columns.schema().field(input.event_time).name().clone();
    let bad = records.clone().filter(|row| !is_good(row)).map(|row| BadRow {
        offset: offsets[row as usize],
        reason: format!("the event time `{name}` is missing"),
        payload: Vec::new(),
        damaged: false,
    });
    let bad = bad.collect();
    let kept: Vec<u32> = records.filter(is_good).collect();
    Ok(Decoded {
        columns: filter_record_batch(&columns, &good)?,
        offsets: kept.iter().map(|row| offsets[*row as usize]).collect(),
        records: kept,
        bad,
    })
}

/// A column by name, of this type; texts and bytes may be laid out otherwise.
fn column(batch: &RecordBatch, name: &str, wanted: &DataType) -> Result<ArrayRef, CoreError> {
    let Some(column) = batch.column_by_name(name) else {
        return Err(CoreError::Input(format!("column `{name}` is not in the batch; add it")));
    };
    let found = column.data_type();
    if found == wanted {
        return Ok(column.clone());
    }
    if is_layout_of(found, wanted) {
        return Ok(cast(column, wanted)?);
    }
    Err(CoreError::Input(format!("column `{name}` has type {found}; cast it to {wanted}")))
}

fn is_layout_of(found: &DataType, wanted: &DataType) -> bool {
    match wanted {
        DataType::Utf8View => matches!(found, DataType::Utf8 | DataType::LargeUtf8),
        DataType::BinaryView => matches!(found, DataType::Binary | DataType::LargeBinary),
        _ => false,
    }
}
