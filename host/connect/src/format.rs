//! The contract of a format: raw records in and columns out, result rows in and records out, nothing else.
//!
//! A decoder is pure and stateless between blocks, so blocks can be decoded in parallel and in any order. It is
//! made for the columns that a job reads and never looks at others. An encoder is as pure: the same rows are the same
//! bytes, whichever sink asks for them. Either may need a schema that is kept elsewhere; whoever uses it lets it get
//! that first, and tries again later where it cannot.

use crate::error::ConnectError;
use crate::sink::SinkRows;
use crate::source::RawBlock;
use arrow_array::RecordBatch;
use async_trait::async_trait;
use std::fmt::Debug;

/// How files of a format fall into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileLayout {
    /// One record of JSON a line.
    #[default]
    Lines,
    /// One record a line, of whatever a plugin decodes.
    Payloads,
    /// Records end at line ends, except for those between quotes.
    Quoted {
        /// What text is enclosed in that may hold line ends.
        quote: u8,
        /// What fields are told apart by.
        delimiter: u8,
        /// Whether the first record of each file is its head: the names of the columns.
        head: bool,
    },
    /// The object container files of Avro: a head, then blocks of records.
    AvroContainer,
    /// Files of columns, each of which is whole.
    Columns,
    /// Such records have no form in files.
    None,
}

impl FileLayout {
    /// Whether each line is a record, whatever stands in it.
    pub fn is_of_lines(self) -> bool {
        matches!(self, FileLayout::Lines | FileLayout::Payloads)
    }
}

/// Turns blocks into columns.
#[async_trait]
pub trait Decoder: Send + Sync + Debug {
    /// Gets what this block's records need to be decoded and is not at hand, such as the schemas that they name; not asked of
    /// a block without data.
    /// [`Decoder::decode`] may be called once this was fine; the error is that of a source: it says whether to try
    /// again later.
    async fn ready(&self, _block: &RawBlock) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Whether decoding a block may take so long that others are not to wait for it.
    fn takes_long(&self) -> bool {
        false
    }

    /// Decodes every record of a block. Never fails and never panics: what cannot be decoded is a [`BadRow`].
    fn decode(&self, block: &RawBlock) -> Decoded;

    /// As [`Decoder::decode`], for whoever can wait: where what decodes cannot do it now, no record is judged. The error is
    /// as that of [`Decoder::ready`].
    fn attempt(&self, block: &RawBlock) -> Result<Decoded, ConnectError> {
        Ok(self.decode(block))
    }
}

/// The good records of a block as columns, and the bad ones.
#[derive(Debug)]
pub struct Decoded {
    /// The columns that the decoder was made for, in that order; a row per good record. A member that is
    /// absent is null.
    pub columns: RecordBatch,
    /// Offset of each good record.
    pub offsets: Vec<u64>,
    /// For each good record, its index among the block's records: what `KnownTimes::Each` is indexed by.
    pub records: Vec<u32>,
    /// Records that could not be decoded, in order of offset.
    pub bad: Vec<BadRow>,
}

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Its offset.
    pub offset: u64,
    /// What is wrong with it, naming the member.
    pub reason: String,
    /// Its first bytes, at most 1 KiB.
    pub payload: Vec<u8>,
    /// Whether its file is damaged there: nobody can say what it was, and a copy of the file may have it.
    pub damaged: bool,
}

impl Decoded {
    /// What is wrong with the file that the block is of, if it is damaged: found when it was cut, or decoded.
    pub fn damage<'a>(&'a self, block: &'a RawBlock) -> Option<&'a str> {
        let refused = block.refused.iter().find(|refused| refused.damaged).map(|refused| &refused.reason);
        let bad = || self.bad.iter().find(|bad| bad.damaged).map(|bad| &bad.reason);
        refused.or_else(bad).map(String::as_str)
    }
}

/// How much of a bad record is kept for whoever has to find out why.
pub const PAYLOAD_KEPT_BYTES: usize = 1024;

/// Turns result rows into records.
#[async_trait]
pub trait Encoder: Send + Sync + Debug {
    /// Gets what these rows need to be encoded and is not at hand, such as the number of their schema. To be waited for
    /// before anything else is asked; the error is that of a sink.
    async fn ready(&self, _rows: &SinkRows) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Looks whether what rows need to be encoded can be had where it is; what was found, for a person, if anything had to
    /// be asked. Has no effect.
    async fn probe(&self) -> Result<Option<String>, ConnectError> {
        Ok(None)
    }

    /// What a file of such rows begins with.
    fn head(&self, _rows: &SinkRows) -> Result<Vec<u8>, ConnectError> {
        Ok(Vec::new())
    }

    /// What ends a record where others follow it, as in a file.
    fn terminator(&self) -> &'static [u8];

    /// Looks at the columns of these rows once, to write the rows one by one. The error names a column of a type that
    /// the format cannot hold.
    fn records<'r>(&self, rows: &'r SinkRows) -> Result<Box<dyn Records + 'r>, ConnectError>;

    /// Appends the rows as they stand in a file: a record per row, each with its end; nothing where a column has no form.
    fn encode(&self, rows: &SinkRows, out: &mut Vec<u8>) -> Result<(), ConnectError> {
        let (records, end) = (self.records(rows)?, self.terminator());
        for row in 0..rows.columns.num_rows() {
            records.write(row, out);
            out.extend_from_slice(end);
        }
        Ok(())
    }
}

/// Rows that can be written: for sinks whose rows are messages of their own.
pub trait Records: Send + Sync {
    /// Appends one row as a record, without its end.
    ///
    /// # Panics
    /// When the row is none of these.
    fn write(&self, row: usize, out: &mut Vec<u8>);
}
