//! The shape of stored state: what its blocks hold, by name, and since when. It is stored beside the state, so that an
//! edited query finds in it what it still has (`edit.rs`), and another version of a plugin what it takes over (`migrate.rs`).
//!
//! Knows plans and what timelines store. Must not know where state is kept, or how a plan came about.

mod edit;
mod migrate;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, Span};
use weir_plan::{Ground, JobPlan, KeyedStage};
use weir_timeline::{Bounds, Frames, Kind, OverFrame, StageSpec};

pub use edit::{EditTime, Edited};
pub use migrate::{Migrated, block_of, takes_over};

/// What stored state consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredShape {
    /// What nothing of it is of use without.
    ground: BTreeMap<String, Ground>,
    /// Name of what decides which rows count, and in which windows.
    rows: String,
    /// Whose states blocks hold, in their order.
    aggregates: Vec<StoredAggregate>,
    /// What blocks of rows hold, in their order.
    columns: Vec<StoredColumn>,
    /// Since when rows are kept, whatever columns of them.
    #[serde(default)]
    kept_rows: Age,
    /// How far back rows are kept for frames.
    reach: Reach,
    /// The step of the tiles that rows leave their log for, if they do: no other plan finds them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tail: Option<Span>,
}

/// An aggregate with states, or with values over rows that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredAggregate {
    name: String,
    frame: String,
    #[serde(flatten)]
    age: Age,
}

/// A column of rows that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    kind: String,
    #[serde(flatten)]
    age: Age,
}

/// Since when something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Age {
    /// It has all rows from this time on; `None`: all that the job has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<EventTime>,
    /// How many edits were made since it was added, that one included; `None`: it is as old as the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    edits: Option<u32>,
}

/// How far back of an event rows are kept; `None`: all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Reach {
    time: Option<Span>,
    rows: Option<u64>,
}

impl StoredShape {
    /// Of state that a plan makes from the beginning.
    pub fn of(plan: &JobPlan) -> StoredShape {
        let shape = &plan.state_shape;
        let mut stored = StoredShape {
            ground: shape.ground.clone(),
            rows: shape.rows.clone(),
            aggregates: Vec::new(),
            columns: Vec::new(),
            kept_rows: Age::default(),
            reach: Reach { time: Some(Span::ZERO), rows: Some(0) },
            tail: None,
        };
        let Some(stage) = &plan.stage else { return stored };
        let aggregate = |shape: &weir_plan::AggregateShape| StoredAggregate {
            name: shape.name.clone(),
            frame: shape.frame.clone(),
            age: Age::default(),
        };
        stored.aggregates = shape.aggregates.iter().map(aggregate).collect();
        let column = |input: usize| StoredColumn {
            name: shape.inputs.get(input).cloned().unwrap_or_default(),
            kind: Kind::of(&stage.spec.inputs[input]).map_or("", Kind::word).to_owned(),
            age: Age::default(),
        };
        stored.columns = stage.spec.kept_columns().into_iter().map(column).collect();
        stored.reach = Reach::of(&stage.spec);
        stored.tail = stage.spec.tail;
        stored
    }

    /// What the state stands on and a plan does not: what it is called, what it was, and what it is now.
    pub fn lost_ground(&self, plan: &JobPlan) -> Vec<(String, String, String)> {
        let now = &plan.state_shape.ground;
        let what = self.ground.keys().chain(now.keys().filter(|what| !self.ground.contains_key(*what)));
        let differs = |what: &String| {
            let (before, now) = (self.ground.get(what), now.get(what));
            let words = |ground: Option<&Ground>| match ground.map(|ground| ground.words.as_str()) {
                None | Some("") => "nothing".to_owned(),
                Some(words) => words.to_owned(),
            };
            let is_same = before.map(|it| &it.identity) == now.map(|it| &it.identity);
            (!is_same).then(|| (what.clone(), words(before), words(now)))
        };
        what.filter_map(differs).collect()
    }

    /// The stage of a plan, whose aggregates know which of the rows that are kept are not their own.
    #[must_use]
    pub fn stage(&self, stage: &KeyedStage) -> KeyedStage {
        if self.aggregates.iter().all(|aggregate| aggregate.age.edits.is_none()) {
            return stage.clone();
        }
        let mut spec = (*stage.spec).clone();
        for (aggregate, stored) in spec.aggregates.iter_mut().zip(&self.aggregates) {
            aggregate.edits = stored.age.edits;
        }
        KeyedStage { spec: Arc::new(spec), ..stage.clone() }
    }

    /// Since when a result column of the plan that the state is of has all rows; `None` if it has all that the job has.
    pub fn since(&self, plan: &JobPlan, column: usize) -> Option<EventTime> {
        let aggregates: Vec<Option<EventTime>> = self.aggregates.iter().map(|it| it.age.since).collect();
        let columns: Vec<Option<EventTime>> = self.columns.iter().map(|it| it.age.since).collect();
        newest_read(plan, column, &aggregates, &columns, self.kept_rows.since)
    }
}

/// The newest of the times that are said of what a result column reads: of the stage's aggregates, and of the columns
/// that it keeps of rows; or of the rows themselves, which all results of keyed logic follow from.
fn newest_read(
    plan: &JobPlan,
    column: usize,
    aggregates: &[Option<EventTime>],
    columns: &[Option<EventTime>],
    rows: Option<EventTime>,
) -> Option<EventTime> {
    let stage = plan.stage.as_ref()?;
    if stage.spec.process.is_some() {
        return rows;
    }
    let (spec, kept) = (&stage.spec, stage.spec.kept_columns());
    let first = stage.keys.len();
    let of_read = |read: &usize| {
        let at = read.checked_sub(first)?;
        if let Some(of_aggregate) = aggregates.get(at) {
            return *of_aggregate;
        }
        // Behind the aggregates of `OVER` come columns of the row; a window's bounds are of no time.
        let input = spec.carried.get(at - aggregates.len())?;
        let position = kept.binary_search(input).ok()?;
        columns.get(position).copied().flatten()
    };
    plan.output.columns.get(column)?.expression.reads().iter().filter_map(of_read).max()
}

impl Reach {
    fn of(spec: &StageSpec) -> Reach {
        let Frames::Over(frames) = &spec.frames else {
            return Reach { time: Some(Span::ZERO), rows: Some(0) };
        };
        let together = |one: Reach, frame: &OverFrame| one.and(Reach::of_frame(frame, spec.retention));
        frames.iter().fold(Reach { time: Some(Span::ZERO), rows: Some(0) }, together)
    }

    fn of_frame(frame: &OverFrame, retention: Option<Span>) -> Reach {
        match frame.bounds {
            Bounds::Range { preceding, .. } => Reach { time: preceding.or(retention), rows: Some(0) },
            Bounds::Rows { preceding: None, .. } => Reach { time: retention, rows: None },
            Bounds::Rows { preceding, .. } => Reach { time: Some(Span::ZERO), rows: preceding },
        }
    }

    fn and(self, other: Reach) -> Reach {
        Reach {
            time: self.time.zip(other.time).map(|(one, other)| one.max(other)),
            rows: self.rows.zip(other.rows).map(|(one, other)| one.max(other)),
        }
    }

    /// The time from which on the rows of another frame were kept, where it reaches further back; `oldest` is the oldest
    /// time that they may be asked for.
    fn missing(self, frame: &OverFrame, retention: Option<Span>, oldest: EventTime) -> Option<EventTime> {
        let reach = self.time?;
        let wanted = Reach::of_frame(frame, retention);
        let has_rows = self.rows.is_none_or(|rows| wanted.rows.is_some_and(|wanted| wanted <= rows));
        let has_time = wanted.time.is_some_and(|wanted| wanted <= reach);
        (!(has_rows && has_time)).then(|| oldest - reach)
    }
}
