//! The current result of each key, returned again: for whoever did not take results as they became final.
//!
//! Knows what the current one is of each kind of frames. Must not know why it is asked for, and changes nothing: what is
//! open, or not settled, is returned when it is due, as if this had not been asked.

use crate::aggregate::AggregateError;
use crate::answer::{Question, ResultError, Results, Slot, Values};
use crate::over::OverStage;
use crate::spec::Frames;
use crate::timeline::{Stage, Timelines};
use arrow_array::{Array, ArrayRef, TimestampMillisecondArray};
use std::ops::Range;
use std::sync::Arc;
use weir_event::{EventTime, Rank};

/// A result of a key, with what tells it from others.
struct Current {
    slot: Slot,
    values: Values,
    window: Option<(EventTime, EventTime)>,
    event: Option<(i64, Rank)>,
    made: Option<(i64, u32)>,
}

impl Timelines {
    /// Of each key with state among these slots the result that was returned last, if it had any row: of windows the one
    /// that ended last, of sessions the one that the boundary has passed, of `OVER` the newest settled event; of lifetime
    /// values each as it stands. With [`StageSpec::emit_changes`](crate::StageSpec::emit_changes) also what is open, as it
    /// stands. `revised` is true of all of them.
    pub fn current(&self, slots: Range<usize>) -> Result<Results, AggregateError> {
        let held = slots.filter_map(|slot| u32::try_from(slot).ok().map(Slot));
        let mut found = Vec::new();
        for slot in held.filter(|slot| self.is_held(*slot)) {
            for current in self.current_of(slot)? {
                let has_rows = current.event.is_some() || current.values.rows.iter().any(|rows| *rows > 0);
                found.extend(has_rows.then_some(current));
            }
        }
        self.shaped(joined(found)?)
    }

    fn current_of(&self, slot: Slot) -> Result<Vec<Current>, AggregateError> {
        let settled = self.settled();
        let finish = |question: &Question| self.plain_snapshot(slot, question).finish();
        let is_open_shown = self.spec().emit_changes;
        match (&self.stage, &self.spec().frames) {
            (Stage::Over(over), _) => {
                let until = if is_open_shown { EventTime::MAX } else { settled };
                let Some((time, rank)) = over.newest_event(slot.0, until.millis()) else {
                    return Ok(Vec::new());
                };
                let values = finish(&Question::Over { as_of: EventTime::from_millis(time) })?;
                Ok(vec![Current { slot, values, window: None, event: Some((time, rank)), made: None }])
            }
            (Stage::Process(process), _) => {
                let Some((made, columns)) = process.newest(slot.0) else { return Ok(Vec::new()) };
                let values = Values { values: columns, ..of_row(made.0) };
                Ok(vec![Current { slot, values, window: None, event: None, made: Some(made) }])
            }
            (_, Frames::Lifetime) => {
                let values = finish(&Question::Lifetime { as_of: EventTime::MAX })?;
                Ok(vec![Current { slot, values, window: None, event: None, made: None }])
            }
            (_, Frames::Session(_)) => {
                let as_of = if is_open_shown { EventTime::MAX } else { settled };
                let values = finish(&Question::Session { as_of })?;
                let window = values.window.filter(|(_, end)| is_open_shown || *end < settled);
                let current = window.map(|window| Current {
                    slot,
                    values,
                    window: Some(window),
                    event: None,
                    made: None,
                });
                Ok(current.into_iter().collect())
            }
            (_, frames) => {
                let Some(windows) = frames.windows() else { return Ok(Vec::new()) };
                let open = windows.open_at(settled).filter(|_| is_open_shown);
                let asked = windows.complete_at(settled).into_iter().chain(open);
                let current = asked.map(|(start, end)| {
                    let values = finish(&Question::Window { start, end })?;
                    Ok(Current { slot, values, window: Some((start, end)), event: None, made: None })
                });
                current.collect()
            }
        }
    }
}

impl OverStage {
    /// A key's newest event before a time that has a result.
    fn newest_event(&self, slot: u32, before: i64) -> Option<(i64, Rank)> {
        let log = self.logs.find(slot).filter(|log| !log.is_empty())?;
        let number = self.newest_result(log, log.first_at(before), log.start())?;
        let (block, row) = log.row(number);
        Some((log.time(number), block.rank(row)))
    }
}

/// What is known of a row of keyed logic beside its columns.
fn of_row(time: i64) -> Values {
    let time_column: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![time]));
    Values {
        values: Vec::new(),
        rows: vec![1],
        newest: vec![Some(EventTime::from_millis(time))],
        oldest: vec![None],
        carried: vec![time_column],
        event: None,
        window: None,
        errors: Vec::new(),
    }
}

/// The results of keys as columns.
fn joined(found: Vec<Current>) -> Result<Results, AggregateError> {
    let Some(first) = found.first() else { return Ok(Results::default()) };
    let (aggregates, carried) = (first.values.values.len(), first.values.carried.len());
    let column = |of: &dyn Fn(&Values) -> &ArrayRef| {
        let parts: Vec<&dyn Array> = found.iter().map(|current| of(&current.values).as_ref()).collect();
        arrow_select::concat::concat(&parts).map_err(|error| AggregateError::Broken(error.to_string()))
    };
    let errors = found.iter().enumerate().flat_map(|(row, current)| {
        let of_row = move |(aggregate, reason): &(usize, String)| ResultError {
            row,
            aggregate: *aggregate,
            reason: reason.clone(),
        };
        current.values.errors.iter().map(of_row)
    });
    Ok(Results {
        slots: found.iter().map(|current| current.slot).collect(),
        values: (0..aggregates).map(|at| column(&|values| &values.values[at])).collect::<Result<_, _>>()?,
        windows: found
            .iter()
            .filter_map(|it| it.window.map(|(start, end)| (start.millis(), end.millis())))
            .collect(),
        events: found.iter().filter_map(|current| current.event).collect(),
        made: found.iter().filter_map(|current| current.made).collect(),
        carried: (0..carried).map(|at| column(&|values| &values.carried[at])).collect::<Result<_, _>>()?,
        revised: vec![true; found.len()],
        errors: errors.collect(),
        ..Results::default()
    })
}
