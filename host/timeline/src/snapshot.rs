//! The truth: one key's values for one question, from tiles and row log.
//!
//! Taking a snapshot copies states and rows out, for it is done under a lock; merging and finishing is for later.

use crate::aggregate::{AggregateError, Finished, States, Steps};
use crate::answer::{Values, shape_lists};
use crate::feed::Feed;
use crate::spec::StageSpec;
use arrow_array::{ArrayRef, new_null_array};
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
    list_views: bool,
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
            list_views: false,
        }
    }

    /// Whether lists are wanted as views.
    pub(crate) fn with_list_views(self, list_views: bool) -> Snapshot {
        Snapshot { list_views, ..self }
    }

    /// The values.
    pub fn finish(mut self) -> Result<Values, AggregateError> {
        let mut values = Vec::with_capacity(self.parts.len());
        let mut errors = Vec::new();
        for (at, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let finished = part.finish(self.as_of)?;
            errors.extend(finished.errors.into_iter().map(|(_, reason)| (at, reason)));
            values.push(shape_lists(&finished.values, self.list_views)?);
        }
        let Snapshot { rows, newest, oldest, carried, event, window, .. } = self;
        Ok(Values { values, rows, newest, oldest, carried, event, window, errors })
    }
}

impl Part {
    fn finish(self, as_of: i64) -> Result<Finished, AggregateError> {
        match self {
            Part::Value(finished) => Ok(finished),
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
                let states = match (suffix, prefix) {
                    (Some(mut suffix), Some(prefix)) => {
                        suffix.merge(&[0], prefix.as_ref(), &[0])?;
                        suffix
                    }
                    (one, other) => one.or(other).unwrap_or(identity),
                };
                states.finish(&[0], &[as_of])
            }
            Part::Rows { mut states, entering, leaving } => {
                let (enter, leave) = ([entering.times.len() as u32], [leaving.times.len() as u32]);
                let (entering, leaving) = (entering.stretch(&enter), leaving.stretch(&leave));
                states.slide(&Steps { groups: &[0], as_of: &[as_of], entering, leaving })
            }
        }
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
