//! What source and sink share: how a client is configured, whether the topic is there, and which of librdkafka's
//! errors pass by themselves.

use super::security;
use super::topics::{TopicPartition, Topics};
use crate::settings::Settings;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use weir_connect::ConnectError;

/// How long one question to the brokers may take; a broker that is up answers within milliseconds.
pub(super) const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// What librdkafka takes for `fetch.wait.max.ms` by itself.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// Names of the same setting as `brokers`.
const BROKER_SETTINGS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// Topics and how to reach them.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) brokers: String,
    pub(super) topics: Topics,
    config: ClientConfig,
}

impl Cluster {
    /// Reads `brokers`, `security` and `options`. `ours` are settings that the connector's promise rests on and
    /// nobody may change, empty where they are set by need; `defaults` are better for weir than librdkafka's and give way to `options`.
    pub(super) fn from_settings(
        settings: &mut Settings<'_>,
        topics: Topics,
        project: &Path,
        ours: &[(&str, &str)],
        defaults: &[(&str, &str)],
    ) -> Cluster {
        let brokers: String =
            settings.required("brokers", "HOST:PORT, several with commas").unwrap_or_default();
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
        for (name, value) in ours.iter().filter(|(_, value)| !value.is_empty()) {
            config.set(*name, *value);
        }
        security::configure(settings, project, &mut config);
        config.set("bootstrap.servers", &brokers).set_log_level(RDKafkaLogLevel::Debug);
        match config.create_native_config() {
            Ok(_) => {}
            Err(KafkaError::ClientConfig(_, reason, ..)) => {
                settings.error("options", format!("librdkafka says: {}", reason.to_lowercase()));
            }
            Err(error) => settings.error("options", format!("librdkafka says: {error}")),
        }
        Cluster { brokers, topics, config }
    }

    /// Makes a client. It connects in the background.
    pub(super) fn client<T>(&self) -> Result<T, ConnectError>
    where
        T: FromClientConfigAndContext<Context>,
    {
        self.client_with(&[])
    }

    /// Makes a client for which these settings stand in place of others.
    pub(super) fn client_with<T>(&self, settings: &[(&str, &str)]) -> Result<T, ConnectError>
    where
        T: FromClientConfigAndContext<Context>,
    {
        let mut config = self.config.clone();
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config.create_with_context(Context::default()).map_err(|error| {
            ConnectError::user(format!("kafka at {}: librdkafka cannot be set up: {error}", self.brokers))
        })
    }

    /// Makes a client that is asked now and then, and not listened to in between: it says little, and keeps no figures.
    pub(super) fn quiet_client<T>(&self, settings: &[(&str, &str)]) -> Result<T, ConnectError>
    where
        T: FromClientConfigAndContext<Context>,
    {
        let mut quiet = self.clone();
        quiet.config.set_log_level(RDKafkaLogLevel::Info).set("statistics.interval.ms", "0");
        quiet.client_with(settings)
    }

    /// A number that is set of librdkafka's.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.config.get(name).and_then(|text| text.parse().ok())
    }

    /// How long a broker that is asked for messages may wait for some.
    pub(super) fn fetch_wait(&self) -> Duration {
        self.number("fetch.wait.max.ms").map_or(FETCH_WAIT, |millis| Duration::from_millis(millis as u64))
    }

    /// The name of the topic, or the pattern of several.
    pub(super) fn topic(&self) -> &str {
        self.topics.text()
    }

    /// Looks what there is of its topics; an error where there is none of them. Blocks.
    pub(super) fn look_for_topics(
        &self,
        client: &Client<Context>,
    ) -> Result<BTreeSet<TopicPartition>, ConnectError> {
        // A question for one topic by name makes some brokers create it.
        let asked = client.fetch_metadata(None, QUESTION_TIMEOUT);
        let all = asked.map_err(|error| self.failure(LIST_TOPICS, &error, client.context()))?;
        self.among(&all)
    }

    /// What there is of its topics among all that brokers list; an error where there is none of them.
    pub(super) fn among(&self, all: &Metadata) -> Result<BTreeSet<TopicPartition>, ConnectError> {
        let partitions = self.topics.listed(all);
        if partitions.is_empty() { Err(self.missing(all)) } else { Ok(partitions) }
    }

    /// Why there is none of its topics among all that brokers list.
    fn missing(&self, all: &Metadata) -> ConnectError {
        let brokers = &self.brokers;
        let topic = match &self.topics {
            Topics::Matching { pattern, .. } => {
                return ConnectError::external(format!(
                    "kafka at {brokers} has no topic like `{pattern}`; create one, or correct the pattern"
                ));
            }
            Topics::One(topic) => topic,
        };
        let found = all.topics().iter().find(|found| found.name() == &**topic);
        match found.and_then(MetadataTopic::error).map(RDKafkaErrorCode::from) {
            Some(code) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                let retry = passes_by_itself(code);
                let message = format!("{self}: cannot describe the topic: {code}");
                ConnectError { retry, ..ConnectError::external(message) }
            }
            _ => ConnectError::external(format!(
                "kafka at {brokers} has no topic `{topic}`; create it, or correct `topic`"
            )),
        }
    }

    /// A number that none of these has.
    pub(super) fn next_number(&self, taken: impl Iterator<Item = u16>) -> Result<u16, ConnectError> {
        taken.max().map_or(Ok(0), |last| last.checked_add(1).ok_or_else(|| self.too_many()))
    }

    /// There are more partitions than weir can number.
    pub(super) fn too_many(&self) -> ConnectError {
        ConnectError::external(format!("{self}: there are more than 65535 partitions"))
    }

    /// The error of an operation; `action` is what was tried. It can be retried where the code says so.
    pub(super) fn failure(&self, action: &str, error: &KafkaError, context: &Context) -> ConnectError {
        let code = error.rdkafka_error_code();
        let retry = code.is_some_and(passes_by_itself);
        let reason = context.complaint().filter(|_| retry || code.is_some_and(is_refusal));
        let by_code = |code: RDKafkaErrorCode| match code {
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::OperationTimedOut => {
                // Who has listed the topics before is one of Kafka's.
                if action == LIST_TOPICS { SILENT.to_owned() } else { UNANSWERED.to_owned() }
            }
            code => code.to_string(),
        };
        let reason = reason.or_else(|| code.map(by_code)).unwrap_or_else(|| error.to_string());
        ConnectError { retry, ..ConnectError::external(format!("{self}: cannot {action}: {reason}")) }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka at {}, {}", self.brokers, self.topics)
    }
}

/// Whether an error is about who speaks to whom: a certificate, a password.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Authentication | Code::SSL | Code::SaslAuthenticationFailed)
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
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
    )
}

/// What a broker does that is spoken to otherwise than its listener wants.
const HANGS_UP: &str = "the other side hangs up at the first question, as a listener does that wants TLS or SASL (see `security`)";
/// What is tried first of brokers.
pub(super) const LIST_TOPICS: &str = "list the topics";
/// What is said of that where librdkafka names no cause: whoever listens takes connections, and says nothing.
const SILENT: &str =
    "nothing answers there; see whether the port is one of Kafka's, and its listener as `security` says";
/// What is said of everything else.
const UNANSWERED: &str = "no answer came in time, or the connection was lost";

/// What a complaint is about, where it names a cause: librdkafka's words, and ours.
const CAUSES: [(&str, &str); 6] = [
    ("Connection refused", "nobody listens there"),
    ("Invalid response size", "what answers there does not speak Kafka"),
    ("in state APIVERSION_QUERY", HANGS_UP),
    ("Failed to resolve", "the broker's name is not known"),
    ("SSL handshake failed", "TLS fails"),
    ("SASL authentication error", "the credentials are refused"),
];

fn names_cause(words: &str) -> bool {
    CAUSES.iter().any(|(theirs, _)| words.contains(theirs))
}

/// Listens to one client: its complaints explain what an error code does not, what it says of itself is kept until it is
/// asked for, and undelivered messages are reported here.
#[derive(Debug, Default)]
pub(super) struct Context {
    complaint: Mutex<Complaint>,
    statistics: Mutex<Option<Statistics>>,
    is_made_anew: AtomicBool,
    undelivered: Mutex<Option<KafkaError>>,
}

/// What a client complained of last.
#[derive(Debug, Default)]
struct Complaint {
    text: Option<String>,
    /// Whether it names a cause, which is not to give way to what follows from it.
    is_cause: bool,
}

impl Context {
    fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    fn complain(&self, line: &str) {
        // `[thrd:..]: ` names a thread of librdkafka, of no use to anybody who reads the error.
        let words = line.split_once("]: ").map_or(line, |(_, words)| words);
        let cause = CAUSES.iter().find(|(theirs, _)| words.contains(theirs)).map(|(_, ours)| ours);
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if cause.is_some() || !complaint.is_cause {
            let text = cause.map_or_else(|| words.to_owned(), |cause| format!("{cause}: {words}"));
            *complaint = Complaint { text: Some(text), is_cause: cause.is_some() };
        }
    }

    /// It has been heard of a broker: what was complained of before is not the reason of what comes.
    pub(super) fn calmed(&self) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Complaint::default();
    }

    /// What librdkafka has said of itself since this was asked last.
    pub(super) fn take_statistics(&self) -> Option<Statistics> {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the topic was exchanged for another one of its name since the client was made.
    pub(super) fn is_made_anew(&self) -> bool {
        self.is_made_anew.load(Ordering::Relaxed)
    }

    /// Why the first message that was not delivered was not.
    pub(super) fn undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How librdkafka says, and shows nowhere else, that it has found another topic under the name of one that it knew: a
/// test against a real broker fails where it says it otherwise. It says so before it fetches anything of the other topic.
const CHANGED_ID: &str = " changed id from ";
/// The id of a topic that it did not know yet.
const NO_ID: &str = "from AAAAAAAAAAAAAAAAAAAAAA ";

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if matches!(level, RDKafkaLogLevel::Debug) {
            tracing::trace!(facility, "librdkafka: {message}");
            if message.contains(CHANGED_ID) && !message.contains(NO_ID) {
                self.is_made_anew.store(true, Ordering::Relaxed);
            }
            return;
        }
        tracing::debug!(facility, "librdkafka: {message}");
        let is_error = matches!(
            level,
            RDKafkaLogLevel::Emerg
                | RDKafkaLogLevel::Alert
                | RDKafkaLogLevel::Critical
                | RDKafkaLogLevel::Error
        );
        if is_error || names_cause(message) {
            self.complain(message);
        }
    }

    fn stats(&self, statistics: Statistics) {
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
        if names_cause(reason) {
            self.complain(reason);
        }
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
