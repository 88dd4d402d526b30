//! The good records of a block as rows, and the bad ones: what all decoders have in common that fill columns value by
//! value.
//!
//! Knows which columns are wanted. Must not know what a record looks like.

use crate::column::Column;
use crate::records::bad_row;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_schema::{Field, Schema, SchemaRef};
use bytes::Bytes;
use std::sync::Arc;
use weir_connect::{BadRow, Decoded};
use weir_event::{DataType, StreamSchema, TimeForm};

/// The columns that a decoder was made for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<WantedColumn>,
    /// Which of them is the event time.
    pub(crate) event_time: Option<usize>,
}

/// A column: its name in reasons, where it stands, its type, how it is written.
#[derive(Debug, Clone)]
pub(crate) struct WantedColumn {
    pub(crate) member: String,
    pub(crate) path: Vec<String>,
    pub(crate) data_type: DataType,
    pub(crate) form: TimeForm,
}

impl Wanted {
    /// The stream's columns of these indexes, in this order.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub(crate) fn new(stream: &StreamSchema, columns: &[usize]) -> Wanted {
        let fields: Vec<_> = columns.iter().map(|column| &stream.fields[*column]).collect();
        let arrow_fields: Vec<_> =
            fields.iter().map(|field| Field::new(&field.name, field.data_type.to_arrow(), true)).collect();
        let column = |field: &&weir_event::Field| WantedColumn {
            member: field.path.join("."),
            path: field.path.clone(),
            data_type: field.data_type.clone(),
            form: field.form.clone(),
        };
        Wanted {
            schema: Arc::new(Schema::new(arrow_fields)),
            columns: fields.iter().map(column).collect(),
            event_time: columns.iter().position(|column| *column == stream.event_time),
        }
    }
}

/// Columns that grow by whole rows.
pub(crate) struct Rows<'a> {
    wanted: &'a Wanted,
    columns: Vec<Column>,
    offsets: Vec<u64>,
    records: Vec<u32>,
    bad: Vec<BadRow>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(wanted: &'a Wanted, room: usize) -> Self {
        Rows {
            wanted,
            columns: wanted.columns.iter().map(|column| Column::new(&column.data_type, room)).collect(),
            offsets: Vec::with_capacity(room),
            records: Vec::with_capacity(room),
            bad: Vec::new(),
        }
    }

    /// Adds the record of this index and offset, whose bytes are `payload`; `fill` adds a value to every column, or says
    /// why it cannot.
    #[inline]
    pub(crate) fn push(
        &mut self,
        (index, offset): (u32, u64),
        payload: &[u8],
        fill: impl FnOnce(&mut [Column]) -> Result<(), String>,
    ) {
        let filled = fill(&mut self.columns).and_then(|()| self.check_event_time());
        match filled {
            Ok(()) => {
                self.offsets.push(offset);
                self.records.push(index);
            }
            Err(reason) => {
                let rows = self.offsets.len();
                self.columns.iter_mut().for_each(|column| column.truncate(rows));
                self.bad.push(bad_row(offset, reason, payload));
            }
        }
    }

    /// Adds a record that nobody can read, since its file is damaged there.
    #[cold]
    pub(crate) fn push_damaged(&mut self, offset: u64, payload: &[u8], reason: String) {
        self.bad.push(BadRow { damaged: true, ..bad_row(offset, reason, payload) });
    }

    fn check_event_time(&self) -> Result<(), String> {
        match self.wanted.event_time {
            Some(column) if self.columns[column].ends_in_null() => {
                Err(format!("the event time `{}` is missing", self.wanted.columns[column].member))
            }
            _ => Ok(()),
        }
    }

    /// What was read; `block` is the bytes that every borrowed value is a part of.
    pub(crate) fn finish(self, block: &Bytes) -> Decoded {
        let (block, rows) = (Buffer::from(block.clone()), self.offsets.len());
        let arrays = self.columns.into_iter().map(|column| column.finish(&block)).collect::<Result<_, _>>();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = self.wanted.schema.clone();
        let batch =
            arrays.and_then(|arrays| RecordBatch::try_new_with_options(schema.clone(), arrays, &options));
        match batch {
            Ok(columns) => Decoded { columns, offsets: self.offsets, records: self.records, bad: self.bad },
            // Beyond what Arrow can address. No record of it is lost unseen.
            Err(error) => {
                let reason = format!("the block cannot be held in columns: {error}");
                let mut bad = self.bad;
                bad.extend(self.offsets.iter().map(|offset| bad_row(*offset, reason.clone(), &[])));
                bad.sort_by_key(|row| row.offset);
                Decoded {
                    columns: RecordBatch::new_empty(schema),
                    offsets: Vec::new(),
                    records: Vec::new(),
                    bad,
                }
            }
        }
    }
}
