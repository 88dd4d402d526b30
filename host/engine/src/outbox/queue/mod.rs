//! What one sink was given since its last safe token, how much of it the sink has taken, and what the next checkpoint
//! says of it.
//!
//! Rows stay until a token that covers them is safe: a sink that fails starts at its safe token and takes them again. At a
//! barrier a sink prepares, and the checkpoint holds its token. One that is behind is not waited for: it prepares what it
//! has written as soon as it can, that token goes into whichever checkpoint comes next, and the rows behind it are made
//! durable. So what a slow sink has taken is not kept longer than that of a quick one. Only decides; knows no file, task or
//! clock.

mod admission;
mod barrier;
mod past;

pub(super) use admission::{Admission, Hold};

use crate::manifest::{Covered, Kept, Spooled, Stretch};
use barrier::{OnItsWay, Prepared};
use past::Past;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use weir_connect::{SinkRows, Token};
use weir_event::EventTime;

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
    /// Whether they are of the past: in a file that a checkpoint holds, and not counted with the others.
    is_past: bool,
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
    /// It starts anew from where it is safe.
    GoBack,
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
    /// Rows that the safe token covers, until the sink has made them visible.
    hidden_rows: u64,
    /// Whether the sink had left nothing unfinished at the safe token.
    is_last: bool,
    barrier: Option<OnItsWay>,
    /// A checkpoint that did not wait for the sink, which is to prepare what it has written.
    asked_early: Option<u64>,
    /// What it prepared then, until a checkpoint holds it.
    early: Option<Prepared>,
    /// It has taken rows behind a barrier at which it is waited for.
    goes_back: bool,
    /// Too many rows wait, and not enough of them have gone since.
    is_full: bool,
    /// It failed or does not answer, and has not taken everything since.
    pub(super) is_behind: bool,
    pub(super) hold: Hold,
    pub(super) is_closed: bool,
    pub(super) missed: u64,
    /// What the sink is given when it has taken all items.
    pub(super) past: Past,
    /// Rows of the past among the items that it has not taken.
    past_rows: u64,
}

impl Queue {
    /// What a checkpoint left.
    pub(super) fn restored(safe: Option<Token>, kept: Kept) -> Queue {
        let is_behind = !kept.files.is_empty();
        let past = Past::restored(kept.past);
        let mut queue = Queue { safe, missed: kept.missed, is_behind, past, ..Queue::default() };
        for Spooled { stretch, rows, since } in kept.files {
            let bytes = stretch.to.saturating_sub(stretch.from);
            queue.push(RowsIn::File(stretch), rows, bytes, since);
        }
        queue
    }

    /// What that checkpoint says of its token.
    pub(super) fn with_token_of(self, covered: Covered) -> Queue {
        Queue { hidden_rows: covered.rows, is_last: covered.is_last, ..self }
    }

    fn push(&mut self, place: RowsIn, rows: u64, bytes: u64, since: EventTime) {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting_rows += rows;
        self.waiting_bytes += bytes;
        self.kept_bytes += bytes;
        self.items.push_back(Item::Rows(Waiting { number, place, rows, bytes, since, is_past: false }));
    }

    /// Takes rows; `bytes` is what they take in memory.
    pub(super) fn append(&mut self, rows: Arc<SinkRows>, bytes: u64, now: EventTime) {
        self.memory_bytes += bytes;
        let count = rows.columns.num_rows() as u64;
        self.push(RowsIn::Memory(rows), count, bytes, now);
    }

    /// Where a sink starts, which commits it, with everything since to be taken again; `None` while a newer token is on its
    /// way.
    pub(super) fn rewind(&mut self) -> Option<Option<Token>> {
        if self.has_new_token() {
            return None;
        }
        (self.asked_early, self.early, self.goes_back) = (None, None, false);
        for item in self.items.iter().take(self.taken) {
            match item {
                Item::Rows(waiting) if waiting.is_past => self.past_rows += waiting.rows,
                Item::Rows(waiting) => {
                    self.waiting_rows += waiting.rows;
                    self.waiting_bytes += waiting.bytes;
                }
                _ => {}
            }
        }
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
        if self.goes_back {
            return NextStep::GoBack;
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
            is_past: first.is_past,
        };
        stretch.to = end;
        (first.rows, first.bytes) = (rows, bytes.min(first.bytes));
        self.next_number += 1;
        self.items.insert(self.taken + 1, Item::Rows(rest));
    }

    /// The sink is given the first frame of what waits of the past: it ends here and has so many rows. It has taken all items
    /// that were there when the frame was looked for; what came since stays behind it, as the frame was there before.
    pub(super) fn take_past(&mut self, end: u64, rows: u64) {
        let Some(Spooled { stretch, rows, since }) = self.past.take(end, rows) else { return };
        let (number, bytes) = (self.next_number, stretch.to.saturating_sub(stretch.from));
        self.next_number += 1;
        self.past_rows += rows;
        let place = RowsIn::File(stretch);
        self.items
            .insert(self.taken, Item::Rows(Waiting { number, place, rows, bytes, since, is_past: true }));
    }

    /// The sink has written what came next; how many of the rows it had not been given before. What is not
    /// `kept` is not written again.
    pub(super) fn wrote(&mut self, is_kept: bool) -> u64 {
        let Some(Item::Rows(written)) = self.items.get(self.taken) else { return 0 };
        let is_new = self.taken >= self.reached;
        let (rows, bytes) = (written.rows, written.bytes);
        if written.is_past {
            self.past_rows = self.past_rows.saturating_sub(rows);
        } else {
            self.waiting_rows = self.waiting_rows.saturating_sub(rows);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        }
        if !is_kept && matches!(written.place, RowsIn::Memory(_)) {
            self.memory_bytes -= bytes;
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
            self.items[self.taken] = Item::Gone;
        }
        self.advance();
        if is_new { rows } else { 0 }
    }

    pub(super) fn committed(&mut self) {
        self.uncommitted = false;
    }

    /// What the safe token covers is visible; how many of the rows were not.
    pub(super) fn made_visible(&mut self) -> u64 {
        std::mem::take(&mut self.hidden_rows)
    }

    /// Bytes of rows in memory.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// All rows in memory, which are behind all those in files that are not of the past.
    pub(super) fn in_memory(&self) -> Vec<(u64, Arc<SinkRows>)> {
        self.items.range(self.first_in_memory()..).filter_map(Item::in_memory).collect()
    }

    fn first_in_memory(&self) -> usize {
        let in_file =
            |item: &Item| matches!(item, Item::Rows(Waiting { place: RowsIn::File(_), is_past: false, .. }));
        self.items.iter().rposition(in_file).map_or(0, |last| last + 1)
    }

    /// Those of these numbers are in files now, and take what they take there.
    pub(super) fn moved(&mut self, mut places: BTreeMap<u64, Stretch>) {
        for (at, item) in self.items.iter_mut().enumerate() {
            let Item::Rows(waiting) = item else { continue };
            let Some(stretch) = places.remove(&waiting.number) else { continue };
            let bytes = stretch.to.saturating_sub(stretch.from);
            waiting.place = RowsIn::File(stretch);
            let in_memory = std::mem::replace(&mut waiting.bytes, bytes);
            self.memory_bytes -= in_memory;
            self.kept_bytes = self.kept_bytes.saturating_sub(in_memory) + bytes;
            if at >= self.taken {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(in_memory) + bytes;
            }
        }
    }

    /// The files that still count.
    pub(super) fn files(&self) -> BTreeSet<Arc<str>> {
        let of_item = |item: &Item| match item {
            Item::Rows(Waiting { place: RowsIn::File(stretch), .. }) => Some(stretch.file.clone()),
            _ => None,
        };
        self.items.iter().filter_map(of_item).chain(self.past.files()).collect()
    }

    /// Rows of the past that it has not taken, and bytes of those that it was not given.
    pub(super) fn waiting_past(&self) -> (u64, u64) {
        let (rows, bytes) = self.past.waiting();
        (self.past_rows + rows, bytes)
    }

    /// Rows and bytes that it has not taken beside those of the past, and since when the oldest of them wait.
    pub(super) fn waiting(&self) -> (u64, u64, Option<EventTime>) {
        let since = self.items.iter().skip(self.taken).find_map(|item| match item {
            Item::Rows(waiting) if !waiting.is_past => Some(waiting.since),
            _ => None,
        });
        (self.waiting_rows, self.waiting_bytes, since)
    }

    /// Whether the sink has everything, and its newest token is committed.
    pub(super) fn is_settled(&self) -> bool {
        let has_taken_all = self.taken == self.items.len() && self.past.is_empty();
        !self.is_behind && !self.uncommitted && has_taken_all
    }

    /// Whether the newest checkpoint lacks rows that the sink has taken.
    pub(super) fn lacks_token(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Rows(_)))
    }
}

#[cfg(test)]
mod tests;
