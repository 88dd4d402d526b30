//! A job's reader of a shared stream: follows the session of the others while it can, and reads alone else.
//!
//! Left behind, it opens a reader of its own where it was then. Reading alone it looks now and then whether it has come
//! to where the others are, and takes a seat among them; where several read alone and are at the end of the log, the
//! first to notice begins a session with its reader, which the others come to. Knows no job and no column.

use crate::session::{End, Ends, Seat, Session};
use crate::stream::{Hub, Opening};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinHandle;
use weir_connect::{ConnectError, Fetch, Health, Reader};
use weir_event::PartitionId;

/// A reader that is never at the end of its log looks for the others after so many blocks: often enough to meet them,
/// seldom enough that one too slow to follow does not open a reader for every few blocks.
const LOOKS_AFTER: u32 = 16;

/// A job's reader.
pub(crate) struct Follower {
    hub: Arc<Hub>,
    /// Where it is.
    opening: Opening,
    /// Partitions that were said to be at their end, and have had no block since.
    ends: Ends,
    /// Partitions that wait for others.
    paused: BTreeSet<PartitionId>,
    /// Blocks read alone since it last looked for the others.
    unlooked: u32,
    reading: Reading,
}

/// How it reads.
enum Reading {
    WithOthers(Seat),
    /// Opening may take longer than the engine waits at a time, so it runs by itself.
    Opening(JoinHandle<Result<Box<dyn Reader>, ConnectError>>),
    Alone(Box<dyn Reader>),
    /// Not at all: a reader is to be opened.
    Closed,
}

impl Follower {
    /// In a seat of the hub's session, at the positions of `opening`.
    pub(crate) fn with_others(hub: &Arc<Hub>, opening: Opening, seat: Seat) -> Follower {
        Follower::new(hub, opening, Reading::WithOthers(seat))
    }

    /// With a reader of its own, at the positions of `opening`.
    pub(crate) fn alone(hub: &Arc<Hub>, opening: Opening, reader: Box<dyn Reader>) -> Follower {
        Follower::new(hub, opening, Reading::Alone(reader))
    }

    fn new(hub: &Arc<Hub>, opening: Opening, reading: Reading) -> Follower {
        let (ends, paused) = (Ends::new(), BTreeSet::new());
        Follower { hub: hub.clone(), opening, ends, paused, unlooked: 0, reading }
    }

    /// Notes what was handed out.
    fn pass(&mut self, fetch: &Fetch) {
        match fetch {
            Fetch::CaughtUp(partition) => {
                self.ends.insert(*partition, End::Present);
            }
            Fetch::Ended(partition) => {
                self.ends.insert(*partition, End::ForEver);
            }
            Fetch::Watermark(..) => {}
            Fetch::Appeared(partition, at) => self.opening.add(partition.partition, at),
            Fetch::Block(block) => {
                self.ends.remove(&block.partition);
                let partitions = &mut self.opening.partitions;
                if let Some(at) = partitions.iter_mut().find(|it| it.partition == block.partition.partition) {
                    at.from = Some(block.next.clone());
                }
            }
        }
    }

    /// Reads with the others from now on, where it has come to them.
    fn look_for_others(&mut self, fetch: &Fetch) {
        self.unlooked += 1;
        let is_time = matches!(fetch, Fetch::CaughtUp(_)) || self.unlooked >= LOOKS_AFTER;
        // A seat cannot be paused, and a bounded reader has an end of its own.
        if !is_time || self.opening.bounded || !self.paused.is_empty() || self.hub.members() < 2 {
            return;
        }
        self.unlooked = 0;
        if let Some(seat) = Session::join(&self.hub, &self.opening) {
            let alone = std::mem::replace(&mut self.reading, Reading::WithOthers(seat));
            // Closing a client may take a while.
            tokio::task::spawn_blocking(move || drop(alone));
        } else if self.ends.len() == self.opening.partitions.len() {
            self.begin_session();
        }
    }

    /// Lets others follow its reader.
    fn begin_session(&mut self) {
        let Reading::Alone(reader) = std::mem::replace(&mut self.reading, Reading::Closed) else { return };
        self.reading = match Session::begin(&self.hub, &self.opening, &self.ends, reader) {
            Ok(seat) => Reading::WithOthers(seat),
            Err(reader) => Reading::Alone(reader),
        };
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Reading::Opening(opening) = &self.reading {
            opening.abort();
        }
    }
}

#[async_trait]
impl Reader for Follower {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        loop {
            match &mut self.reading {
                Reading::WithOthers(seat) => match seat.next().await {
                    Some(found) => {
                        let fetch = found?;
                        self.pass(&fetch);
                        return Ok(fetch);
                    }
                    None => self.reading = Reading::Closed,
                },
                Reading::Closed => {
                    let (hub, opening) = (self.hub.clone(), self.opening.clone());
                    self.reading =
                        Reading::Opening(tokio::spawn(async move { hub.open_alone(&opening).await }));
                }
                Reading::Opening(opening) => {
                    let opened = opening.await;
                    self.reading = Reading::Closed;
                    let failed = |_| ConnectError::internal("opening the source ended without a word");
                    let mut reader = opened.map_err(failed)??;
                    self.paused.iter().for_each(|partition| reader.pause(*partition));
                    self.reading = Reading::Alone(reader);
                }
                Reading::Alone(reader) => {
                    let fetch = reader.next().await?;
                    self.pass(&fetch);
                    self.look_for_others(&fetch);
                    return Ok(fetch);
                }
            }
        }
    }

    fn pause(&mut self, partition: PartitionId) {
        self.paused.insert(partition);
        if let Reading::Alone(reader) = &mut self.reading {
            reader.pause(partition);
        }
    }

    fn resume(&mut self, partition: PartitionId) {
        self.paused.remove(&partition);
        if let Reading::Alone(reader) = &mut self.reading {
            reader.resume(partition);
        }
    }

    fn health(&self) -> Health {
        match &self.reading {
            Reading::Alone(reader) => reader.health(),
            Reading::WithOthers(seat) => seat.session().health(),
            Reading::Opening(_) | Reading::Closed => Health::default(),
        }
    }
}
