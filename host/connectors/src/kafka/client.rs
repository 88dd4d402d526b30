//! What source and sink share: how a client is configured, whether the topic is there, and which of librdkafka's
//! errors pass by themselves.

use crate::settings::Settings;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use serde_json::{Map, Value};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use weir_connect::ConnectError;

/// How long one question to the brokers may take; a broker that is up answers within milliseconds.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Names of the same setting as `brokers`.
const BROKER_SETTINGS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// A topic and how to reach it.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) brokers: String,
    pub(super) topic: String,
    config: ClientConfig,
}

impl Cluster {
    /// Reads `brokers`, `topic` and `options`. `ours` are settings that the connector's promise rests on and
    /// nobody may change; `defaults` are better for weir than librdkafka's and give way to `options`.
    pub(super) fn from_settings(
        settings: &mut Settings<'_>,
        ours: &[(&str, &str)],
        defaults: &[(&str, &str)],
    ) -> Cluster {
        let brokers: String =
            settings.required("brokers", "HOST:PORT, several with commas").unwrap_or_default();
        let topic: String = settings.required("topic", "the topic's name").unwrap_or_default();
        let options: Map<String, Value> = settings.optional("options").unwrap_or_default();
        let mut config = ClientConfig::new();
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &options {
            let is_ours = BROKER_SETTINGS.contains(&name.as_str()) || ours.iter().any(|(of, _)| of == name);
            match value {
                _ if is_ours => {
                    let message = if BROKER_SETTINGS.contains(&name.as_str()) {
                        format!("`{name}` is what `brokers` says; remove it")
                    } else {
                        format!("`{name}` is set by weir, its promise rests on it; remove it")
                    };
                    settings.error("options", message);
                }
                Value::String(text) => _ = config.set(name, text),
                Value::Number(_) | Value::Bool(_) => _ = config.set(name, value.to_string()),
                _ => settings
                    .error("options", format!("`{name}` is neither a text, a number nor true or false")),
            }
        }
        for (name, value) in ours {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &brokers).set_log_level(RDKafkaLogLevel::Info);
        match config.create_native_config() {
            Ok(_) => {}
            Err(KafkaError::ClientConfig(_, reason, ..)) => {
                settings.error("options", format!("librdkafka says: {}", reason.to_lowercase()));
            }
            Err(error) => settings.error("options", format!("librdkafka says: {error}")),
        }
        Cluster { brokers, topic, config }
    }

    /// Makes a client. It connects in the background.
    pub(super) fn client<T>(&self) -> Result<T, ConnectError>
    where
        T: rdkafka::config::FromClientConfigAndContext<Context>,
    {
        self.config.create_with_context(Context::default()).map_err(|error| {
            ConnectError::user(format!("kafka at {}: librdkafka cannot be set up: {error}", self.brokers))
        })
    }

    /// The number of the topic's partitions. Blocks.
    pub(super) fn partitions(&self, client: &Client<Context>) -> Result<u16, ConnectError> {
        // All topics are asked for: a question for one by name makes some brokers create it.
        let metadata = client
            .fetch_metadata(None, QUESTION_TIMEOUT)
            .map_err(|error| self.failure("list the topics", &error, client.context()))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let missing = || {
            ConnectError::external(format!(
                "kafka at {} has no topic `{}`; create it, or correct `topic`",
                self.brokers, self.topic
            ))
        };
        let topic = found.ok_or_else(missing)?;
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(missing()),
            Some(code) => {
                let error = KafkaError::MetadataFetch(code);
                return Err(self.failure("describe the topic", &error, client.context()));
            }
        }
        u16::try_from(topic.partitions().len()).map_err(|_| {
            ConnectError::external(format!("kafka topic `{}` has more than 65535 partitions", self.topic))
        })
    }

    /// The error of an operation; `action` is what was tried. It can be retried where the code says so.
    pub(super) fn failure(&self, action: &str, error: &KafkaError, context: &Context) -> ConnectError {
        let code = error.rdkafka_error_code();
        let retry = code.is_some_and(passes_by_itself);
        let reason = context.last_line().filter(|_| retry);
        let reason =
            reason.or_else(|| code.map(|code| code.to_string())).unwrap_or_else(|| error.to_string());
        let message = format!("kafka at {}, topic `{}`: cannot {action}: {reason}", self.brokers, self.topic);
        ConnectError { retry, ..ConnectError::external(message) }
    }
}

/// Whether an error is about the way to the broker, or about a broker that is not ready: librdkafka connects
/// again by itself.
pub(super) fn passes_by_itself(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
    )
}

/// Listens to one client: its last complaint explains what an error code does not, and undelivered messages
/// are reported here.
#[derive(Debug, Default)]
pub(super) struct Context {
    last_line: Mutex<Option<String>>,
    undelivered: Mutex<Option<KafkaError>>,
}

impl Context {
    fn last_line(&self) -> Option<String> {
        self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why the first message that was not delivered was not.
    pub(super) fn undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
        // `[thrd:..]: ` names a thread of librdkafka, of no use to anybody who reads the error.
        let line = message.split_once("]: ").map_or(message, |(_, line)| line);
        if matches!(
            level,
            RDKafkaLogLevel::Emerg
                | RDKafkaLogLevel::Alert
                | RDKafkaLogLevel::Critical
                | RDKafkaLogLevel::Error
        ) {
            *self.last_line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
            undelivered.get_or_insert_with(|| error.clone());
        }
    }
}
