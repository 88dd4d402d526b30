//! A session: one reader that several jobs follow, block by block.
//!
//! What it read is kept in a ring of few blocks, in which each follower has a seat. The ring lets its oldest block
//! go when every follower has taken it; when that takes too long, those that have not are left behind and go on with
//! readers of their own. At first blocks are held a while for jobs that are still reading their state. Whoever is
//! within the ring may take a seat: blocks that it has are passed over, and one that it has in part is cut.
//!
//! Knows no job, and of a block only its offsets.

use crate::decode::{Arrival, Decoding, Outcome};
use crate::metered::Metered;
use crate::stream::{self, BlockId, Hub, Opening};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use weir_connect::{ConnectError, CpuTime, Fetch, Health, OpenPartition, RawBlock, Reader, Source};
use weir_event::{EventTime, PartitionId, Position, Sleep};

/// Blocks in the ring: they are about 1 MiB, and as much again decoded.
const RING: usize = 8;
/// So long the first blocks are held for jobs that start at the same time and read more state than others.
const GATHER: Duration = Duration::from_secs(2);
/// So long others wait for a follower that has not taken the oldest block: a block takes some milliseconds, and a
/// job that is slow is to hurt itself.
const LIVE_PATIENCE: Duration = Duration::from_millis(50);
/// A run until the end is as long as its slowest job takes, so that others may as well wait; but not for one whose
/// sink is away.
const BOUNDED_PATIENCE: Duration = Duration::from_secs(10);

/// One reader and who follows it.
#[derive(Debug)]
pub(crate) struct Session {
    bounded: bool,
    /// Knows which positions can be compared.
    source: Arc<dyn Source>,
    /// That of its reader.
    health: Health,
    ring: Mutex<Ring>,
    /// Something has come into the ring, or somebody has moved on in it.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Ring {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    /// Where partitions stood before the first entry.
    base: Place,
    /// For each follower, the number of the entry that it takes next.
    followers: BTreeMap<u64, u64>,
    joined: usize,
    /// Whether everybody who was to come has come, or is not waited for.
    gathered: bool,
    failed: Option<ConnectError>,
}

#[derive(Debug)]
enum Entry {
    Block(RawBlock),
    End(PartitionId, End),
    Watermark(PartitionId, EventTime),
    Appeared(PartitionId, Position),
}

/// The end of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// There is no more for now.
    Present,
    /// There will be no more.
    ForEver,
}

impl End {
    fn of(self, partition: PartitionId) -> Fetch {
        match self {
            End::Present => Fetch::CaughtUp(partition),
            End::ForEver => Fetch::Ended(partition),
        }
    }
}

/// The partitions that were read to their end, and have had no block since.
pub(crate) type Ends = BTreeMap<PartitionId, End>;

/// Positions, and which partitions were read to their end.
#[derive(Debug, Clone)]
struct Place {
    partitions: Vec<OpenPartition>,
    ends: Ends,
}

impl Place {
    fn pass(&mut self, entry: &Entry) {
        match entry {
            Entry::End(partition, end) => {
                self.ends.insert(*partition, *end);
            }
            Entry::Watermark(..) => {}
            Entry::Appeared(partition, at) => stream::add(&mut self.partitions, partition.partition, at),
            Entry::Block(block) => {
                self.ends.remove(&block.partition);
                let of = self.partitions.iter_mut().find(|it| it.partition == block.partition.partition);
                if let Some(partition) = of {
                    partition.from = Some(block.next.clone());
                }
            }
        }
    }

    /// Whether no partition was read further here than there.
    fn is_within(&self, there: &[OpenPartition], source: &dyn Source) -> bool {
        let mut both = self.partitions.iter().zip(there);
        self.partitions.len() == there.len()
            && both.all(|(here, there)| compare(here, there, source).is_some_and(Ordering::is_le))
    }
}

/// How far a partition was read here, compared with there. Where its log begins cannot be compared with an offset; nor can
/// offsets that count in different logs: they are the same or not.
fn compare(here: &OpenPartition, there: &OpenPartition, source: &dyn Source) -> Option<Ordering> {
    let order = match (&here.from, &there.from) {
        (Some(here), Some(there)) if source.is_same_log(here, there) => Some(here.next.cmp(&there.next)),
        (here, there) => (here == there).then_some(Ordering::Equal),
    };
    order.filter(|_| here.partition == there.partition)
}

/// What a follower finds.
enum Found {
    Entry(Fetch),
    Nothing,
    Failed(ConnectError),
    LeftBehind,
}

impl Session {
    /// Begins a session over an open reader that is at `opening`, with these partitions at their end; gives the first
    /// seat. Where somebody else has begun meanwhile, gives the reader back.
    pub(crate) fn begin(
        hub: &Arc<Hub>,
        opening: &Opening,
        ends: &Ends,
        reader: Box<dyn Reader>,
    ) -> Result<Seat, Box<dyn Reader>> {
        let mut current = hub.session();
        if current.is_some() {
            return Err(reader);
        }
        let base = Place { partitions: opening.partitions.clone(), ends: ends.clone() };
        let session = Arc::new(Session {
            bounded: opening.bounded,
            source: hub.source.clone(),
            health: reader.health(),
            ring: Mutex::new(Ring {
                entries: VecDeque::new(),
                first: 0,
                base,
                followers: BTreeMap::from([(0, 0)]),
                joined: 1,
                // Who has caught up did not start just now.
                gathered: !ends.is_empty(),
                failed: None,
            }),
            changed: watch::Sender::new(()),
        });
        *current = Some(session.clone());
        drop(current);
        let cpu = CpuTime::default();
        let pump = Pump {
            hub: hub.clone(),
            session: session.clone(),
            reader,
            stalled: None,
            spent: VecDeque::new(),
            cpu: cpu.clone(),
        };
        hub.threads.spawn(Metered::new(&cpu, pump.run()));
        Ok(Seat::new(session, 0, Vec::new(), BTreeMap::new()))
    }

    /// A seat in the hub's session from which everything behind `opening` comes, if there is one.
    pub(crate) fn join(hub: &Arc<Hub>, opening: &Opening) -> Option<Seat> {
        let current = hub.session();
        let session = current.as_ref()?;
        let (seat, joined) = session.seat(opening)?;
        if joined >= hub.awaited() {
            session.ring().gathered = true;
            hub.wait_for(0);
        }
        session.changed.send_replace(());
        Some(seat)
    }

    pub(crate) fn health(&self) -> Health {
        self.health.clone()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat, and how many there were with it.
    fn seat(self: &Arc<Self>, opening: &Opening) -> Option<(Seat, usize)> {
        let mut guard = self.ring();
        let ring = &mut *guard;
        if self.bounded != opening.bounded || ring.failed.is_some() {
            return None;
        }
        let (place, at) = ring.place_of(&opening.partitions, &*self.source)?;
        let follower = ring.joined as u64;
        ring.joined += 1;
        ring.followers.insert(follower, at);
        let joined = ring.joined;
        drop(guard);
        let here = place.partitions.iter().zip(&opening.partitions);
        let is_same = |(here, there): &(&OpenPartition, &OpenPartition)| {
            compare(here, there, &*self.source) == Some(Ordering::Equal)
        };
        let ahead = here.clone().filter(|both| !is_same(both));
        let has = ahead.filter_map(|(_, there)| Some((there.partition, there.from.as_ref()?.next)));
        let is_there = |(partition, _): &(&PartitionId, &End)| {
            here.clone().any(|both| is_same(&both) && both.0.partition == partition.partition)
        };
        let at_end = place.ends.iter().filter(is_there).map(|(partition, end)| end.of(*partition)).collect();
        Some((Seat::new(self.clone(), follower, at_end, has.collect()), joined))
    }

    fn take(&self, follower: u64) -> Found {
        let mut guard = self.ring();
        let ring = &mut *guard;
        let Some(at) = ring.followers.get_mut(&follower) else { return Found::LeftBehind };
        let found = match (ring.entries.get((*at - ring.first) as usize), &ring.failed) {
            (Some(Entry::Block(block)), _) => Found::Entry(Fetch::Block(block.clone())),
            (Some(Entry::End(partition, end)), _) => Found::Entry(end.of(*partition)),
            (Some(Entry::Watermark(partition, time)), _) => Found::Entry(Fetch::Watermark(*partition, *time)),
            (Some(Entry::Appeared(partition, at)), _) => {
                Found::Entry(Fetch::Appeared(*partition, at.clone()))
            }
            (None, Some(error)) => return Found::Failed(error.clone()),
            (None, None) => return Found::Nothing,
        };
        *at += 1;
        drop(guard);
        self.changed.send_replace(());
        found
    }

    fn leave(&self, follower: u64) {
        self.ring().followers.remove(&follower);
        self.changed.send_replace(());
    }
}

impl Ring {
    /// The last place in it that these positions have not passed, and the number of the entry that comes next there;
    /// `None` where they are before the ring or behind it.
    fn place_of(&self, positions: &[OpenPartition], source: &dyn Source) -> Option<(Place, u64)> {
        let mut place = self.base.clone();
        if !place.is_within(positions, source) {
            return None;
        }
        let mut entries = self.entries.iter();
        let mut at = self.first;
        let mut head = place.clone();
        for entry in entries.by_ref() {
            head.pass(entry);
            if !head.is_within(positions, source) {
                break;
            }
            place = head.clone();
            at += 1;
        }
        entries.for_each(|entry| head.pass(entry));
        let mut reached = positions.iter().zip(&place.partitions).zip(&head.partitions);
        let is_behind = reached.all(|((it, place), head)| {
            compare(it, place, source) == Some(Ordering::Equal)
                || compare(it, head, source).is_some_and(Ordering::is_le)
        });
        is_behind.then_some((place, at))
    }
}

/// A follower's seat.
pub(crate) struct Seat {
    session: Arc<Session>,
    number: u64,
    changed: watch::Receiver<()>,
    /// What is to be said of partitions that were at their end where it joined.
    at_end: VecDeque<Fetch>,
    /// By partition that the follower had read further than where it joined, how far.
    has: BTreeMap<u16, u64>,
}

impl Seat {
    fn new(session: Arc<Session>, number: u64, at_end: Vec<Fetch>, has: BTreeMap<u16, u64>) -> Seat {
        let changed = session.changed.subscribe();
        Seat { session, number, changed, at_end: at_end.into(), has }
    }

    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The next thing of the session; `None` once it has gone on without this one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Fetch, ConnectError>> {
        if let Some(end) = self.at_end.pop_front() {
            return Some(Ok(end));
        }
        loop {
            match self.session.take(self.number) {
                Found::Entry(Fetch::Block(block)) => {
                    if let Some(block) = self.without_what_it_has(block) {
                        return Some(Ok(Fetch::Block(block)));
                    }
                }
                Found::Entry(other) => return Some(Ok(other)),
                Found::Failed(error) => return Some(Err(error)),
                Found::LeftBehind => return None,
                // The session, and with it the sender, is held here.
                Found::Nothing => drop(self.changed.changed().await),
            }
        }
    }

    fn without_what_it_has(&mut self, block: RawBlock) -> Option<RawBlock> {
        let partition = block.partition.partition;
        let Some(has) = self.has.get(&partition).copied() else { return Some(block) };
        let rest = block.from_offset(has)?;
        self.has.remove(&partition);
        Some(rest)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.session.leave(self.number);
    }
}

/// The task that reads, decodes and fills the ring.
struct Pump {
    hub: Arc<Hub>,
    session: Arc<Session>,
    reader: Box<dyn Reader>,
    /// Runs while the ring is full because of somebody.
    stalled: Option<Sleep>,
    /// Blocks that have left the ring and are still on their way through the followers' own decoding, which is as
    /// deep as this one.
    spent: VecDeque<BlockId>,
    /// What reading and decoding took and no block was charged with yet.
    cpu: CpuTime,
}

impl Pump {
    /// Until nobody follows any more, or the reader has failed.
    async fn run(mut self) {
        let mut decoding = Decoding::new(self.hub.decoders(), self.hub.decode_depth, &self.cpu);
        let mut changed = self.session.changed.subscribe();
        let mut gather = self.hub.clock.sleep(GATHER);
        let mut failed = None;
        loop {
            let has_room = self.make_room();
            if self.retire_if_alone() {
                break;
            }
            let is_gathered = self.session.ring().gathered;
            tokio::select! {
                biased;
                decoded = decoding.next(), if has_room && !decoding.is_empty() => match decoded.flatten() {
                    Some(Outcome::Ready(arrival)) => self.push(arrival),
                    // Each job waits by itself for what it takes to decode it.
                    Some(Outcome::Unready(unready)) => self.hand_on(Entry::Block(unready.0)),
                    None => {
                        // What comes behind the block that is missing must not pass for what follows it.
                        decoding = Decoding::new(self.hub.decoders(), self.hub.decode_depth, &self.cpu);
                        failed = Some(ConnectError::internal("the decoder panicked; its block cannot be read"));
                    }
                },
                fetched = self.reader.next(), if failed.is_none() && decoding.has_room() => match fetched {
                    Ok(fetch) => {
                        decoding.decode_with(self.hub.decoders());
                        decoding.push(fetch);
                    }
                    Err(error) => failed = Some(error),
                },
                () = &mut gather, if !is_gathered => {
                    self.session.ring().gathered = true;
                    self.hub.wait_for(0);
                }
                () = async { if let Some(stalled) = &mut self.stalled { stalled.await } },
                    if self.stalled.is_some() => self.leave_behind(),
                _ = changed.changed() => {}
            }
            if let Some(error) = failed.take_if(|_| decoding.is_empty()) {
                // Nobody joins a session that has failed; whoever follows takes what is left, and then the error, and
                // comes again.
                *self.hub.session() = None;
                let mut ring = self.session.ring();
                self.hub.wait_for(ring.followers.len());
                ring.failed = Some(error);
                drop(ring);
                self.session.changed.send_replace(());
                break;
            }
        }
        self.forget_when_done(changed).await;
    }

    fn push(&self, arrival: Arrival) {
        let entry = match arrival {
            Arrival::CaughtUp(partition) => Entry::End(partition, End::Present),
            Arrival::Ended(partition) => Entry::End(partition, End::ForEver),
            Arrival::Watermark(partition, time) => Entry::Watermark(partition, time),
            Arrival::Appeared(partition, at) => Entry::Appeared(partition, at),
            Arrival::Block(taken) => {
                let (block, decoded) = *taken;
                let followers = self.session.ring().followers.len().max(1) as u32;
                self.hub.keep(BlockId::of(&block), decoded, self.cpu.take() / followers);
                Entry::Block(block)
            }
        };
        self.hand_on(entry);
    }

    fn hand_on(&self, entry: Entry) {
        self.session.ring().entries.push_back(entry);
        self.session.changed.send_replace(());
    }

    /// Lets go what everybody has taken; whether another entry may come.
    fn make_room(&mut self) -> bool {
        let mut ring = self.session.ring();
        while ring.gathered && ring.followers.values().all(|at| *at > ring.first) {
            let Some(entry) = ring.entries.pop_front() else { break };
            ring.first += 1;
            ring.base.pass(&entry);
            if let Entry::Block(block) = &entry {
                self.spent.push_back(BlockId::of(block));
            }
        }
        while self.spent.len() > self.hub.decode_depth {
            let oldest = self.spent.pop_front();
            oldest.iter().for_each(|block| self.hub.forget(block));
        }
        let has_room = ring.entries.len() < RING;
        let is_waiting = !has_room && ring.gathered;
        drop(ring);
        if !is_waiting {
            self.stalled = None;
        } else if self.stalled.is_none() {
            let patience = if self.session.bounded { BOUNDED_PATIENCE } else { LIVE_PATIENCE };
            self.stalled = Some(self.hub.clock.sleep(patience));
        }
        has_room
    }

    /// Goes on without those that have not taken the oldest entry.
    fn leave_behind(&mut self) {
        self.stalled = None;
        let mut ring = self.session.ring();
        let first = ring.first;
        ring.followers.retain(|_, at| *at > first);
        drop(ring);
        self.session.changed.send_replace(());
    }

    /// Ends the session if nobody follows or is waited for; the lock keeps others from joining meanwhile.
    fn retire_if_alone(&self) -> bool {
        let mut current = self.hub.session();
        let ring = self.session.ring();
        let is_alone = ring.followers.is_empty() && ring.gathered;
        drop(ring);
        if is_alone {
            *current = None;
        }
        is_alone
    }

    /// What was decoded is kept until it was taken, or cannot be.
    async fn forget_when_done(mut self, mut changed: watch::Receiver<()>) {
        while !self.session.ring().followers.is_empty() && changed.changed().await.is_ok() {}
        while let Some(block) = self.spent.pop_front() {
            self.hub.forget(&block);
        }
        for entry in &self.session.ring().entries {
            if let Entry::Block(block) = entry {
                self.hub.forget(&BlockId::of(block));
            }
        }
    }
}
