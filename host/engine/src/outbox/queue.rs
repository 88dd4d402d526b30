//! What one sink was given since its last safe token, how much of it the sink has taken, and what the next checkpoint
//! says of it.
//!
//! Rows stay until a token that covers them is safe: a sink that fails starts at its safe token and takes them again. At a
//! barrier a sink prepares, and the checkpoint holds its token. One that is behind is not waited for: it prepares what it
//! has written as soon as it can, that token goes into whichever checkpoint comes next, and the rows behind it are made
//! durable. So what a slow sink has taken is not kept longer than that of a quick one. Only decides; knows no file, task or
//! clock.

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

impl Item {
    fn in_memory(&self) -> Option<(u64, Arc<SinkRows>)> {
        match self {
            Item::Rows(Waiting { number, place: RowsIn::Memory(rows), .. }) => Some((*number, rows.clone())),
            _ => None,
        }
    }
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
    Prepared(Prepared),
    /// The sink is not waited for.
    Behind,
}

/// A token that no safe checkpoint holds yet.
#[derive(Debug)]
struct Prepared {
    token: Token,
    /// So many items, counted from the oldest, it covers.
    covers: usize,
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
    /// Of all rows that are kept, taken or not.
    kept_bytes: u64,
    safe: Option<Token>,
    /// The safe token, while it has not been committed.
    uncommitted: bool,
    barrier: Option<OnItsWay>,
    /// A checkpoint that did not wait for the sink, which is to prepare what it has written.
    asked_early: Option<u64>,
    /// What it prepared then, until a checkpoint holds it.
    early: Option<Prepared>,
    /// Too many rows wait, and not enough of them have gone since.
    is_full: bool,
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
        self.kept_bytes += bytes;
        self.items.push_back(Item::Rows(Waiting { number, place, rows, bytes, since }));
    }

    /// Whether `rows` more may come, while `limit_bytes` may wait for a sink that is behind. Of a job that waits for
    /// the sink as much again may be on its way: barriers come behind it.
    pub(super) fn admit(&mut self, rows: u64, limit_bytes: u64, on_full: OnFull) -> Admission {
        let may_wait = match on_full {
            _ if !self.is_behind => WORKING_BYTES.min(limit_bytes),
            OnFull::Suspend => limit_bytes,
            OnFull::Pause => limit_bytes.saturating_mul(2),
        };
        let has_room = self.waiting_bytes < may_wait;
        match (self.hold, on_full) {
            (Hold::Suspended, _) => {}
            _ if has_room => return Admission::Taken,
            (_, OnFull::Suspend) if self.is_behind => self.suspend(),
            (Hold::GivenUp, _) => return Admission::Hopeless,
            (Hold::None, _) => return Admission::Full,
        }
        self.missed += rows;
        Admission::Missed
    }

    /// Whether the job is to wait for the sink before it reads on. Once it does, until a quarter of the room is free, so
    /// that it does not begin to wait with each batch.
    pub(super) fn is_full(&mut self, limit_bytes: u64, on_full: OnFull) -> bool {
        let full_at = if self.is_full { limit_bytes - limit_bytes / 4 } else { limit_bytes };
        let has_too_much = self.waiting_bytes >= full_at || self.kept_bytes >= full_at.saturating_mul(2);
        let waits = on_full == OnFull::Pause && self.hold != Hold::Suspended;
        self.is_full = waits && self.is_behind && has_too_much;
        self.is_full
    }

    /// The sink gets nothing more until it is resumed.
    fn suspend(&mut self) {
        (self.hold, self.is_full) = (Hold::Suspended, false);
    }

    /// Suspends the sink without the rows that are in memory alone, as they cannot be kept.
    pub(super) fn suspend_without_memory(&mut self) {
        self.suspend();
        for at in self.first_in_memory().max(self.newest_covers())..self.items.len() {
            let Item::Rows(Waiting { place: RowsIn::Memory(_), rows, bytes, .. }) = &self.items[at] else {
                continue;
            };
            let (rows, bytes) = (*rows, *bytes);
            self.missed += rows;
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
            self.memory_bytes = self.memory_bytes.saturating_sub(bytes);
            if at >= self.taken {
                self.waiting_rows = self.waiting_rows.saturating_sub(rows);
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            }
            self.items[at] = Item::Gone;
        }
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
            Some(OnItsWay { checkpoint, answer: answer @ Answer::Open }) if is_behind => {
                *answer = Answer::Behind;
                self.asked_early = Some(*checkpoint);
                true
            }
            Some(OnItsWay { answer: Answer::Open, .. }) => false,
            _ => true,
        }
    }

    /// The checkpoint holds the newest token that the sink has prepared, unless that covers rows behind the barrier.
    pub(super) fn take_token(&mut self) {
        let Some(barrier) = &mut self.barrier else { return };
        let is_here =
            |item: &Item| matches!(item, Item::Barrier(checkpoint) if *checkpoint == barrier.checkpoint);
        let end = self.items.iter().rposition(is_here).map_or(0, |at| at + 1);
        if !matches!(barrier.answer, Answer::Open)
            && let Some(early) = self.early.take_if(|early| early.covers <= end)
        {
            barrier.answer = Answer::Prepared(early);
        }
    }

    /// Asks the sink once more to prepare what it has written.
    pub(super) fn ask_again(&mut self) {
        self.asked_early = self.barrier.as_ref().map(|barrier| barrier.checkpoint);
    }

    /// Whether a token is on its way into a checkpoint.
    fn has_new_token(&self) -> bool {
        self.covered().is_some()
    }

    fn newest_covers(&self) -> usize {
        self.early.as_ref().or_else(|| self.covered()).map_or(0, |prepared| prepared.covers)
    }

    fn covered(&self) -> Option<&Prepared> {
        match &self.barrier {
            Some(OnItsWay { answer: Answer::Prepared(prepared), .. }) => Some(prepared),
            _ => None,
        }
    }

    /// The items before the barrier, where there is one, that its token does not cover.
    fn uncovered(&self) -> impl Iterator<Item = &Item> {
        let end = self.barrier.as_ref().map(|barrier| barrier.checkpoint);
        let is_before =
            move |item: &&Item| !matches!(item, Item::Barrier(checkpoint) if Some(*checkpoint) == end);
        let covers = self.covered().map_or(0, |prepared| prepared.covers);
        self.items.iter().take_while(is_before).skip(covers)
    }

    /// Whether the checkpoint's token covers everything before the barrier.
    pub(super) fn is_covered(&self) -> bool {
        !self.uncovered().any(|item| matches!(item, Item::Rows(_)))
    }

    /// The sink's part of the checkpoint: a token, and what that does not cover, which must be in files.
    pub(super) fn part(&mut self) -> (Option<Token>, Kept) {
        self.take_token();
        let token = self.covered().map(|prepared| prepared.token.clone()).or_else(|| self.safe.clone());
        (token, Kept { files: self.spooled(), missed: self.missed })
    }

    /// What of it is in files, neighbours as one.
    fn spooled(&self) -> Vec<Spooled> {
        let mut files: Vec<Spooled> = Vec::new();
        for item in self.uncovered() {
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
        let Some(OnItsWay { answer: Answer::Prepared(Prepared { token, covers }), .. }) = self.barrier.take()
        else {
            return;
        };
        (self.safe, self.uncommitted) = (Some(token), true);
        for item in self.items.drain(..covers.min(self.items.len())) {
            let Item::Rows(Waiting { place, bytes, .. }) = item else { continue };
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
            if matches!(place, RowsIn::Memory(_)) {
                self.memory_bytes -= bytes;
            }
        }
        self.taken = self.taken.saturating_sub(covers);
        self.reached = self.reached.saturating_sub(covers);
        if let Some(early) = &mut self.early {
            early.covers = early.covers.saturating_sub(covers);
        }
    }

    /// Where a sink starts, which commits it, with everything since to be taken again; `None` while a newer token is on its
    /// way.
    pub(super) fn rewind(&mut self) -> Option<Option<Token>> {
        if self.has_new_token() {
            return None;
        }
        (self.asked_early, self.early) = (None, None);
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
        if let Some(checkpoint) = self.asked_early.take().filter(|_| self.has_written()) {
            return NextStep::Prepare(checkpoint);
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

    /// Whether it has taken rows that none of its tokens covers.
    fn has_written(&self) -> bool {
        let mut since = self.items.iter().take(self.taken).skip(self.newest_covers());
        since.any(|item| matches!(item, Item::Rows(_) | Item::Gone))
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
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
            self.items[self.taken] = Item::Gone;
        }
        self.advance();
        if is_new { rows } else { 0 }
    }

    /// The sink has prepared all that it has taken. Where the checkpoint did not wait for it, the next one gets its token.
    pub(super) fn prepared(&mut self, checkpoint: u64, token: Token) {
        let is_at_barrier =
            matches!(self.items.get(self.taken), Some(Item::Barrier(reached)) if *reached == checkpoint);
        if is_at_barrier {
            self.advance();
        }
        let is_in_time = is_at_barrier && self.is_asked(checkpoint);
        let prepared = Prepared { token, covers: self.taken };
        match self.barrier.as_mut().filter(|_| is_in_time) {
            Some(barrier) => (barrier.answer, self.early) = (Answer::Prepared(prepared), None),
            None => self.early = Some(prepared),
        }
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
        self.items.range(self.first_in_memory()..).filter_map(Item::in_memory).collect()
    }

    /// Those that must be in a file before the checkpoint is safe.
    pub(super) fn to_be_kept(&self) -> Vec<(u64, Arc<SinkRows>)> {
        self.uncovered().filter_map(Item::in_memory).collect()
    }

    fn first_in_memory(&self) -> usize {
        let in_file = |item: &Item| matches!(item, Item::Rows(Waiting { place: RowsIn::File(_), .. }));
        self.items.iter().rposition(in_file).map_or(0, |last| last + 1)
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
