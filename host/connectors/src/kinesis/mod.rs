//! Amazon Kinesis: a source over the shards of a stream.
//!
//! Knows the service's client, which nothing else of weir does. Must not know what the records mean. Positions are
//! weir's own: nothing is kept at AWS, and no lease table is needed.

mod aggregated;
mod lane;
mod place;
mod reader;
mod shards;
mod source;
mod stream;

use crate::aws::{Account, ENDPOINT, REGION};
use crate::context::SourceContext;
use crate::settings::{SettingError, Settings};
use serde_json::Value;
use std::sync::Arc;
use stream::Stream;
use weir_connect::key::REQUIRED;
use weir_connect::{KeyDoc, Source};

pub use source::{KinesisSource, Start};

/// The keys of a `kinesis` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    KeyDoc::new("stream", "text", REQUIRED, "the stream's name"),
    REGION,
    ENDPOINT,
    KeyDoc::new("start", "trim_horizon, latest or time", "trim_horizon", "where a new job begins"),
];

/// The source `kinesis: {stream, region, endpoint, start}`.
pub(crate) fn source(value: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SOURCE_KEYS);
    let name: String = settings.required("stream", "the stream's name").unwrap_or_default();
    let account = Account::from_settings(&mut settings);
    let start = settings.parsed("start").unwrap_or(Start::TrimHorizon);
    settings.finish()?;
    Ok(Arc::new(KinesisSource::new(Stream::new(account, name), start, context.clock.clone())))
}
