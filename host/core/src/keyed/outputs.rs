//! Results of the stage to the query's columns: HAVING, then each column by itself.
//!
//! Where a column has no value for a result (a sum that overflowed, a division by zero) it is null and the others
//! are what they are; where HAVING has none, the result has no row. Either is told. Knows no key and no window.

use crate::filter::{Filtered, Passes};
use crate::halve::{Halved, halve};
use crate::project::{of_rows, take, value};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_select::concat::concat;
use arrow_select::nullif::nullif;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_plan::{Expression, ExpressionError, Output};

/// A value of the stage's results that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedCell {
    /// The result, by position in the batch.
    pub(crate) row: u32,
    /// Its column among the stage's results.
    pub(crate) column: usize,
    pub(crate) reason: String,
}

/// Something of a result that has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailedOutput {
    /// The result, by position in the batch of the stage.
    pub(crate) row: u32,
    /// The result column that is null; `None`: HAVING, so that there is no row.
    pub(crate) column: Option<usize>,
    pub(crate) reason: String,
}

/// Result columns of some results.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) columns: RecordBatch,
    /// Which results they are of; `None` is all.
    pub(crate) kept: Option<Vec<u32>>,
    pub(crate) failed: Vec<FailedOutput>,
}

/// What HAVING is.
pub(crate) type Filter = Arc<dyn Expression>;

/// Evaluates HAVING, where it is to be asked, and the result columns over a batch of the stage's results, of which `failing` are errors.
pub(crate) fn evaluate_output(
    output: &Output,
    filter: Option<&Filter>,
    batch: &RecordBatch,
    failing: &[FailedCell],
) -> Result<Evaluated, ExpressionError> {
    let mut failed = Vec::new();
    let kept = having(filter, batch, failing, &mut failed)?;
    let of_kept = kept.as_ref().map(|kept| take(batch, kept)).transpose()?;
    let batch = of_kept.as_ref().unwrap_or(batch);
    let mut columns = Vec::with_capacity(output.columns.len());
    for (index, column) in output.columns.iter().enumerate() {
        let reads = column.expression.reads();
        let (values, mut reasons) = value_or_null(&*column.expression, batch)?;
        for cell in failing.iter().filter(|cell| reads.contains(&cell.column)) {
            let row = kept.as_ref().map_or(Ok(cell.row as usize), |kept| kept.binary_search(&cell.row));
            // A row that HAVING left out has no column.
            let Ok(row) = row else { continue };
            reasons.insert(row, cell.reason.clone());
        }
        columns.push(null_where(values, &reasons)?);
        let row = |row: usize| kept.as_ref().map_or(row as u32, |kept| kept[row]);
        failed.extend(reasons.into_iter().map(|(at, reason)| FailedOutput {
            row: row(at),
            column: Some(index),
            reason,
        }));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = RecordBatch::try_new_with_options(output.schema.clone(), columns, &options)
        .map_err(|error| ExpressionError::Broken(error.to_string()))?;
    Ok(Evaluated { columns, kept, failed })
}

/// What HAVING says of some results.
pub(crate) struct Having<'a> {
    filtered: Filtered,
    /// Those of which it reads a value that is an error.
    unknown: BTreeMap<u32, &'a str>,
}

impl<'a> Having<'a> {
    /// Over a batch of the stage's results, of which `failing` are errors; `None`: the query has none.
    pub(crate) fn of(
        filter: Option<&Filter>,
        batch: &RecordBatch,
        failing: &'a [FailedCell],
    ) -> Result<Option<Having<'a>>, ExpressionError> {
        let Some(filter) = filter else { return Ok(None) };
        let reads = filter.reads();
        let read = failing.iter().filter(|cell| reads.contains(&cell.column));
        let unknown = read.map(|cell| (cell.row, &*cell.reason)).collect();
        Ok(Some(Having { filtered: Filtered::of(Some(filter), batch)?, unknown }))
    }

    pub(crate) fn at(&self, row: u32) -> Passes<'_> {
        self.unknown.get(&row).map_or_else(|| self.filtered.at(row as usize), |reason| Passes::Fails(reason))
    }
}

/// The results for which HAVING is true; `None` for all.
fn having(
    filter: Option<&Filter>,
    batch: &RecordBatch,
    failing: &[FailedCell],
    failed: &mut Vec<FailedOutput>,
) -> Result<Option<Vec<u32>>, ExpressionError> {
    let Some(having) = Having::of(filter, batch, failing)? else { return Ok(None) };
    let mut kept = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() as u32 {
        match having.at(row) {
            Passes::Yes => kept.push(row),
            Passes::No => {}
            Passes::Fails(reason) => {
                failed.push(FailedOutput { row, column: None, reason: reason.to_owned() });
            }
        }
    }
    Ok((kept.len() < batch.num_rows()).then_some(kept))
}

/// The values of an expression, null for rows on which it fails alone, and these rows with the reasons.
pub(crate) fn value_or_null(
    expression: &dyn Expression,
    batch: &RecordBatch,
) -> Result<(ArrayRef, BTreeMap<usize, String>), ExpressionError> {
    let Halved { mut parts, failed } =
        halve(batch.num_rows(), |range| of_rows(value(expression, &batch.slice(range.start, range.len()))))?;
    if failed.is_empty()
        && parts.len() == 1
        && let Some((_, whole)) = parts.pop()
    {
        return Ok((whole, BTreeMap::new()));
    }
    let null = new_null_array(expression.data_type(), 1);
    let mut pieces: Vec<(usize, ArrayRef)> =
        parts.into_iter().map(|(range, values)| (range.start, values)).collect();
    pieces.extend(failed.iter().map(|(row, _)| (*row, null.clone())));
    pieces.sort_by_key(|(start, _)| *start);
    let pieces: Vec<&dyn Array> = pieces.iter().map(|(_, values)| &**values).collect();
    let values = if pieces.is_empty() {
        new_null_array(expression.data_type(), 0)
    } else {
        concat(&pieces).map_err(|error| ExpressionError::Broken(error.to_string()))?
    };
    Ok((values, failed.into_iter().collect()))
}

fn null_where(values: ArrayRef, rows: &BTreeMap<usize, String>) -> Result<ArrayRef, ExpressionError> {
    if rows.is_empty() {
        return Ok(values);
    }
    let is_null: BooleanArray = (0..values.len()).map(|row| Some(rows.contains_key(&row))).collect();
    let nulled = nullif(&values, &is_null).map_err(|error| ExpressionError::Broken(error.to_string()))?;
    Ok(Arc::clone(&nulled))
}
