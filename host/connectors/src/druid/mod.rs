//! Apache Druid as a sink: rows go to a topic of Apache Kafka, from which a supervisor of Druid's takes them.
//!
//! Druid replaces nothing: each row that was corrected is there beside its correction, and whoever reads takes the one with
//! the greatest `_revision` of its key and time. The supervisor is made with what [`weir_connect::Sink::ddl`] gives. Knows
//! what a row looks like there; must not know how messages are sent.

mod rows;
mod spec;

use crate::context::SinkContext;
use crate::kafka;
use crate::settings::{SettingError, Settings};
use async_trait::async_trait;
use rows::DruidEncoder;
use serde::Deserialize;
use serde_json::Value;
use spec::DruidSpec;
use std::sync::Arc;
use weir_connect::key::REQUIRED;
use weir_connect::{ConnectError, Delivery, KeyDoc, Probe, Sink, SinkCounts, SinkRows, Token};

/// The keys of the sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "datasource",
        "name",
        "{job}",
        "the datasource; `weir sink ddl JOB` prints the supervisor that fills it",
    ),
    KeyDoc::new(
        "kafka",
        "mapping",
        REQUIRED,
        "the keys of a `kafka` sink: the topic that the rows go through",
    ),
    KeyDoc::new("segments", "hour, day or month", "day", "the stretch of time that a segment holds"),
];

/// How long a stretch of time a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SegmentSpan {
    /// An hour.
    Hour,
    /// A day.
    #[default]
    Day,
    /// A month.
    Month,
}

/// A sink into a datasource.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let datasource: Option<String> = settings.optional("datasource");
    let datasource = datasource.unwrap_or_else(|| context.job.clone());
    let segments: SegmentSpan = settings.optional("segments").unwrap_or_default();
    let through: Option<Value> = settings.required("kafka", "{brokers: HOST:PORT, topic: NAME}");
    let topic = |name: &str| {
        let text = through.as_ref().and_then(|through| through.get(name)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (brokers, topic) = (topic("brokers"), topic("topic"));
    let spec = match &context.shape {
        None => None,
        Some(shape) => DruidSpec::of(shape, &datasource, segments)
            .map_err(|fault| settings.error("", fault))
            .ok()
            .map(|spec| spec.statement(&brokers, &topic)),
    };
    if through.as_ref().is_some_and(|through| through.get("format").is_some()) {
        settings.error(
            "kafka.format",
            "what a row looks like for Druid is not for a definition to say; leave it out",
        );
    }
    let encoder = Arc::new(DruidEncoder::of(context.shape.as_deref()));
    let sent = through.map(|through| kafka::sink_of(&through, context, Some(encoder)));
    let sent = sent.transpose().map_err(|errors| {
        for error in errors {
            let key = if error.key.is_empty() { "kafka".to_owned() } else { format!("kafka.{}", error.key) };
            settings.error(&key, error.message);
        }
    });
    settings.finish()?;
    let missing = || vec![SettingError::new("kafka", "missing; give {brokers: HOST:PORT, topic: NAME}")];
    let kafka = sent.ok().flatten().ok_or_else(missing)?;
    Ok(Box::new(DruidSink { kafka, spec }))
}

/// A topic's sink whose rows are made for Druid.
struct DruidSink {
    kafka: Box<dyn Sink>,
    /// What makes the supervisor; `None` while the query is not planned.
    spec: Option<String>,
}

#[async_trait]
impl Sink for DruidSink {
    fn delivery(&self) -> Delivery {
        self.kafka.delivery()
    }

    /// A row's time and revision are part of it.
    fn wants_meta(&self) -> bool {
        true
    }

    fn counts(&self) -> SinkCounts {
        self.kafka.counts()
    }

    fn own_place(&self) -> Option<String> {
        self.kafka.own_place()
    }

    fn place(&self) -> String {
        self.kafka.place()
    }

    fn ddl(&self) -> Option<String> {
        let of_topic = self.kafka.ddl().map(|topic| format!("{}\n", topic.trim_end()));
        Some(of_topic.unwrap_or_default() + self.spec.as_deref()?)
    }

    async fn probe(&mut self) -> Result<Probe, ConnectError> {
        self.kafka.probe().await
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        self.kafka.start(last).await
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        self.kafka.write(rows).await
    }

    async fn prepare(&mut self, epoch: u64) -> Result<Token, ConnectError> {
        self.kafka.prepare(epoch).await
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        self.kafka.commit(token).await
    }
}

#[cfg(test)]
mod tests;
