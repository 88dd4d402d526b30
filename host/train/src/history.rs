//! The history of a job: the rows of all its partitions in the order in which they were known.
//!
//! A partition's log is also the order in which its rows were known: one that carries an earlier time than a row before it
//! was known no earlier than that. Where nothing says when a row was known, its event time stands for it. So the rows of a
//! partition are judged as they were when they came, whole blocks at a time, and handed on as far as they were known.
//!
//! Must not know who asks, or what for.

use crate::AsOfRule;
use crate::error::TrainError;
use crate::feed::{Arrival, Feed, end_archive};
use crate::orders::OwnRows;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use weir_connect::{Decoded, RawBlock};
use weir_core::{Counts, Heard, Intake, KeyedRows, Step};
use weir_event::{EventTime, PartitionId, PartitionWatermark, Span};

/// A partition that so many blocks have come of which are not needed yet is held.
const AHEAD_BLOCKS: usize = 2;

/// The logs of a job, read as far as is needed.
pub(crate) struct History {
    pub(crate) intake: Intake,
    pub(crate) feed: Box<dyn Feed>,
    rule: AsOfRule,
    /// Nothing is known later.
    now: EventTime,
    /// The key groups of each worker.
    pub(crate) groups: Vec<Range<u16>>,
    pub(crate) partitions: BTreeMap<PartitionId, Ahead>,
    pub(crate) pasts: Pasts,
    /// What became of the blocks that were needed.
    pub(crate) judged: Judged,
}

/// What became of the rows of blocks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) counts: Counts,
    /// Rows that say that they were known long before rows that stand before them.
    unordered: u64,
    /// Why the first row was refused that was.
    refused: Option<String>,
}

impl Judged {
    fn add(&mut self, next: &Judged) {
        self.counts.add(next.counts);
        self.unordered += next.unordered;
        self.refused = self.refused.take().or_else(|| next.refused.clone());
    }
}

/// The inputs whose archive is read as well as their log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pasts {
    /// By input, the known times between which rows may be in neither, if there are any.
    pub(crate) gaps: BTreeMap<usize, Option<(EventTime, EventTime)>>,
    /// Those of them whose log is read when the archive was: all of it was known later, or ids are told apart in that order.
    pub(crate) first: BTreeSet<usize>,
}

/// What was read of a partition and not asked for yet.
pub(crate) struct Ahead {
    pub(crate) watermark: PartitionWatermark,
    /// When the row that was read last was known.
    pub(crate) known: EventTime,
    pub(crate) newest: EventTime,
    pub(crate) entries: VecDeque<(EventTime, Entry)>,
    /// What became of the blocks that it is of. The first of them is needed, whether others were read or not.
    pub(crate) blocks: VecDeque<Judged>,
    pub(crate) has_ended: bool,
    pub(crate) is_held: bool,
}

/// Something of a log that was known at a time.
pub(crate) enum Entry {
    /// The partition's newest event time.
    Newest(EventTime),
    /// Rows that count are about to follow which came behind the watermark.
    Cut,
    /// Rows that count.
    Rows(Arc<OwnRows>, Range<u32>),
    Promise(EventTime),
    /// The last of a block.
    BlockEnd,
    /// The last of all, of a partition of an archive that a log goes on behind.
    Ended,
}

/// What was known next.
pub(crate) enum Known {
    /// A partition's watermark, and its newest event time if it had a row.
    Watermark {
        of: PartitionId,
        is: EventTime,
        newest: Option<EventTime>,
    },
    /// Everything before has to have taken effect.
    Cut,
    Rows(Arc<OwnRows>, Range<u32>),
    /// A partition of an archive that a log goes on behind is at its end.
    Ended(PartitionId),
}

impl History {
    pub(crate) fn new(
        intake: Intake,
        feed: Box<dyn Feed>,
        (rule, now): (AsOfRule, EventTime),
        groups: Vec<Range<u16>>,
        partitions: &[(PartitionId, Span)],
        pasts: Pasts,
    ) -> History {
        let ahead = |disorder: Span| Ahead {
            watermark: PartitionWatermark::new(disorder),
            known: EventTime::MIN,
            newest: EventTime::MIN,
            entries: VecDeque::new(),
            blocks: VecDeque::new(),
            has_ended: false,
            is_held: false,
        };
        let partitions = partitions.iter().map(|(id, disorder)| (*id, ahead(*disorder))).collect();
        History { intake, feed, rule, now, groups, partitions, pasts, judged: Judged::default() }
    }

    /// Since when the job has all data of what was known by a time; `None` for all that was ever in its logs.
    pub(crate) fn data_since(&self, known_by: EventTime) -> Option<EventTime> {
        let gaps = self.pasts.gaps.values().copied().flatten();
        let of_gaps = gaps.filter(|(from, _)| *from < known_by).map(|(_, until)| until).max();
        self.intake.data_since(|partition| !self.pasts.gaps.contains_key(&partition.input())).max(of_gaps)
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let (refused, _) = self.feed.refused();
        let counts = self.judged.counts;
        Counts { events: counts.events + refused, refused: counts.refused + refused, ..counts }
    }

    /// Why the first row was refused that was, and where it stands.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.feed.refused().1.or(self.judged.refused.as_deref())
    }

    /// Rows that say that they were known long before rows that stand before them.
    pub(crate) fn unordered(&self) -> u64 {
        self.judged.unordered
    }

    /// When the next row was known, and its partition; `None` behind the last of all.
    pub(crate) async fn next_known(&mut self) -> Result<Option<(EventTime, PartitionId)>, TrainError> {
        while let Some(id) = self.lacking() {
            self.read(id).await?;
        }
        let heads = self.partitions.iter().filter_map(|(id, ahead)| Some((ahead.entries.front()?.0, *id)));
        Ok(heads.min())
    }

    /// When the next row of any partition except this one was known.
    pub(crate) fn next_of_others(&self, id: PartitionId) -> Option<EventTime> {
        let others = self.partitions.iter().filter(|(other, _)| **other != id);
        others.filter_map(|(_, ahead)| Some(ahead.entries.front()?.0)).min()
    }

    /// A partition of which nothing is at hand, and more may come.
    fn lacking(&self) -> Option<PartitionId> {
        let mut partitions = self.partitions.iter();
        let lacks = |(id, ahead): &(&PartitionId, &Ahead)| {
            ahead.entries.is_empty() && !ahead.has_ended && !self.waits_for_archive(**id)
        };
        partitions.find(lacks).map(|(id, _)| *id)
    }

    /// Whether a partition is of a log that is not read yet.
    fn waits_for_archive(&self, id: PartitionId) -> bool {
        !id.is_of_archive() && self.pasts.first.contains(&id.input()) && !self.is_archive_read(id.input())
    }

    pub(crate) fn is_archive_read(&self, input: usize) -> bool {
        let mut of_input = self.partitions.iter().filter(|(id, _)| id.is_of_archive() && id.input() == input);
        of_input.all(|(_, ahead)| ahead.has_ended)
    }

    /// When the last event of an input was known that was read; `None` before any. What was known by a time is taken only
    /// once more was read, or nothing is left.
    pub(crate) fn known_up_to(&self, input: usize) -> Option<EventTime> {
        let of_input = self.partitions.iter().filter(|(id, _)| id.input() == input);
        of_input.map(|(_, ahead)| ahead.known).filter(|known| *known > EventTime::MIN).max()
    }

    /// Takes what a partition has next, if that is at hand and was known by then.
    pub(crate) fn take(&mut self, id: PartitionId, by: EventTime) -> Option<(EventTime, Known)> {
        let ahead = self.partitions.get_mut(&id)?;
        let (known, entry) = ahead.entries.pop_front_if(|(known, _)| *known <= by)?;
        let what = match entry {
            Entry::Newest(newest) => {
                ahead.watermark.observe(newest);
                Known::Watermark { of: id, is: ahead.watermark.current(), newest: Some(newest) }
            }
            Entry::Promise(time) => {
                ahead.watermark.promise(time);
                Known::Watermark { of: id, is: ahead.watermark.current(), newest: None }
            }
            Entry::Cut => Known::Cut,
            Entry::Rows(rows, range) => Known::Rows(rows, range),
            Entry::Ended => Known::Ended(id),
            Entry::BlockEnd => {
                ahead.blocks.pop_front();
                if let Some(next) = ahead.blocks.front() {
                    self.judged.add(next);
                }
                if std::mem::replace(&mut ahead.is_held, false) {
                    self.feed.hold(id, false);
                }
                return None;
            }
        };
        Some((known, what))
    }

    /// Reads on, until something of this partition is at hand or it has ended.
    async fn read(&mut self, waited_for: PartitionId) -> Result<(), TrainError> {
        match self.feed.next(waited_for).await? {
            Arrival::Ended(partition) => {
                if let Some(ahead) = self.partitions.get_mut(&partition) {
                    ahead.has_ended = true;
                    if partition.is_of_archive() {
                        ahead.entries.push_back((ahead.known, Entry::Ended));
                        self.archive_partition_ended(partition);
                    }
                }
            }
            Arrival::Promise(partition, time) => {
                // Whoever reads on from the middle of a log says again what was said there.
                if self.intake.standing(partition).promised.is_some_and(|promised| promised >= time) {
                    return Ok(());
                }
                self.intake.watermark_at_least(partition, time)?;
                if let Some(ahead) = self.partitions.get_mut(&partition) {
                    // Before any row nothing says when it was known: it goes with the first.
                    if ahead.known == EventTime::MIN {
                        ahead.watermark.promise(time);
                    } else {
                        ahead.entries.push_back((ahead.known, Entry::Promise(time)));
                    }
                }
            }
            Arrival::Block(block) => {
                let (block, decoded) = *block;
                self.block(&block, &decoded)?;
            }
        }
        Ok(())
    }

    pub(crate) fn archive_partition_ended(&mut self, partition: PartitionId) {
        self.intake.ended(partition);
        let input = partition.input();
        if self.is_archive_read(input) {
            end_archive(&mut self.intake, input, self.partitions.keys().copied());
        }
    }

    fn block(&mut self, block: &RawBlock, decoded: &Decoded) -> Result<(), TrainError> {
        let heard = self.intake.heard(block, decoded)?;
        let mut taken = self.intake.block(block, decoded)?;
        if let Some(first) = &mut taken.taken.first {
            first.place = self.feed.place(block);
        }
        let refused = taken.taken.first.map(|first| first.to_string());
        let rows = taken.steps.into_iter().filter_map(|step| match step {
            Step::Rows(rows) => Some(rows),
            Step::Watermark(_) | Step::Results(_) => None,
        });
        let Some(ahead) = self.partitions.get_mut(&block.partition) else { return Ok(()) };
        let mut events = Events { heard: heard.into_iter().peekable(), rule: self.rule, now: self.now };
        let unordered = events.long_before(ahead.known);
        let judged = Judged { counts: taken.counts, unordered, refused };
        if ahead.blocks.is_empty() {
            self.judged.add(&judged);
        }
        ahead.blocks.push_back(judged);
        for rows in rows {
            ahead.rows(&mut events, rows, &self.groups);
        }
        ahead.events_before(&mut events, u64::MAX);
        ahead.entries.push_back((ahead.known, Entry::BlockEnd));
        if ahead.blocks.len() >= AHEAD_BLOCKS && !std::mem::replace(&mut ahead.is_held, true) {
            self.feed.hold(block.partition, true);
        }
        Ok(())
    }
}

/// The events of a block that were not put in their places yet.
struct Events<I: Iterator<Item = Heard>> {
    heard: std::iter::Peekable<I>,
    rule: AsOfRule,
    now: EventTime,
}

/// Clocks of one log differ by less.
const LONG_BEFORE: Span = Span::from_millis(60_000);

impl<I: Iterator<Item = Heard> + Clone> Events<I> {
    /// How many say that they were known long before an event before them was; `known` is when those before all of them
    /// were.
    fn long_before(&self, mut known: EventTime) -> u64 {
        let said = self.heard.clone().filter_map(|event| event.known).filter(|at| *at <= self.now);
        said.map(|at| {
            known = known.max(at);
            u64::from(self.rule == AsOfRule::Known && at + LONG_BEFORE < known)
        })
        .sum()
    }
}

impl<I: Iterator<Item = Heard>> Events<I> {
    /// The next one up to this offset, if there is one.
    fn next_before(&mut self, end: u64) -> Option<Heard> {
        self.heard.next_if(|event| event.offset < end)
    }

    /// When an event was known. One that says a time that has not come says nothing.
    fn known(&self, event: &Heard) -> EventTime {
        match self.rule {
            AsOfRule::Event => event.time,
            AsOfRule::Known => event.known.filter(|known| *known <= self.now).unwrap_or(event.time),
        }
    }
}

impl Ahead {
    /// An event moves what is known and the newest time; what becomes of it otherwise is said by others.
    fn hear(&mut self, event: &Heard, known: EventTime) {
        self.known = self.known.max(known);
        self.newest = self.newest.max(event.time);
        match self.entries.back_mut() {
            Some((known, Entry::Newest(newest))) if *known == self.known => *newest = self.newest,
            _ => self.entries.push_back((self.known, Entry::Newest(self.newest))),
        }
    }

    fn events_before<I: Iterator<Item = Heard>>(&mut self, events: &mut Events<I>, end: u64) {
        while let Some(event) = events.next_before(end) {
            let known = events.known(&event);
            self.hear(&event, known);
        }
    }

    /// Puts rows that count among the events that they are: those of one time together.
    fn rows<I: Iterator<Item = Heard>>(
        &mut self,
        events: &mut Events<I>,
        rows: Arc<KeyedRows>,
        groups: &[Range<u16>],
    ) {
        let records: Vec<u64> = rows.records().collect();
        let rows = Arc::new(OwnRows::of(rows, groups));
        let Some(first) = records.first() else { return };
        self.events_before(events, *first);
        let mut from = 0;
        for (at, record) in records.iter().enumerate() {
            while let Some(event) = events.next_before(record + 1) {
                let known = events.known(&event);
                if known > self.known && at > from {
                    self.push_rows(&rows, from..at);
                    from = at;
                }
                if event.offset < *record {
                    self.hear(&event, known);
                } else {
                    self.known = self.known.max(known);
                    self.newest = self.newest.max(event.time);
                }
            }
        }
        self.push_rows(&rows, from..records.len());
    }

    /// Rows that were known at the present time, and what they make of the newest time.
    fn push_rows(&mut self, rows: &Arc<OwnRows>, range: Range<usize>) {
        if range.start == 0 {
            self.entries.push_back((self.known, Entry::Cut));
        }
        self.entries.push_back((self.known, Entry::Rows(rows.clone(), range.start as u32..range.end as u32)));
        self.entries.push_back((self.known, Entry::Newest(self.newest)));
    }
}
