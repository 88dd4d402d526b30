//! One shard's reading: page by page at the pace that AWS allows, each page as blocks.
//!
//! A shard may be read five times a second by all who read it together, or is pushed to a consumer of its own. Who is told to slow down waits longer each time,
//! and says so; an iterator that has expired is asked for anew. Whatever else fails ends the reader.

use super::aggregated::unpack;
use super::fan_out::{Pushed, Subscription};
use super::place::{At, ShardPlace};
use super::stream::{Page, Stream, time};
use crate::aws::{Failure, Trouble};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Record;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use weir_connect::{ConnectError, Fetch, Framing, Health, KnownTimes, RawBlock};
use weir_event::{Clock, EventTime, PartitionId};

/// Between two calls for one shard: five are allowed in a second.
const PACE: Duration = Duration::from_millis(200);
/// Who was told to slow down waits so long at first, doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(400);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// Being told so twice in a row is a matter of chance where others read too.
const COMPLAIN_AFTER: u32 = 3;
/// A block is handed on when it has reached this size.
const BLOCK_BYTES: usize = 1 << 20;

/// Where blocks go.
pub(super) type Out = mpsc::Sender<Result<Fetch, ConnectError>>;

/// How far behind its newest record each shard was read, and when that was said; for figures alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Lags(Arc<Mutex<BTreeMap<String, (Duration, Duration)>>>);

impl Lags {
    fn tell(&self, shard: &str, behind_ms: i64, now: Duration) {
        let behind = Duration::from_millis(u64::try_from(behind_ms).unwrap_or_default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.to_owned(), (behind, now));
    }

    /// That of a shard that was read: one that was behind and is not heard of since is further behind.
    pub(super) fn of(&self, shard: &str, now: Duration) -> Option<Duration> {
        let (behind, told) = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(shard)?;
        Some(if behind.is_zero() { behind } else { behind + now.saturating_sub(told) })
    }
}

/// What all lanes of a reader share.
#[derive(Debug, Clone)]
pub(super) struct SharedByLanes {
    pub(super) stream: Arc<Stream>,
    pub(super) client: Client,
    /// To which shards are pushed; otherwise they are asked.
    pub(super) consumer: Option<Arc<str>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) out: Out,
    pub(super) health: Health,
    pub(super) lags: Lags,
    /// Partitions that wait for others.
    pub(super) paused: watch::Receiver<BTreeSet<u16>>,
    /// How many pages may be held at once: each may be 10 MB.
    pub(super) pages: Arc<Semaphore>,
    pub(super) bounded: bool,
}

/// How the reading of a shard ended.
#[derive(Debug)]
pub(super) enum LaneEnd {
    /// It was read to where it ended when a bounded read began.
    AtEnd,
    /// Nothing more will come of it; the next record would have had this offset.
    Ended(u64),
    /// Nobody listens any more.
    Closed,
}

/// One shard that is being read.
pub(super) struct Lane {
    pub(super) shared: SharedByLanes,
    pub(super) id: PartitionId,
    pub(super) place: ShardPlace,
    pub(super) next: u64,
    /// The hash keys of its records.
    pub(super) keys: Option<(u128, u128)>,
    /// Whether the stream says that nothing more is written to it: then it has an end, however bounded the read.
    pub(super) closed: bool,
    /// In a bounded read, records that arrived later are not read; known after the first page.
    pub(super) until: Option<i64>,
    pub(super) caught_up: bool,
}

impl Lane {
    /// Reads until there is no more to read.
    pub(super) async fn read(mut self) -> Result<LaneEnd, ConnectError> {
        let mut feed = Feed::default();
        let mut refused = 0;
        let mut asked_at: Option<Duration> = None;
        let clock = self.shared.clock.clone();
        loop {
            let number = self.id.partition;
            if self.shared.paused.wait_for(|paused| !paused.contains(&number)).await.is_err() {
                return Ok(LaneEnd::Closed);
            }
            if !feed.is_pushed() {
                let since = asked_at.map_or(PACE, |at| clock.monotonic().saturating_sub(at));
                clock.sleep(wait(refused).saturating_sub(since)).await;
                asked_at = Some(clock.monotonic());
            }
            let pages = self.shared.pages.clone();
            // What is pushed is waited for, so that it may not keep others from asking.
            let _held = if self.shared.consumer.is_none() { Some(pages.acquire().await) } else { None };
            match feed.next(&self.shared, &self.place).await {
                Ok(pushed) => {
                    if refused >= COMPLAIN_AFTER {
                        self.shared.health.recovered();
                    }
                    refused = 0;
                    let (page, is_last) = match pushed {
                        Pushed::Page(page) => (page, false),
                        Pushed::Last(page) => (page, true),
                        Pushed::Over => continue,
                    };
                    if let Some(outcome) = self.hand_out(page, is_last).await? {
                        return Ok(outcome);
                    }
                }
                Err(failure) if failure.code == "ExpiredIteratorException" => feed = Feed::default(),
                Err(failure) if failure.trouble == Trouble::Throttled => {
                    refused += 1;
                    let failed = self.failed(failure).message;
                    tracing::debug!("{failed}");
                    if refused >= COMPLAIN_AFTER {
                        self.shared.health.waits_for(failed);
                    }
                }
                Err(failure) => return Err(self.failed(failure)),
            }
        }
    }

    fn failed(&self, failure: Failure) -> ConnectError {
        self.shared.stream.failed(&format!("read shard `{}`", self.place.shard), failure)
    }

    /// Hands a page on; says how reading ended, if it has.
    pub(super) async fn hand_out(
        &mut self,
        page: Page,
        is_last: bool,
    ) -> Result<Option<LaneEnd>, ConnectError> {
        let Page { mut records, behind_ms } = page;
        self.shared.lags.tell(&self.place.shard, behind_ms, self.shared.clock.monotonic());
        let arrived = |record: &Record| time(record.approximate_arrival_timestamp()).map(EventTime::millis);
        if self.shared.bounded && !self.closed && self.until.is_none() {
            // What comes behind it came while this was read.
            self.until = records.last().and_then(arrived).map(|at| at + behind_ms);
        }
        let is_new = |record: &Record| self.until.zip(arrived(record)).is_some_and(|(until, at)| at > until);
        let kept = records.iter().position(is_new);
        records.truncate(kept.unwrap_or(records.len()));
        if !records.is_empty() {
            self.caught_up = false;
        }
        for block in self.blocks(&records) {
            if self.shared.out.send(Ok(Fetch::Block(block))).await.is_err() {
                return Ok(Some(LaneEnd::Closed));
            }
        }
        if is_last && kept.is_none() {
            return Ok(Some(LaneEnd::Ended(self.next)));
        }
        let is_at_end = kept.is_some() || behind_ms == 0;
        if is_at_end && !std::mem::replace(&mut self.caught_up, true) {
            if self.shared.bounded && self.closed {
                return Ok(None);
            }
            if self.shared.out.send(Ok(Fetch::CaughtUp(self.id))).await.is_err() {
                return Ok(Some(LaneEnd::Closed));
            }
        }
        Ok((is_at_end && self.shared.bounded && !self.closed).then_some(LaneEnd::AtEnd))
    }

    fn blocks(&mut self, records: &[Record]) -> Vec<RawBlock> {
        let (mut blocks, mut filling) = (Vec::new(), Filling::default());
        for record in records {
            let data = Bytes::copy_from_slice(record.data().as_ref());
            let known = time(record.approximate_arrival_timestamp());
            let known = known.map_or_else(|| self.shared.clock.now().millis(), EventTime::millis);
            for data in unpack(&data, self.keys) {
                filling.push(&data, self.next, known);
                self.next += 1;
            }
            self.place.at = At::After(record.sequence_number().to_owned());
            if filling.data.len() >= BLOCK_BYTES {
                blocks.push(std::mem::take(&mut filling).finish(self.id, &self.place, self.next));
            }
        }
        let is_passed =
            blocks.last().is_none_or(|block: &RawBlock| block.next != self.place.position(self.next));
        if !records.is_empty() && is_passed {
            blocks.push(filling.finish(self.id, &self.place, self.next));
        }
        blocks
    }
}

/// Where the next page of a shard comes from.
#[derive(Default)]
enum Feed {
    /// From where it stands, nothing having been asked yet.
    #[default]
    New,
    Polled(String),
    Pushed(Box<Subscription>),
}

impl Feed {
    /// Whether pages come without being asked for.
    fn is_pushed(&self) -> bool {
        matches!(self, Feed::Pushed(_))
    }

    /// The next page of a shard that stands at a place.
    async fn next(&mut self, shared: &SharedByLanes, place: &ShardPlace) -> Result<Pushed, Failure> {
        let SharedByLanes { stream, client, consumer, .. } = shared;
        if let (Feed::New, Some(consumer)) = (&*self, consumer) {
            *self = Feed::Pushed(Box::new(stream.subscribe(client, consumer, place).await?));
        } else if let Feed::New = self {
            let iterator = stream.iterator(client, place).await?;
            let Some(iterator) = iterator else { return Ok(Pushed::Last(Page::default())) };
            *self = Feed::Polled(iterator);
        }
        match self {
            Feed::New => Ok(Pushed::Over),
            Feed::Polled(iterator) => {
                let (page, next) = stream.page(client, iterator).await?;
                let Some(next) = next else { return Ok(Pushed::Last(page)) };
                *iterator = next;
                Ok(Pushed::Page(page))
            }
            Feed::Pushed(subscription) => {
                let pushed = subscription.next().await;
                if !matches!(pushed, Ok(Pushed::Page(_) | Pushed::Last(_))) {
                    *self = Feed::New;
                }
                pushed
            }
        }
    }
}

/// How long after a call the next one may be made, when so many were refused.
fn wait(refused: u32) -> Duration {
    match refused.checked_sub(1) {
        None => PACE,
        Some(again) => FIRST_WAIT.saturating_mul(1 << again.min(8)).min(LAST_WAIT),
    }
}

/// A block that is being filled.
#[derive(Debug, Default)]
struct Filling {
    data: BytesMut,
    ends: Vec<u32>,
    offsets: Vec<u64>,
    known: Vec<i64>,
}

impl Filling {
    fn push(&mut self, data: &[u8], offset: u64, known: i64) {
        self.data.put_slice(data);
        self.ends.push(self.data.len() as u32);
        self.offsets.push(offset);
        self.known.push(known);
    }

    fn finish(self, partition: PartitionId, place: &ShardPlace, next: u64) -> RawBlock {
        RawBlock {
            partition,
            data: self.data.freeze(),
            framing: Framing::Records { ends: self.ends, offsets: self.offsets },
            known: KnownTimes::Each(self.known),
            next: place.position(next),
            refused: Vec::new(),
        }
    }
}

/// A block without records that says that a shard has ended.
pub(super) fn end(partition: PartitionId, shard: &str, next: u64) -> RawBlock {
    Filling::default().finish(partition, &ShardPlace { shard: shard.to_owned(), at: At::End }, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_not_heard_of_is_further_behind_unless_it_was_at_its_end() {
        let (lags, second) = (Lags::default(), Duration::from_secs);
        lags.tell("a", 7000, second(100));
        lags.tell("b", 0, second(100));
        assert_eq!(lags.of("a", second(103)), Some(second(10)));
        assert_eq!(lags.of("b", second(103)), Some(second(0)));
        assert_eq!(lags.of("c", second(103)), None);
    }

    #[test]
    fn who_is_refused_waits_longer_each_time() {
        let waits: Vec<u128> = (0..7).map(|refused| wait(refused).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(wait(u32::MAX), LAST_WAIT);
    }
}
