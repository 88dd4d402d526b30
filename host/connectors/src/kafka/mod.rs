//! Apache Kafka: a source over a topic's partitions and a sink to a topic.
//!
//! Knows librdkafka, which nothing else of weir does. Must not know what the messages mean. Positions are weir's
//! own (`assign`, never `subscribe`): what the broker has stored for a consumer group is neither read nor
//! trusted, so the group's name is of no consequence.

mod block;
mod client;
mod growth;
mod identity;
mod lane;
mod messages;
mod offsets;
mod policy;
mod producer;
mod pump;
mod queue;
mod reader;
mod security;
mod sink;
mod source;
mod spool;
mod topics;
mod transaction;
mod trouble;

use crate::context::{SinkContext, SourceContext};
use crate::log_start::LogStart;
use crate::settings::{SettingError, Settings};
use crate::surroundings::ProjectSurroundings;
use crate::upsert::Template;
use client::Cluster;
use security::SECURITY;
use serde_json::Value;
use sink::KafkaSinkSettings;
use std::sync::Arc;
use topics::Topics;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{Delivery, Encoder, KeyDoc, Sink, Source};
use weir_format::{Writing, sink_format};

pub use sink::KafkaSink;
pub use source::KafkaSource;

const BROKERS: KeyDoc = KeyDoc::new("brokers", "HOST:PORT, ..", REQUIRED, "brokers to ask first");
const TOPIC: KeyDoc = KeyDoc::new("topic", "text", REQUIRED, "the topic");
const OPTIONS: KeyDoc =
    KeyDoc::new("options", "mapping", "{}", "any setting of librdkafka, such as client.rack");

/// The keys of a `kafka` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    BROKERS,
    KeyDoc::new(
        "topic",
        "text or {pattern: text}",
        REQUIRED,
        "the topic, or a regular expression for the whole names of several: those that come later are read too",
    ),
    KeyDoc::new("start", "earliest, latest or time", "earliest", "where a new job begins"),
    KeyDoc::new(
        "group",
        "text",
        NONE,
        "consumer group whose offsets show to other tools what is read; `{job}` in it is the job's name",
    ),
    SECURITY,
    OPTIONS,
];

/// The keys of a `kafka` sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    BROKERS,
    TOPIC,
    KeyDoc::new(
        "key",
        "column or text",
        NONE,
        "the message's key: a column, or a text such as {job}:{user_id}",
    ),
    KeyDoc::new(
        "tombstones",
        "true or false",
        "false",
        "whether a result that is taken back is a message without a value, under its key",
    ),
    KeyDoc::new(
        "delivery",
        "at_least_once or exactly_once",
        "at_least_once",
        "exactly_once: rows wait for their checkpoint and come in transactions of some 8 MiB, once for whoever reads read_committed",
    ),
    KeyDoc::new("format", "json, csv or {FORMAT: {..}}", "json", "how a row is written"),
    SECURITY,
    OPTIONS,
];

/// The options of a `kafka` source.
pub(crate) fn source(value: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SOURCE_KEYS);
    let topics = Topics::read(&mut settings, true);
    let cluster =
        Cluster::from_settings(&mut settings, topics, &context.project, source::OURS, source::DEFAULTS);
    let start = LogStart::read(&mut settings, "earliest");
    let group = settings.optional("group");
    settings.finish()?;
    Ok(Arc::new(KafkaSource::new(cluster, start, group, context.clock.clone())))
}

/// The options of a `kafka` sink.
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
    let topics = Topics::read(&mut settings, false);
    let cluster =
        Cluster::from_settings(&mut settings, topics, &context.project, producer::OURS, producer::DEFAULTS);
    let key = key(&mut settings, context);
    let format: Value = settings.optional("format").unwrap_or_else(|| Value::from("json"));
    let subject = format!("{}-value", cluster.topic());
    let around = ProjectSurroundings::new(&context.project, context.clock.clone());
    let writing = Writing { meta: false, in_files: false, subject: &subject, around: &around };
    let format = sink_format(&format, &writing).map_err(|errors| settings.below("format", errors));
    let tombstones = settings.optional("tombstones").unwrap_or(false);
    if tombstones && key.is_none() {
        settings.error("tombstones", "a message without a value says nothing without a key; give `key` too");
    }
    let delivery = match settings.optional::<String>("delivery").as_deref() {
        None | Some("at_least_once") => Delivery::AtLeastOnce,
        Some("exactly_once") => Delivery::ExactlyOnce,
        Some(other) => {
            let message = format!("`{other}` is neither at_least_once nor exactly_once");
            settings.error("delivery", message);
            Delivery::AtLeastOnce
        }
    };
    settings.finish()?;
    let Ok(format) = format else { return Err(vec![SettingError::new("format", "cannot be used")]) };
    let encoder = encoder.unwrap_or(format.encoder);
    let needs_meta = tombstones || key.as_ref().is_some_and(|(_, is_selected)| !is_selected);
    let key = key.map(|(key, _)| key);
    let settings = KafkaSinkSettings { cluster, encoder, key, tombstones, needs_meta, delivery };
    Ok(Box::new(KafkaSink::new(settings, context)))
}

/// A column's name, or a text with names of columns in it; and whether it is a column of the query's.
fn key(settings: &mut Settings<'_>, context: &SinkContext) -> Option<(Template, bool)> {
    let text: String = settings.optional("key")?;
    let key = if text.contains(['{', '}']) { text.parse() } else { Ok(Template::column(&text)) };
    let checked = key.and_then(|key: Template| {
        let shape = context.shape.as_ref();
        shape.map_or(Ok(()), |shape| key.check(shape)).map(|()| key)
    });
    let shape = context.shape.as_ref();
    let is_selected = shape.is_none_or(|shape| shape.columns.column_with_name(&text).is_some());
    checked.map_err(|error| settings.error("key", error)).ok().map(|key| (key, is_selected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::sink_context;
    use crate::upsert::tests::fixture::shape;
    use serde_json::json;

    #[test]
    fn the_text_of_a_key_is_judged_as_that_of_any_store() {
        let sink = |key: &str| {
            let settings = json!({"brokers": "h:9092", "topic": "t", "key": key});
            sink(&settings, &sink_context(Some(shape()))).map(|_| ()).map_err(|errors| errors[0].to_string())
        };
        assert_eq!([sink("user"), sink("{job}:{user}"), sink("{user}:{n}")], [Ok(()), Ok(()), Ok(())]);
        for key in ["{user}{n}", "{user}{job}{n}", "{user}%{n}"] {
            let told = sink(key).unwrap_err();
            assert!(told.starts_with("key: between {user} and {n} stands nothing"), "{told}");
        }
    }
}
