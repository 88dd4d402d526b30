//! Reading rows of Parquet: only the columns that were asked for are decoded.
//!
//! A block is a file of one row group (see `group.rs`) and says which of its rows are meant. A column that the file lacks
//! is taken from the partitions that the file lies in, and is null where those lack it too. What types fit which is in
//! `fit.rs`. Must not know sources, jobs or why a column is wanted.

use super::fit::{Fitted, fit, of_partition};
use super::group::PARTITIONS;
use super::{DAMAGED, guarded};
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, RecordBatchReader, new_null_array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{BadRow, Decoded, Decoder, Framing, RawBlock};
use weir_event::StreamSchema;

/// Decodes rows of Parquet for the columns that it was made for.
#[derive(Debug)]
pub struct ParquetDecoder {
    schema: SchemaRef,
    fields: Vec<weir_event::Field>,
    event_time: Option<usize>,
    /// Columns of which it was told that a file lacks them.
    told: Mutex<BTreeSet<String>>,
}

impl ParquetDecoder {
    /// A decoder for the stream's columns of these indexes, in this order. The event time is required of a row if its
    /// column is among them.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub fn new(stream: &StreamSchema, columns: &[usize]) -> Self {
        let fields: Vec<_> = columns.iter().map(|column| stream.fields[*column].clone()).collect();
        let arrow: Vec<_> =
            fields.iter().map(|field| Field::new(&field.name, field.data_type.to_arrow(), true)).collect();
        let event_time = columns.iter().position(|column| *column == stream.event_time);
        let told = Mutex::default();
        ParquetDecoder { schema: Arc::new(Schema::new(arrow)), fields, event_time, told }
    }

    /// Says once of a column that files lack it: where others have it, nothing else tells.
    #[cold]
    fn tell_missing(&self, column: &str) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(column.to_owned()) {
            tracing::warn!(
                "a file of Parquet has no column `{column}`: null in each of its rows; capital letters count, and `fields: \
                 {{NAME: {{type: .., from: COLUMN}}}}` gives a column another name"
            );
        }
    }

    fn read(&self, block: &RawBlock, rows: &Range<usize>) -> Result<FittedRows, String> {
        let file = ParquetRecordBatchReaderBuilder::try_new(block.data.clone());
        let file = file.map_err(|error| format!("{DAMAGED}: {error}"))?;
        let partitions = partitions(file.metadata().file_metadata().key_value_metadata());
        let columns = file.parquet_schema();
        let wanted = (0..columns.num_columns()).filter(|leaf| {
            let column = columns.column(*leaf);
            let path = column.path().parts();
            self.fields.iter().any(|field| path.starts_with(&field.path))
        });
        let mask = ProjectionMask::leaves(columns, wanted.collect::<Vec<_>>());
        let count = rows.len();
        let skipped = RowSelector::skip(rows.start);
        let selection = RowSelection::from(vec![skipped, RowSelector::select(count)]);
        let reader = file.with_projection(mask).with_row_selection(selection).with_batch_size(count.max(1));
        let reader = reader.build().map_err(|error| format!("{DAMAGED}: {error}"))?;
        let schema = reader.schema();
        let batches: Vec<RecordBatch> =
            reader.collect::<Result<_, _>>().map_err(|error| format!("{DAMAGED}: {error}"))?;
        let batch = match batches.as_slice() {
            [one] => one.clone(),
            several => concat_batches(&schema, several).map_err(|error| error.to_string())?,
        };
        if batch.num_rows() != count && batch.num_columns() > 0 {
            return Err(format!(
                "{DAMAGED}: it has {} of {count} rows that its footer tells of",
                batch.num_rows()
            ));
        }
        self.fitted(&batch, &partitions, count)
    }

    /// The wanted columns, and for each row why it is bad, if it is.
    fn fitted(
        &self,
        batch: &RecordBatch,
        partitions: &HashMap<String, String>,
        count: usize,
    ) -> Result<FittedRows, String> {
        let mut bad = BTreeMap::new();
        let mut columns = Vec::with_capacity(self.fields.len());
        for (index, field) in self.fields.iter().enumerate() {
            let fitted = match (find(batch, &field.path), partitions.get(&field.path.join("."))) {
                (Some(found), _) => fit(&found, field),
                (None, Some(value)) => {
                    of_partition(value, field, count).map(|array| Fitted { array, failed: Vec::new() })
                }
                (None, None) => {
                    self.tell_missing(&field.path.join("."));
                    fit(&new_null_array(&ArrowType::Null, count), field)
                }
            };
            let Fitted { array, failed } =
                fitted.map_err(|reason| format!("column `{}`: {reason}", field.path.join(".")))?;
            for (row, reason) in failed {
                bad.entry(row).or_insert_with(|| format!("column `{}`: {reason}", field.path.join(".")));
            }
            if self.event_time == Some(index) {
                for row in (0..count).filter(|row| array.is_null(*row)) {
                    bad.entry(row)
                        .or_insert_with(|| format!("the event time `{}` is null", field.path.join(".")));
                }
            }
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let columns = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        Ok(FittedRows { columns: columns.map_err(|error| error.to_string())?, bad })
    }

    /// Nothing that is cut into records is a file of columns.
    fn not_columns(&self, block: &RawBlock) -> Decoded {
        let offsets = match &block.framing {
            Framing::Records { offsets, .. } => offsets.clone(),
            Framing::Lines { first } | Framing::Container { first, .. } => {
                (*first..block.next.next).collect()
            }
        };
        let mut refused = self.refuse(0, offsets.len(), NOT_COLUMNS);
        refused.bad.iter_mut().zip(offsets).for_each(|(bad, offset)| bad.offset = offset);
        refused
    }

    /// No row can be read, for this reason.
    fn refuse(&self, first: u64, count: usize, reason: &str) -> Decoded {
        let damaged = reason.starts_with(DAMAGED);
        let refused =
            |row| BadRow { offset: first + row, reason: reason.to_owned(), payload: Vec::new(), damaged };
        Decoded {
            columns: RecordBatch::new_empty(self.schema.clone()),
            offsets: Vec::new(),
            records: Vec::new(),
            bad: (0..count as u64).map(refused).collect(),
        }
    }
}

/// Rows before the bad ones are taken out.
struct FittedRows {
    columns: RecordBatch,
    bad: BTreeMap<usize, String>,
}

impl Decoder for ParquetDecoder {
    fn decode(&self, block: &RawBlock) -> Decoded {
        let Framing::Container { base, first, .. } = &block.framing else { return self.not_columns(block) };
        let (base, first) = (*base, (*first).max(*base));
        let rows = (first - base) as usize..block.next.next.saturating_sub(base) as usize;
        let read = guarded(|| self.read(block, &rows));
        let FittedRows { columns, bad } = match read {
            Ok(read) => read,
            Err(reason) => return self.refuse(first, rows.len(), &reason),
        };
        let good: Vec<u32> =
            (0..rows.len()).filter(|row| !bad.contains_key(row)).map(|row| row as u32).collect();
        let columns = if bad.is_empty() {
            Ok(columns)
        } else {
            let kept: BooleanArray = (0..rows.len()).map(|row| Some(!bad.contains_key(&row))).collect();
            filter_record_batch(&columns, &kept)
        };
        match columns {
            Ok(columns) => Decoded {
                columns,
                offsets: good.iter().map(|row| first + u64::from(*row)).collect(),
                records: good,
                bad: bad.into_iter().map(|(row, reason)| bad_row(first + row as u64, reason)).collect(),
            },
            Err(error) => self.refuse(first, rows.len(), &error.to_string()),
        }
    }
}

const NOT_COLUMNS: &str = "it is not of a file of Parquet, which the stream's `format` says; the file's name has to end in \
                           `.parquet`";

fn bad_row(offset: u64, reason: String) -> BadRow {
    BadRow { offset, reason, payload: Vec::new(), damaged: false }
}

fn partitions(known: Option<&Vec<parquet::file::metadata::KeyValue>>) -> HashMap<String, String> {
    let entry = known.into_iter().flatten().find(|entry| entry.key == PARTITIONS);
    let values = entry.and_then(|entry| entry.value.as_deref());
    let values = values.and_then(|values| serde_json::from_str::<Vec<(String, String)>>(values).ok());
    values.unwrap_or_default().into_iter().collect()
}

/// The column at a path; below a row that is null everything is null.
fn find(batch: &RecordBatch, path: &[String]) -> Option<ArrayRef> {
    let (first, rest) = path.split_first()?;
    let mut array = batch.column_by_name(first)?.clone();
    for name in rest {
        let row = array.as_struct_opt()?;
        let below = row.column_by_name(name)?;
        let nulls = NullBuffer::union(row.nulls(), below.nulls());
        array = arrow_array::make_array(below.to_data().into_builder().nulls(nulls).build().ok()?);
    }
    Some(array)
}
