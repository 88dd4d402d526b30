//! A piece: rows that wait for their file, as bytes that say by themselves what they are and whether they are whole.
//!
//! An Arrow IPC stream behind its length and its CRC. Knows no file.

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};
use std::io::{self, ErrorKind, Read};

/// Bytes before the rows: their length and their CRC.
const HEAD_BYTES: usize = 8;

/// Appends rows as a piece.
pub fn push_piece(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let mut writer = StreamWriter::try_new(&mut *out, rows.schema_ref())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    let (head, content) = out[start..].split_at_mut(HEAD_BYTES);
    head[..4].copy_from_slice(&(content.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    Ok(())
}

/// Tells a schema from another: rows of two do not go into one file.
pub fn schema_mark(schema: &Schema) -> u32 {
    let described = schema.fields().iter().map(|field| format!("{}\0{}\0", field.name(), field.data_type()));
    crc32fast::hash(described.collect::<String>().as_bytes())
}

/// The pieces that stand one behind the other in what is read.
#[derive(Debug)]
pub struct Pieces<R>(pub R);

impl<R: Read> Iterator for Pieces<R> {
    type Item = io::Result<Vec<RecordBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = [0; HEAD_BYTES];
        let read = read_up_to(&mut self.0, &mut head);
        match read {
            Ok(0) => None,
            Ok(HEAD_BYTES) => Some(self.read(head)),
            Ok(_) => Some(Err(ErrorKind::UnexpectedEof.into())),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<R: Read> Pieces<R> {
    fn read(&mut self, head: [u8; HEAD_BYTES]) -> io::Result<Vec<RecordBatch>> {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let mut content = Vec::new();
        let length = u64::from(word(0));
        if (&mut self.0).take(length).read_to_end(&mut content)? as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if crc32fast::hash(&content) != word(4) {
            return Err(io::Error::new(ErrorKind::InvalidData, "rows do not match their checksum"));
        }
        let damaged = |error: ArrowError| io::Error::new(ErrorKind::InvalidData, error.to_string());
        let reader = StreamReader::try_new(content.as_slice(), None).map_err(damaged)?;
        reader.map(|batch| batch.map_err(damaged)).collect()
    }
}

fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
