//! Positions that jobs have committed, shown to the brokers as a consumer group's offsets: for tools that measure lag.
//!
//! Nothing is read back: a job's own commit says where it goes on. So what does not reach the brokers is only told of, and
//! of several positions the newest counts. A thread of its own, since the client waits for the brokers.

use super::client::{Cluster, Context};
use super::topics::TopicPartition;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use weir_connect::ConnectError;

/// Stands for the job's name in a group's.
const JOB: &str = "{job}";

/// Where a job stands in a partition.
#[derive(Debug)]
struct Shown {
    job: String,
    of: TopicPartition,
    next: u64,
}

/// Shows positions under a group's name.
#[derive(Debug)]
pub(super) struct Offsets {
    cluster: Cluster,
    /// The group's name, with [`JOB`] in it.
    group: String,
    /// To the thread, which begins with the first position and ends with this.
    shown: Mutex<Option<Sender<Shown>>>,
}

impl Offsets {
    pub(super) fn new(cluster: Cluster, group: String) -> Offsets {
        Offsets { cluster, group, shown: Mutex::default() }
    }

    /// A job's newest checkpoint stands here.
    pub(super) fn show(&self, job: &str, of: TopicPartition, next: u64) {
        let mut sender = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.get_or_insert_with(|| {
            let (sender, shown) = channel();
            let (cluster, group) = (self.cluster.clone(), self.group.clone());
            let thread = std::thread::Builder::new().name("weir-kafka-offsets".to_owned());
            if let Err(error) = thread.spawn(move || show_all(&cluster, &group, &shown)) {
                tracing::warn!(%error, "{}: no thread shows positions to the brokers", self.cluster);
            }
            sender
        });
        // It fails where there is no thread, which was told of.
        let _ = sender.send(Shown { job: job.to_owned(), of, next });
    }
}

/// Until nobody shows anything any more.
fn show_all(cluster: &Cluster, group: &str, shown: &Receiver<Shown>) {
    let mut groups: BTreeMap<String, BaseConsumer<Context>> = BTreeMap::new();
    while let Ok(first) = shown.recv() {
        let mut newest: BTreeMap<String, BTreeMap<TopicPartition, u64>> = BTreeMap::new();
        for Shown { job, of, next } in std::iter::once(first).chain(shown.try_iter()) {
            newest.entry(job).or_default().insert(of, next);
        }
        for (job, positions) in newest {
            if let Err(error) = show(cluster, &group.replace(JOB, &job), &mut groups, &positions) {
                tracing::warn!(job, %error, "positions are not shown to the brokers; the job goes on");
            }
        }
    }
}

fn show(
    cluster: &Cluster,
    group: &str,
    groups: &mut BTreeMap<String, BaseConsumer<Context>>,
    positions: &BTreeMap<TopicPartition, u64>,
) -> Result<(), ConnectError> {
    let consumer = match groups.entry(group.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(cluster.quiet_client(&[("group.id", group)])?),
    };
    let mut list = TopicPartitionList::new();
    let filled = positions.iter().try_for_each(|(of, next)| {
        let offset = Offset::Offset(i64::try_from(*next).unwrap_or(i64::MAX));
        list.add_partition_offset(&of.topic, of.number, offset)
    });
    filled
        .and_then(|()| consumer.commit(&list, CommitMode::Sync))
        .map_err(|error| cluster.failure("commit offsets", &error, consumer.context()))
}
