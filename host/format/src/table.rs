//! The one table of formats, both ways. Adding a format is adding a row.
//!
//! Knows names and constructors. Must not know what any record looks like: each format parses its own options.

use crate::avro::{self, AvroFormat};
use crate::contract::{FormatProblem, SinkFormat, StreamFormat, Writing, of_options};
use crate::csv::{self, CsvDecoder, CsvEncoder, CsvOptions};
use crate::json::{self, Envelope, JsonDecoder, JsonEncoder};
use crate::parquet::ParquetDecoder;
use crate::plugin::PluginFormat;
#[cfg(feature = "protobuf")]
use crate::protobuf::{self, ProtobufFormat};
use crate::registry::Surroundings;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::sync::Arc;
use weir_connect::settings::{SettingError, Settings, left_out};
use weir_connect::{Decoder, Encoder, FileLayout, KeyDoc};
use weir_event::StreamSchema;
use weir_event::suggestion::unknown;

/// A format: a row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What definitions call it.
    pub name: &'static str,
    /// How files of such records end, which is also what a sink of files calls it; `None` where they have no form in
    /// files.
    pub ending: Option<&'static str>,
    /// What a record is.
    pub does: &'static str,
    /// Its own keys.
    pub keys: &'static [KeyDoc],
    read: MakeStreamFormat,
    write: MakeEncoder,
    changes: fn(&Value) -> bool,
}

impl Format {
    /// Whether records of a stream with these options are changes of a table: rows come out of them that take others back,
    /// where the stream's columns have one that says so ([`StreamSchema::taken_back`]).
    pub fn gives_changes(&self, options: &Value) -> bool {
        (self.changes)(options)
    }
}

/// Makes of a format's options and a stream's columns what reads the stream.
type MakeStreamFormat =
    fn(&Value, &StreamSchema, &dyn Surroundings) -> Result<Arc<dyn StreamFormat>, Vec<FormatProblem>>;
/// Makes an encoder of a format's options.
type MakeEncoder = fn(&Value, &Writing<'_>) -> Result<Arc<dyn Encoder>, Vec<SettingError>>;

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        name: "json",
        ending: Some("jsonl"),
        does: "a JSON object for each record, in files one a line",
        keys: json::KEYS,
        read: |options, schema, _| {
            let make = match json::envelope(options).map_err(of_options)? {
                Envelope::None => JsonDecoder::new,
                Envelope::Rows => JsonDecoder::in_envelope,
                Envelope::Changes => JsonDecoder::of_changes,
            };
            Ok(Arc::new(Stateless { layout: FileLayout::Lines, schema: schema.clone(), make }))
        },
        write: |options, writing| {
            Settings::new(options, &[]).finish()?;
            Ok(Arc::new(JsonEncoder::new(writing.meta)))
        },
        changes: |options| matches!(json::envelope(options), Ok(Envelope::Changes)),
    },
    Format {
        name: "csv",
        ending: Some("csv"),
        does: "fields between delimiters, a row for each record; files begin with a line of names, and a field in quotes \
               may hold line ends",
        keys: csv::KEYS,
        read: |options, schema, _| {
            let options = Arc::new(CsvOptions::of(options).map_err(of_options)?);
            let layout = FileLayout::Quoted {
                quote: options.dialect.quote,
                delimiter: options.dialect.delimiter,
                head: options.header,
            };
            let make = move |schema: &StreamSchema, columns: &[usize]| {
                CsvDecoder::new(options.clone(), schema, columns)
            };
            Ok(Arc::new(Stateless { layout, schema: schema.clone(), make }))
        },
        write: |options, writing| {
            let options = CsvOptions::of(options)?;
            writing.without_meta("csv")?;
            Ok(Arc::new(CsvEncoder::new(Arc::new(options))))
        },
        changes: |_| false,
    },
    Format {
        name: "avro",
        ending: Some("avro"),
        does: "a record of Apache Avro: in files object containers; a message with the number of its schema in a registry in \
               front of it, or bare",
        keys: avro::KEYS,
        read: |options, schema, around| Ok(Arc::new(AvroFormat::of(options, schema, around)?)),
        write: avro::encoder,
        changes: |_| false,
    },
    Format {
        name: "parquet",
        ending: Some("parquet"),
        does: "a row of a file of columns; a column that the file lacks is taken from the folders that it lies in, as \
               `dt=2026-01-31`",
        keys: &[],
        read: |options, schema, _| {
            Settings::new(options, &[]).finish().map_err(of_options)?;
            let (layout, make) = (FileLayout::Columns, ParquetDecoder::new);
            Ok(Arc::new(Stateless { layout, schema: schema.clone(), make }))
        },
        write: |_, _| {
            let message =
                "rows of Parquet are not written one by one; a sink of files takes it as `format: parquet`";
            Err(vec![SettingError::new("", message)])
        },
        changes: |_| false,
    },
    Format {
        name: "plugin",
        ending: None,
        does: "whatever the plugin of this name decodes, as {plugin: NAME}: a message, or a line of a file",
        keys: &[],
        read: |options, schema, around| Ok(Arc::new(PluginFormat::of(options, schema, around)?)),
        write: |_, _| {
            let message = "a plugin decodes the records of a stream and writes none; name another format";
            Err(vec![SettingError::new("", message)])
        },
        changes: |_| false,
    },
    #[cfg(feature = "protobuf")]
    Format {
        name: "protobuf",
        ending: None,
        does: "a message of Protocol Buffers, with the number of its schema in a registry in front of it, or bare; it has no \
               form in files",
        keys: protobuf::KEYS,
        read: |options, schema, around| Ok(Arc::new(ProtobufFormat::of(options, schema, around)?)),
        write: protobuf::encoder,
        changes: |_| false,
    },
];

/// Formats that other builds have.
const LEFT_OUT: &[&str] = &[
    #[cfg(not(feature = "protobuf"))]
    "protobuf",
];

/// A format that needs nothing but a stream's columns.
struct Stateless<M> {
    layout: FileLayout,
    schema: StreamSchema,
    make: M,
}

impl<M> Debug for Stateless<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stateless").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl<D, M> StreamFormat for Stateless<M>
where
    D: Decoder + 'static,
    M: Fn(&StreamSchema, &[usize]) -> D + Send + Sync,
{
    fn layout(&self) -> FileLayout {
        self.layout
    }

    fn decoder(&self, columns: &[usize]) -> Arc<dyn Decoder> {
        Arc::new((self.make)(&self.schema, columns))
    }
}

/// How a stream is read whose definition says `format: {NAME: options}`.
pub fn stream_format(
    name: &str,
    options: &Value,
    schema: &StreamSchema,
    around: &dyn Surroundings,
) -> Result<Arc<dyn StreamFormat>, Vec<FormatProblem>> {
    let found = by_name(name).map_err(|error| of_options(vec![error]))?;
    (found.read)(options, schema, around)
}

/// What a sink writes with that says `format: NAME` or `format: {NAME: options}`; a sink of files calls formats by the
/// endings of their files. Keys of errors begin below `format`.
pub fn sink_format(format: &Value, writing: &Writing<'_>) -> Result<SinkFormat, Vec<SettingError>> {
    let (name, options) = match format {
        Value::String(name) => (name.as_str(), json!({})),
        Value::Object(entries) if entries.len() == 1 => match entries.iter().next() {
            Some((name, options)) => (name.as_str(), options.clone()),
            None => unreachable!("it has one entry"),
        },
        _ => {
            let message = "expected the name of a format, or exactly one as {csv: {header: false}}";
            return Err(vec![SettingError::new("", message)]);
        }
    };
    let found = if writing.in_files { find(name, |row| row.ending) } else { by_name(name) };
    let found = found.map_err(|error| vec![error])?;
    let encoder = (found.write)(&options, writing).map_err(|errors| {
        let below = |error: SettingError| {
            let key = if error.key.is_empty() { name.to_owned() } else { format!("{name}.{}", error.key) };
            SettingError::new(key, error.message)
        };
        errors.into_iter().map(below).collect::<Vec<_>>()
    })?;
    Ok(SinkFormat { ending: found.ending.unwrap_or_default(), encoder })
}

/// The format that definitions call so.
pub fn by_name(name: &str) -> Result<&'static Format, SettingError> {
    find(name, |row| Some(row.name))
}

fn find(wanted: &str, name: fn(&Format) -> Option<&'static str>) -> Result<&'static Format, SettingError> {
    let found = FORMATS.iter().find(|row| name(row) == Some(wanted));
    found.ok_or_else(|| {
        let message = if LEFT_OUT.contains(&wanted) {
            left_out(&format!("the format `{wanted}`"))
        } else {
            format!("`{wanted}`: {}", unknown("format", wanted, FORMATS.iter().filter_map(name)))
        };
        SettingError::new("", message)
    })
}

#[cfg(test)]
mod tests;
