//! The training set: the rows of the spine as they came, and beside each the values of the features.
//!
//! Must not know how it is written.

use crate::answering::Answers;
use crate::derived::{DerivedColumn, value_column};
use crate::error::TrainError;
use crate::spine::{Spine, SpineRows};
use crate::{Job, WantedFeature};
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, RecordBatch, StringViewArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;
use std::sync::Arc;
use weir_core::Called;
use weir_format::json::read_single;
use weir_plan::{Feature, JobPlan};

/// What values can be, in the words of lookups.
pub const STATUSES: [&str; 5] = ["ok", "default", "not_found", "partial", "error"];

/// A feature as a column of the table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name there.
    pub name: String,
    /// The name of the column of its status, if that is wanted.
    pub status: Option<String>,
}

/// The table, on its way.
pub struct Table {
    spine: SpineRows,
    /// Rows of it that are not beside their answers yet.
    waiting: Option<RecordBatch>,
    jobs: Vec<JobColumns>,
    schema: SchemaRef,
}

/// Values that could not be derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Underived {
    /// The name of their column.
    pub column: String,
    /// How many there are.
    pub rows: u64,
    /// Why the first could not.
    pub reason: String,
}

/// The columns of one job.
struct JobColumns {
    answers: Answers,
    columns: Vec<(Column, Content)>,
    /// Answers that are not beside their rows yet.
    waiting: Option<RecordBatch>,
}

/// What a column is made of.
enum Content {
    /// A stored feature: the column of the answers that has its values.
    Answers(usize),
    /// A derived one, and which of its values could not be computed.
    Derived(Box<DerivedColumn>, Option<Underived>),
}

impl Table {
    /// The rows of a spine with the answers of jobs, each with a column for each of the features that are asked for.
    pub async fn of(spine: &Spine, jobs: Vec<(&Job, Answers, Vec<Column>)>) -> Result<Table, TrainError> {
        let of_spine = spine.schema.fields.iter();
        let mut fields: Vec<Field> =
            of_spine.map(|field| Field::new(&field.name, field.data_type.to_arrow(), true)).collect();
        let mut of_jobs = Vec::with_capacity(jobs.len());
        for (job, answers, columns) in jobs {
            let mut made = Vec::with_capacity(columns.len());
            for (wanted, column) in job.wanted.iter().zip(columns) {
                let (content, data_type) = content(job, *wanted, spine)?;
                fields.push(Field::new(&column.name, data_type, true));
                fields.extend(column.status.as_ref().map(|name| Field::new(name, DataType::Utf8View, true)));
                made.push((column, content));
            }
            of_jobs.push(JobColumns { answers, columns: made, waiting: None });
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Table { spine: spine.open().await?, waiting: None, jobs: of_jobs, schema })
    }

    /// The values that could not be derived so far, by column.
    pub fn underived(&self) -> impl Iterator<Item = &Underived> {
        let columns = self.jobs.iter().flat_map(|job| &job.columns);
        columns.filter_map(|(_, content)| match content {
            Content::Derived(_, failed) => failed.as_ref(),
            Content::Answers(_) => None,
        })
    }

    /// Names and types of its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that come next, as many as the answers of all jobs hold at once; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, TrainError> {
        if self.waiting.as_ref().is_none_or(|rows| rows.num_rows() == 0) {
            self.waiting = self.spine.next().await?.map(|(_, rows)| rows);
        }
        let Some(rows) = self.waiting.take() else {
            let mut left = self.jobs.iter_mut().map(JobColumns::at_hand);
            return if left.all(|left| matches!(left, Ok(0))) { Ok(None) } else { Err(changed()) };
        };
        let mut count = rows.num_rows();
        for job in &mut self.jobs {
            count = count.min(job.at_hand()?);
        }
        if count == 0 {
            return Err(changed());
        }
        self.waiting = Some(rows.slice(count, rows.num_rows() - count));
        let rows = rows.slice(0, count);
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        for job in &mut self.jobs {
            job.take(&rows, &mut columns)?;
        }
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}

impl JobColumns {
    /// How many answers are at hand; none behind the last.
    fn at_hand(&mut self) -> Result<usize, TrainError> {
        if self.waiting.as_ref().is_none_or(|rows| rows.num_rows() == 0) {
            self.waiting = self.answers.next()?;
        }
        Ok(self.waiting.as_ref().map_or(0, RecordBatch::num_rows))
    }

    /// Appends the columns of the answers to these rows of the spine, which are at hand.
    fn take(&mut self, spine: &RecordBatch, columns: &mut Vec<ArrayRef>) -> Result<(), TrainError> {
        let Some(rows) = self.waiting.take() else { return Ok(()) };
        let count = spine.num_rows();
        self.waiting = Some(rows.slice(count, rows.num_rows() - count));
        let answers = rows.slice(0, count);
        let mut called = Called::default();
        for (column, content) in &mut self.columns {
            let (values, statuses) = match content {
                Content::Answers(at) => (answers.column(*at).clone(), answers.column(*at + 1).clone()),
                Content::Derived(derived, failed) => {
                    let made = derived.compute(spine, &answers, &mut called)?;
                    add_underived(failed, &column.name, made.failed);
                    (made.values, made.statuses)
                }
            };
            columns.push(values);
            if column.status.is_some() {
                columns.push(words(&statuses));
            }
        }
        Ok(())
    }
}

/// What a feature that is wanted is made of, and the type of its values.
fn content(job: &Job, wanted: WantedFeature, spine: &Spine) -> Result<(Content, DataType), TrainError> {
    match wanted {
        WantedFeature::Stored(stored) => {
            let answered = job.features.iter().position(|answered| *answered == stored);
            let lacks =
                || TrainError::weir(format!("feature {stored} of job `{}` was not asked", job.plan.name));
            let column = value_column(answered.ok_or_else(lacks)?);
            Ok((Content::Answers(column), data_type(&job.plan, &job.plan.features[stored])))
        }
        WantedFeature::Derived(at) => {
            let column = DerivedColumn::of(job, at, spine)?;
            let data_type = column.data_type().clone();
            Ok((Content::Derived(Box::new(column), None), data_type))
        }
    }
}

fn add_underived(known: &mut Option<Underived>, column: &str, (rows, reason): (u64, Option<String>)) {
    let Some(reason) = reason else { return };
    let known = known.get_or_insert_with(|| Underived { column: column.to_owned(), rows: 0, reason });
    known.rows += rows;
}

fn changed() -> TrainError {
    TrainError::user("the spine changed while it was read; run it again when nobody writes to it")
}

fn words(statuses: &ArrayRef) -> ArrayRef {
    let statuses = statuses.as_primitive::<Int8Type>().values();
    let words = statuses.iter().map(|status| STATUSES.get(*status as usize).copied());
    Arc::new(words.collect::<StringViewArray>())
}

/// The type of a feature's values in the table: lists are lists, however timelines lay them out.
pub(crate) fn data_type(plan: &JobPlan, feature: &Feature) -> DataType {
    match plan.output.schema.field(feature.column).data_type() {
        DataType::ListView(item) => DataType::List(item.clone()),
        other => other.clone(),
    }
}

/// A value as one of this type.
pub(crate) fn as_type(value: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, TrainError> {
    if value.data_type() == data_type { Ok(value.clone()) } else { Ok(cast(value, data_type)?) }
}

/// A row of what a stored feature's definition gives where there is no row.
pub(crate) fn default_of(plan: &JobPlan, feature: &Feature) -> Result<Option<ArrayRef>, TrainError> {
    let declared = (&*feature.name, feature.default.as_ref(), &feature.data_type);
    declared_default(declared, &data_type(plan, feature))
}

/// A row of the default that a feature of this name and type declares, as a column of values has it.
pub(crate) fn declared_default(
    (name, default, declared): (&str, Option<&Value>, &weir_event::DataType),
    data_type: &DataType,
) -> Result<Option<ArrayRef>, TrainError> {
    let Some(default) = default else { return Ok(None) };
    let value = read_single(default, declared).map_err(|_| {
        TrainError::user(format!("the default of feature `{name}` is not of its type; write another"))
    })?;
    as_type(&value, data_type).map(Some)
}
