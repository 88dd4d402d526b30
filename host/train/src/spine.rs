//! The spine: rows that say whom to ask about, and when; read in their order, and sorted by the moment at which they ask.
//!
//! Its rows are read as those of a stream are, whose event time is the moment. Must not know what is asked.

use crate::error::TrainError;
use crate::sorting::{Sorted, Sorter};
use crate::{Job, Settings};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType as ArrowType, Field, Schema};
use std::sync::Arc;
use weir_connect::{Decoded, Decoder, Fetch, Reader, Source};
use weir_core::can_be;
use weir_event::{EventTime, StreamSchema};

/// Where the rows come from.
#[derive(Debug, Clone)]
pub struct Spine {
    /// Their file.
    pub source: Arc<dyn Source>,
    /// Decodes every column of the schema.
    pub decoder: Arc<dyn Decoder>,
    /// Their columns; the event time is the moment.
    pub schema: StreamSchema,
}

/// The column of a row's number among those of the spine, counted from 0, wherever rows have one.
pub(crate) const NUMBER: usize = 0;
/// Sorted: the column of the moment, milliseconds; behind it stand the columns of the keys.
pub(crate) const MOMENT: usize = 1;

impl Spine {
    /// The columns of a job's key, by index.
    pub fn keys_of(&self, job: &Job) -> Result<Vec<usize>, TrainError> {
        let name = &job.plan.name;
        let Some(stage) = &job.plan.stage else {
            return Err(TrainError::user(format!(
                "job `{name}` has neither window nor aggregate, so nothing of it can be looked up"
            )));
        };
        let keys = stage.key_names.iter().zip(&stage.key_types);
        keys.map(|(key, data_type)| {
            let Some(at) = self.schema.fields.iter().position(|field| field.name == *key) else {
                return Err(TrainError::user(format!(
                    "the spine has no column `{key}`, by which job `{name}` is looked up"
                )));
            };
            let found = &self.schema.fields[at].data_type;
            if found.to_arrow() == *data_type {
                return Ok(at);
            }
            Err(TrainError::user(format!(
                "column `{key}` of the spine is {found}, and the key of job `{name}` is of another type; train its \
                 features alone"
            )))
        })
        .collect()
    }

    /// Its rows in the order of their moments: number, moment, and these of its columns; and how many there are.
    pub(crate) async fn sorted(
        &self,
        columns: &[usize],
        settings: &Settings,
    ) -> Result<(Sorted, u64), TrainError> {
        let mut rows = self.open().await?;
        let mut sorter = Sorter::new(&settings.scratch, MOMENT, settings.sorted_bytes);
        let named = |at: &usize| {
            let field = &self.schema.fields[*at];
            Field::new(&field.name, field.data_type.to_arrow(), true)
        };
        let mut fields =
            vec![Field::new("", ArrowType::Int64, false), Field::new("", ArrowType::Int64, false)];
        fields.extend(columns.iter().map(named));
        let schema = Arc::new(Schema::new(fields));
        while let Some((first, batch)) = rows.next().await? {
            let moments = batch.column(self.schema.event_time).as_primitive::<TimestampMillisecondType>();
            let count = batch.num_rows() as i64;
            let numbers = Int64Array::from_iter_values(first as i64..first as i64 + count);
            let never = moments.values().iter().position(|time| !can_be(EventTime::from_millis(*time)));
            if let Some(row) = never {
                let (row, time) = (first + row as u64 + 1, EventTime::from_millis(moments.value(row)));
                return Err(TrainError::user(format!(
                    "row {row} of the spine asks for {time}, which lies outside 1900 to 2200; write milliseconds since 1970 or \
                     RFC 3339"
                )));
            }
            let moments = Int64Array::new(moments.values().clone(), None);
            let mut arrays: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(moments)];
            arrays.extend(columns.iter().map(|at| batch.column(*at).clone()));
            sorter.push(RecordBatch::try_new(schema.clone(), arrays)?)?;
        }
        Ok((sorter.finish()?, rows.number))
    }

    /// Reads it from its beginning.
    pub(crate) async fn open(&self) -> Result<SpineRows, TrainError> {
        let partitions = self.source.partitions(&[]).await?;
        let reader = self.source.open(0, &partitions, true).await?;
        let left = partitions.len();
        Ok(SpineRows { spine: self.clone(), reader, left, number: 0 })
    }
}

/// The rows of a spine, as they stand there.
pub(crate) struct SpineRows {
    spine: Spine,
    reader: Box<dyn Reader>,
    /// Partitions that are not read to their end.
    left: usize,
    /// That of the next row.
    number: u64,
}

impl SpineRows {
    /// Rows that come next, and the number of the first; `None` behind the last.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, RecordBatch)>, TrainError> {
        while self.left > 0 {
            let block = match self.reader.next().await? {
                Fetch::Block(block) => block,
                Fetch::CaughtUp(_) | Fetch::Ended(_) => {
                    self.left -= 1;
                    continue;
                }
                Fetch::Watermark(..) | Fetch::Appeared(..) => continue,
            };
            if block.holds_data() {
                self.spine.decoder.ready(&block).await?;
            }
            let Decoded { columns, bad, .. } = self.spine.decoder.decode(&block);
            let place = || {
                self.spine.source.place(&block.next).map_or_else(String::new, |place| format!(" of {place}"))
            };
            if let Some(bad) = bad.first() {
                let row = bad.offset + 1;
                return Err(TrainError::user(format!("row {row}{} of the spine: {}", place(), bad.reason)));
            }
            if let Some(refused) = block.refused.iter().find(|refused| !refused.skip) {
                let row = refused.offset + 1;
                return Err(TrainError::user(format!(
                    "row {row}{} of the spine: {}",
                    place(),
                    refused.reason
                )));
            }
            if columns.num_rows() > 0 {
                let first = self.number;
                self.number += columns.num_rows() as u64;
                return Ok(Some((first, columns)));
            }
        }
        Ok(None)
    }
}

/// The moment of a row of sorted ones.
pub(crate) fn moment(rows: &RecordBatch, row: usize) -> EventTime {
    EventTime::from_millis(rows.column(MOMENT).as_primitive::<arrow_array::types::Int64Type>().value(row))
}
