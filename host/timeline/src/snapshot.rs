//! The truth: one key's values for one question, from tiles and row log.
//!
//! Taking a snapshot copies states and rows out, for it is done under a lock; folding is for later, and so is finishing,
//! which can be done for many keys at once.

use crate::aggregate::{AggregateError, Finished, States};
use crate::answer::{AboutValues, ManyValues, ResultError, Values, shape_lists};
use crate::feed::Feed;
use crate::slots::counted;
use crate::spec::StageSpec;
use arrow_array::{Array, ArrayRef, TimestampMillisecondArray, new_null_array};
use arrow_select::concat::concat;
use std::sync::Arc;
use weir_event::EventTime;

/// What a question needs of a key's timeline, copied out of it.
pub struct Snapshot {
    pub(crate) parts: Vec<Part>,
    pub(crate) as_of: i64,
    pub(crate) rows: Vec<u64>,
    pub(crate) newest: Vec<Option<EventTime>>,
    pub(crate) oldest: Vec<Option<EventTime>>,
    pub(crate) carried: Vec<ArrayRef>,
    pub(crate) event: Option<EventTime>,
    pub(crate) window: Option<(EventTime, EventTime)>,
    /// What has yet to go on to the time asked for.
    unfinished: Option<Box<dyn Unfinished>>,
    list_views: bool,
}

/// Something that is left to do when nobody waits, and that finds a row.
pub(crate) trait Unfinished: Send {
    fn finish(self: Box<Self>) -> Result<FoundRow, AggregateError>;
}

/// A row that was found: its columns, its time as a column, and what is known of it.
pub(crate) struct FoundRow {
    pub(crate) values: Vec<ArrayRef>,
    pub(crate) time: ArrayRef,
    pub(crate) about: AboutValues,
}

/// The time of no row.
pub(crate) fn no_time() -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(vec![None]))
}

/// One aggregate's share.
pub(crate) enum Part {
    /// Found already.
    Value(Finished),
    /// A tile each: those before the cut, to be folded from right to left, and those after it.
    Tiles { identity: Box<dyn States>, before: Vec<Tile>, after: Vec<Tile> },
    /// A state, rows that come into its frame and rows that leave it.
    Rows { states: Box<dyn States>, entering: Feed, leaving: Feed },
}

/// A copy of a tile, and rows of it that are still pending.
pub(crate) struct Tile {
    pub(crate) states: Box<dyn States>,
    pub(crate) pending: Option<Feed>,
}

impl Snapshot {
    /// Of a key that is not there: every aggregate's identity.
    pub(crate) fn absent(spec: &StageSpec, frames: usize) -> Snapshot {
        let parts = spec.aggregates.iter().map(|aggregate| Part::Tiles {
            identity: aggregate.function.states(),
            before: Vec::new(),
            after: Vec::new(),
        });
        let carried = spec.carried.iter().map(|input| new_null_array(&spec.inputs[*input], 1));
        Snapshot {
            parts: parts.collect(),
            as_of: 0,
            rows: vec![0; frames],
            newest: vec![None; frames],
            oldest: vec![None; frames],
            carried: carried.collect(),
            event: None,
            window: None,
            unfinished: None,
            list_views: false,
        }
        .or_nothing(spec)
    }

    /// Of keyed logic: that there is no row.
    fn or_nothing(mut self, spec: &StageSpec) -> Snapshot {
        if let Some(process) = &spec.process {
            let values = process.types().map(|data_type| new_null_array(data_type, 1));
            self.set_row(values.collect(), no_time());
        }
        self
    }

    fn set_row(&mut self, values: Vec<ArrayRef>, time: ArrayRef) {
        let part = |values| Part::Value(Finished { values, errors: Vec::new() });
        self.parts = values.into_iter().map(part).collect();
        self.carried = vec![time];
    }

    /// What is found follows when this is finished.
    pub(crate) fn unfinished(self, what: impl Unfinished + 'static) -> Snapshot {
        Snapshot { unfinished: Some(Box::new(what)), ..self }
    }

    /// Whether lists are wanted as views.
    pub(crate) fn with_list_views(self, list_views: bool) -> Snapshot {
        Snapshot { list_views, ..self }
    }

    /// Folds what was copied: what is left to do can be done for many at once.
    pub fn fold(mut self) -> Result<Folded, AggregateError> {
        if let Some(unfinished) = self.unfinished.take() {
            let FoundRow { values, time, about } = unfinished.finish()?;
            (self.rows, self.newest, self.oldest) = (about.rows, about.newest, about.oldest);
            self.set_row(values, time);
        }
        let parts = self.parts.into_iter().map(Part::fold).collect::<Result<_, _>>()?;
        let Snapshot { as_of, rows, newest, oldest, carried, event, window, list_views, .. } = self;
        let about = AboutValues { rows, newest, oldest, event, window };
        Ok(Folded { parts, as_of, carried, about, list_views })
    }

    /// The values.
    pub fn finish(self) -> Result<Values, AggregateError> {
        let ManyValues { values, carried, mut about, errors } = Folded::finish(vec![self.fold()?])?;
        let AboutValues { rows, newest, oldest, event, window } = about.pop().unwrap_or_default();
        let errors = errors.into_iter().map(|error| (error.aggregate, error.reason)).collect();
        Ok(Values { values, rows, newest, oldest, carried, event, window, errors })
    }
}

/// A snapshot, folded.
pub struct Folded {
    parts: Vec<FoldedPart>,
    as_of: i64,
    carried: Vec<ArrayRef>,
    about: AboutValues,
    list_views: bool,
}

/// One aggregate's share of one.
enum FoldedPart {
    /// Found already.
    Value(Finished),
    /// The state of one group.
    State(Box<dyn States>),
}

impl Folded {
    /// The values of several, of one stage: each has what it has alone.
    pub fn finish(all: Vec<Folded>) -> Result<ManyValues, AggregateError> {
        let list_views = all.iter().any(|folded| folded.list_views);
        let as_of: Vec<i64> = all.iter().map(|folded| folded.as_of).collect();
        let (mut parts, mut carried, mut about) = (Vec::new(), Vec::new(), Vec::with_capacity(all.len()));
        for folded in all {
            parts.resize_with(folded.parts.len(), Vec::new);
            parts.iter_mut().zip(folded.parts).for_each(|(all, own)| all.push(own));
            carried.resize_with(folded.carried.len(), Vec::new);
            carried.iter_mut().zip(folded.carried).for_each(|(all, own)| all.push(own));
            about.push(folded.about);
        }
        let (mut values, mut errors) = (Vec::with_capacity(parts.len()), Vec::new());
        for (aggregate, parts) in parts.into_iter().enumerate() {
            let Finished { values: found, errors: failed } = finish_column(parts, &as_of, list_views)?;
            values.push(found);
            let of_row = |(row, reason): (u32, String)| ResultError { row: row as usize, aggregate, reason };
            errors.extend(failed.into_iter().map(of_row));
        }
        let carried = carried.iter().map(|column| one_column(column)).collect::<Result<_, _>>()?;
        Ok(ManyValues { values, carried, about, errors })
    }
}

/// One aggregate's values, of one part each: neighbours that are states are finished together.
fn finish_column(
    parts: Vec<FoldedPart>,
    as_of: &[i64],
    list_views: bool,
) -> Result<Finished, AggregateError> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut errors = Vec::new();
    let mut parts = parts.into_iter().peekable();
    let mut row = 0;
    while let Some(part) = parts.next() {
        let first = row;
        row += 1;
        let finished = match part {
            FoldedPart::Value(finished) => finished,
            FoldedPart::State(mut states) => {
                while let Some(FoldedPart::State(mut next)) =
                    parts.next_if(|it| matches!(it, FoldedPart::State(_)))
                {
                    states.append(&mut *next)?;
                    row += 1;
                }
                states.finish(&counted(row - first), &as_of[first..row])?
            }
        };
        errors.extend(finished.errors.into_iter().map(|(at, reason)| (first as u32 + at, reason)));
        // What was found already may have them otherwise than what is finished now.
        columns.push(shape_lists(&finished.values, list_views)?);
    }
    Ok(Finished { values: one_column(&columns)?, errors })
}

/// Columns behind each other.
fn one_column(columns: &[ArrayRef]) -> Result<ArrayRef, AggregateError> {
    if let [only] = columns {
        return Ok(only.clone());
    }
    let columns: Vec<&dyn Array> = columns.iter().map(|column| &**column).collect();
    concat(&columns).map_err(|error| AggregateError::Broken(error.to_string()))
}

impl Part {
    fn fold(self) -> Result<FoldedPart, AggregateError> {
        let states = match self {
            Part::Value(finished) => return Ok(FoldedPart::Value(finished)),
            Part::Tiles { mut identity, before, after } => {
                identity.resize(1);
                let mut suffix: Option<Box<dyn States>> = None;
                for tile in before.into_iter().rev() {
                    let mut earlier = tile.whole()?;
                    if let Some(later) = suffix {
                        earlier.merge(&[0], later.as_ref(), &[0])?;
                    }
                    suffix = Some(earlier);
                }
                let mut prefix: Option<Box<dyn States>> = None;
                for tile in after {
                    let later = tile.whole()?;
                    match &mut prefix {
                        Some(prefix) => prefix.merge(&[0], later.as_ref(), &[0])?,
                        None => prefix = Some(later),
                    }
                }
                match (suffix, prefix) {
                    (Some(mut suffix), Some(prefix)) => {
                        suffix.merge(&[0], prefix.as_ref(), &[0])?;
                        suffix
                    }
                    (one, other) => one.or(other).unwrap_or(identity),
                }
            }
            Part::Rows { mut states, entering, leaving } => {
                entering.give(|input| states.update(input))?;
                leaving.give(|input| states.retract(input))?;
                states
            }
        };
        Ok(FoldedPart::State(states))
    }
}

impl Tile {
    fn whole(self) -> Result<Box<dyn States>, AggregateError> {
        let mut states = self.states;
        if let Some(pending) = &self.pending {
            // Rows that fail will be refused when they are settled.
            pending.fold(states.as_mut(), &vec![0; pending.times.len()])?;
        }
        Ok(states)
    }
}
