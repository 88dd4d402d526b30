//! Emission: finished results of the stage -> the query's columns, ready for the sinks.
//!
//! A value that is an error (an overflow) makes the columns that read it null, and is told with its key. Knows no
//! sink.

use crate::keyed::failures::failed_results;
use crate::keyed::outputs::{Evaluated, FailedCell, Filter, evaluate_output};
use crate::letter::FailedResult;
use crate::project::{FailedRow, project, take};
use crate::rows::Rows;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow_schema::{Field, Schema};
use arrow_select::concat::concat_batches;
use std::sync::Arc;
use weir_connect::Op;
use weir_event::{EventTime, Rank};
use weir_plan::{ExpressionError, KeyedStage, Output};
use weir_timeline::{Frames, Results};

/// Result rows with what a sink may want to say of them.
#[derive(Debug)]
pub struct ResultRows {
    /// The query's columns.
    pub columns: RecordBatch,
    /// Windows of a grid, `[start, end)` in milliseconds; empty for others.
    pub windows: Vec<(i64, i64)>,
    /// For events the text of their position, for rows of keyed logic of their time and number; filled only if a sink asks for
    /// it.
    pub identities: Vec<String>,
    /// For both: their times in milliseconds; filled as `identities` are.
    pub times: Vec<i64>,
    /// The columns of the rows' keys; only if a sink asks for them.
    pub keys: Option<RecordBatch>,
    /// What the rows do. Of such as delete, only key and window mean anything.
    pub op: Op,
    /// Higher than that of all earlier rows of the same identities.
    pub revision: u64,
}

/// What was emitted, and the results of which some value is an error.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) rows: ResultRows,
    pub(crate) failed: Vec<FailedResult>,
}

/// Results of one segment as a batch of [`KeyedStage::results`], with the sort of identity that they have.
#[derive(Debug)]
pub(crate) struct StageRows {
    pub(crate) batch: RecordBatch,
    pub(crate) windows: Vec<(i64, i64)>,
    /// `OVER` only: the event of each, by time in milliseconds and rank.
    pub(crate) events: Vec<(i64, Rank)>,
    /// Keyed logic only: the time of each, in milliseconds, and its number among those of its key and time.
    pub(crate) made: Vec<(i64, u32)>,
    /// Whether each takes away what was written before; empty if none does.
    pub(crate) deleted: Vec<bool>,
    /// Values that are errors, by row.
    pub(crate) failed: Vec<FailedCell>,
}

impl StageRows {
    /// What tells rows of one key apart, where it is not a window, as texts; and the rows' times.
    fn identities(&self) -> (Vec<String>, Vec<i64>) {
        let of_event = |(time, rank): &(i64, Rank)| (rank.to_string(), *time);
        let of_made = |(time, number): &(i64, u32)| (made_text(*time, *number), *time);
        self.events.iter().map(of_event).chain(self.made.iter().map(of_made)).unzip()
    }
}

/// A row of keyed logic among those of its key: `2026-01-31T12:10:00.000Z#0`.
pub(crate) fn made_text(time: i64, number: u32) -> String {
    format!("{}#{number}", EventTime::from_millis(time))
}

/// Makes the stage's result columns: keys, aggregates, then window bounds or carried columns.
pub(crate) fn stage_rows(
    stage: &KeyedStage,
    keys: Vec<ArrayRef>,
    results: Results,
) -> Result<StageRows, ExpressionError> {
    let count = results.slots.len();
    let mut columns = keys;
    columns.extend(results.values);
    match &stage.spec.frames {
        Frames::Over(_) | Frames::Lifetime | Frames::Process => columns.extend(results.carried),
        Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) | Frames::Session(_) => {
            columns.extend(window_columns(&results.windows));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let batch = RecordBatch::try_new_with_options(stage.results.clone(), columns, &options)
        .map_err(|error| ExpressionError::Broken(error.to_string()))?;
    let failed: Vec<FailedCell> = results
        .errors
        .into_iter()
        .map(|error| FailedCell {
            row: error.row as u32,
            column: stage.keys.len() + error.aggregate,
            reason: error.reason,
        })
        .collect();
    let Results { windows, events, made, deleted, .. } = results;
    Ok(StageRows { batch, windows, events, made, deleted, failed })
}

/// Results of several segments as those of one.
pub(crate) fn join(
    stage: &KeyedStage,
    mut parts: Vec<StageRows>,
) -> Result<Option<StageRows>, ExpressionError> {
    if parts.len() <= 1 {
        return Ok(parts.pop());
    }
    let batch = concat_batches(&stage.results, parts.iter().map(|part| &part.batch))
        .map_err(|error| ExpressionError::Broken(error.to_string()))?;
    let (mut failed, mut first) = (Vec::new(), 0);
    for part in &mut parts {
        let own = std::mem::take(&mut part.failed).into_iter();
        failed.extend(own.map(|cell| FailedCell { row: first + cell.row, ..cell }));
        first += part.batch.num_rows() as u32;
    }
    Ok(Some(StageRows {
        batch,
        windows: parts.iter().flat_map(|part| part.windows.iter().copied()).collect(),
        events: parts.iter().flat_map(|part| part.events.iter().copied()).collect(),
        made: parts.iter().flat_map(|part| part.made.iter().copied()).collect(),
        deleted: Vec::new(),
        failed,
    }))
}

/// The bounds of windows as two timestamp columns.
fn window_columns(windows: &[(i64, i64)]) -> [ArrayRef; 2] {
    let starts = TimestampMillisecondArray::from_iter_values(windows.iter().map(|(start, _)| *start));
    let ends = TimestampMillisecondArray::from_iter_values(windows.iter().map(|(_, end)| *end));
    [Arc::new(starts), Arc::new(ends)]
}

/// The query's columns over the stage's results, of which HAVING is asked if it is given. `with_identity` adds what tells rows apart.
pub(crate) fn emit(
    (output, having): (&Output, Option<&Filter>),
    stage: StageRows,
    key_names: &[String],
    with_identity: bool,
    (op, revision): (Op, u64),
) -> Result<Emitted, ExpressionError> {
    let Evaluated { columns, kept, failed } = evaluate_output(output, having, &stage.batch, &stage.failed)?;
    let failed = failed_results(output, &stage, key_names, failed);
    let (identities, times) = if with_identity { stage.identities() } else { (Vec::new(), Vec::new()) };
    let keys = if with_identity { Some(key_columns(key_names, &stage.batch)?) } else { None };
    let rows = match kept {
        None => ResultRows { columns, windows: stage.windows, identities, times, keys, op, revision },
        Some(kept) => ResultRows {
            columns,
            windows: pick(&stage.windows, &kept),
            identities: pick(&identities, &kept),
            times: pick(&times, &kept),
            keys: keys.map(|keys| take(&keys, &kept)).transpose()?,
            op,
            revision,
        },
    };
    Ok(Emitted { rows, failed })
}

/// The first columns of a stage's results are its keys.
fn key_columns(names: &[String], batch: &RecordBatch) -> Result<RecordBatch, ExpressionError> {
    let columns = batch.columns()[..names.len()].to_vec();
    let fields =
        names.iter().zip(&columns).map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|error| ExpressionError::Broken(error.to_string()))
}

/// The query's columns over projected rows, for a job without a stage; rows on which one fails come back beside.
pub(crate) fn emit_projected(
    output: &Output,
    rows: &Rows,
    with_identity: bool,
    revision: u64,
) -> Result<(ResultRows, Vec<FailedRow>), ExpressionError> {
    let (projected, failed) = project(&output.columns, rows)?;
    let identity = |offset: &u64| Rank { partition: rows.partition, offset: *offset }.to_string();
    let (identities, times) = if with_identity {
        (projected.offsets.iter().map(identity).collect(), projected.times.clone())
    } else {
        (Vec::new(), Vec::new())
    };
    let columns = projected.into_rows(&output.schema)?.columns;
    let (windows, op) = (Vec::new(), Op::Upsert);
    Ok((ResultRows { columns, windows, identities, times, keys: None, op, revision }, failed))
}

fn pick<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
    if values.is_empty() {
        Vec::new()
    } else {
        rows.iter().map(|row| values[*row as usize].clone()).collect()
    }
}

/// The failed cells of some rows, which rise, numbered as those are.
pub(crate) fn pick_failed(failed: Vec<FailedCell>, rows: &[u32]) -> Vec<FailedCell> {
    let renumbered = failed.into_iter().filter_map(|cell| {
        let row = rows.binary_search(&cell.row).ok()?;
        Some(FailedCell { row: row as u32, ..cell })
    });
    renumbered.collect()
}
