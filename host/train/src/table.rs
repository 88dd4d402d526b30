//! The training set: the rows of the spine as they came, and beside each the values of the features.
//!
//! Must not know how it is written.

use crate::Job;
use crate::error::TrainError;
use crate::replay::Answers;
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
        Ok(Table { spine: spine.open().await?, jobs, schema })
    }

    /// Names and types of its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that come next; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, TrainError> {
        let Some((_, rows)) = self.spine.next().await? else {
            let is_whole =
                self.jobs.iter().all(|job| job.waiting.as_ref().is_none_or(|left| left.num_rows() == 0));
            return if is_whole { Ok(None) } else { Err(changed()) };
        };
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        for job in &mut self.jobs {
            let answers = job.take(rows.num_rows())?;
            for (at, column) in job.columns.iter().enumerate() {
                columns.push(answers.column(1 + 2 * at).clone());
                if column.status.is_some() {
                    columns.push(words(answers.column(2 + 2 * at)));
                }
            }
        }
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}

impl JobColumns {
    /// The answers of so many rows.
    fn take(&mut self, count: usize) -> Result<RecordBatch, TrainError> {
        let mut parts: Vec<RecordBatch> = Vec::new();
        let mut wanted = count;
        while wanted > 0 {
            let rows = match self.waiting.take().filter(|rows| rows.num_rows() > 0) {
                Some(rows) => rows,
                None => self.answers.next()?.ok_or_else(changed)?,
            };
            let taken = rows.num_rows().min(wanted);
            self.waiting = Some(rows.slice(taken, rows.num_rows() - taken));
            parts.push(rows.slice(0, taken));
            wanted -= taken;
        }
        let schema = parts.first().map(RecordBatch::schema).ok_or_else(changed)?;
        Ok(arrow_select::concat::concat_batches(&schema, &parts)?)
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
