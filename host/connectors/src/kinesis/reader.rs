//! Reading a stream: its shards beside each other, and children after their parents.
//!
//! A task of its own keeps the tree of shards; it starts a lane for each that may be read, and when one has ended looks
//! for its children. The short channel that all of them fill makes [`KinesisReader::next`] cancel safe.

use super::lane::{Lane, LaneEnd, SharedByLanes, end};
use super::place::{At, ShardPlace};
use super::shards::{Shard, children, next_number};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use weir_connect::{ConnectError, Fetch, Health, OpenPartition, Reader};
use weir_event::PartitionId;

/// An open stream.
pub(super) struct KinesisReader {
    blocks: mpsc::Receiver<Result<Fetch, ConnectError>>,
    paused: watch::Sender<BTreeSet<u16>>,
    health: Health,
    tree: JoinHandle<()>,
}

impl KinesisReader {
    /// Reads what a tree says.
    pub(super) fn start(
        tree: Tree,
        blocks: mpsc::Receiver<Result<Fetch, ConnectError>>,
        paused: watch::Sender<BTreeSet<u16>>,
    ) -> KinesisReader {
        let health = tree.shared.health.clone();
        KinesisReader { blocks, paused, health, tree: tokio::spawn(tree.run()) }
    }
}

impl Drop for KinesisReader {
    fn drop(&mut self) {
        self.tree.abort();
    }
}

#[async_trait]
impl Reader for KinesisReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        match self.blocks.recv().await {
            Some(fetched) => fetched,
            // A bounded read has said everything.
            None => std::future::pending().await,
        }
    }

    fn pause(&mut self, partition: PartitionId) {
        self.paused.send_modify(|paused| _ = paused.insert(partition.partition));
    }

    fn resume(&mut self, partition: PartitionId) {
        self.paused.send_modify(|paused| _ = paused.remove(&partition.partition));
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}

/// A shard as the reader sees it.
#[derive(Debug)]
struct KnownShard {
    place: ShardPlace,
    next: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A parent is not read to its end yet.
    Waiting,
    Reading,
    Done,
}

/// The shards of a stream and who reads them.
pub(super) struct Tree {
    shared: SharedByLanes,
    source: u16,
    listed: Vec<Shard>,
    known: BTreeMap<u16, KnownShard>,
    lanes: JoinSet<(u16, Result<LaneEnd, ConnectError>)>,
}

impl Tree {
    /// The shards that are listed, of which these are partitions.
    pub(super) fn new(
        shared: SharedByLanes,
        source: u16,
        listed: Vec<Shard>,
        partitions: &[OpenPartition],
    ) -> Result<Tree, ConnectError> {
        let mut known = BTreeMap::new();
        for open in partitions {
            let from = open.from.as_ref().ok_or_else(|| {
                ConnectError::internal(format!(
                    "partition {} of a Kinesis stream has no place",
                    open.partition
                ))
            })?;
            let place = ShardPlace::of(from)?;
            let state = if place.at == At::End { State::Done } else { State::Waiting };
            known.insert(open.partition, KnownShard { place, next: from.next, state });
        }
        Ok(Tree { shared, source, listed, known, lanes: JoinSet::new() })
    }

    async fn run(mut self) {
        if let Err(error) = self.go_on().await {
            // Nobody may be listening any more, and then nobody needs to know.
            let _ = self.shared.out.send(Err(error)).await;
        }
    }

    async fn go_on(&mut self) -> Result<(), ConnectError> {
        let ended: Vec<u16> =
            self.known.iter().filter(|(_, it)| it.state == State::Done).map(|(number, _)| *number).collect();
        for number in ended {
            self.say(Fetch::Ended(self.id(number))).await;
        }
        self.start_lanes();
        while let Some(joined) = self.lanes.join_next().await {
            let (number, outcome) = joined
                .map_err(|panic| ConnectError::internal(format!("reading a shard broke off: {panic}")))?;
            match outcome? {
                LaneEnd::Closed => return Ok(()),
                LaneEnd::AtEnd => {
                    if let Some(shard) = self.known.get_mut(&number) {
                        shard.state = State::Done;
                    }
                }
                LaneEnd::Ended(next) => self.ended(number, next).await?,
            }
        }
        Ok(())
    }

    fn id(&self, partition: u16) -> PartitionId {
        PartitionId { source: self.source, partition }
    }

    async fn say(&self, fetch: Fetch) {
        // Where nobody listens, the lanes end too.
        let _ = self.shared.out.send(Ok(fetch)).await;
    }

    /// Starts reading each shard whose parents were read to their ends, or are no partitions.
    fn start_lanes(&mut self) {
        let unread: BTreeSet<&str> = self
            .known
            .values()
            .filter(|it| it.state != State::Done)
            .map(|it| it.place.shard.as_str())
            .collect();
        let shard = |id: &str| self.listed.iter().find(|shard| shard.id == id);
        let may_be_read = |it: &KnownShard| {
            let parents = shard(&it.place.shard).map_or(&[][..], |shard| shard.parents.as_slice());
            it.state == State::Waiting && !parents.iter().any(|parent| unread.contains(parent.as_str()))
        };
        let ready: Vec<u16> =
            self.known.iter().filter(|(_, it)| may_be_read(it)).map(|(number, _)| *number).collect();
        for number in ready {
            let id = self.id(number);
            let Some(known) = self.known.get_mut(&number) else { continue };
            known.state = State::Reading;
            let shard = self.listed.iter().find(|shard| shard.id == known.place.shard);
            let lane = Lane {
                shared: self.shared.clone(),
                id,
                place: known.place.clone(),
                next: known.next,
                keys: shard.and_then(|shard| shard.keys),
                closed: shard.is_some_and(|shard| shard.closed),
                until: None,
                caught_up: false,
            };
            self.lanes.spawn(async move { (number, lane.read().await) });
        }
    }

    /// A shard was read to its end: its children are known before that is said.
    async fn ended(&mut self, number: u16, next: u64) -> Result<(), ConnectError> {
        let Some(shard) = self.known.get_mut(&number) else { return Ok(()) };
        shard.state = State::Done;
        let name = shard.place.shard.clone();
        if !self.shared.bounded {
            self.listed = self.shared.stream.shards().await?;
            let is_known = |id: &str| self.known.values().any(|it| it.place.shard == id);
            let new = children(&self.listed, &name).filter(|child| !is_known(&child.id));
            let new: Vec<String> = new.map(|child| child.id.clone()).collect();
            for child in new {
                self.appeared(child).await?;
            }
        }
        let id = self.id(number);
        self.say(Fetch::Block(end(id, &name, next))).await;
        self.say(Fetch::Ended(id)).await;
        self.start_lanes();
        Ok(())
    }

    async fn appeared(&mut self, shard: String) -> Result<(), ConnectError> {
        let open = |partition: &u16| OpenPartition { partition: *partition, from: None };
        let number = next_number(&self.known.keys().map(open).collect::<Vec<_>>())?;
        let place = ShardPlace { shard, at: At::Beginning };
        self.say(Fetch::Appeared(self.id(number), place.position(0))).await;
        self.known.insert(number, KnownShard { place, next: 0, state: State::Waiting });
        Ok(())
    }
}
