//! A worker: the timelines of some key groups of a job, told what to do one thing after the other.
//!
//! Must not know when anything was known.

use crate::error::TrainError;
use crate::orders::{Ask, Asking, Order};
use crate::sorting::Sorter;
use crate::spine::NUMBER;
use crate::{Job, table};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int8Array, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use weir_core::{Keyed, Looked, LookupError, Outcome, Pending, Served, finish_together};
use weir_event::EventTime;

/// Answers are put aside so many at a time, fewer where they are large.
const ANSWERS: usize = 4096;
const ANSWERS_BYTES: usize = 8 << 20;

/// So many questions are answered at once.
const TOGETHER: usize = 512;

/// What a value is, as lookups call it; the numbers are those of [`table::STATUSES`].
const STATUS_OK: i8 = 0;
const STATUS_DEFAULT: i8 = 1;
const STATUS_NOT_FOUND: i8 = 2;
const STATUS_PARTIAL: i8 = 3;
const STATUS_ERROR: i8 = 4;

/// A feature that is asked for.
#[derive(Debug)]
struct Asked {
    served: Served,
    /// The type of its values.
    data_type: DataType,
    /// A row of its default.
    default: Option<ArrayRef>,
    values: Vec<ArrayRef>,
    statuses: Vec<i8>,
}

/// What a job's answers look like: the number of the spine's row, then of each feature its value and its status.
pub(crate) fn schema(job: &Job) -> SchemaRef {
    let mut fields = vec![Field::new("", DataType::Int64, true)];
    for at in &job.features {
        let feature = &job.plan.features[*at];
        fields.push(Field::new(&feature.name, table::data_type(&job.plan, feature), true));
        fields.push(Field::new("", DataType::Int8, true));
    }
    Arc::new(Schema::new(fields))
}

/// Holds timelines and answers.
pub(crate) struct Worker {
    pub(crate) number: usize,
    job: Job,
    pub(crate) groups: Range<u16>,
    pub(crate) keyed: Keyed,
    asked: Vec<Asked>,
    schema: SchemaRef,
    /// What is asked and not answered, of rows of one batch of the spine, in their order; `None` where nobody can be asked.
    pending: Vec<(Ask, Option<Pending>)>,
    numbers: Vec<i64>,
    /// Of the values that are not put aside.
    bytes: usize,
    /// How many rows of the spine have no answer though they have a key, and why the first has none.
    pub(crate) failed: (u64, Option<String>),
    answers: Arc<Mutex<Sorter>>,
}

/// What became of a worker's rows.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Rows that were late, as the timelines alone can tell.
    pub(crate) late: u64,
    /// Those of them that do not count.
    pub(crate) dropped: u64,
    /// Rows of the spine that have no answer though they have a key.
    pub(crate) failed: u64,
    /// Why the first of them has none.
    pub(crate) reason: Option<String>,
}

impl Worker {
    /// The one of this number, which has these key groups.
    pub(crate) fn new(
        number: usize,
        job: &Job,
        groups: Range<u16>,
        answers: Arc<Mutex<Sorter>>,
    ) -> Result<Worker, TrainError> {
        let asked = |at: &usize| {
            let feature = &job.plan.features[*at];
            Ok(Asked {
                served: Served::of(&job.plan, feature),
                data_type: table::data_type(&job.plan, feature),
                default: table::default_of(&job.plan, feature)?,
                values: Vec::new(),
                statuses: Vec::new(),
            })
        };
        Ok(Worker {
            number,
            keyed: Keyed::silent(job.plan.clone(), groups.clone())?,
            groups,
            asked: job.features.iter().map(asked).collect::<Result<_, TrainError>>()?,
            schema: schema(job),
            job: job.clone(),
            pending: Vec::new(),
            numbers: Vec::new(),
            bytes: 0,
            failed: (0, None),
            answers,
        })
    }

    /// Does what it is told until nothing more comes.
    pub(crate) fn run(mut self, orders: &Receiver<Arc<Vec<Order>>>) -> Result<Done, TrainError> {
        while let Ok(orders) = orders.recv() {
            for order in orders.iter() {
                match order {
                    Order::Rows(rows, range) => {
                        let own = rows.of_worker(self.number, range);
                        if !own.is_empty() {
                            self.keyed.some_rows(0, &rows.rows, own)?;
                        }
                    }
                    Order::Settle(to) => {
                        for results in self.keyed.settle(*to) {
                            results?;
                        }
                    }
                    Order::Ask(ask) if ask.worker == self.number => self.answer(ask)?,
                    Order::Ask(_) => {}
                    Order::Keep(keep) => self.keep(keep),
                }
            }
        }
        self.finish()?;
        self.put_aside()?;
        let counts = self.keyed.counts();
        let (failed, reason) = self.failed;
        Ok(Done { late: counts.late, dropped: counts.dropped, failed, reason })
    }

    fn answer(&mut self, ask: &Ask) -> Result<(), TrainError> {
        if self.pending.first().is_some_and(|(first, _)| !Arc::ptr_eq(&first.rows, &ask.rows)) {
            self.finish()?;
        }
        let Asking { rows, entities } = &*ask.rows;
        self.numbers.push(rows.column(NUMBER).as_primitive::<Int64Type>().value(ask.row));
        // A null key is written to sinks and not looked up.
        let asked = entities.key(ask.row).map(|key| self.keyed.ask(key, ask.as_of));
        // A lookup would have been refused, as state does not reach back so far.
        let asked = asked.and_then(|asked| asked.map_err(|error| self.fail(&error)).ok());
        self.pending.push((ask.clone(), asked));
        if self.pending.len() >= TOGETHER { self.finish() } else { Ok(()) }
    }

    fn fail(&mut self, error: &LookupError) {
        self.failed.0 += 1;
        self.failed.1.get_or_insert_with(|| error.to_string());
    }

    /// Answers what was asked so far.
    pub(crate) fn finish(&mut self) -> Result<(), TrainError> {
        let Some((first, _)) = self.pending.first() else { return Ok(()) };
        let spine = first.rows.clone();
        let (asks, pending): (Vec<Ask>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().unzip();
        let has_question =
            |(ask, pending): (&Ask, &Option<Pending>)| pending.as_ref().map(|_| ask.row as u32);
        let rows: UInt32Array = asks.iter().zip(&pending).filter_map(has_question).map(Some).collect();
        if rows.is_empty() {
            self.asked.iter_mut().for_each(|asked| asked.fail(asks.len()));
            return self.put_aside_if_much();
        }
        let keys = spine.entities.columns().iter().map(|column| take(column, &rows, None));
        let keys = keys.collect::<Result<Vec<ArrayRef>, _>>()?;
        let as_of: Vec<Option<EventTime>> = pending.iter().map(|it| Some(it.as_ref()?.as_of())).collect();
        let together = match finish_together(&self.job.plan, &keys, pending.into_iter().flatten().collect()) {
            Ok(together) => together,
            // The values failed as a whole.
            Err(error) => {
                as_of.iter().flatten().for_each(|_| self.fail(&error));
                self.asked.iter_mut().for_each(|asked| asked.fail(asks.len()));
                return self.put_aside_if_much();
            }
        };
        self.bytes += together.columns.get_array_memory_size();
        let mut each = together.each.iter();
        let looked = as_of.iter().map(|as_of| as_of.and_then(|as_of| Some((each.next()?, as_of)))).collect();
        let answers = AnsweredAsks { asks: &asks, columns: &together.columns, looked };
        self.asked.iter_mut().try_for_each(|asked| asked.take(&answers))?;
        self.put_aside_if_much()
    }

    fn put_aside_if_much(&mut self) -> Result<(), TrainError> {
        let is_little = self.numbers.len() < ANSWERS && self.bytes < ANSWERS_BYTES;
        if is_little { Ok(()) } else { self.put_aside() }
    }

    pub(crate) fn put_aside(&mut self) -> Result<(), TrainError> {
        if self.numbers.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(std::mem::take(&mut self.numbers)))];
        for asked in &mut self.asked {
            let values = std::mem::take(&mut asked.values);
            let values: Vec<&dyn Array> = values.iter().map(|value| &**value).collect();
            columns.push(arrow_select::concat::concat(&values)?);
            columns.push(Arc::new(Int8Array::from(std::mem::take(&mut asked.statuses))));
        }
        let rows = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| TrainError::weir(format!("job `{}`: {error}", self.job.plan.name)))?;
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(rows)
    }
}

/// Answers to some rows of the spine.
struct AnsweredAsks<'a> {
    asks: &'a [Ask],
    /// The result columns of all that have a row.
    columns: &'a RecordBatch,
    /// By row of the spine, what was found and as of when; nothing where nobody was asked.
    looked: Vec<Option<(&'a Looked, EventTime)>>,
}

impl Asked {
    fn take(&mut self, answers: &AnsweredAsks<'_>) -> Result<(), TrainError> {
        let AnsweredAsks { asks, columns, looked } = answers;
        let outcome = |found: &Option<(&Looked, EventTime)>| Some(self.served.outcome(found.as_ref()?.0));
        let outcomes: Vec<Option<Outcome>> = looked.iter().map(outcome).collect();
        let statuses = asks.iter().zip(looked).zip(&outcomes).map(|((ask, found), outcome)| {
            found.zip(*outcome).map_or(STATUS_ERROR, |(found, outcome)| self.status(ask, found, outcome))
        });
        let statuses: Vec<i8> = statuses.collect();
        self.statuses.extend(statuses);
        let is_of_column = |outcome: &Option<Outcome>| match outcome {
            Some(Outcome::Default) => self.default.is_none(),
            Some(Outcome::Found | Outcome::Nothing | Outcome::Failed) => true,
            None => false,
        };
        if columns.num_rows() == asks.len() && outcomes.iter().all(is_of_column) {
            self.values.push(table::as_type(columns.column(self.served.column), &self.data_type)?);
            return Ok(());
        }
        for (found, outcome) in looked.iter().zip(&outcomes) {
            let row = found.map(|(looked, _)| &looked.columns).filter(|row| row.num_rows() > 0);
            let value = match (outcome, &self.default, row) {
                (Some(Outcome::Default), Some(default), _) => default.clone(),
                (Some(Outcome::Found | Outcome::Nothing), _, Some(row)) => {
                    table::as_type(row.column(self.served.column), &self.data_type)?
                }
                _ => new_null_array(&self.data_type, 1),
            };
            self.values.push(value);
        }
        Ok(())
    }

    fn status(&self, ask: &Ask, (looked, as_of): (&Looked, EventTime), outcome: Outcome) -> i8 {
        let time = ask.time.map(|_| as_of);
        let is_partial = |since| self.served.is_partial(since, looked, time);
        match outcome {
            Outcome::Failed => STATUS_ERROR,
            _ if ask.is_cut_off || ask.since.is_some_and(is_partial) => STATUS_PARTIAL,
            Outcome::Found => STATUS_OK,
            Outcome::Default => STATUS_DEFAULT,
            Outcome::Nothing => STATUS_NOT_FOUND,
        }
    }

    /// So many rows have no value.
    fn fail(&mut self, rows: usize) {
        self.values.push(new_null_array(&self.data_type, rows));
        self.statuses.extend(std::iter::repeat_n(STATUS_ERROR, rows));
    }
}
