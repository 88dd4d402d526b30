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
use arrow_array::{Array, ArrayRef, Int8Array, Int64Array, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use weir_core::{Answer, Keyed, Outcome, Served};

/// Answers are put aside so many at a time, fewer where they are large.
const ANSWERS: usize = 4096;
const ANSWERS_BYTES: usize = 8 << 20;

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
        self.put_aside()?;
        let counts = self.keyed.counts();
        let (failed, reason) = self.failed;
        Ok(Done { late: counts.late, dropped: counts.dropped, failed, reason })
    }

    fn answer(&mut self, ask: &Ask) -> Result<(), TrainError> {
        let Asking { rows, keys } = &*ask.rows;
        self.numbers.push(rows.column(NUMBER).as_primitive::<Int64Type>().value(ask.row));
        let key: Vec<ArrayRef> = keys.iter().map(|column| column.slice(ask.row, 1)).collect();
        let is_null = key.iter().any(|column| column.null_count() > 0);
        let looked = (!is_null).then(|| self.keyed.lookup(&key, ask.as_of));
        match looked {
            Some(Ok(answer)) => {
                for asked in &mut self.asked {
                    self.bytes += asked.take(&answer, ask)?;
                }
            }
            // A lookup would have been refused, as state does not reach back so far, or the values failed as a whole.
            Some(Err(error)) => {
                self.failed.0 += 1;
                self.failed.1.get_or_insert_with(|| error.to_string());
                self.asked.iter_mut().for_each(Asked::fail);
            }
            // A null key is written to sinks and not looked up.
            None => self.asked.iter_mut().for_each(Asked::fail),
        }
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

impl Asked {
    /// Takes a value, and says how many bytes it has.
    fn take(&mut self, answer: &Answer, ask: &Ask) -> Result<usize, TrainError> {
        let looked = &answer.settled;
        let outcome = self.served.outcome(looked);
        let has_row = looked.columns.num_rows() > 0;
        let value = match (outcome, &self.default) {
            (Outcome::Default, Some(default)) => default.clone(),
            (Outcome::Found | Outcome::Nothing, _) if has_row => {
                table::as_type(looked.columns.column(self.served.column), &self.data_type)?
            }
            _ => new_null_array(&self.data_type, 1),
        };
        let time = ask.time.map(|_| answer.as_of);
        let is_partial = |since| self.served.is_partial(since, looked, time);
        self.statuses.push(match outcome {
            Outcome::Failed => STATUS_ERROR,
            _ if ask.is_cut_off || ask.since.is_some_and(is_partial) => STATUS_PARTIAL,
            Outcome::Found => STATUS_OK,
            Outcome::Default => STATUS_DEFAULT,
            Outcome::Nothing => STATUS_NOT_FOUND,
        });
        let bytes = value.get_array_memory_size();
        self.values.push(value);
        Ok(bytes)
    }

    fn fail(&mut self) {
        self.values.push(new_null_array(&self.data_type, 1));
        self.statuses.push(STATUS_ERROR);
    }
}
