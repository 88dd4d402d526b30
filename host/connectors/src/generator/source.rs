//! The source: one partition, a log without end (or with one, `until`) that need not be kept because every event
//! of it can be made again.
//!
//! Event `i` happens at `start + i/rate` and is sent when that time has come; a `start` that is past is a backlog
//! at full speed. A run until the end is not paced. Without `start` the log starts when it is first opened, and
//! the position keeps it.

use super::world::{Users, World};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, Fetch, Framing, KnownTimes, Left, OpenPartition, RawBlock, Reader, Source};
use weir_event::{Clock, EventTime, PartitionId, Position};

/// What a generator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratorSettings {
    /// Events per second of event time.
    pub rate: u64,
    /// The same seed makes the same events.
    pub seed: u64,
    /// How many users there are.
    pub keys: u32,
    /// How many events there are in all; without it there is no end.
    pub until: Option<u64>,
    /// How they look.
    pub users: Users,
    /// When event 0 happens; without it, when the source is first opened.
    pub start: Option<EventTime>,
}

impl Default for GeneratorSettings {
    fn default() -> Self {
        GeneratorSettings { rate: 1000, seed: 0, keys: 1000, until: None, users: Users::Text, start: None }
    }
}

/// Makes ride-share actions.
#[derive(Debug)]
pub struct GeneratorSource {
    settings: GeneratorSettings,
    world: Arc<World>,
    clock: Arc<dyn Clock>,
}

/// Users return, and rides last, for about ten minutes; within bounds that keep both in sight at any rate.
const RECENT_SECONDS: u64 = 600;
const RECENT_EVENTS: (u64, u64) = (32, 4096);

impl GeneratorSource {
    /// A generator of rides that is paced by this clock.
    pub fn new(settings: GeneratorSettings, clock: Arc<dyn Clock>) -> Self {
        let world = World::new(settings.seed, settings.keys, recent_events(&settings));
        GeneratorSource { settings, world: Arc::new(world), clock }
    }
}

fn recent_events(settings: &GeneratorSettings) -> u64 {
    settings.rate.saturating_mul(RECENT_SECONDS).clamp(RECENT_EVENTS.0, RECENT_EVENTS.1)
}

#[async_trait]
impl Source for GeneratorSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(1, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        if bounded && self.settings.until.is_none() {
            return Err(ConnectError::user(
                "a generator without end cannot be run until its end; set `until`",
            ));
        }
        let from = partitions.first().and_then(|open| open.from.clone());
        let kept = from.as_ref().map(start_of).transpose()?;
        Ok(Box::new(GeneratorReader {
            world: self.world.clone(),
            clock: self.clock.clone(),
            settings: self.settings,
            start: self.settings.start.or(kept).unwrap_or_else(|| self.clock.now()),
            partition: PartitionId { source, partition: 0 },
            next: from.map_or(0, |position| position.next),
            paced: !bounded,
            is_open: !partitions.is_empty(),
            told: false,
        }))
    }

    async fn left(&self, positions: &[OpenPartition], bounded: bool) -> Result<Left, ConnectError> {
        let from = positions.first().and_then(|open| open.from.as_ref());
        let kept = from.map(start_of).transpose().unwrap_or_default();
        let Some(start) = self.settings.start.or(kept) else { return Ok(Left::default()) };
        let due = due(&self.settings, start, self.clock.now(), !bounded);
        Ok(Left::records(due.saturating_sub(from.map_or(0, |position| position.next))))
    }
}

fn start_of(position: &Position) -> Result<EventTime, ConnectError> {
    position.place.parse().map(EventTime::from_millis).map_err(|error| {
        ConnectError::internal(format!("`{}` is not a place in a generator: {error}", position.place))
    })
}

/// About as many bytes as make a block.
const BLOCK_BYTES: usize = 1 << 20;

/// No event is longer than this.
const EVENT_BYTES: usize = 256;

/// Sent together at least: at high rates a block per event would cost more than the event, and nobody sees 10 ms.
const TICK: Duration = Duration::from_millis(10);

/// The clock is looked at so often at least: the wall may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

struct GeneratorReader {
    world: Arc<World>,
    clock: Arc<dyn Clock>,
    settings: GeneratorSettings,
    start: EventTime,
    partition: PartitionId,
    next: u64,
    paced: bool,
    is_open: bool,
    /// Whether it has been said that all there is was handed out.
    told: bool,
}

/// How many events there are by now.
fn due(settings: &GeneratorSettings, start: EventTime, now: EventTime, paced: bool) -> u64 {
    let until = settings.until.unwrap_or(u64::MAX);
    if !paced {
        return until;
    }
    let Ok(elapsed) = u128::try_from(now.since(start).millis()) else { return 0 };
    let due = ((elapsed + 1) * u128::from(settings.rate)).div_ceil(1000);
    u64::try_from(due).unwrap_or(u64::MAX).min(until)
}

impl GeneratorReader {
    fn time_of(&self, index: u64) -> EventTime {
        let elapsed = u128::from(index) * 1000 / u128::from(self.settings.rate);
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        EventTime::from_millis(self.start.millis().saturating_add(elapsed))
    }

    fn due(&self) -> u64 {
        due(&self.settings, self.start, self.clock.now(), self.paced)
    }

    fn block(&mut self, end: u64) -> RawBlock {
        let first = self.next;
        let ride_events = recent_events(&self.settings);
        let mut lines = Vec::new();
        while self.next < end && lines.len() + EVENT_BYTES <= BLOCK_BYTES {
            let (event, _) = self.world.event(self.next);
            // A ride lasts for a stretch of the log; each user's begin elsewhere in it.
            let ride = (self.next + u64::from(event.user) * 611 % ride_events) / ride_events;
            event.write(self.next, self.settings.users, ride, self.time_of(self.next).millis(), &mut lines);
            self.next += 1;
        }
        RawBlock {
            partition: self.partition,
            data: Bytes::from(lines),
            framing: Framing::Lines { first },
            known: KnownTimes::EventTime,
            next: Position { next: self.next, place: self.start.millis().to_string() },
            refused: Vec::new(),
        }
    }

    /// How long nothing comes.
    fn until_next(&self) -> Duration {
        let millis = self.time_of(self.next).since(self.clock.now()).millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or_default()).clamp(TICK, LONGEST_SLEEP)
    }
}

#[async_trait]
impl Reader for GeneratorReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        if !self.is_open {
            return std::future::pending().await;
        }
        loop {
            let due = self.due();
            if self.next < due {
                self.told = false;
                return Ok(Fetch::Block(self.block(due)));
            }
            if !self.told {
                self.told = true;
                return Ok(Fetch::CaughtUp(self.partition));
            }
            if self.settings.until.is_some_and(|until| self.next >= until) {
                return std::future::pending().await;
            }
            self.clock.sleep(self.until_next()).await;
        }
    }
}
