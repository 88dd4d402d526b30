//! What one sink was given since its last safe token, how much of it the sink has taken, and what the next checkpoint
//! says of it.
//!
//! Rows stay until a token that covers them is safe: a sink that fails starts at its safe token and takes them again. At a
//! barrier a sink either prepares, and its token becomes the safe one, or it is behind; then the checkpoint keeps the
//! old token, and the rows since are made durable. Only decides; knows no file, task or clock.

use crate::manifest::{Kept, Spooled, Stretch};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use weir_connect::{SinkRows, Token};
use weir_event::EventTime;
use weir_plan::OnFull;

/// Bytes that may wait for a sink that works: as little as keeps it busy, so that a slow one slows its job down.
const WORKING_BYTES: u64 = 8 << 20;

#[derive(Debug)]
enum Item {
    Rows(Waiting),
    Barrier(u64),
    /// Rows that nobody needs again.
    Gone,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    place: RowsIn,
    rows: u64,
    bytes: u64,
    since: EventTime,
}

/// Where rows are.
#[derive(Debug)]
enum RowsIn {
    Memory(Arc<SinkRows>),
    File(Stretch),
}

/// A barrier whose checkpoint is not safe yet.
#[derive(Debug)]
struct OnItsWay {
    checkpoint: u64,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Open,
    Prepared(Token),
    /// The checkpoint keeps the safe token.
    Behind,
}

/// Why a sink gets nothing, or nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Hold {
    #[default]
    None,
    /// Its outbox was full; until it is resumed.
    Suspended,
    /// It failed, and trying again does not help.
    GivenUp,
}

/// Whether a sink's outbox takes rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Taken,
    /// Later.
    Full,
    /// Not before the sink, which is given up, is started again.
    Hopeless,
    /// The sink is suspended; they were counted.
    Missed,
}

/// What a sink does next.
#[derive(Debug)]
pub(super) enum NextStep {
    Commit(Token),
    Write(Arc<SinkRows>),
    /// Rows are to be read, from the first frame of this.
    Read(Stretch),
    Prepare(u64),
    /// It has taken everything, and was behind.
    CaughtUp,
    Wait,
    /// It is suspended.
    Suspended,
    /// Nothing comes any more.
    Closed,
}

/// What a sink has to take, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// So many of the items it has taken.
    taken: usize,
    /// As far as it ever was in the items: what lies before is taken again.
    reached: usize,
    next_number: u64,
    waiting_rows: u64,
    waiting_bytes: u64,
    memory_bytes: u64,
    safe: Option<Token>,
    /// The safe token, while it has not been committed.
    uncommitted: bool,
    barrier: Option<OnItsWay>,
    /// It failed or does not answer, and has not taken everything since.
    pub(super) is_behind: bool,
    pub(super) hold: Hold,
    pub(super) is_closed: bool,
    pub(super) missed: u64,
}

impl Queue {
    /// What a checkpoint left.
    pub(super) fn restored(safe: Option<Token>, kept: Kept) -> Queue {
        let is_behind = !kept.files.is_empty();
        let mut queue = Queue { safe, missed: kept.missed, is_behind, ..Queue::default() };
        for Spooled { stretch, rows, since } in kept.files {
            let bytes = stretch.to.saturating_sub(stretch.from);
            queue.push(RowsIn::File(stretch), rows, bytes, since);
        }
        queue
    }

    fn push(&mut self, place: RowsIn, rows: u64, bytes: u64, since: EventTime) {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting_rows += rows;
        self.waiting_bytes += bytes;
        self.items.push_back(Item::Rows(Waiting { number, place, rows, bytes, since }));
    }

    /// Whether `rows` more may come, while `limit_bytes` may wait for a sink that is behind.
    pub(super) fn admit(&mut self, rows: u64, limit_bytes: u64, on_full: OnFull) -> Admission {
        let limit_bytes = if self.is_behind { limit_bytes } else { WORKING_BYTES.min(limit_bytes) };
        let has_room = self.waiting_bytes < limit_bytes;
        match (self.hold, on_full) {
            (Hold::Suspended, _) => {}
            _ if has_room => return Admission::Taken,
            (_, OnFull::Suspend) if self.is_behind => self.hold = Hold::Suspended,
            (Hold::GivenUp, _) => return Admission::Hopeless,
            (Hold::None, _) => return Admission::Full,
        }
        self.missed += rows;
        Admission::Missed
    }

    /// Takes rows; `bytes` is what they take in memory.
    pub(super) fn append(&mut self, rows: Arc<SinkRows>, bytes: u64, now: EventTime) {
        self.memory_bytes += bytes;
        let count = rows.columns.num_rows() as u64;
        self.push(RowsIn::Memory(rows), count, bytes, now);
    }

    /// A checkpoint begins behind everything that came so far.
    pub(super) fn begin(&mut self, checkpoint: u64) {
        self.items.push_back(Item::Barrier(checkpoint));
        self.barrier = Some(OnItsWay { checkpoint, answer: Answer::Open });
    }

    /// Whether the sink's part of the checkpoint is known: a new token, or that it is behind.
    pub(super) fn is_answered(&mut self) -> bool {
        let is_behind = self.is_behind || self.hold != Hold::None;
        match &mut self.barrier {
            Some(OnItsWay { answer: answer @ Answer::Open, .. }) if is_behind => {
                *answer = Answer::Behind;
                true
            }
            Some(OnItsWay { answer: Answer::Open, .. }) => false,
            _ => true,
        }
    }

    /// Whether the sink has prepared the checkpoint in time.
    pub(super) fn has_new_token(&self) -> bool {
        matches!(&self.barrier, Some(OnItsWay { answer: Answer::Prepared(_), .. }))
    }

    /// The sink's part of the checkpoint; everything before the barrier must be in files if it is behind.
    pub(super) fn part(&self) -> (Option<Token>, Kept) {
        match &self.barrier {
            Some(OnItsWay { answer: Answer::Prepared(token), .. }) => {
                (Some(token.clone()), Kept { files: Vec::new(), missed: self.missed })
            }
            _ => (self.safe.clone(), Kept { files: self.spooled(), missed: self.missed }),
        }
    }

    /// What is in files before the barrier, neighbours as one.
    fn spooled(&self) -> Vec<Spooled> {
        let end = self.barrier.as_ref().map(|barrier| barrier.checkpoint);
        let is_before = |item: &&Item| !matches!(item, Item::Barrier(checkpoint) if Some(*checkpoint) == end);
        let mut files: Vec<Spooled> = Vec::new();
        for item in self.items.iter().take_while(is_before) {
            let Item::Rows(Waiting { place: RowsIn::File(stretch), rows, since, .. }) = item else {
                continue;
            };
            match files.last_mut() {
                Some(last) if last.stretch.file == stretch.file && last.stretch.to == stretch.from => {
                    last.stretch.to = stretch.to;
                    last.rows += rows;
                }
                _ => files.push(Spooled { stretch: stretch.clone(), rows: *rows, since: *since }),
            }
        }
        files
    }

    /// The checkpoint is safe: what its token covers is not needed any more.
    pub(super) fn make_safe(&mut self) {
        let Some(OnItsWay { checkpoint, answer: Answer::Prepared(token) }) = self.barrier.take() else {
            return;
        };
        (self.safe, self.uncommitted) = (Some(token), true);
        while let Some(item) = self.items.pop_front() {
            self.taken = self.taken.saturating_sub(1);
            self.reached = self.reached.saturating_sub(1);
            match item {
                Item::Barrier(passed) if passed == checkpoint => break,
                Item::Rows(Waiting { place: RowsIn::Memory(_), bytes, .. }) => self.memory_bytes -= bytes,
                _ => {}
            }
        }
    }

    /// Where a sink starts, which commits it, with everything since to be taken again; `None` while a newer token is on its
    /// way.
    pub(super) fn rewind(&mut self) -> Option<Option<Token>> {
        if self.has_new_token() {
            return None;
        }
        let taken_again = self.items.iter().take(self.taken).filter_map(|item| match item {
            Item::Rows(waiting) => Some((waiting.rows, waiting.bytes)),
            _ => None,
        });
        let (rows, bytes) = taken_again.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
        self.waiting_rows += rows;
        self.waiting_bytes += bytes;
        (self.taken, self.uncommitted) = (0, false);
        Some(self.safe.clone())
    }

    pub(super) fn next(&mut self) -> NextStep {
        if let Some(token) = self.safe.as_ref().filter(|_| self.uncommitted) {
            return NextStep::Commit(token.clone());
        }
        if self.hold == Hold::Suspended {
            return NextStep::Suspended;
        }
        if self.is_closed && self.is_behind {
            return NextStep::Closed;
        }
        loop {
            match self.items.get(self.taken) {
                Some(Item::Rows(Waiting { place: RowsIn::Memory(rows), .. })) => {
                    return NextStep::Write(rows.clone());
                }
                Some(Item::Rows(Waiting { place: RowsIn::File(stretch), .. })) => {
                    return NextStep::Read(stretch.clone());
                }
                Some(Item::Barrier(checkpoint)) if self.is_asked(*checkpoint) => {
                    return NextStep::Prepare(*checkpoint);
                }
                Some(Item::Barrier(_) | Item::Gone) => self.advance(),
                None if self.is_closed => return NextStep::Closed,
                None if std::mem::take(&mut self.is_behind) => return NextStep::CaughtUp,
                None => return NextStep::Wait,
            }
        }
    }

    fn is_asked(&self, checkpoint: u64) -> bool {
        let barrier = self.barrier.as_ref().filter(|barrier| barrier.checkpoint == checkpoint);
        barrier.is_some_and(|barrier| matches!(barrier.answer, Answer::Open))
    }

    fn advance(&mut self) {
        self.taken += 1;
        self.reached = self.reached.max(self.taken);
    }

    /// The rows to be taken next were read from the first frame of their stretch: it ends here and has so many.
    pub(super) fn was_read(&mut self, end: u64, rows: u64) {
        let number = self.next_number;
        let Some(Item::Rows(first)) = self.items.get_mut(self.taken) else { return };
        let RowsIn::File(stretch) = &mut first.place else { return };
        if end >= stretch.to {
            return;
        }
        let bytes = end - stretch.from;
        let rest = Waiting {
            number,
            place: RowsIn::File(Stretch { from: end, ..stretch.clone() }),
            rows: first.rows.saturating_sub(rows),
            bytes: first.bytes.saturating_sub(bytes),
            since: first.since,
        };
        stretch.to = end;
        (first.rows, first.bytes) = (rows, bytes.min(first.bytes));
        self.next_number += 1;
        self.items.insert(self.taken + 1, Item::Rows(rest));
    }

    /// The sink has written what came next; how many of the rows it had not been given before. What is not
    /// `kept` is not written again.
    pub(super) fn wrote(&mut self, is_kept: bool) -> u64 {
        let Some(Item::Rows(written)) = self.items.get(self.taken) else { return 0 };
        let is_new = self.taken >= self.reached;
        let (rows, bytes) = (written.rows, written.bytes);
        self.waiting_rows = self.waiting_rows.saturating_sub(rows);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        if !is_kept && matches!(written.place, RowsIn::Memory(_)) {
            self.memory_bytes -= bytes;
            self.items[self.taken] = Item::Gone;
        }
        self.advance();
        if is_new { rows } else { 0 }
    }

    /// The sink has prepared. Where the checkpoint did not wait for it, its next token covers this one's rows.
    pub(super) fn prepared(&mut self, checkpoint: u64, token: Token) {
        if self.is_asked(checkpoint)
            && let Some(barrier) = &mut self.barrier
        {
            barrier.answer = Answer::Prepared(token);
        }
        self.advance();
    }

    pub(super) fn committed(&mut self) {
        self.uncommitted = false;
    }

    /// Bytes of rows in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// All rows in memory, which are behind all those in files.
    pub(super) fn in_memory(&self) -> Vec<(u64, Arc<SinkRows>)> {
        let of_item = |item: &Item| match item {
            Item::Rows(Waiting { number, place: RowsIn::Memory(rows), .. }) => Some((*number, rows.clone())),
            _ => None,
        };
        self.items.iter().filter_map(of_item).collect()
    }

    /// Those of these numbers are in files now.
    pub(super) fn moved(&mut self, mut places: BTreeMap<u64, Stretch>) {
        for item in &mut self.items {
            let Item::Rows(waiting) = item else { continue };
            if let Some(stretch) = places.remove(&waiting.number) {
                self.memory_bytes -= waiting.bytes;
                waiting.place = RowsIn::File(stretch);
            }
        }
    }

    /// The files that still count.
    pub(super) fn files(&self) -> BTreeSet<Arc<str>> {
        let of_item = |item: &Item| match item {
            Item::Rows(Waiting { place: RowsIn::File(stretch), .. }) => Some(stretch.file.clone()),
            _ => None,
        };
        self.items.iter().filter_map(of_item).collect()
    }

    /// Rows and bytes that it has not taken, and since when the oldest of them wait.
    pub(super) fn waiting(&self) -> (u64, u64, Option<EventTime>) {
        let since = self.items.iter().skip(self.taken).find_map(|item| match item {
            Item::Rows(waiting) => Some(waiting.since),
            _ => None,
        });
        (self.waiting_rows, self.waiting_bytes, since)
    }

    /// Whether the sink has everything, and its newest token is committed.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_behind && !self.uncommitted && self.taken == self.items.len()
    }

    /// Whether the newest checkpoint lacks rows that the sink has taken.
    pub(super) fn lacks_token(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Rows(_)))
    }
}

#[cfg(test)]
mod tests;
