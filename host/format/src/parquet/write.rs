//! A file is made of pieces.
//!
//! Knows how a good Parquet file is laid out; must not know what the columns mean or where the file is.

use super::piece::Pieces;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::io::{self, Read, Write};
use std::str::FromStr;

/// A row group ends at the first of these: so many rows, as most writers take, and about so many bytes, which a reader
/// has to hold of it at most.
const GROUP_ROWS: usize = 1 << 20;
const GROUP_BYTES: usize = 128 << 20;

/// How columns are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Small.
    #[default]
    Zstd,
    /// Quick.
    Snappy,
    /// Not at all.
    None,
}

/// A name that no compression has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a compression; write zstd, snappy or none")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        Ok(match text {
            "zstd" => Compression::Zstd,
            "snappy" => Compression::Snappy,
            "none" => Compression::None,
            other => return Err(UnknownCompression(other.to_owned())),
        })
    }
}

impl Compression {
    fn codec(self) -> Codec {
        match self {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
        }
    }
}

/// Writes a file of the rows of these pieces, which are of one schema, and says how many there were; `notes` are keys and
/// values that stand in its footer.
///
/// # Errors
/// What reading or writing failed with; `InvalidData` for pieces that are damaged.
pub fn write_file(
    pieces: impl Read,
    compression: Compression,
    notes: &[(String, String)],
    out: impl Write + Send,
) -> io::Result<u64> {
    let properties = WriterProperties::builder()
        .set_compression(compression.codec())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_key_value_metadata((!notes.is_empty()).then(|| notes.iter().map(note).collect()))
        .set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    // The columns as Arrow has them here are not told: readers that use Arrow would take the name of the times' zone from
    // there, and pyarrow compares no times of `+00:00` with those of `UTC`, which Parquet's own description says.
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let (mut writer, mut rows, mut out) = (None, 0, Some(out));
    for batches in Pieces(pieces) {
        for batch in batches? {
            let writer = match &mut writer {
                Some(writer) => writer,
                none => {
                    let Some(out) = out.take() else { continue };
                    let made = ArrowWriter::try_new_with_options(out, batch.schema(), options.clone());
                    none.insert(made.map_err(failed)?)
                }
            };
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(failed)?;
        }
    }
    if let Some(writer) = writer {
        writer.close().map_err(failed)?;
    }
    Ok(rows)
}

fn note((key, value): &(String, String)) -> KeyValue {
    KeyValue::new(key.clone(), value.clone())
}

/// What the disk said, where it was the disk.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}
