//! A history as a checkpoint keeps it: what decides which further rows of each partition count, what was read of it and not
//! asked for yet, and where reading goes on.
//!
//! Must not know who asks.

use crate::checkpoint::{Out, Parts, Written};
use crate::error::TrainError;
use crate::history::{Entry, History, Judged};
use crate::orders::OwnRows;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use weir_core::KeyedRows;
use weir_core::groups::ALL_GROUPS;
use weir_core::wire::Sorted;
use weir_event::{EventTime, PartitionId};
use weir_plan::JobPlan;

/// A history at a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HistoryMark {
    judged: Judged,
    partitions: Vec<AheadMark>,
    /// Of each partition in their order: a snapshot of the intake, the entries, and the rows of these.
    pub(crate) file: Written,
}

/// A partition of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AheadMark {
    partition: PartitionId,
    newest_taken: EventTime,
    promise_taken: EventTime,
    known: EventTime,
    newest: EventTime,
    blocks: Vec<Judged>,
    has_ended: bool,
    is_held: bool,
    /// How many blocks of rows stand behind the entries.
    rows: usize,
}

impl HistoryMark {
    /// How many events were read that were needed.
    pub(crate) fn events(&self) -> u64 {
        self.judged.counts.events
    }
}

impl History {
    /// Keeps all of it except where reading goes on.
    pub(crate) fn keep(&self, folder: &Path, number: u64) -> Result<HistoryMark, TrainError> {
        let mut out = Out::named(folder, format!("history-{number}"))?;
        let mut partitions = Vec::with_capacity(self.partitions.len());
        for (id, ahead) in &self.partitions {
            out.put_part(&self.intake.snapshot(*id))?;
            let mut entries = Entries::default();
            ahead.entries.iter().for_each(|(known, entry)| entries.push(*known, entry));
            out.put_part(&entries.bytes)?;
            for rows in &entries.rows {
                let block = Sorted::of(&rows.rows)?.block(&ALL_GROUPS)?;
                out.put_part(&block.unwrap_or_default())?;
            }
            partitions.push(AheadMark {
                partition: *id,
                newest_taken: ahead.watermark.newest(),
                promise_taken: ahead.watermark.promised(),
                known: ahead.known,
                newest: ahead.newest,
                blocks: ahead.blocks.iter().cloned().collect(),
                has_ended: ahead.has_ended,
                is_held: ahead.is_held,
                rows: entries.rows.len(),
            });
        }
        Ok(HistoryMark { judged: self.judged.clone(), partitions, file: out.sync()? })
    }

    /// Goes on there: a history of the same job that has read nothing, whose feed goes on there too.
    pub(crate) fn restore(
        &mut self,
        folder: &Path,
        plan: &JobPlan,
        mark: &HistoryMark,
    ) -> Result<(), TrainError> {
        let mut parts = Parts::of(folder, &mark.file)?;
        for of_partition in &mark.partitions {
            let id = of_partition.partition;
            self.intake.restore(id, &parts.take()?)?;
            let entries = parts.take()?;
            let mut rows = Vec::with_capacity(of_partition.rows);
            for _ in 0..of_partition.rows {
                let block = KeyedRows::from_block(plan, &parts.take()?)?.in_order_of_log(plan)?;
                rows.push(Arc::new(OwnRows::of(Arc::new(block), &self.groups)));
            }
            let ahead = self.partitions.get_mut(&id).ok_or_else(damaged)?;
            ahead.watermark.observe(of_partition.newest_taken);
            ahead.watermark.promise(of_partition.promise_taken);
            (ahead.known, ahead.newest) = (of_partition.known, of_partition.newest);
            ahead.entries = read(&entries, &rows).ok_or_else(damaged)?.into();
            ahead.blocks = of_partition.blocks.iter().cloned().collect();
            (ahead.has_ended, ahead.is_held) = (of_partition.has_ended, of_partition.is_held);
            if ahead.is_held {
                self.feed.hold(id, true);
            }
        }
        self.judged = mark.judged.clone();
        let ended = mark.partitions.iter().filter(|it| it.has_ended && it.partition.is_of_archive());
        let ended: Vec<PartitionId> = ended.map(|it| it.partition).collect();
        ended.into_iter().for_each(|archive| self.archive_partition_ended(archive));
        Ok(())
    }
}

fn damaged() -> TrainError {
    TrainError::weir("what a checkpoint says of a history does not read")
}

/// Entries as bytes, and the rows that they point into.
#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    rows: Vec<Arc<OwnRows>>,
}

const NEWEST: u8 = 0;
const CUT: u8 = 1;
const ROWS: u8 = 2;
const PROMISE: u8 = 3;
const BLOCK_END: u8 = 4;
const ENDED: u8 = 5;
/// The kind, when it was known, and two numbers.
const ENTRY_BYTES: usize = 1 + 8 + 8 + 8;

impl Entries {
    fn push(&mut self, known: EventTime, entry: &Entry) {
        let (kind, one, other) = match entry {
            Entry::Newest(time) => (NEWEST, time.millis() as u64, 0),
            Entry::Cut => (CUT, 0, 0),
            Entry::Rows(rows, range) => {
                // Those of one block stand together.
                if self.rows.last().is_none_or(|last| !Arc::ptr_eq(last, rows)) {
                    self.rows.push(rows.clone());
                }
                (ROWS, self.rows.len() as u64 - 1, u64::from(range.start) << 32 | u64::from(range.end))
            }
            Entry::Promise(time) => (PROMISE, time.millis() as u64, 0),
            Entry::BlockEnd => (BLOCK_END, 0, 0),
            Entry::Ended => (ENDED, 0, 0),
        };
        self.bytes.push(kind);
        for number in [known.millis() as u64, one, other] {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// What [`Entries::push`] made; `None` if it does not read.
fn read(bytes: &[u8], rows: &[Arc<OwnRows>]) -> Option<Vec<(EventTime, Entry)>> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    let entry = |bytes: &[u8; ENTRY_BYTES]| {
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let (known, one, other) = (number(1)?, number(9)?, number(17)?);
        let time = |number: u64| EventTime::from_millis(number as i64);
        let entry = match bytes[0] {
            NEWEST => Entry::Newest(time(one)),
            CUT => Entry::Cut,
            ROWS => Entry::Rows(rows.get(one as usize)?.clone(), (other >> 32) as u32..other as u32),
            PROMISE => Entry::Promise(time(one)),
            BLOCK_END => Entry::BlockEnd,
            ENDED => Entry::Ended,
            _ => return None,
        };
        Some((time(known), entry))
    };
    if rest.is_empty() { entries.iter().map(entry).collect() } else { None }
}
