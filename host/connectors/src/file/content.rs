//! What stands in a sink's files: records one behind the other, or the columns of a Parquet file.
//!
//! A file of records grows by what is appended to it. One of columns is made as a whole: until then its rows wait as
//! pieces in a file of their own. Must not know where files are, or when one is finished.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;
use weir_connect::{ConnectError, Encoder, SinkRows};
use weir_format::parquet::{self, Compression};

/// What stands in files.
#[derive(Debug, Clone)]
pub enum FileContent {
    /// Records as this makes them of rows, in files whose names end so.
    Records(Arc<dyn Encoder>, &'static str),
    /// Columns.
    Parquet {
        /// How they are compressed.
        compression: Compression,
        /// Whether there is one of what weir knows of each row.
        meta: bool,
    },
}

/// Rows as they are appended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AppendedRows {
    /// What the file begins with, if they are its first.
    pub(super) head: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// What rows of one file have in common; `None` where any can follow any.
    pub(super) kind: Option<u32>,
}

impl FileContent {
    /// How the names of finished files end.
    pub(super) fn ending(&self) -> &'static str {
        match self {
            FileContent::Records(_, ending) => ending,
            FileContent::Parquet { .. } => "parquet",
        }
    }

    /// Whether a file is made of what was appended; else that is the file.
    pub(super) fn is_made(&self) -> bool {
        matches!(self, FileContent::Parquet { .. })
    }

    /// Gets what these rows take to be appended.
    pub(super) async fn ready(&self, rows: &SinkRows) -> Result<(), ConnectError> {
        match self {
            FileContent::Records(encoder, _) => encoder.ready(rows).await,
            FileContent::Parquet { .. } => Ok(()),
        }
    }

    pub(super) fn appended(&self, rows: &SinkRows) -> Result<AppendedRows, ConnectError> {
        let (mut head, mut bytes, mut kind) = (Vec::new(), Vec::new(), None);
        if rows.columns.num_rows() == 0 {
            return Ok(AppendedRows { head, bytes, kind });
        }
        match self {
            FileContent::Records(encoder, _) => {
                head = encoder.head(rows)?;
                kind = (!head.is_empty()).then(|| crc32fast::hash(&head));
                encoder.encode(rows, &mut bytes)?;
            }
            FileContent::Parquet { meta, .. } => {
                let columns = parquet::file_columns(rows, *meta)?;
                kind = Some(parquet::schema_mark(columns.schema_ref()));
                parquet::push_piece(&columns, &mut bytes).map_err(|error| {
                    ConnectError::internal(format!("result rows cannot wait for their file: {error}"))
                })?;
            }
        }
        Ok(AppendedRows { head, bytes, kind })
    }

    /// Makes a file of what was appended, so many bytes of it; it is durable when this returns. Blocks.
    pub(super) fn make(&self, appended: &File, length: u64, file: File) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut appended = BufReader::with_capacity(1 << 20, appended.take(length));
        match self {
            FileContent::Records(..) => io::copy(&mut appended, &mut out).map(drop)?,
            FileContent::Parquet { compression, .. } => {
                parquet::write_file(appended, *compression, &[], &mut out).map(drop)?;
            }
        }
        out.flush()?;
        out.get_ref().sync_all()
    }
}
