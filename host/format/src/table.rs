//! The one table of formats, both ways. Adding a format is adding a row.
//!
//! Knows names and constructors. Must not know what any record looks like.

use crate::json::{JsonDecoder, JsonEncoder};
use std::sync::Arc;
use weir_connect::{Decoder, Encoder, KeyDoc};
use weir_event::StreamSchema;
use weir_event::suggestion::unknown;

/// A format: a row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What definitions call it.
    pub name: &'static str,
    /// How files of such records end, which is also what a sink of files calls it.
    pub ending: &'static str,
    /// What a record is.
    pub does: &'static str,
    /// Its own keys.
    pub keys: &'static [KeyDoc],
    decoder: fn(&StreamSchema, &[usize]) -> Arc<dyn Decoder>,
    encoder: fn(bool) -> Arc<dyn Encoder>,
}

/// Every format.
pub const FORMATS: &[Format] = &[Format {
    name: "json",
    ending: "jsonl",
    does: "a JSON object for each record, in files one a line",
    keys: &[],
    decoder: |schema, columns| Arc::new(JsonDecoder::new(schema, columns)),
    encoder: |meta| Arc::new(JsonEncoder::new(meta)),
}];
const PLANNED: &[&str] = &["avro", "protobuf", "csv", "parquet"];
const PLANNED_ENDINGS: &[&str] = &["csv"];

/// A name that no format has; says which there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownFormat(String);

impl Format {
    /// A decoder for the columns of these indexes, in this order. Callers include the event time's column whenever
    /// they want it required.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub fn decoder(&self, schema: &StreamSchema, columns: &[usize]) -> Arc<dyn Decoder> {
        (self.decoder)(schema, columns)
    }

    /// An encoder; with `meta` a record also says what weir knows of its row.
    pub fn encoder(&self, meta: bool) -> Arc<dyn Encoder> {
        (self.encoder)(meta)
    }
}

/// The format that definitions call so.
pub fn by_name(name: &str) -> Result<&'static Format, UnknownFormat> {
    find(name, |row| row.name, PLANNED)
}

/// The format of files that end so.
pub fn by_ending(ending: &str) -> Result<&'static Format, UnknownFormat> {
    find(ending, |row| row.ending, PLANNED_ENDINGS)
}

fn find(
    wanted: &str,
    name: fn(&Format) -> &'static str,
    planned: &[&str],
) -> Result<&'static Format, UnknownFormat> {
    if let Some(found) = FORMATS.iter().find(|row| name(row) == wanted) {
        return Ok(found);
    }
    let known = FORMATS.iter().map(name);
    Err(UnknownFormat(if planned.contains(&wanted) {
        let known = known.collect::<Vec<_>>().join(", ");
        format!("weir 0.1 does not have the format `{wanted}` yet; it has {known}")
    } else {
        format!("`{wanted}`: {}", unknown("format", wanted, known))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
    use weir_connect::sink::RowMeta;
    use weir_connect::{Framing, KnownTimes, RawBlock, SinkRows};
    use weir_event::{DataType, Field, PartitionId, Position};

    #[test]
    fn what_is_planned_is_refused_by_name_and_a_typing_error_gets_a_suggestion() {
        let said = |found: Result<&Format, UnknownFormat>| found.unwrap_err().to_string();
        let planned = "weir 0.1 does not have the format `parquet` yet; it has ";
        assert_eq!(said(by_name("parquet")), format!("{planned}json"));
        assert_eq!(said(by_name("jsn")), "`jsn`: unknown format; did you mean `json`?");
        assert_eq!(said(by_name("text")), "`text`: unknown format; known: json");
        assert_eq!(said(by_ending("json")), "`json`: unknown format; did you mean `jsonl`?");
    }

    #[test]
    fn every_format_is_found_and_reads_what_it_writes() {
        for format in FORMATS {
            assert_eq!(by_name(format.name).unwrap().name, by_ending(format.ending).unwrap().name);
            let time = Field::named("at", DataType::Timestamp);
            let schema = StreamSchema { fields: vec![time], event_time: 0 };
            let at: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1, -1]));
            let columns = RecordBatch::try_from_iter([("at", at)]).unwrap();
            let mut data = Vec::new();
            let rows = SinkRows { columns: columns.clone(), meta: RowMeta::default() };
            format.encoder(false).encode(&rows, &mut data).unwrap();
            let decoded = format.decoder(&schema, &[0]).decode(&RawBlock {
                partition: PartitionId::default(),
                data: data.into(),
                framing: Framing::Lines { first: 0 },
                known: KnownTimes::Unknown,
                next: Position::default(),
                refused: Vec::new(),
            });
            assert_eq!(decoded.columns.columns(), columns.columns(), "{}", format.name);
        }
    }
}
