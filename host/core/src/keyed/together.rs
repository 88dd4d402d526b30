//! Lookups finished together: whoever asks one after the other without waiting for the answers has them for less.
//!
//! Each is copied out when it is asked and folded by itself, so that what comes meanwhile is not in it; values are finished
//! and result columns computed for all of them at once. One alone is one of one. Must not know who asks.

use crate::keyed::lookup::{AsOf, EntityKey, FrameRows, Looked, LookupError, Moment, Wanted, Window};
use crate::keyed::outputs::{Evaluated, FailedCell, FailedOutput, evaluate_output};
use crate::keyed::segment::Segment;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, TimestampMillisecondArray};
use std::sync::Arc;
use weir_event::key::EncodedKeys;
use weir_event::{EventTime, KeyGroup, key_group, key_hash};
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::{AboutValues, Folded, Frames, ManyValues};

/// Entities, by their keys.
#[derive(Debug)]
pub struct Entities {
    columns: Vec<ArrayRef>,
    encoded: EncodedKeys,
    hashes: Vec<u64>,
}

impl Entities {
    /// The key columns have so many rows and the stage's key types.
    pub fn of(columns: Vec<ArrayRef>, rows: usize) -> Result<Entities, LookupError> {
        let encoded = EncodedKeys::encode(&columns, rows);
        let encoded = encoded.map_err(|error| LookupError::Failed(error.to_string()))?;
        let hashes = (0..rows).map(|row| key_hash(encoded.key(row))).collect();
        Ok(Entities { columns, encoded, hashes })
    }

    /// The key columns.
    pub fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// The key of one; a null key is written to sinks and not looked up.
    pub fn key(&self, row: usize) -> Option<EntityKey<'_>> {
        let is_null = self.columns.iter().any(|column| column.is_null(row));
        (!is_null).then(|| EntityKey { bytes: self.encoded.key(row), hash: self.hashes[row] })
    }

    /// The key group that holds one.
    pub fn group(&self, row: usize) -> KeyGroup {
        key_group(self.hashes[row])
    }
}

/// What was copied out for one question and folded, to be finished.
pub struct Pending {
    pub(crate) folded: Folded,
    pub(crate) window: Window,
    pub(crate) moment: Moment,
}

impl Pending {
    /// The time that the values are as of.
    pub fn as_of(&self) -> EventTime {
        self.moment.as_of
    }
}

impl Segment {
    /// What is settled of one entity, up to finishing it.
    pub(crate) fn ask_for(
        &self,
        plan: &JobPlan,
        key: EntityKey<'_>,
        as_of: AsOf,
    ) -> Result<Pending, LookupError> {
        let failed = |message: String| LookupError::Failed(message);
        let copies = self.look_for(plan, key, as_of, Wanted::Settled)?;
        let moment = copies.moment;
        let asked = copies.snapshots.into_iter().next();
        let (snapshot, window) = asked.ok_or_else(|| failed("nothing was asked".to_owned()))?;
        let folded = snapshot.fold().map_err(|error| failed(error.to_string()))?;
        Ok(Pending { folded, window, moment })
    }
}

/// What was found for several questions.
#[derive(Debug)]
pub struct Together {
    /// The result columns of those of which HAVING is true, behind each other.
    pub columns: RecordBatch,
    /// What was found for each.
    pub each: Vec<Looked>,
}

/// Finishes questions about entities, whose keys are the rows of these columns.
pub fn finish_together(
    plan: &JobPlan,
    keys: &[ArrayRef],
    pending: Vec<Pending>,
) -> Result<Together, LookupError> {
    let stage = plan.stage.as_ref().ok_or_else(|| LookupError::NoEntity(plan.name.clone()))?;
    let failed = |message: String| LookupError::Failed(message);
    let (mut folded, mut windows, mut moments) = (Vec::new(), Vec::new(), Vec::new());
    for one in pending {
        folded.push(one.folded);
        windows.push(one.window);
        moments.push(one.moment);
    }
    let ManyValues { values, carried, about, errors } =
        Folded::finish(folded).map_err(|error| failed(error.to_string()))?;
    for (window, about) in windows.iter_mut().zip(&about) {
        *window = window.or(about.window);
    }
    let present = stage.present.map(|at| values[at].clone());
    let mut columns = keys.to_vec();
    columns.extend(values);
    match &stage.spec.frames {
        Frames::Over(_) | Frames::Lifetime | Frames::Process => columns.extend(carried),
        _ => columns.extend(window_columns(&windows)),
    }
    let batch =
        RecordBatch::try_new(stage.results.clone(), columns).map_err(|error| failed(error.to_string()))?;
    let cells = errors.into_iter().map(|error| FailedCell {
        row: error.row as u32,
        column: stage.keys.len() + error.aggregate,
        reason: error.reason,
    });
    let evaluated =
        evaluate_output(&plan.output, plan.output.filter.as_ref(), &batch, &cells.collect::<Vec<_>>())
            .map_err(|error| failed(error.to_string()))?;
    let mut each = Vec::with_capacity(about.len());
    let mut rows = RowByRow::of(evaluated);
    for (row, about) in about.into_iter().enumerate() {
        let (columns, failures) = rows.take(row);
        let complete = moments[row].completes(&stage.spec.frames, windows[row]);
        let present = present.as_ref().map(|left| present_rows(left, row));
        let frames = frames(stage, &about, present);
        each.push(Looked { columns, window: windows[row], complete, frames, failures });
    }
    Ok(Together { columns: rows.evaluated.columns, each })
}

/// Results, row by row.
struct RowByRow {
    evaluated: Evaluated,
    /// In the order of their rows, the next one first.
    failed: std::iter::Peekable<std::vec::IntoIter<FailedOutput>>,
}

impl RowByRow {
    fn of(mut evaluated: Evaluated) -> RowByRow {
        let mut failed = std::mem::take(&mut evaluated.failed);
        failed.sort_by_key(|output| output.row);
        RowByRow { evaluated, failed: failed.into_iter().peekable() }
    }

    /// The next one, which has this number: its columns, of no row where HAVING is not true of it, and what failed.
    fn take(&mut self, row: usize) -> (RecordBatch, Vec<(Option<usize>, String)>) {
        let Evaluated { columns, kept, .. } = &self.evaluated;
        let at = match kept {
            None => Some(row),
            Some(kept) => kept.binary_search(&(row as u32)).ok(),
        };
        let own = match at {
            Some(0) if columns.num_rows() == 1 => columns.clone(),
            Some(at) => columns.slice(at, 1),
            None => columns.slice(0, 0),
        };
        let failures = std::iter::from_fn(|| self.failed.next_if(|output| output.row as usize == row));
        (own, failures.map(|output| (output.column, output.reason)).collect())
    }
}

/// How many rows are left of a result that rows can be taken back from: those that were are in the frame no more than those
/// that took them back.
fn present_rows(left: &ArrayRef, row: usize) -> u64 {
    let left = left.as_primitive::<Int64Type>();
    if left.is_valid(row) { u64::try_from(left.value(row)).unwrap_or(0) } else { 0 }
}

fn frames(stage: &KeyedStage, about: &AboutValues, present: Option<u64>) -> Vec<FrameRows> {
    let in_frames = about.rows.iter().zip(about.newest.iter().zip(&about.oldest));
    let of_frame = |(rows, (newest, oldest)): (&u64, (&Option<EventTime>, &Option<EventTime>))| match present
    {
        Some(0) => FrameRows { rows: 0, newest: None, oldest: None },
        present => FrameRows { rows: present.unwrap_or(*rows), newest: *newest, oldest: *oldest },
    };
    let mut frames: Vec<FrameRows> = in_frames.map(of_frame).collect();
    if matches!(stage.spec.frames, Frames::Over(_)) {
        let (rows, event) = (u64::from(about.event.is_some()), about.event);
        frames.push(FrameRows { rows, newest: event, oldest: event });
    }
    frames
}

/// The bounds of windows as two timestamp columns; null where there is none, as of a key without any session.
fn window_columns(windows: &[Window]) -> [ArrayRef; 2] {
    let starts: TimestampMillisecondArray =
        windows.iter().map(|window| Some(window.as_ref()?.0.millis())).collect();
    let ends: TimestampMillisecondArray =
        windows.iter().map(|window| Some(window.as_ref()?.1.millis())).collect();
    [Arc::new(starts), Arc::new(ends)]
}
