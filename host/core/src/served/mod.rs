//! What a feature is to whoever asks for it: where its value stands in what a lookup found, what stands in for it where
//! there is none, and whether rows are missing from it. The same for every host, so that what is served and what is
//! trained on have one name.
//!
//! Must not know how a value is written.

mod derived;
mod lookback;

pub use derived::{Called, Derived, Deriving, Given, input_type, of_type};
pub use lookback::{Lookback, OverLookback, looks_back};

use crate::keyed::lookup::Looked;
use arrow_array::ArrayRef;
use weir_event::EventTime;
use weir_plan::{Feature, JobPlan, KeyedStage};
use weir_timeline::Frames;

/// A feature, ready to be looked for.
#[derive(Debug, Clone)]
pub struct Served {
    /// Index of its result column.
    pub column: usize,
    /// The frames of the stage that it is computed over; one more than there are is the event that `OVER` repeats.
    pub frames: Vec<usize>,
    /// How far back they look for rows.
    pub lookback: Lookback,
    /// Whether its definition gives a value for where there are no rows.
    pub has_default: bool,
}

/// What a lookup found of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The value of its rows, in its column.
    Found,
    /// No row, so its default.
    Default,
    /// No row: the aggregate of nothing in its column, or where HAVING is not true no column at all.
    Nothing,
    /// It could not be computed.
    Failed,
}

impl Served {
    /// A feature of a plan.
    pub fn of(plan: &JobPlan, feature: &Feature) -> Served {
        let reads = plan.output.columns[feature.column].expression.reads();
        let frames = plan.stage.as_ref().map(|stage| frames_read(stage, reads)).unwrap_or_default();
        let looks_back = |stage: &KeyedStage| Lookback::of(&stage.spec, &frames);
        let lookback = plan.stage.as_ref().map_or(Lookback::Window, looks_back);
        Served { column: feature.column, lookback, has_default: feature.default.is_some(), frames }
    }

    /// What was found of it.
    pub fn outcome(&self, looked: &Looked) -> Outcome {
        // HAVING that is not true leaves no row.
        let has_row = looked.columns.num_rows() > 0;
        if looked.failure_of(self.column).is_some() {
            Outcome::Failed
        } else if looked.has_rows(&self.frames) && has_row {
            Outcome::Found
        } else if self.has_default {
            Outcome::Default
        } else {
            Outcome::Nothing
        }
    }

    /// A row of its value, which is null where there is none; `default` is a row of what its definition gives.
    pub fn value(&self, looked: &Looked, default: Option<&ArrayRef>) -> Option<ArrayRef> {
        let has_row = looked.columns.num_rows() > 0;
        match self.outcome(looked) {
            Outcome::Default => default.cloned(),
            Outcome::Found | Outcome::Nothing if has_row => Some(looked.columns.column(self.column).clone()),
            Outcome::Found | Outcome::Nothing | Outcome::Failed => None,
        }
    }

    /// Whether rows from before `since`, which the job has not read, could be part of what was found as of this time, which
    /// a job has not before any event.
    pub fn is_partial(&self, since: EventTime, looked: &Looked, time: Option<EventTime>) -> bool {
        self.lookback.is_beyond(since, looked, time)
    }
}

/// The frames of the aggregates that a result column reads, and the event where it repeats what that said.
fn frames_read(stage: &KeyedStage, reads: &[usize]) -> Vec<usize> {
    let spec = &stage.spec;
    let aggregates = stage.keys.len()..stage.keys.len() + spec.aggregates.len();
    let of_aggregates = reads.iter().filter(|read| aggregates.contains(read));
    let mut frames: Vec<usize> =
        of_aggregates.map(|read| spec.aggregates[read - aggregates.start].frame).collect();
    let is_carried =
        matches!(spec.frames, Frames::Over(_)) && reads.iter().any(|read| *read >= aggregates.end);
    frames.extend(is_carried.then(|| spec.frames.count()));
    if frames.is_empty() {
        return (0..spec.frames.count()).collect();
    }
    frames.sort_unstable();
    frames.dedup();
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::Schema;
    use std::sync::Arc;
    use weir_event::Span;
    use weir_timeline::{OverFrame, StageSpec};

    /// A key, an aggregate over one frame, and a column of the event.
    fn stage() -> KeyedStage {
        let count = weir_timeline::builtin("COUNT", false, &[], &[]).unwrap();
        let of_frame = weir_timeline::AggregateSpec {
            function: count,
            arguments: vec![],
            filter: None,
            frame: 0,
            edits: None,
        };
        let spec = StageSpec {
            frames: Frames::Over(vec![OverFrame::range(Some(Span::from_millis(5)))]),
            aggregates: vec![of_frame],
            inputs: vec![arrow_schema::DataType::Int64],
            carried: vec![0],
            history: Span::ZERO,
            corrects: None,
            retention: None,
            tail: None,
            emit_changes: false,
            results_below: None,
            process: None,
        };
        KeyedStage {
            keys: vec![0],
            key_names: vec!["user".to_owned()],
            key_types: vec![arrow_schema::DataType::Int64],
            spec: Arc::new(spec),
            present: None,
            results: Arc::new(Schema::empty()),
        }
    }

    #[test]
    fn a_column_is_over_the_frames_of_what_it_reads() {
        let stage = stage();
        let read = |columns: &[usize]| frames_read(&stage, columns);
        assert_eq!(
            [read(&[0]), read(&[1]), read(&[2]), read(&[2, 1])],
            [vec![0], vec![0], vec![1], vec![0, 1]]
        );
    }
}
