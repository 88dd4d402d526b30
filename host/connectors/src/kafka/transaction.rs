//! The messages of a file and the mark that they are in the topic, in one transaction.
//!
//! The mark is the offset of a consumer group of the sink's own: the number of the last file whose messages are in the
//! topic. A transaction moves both or neither, so a sink that does not know how one ended opens another producer of the
//! same name, before which the brokers end what the earlier one had begun and refuse whatever still comes of it, and
//! reads the mark. librdkafka cannot go on with a transaction of another process, and need not.

use super::client::{Cluster, Context};
use super::producer::{Client, deliver};
use super::spool::{Spool, Spooled};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use weir_connect::ConnectError;

/// How long the brokers may take to begin or end transactions: one that is up and has just become the coordinator needs
/// seconds.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What a checkpoint knows of a sink that sends exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promised {
    /// The name that it writes under, by which the brokers know it.
    name: String,
    /// The files whose messages are visible once the checkpoint is safe.
    files: Vec<Spooled>,
}

/// Messages on their way through a spool.
pub(super) struct Transacted {
    name: String,
    spool: Spool,
    transactions: Transactions,
}

impl Transacted {
    /// Goes on from what the last safe checkpoint says, and makes that visible. Names of its own begin with `begin`.
    pub(super) fn start(
        cluster: &Cluster,
        settings: &[(&str, &str)],
        folder: PathBuf,
        begin: &str,
        last: Option<&Promised>,
    ) -> Result<Transacted, ConnectError> {
        let mut spool = Spool::open(folder)?;
        let name = spool.name(last.map(|last| last.name.as_str()), begin)?;
        let mut transactions = Transactions::begin(cluster, &name, settings)?;
        let files = last.map(|last| last.files.as_slice()).unwrap_or_default();
        spool.resume(files, transactions.produced)?;
        transactions.produce(&spool, files)?;
        spool.produced(transactions.produced)?;
        Ok(Transacted { name, spool, transactions })
    }

    /// Takes a message, which waits.
    pub(super) fn append(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), ConnectError> {
        self.spool.append(key, value)
    }

    /// Makes what waits durable.
    pub(super) fn prepare(&mut self) -> Result<Promised, ConnectError> {
        Ok(Promised { name: self.name.clone(), files: self.spool.prepare()? })
    }

    /// Makes what was promised visible.
    pub(super) fn commit(&mut self, promised: &Promised) -> Result<(), ConnectError> {
        self.transactions.produce(&self.spool, &promised.files)?;
        self.spool.produced(self.transactions.produced)
    }
}

/// Writes to a topic in transactions.
struct Transactions {
    cluster: Cluster,
    producer: Client,
    /// Its group's offset is the mark.
    group: BaseConsumer<Context>,
    /// The number of the last file that is in the topic.
    produced: u64,
}

impl Transactions {
    /// Ends what an earlier one of the same name has begun, and finds out what is in the topic.
    pub(super) fn begin(
        cluster: &Cluster,
        name: &str,
        limits: &[(&str, &str)],
    ) -> Result<Self, ConnectError> {
        let settings = [limits, &[("transactional.id", name)]].concat();
        let producer: Client = cluster.client_with(&settings)?;
        cluster.look_for_topics(producer.client())?;
        // What is pending is waited for: by then nothing is.
        let group = [("group.id", name), ("isolation.level", "read_committed")];
        let group: BaseConsumer<Context> = cluster.client_with(&group)?;
        let begun = producer.init_transactions(TRANSACTION_TIMEOUT);
        begun.map_err(|error| failure(cluster, "begin to write in transactions", &error, &producer))?;
        let mut transactions = Transactions { cluster: cluster.clone(), producer, group, produced: 0 };
        transactions.produced = transactions.mark()?;
        Ok(transactions)
    }

    fn mark(&self) -> Result<u64, ConnectError> {
        let unread = |error: KafkaError| {
            self.cluster.failure("read which rows are in the topic", &error, self.group.client().context())
        };
        let asked = self.group.committed_offsets(self.of(Offset::Invalid)?, TRANSACTION_TIMEOUT);
        let answer = asked.map_err(unread)?;
        let elements = answer.elements();
        let element = elements.first().ok_or_else(|| unread(KafkaError::NoMessageReceived))?;
        // An answer as a whole may be sound where that of its partition is not.
        element.error().map_err(unread)?;
        match element.offset() {
            Offset::Offset(number) => Ok(u64::try_from(number).unwrap_or(0)),
            // Nothing was ever produced under this name.
            Offset::Invalid => Ok(0),
            other => Err(ConnectError::internal(format!("a kafka sink's mark is {other:?}"))),
        }
    }

    /// The partition at which the mark is kept.
    fn of(&self, offset: Offset) -> Result<TopicPartitionList, ConnectError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.cluster.topic(), 0, offset)
            .map_err(|error| ConnectError::internal(format!("a mark of a kafka sink: {error}")))?;
        Ok(list)
    }

    /// Makes the messages of those of these files visible that are not in the topic: a transaction for each, so that none
    /// takes longer than brokers let it. Where this fails nobody knows whether they are: another must be begun.
    fn produce(&mut self, spool: &Spool, files: &[Spooled]) -> Result<(), ConnectError> {
        let mut new: Vec<&Spooled> = files.iter().filter(|file| file.number > self.produced).collect();
        new.sort_unstable_by_key(|file| file.number);
        new.into_iter().try_for_each(|file| self.produce_one(spool, file))
    }

    fn produce_one(&mut self, spool: &Spool, file: &Spooled) -> Result<(), ConnectError> {
        let begun = self.producer.begin_transaction();
        begun.map_err(|error| failure(&self.cluster, "begin a transaction", &error, &self.producer))?;
        let ended = self.fill(spool, file).and_then(|()| self.commit());
        if let Err(error) = ended {
            // If that fails as well, whoever comes next ends it.
            if let Err(error) = self.producer.abort_transaction(TRANSACTION_TIMEOUT) {
                tracing::debug!(%error, "a transaction that failed is left to its successor");
            }
            return Err(error);
        }
        self.produced = file.number;
        Ok(())
    }

    fn fill(&self, spool: &Spool, file: &Spooled) -> Result<(), ConnectError> {
        spool.read(file, |key, value| deliver(&self.cluster, &self.producer, key, value))?;
        let no_group = || ConnectError::internal("a kafka sink's group has no name");
        let group = self.group.group_metadata().ok_or_else(no_group)?;
        let mark = self.of(Offset::Offset(i64::try_from(file.number).unwrap_or(i64::MAX)))?;
        self.producer
            .send_offsets_to_transaction(&mark, &group, TRANSACTION_TIMEOUT)
            .map_err(|error| failure(&self.cluster, "mark rows as written", &error, &self.producer))
    }

    fn commit(&self) -> Result<(), ConnectError> {
        let committed = self.producer.commit_transaction(TRANSACTION_TIMEOUT);
        committed.map_err(|error| failure(&self.cluster, "commit a transaction", &error, &self.producer))
    }
}

/// The error of a transaction. Whoever was fenced is not to come back: somebody else writes under its name.
fn failure(cluster: &Cluster, action: &str, error: &KafkaError, producer: &Client) -> ConnectError {
    let context = producer.client().context();
    let undelivered = context.undelivered();
    let code = error.rdkafka_error_code();
    if matches!(
        code,
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        )
    ) {
        return ConnectError::external(format!(
            "{cluster}: another weir writes in place of this one, with the same state; stop one of them"
        ));
    }
    let failure = cluster.failure(action, undelivered.as_ref().unwrap_or(error), context);
    let is_retried = failure.retry || matches!(error, KafkaError::Transaction(error) if !error.is_fatal());
    ConnectError { retry: is_retried, ..failure }
}
