//! Projection: the expressions that the stage needs, over whole batches; for a job without a stage, its result
//! columns.
//!
//! A row on which an expression fails alone (division by zero, a failed CAST, a plugin that traps) is a dead
//! letter, and none of its columns goes on.

use crate::halve::{Halved, halve};
use crate::rows::{Arrival, Rows};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat;
use arrow_select::take::take_record_batch;
use std::ops::Range;
use weir_event::PartitionId;
use weir_plan::{Expression, ExpressionError};

/// Rows with the columns that the stage (or the output) reads.
#[derive(Debug, Clone)]
pub(crate) struct Projected {
    pub(crate) partition: PartitionId,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) times: Vec<i64>,
    pub(crate) offsets: Vec<u64>,
    /// Index of each row's record in its block.
    pub(crate) records: Vec<u32>,
    pub(crate) arrival: Arrival,
}

impl Projected {
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// As rows with these columns.
    pub(crate) fn into_rows(self, schema: &SchemaRef) -> Result<Rows, ExpressionError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows()));
        let columns = RecordBatch::try_new_with_options(schema.clone(), self.columns, &options)
            .map_err(|error| ExpressionError::Broken(error.to_string()))?;
        let Projected { partition, times, offsets, records, arrival, .. } = self;
        Ok(Rows { partition, columns, times, offsets, records, arrival })
    }
}

/// A row that an expression has no value for.
#[derive(Debug)]
pub(crate) struct FailedRow {
    pub(crate) offset: u64,
    pub(crate) record: u32,
    pub(crate) reason: String,
}

/// Applies the expressions. Rows that fail alone are left out and returned beside.
pub(crate) fn project<E: AsRef<dyn Expression>>(
    expressions: &[E],
    rows: &Rows,
) -> Result<(Projected, Vec<FailedRow>), ExpressionError> {
    let Halved { parts, failed } =
        halve(rows.times.len(), |range| of_rows(attempt(expressions, rows, range)))?;
    let failed = failed.into_iter().map(|(row, reason)| FailedRow {
        offset: rows.offsets[row],
        record: rows.records[row],
        reason,
    });
    let parts = parts.into_iter().map(|(_, projected)| projected).collect();
    Ok((join(expressions, rows, parts)?, failed.collect()))
}

/// Tells what rows are to blame for from what ends the job.
pub(crate) fn of_rows<P>(outcome: Result<P, ExpressionError>) -> Result<Result<P, String>, ExpressionError> {
    match outcome {
        Ok(part) => Ok(Ok(part)),
        Err(ExpressionError::Rows(reason)) => Ok(Err(reason)),
        Err(broken @ ExpressionError::Broken(_)) => Err(broken),
    }
}

fn attempt<E: AsRef<dyn Expression>>(
    expressions: &[E],
    rows: &Rows,
    range: Range<usize>,
) -> Result<Projected, ExpressionError> {
    let batch = rows.columns.slice(range.start, range.len());
    let columns = expressions.iter().map(|expression| value(expression.as_ref(), &batch));
    Ok(Projected {
        partition: rows.partition,
        columns: columns.collect::<Result<_, _>>()?,
        times: rows.times[range.clone()].to_vec(),
        offsets: rows.offsets[range.clone()].to_vec(),
        records: rows.records[range].to_vec(),
        arrival: rows.arrival.clone(),
    })
}

/// The values of an expression, which may be a column as it is.
pub(crate) fn value(expression: &dyn Expression, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
    match expression.as_column() {
        Some(column) => Ok(batch.column(column).clone()),
        None => expression.evaluate(batch),
    }
}

fn join<E: AsRef<dyn Expression>>(
    expressions: &[E],
    rows: &Rows,
    mut parts: Vec<Projected>,
) -> Result<Projected, ExpressionError> {
    if parts.len() == 1
        && let Some(whole) = parts.pop()
    {
        return Ok(whole);
    }
    let column = |index: usize| -> Result<ArrayRef, ExpressionError> {
        if parts.is_empty() {
            return Ok(arrow_array::new_empty_array(expressions[index].as_ref().data_type()));
        }
        let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.columns[index].as_ref()).collect();
        concat(&arrays).map_err(|error| ExpressionError::Broken(error.to_string()))
    };
    Ok(Projected {
        partition: rows.partition,
        columns: (0..expressions.len()).map(column).collect::<Result<_, _>>()?,
        times: parts.iter().flat_map(|part| part.times.iter().copied()).collect(),
        offsets: parts.iter().flat_map(|part| part.offsets.iter().copied()).collect(),
        records: parts.iter().flat_map(|part| part.records.iter().copied()).collect(),
        arrival: rows.arrival.clone(),
    })
}

/// The rows of a batch at these indices.
pub(crate) fn take(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, ExpressionError> {
    take_record_batch(batch, &UInt32Array::from(rows.to_vec()))
        .map_err(|error| ExpressionError::Broken(error.to_string()))
}
