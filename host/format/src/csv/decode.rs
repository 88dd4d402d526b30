//! Reading CSV: records of fields, of which only those are looked at that somebody wants.

use super::CsvOptions;
use super::cell::CellReading;
use super::scan::{Boundary, Cell, CsvFault, fields, undouble};
use crate::column::Column;
use crate::records::{each_record, expected_rows};
use crate::rows::{Rows, Wanted};
use bytes::Bytes;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{Decoded, Decoder, Framing, RawBlock};
use weir_event::StreamSchema;
use weir_event::suggestion::shown;
use xxhash_rust::xxh3::xxh3_64;

/// Heads of files are told of up to so many.
const MOST_TOLD: usize = 100;

/// Decodes CSV for the columns that it was made for.
#[derive(Debug)]
pub struct CsvDecoder {
    options: Arc<CsvOptions>,
    wanted: Wanted,
    /// The index of each wanted column among the stream's fields.
    order: Vec<usize>,
    /// How many fields the stream has.
    width: usize,
    /// Hashes of the heads of files of which it was told that they lack columns.
    told: Mutex<HashSet<u64>>,
}

impl CsvDecoder {
    /// A decoder for the stream's columns of these indexes, in this order. The event time is required of a
    /// record if its column is among them.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub fn new(options: Arc<CsvOptions>, stream: &StreamSchema, columns: &[usize]) -> CsvDecoder {
        let wanted = Wanted::new(stream, columns);
        let (order, width) = (columns.to_vec(), stream.fields.len());
        CsvDecoder { options, wanted, order, width, told: Mutex::default() }
    }

    /// Where each wanted column stands in a record, and how many fields one has.
    fn places(&self, block: &RawBlock) -> Result<(Vec<Option<usize>>, usize), String> {
        let head = match &block.framing {
            Framing::Container { head, .. } if self.options.header => head,
            _ => return Ok((self.order.iter().copied().map(Some).collect(), self.width)),
        };
        let names = names(head, &self.options).map_err(|fault| format!("the line of names: {fault}"))?;
        let place = |member: &String| {
            let mut found = names.iter().enumerate().filter(|(_, name)| *name == member);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(format!("the line of names has `{member}` twice; rename one")),
                (found, None) => Ok(found.map(|(place, _)| place)),
            }
        };
        let places = self.wanted.columns.iter().map(|column| place(&column.member));
        let places: Vec<Option<usize>> = places.collect::<Result<_, _>>()?;
        if places.contains(&None) {
            self.tell_missing(head, &places);
        }
        Ok((places, names.len()))
    }

    /// Says once of each head in the log which columns its files lack: where others have them, nothing else tells.
    #[cold]
    fn tell_missing(&self, head: &Bytes, places: &[Option<usize>]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() == MOST_TOLD || !told.insert(xxh3_64(head)) {
            return;
        }
        let columns = self.wanted.columns.iter().zip(places).filter(|(_, place)| place.is_none());
        let missing: Vec<String> = columns.map(|(column, _)| format!("`{}`", column.member)).collect();
        tracing::warn!(
            "a file that begins with the names `{}` has no column {}: null in each of its rows; capital letters \
             count, and `fields: {{NAME: {{type: .., from: COLUMN}}}}` gives a column another name",
            as_told(head),
            missing.join(", ")
        );
    }
}

/// The names in a file's first line; a byte order mark before them is not part of the first.
pub(crate) fn names(head: &[u8], options: &CsvOptions) -> Result<Vec<String>, CsvFault> {
    let line = without_line_end(head);
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let mut cells = Vec::new();
    fields(line, options.dialect, &mut cells)?;
    let name = |cell: &Cell| {
        let mut name = Vec::new();
        undouble(&line[cell.start..cell.end], options.dialect.quote, &mut name);
        String::from_utf8_lossy(&name).trim().to_owned()
    };
    Ok(cells.iter().map(name).collect())
}

/// A file's first line as the log has it: cut where it is long, and without what would be a line of its own there.
fn as_told(head: &[u8]) -> String {
    let line = String::from_utf8_lossy(without_line_end(head));
    let mut told = String::new();
    for character in shown(&line).chars() {
        match character {
            '"' | '\'' => told.push(character),
            other => told.extend(other.escape_debug()),
        }
    }
    told
}

fn without_line_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

impl Decoder for CsvDecoder {
    fn decode(&self, block: &RawBlock) -> Decoded {
        let mut rows = Rows::new(&self.wanted, expected_rows(block));
        let places = self.places(block);
        let is_text = matches!(block.framing, Framing::Container { .. } | Framing::Lines { .. })
            && std::str::from_utf8(&block.data).is_ok();
        let mut reading = RecordReading {
            decoder: self,
            columns: self.wanted.columns.iter().map(|of| CellReading::of(&of.data_type, &of.form)).collect(),
            cells: Vec::new(),
            plain: Vec::new(),
        };
        let bytes: &[u8] = &block.data;
        self.each_record(block, |index, offset, range| {
            let record = &bytes[range.clone()];
            rows.push((index, offset), record, |columns| {
                let (places, width) = places.as_ref().map_err(Clone::clone)?;
                if !is_text && std::str::from_utf8(record).is_err() {
                    return Err("not CSV: not valid UTF-8".to_owned());
                }
                reading.read(bytes, range, places, *width, columns)
            });
        });
        rows.finish(&block.data)
    }
}

impl CsvDecoder {
    /// Calls `each` with the index, the offset and the place of every record that is not blank, without its line end.
    fn each_record(&self, block: &RawBlock, mut each: impl FnMut(u32, u64, Range<usize>)) {
        let Framing::Container { base, first, .. } = &block.framing else {
            return each_record(block, |index, offset, range| {
                let content = without_line_end(&block.data[range.clone()]).len();
                if content > 0 {
                    each(index, offset, range.start..range.start + content);
                }
            });
        };
        let mut boundary = Boundary::new(self.options.dialect);
        let (mut start, mut index) = (0, 0_u32);
        while start < block.data.len() {
            let end = boundary.next_end(&block.data).unwrap_or(block.data.len());
            let content = without_line_end(&block.data[start..end]).len();
            let offset = base + u64::from(index);
            if content > 0 && offset >= *first {
                each(index, offset, start..start + content);
            }
            start = end;
            index += 1;
        }
    }
}

/// What reading records takes; nothing of it lasts from one to the next.
struct RecordReading<'a> {
    decoder: &'a CsvDecoder,
    columns: Vec<CellReading>,
    cells: Vec<Cell>,
    plain: Vec<u8>,
}

impl RecordReading<'_> {
    /// Adds the values of the record at `range` to the columns.
    #[inline]
    fn read(
        &mut self,
        block: &[u8],
        range: Range<usize>,
        places: &[Option<usize>],
        width: usize,
        columns: &mut [Column],
    ) -> Result<(), String> {
        let (options, record) = (&self.decoder.options, &block[range.clone()]);
        fields(record, options.dialect, &mut self.cells).map_err(|fault| fault.to_string())?;
        if self.cells.len() != width {
            return Err(self.wrong_width(record, width));
        }
        for (index, column) in columns.iter_mut().enumerate() {
            let Some(cell) = places[index].map(|place| self.cells[place]) else {
                column.push_null();
                continue;
            };
            let text = &record[cell.start..cell.end];
            if !cell.is_quoted && text == options.null.as_bytes() {
                column.push_null();
                continue;
            }
            let (text, place): (&[u8], _) = if cell.is_doubled {
                self.plain.clear();
                undouble(text, options.dialect.quote, &mut self.plain);
                (&self.plain, None)
            } else {
                (text, Some((range.start + cell.start, range.start + cell.end)))
            };
            self.columns[index].push(column, block, place, text).map_err(|reason| {
                format!("column `{}`: {reason}", self.decoder.wanted.columns[index].member)
            })?;
        }
        Ok(())
    }

    #[cold]
    fn wrong_width(&self, record: &[u8], width: usize) -> String {
        let found = self.cells.len();
        let delimiter = char::from(self.decoder.options.dialect.delimiter);
        let other = [',', ';', '\t', '|'].into_iter().find(|other| {
            *other != delimiter && record.iter().filter(|byte| **byte == *other as u8).count() + 1 == width
        });
        let hint = match other {
            Some(other) if found == 1 => {
                format!("; if fields are told apart by {other:?}, set `delimiter: {other:?}`")
            }
            _ => String::new(),
        };
        format!(
            "not a row: it has {found} {} and there are {width} columns{hint}",
            if found == 1 { "field" } else { "fields" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_told_in_one_short_line() {
        assert_eq!(as_told(b"a,b\xff\r\n"), "a,b\u{fffd}");
        assert_eq!(as_told(b"a,\"b\nc\",\x1b[31m\n"), r#"a,"b\nc",\u{1b}[31m"#);
        assert!(as_told(&b"name,".repeat(1 << 20)).len() < 100);
    }
}
