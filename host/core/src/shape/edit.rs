//! What an edited plan makes of stored state: which columns it keeps, which begin anew, and since when these have all
//! rows.
//!
//! An aggregate or a column of rows stays where one of its name is stored. What is new begins without rows; only an
//! aggregate of `OVER` over columns that are kept of rows is whole at once, as far back as rows are kept. Rows and windows
//! in which nothing is left go; results that were made of them are then out of reach, so that no late row has them
//! made anew of itself alone.

use super::{Age, Reach, StoredAggregate, StoredColumn, StoredShape, newest_read};
use crate::error::CoreError;
use crate::keyed::reached::Reached;
use crate::stored::Name;
use weir_event::{EventTime, Span};
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::{AggregateSpec, Block, Edit, Frames, Kind, Origins};

/// When an edit is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EditTime {
    /// The newest event time that was read from any partition; `None` before the first row.
    pub newest: Option<EventTime>,
    /// The job's watermark.
    pub watermark: Option<EventTime>,
    /// The oldest time that some key may be asked for.
    pub oldest: Option<EventTime>,
}

/// State on its way from one plan to another.
#[derive(Debug)]
pub struct Edited {
    /// What it consists of then.
    pub shape: StoredShape,
    /// Makes its blocks those of the new plan.
    edit: Edit,
    /// Whether no aggregate goes on.
    pub(crate) begins_anew: bool,
    /// Of each aggregate that is not as it was, since when it has all rows.
    begun_aggregates: Vec<Option<EventTime>>,
    begun_columns: Vec<Option<EventTime>>,
    /// Since when rows are kept, if they were not.
    begun_rows: Option<EventTime>,
    /// Whether there are states of an aggregate that the new plan does not have.
    pub drops_states: bool,
}

impl EditTime {
    /// The time from which on no row was read yet; `None` if none was at all.
    fn unread(self) -> Option<EventTime> {
        let newest = self.newest? + Span::from_millis(1);
        Some(self.watermark.map_or(newest, |watermark| watermark.max(newest)))
    }

    /// The oldest time that rows are kept for, whatever the frames are; `None` if no row was read.
    fn kept_since(self) -> Option<EventTime> {
        self.newest.and(self.oldest.or(self.watermark))
    }
}

impl Edited {
    /// Something of the state as the new plan has it; `None` if it has no use for it.
    ///
    /// # Errors
    /// If the bytes do not read.
    pub fn translate(&self, name: Name<'_>, stored: &[u8]) -> Result<Option<Vec<u8>>, CoreError> {
        match name {
            Name::Reached(_) if self.begins_anew => {
                let reached = Reached::decode(stored)?;
                Ok(Some(Reached { oldest: reached.oldest.max(reached.settled), ..reached }.encode()))
            }
            Name::Reached(_) => Ok(Some(stored.to_vec())),
            // Results of other windows are other results.
            Name::Block { block: Block { column: Name::WRITTEN, .. }, .. } => {
                Ok((!self.begins_anew).then(|| stored.to_vec()))
            }
            Name::Block { block, .. } => Ok(self.edit.translate(block, stored)?),
        }
    }

    /// Whether nothing of the state goes on.
    pub fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// Since when a result column has all rows, where the edit has made that later than it was.
    pub fn begun(&self, plan: &JobPlan, column: usize) -> Option<EventTime> {
        newest_read(plan, column, &self.begun_aggregates, &self.begun_columns, self.begun_rows)
    }
}

/// Where things are in the stored state that the new plan wants, as far as they are.
struct Matched<'s> {
    stored: &'s StoredShape,
    stage: &'s KeyedStage,
    columns: Vec<Option<usize>>,
    aggregates: Vec<Option<usize>>,
    keeps_states: bool,
    keeps_rows: bool,
}

impl StoredShape {
    /// What a plan makes of the state; `None` if it is of the plan's shape as it is.
    ///
    /// # Errors
    /// If what is said of the state makes no sense.
    pub fn edited(&self, plan: &JobPlan, at: EditTime) -> Result<Option<Edited>, CoreError> {
        let fresh = StoredShape::of(plan);
        let Some(stage) = plan.stage.as_ref().filter(|_| !self.has_names_of(&fresh)) else { return Ok(None) };
        let matched = Matched::of(self, &fresh, stage);
        let shape = matched.shape(fresh, at);
        let damaged = || CoreError::Damaged("what its state consists of makes no sense".to_owned());
        let stored_columns: Option<Vec<Kind>> =
            self.columns.iter().map(|it| Kind::of_word(&it.kind)).collect();
        let origins = Origins {
            stored_aggregates: self.aggregates.len(),
            stored_columns: stored_columns.ok_or_else(damaged)?,
            keeps_states: matched.keeps_states,
            keeps_rows: matched.keeps_rows,
            aggregates: matched.aggregates.clone(),
            columns: matched.columns.clone(),
            made_by: Vec::new(),
        };
        let edit = Edit::new(&stage.spec, origins).ok_or_else(damaged)?;
        let is_as_it_was = |now: &StoredAggregate| {
            matched.keeps_any()
                && self.aggregates.iter().any(|it| (&it.name, &it.frame) == (&now.name, &now.frame))
        };
        let begun_aggregates =
            shape.aggregates.iter().map(|now| now.age.since.filter(|_| !is_as_it_was(now))).collect();
        let columns = shape.columns.iter().zip(&matched.columns);
        let begun_columns = columns.map(|(now, from)| now.age.since.filter(|_| from.is_none())).collect();
        let mut stored = 0..self.aggregates.len();
        let drops_memories = stage.spec.process.is_some() && !matched.keeps_states;
        let drops_aggregates = stored.any(|at| !matched.aggregates.contains(&Some(at)));
        let drops_states = drops_memories || matched.has_states() && drops_aggregates;
        let begins_anew = !matched.keeps_an_aggregate();
        let begun_rows = shape.kept_rows.since.filter(|_| !matched.keeps_rows);
        Ok(Some(Edited {
            shape,
            edit,
            begins_anew,
            begun_aggregates,
            begun_columns,
            begun_rows,
            drops_states,
        }))
    }

    /// Whether blocks are written alike, and rows are kept as far back.
    pub(super) fn has_names_of(&self, other: &StoredShape) -> bool {
        let aggregates = |shape: &StoredShape| -> Vec<(String, String)> {
            shape.aggregates.iter().map(|it| (it.name.clone(), it.frame.clone())).collect()
        };
        let columns = |shape: &StoredShape| -> Vec<(String, String)> {
            shape.columns.iter().map(|it| (it.name.clone(), it.kind.clone())).collect()
        };
        self.rows == other.rows
            && self.reach == other.reach
            && aggregates(self) == aggregates(other)
            && columns(self) == columns(other)
    }
}

impl<'s> Matched<'s> {
    fn of(stored: &'s StoredShape, fresh: &StoredShape, stage: &'s KeyedStage) -> Matched<'s> {
        let is_same = stored.rows == fresh.rows;
        let column = |wanted: &StoredColumn| {
            let is_it = |it: &StoredColumn| it.name == wanted.name && it.kind == wanted.kind;
            stored.columns.iter().position(is_it).filter(|_| is_same)
        };
        let aggregate = |wanted: &StoredAggregate| {
            stored.aggregates.iter().position(|it| it.name == wanted.name).filter(|_| is_same)
        };
        let columns: Vec<Option<usize>> = fresh.columns.iter().map(column).collect();
        let aggregates: Vec<Option<usize>> = fresh.aggregates.iter().map(aggregate).collect();
        let keeps_states = is_same && (aggregates.is_empty() || aggregates.iter().any(Option::is_some));
        let mut matched =
            Matched { stored, stage, columns, aggregates, keeps_states, keeps_rows: keeps_states };
        if matched.is_over() {
            matched.keeps_rows = is_same && matched.has_use_for_rows();
        }
        if !matched.keeps_rows {
            matched.columns.fill(None);
        }
        matched
    }

    fn is_over(&self) -> bool {
        matches!(self.stage.spec.frames, Frames::Over(_))
    }

    /// Whether aggregates have states, and not rows alone.
    fn has_states(&self) -> bool {
        !self.is_over() || self.stage.spec.tail.is_some()
    }

    fn keeps_any(&self) -> bool {
        self.keeps_states || self.keeps_rows
    }

    /// Where some input columns are among those that are kept of rows.
    fn positions(&self, inputs: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let kept = self.stage.spec.kept_columns();
        inputs.into_iter().filter_map(|input| kept.binary_search(&input).ok()).collect()
    }

    fn columns_of(&self, aggregate: &AggregateSpec) -> Vec<usize> {
        self.positions(aggregate.arguments.iter().copied().chain(aggregate.filter))
    }

    /// Whether some aggregate or column of `OVER` has values over rows that are kept.
    fn has_use_for_rows(&self) -> bool {
        let mut carried = self.positions(self.stage.spec.carried.iter().copied()).into_iter();
        self.reads_stored_columns() || carried.any(|position| self.columns[position].is_some())
    }

    /// Whether all columns are stored that some aggregate reads.
    fn reads_stored_columns(&self) -> bool {
        let is_stored = |position: &usize| self.columns[*position].is_some();
        let mut aggregates = self.stage.spec.aggregates.iter();
        aggregates.any(|aggregate| self.columns_of(aggregate).iter().all(is_stored))
    }

    /// Whether some aggregate goes on, or rows do of which none is asked for.
    fn keeps_an_aggregate(&self) -> bool {
        if !self.is_over() {
            return self.keeps_states;
        }
        // Rows that have left for tiles go with these, and what is left of frames is no value of theirs.
        let loses_rows = self.stored.tail.is_some() && !self.keeps_states;
        self.keeps_rows
            && (self.stage.spec.aggregates.is_empty() || self.reads_stored_columns() && !loses_rows)
    }

    /// Since when rows are kept, behind the edit. Where there were tiles and are none, those in them are no more.
    fn age_of_rows(&self, at: EditTime) -> Age {
        let known = self.stored.kept_rows.older();
        let loses_tiles = self.stored.tail.is_some() && self.stage.spec.tail.is_none();
        let since = known.since.max(at.kept_since().filter(|_| loses_tiles));
        Age { since, ..known }
    }

    /// What the state consists of when the edit is made.
    fn shape(&self, mut fresh: StoredShape, at: EditTime) -> StoredShape {
        let begun = Age { since: at.unread(), edits: Some(1) };
        for (column, from) in fresh.columns.iter_mut().zip(&self.columns) {
            column.age = from.map_or(begun, |from| self.stored.columns[from].age.older());
        }
        fresh.kept_rows = if self.keeps_rows { self.age_of_rows(at) } else { begun };
        let ages: Vec<Age> = match self.is_over() {
            true if self.keeps_rows => self.ages_over_rows(&fresh, at),
            true => vec![begun; fresh.aggregates.len()],
            false => self
                .aggregates
                .iter()
                .map(|from| from.map_or(begun, |from| self.stored.aggregates[from].age.older()))
                .collect(),
        };
        for (aggregate, age) in fresh.aggregates.iter_mut().zip(ages) {
            aggregate.age = age;
        }
        fresh
    }

    /// Since when aggregates of `OVER` have all rows: as the rows, and the columns that they read of them, and as far back
    /// as rows were kept for frames; under a tail what has left the log is in states.
    fn ages_over_rows(&self, fresh: &StoredShape, at: EditTime) -> Vec<Age> {
        let spec = &self.stage.spec;
        let Frames::Over(frames) = &spec.frames else { return Vec::new() };
        let oldest = at.kept_since();
        let age = |(number, aggregate): (usize, &AggregateSpec)| {
            let columns = self.columns_of(aggregate);
            let ages = || columns.iter().map(|position| fresh.columns[*position].age);
            // A row of several values is chosen among all rows, and has those of its values that were kept.
            let edits =
                ages().filter_map(|age| age.edits).min().filter(|_| aggregate.function.selection().is_none());
            let wanted = &fresh.aggregates[number];
            let known = self.stored.aggregates.iter();
            let as_it_was = known.clone().find(|it| (&it.name, &it.frame) == (&wanted.name, &wanted.frame));
            if let Some(as_it_was) = as_it_was {
                return Age { since: as_it_was.age.since, edits };
            }
            let reach: Reach = self.stored.reach;
            let of_frame =
                oldest.and_then(|oldest| reach.missing(&frames[aggregate.frame], spec.retention, oldest));
            let of_states = match self.aggregates[number] {
                _ if spec.tail.is_none() => None,
                Some(from) => self.stored.aggregates[from].age.since,
                None => oldest,
            };
            let of_columns = ages().filter_map(|age| age.since);
            let since = of_columns.chain(fresh.kept_rows.since).chain(of_frame).chain(of_states).max();
            Age { since, edits }
        };
        spec.aggregates.iter().enumerate().map(age).collect()
    }
}

impl Age {
    fn older(self) -> Age {
        Age { edits: self.edits.map(|edits| edits.saturating_add(1)), ..self }
    }
}
