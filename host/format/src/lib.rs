//! Formats: bytes of records to columns, and result rows to bytes of records.
//!
//! Knows what records look like, and the contracts of `weir-connect`. Must not know which source the bytes came from
//! or which sink they go to, and links no client library of one: whoever has a block of records decodes it with this
//! crate alone. Whoever adds a format adds a folder here and a row to [`FORMATS`].
//!
//! ```
//! use weir_connect::{Decoder, Encoder, Framing, KnownTimes, RawBlock, SinkRows, sink::RowMeta};
//! use weir_event::{DataType, Field, PartitionId, Position, StreamSchema};
//! use weir_format::json::{JsonDecoder, JsonEncoder};
//! let fields = vec![Field::named("at", DataType::Timestamp), Field::named("fare", DataType::Double)];
//! let decoder = JsonDecoder::new(&StreamSchema { fields, event_time: 0 }, &[0, 1]);
//! let decoded = decoder.decode(&RawBlock {
//!     partition: PartitionId::default(),
//!     data: "{\"at\": 1, \"fare\": 2, \"more\": []}\n{\"fare\": 2}".into(),
//!     framing: Framing::Lines { first: 0 },
//!     known: KnownTimes::Unknown,
//!     next: Position::default(),
//!     refused: Vec::new(),
//! });
//! assert_eq!(decoded.bad[0].reason, "the event time `at` is missing");
//!
//! let rows = SinkRows { columns: decoded.columns, meta: RowMeta::default() };
//! let mut lines = Vec::new();
//! JsonEncoder::new(false).encode(&rows, &mut lines)?;
//! assert_eq!(lines, b"{\"at\":\"1970-01-01T00:00:00.001Z\",\"fare\":2.0}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod avro;
pub mod base64;
mod column;
mod contract;
pub mod csv;
mod discover;
pub mod json;
mod no_time;
pub mod parquet;
pub mod payload;
pub mod plugin;
#[cfg(feature = "protobuf")]
pub mod protobuf;
mod records;
mod refused;
mod registry;
mod rows;
mod scalar;
mod table;

pub use contract::{FormatProblem, SinkFormat, StreamFormat, Writing};
pub use discover::Discovered;
pub use registry::{Reference, Registered, SchemaAnswer, SchemaKind, SchemaRegistry, Surroundings};
pub use table::{FORMATS, Format, by_name, sink_format, stream_format};

#[cfg(test)]
mod tests;
