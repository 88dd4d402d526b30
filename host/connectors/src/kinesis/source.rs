//! A stream as a source: its shards as partitions, and where a job begins.

use super::lane::{Lags, SharedByLanes};
use super::place::{At, ShardPlace};
use super::reader::{KinesisReader, Tree};
use super::shards::{First, partitions};
use super::stream::Stream;
use crate::log_start::LogStart;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use weir_connect::{ConnectError, Health, Left, OpenPartition, Reader, Source};
use weir_event::{Clock, EventTime};

/// Blocks that wait for the reader: enough to decode in parallel, little to hold in memory.
const CHANNEL_BLOCKS: usize = 4;
/// Pages that are held at once, of up to 10 MB each, however many shards there are.
const PAGES: usize = 16;
/// Jobs that start within so long of each other begin `latest` at the same place, so that one reader serves them all.
const TOGETHER: Duration = Duration::from_secs(5);

/// Reads one stream.
#[derive(Debug)]
pub struct KinesisSource {
    stream: Arc<Stream>,
    start: LogStart,
    /// The consumer that shards are pushed to.
    fan_out: Option<String>,
    clock: Arc<dyn Clock>,
    lags: Lags,
    /// When jobs began `latest` last, and where.
    latest: Mutex<Option<(Duration, EventTime)>>,
}

impl KinesisSource {
    pub(super) fn new(
        stream: Stream,
        start: LogStart,
        fan_out: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> KinesisSource {
        KinesisSource {
            stream: Arc::new(stream),
            start,
            fan_out,
            clock,
            lags: Lags::default(),
            latest: Mutex::default(),
        }
    }

    /// Where a job begins that has read nothing.
    async fn first(&self) -> Result<First, ConnectError> {
        let about = self.stream.about().await?;
        let at = match self.start {
            LogStart::Oldest => At::Beginning,
            LogStart::At(time) => At::From(time),
            LogStart::Latest => At::From(self.latest()),
        };
        let trimmed = self.clock.now().since(about.created) >= about.keeps;
        Ok(First { at, trimmed, only_open: self.start == LogStart::Latest })
    }

    /// The ARN of the consumer that shards are pushed to, if one is.
    async fn consumer(&self) -> Result<Option<Arc<str>>, ConnectError> {
        let Some(name) = &self.fan_out else { return Ok(None) };
        let about = self.stream.about().await?;
        let arn = self.stream.consumer(&about.arn, name, &*self.clock).await?;
        Ok(Some(arn.into()))
    }

    fn latest(&self) -> EventTime {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let monotonic = self.clock.monotonic();
        let is_recent = |(since, _): &(Duration, EventTime)| monotonic.saturating_sub(*since) < TOGETHER;
        latest.filter(is_recent).unwrap_or_else(|| *latest.insert((monotonic, self.clock.now()))).1
    }
}

#[async_trait]
impl Source for KinesisSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        let first = self.first().await?;
        partitions(known, &self.stream.shards().await?, &first)
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let client = self.stream.client().await?.clone();
        let consumer = self.consumer().await?;
        let listed = self.stream.shards().await?;
        let (out, blocks) = mpsc::channel(CHANNEL_BLOCKS);
        let (pause, paused) = watch::channel(BTreeSet::new());
        let shared = SharedByLanes {
            stream: self.stream.clone(),
            client,
            consumer,
            clock: self.clock.clone(),
            out,
            health: Health::default(),
            lags: self.lags.clone(),
            paused,
            pages: Arc::new(Semaphore::new(PAGES)),
            bounded,
        };
        let tree = Tree::new(shared, source, listed, partitions)?;
        Ok(Box::new(KinesisReader::start(tree, blocks, pause)))
    }

    async fn left(&self, positions: &[OpenPartition], _: bool) -> Result<Left, ConnectError> {
        let place = |open: &OpenPartition| open.from.as_ref().and_then(|from| ShardPlace::of(from).ok());
        let unread = positions.iter().filter_map(place).filter(|place| place.at != At::End);
        let now = self.clock.monotonic();
        let time = unread.filter_map(|place| self.lags.of(&place.shard, now)).max();
        let is_at_end = time.is_some_and(|time| time.is_zero());
        Ok(Left { records: is_at_end.then_some(0), bytes: None, time })
    }

    /// Where the record before a position stands: its shard and sequence number.
    fn place(&self, before: &weir_event::Position) -> Option<String> {
        Some(before.place.clone())
    }
}
