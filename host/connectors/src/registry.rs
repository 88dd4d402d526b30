//! The one table of what weir can read from and write to. Adding a connector is adding a row.
//!
//! Knows names and constructors. Must not know what any connector's options are: each parses its own.

use crate::context::{SinkContext, SourceContext};
#[cfg(feature = "postgres")]
use crate::postgres;
#[cfg(feature = "redis")]
use crate::redis;
use crate::settings::{SettingError, left_out};
#[cfg(feature = "web")]
use crate::{clickhouse, opensearch, post};
use crate::{discard, druid, file, generator, http, kafka, stdout};
#[cfg(feature = "aws")]
use crate::{dynamodb, kinesis};
use serde_json::Value;
use std::sync::Arc;
use weir_connect::{KeyDoc, Sink, Source};
use weir_event::suggestion::unknown;

/// Makes a source of its settings.
pub type MakeSource = fn(&Value, &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>>;
/// Makes a sink of its settings.
pub type MakeSink = fn(&Value, &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>>;

/// A kind of connector: a row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Kind<M> {
    /// What definitions call it.
    pub name: &'static str,
    /// What it reads or writes.
    pub does: &'static str,
    /// Its own keys.
    pub keys: &'static [KeyDoc],
    /// The key of a source that holds the name of what is read, for a job that says `stream: {KIND: NAME}`.
    named_by: Option<&'static str>,
    make: M,
}

/// Every kind of source.
pub const SOURCES: &[Kind<MakeSource>] = &[
    Kind {
        name: "file",
        does: "lines of files",
        keys: file::SOURCE_KEYS,
        named_by: Some("path"),
        make: file::source,
    },
    Kind {
        name: "generator",
        does: "made-up events",
        keys: generator::SOURCE_KEYS,
        named_by: Some("kind"),
        make: generator::source,
    },
    Kind {
        name: "http",
        does: "events posted to this server",
        keys: http::SOURCE_KEYS,
        named_by: None,
        make: http::source,
    },
    Kind {
        name: "kafka",
        does: "a topic of Apache Kafka",
        keys: kafka::SOURCE_KEYS,
        named_by: Some("topic"),
        make: kafka::source,
    },
    #[cfg(feature = "aws")]
    Kind {
        name: "kinesis",
        does: "a stream of Amazon Kinesis",
        keys: kinesis::SOURCE_KEYS,
        named_by: Some("stream"),
        make: kinesis::source,
    },
];
/// Sources that other builds have.
const LEFT_OUT_SOURCES: &[&str] = &[
    #[cfg(not(feature = "aws"))]
    "kinesis",
];

/// Every kind of sink.
pub const SINKS: &[Kind<MakeSink>] = &[
    #[cfg(feature = "web")]
    Kind {
        name: "clickhouse",
        does: "a table of ClickHouse, which keeps the newest row of each key",
        keys: clickhouse::SINK_KEYS,
        named_by: None,
        make: clickhouse::sink,
    },
    Kind { name: "discard", does: "nowhere, for measuring", keys: &[], named_by: None, make: discard::sink },
    Kind {
        name: "druid",
        does: "a datasource of Apache Druid, through a topic of Apache Kafka",
        keys: druid::SINK_KEYS,
        named_by: None,
        make: druid::sink,
    },
    #[cfg(feature = "aws")]
    Kind {
        name: "dynamodb",
        does: "a table of Amazon DynamoDB, an item per key",
        keys: dynamodb::SINK_KEYS,
        named_by: None,
        make: dynamodb::sink,
    },
    #[cfg(feature = "web")]
    Kind {
        name: "elasticsearch",
        does: "an index of Elasticsearch, a document per key",
        keys: opensearch::SINK_KEYS,
        named_by: None,
        make: opensearch::sink,
    },
    #[cfg(feature = "aws")]
    Kind {
        name: "feature_service_dynamodb",
        does: "the same, as Dryft's definitions have it",
        keys: dynamodb::FEATURE_SERVICE_KEYS,
        named_by: None,
        make: dynamodb::feature_service,
    },
    Kind {
        name: "file",
        does: "files, each row exactly once",
        keys: file::SINK_KEYS,
        named_by: None,
        make: file::sink,
    },
    #[cfg(feature = "web")]
    Kind {
        name: "http",
        does: "whatever takes rows over HTTP, at least once",
        keys: post::SINK_KEYS,
        named_by: None,
        make: post::sink,
    },
    Kind {
        name: "kafka",
        does: "a topic of Apache Kafka, at least once, or exactly once where that is asked for",
        keys: kafka::SINK_KEYS,
        named_by: None,
        make: kafka::sink,
    },
    #[cfg(feature = "web")]
    Kind {
        name: "opensearch",
        does: "an index of OpenSearch, a document per key",
        keys: opensearch::SINK_KEYS,
        named_by: None,
        make: opensearch::sink,
    },
    #[cfg(feature = "postgres")]
    Kind {
        name: "postgres",
        does: "a table of PostgreSQL, exactly once",
        keys: postgres::SINK_KEYS,
        named_by: None,
        make: postgres::sink,
    },
    #[cfg(feature = "redis")]
    Kind {
        name: "redis",
        does: "hashes in Redis, effectively once",
        keys: redis::SINK_KEYS,
        named_by: None,
        make: redis::sink,
    },
    Kind {
        name: "stdout",
        does: "standard output, at least once",
        keys: &[],
        named_by: None,
        make: stdout::sink,
    },
];
const PLANNED_SINKS: &[&str] = &["kinesis"];
/// Sinks that other builds have.
const LEFT_OUT_SINKS: &[&str] = &[
    #[cfg(not(feature = "web"))]
    "clickhouse",
    #[cfg(not(feature = "aws"))]
    "dynamodb",
    #[cfg(not(feature = "web"))]
    "elasticsearch",
    #[cfg(not(feature = "aws"))]
    "feature_service_dynamodb",
    #[cfg(not(feature = "web"))]
    "http",
    #[cfg(not(feature = "web"))]
    "opensearch",
    #[cfg(not(feature = "postgres"))]
    "postgres",
    #[cfg(not(feature = "redis"))]
    "redis",
];

/// Makes the source of this kind. Checks its options and does no I/O.
pub fn source(
    kind: &str,
    settings: &Value,
    context: &SourceContext,
) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let found = source_kind(kind).map_err(|error| vec![error])?;
    (found.make)(settings, context)
}

/// The key of a source of this kind that holds the name of what is read; `None` where no key does.
pub fn named_by(kind: &str) -> Result<Option<&'static str>, SettingError> {
    Ok(source_kind(kind)?.named_by)
}

/// Makes the sink of this kind. Checks its options and does no I/O.
pub fn sink(kind: &str, settings: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let found = sink_kind(kind).map_err(|error| vec![error])?;
    (found.make)(settings, context)
}

fn source_kind(kind: &str) -> Result<&'static Kind<MakeSource>, SettingError> {
    find("source", kind, SOURCES, LEFT_OUT_SOURCES, &[])
}

fn sink_kind(kind: &str) -> Result<&'static Kind<MakeSink>, SettingError> {
    find("sink", kind, SINKS, LEFT_OUT_SINKS, PLANNED_SINKS)
}

fn find<M>(
    noun: &str,
    kind: &str,
    rows: &'static [Kind<M>],
    left_out_of_this_build: &[&str],
    planned: &[&str],
) -> Result<&'static Kind<M>, SettingError> {
    if let Some(found) = rows.iter().find(|row| row.name == kind) {
        return Ok(found);
    }
    let message = if left_out_of_this_build.contains(&kind) {
        left_out(&format!("the {noun} `{kind}`"))
    } else if planned.contains(&kind) {
        let known = rows.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        format!("weir 0.1 does not have the {noun} `{kind}` yet; it has {known}")
    } else {
        let known = rows.iter().map(|row| row.name).chain(left_out_of_this_build.iter().copied());
        format!("`{kind}`: {}", unknown(noun, kind, known))
    };
    Err(SettingError::new("", message))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use weir_event::ManualClock;

    /// What a source of a project that does not exist is made with.
    pub(crate) fn source_context() -> SourceContext {
        SourceContext {
            project: PathBuf::from("/project"),
            data_dir: PathBuf::from("/project/.weir"),
            stream: "rides".to_owned(),
            layout: weir_connect::FileLayout::Lines,
            clock: Arc::new(ManualClock::default()),
            logs: Arc::new(http::IngestLogs::new(
                Path::new("/project/.weir"),
                Arc::new(ManualClock::default()),
                Arc::new(weir_connect::NoMark),
            )),
        }
    }

    /// What a sink of a job with these rows is made with.
    pub(crate) fn sink_context(shape: Option<weir_connect::RowShape>) -> SinkContext {
        SinkContext {
            project: PathBuf::from("/project"),
            data_dir: PathBuf::from("/project/.weir"),
            job: "j".to_owned(),
            sink: "s".to_owned(),
            shape: shape.map(Arc::new),
            refused_bytes: 1 << 20,
            clock: Arc::new(ManualClock::default()),
            began: weir_event::EventTime::from_millis(0),
            mark: Arc::new(weir_connect::NoMark),
        }
    }

    #[test]
    fn what_is_planned_is_refused_by_name() {
        let message = sink_kind("kinesis").unwrap_err().to_string();
        assert!(message.starts_with("weir 0.1 does not have the sink `kinesis` yet; it has "), "{message}");
    }

    #[test]
    fn what_a_build_leaves_out_is_told_with_what_brings_it() {
        let message = find("sink", "rediss", &SINKS[..1], &["rediss"], &[]).unwrap_err().to_string();
        assert!(
            message.ends_with("without the sink `rediss`; `make weir` makes one that has everything"),
            "{message}"
        );
    }

    #[test]
    fn what_names_a_source_is_one_of_its_keys() {
        for source in SOURCES {
            let key = named_by(source.name).unwrap();
            assert!(key.is_none_or(|key| source.keys.iter().any(|row| row.name == key)), "{}", source.name);
        }
        assert!(named_by("kinesys").unwrap_err().to_string().contains("did you mean `kinesis`?"));
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        let errors = source("flie", &Value::Null, &source_context()).unwrap_err();
        assert_eq!(errors[0].to_string(), "`flie`: unknown source; did you mean `file`?");
    }
}
