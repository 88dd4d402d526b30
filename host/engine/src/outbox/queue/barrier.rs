//! A checkpoint as one sink sees it: from the barrier to what is said of the sink.
//!
//! A sink that keeps up is waited for, and prepares when it comes to the barrier. One that is behind is asked to prepare
//! what it has written as soon as it can; a token that covers no row behind the barrier goes into the checkpoint.

use super::{Hold, Item, Queue, RowsIn, Waiting};
use crate::manifest::{Covered, Kept, Spooled};
use std::sync::Arc;
use weir_connect::{SinkRows, Token};

/// A barrier whose checkpoint is not safe yet.
#[derive(Debug)]
pub(super) struct OnItsWay {
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
pub(super) struct Prepared {
    token: Token,
    /// So many items, counted from the oldest, it covers.
    covers: usize,
    /// Whether the sink has left nothing unfinished.
    is_last: bool,
}

impl Queue {
    /// A checkpoint begins behind everything that came so far.
    pub(in crate::outbox) fn begin(&mut self, checkpoint: u64) {
        self.items.push_back(Item::Barrier(checkpoint));
        self.barrier = Some(OnItsWay { checkpoint, answer: Answer::Open });
        self.past.begin();
    }

    /// Whether the sink's part of the checkpoint is known: a new token, or that it is behind.
    pub(in crate::outbox) fn is_answered(&mut self) -> bool {
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
    pub(in crate::outbox) fn take_token(&mut self) {
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

    /// No disk keeps what the checkpoint's token does not cover: the sink is waited for after all, and prepares at the
    /// barrier. Where it is beyond that, no token of its own can be the checkpoint's, and it goes back.
    pub(in crate::outbox) fn wait_at_barrier(&mut self) {
        if self.is_covered() {
            return;
        }
        let Some(barrier) = &mut self.barrier else { return };
        // A token of a part is not safe yet: whoever goes back starts before it.
        barrier.answer = Answer::Open;
        let is_here =
            |item: &Item| matches!(item, Item::Barrier(checkpoint) if *checkpoint == barrier.checkpoint);
        self.goes_back = self.items.iter().take(self.taken).any(is_here);
    }

    /// Whether a token is on its way into a checkpoint.
    pub(super) fn has_new_token(&self) -> bool {
        self.covered().is_some()
    }

    pub(super) fn newest_covers(&self) -> usize {
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

    /// Whether the checkpoint's token covers everything before the barrier, except what is of the past, which is in files.
    pub(in crate::outbox) fn is_covered(&self) -> bool {
        !self.uncovered().any(|item| matches!(item, Item::Rows(waiting) if !waiting.is_past))
    }

    /// The sink's part of the checkpoint: a token, and what that does not cover, which must be in files.
    pub(in crate::outbox) fn part(&mut self) -> (Option<Token>, Kept) {
        self.take_token();
        let token = self.covered().map(|prepared| prepared.token.clone()).or_else(|| self.safe.clone());
        let past = self.past.kept(self.uncovered_past());
        (token, Kept { files: self.spooled(), missed: self.missed, past })
    }

    /// What the sink was given of the past, before the barrier or behind it, that the checkpoint's token does not cover.
    fn uncovered_past(&self) -> Vec<Spooled> {
        let covers = self.covered().map_or(0, |prepared| prepared.covers);
        let of_past = |item: &Item| match item {
            Item::Rows(Waiting { place: RowsIn::File(stretch), rows, since, is_past: true, .. }) => {
                Some(Spooled { stretch: stretch.clone(), rows: *rows, since: *since })
            }
            _ => None,
        };
        self.items.iter().skip(covers).filter_map(of_past).collect()
    }

    /// What the token of [`Queue::part`] is good for.
    pub(in crate::outbox) fn token_covers(&self) -> Covered {
        let (hidden, is_last) = (self.hidden_rows, self.is_last);
        match self.covered() {
            Some(new) => Covered {
                rows: hidden + self.rows_before(new.covers),
                is_last: new.is_last,
                ..Covered::default()
            },
            None => Covered { rows: hidden, is_last, ..Covered::default() },
        }
    }

    fn rows_before(&self, covers: usize) -> u64 {
        let rows = |item: &Item| if let Item::Rows(waiting) = item { waiting.rows } else { 0 };
        self.items.iter().take(covers).map(rows).sum()
    }

    /// What of it is in files and not of the past, neighbours as one.
    fn spooled(&self) -> Vec<Spooled> {
        let mut files: Vec<Spooled> = Vec::new();
        for item in self.uncovered() {
            let Item::Rows(Waiting { place: RowsIn::File(stretch), rows, since, is_past: false, .. }) = item
            else {
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
    pub(in crate::outbox) fn make_safe(&mut self) {
        self.past.make_safe();
        let Some(OnItsWay { answer: Answer::Prepared(prepared), .. }) = self.barrier.take() else { return };
        let Prepared { token, covers, is_last } = prepared;
        (self.safe, self.uncommitted, self.is_last) = (Some(token), true, is_last);
        self.hidden_rows += self.rows_before(covers);
        for item in self.items.drain(..covers.min(self.items.len())) {
            let Item::Rows(Waiting { place, bytes, is_past: false, .. }) = item else { continue };
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

    pub(super) fn is_asked(&self, checkpoint: u64) -> bool {
        let barrier = self.barrier.as_ref().filter(|barrier| barrier.checkpoint == checkpoint);
        barrier.is_some_and(|barrier| matches!(barrier.answer, Answer::Open))
    }

    /// The sink has prepared all that it has taken. Where the checkpoint did not wait for it, the next one gets its token.
    pub(in crate::outbox) fn prepared(&mut self, checkpoint: u64, token: Token, is_last: bool) {
        let is_at_barrier =
            matches!(self.items.get(self.taken), Some(Item::Barrier(reached)) if *reached == checkpoint);
        if is_at_barrier {
            self.advance();
        }
        let is_in_time = is_at_barrier && self.is_asked(checkpoint);
        let prepared = Prepared { token, covers: self.taken, is_last };
        match self.barrier.as_mut().filter(|_| is_in_time) {
            Some(barrier) => (barrier.answer, self.early) = (Answer::Prepared(prepared), None),
            None => self.early = Some(prepared),
        }
    }

    /// Those that must be in a file before the checkpoint is safe.
    pub(in crate::outbox) fn to_be_kept(&self) -> Vec<(u64, Arc<SinkRows>)> {
        self.uncovered().filter_map(Item::in_memory).collect()
    }
}
