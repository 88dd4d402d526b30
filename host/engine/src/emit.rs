//! Emission: finished results of the stage -> the query's columns, ready for the sinks.
//!
//! A result whose value is an error (an overflow) has no row and is counted. Knows no sink.

use crate::project::{Evaluated, FailedRow, evaluate_output, take};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow_schema::{Field, Schema};
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_event::EventTime;
use weir_event::key::decode_keys;
use weir_plan::{ExpressionError, KeyedStage, Output};
use weir_timeline::{Frames, Results, Timelines};

/// Result rows with what a sink may want to say of them.
#[derive(Debug)]
pub(crate) struct ResultRows {
    pub(crate) columns: RecordBatch,
    /// Windows of a grid, `[start, end)` in milliseconds; empty for others.
    pub(crate) windows: Vec<(i64, i64)>,
    /// For events: the text of their position; filled only if a sink asks for it.
    pub(crate) identities: Vec<String>,
    /// The columns of the rows' keys; only if a sink asks for them.
    pub(crate) keys: Option<RecordBatch>,
}

/// What was emitted, and how many results had no value.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) rows: ResultRows,
    pub(crate) failed: u64,
}

/// Results of one segment as a batch of [`KeyedStage::results`], with the sort of identity that they have.
pub(crate) struct StageRows {
    pub(crate) batch: RecordBatch,
    pub(crate) windows: Vec<(i64, i64)>,
    pub(crate) identities: Vec<String>,
    /// Whether each takes away what was written before; empty if none does.
    pub(crate) deleted: Vec<bool>,
    pub(crate) failed: u64,
}

/// Makes the stage's result columns: keys, aggregates, then window bounds or carried columns. With `final_at` a
/// result that was written before and was final at that watermark stays as it was written.
pub(crate) fn stage_rows(
    stage: &KeyedStage,
    timelines: &Timelines,
    results: Results,
    with_identity: bool,
    final_at: Option<EventTime>,
) -> Result<StageRows, ExpressionError> {
    let broken = |message: String| ExpressionError::Broken(message);
    let count = results.slots.len();
    let keys = decode_keys(results.slots.iter().map(|slot| timelines.key(*slot)), &stage.key_types)
        .map_err(|error| broken(error.to_string()))?;
    let mut columns = keys;
    columns.extend(results.values);
    match &stage.spec.frames {
        Frames::Over(_) | Frames::Lifetime => columns.extend(results.carried),
        Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) | Frames::Session(_) => {
            columns.extend(window_columns(&results.windows));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let mut batch = RecordBatch::try_new_with_options(stage.results.clone(), columns, &options)
        .map_err(|error| broken(error.to_string()))?;
    let (mut windows, mut deleted) = (results.windows, results.deleted.clone());
    let mut identities: Vec<String> = if with_identity {
        let text = |(_, rank): &(i64, weir_event::Rank)| format!("{}:{}", rank.partition, rank.offset);
        results.events.iter().map(text).collect()
    } else {
        Vec::new()
    };
    let failing: BTreeSet<usize> = results.errors.iter().map(|error| error.row).collect();
    // A row exactly at its end still goes on with a session.
    let goes_on = i64::from(matches!(stage.spec.frames, Frames::Session(_)));
    let was_final = |row: usize, at: EventTime| match (windows.get(row), results.events.get(row)) {
        (Some((_, end)), _) => end.saturating_add(goes_on) <= at.millis(),
        (None, Some((time, _))) => *time < at.millis(),
        (None, None) => false,
    };
    let stays = |row: &usize| {
        let is_revised = results.revised.get(*row).copied().unwrap_or(false);
        let is_deleted = results.deleted.get(*row).copied().unwrap_or(false);
        is_revised && !is_deleted && final_at.is_some_and(|at| was_final(*row, at))
    };
    let kept: Vec<u32> =
        (0..count).filter(|row| !failing.contains(row) && !stays(row)).map(|row| row as u32).collect();
    if kept.len() < count {
        batch = take(&batch, &kept)?;
        windows = pick(&windows, &kept);
        identities = pick(&identities, &kept);
        deleted = pick(&deleted, &kept);
    }
    Ok(StageRows { batch, windows, identities, deleted, failed: failing.len() as u64 })
}

/// The bounds of windows as two timestamp columns.
pub(crate) fn window_columns(windows: &[(i64, i64)]) -> [ArrayRef; 2] {
    let starts: TimestampMillisecondArray = windows.iter().map(|(start, _)| Some(*start)).collect();
    let ends: TimestampMillisecondArray = windows.iter().map(|(_, end)| Some(*end)).collect();
    [Arc::new(starts), Arc::new(ends)]
}

/// HAVING and the query's columns over the stage's results; the keys' columns beside them if they have names.
pub(crate) fn emit(
    output: &Output,
    stage: StageRows,
    key_names: Option<&[String]>,
) -> Result<Emitted, ExpressionError> {
    let Evaluated { columns, kept, failed } = evaluate_output(output, &stage.batch)?;
    let keys = key_names.map(|names| key_columns(names, &stage.batch)).transpose()?;
    let rows = match kept {
        None => ResultRows { columns, windows: stage.windows, identities: stage.identities, keys },
        Some(kept) => ResultRows {
            columns,
            windows: pick(&stage.windows, &kept),
            identities: pick(&stage.identities, &kept),
            keys: keys.map(|keys| take(&keys, &kept)).transpose()?,
        },
    };
    Ok(Emitted { rows, failed: stage.failed + failed.len() as u64 })
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

/// The query's columns over projected rows, for a job without a stage; rows that fail come back by position.
pub(crate) fn emit_projected(
    output: &Output,
    batch: &RecordBatch,
    offsets: &[u64],
    partition: weir_event::PartitionId,
    with_identity: bool,
) -> Result<(ResultRows, Vec<FailedRow>), ExpressionError> {
    let Evaluated { columns, kept, failed } = evaluate_output(output, batch)?;
    let identity = |offset: &u64| format!("{partition}:{offset}");
    let identities = match (with_identity, kept) {
        (false, _) => Vec::new(),
        (true, None) => offsets.iter().map(identity).collect(),
        (true, Some(kept)) => kept.iter().map(|row| identity(&offsets[*row as usize])).collect(),
    };
    let failed = failed
        .into_iter()
        .map(|(row, reason)| FailedRow { offset: offsets[row as usize], record: row, reason })
        .collect();
    Ok((ResultRows { columns, windows: Vec::new(), identities, keys: None }, failed))
}

fn pick<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
    if values.is_empty() {
        Vec::new()
    } else {
        rows.iter().map(|row| values[*row as usize].clone()).collect()
    }
}
