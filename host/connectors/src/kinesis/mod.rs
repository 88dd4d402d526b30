//! Amazon Kinesis: a source over the shards of a stream.
//!
//! Knows the service's client, which nothing else of weir does. Must not know what the records mean. Positions are
//! weir's own: nothing is kept at AWS, and no lease table is needed.

mod aggregated;
mod fan_out;
mod lane;
mod place;
mod reader;
mod shards;
mod source;
mod stream;

use crate::aws::{Account, ENDPOINT, REGION};
use crate::context::SourceContext;
use crate::log_start::LogStart;
use crate::settings::{SettingError, Settings};
use serde_json::Value;
use std::sync::Arc;
use stream::Stream;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{KeyDoc, Source};

pub use source::KinesisSource;

/// The keys of a `kinesis` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    KeyDoc::new("stream", "text", REQUIRED, "the stream's name"),
    REGION,
    ENDPOINT,
    KeyDoc::new("start", "trim_horizon, latest or time", "trim_horizon", "where a new job begins"),
    KeyDoc::new(
        "fan_out",
        "text",
        NONE,
        "the name of a consumer that shards are pushed to at a pace of its own (enhanced fan-out, which AWS charges for); \
         registered where it is not yet",
    ),
];

/// The source `kinesis: {stream, region, endpoint, start, fan_out}`.
pub(crate) fn source(value: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SOURCE_KEYS);
    let name: String = settings.required("stream", "the stream's name").unwrap_or_default();
    let account = Account::from_settings(&mut settings);
    let start = LogStart::read(&mut settings, "trim_horizon");
    let fan_out = settings.optional("fan_out");
    settings.finish()?;
    Ok(Arc::new(KinesisSource::new(Stream::new(account, name), start, fan_out, context.clock.clone())))
}
