//! One row group of a file as a file of its own: what can be decoded without the rest.
//!
//! Knows where things stand in a file; must not know where the file is, nor what its columns mean.

use super::guarded;
use bytes::Bytes;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use std::ops::Range;

/// What stands at the beginning and the end of every file.
const MAGIC: &[u8; 4] = b"PAR1";
/// The length of what stands at a file's very end: the footer's length and the magic.
pub const TAIL_BYTES: u64 = 8;
/// A larger row group is refused: it has to be held whole.
const MOST_GROUP_BYTES: u64 = 1 << 30;
/// Where the values of partitions stand in a block's footer.
pub(super) const PARTITIONS: &str = "weir.partitions";

/// The footer of a file.
#[derive(Debug, Clone)]
pub struct Footer(ParquetMetaData);

/// How long the footer is that stands before a file's last [`TAIL_BYTES`] bytes, which these are.
pub fn footer_bytes(tail: &[u8]) -> Result<u64, String> {
    let (length, magic) = tail.split_at_checked(4).ok_or("it is too short for a file of Parquet")?;
    if magic != MAGIC {
        return Err("it does not end as a file of Parquet does".to_owned());
    }
    Ok(length.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
}

impl Footer {
    /// Reads a footer.
    pub fn parse(footer: &[u8]) -> Result<Footer, String> {
        let read =
            guarded(|| ParquetMetaDataReader::decode_metadata(footer).map_err(|error| error.to_string()));
        read.map(Footer).map_err(|error| format!("its footer is damaged: {error}"))
    }

    /// How many row groups the file has.
    pub fn groups(&self) -> usize {
        self.0.num_row_groups()
    }

    /// How many rows a group has.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn rows(&self, group: usize) -> u64 {
        u64::try_from(self.0.row_group(group).num_rows()).unwrap_or_default()
    }

    /// Where a group stands in the file.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn range(&self, group: usize) -> Result<Range<u64>, String> {
        let mut whole: Option<Range<u64>> = None;
        for chunk in self.0.row_group(group).columns() {
            let chunk = place(chunk).ok_or("its footer is damaged: a column stands nowhere")?;
            whole = Some(match whole {
                None => chunk,
                Some(known) => known.start.min(chunk.start)..known.end.max(chunk.end),
            });
        }
        let whole = whole.unwrap_or_default();
        if whole.end - whole.start > MOST_GROUP_BYTES {
            return Err(format!(
                "its row group {group} has {} bytes, more than the {MOST_GROUP_BYTES} that are read at once; write it \
                 with smaller row groups",
                whole.end - whole.start
            ));
        }
        Ok(whole)
    }

    /// A file of one group alone, whose bytes in this file are `content`; it also says the values of the file's
    /// partitions.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn alone(
        &self,
        group: usize,
        content: &[u8],
        partitions: &[(String, String)],
    ) -> Result<Bytes, String> {
        let start = self.range(group)?.start as i64 - MAGIC.len() as i64;
        let damaged = |error: parquet::errors::ParquetError| format!("its footer is damaged: {error}");
        let of_group = self.0.row_group(group);
        let columns = of_group.columns().iter().map(|chunk| moved(chunk, start));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        let of_group = RowGroupMetaData::builder(of_group.schema_descr_ptr())
            .set_num_rows(of_group.num_rows())
            .set_total_byte_size(of_group.total_byte_size())
            .set_column_metadata(columns)
            .build()
            .map_err(damaged)?;
        let of_file = self.0.file_metadata();
        let mut known = of_file.key_value_metadata().cloned().unwrap_or_default();
        known.retain(|entry| entry.key != PARTITIONS);
        if !partitions.is_empty() {
            let values = serde_json::to_string(partitions).map_err(|error| error.to_string())?;
            known.push(KeyValue::new(PARTITIONS.to_owned(), values));
        }
        let of_file = FileMetaData::new(
            of_file.version(),
            of_group.num_rows(),
            of_file.created_by().map(str::to_owned),
            Some(known),
            of_file.schema_descr_ptr(),
            of_file.column_orders().cloned(),
        );
        let footer = ParquetMetaData::new(of_file, vec![of_group]);
        let mut file = Vec::with_capacity(content.len() + (8 << 10));
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(content);
        ParquetMetaDataWriter::new(&mut file, &footer).finish().map_err(damaged)?;
        Ok(file.into())
    }
}

/// Where a column's pages stand.
fn place(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let first = chunk.dictionary_page_offset().filter(|offset| *offset > 0);
    let first = first.map_or(chunk.data_page_offset(), |offset| offset.min(chunk.data_page_offset()));
    let start = u64::try_from(first).ok()?;
    Some(start..start.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?)
}

/// The same column in a file that begins `by` bytes later. What other places it names are not taken along.
fn moved(chunk: &ColumnChunkMetaData, by: i64) -> Result<ColumnChunkMetaData, parquet::errors::ParquetError> {
    let dictionary = chunk.dictionary_page_offset().filter(|offset| *offset > 0);
    chunk
        .clone()
        .into_builder()
        .set_data_page_offset(chunk.data_page_offset() - by)
        .set_dictionary_page_offset(dictionary.map(|offset| offset - by))
        .set_index_page_offset(None)
        .set_bloom_filter_offset(None)
        .set_bloom_filter_length(None)
        .set_offset_index_offset(None)
        .set_offset_index_length(None)
        .set_column_index_offset(None)
        .set_column_index_length(None)
        .build()
}
