//! Projection: WHERE, then the expressions that the stage needs, over whole batches.
//!
//! A row on which an expression fails alone (division by zero, a failed CAST, a plugin that traps) is a dead
//! letter: the batch is halved until the guilty rows are found, so a verdict never depends on batching.

use crate::admit::Rows;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use std::sync::Arc;
use weir_event::PartitionId;
use weir_plan::{Expression, ExpressionError, Output};

/// Rows with the columns that the stage (or the output) reads.
#[derive(Debug, Clone)]
pub(crate) struct Projected {
    pub(crate) partition: PartitionId,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) times: Vec<i64>,
    pub(crate) offsets: Vec<u64>,
}

impl Projected {
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// As a batch of the projection's schema.
    pub(crate) fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch, ExpressionError> {
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(self.rows()));
        RecordBatch::try_new_with_options(schema.clone(), self.columns.clone(), &options)
            .map_err(|error| ExpressionError::Broken(error.to_string()))
    }
}

/// A row that an expression has no value for.
#[derive(Debug)]
pub(crate) struct FailedRow {
    pub(crate) offset: u64,
    pub(crate) record: u32,
    pub(crate) reason: String,
}

/// Applies the filter and the expressions. Rows that fail alone are left out and returned beside.
pub(crate) fn project<E: AsRef<dyn Expression>>(
    filter: Option<&Arc<dyn Expression>>,
    expressions: &[E],
    rows: Rows,
) -> Result<(Projected, Vec<FailedRow>), ExpressionError> {
    match attempt(filter, expressions, &rows) {
        Ok(projected) => Ok((projected, Vec::new())),
        Err(ExpressionError::Broken(reason)) => Err(ExpressionError::Broken(reason)),
        Err(ExpressionError::Rows(_)) => {
            let (mut good, mut failed) = (Vec::new(), Vec::new());
            bisect(filter, expressions, &rows, &mut good, &mut failed)?;
            Ok((join(expressions, rows.partition, good)?, failed))
        }
    }
}

fn attempt<E: AsRef<dyn Expression>>(
    filter: Option<&Arc<dyn Expression>>,
    expressions: &[E],
    rows: &Rows,
) -> Result<Projected, ExpressionError> {
    let mut batch = rows.columns.clone();
    let (mut times, mut offsets) = (rows.times.clone(), rows.offsets.clone());
    if let Some(filter) = filter {
        let mask = filter.evaluate(&batch)?;
        let mask = mask.as_boolean();
        if mask.true_count() < batch.num_rows() {
            batch = filter_record_batch(&batch, mask)
                .map_err(|error| ExpressionError::Broken(error.to_string()))?;
            let kept = |row: usize| mask.is_valid_and_true(row);
            times = (0..times.len()).filter(|row| kept(*row)).map(|row| times[row]).collect();
            offsets = (0..offsets.len()).filter(|row| kept(*row)).map(|row| offsets[row]).collect();
        }
    }
    Ok(Projected { partition: rows.partition, columns: evaluate(expressions, &batch)?, times, offsets })
}

fn evaluate<E: AsRef<dyn Expression>>(
    expressions: &[E],
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>, ExpressionError> {
    let value = |expression: &dyn Expression| match expression.as_column() {
        Some(column) => Ok(batch.column(column).clone()),
        None => expression.evaluate(batch),
    };
    expressions.iter().map(|expression| value(expression.as_ref())).collect()
}

/// Whether a mask's row is true, nulls being not true.
trait Mask {
    fn is_valid_and_true(&self, row: usize) -> bool;
}

impl Mask for arrow_array::BooleanArray {
    fn is_valid_and_true(&self, row: usize) -> bool {
        self.is_valid(row) && self.value(row)
    }
}

fn bisect<E: AsRef<dyn Expression>>(
    filter: Option<&Arc<dyn Expression>>,
    expressions: &[E],
    rows: &Rows,
    good: &mut Vec<Projected>,
    failed: &mut Vec<FailedRow>,
) -> Result<(), ExpressionError> {
    match attempt(filter, expressions, rows) {
        Ok(projected) => good.push(projected),
        Err(ExpressionError::Broken(reason)) => return Err(ExpressionError::Broken(reason)),
        Err(ExpressionError::Rows(reason)) if rows.times.len() == 1 => {
            failed.push(FailedRow { offset: rows.offsets[0], record: rows.records[0], reason });
        }
        Err(ExpressionError::Rows(_)) => {
            let middle = rows.times.len() / 2;
            for half in [slice(rows, 0, middle), slice(rows, middle, rows.times.len() - middle)] {
                bisect(filter, expressions, &half, good, failed)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn slice(rows: &Rows, start: usize, length: usize) -> Rows {
    Rows {
        partition: rows.partition,
        columns: rows.columns.slice(start, length),
        times: rows.times[start..start + length].to_vec(),
        offsets: rows.offsets[start..start + length].to_vec(),
        records: rows.records[start..start + length].to_vec(),
    }
}

fn join<E: AsRef<dyn Expression>>(
    expressions: &[E],
    partition: PartitionId,
    parts: Vec<Projected>,
) -> Result<Projected, ExpressionError> {
    let column = |index: usize| -> Result<ArrayRef, ExpressionError> {
        if parts.is_empty() {
            return Ok(arrow_array::new_empty_array(expressions[index].as_ref().data_type()));
        }
        let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.columns[index].as_ref()).collect();
        concat(&arrays).map_err(|error| ExpressionError::Broken(error.to_string()))
    };
    Ok(Projected {
        partition,
        columns: (0..expressions.len()).map(column).collect::<Result<_, _>>()?,
        times: parts.iter().flat_map(|part| part.times.iter().copied()).collect(),
        offsets: parts.iter().flat_map(|part| part.offsets.iter().copied()).collect(),
    })
}

/// Result columns of some rows.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) columns: RecordBatch,
    /// Which rows they are of; `None` is all.
    pub(crate) kept: Option<Vec<u32>>,
    /// Rows that failed, with the reasons.
    pub(crate) failed: Vec<(u32, String)>,
}

/// Evaluates HAVING and the result columns over a batch: rows for which one fails are left out.
pub(crate) fn evaluate_output(output: &Output, batch: &RecordBatch) -> Result<Evaluated, ExpressionError> {
    match evaluate_all(output, batch) {
        Err(ExpressionError::Rows(_)) => evaluate_by_row(output, batch),
        done => done,
    }
}

fn evaluate_all(output: &Output, batch: &RecordBatch) -> Result<Evaluated, ExpressionError> {
    let mask = output.filter.as_ref().map(|filter| filter.evaluate(batch)).transpose()?;
    let mask = mask.as_ref().map(AsArray::as_boolean).filter(|mask| mask.true_count() < batch.num_rows());
    let Some(mask) = mask else {
        let columns = result_batch(output, evaluate(&output.columns, batch)?, batch.num_rows())?;
        return Ok(Evaluated { columns, kept: None, failed: Vec::new() });
    };
    let kept: Vec<u32> = (0..mask.len() as u32).filter(|row| mask.is_valid_and_true(*row as usize)).collect();
    let filtered = take(batch, &kept)?;
    let columns = result_batch(output, evaluate(&output.columns, &filtered)?, kept.len())?;
    Ok(Evaluated { columns, kept: Some(kept), failed: Vec::new() })
}

fn result_batch(
    output: &Output,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, ExpressionError> {
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(output.schema.clone(), columns, &options)
        .map_err(|error| ExpressionError::Broken(error.to_string()))
}

fn evaluate_by_row(output: &Output, batch: &RecordBatch) -> Result<Evaluated, ExpressionError> {
    // The row's index rides in place of its record, so that the kept rows can be named afterwards.
    let rows = Rows {
        partition: PartitionId::default(),
        columns: batch.clone(),
        times: vec![0; batch.num_rows()],
        offsets: (0..batch.num_rows() as u64).collect(),
        records: (0..batch.num_rows() as u32).collect(),
    };
    let (projected, failed) = project(output.filter.as_ref(), &output.columns, rows)?;
    Ok(Evaluated {
        columns: projected.batch(&output.schema)?,
        kept: Some(projected.offsets.iter().map(|row| *row as u32).collect()),
        failed: failed.into_iter().map(|row| (row.record, row.reason)).collect(),
    })
}

/// The rows of a batch at these indices.
pub(crate) fn take(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, ExpressionError> {
    take_record_batch(batch, &UInt32Array::from(rows.to_vec()))
        .map_err(|error| ExpressionError::Broken(error.to_string()))
}
