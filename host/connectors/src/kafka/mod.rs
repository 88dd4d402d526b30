//! Apache Kafka: a source over a topic's partitions and a sink to a topic.
//!
//! Knows librdkafka, which nothing else of weir does. Must not know what the messages mean. Positions are weir's
//! own (`assign`, never `subscribe`): what the broker has stored for a consumer group is neither read nor
//! trusted, so the group's name is of no consequence.

mod block;
mod client;
mod pump;
mod sink;
mod source;

use crate::context::{SinkContext, SourceContext};
use crate::settings::{SettingError, Settings};
use crate::surroundings::ProjectSurroundings;
use client::Cluster;
use serde_json::Value;
use std::sync::Arc;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{Encoder, KeyDoc, Sink, Source};
use weir_format::{Writing, sink_format};

pub use sink::KafkaSink;
pub use source::{KafkaSource, Start};

const BROKERS: KeyDoc = KeyDoc::new("brokers", "HOST:PORT, ..", REQUIRED, "brokers to ask first");
const TOPIC: KeyDoc = KeyDoc::new("topic", "text", REQUIRED, "the topic");
const OPTIONS: KeyDoc =
    KeyDoc::new("options", "mapping", "{}", "any setting of librdkafka, such as security.protocol");

/// The keys of a `kafka` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    BROKERS,
    TOPIC,
    KeyDoc::new("start", "earliest, latest or time", "earliest", "where a new job begins"),
    OPTIONS,
];

/// The keys of a `kafka` sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    BROKERS,
    TOPIC,
    KeyDoc::new("key", "column", NONE, "the column that is the message's key"),
    KeyDoc::new("format", "json, csv or {FORMAT: {..}}", "json", "how a row is written"),
    OPTIONS,
];

/// The options of a `kafka` source: `brokers`, `topic`, `start`, `options`.
pub(crate) fn source(value: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SOURCE_KEYS);
    let cluster = Cluster::from_settings(&mut settings, source::OURS, source::DEFAULTS);
    let start = settings.parsed("start").unwrap_or(Start::Earliest);
    settings.finish()?;
    Ok(Arc::new(KafkaSource::new(cluster, start, context.clock.clone())))
}

/// The options of a `kafka` sink: `brokers`, `topic`, `key`, `format`, `options`.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    sink_of(value, context, None)
}

/// The same where messages have a form of their own, whatever `format` says.
pub(crate) fn sink_of(
    value: &Value,
    context: &SinkContext,
    encoder: Option<Arc<dyn Encoder>>,
) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let cluster = Cluster::from_settings(&mut settings, sink::OURS, sink::DEFAULTS);
    let key = settings.optional("key");
    let format: Value = settings.optional("format").unwrap_or_else(|| Value::from("json"));
    let subject = format!("{}-value", cluster.topic);
    let around = ProjectSurroundings::new(&context.project);
    let writing = Writing { meta: false, in_files: false, subject: &subject, around: &around };
    let format = sink_format(&format, &writing).map_err(|errors| settings.below("format", errors));
    settings.finish()?;
    let Ok(format) = format else { return Err(vec![SettingError::new("format", "cannot be used")]) };
    let encoder = encoder.unwrap_or(format.encoder);
    Ok(Box::new(KafkaSink::new(cluster, encoder, key, context.clock.clone())))
}
