//! Lookups: the timelines of running shards, asked.
//!
//! A lookup encodes its key as rows' keys are encoded, copies states out under one segment's read lock, and
//! merges and finishes them outside. Several features of one job and entity come from one hold. Knows no HTTP.

use crate::emit::window_columns;
use crate::project::{Evaluated, evaluate_output};
use crate::shard::Shards;
use arrow_array::{Array, ArrayRef, RecordBatch};
use weir_event::key::EncodedKeys;
use weir_event::{EventTime, Span, key_hash};
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::{Frames, Question, Timelines, Values};

/// One entity's results at one moment.
#[derive(Debug)]
pub struct Looked {
    /// The result columns of the query, one row; empty if HAVING is not true of it.
    pub columns: RecordBatch,
    /// The window that they are of, `[start, end)`, for a grid.
    pub window: Option<(EventTime, EventTime)>,
    /// For each aggregate's frame, whether any row is in it; for a grid one.
    pub rows: u64,
    /// The newest event time in the frames.
    pub newest: Option<EventTime>,
    /// Why a value could not be computed.
    pub error: Option<String>,
}

/// What a lookup gives.
#[derive(Debug)]
pub struct Answer {
    /// `OVER`: as of the time asked. Grid: the newest complete window.
    pub settled: Looked,
    /// Grid: the unfinished window that ends next; only without an explicit `as_of`.
    pub current: Option<Looked>,
}

/// A lookup that cannot be answered: the user's request, or a fault in the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The job has no entity.
    #[error("job `{0}` has neither window nor aggregate, so there is no entity to look up")]
    NoEntity(String),
    /// `as_of` is further back than state reaches.
    #[error(
        "`as_of` {as_of} is out of reach: state goes back to {oldest}; set a longer `history`, or use `weir train`"
    )]
    OutOfReach {
        /// The time asked for.
        as_of: EventTime,
        /// The oldest that can be answered.
        oldest: EventTime,
    },
    /// The job is restoring its state.
    #[error("job `{0}` is starting: its state is being read")]
    Starting(String),
    /// A value could not be computed at all.
    #[error("{0}")]
    Failed(String),
}

/// Answers for one entity, whose key columns have one row and the stage's key types.
pub(crate) fn lookup(
    plan: &JobPlan,
    shards: &Shards,
    key: &[ArrayRef],
    as_of: Option<EventTime>,
    now: EventTime,
    watermark: EventTime,
) -> Result<Answer, LookupError> {
    let stage = plan.stage.as_ref().ok_or_else(|| LookupError::NoEntity(plan.name.clone()))?;
    let failed = |message: String| LookupError::Failed(message);
    let encoded = EncodedKeys::encode(key, 1).map_err(|error| failed(error.to_string()))?;
    let time = as_of.unwrap_or(now);
    let oldest = watermark - stage.spec.history;
    if as_of.is_some_and(|as_of| as_of < oldest) && watermark > EventTime::MIN {
        return Err(LookupError::OutOfReach { as_of: time, oldest });
    }
    let hash = key_hash(encoded.key(0));
    let (questions, windows) = questions(stage, time, watermark, as_of.is_none());
    let snapshots = {
        let timelines: &Timelines = &shards.of_key(hash);
        let slot = timelines.slot(encoded.key(0), hash);
        let ask = |question| match slot {
            Some(slot) => timelines.snapshot(slot, question),
            None => timelines.absent(),
        };
        questions.iter().map(ask).collect::<Vec<_>>()
    };
    let mut looked = Vec::new();
    for (snapshot, window) in snapshots.into_iter().zip(windows) {
        let values = snapshot.finish().map_err(|error| failed(error.to_string()))?;
        looked.push(result_row(plan, stage, key, values, window)?);
    }
    let mut looked = looked.into_iter();
    let settled = looked.next().ok_or_else(|| failed(format!("no window is complete at {time}")))?;
    Ok(Answer { settled, current: looked.next() })
}

type Windows = Vec<Option<(EventTime, EventTime)>>;

fn questions(
    stage: &KeyedStage,
    time: EventTime,
    watermark: EventTime,
    with_current: bool,
) -> (Vec<Question>, Windows) {
    let alone = |question| (vec![question], vec![None]);
    match &stage.spec.frames {
        Frames::Over(_) => alone(Question::Over { as_of: time }),
        Frames::Session(_) => alone(Question::Session { as_of: time }),
        Frames::Lifetime => alone(Question::Lifetime { as_of: time }),
        frames @ (Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_)) => {
            // `as_of = T` includes rows at T, so a window that ends at T + 1 ms is complete as of T.
            let complete_by = (time + Span::from_millis(1)).min(watermark);
            let of_frames = frames.windows();
            let complete = of_frames.as_ref().and_then(|windows| windows.complete_at(complete_by));
            let open = of_frames.as_ref().filter(|_| with_current).and_then(|it| it.open_at(complete_by));
            let windows: Vec<_> = complete.into_iter().chain(open).collect();
            let questions = windows.iter().map(|(start, end)| Question::Window { start: *start, end: *end });
            (questions.collect(), windows.into_iter().map(Some).collect())
        }
    }
}

fn result_row(
    plan: &JobPlan,
    stage: &KeyedStage,
    key: &[ArrayRef],
    values: Values,
    window: Option<(EventTime, EventTime)>,
) -> Result<Looked, LookupError> {
    let failed = |message: String| LookupError::Failed(message);
    let mut columns = key.to_vec();
    columns.extend(values.values);
    let window = window.or(values.window);
    match (&stage.spec.frames, window) {
        (Frames::Over(_) | Frames::Lifetime, _) => columns.extend(values.carried),
        (_, Some((start, end))) => columns.extend(window_columns(&[(start.millis(), end.millis())])),
        // A key without any session.
        (_, None) => columns.extend(no_window()),
    }
    let batch =
        RecordBatch::try_new(stage.results.clone(), columns).map_err(|error| failed(error.to_string()))?;
    let Evaluated { columns, failed: failing, .. } =
        evaluate_output(&plan.output, &batch).map_err(|error| failed(error.to_string()))?;
    let of_aggregate = values.errors.first().map(|(_, reason)| reason.clone());
    let error = of_aggregate.or_else(|| failing.first().map(|(_, reason)| reason.clone()));
    let rows = values.rows.iter().copied().max().unwrap_or(0);
    Ok(Looked { columns, window, rows, newest: values.newest.into_iter().flatten().max(), error })
}

fn no_window() -> [ArrayRef; 2] {
    let bounds = window_columns(&[(0, 0)]);
    bounds.map(|bound| arrow_array::new_null_array(bound.data_type(), 1))
}

/// Whether a lookup's key column can be null: it cannot, a null key is written to sinks and not looked up.
pub(crate) fn has_null(key: &[ArrayRef]) -> bool {
    key.iter().any(|column| column.null_count() > 0)
}
