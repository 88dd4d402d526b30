//! The training set: the rows of the spine as they came, and beside each the values of the features.
//!
//! Must not know how it is written.

use crate::Job;
use crate::answering::Answers;
use crate::error::TrainError;
use crate::spine::{Spine, SpineRows};
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, ArrayRef, RecordBatch, StringViewArray};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use weir_connect::{Decoder, Framing, KnownTimes, RawBlock};
use weir_event::{PartitionId, Position, StreamSchema};
use weir_format::json::JsonDecoder;
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

/// The columns of one job.
struct JobColumns {
    answers: Answers,
    columns: Vec<Column>,
    /// Answers that are not beside their rows yet.
    waiting: Option<RecordBatch>,
}

impl Table {
    /// The rows of a spine with the answers of jobs, each with a column for each of the features that are asked for.
    pub async fn of(spine: &Spine, jobs: Vec<(&Job, Answers, Vec<Column>)>) -> Result<Table, TrainError> {
        let of_spine = spine.schema.fields.iter();
        let mut fields: Vec<Field> =
            of_spine.map(|field| Field::new(&field.name, field.data_type.to_arrow(), true)).collect();
        for (job, _, columns) in &jobs {
            for (at, column) in job.features.iter().zip(columns) {
                let of_value = data_type(&job.plan, &job.plan.features[*at]);
                fields.push(Field::new(&column.name, of_value, true));
                fields.extend(column.status.as_ref().map(|name| Field::new(name, DataType::Utf8View, true)));
            }
        }
        let jobs =
            jobs.into_iter().map(|(_, answers, columns)| JobColumns { answers, columns, waiting: None });
        let (jobs, schema) = (jobs.collect(), Arc::new(Schema::new(fields)));
        Ok(Table { spine: spine.open().await?, waiting: None, jobs, schema })
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
        let mut columns: Vec<ArrayRef> = rows.slice(0, count).columns().to_vec();
        for job in &mut self.jobs {
            job.take(count, &mut columns);
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

    /// Appends the columns of so many answers, which are at hand.
    fn take(&mut self, count: usize, columns: &mut Vec<ArrayRef>) {
        let Some(rows) = self.waiting.take() else { return };
        self.waiting = Some(rows.slice(count, rows.num_rows() - count));
        for (at, column) in self.columns.iter().enumerate() {
            columns.push(rows.column(1 + 2 * at).slice(0, count));
            if column.status.is_some() {
                columns.push(words(&rows.column(2 + 2 * at).slice(0, count)));
            }
        }
    }
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

/// A row of what a feature's definition gives where there is no row, read as JSON of its type is.
pub(crate) fn default_of(plan: &JobPlan, feature: &Feature) -> Result<Option<ArrayRef>, TrainError> {
    let Some(default) = &feature.default else { return Ok(None) };
    let fields = vec![weir_event::Field::named("value", feature.data_type.clone())];
    let decoder = JsonDecoder::new(&StreamSchema { fields, event_time: 1 }, &[0]);
    let record = serde_json::json!({ "value": default }).to_string();
    let decoded = decoder.decode(&RawBlock {
        partition: PartitionId::default(),
        data: record.into(),
        framing: Framing::Lines { first: 0 },
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    });
    let value = decoded.columns.column(0);
    if value.len() != 1 {
        let name = &feature.name;
        return Err(TrainError::user(format!(
            "the default of feature `{name}` is not of its type; write another"
        )));
    }
    as_type(value, &data_type(plan, feature)).map(Some)
}
