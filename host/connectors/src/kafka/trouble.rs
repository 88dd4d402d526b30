//! Whether the brokers can be reached, and what an error of librdkafka's means for reading.
//!
//! Knows errors and librdkafka's figures of itself. Must not know what is read.

use super::client::{Cluster, Context, passes_by_itself};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use std::collections::BTreeSet;
use std::time::Duration;
use weir_connect::{ConnectError, Health};

/// A broken connection is complained of at most so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// A broker that is asked for messages answers within `fetch.wait.max.ms`, also when it has none; beyond that it may take
/// so long before it is said not to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What follows from an error.
pub(super) enum Verdict {
    /// Reading goes on by itself once that has passed.
    PassesByItself(ConnectError),
    /// The reader ends; another is opened where the error can be retried.
    Fails(ConnectError),
}

/// What follows from an error while reading.
pub(super) fn verdict(cluster: &Cluster, error: &KafkaError, context: &Context) -> Verdict {
    use RDKafkaErrorCode as Code;
    let failure = cluster.failure("read", error, context);
    // Opening again compares positions with what the logs hold, and finds out whether the topic is really gone.
    let reopened = |failure| Verdict::Fails(ConnectError { retry: true, ..failure });
    match (error, error.rdkafka_error_code()) {
        (KafkaError::MessageConsumptionFatal(_), _) => reopened(failure),
        (_, Some(code)) if passes_by_itself(code) => Verdict::PassesByItself(failure),
        (_, Some(Code::LogTruncation)) => Verdict::Fails(ConnectError::external(format!(
            "{}: messages that were read are not in the log any more; start the job anew with --reset",
            failure.message
        ))),
        (
            _,
            Some(
                Code::AutoOffsetReset
                | Code::OffsetOutOfRange
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownTopicId
                | Code::UnknownPartition,
            ),
        ) => reopened(failure),
        _ => Verdict::Fails(failure),
    }
}

/// Whether brokers are away, or silent.
#[derive(Debug)]
pub(super) struct BrokerTrouble {
    /// `ADDRESS, topic ..`, as messages name it.
    place: String,
    /// How long a broker may be silent that was asked for messages.
    patience: Duration,
    complained_at: Option<Duration>,
    /// Whether it is silence: then only an answer ends it.
    is_silence: bool,
    health: Health,
}

impl BrokerTrouble {
    pub(super) fn new(cluster: &Cluster) -> BrokerTrouble {
        BrokerTrouble {
            place: cluster.to_string(),
            patience: cluster.fetch_wait() + PATIENCE,
            complained_at: None,
            is_silence: false,
            health: Health::default(),
        }
    }

    /// What is said of it elsewhere.
    pub(super) fn health(&self) -> Health {
        self.health.clone()
    }

    pub(super) fn is_there(&self) -> bool {
        self.complained_at.is_some()
    }

    /// The brokers cannot be reached; whether they could until now.
    pub(super) fn arises(&mut self, reason: String, now: Duration) -> bool {
        let is_new = self.complained_at.is_none();
        if self.complained_at.is_none_or(|at| now.saturating_sub(at) >= COMPLAIN_EVERY) {
            tracing::warn!("{reason}; weir goes on trying");
            self.complained_at = Some(now);
        }
        self.health.waits_for(reason);
        is_new
    }

    /// A broker has answered, which need not be the one that is silent.
    pub(super) fn passed(&mut self) {
        if !self.is_silence {
            self.end();
        }
    }

    fn end(&mut self) {
        self.is_silence = false;
        if self.complained_at.take().is_some() {
            self.health.recovered();
            tracing::info!("{}: reading goes on", self.place);
        }
    }

    /// Notices brokers that read partitions and do not answer; `leaders` are their numbers.
    pub(super) fn look_at(&mut self, statistics: &Statistics, leaders: &BTreeSet<i32>, now: Duration) {
        let silent = statistics.brokers.values().filter(|broker| leaders.contains(&broker.nodeid));
        let silent = silent.filter(|broker| broker.waitresp_cnt > 0).filter_map(|broker| {
            let silence = Duration::from_micros(u64::try_from(broker.rxidle).ok()?);
            (silence > self.patience).then_some((silence, broker))
        });
        match silent.max_by_key(|(silence, _)| *silence) {
            Some((silence, broker)) => {
                let seconds = silence.as_secs();
                let reason = format!(
                    "{}: the broker {} has not answered for {seconds} s",
                    self.place, broker.nodename
                );
                self.is_silence = true;
                self.arises(reason, now);
            }
            None if self.is_silence => self.end(),
            None => {}
        }
    }
}
