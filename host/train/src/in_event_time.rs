//! Every partition of a job's logs in the order of event time: all is read, sorted, and handed out as if it were logs.
//!
//! Must not know what becomes of the rows.

use crate::Settings;
use crate::checkpoint::Keeper;
use crate::error::TrainError;
use crate::feed::{Arrival, Begins, Feed, Logs, end_archive};
use crate::kept_feed::{FeedMark, InEventTimeMark, OrderedMark};
use crate::kept_rows::{KeptRows, RowsMark};
use crate::sorting::{Sorted, Sorter};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_connect::{Decoded, Framing, KnownTimes, RawBlock};
use weir_core::{Heard, Intake, first_offset};
use weir_event::{EventTime, PartitionId, Position};

/// Every partition in the order of event time. Events are numbered anew in that order, from the first number of the log on;
/// those of one time stay as they were.
pub(crate) struct InEventTime {
    pub(crate) partitions: BTreeMap<PartitionId, Ordered>,
    pub(crate) refused: u64,
    pub(crate) first_refused: Option<String>,
}

/// A partition of them.
pub(crate) struct Ordered {
    pub(crate) rows: Sorted,
    /// The number of the next event.
    pub(crate) next: u64,
    /// Where the rows are kept, if they are, and how many of them were handed out.
    pub(crate) kept: Option<RowsMark>,
    pub(crate) taken: u64,
}

/// The columns of sorted rows before the decoded ones.
pub(crate) const TIME: usize = 0;
const KNOWN: usize = 1;
const DECODED: usize = 2;

/// All of the logs, on its way into order.
pub(crate) struct Sorting {
    pub(crate) logs: Logs,
    pub(crate) judge: Intake,
    /// Each with the number of its first event, once there is one.
    pub(crate) sorters: BTreeMap<PartitionId, (Sorter, Option<u64>)>,
    /// Partitions that are not read to their ends.
    pub(crate) left: Vec<PartitionId>,
    /// Where they begin.
    pub(crate) begins: Begins,
    pub(crate) events: u64,
    pub(crate) refused: u64,
    pub(crate) first_refused: Option<String>,
}

impl Sorting {
    /// Of logs, whose events `judge` judges, who has read nothing.
    pub(crate) fn of(
        logs: Logs,
        begins: Begins,
        judge: Intake,
        (settings, keeper): (&Settings, Option<&Keeper>),
    ) -> Sorting {
        let limit = settings.sorted_bytes / begins.len().max(1);
        let sorter = |(partition, _): &(PartitionId, Option<u64>)| {
            let sorter = Sorter::new(&settings.scratch, TIME, limit);
            (*partition, (sorter.kept_in(keeper.map(|keeper| kept_rows(keeper, *partition))), None))
        };
        let (sorters, left) =
            (begins.iter().map(sorter).collect(), begins.iter().map(|(id, _)| *id).collect());
        Sorting { logs, judge, sorters, left, begins, events: 0, refused: 0, first_refused: None }
    }

    /// Whether there is more to read; takes what comes next.
    pub(crate) async fn go_on(&mut self) -> Result<bool, TrainError> {
        let Some(next) = self.left.first().copied() else { return Ok(false) };
        match self.logs.next(next).await? {
            Arrival::Ended(partition) => {
                self.left.retain(|other| *other != partition);
                if partition.is_of_archive() && self.left.iter().all(|other| other.source != partition.source)
                {
                    let all = self.begins.iter().map(|(id, _)| *id);
                    end_archive(&mut self.judge, partition.input(), all);
                }
            }
            Arrival::Promise(..) => {}
            Arrival::Block(block) => {
                let (block, decoded) = *block;
                self.take(&block, &decoded)?;
            }
        }
        Ok(true)
    }

    /// Sorts those events that are found to be possible and not to be repeated ones.
    fn take(&mut self, block: &RawBlock, decoded: &Decoded) -> Result<(), TrainError> {
        let heard = self.judge.heard(block, decoded)?;
        self.events += heard.len() as u64;
        self.refused += unusable(block, decoded, heard.len());
        if self.first_refused.is_none() {
            let place = || self.logs.place(block).map_or_else(String::new, |place| format!(" in {place}"));
            let why = |reason: String| format!("; the first{}: {reason}", place());
            self.first_refused = why_unusable(block, decoded, heard.len()).map(why);
        }
        let rows = columns(&self.judge.first_of(heard, block, decoded)?, decoded)?;
        if let Some((sorter, first)) = self.sorters.get_mut(&block.partition) {
            // A log that does not begin with its first record says so by that one's number.
            first.get_or_insert_with(|| first_offset(block));
            sorter.push(rows)?;
        }
        Ok(())
    }

    /// All of it, in order, which may be kept.
    pub(crate) fn finish(self, is_kept: bool) -> Result<InEventTime, TrainError> {
        let ordered = |(partition, (mut sorter, first)): (PartitionId, (Sorter, Option<u64>))| {
            let kept = is_kept.then(|| sorter.keep()).transpose()?;
            let (rows, next) = (sorter.finish()?, first.unwrap_or_default());
            Ok((partition, Ordered { rows, next, kept, taken: 0 }))
        };
        let partitions = self.sorters.into_iter().map(ordered).collect::<Result<_, TrainError>>()?;
        Ok(InEventTime { partitions, refused: self.refused, first_refused: self.first_refused })
    }
}

/// Where the rows of a partition are kept.
pub(crate) fn kept_rows(keeper: &Keeper, PartitionId { source, partition }: PartitionId) -> KeptRows {
    KeptRows::new(keeper.folder(), format!("log-{source}-{partition}"))
}

#[async_trait(?Send)]
impl Feed for InEventTime {
    async fn next(&mut self, waited_for: PartitionId) -> Result<Arrival, TrainError> {
        let Some(Ordered { rows, next, taken, .. }) = self.partitions.get_mut(&waited_for) else {
            return Ok(Arrival::Ended(waited_for));
        };
        let Some(rows) = rows.next()? else { return Ok(Arrival::Ended(waited_for)) };
        let count = rows.num_rows() as u64;
        let first = std::mem::replace(next, *next + count);
        *taken += count;
        Ok(Arrival::Block(Box::new(block(waited_for, &rows, first))))
    }

    fn hold(&mut self, _partition: PartitionId, _is_held: bool) {}

    fn refused(&self) -> (u64, Option<&str>) {
        (self.refused, self.first_refused.as_deref())
    }

    fn mark(&self) -> FeedMark {
        let partitions = self.partitions.iter().filter_map(|(partition, ordered)| {
            let Ordered { next, kept, taken, .. } = ordered;
            Some(OrderedMark { partition: *partition, next: *next, taken: *taken, rows: kept.clone()? })
        });
        let (partitions, refused, first_refused) =
            (partitions.collect(), self.refused, self.first_refused.clone());
        FeedMark::Ordered(InEventTimeMark { partitions, refused, first_refused })
    }
}

/// How many events of a block cannot be used, where the times of so many can be.
fn unusable(block: &RawBlock, decoded: &Decoded, heard: usize) -> u64 {
    let of_source = block.refused.iter().filter(|refused| !refused.skip).count();
    (of_source + decoded.bad.len() + decoded.offsets.len() - heard) as u64
}

/// Why the first of them cannot be, as dead letters say it.
fn why_unusable(block: &RawBlock, decoded: &Decoded, heard: usize) -> Option<String> {
    let of_source = block.refused.iter().find(|refused| !refused.skip).map(|refused| &refused.reason);
    let reason = of_source.or(decoded.bad.first().map(|bad| &bad.reason));
    let of_time = (decoded.offsets.len() > heard).then(|| "its event time cannot be".to_owned());
    reason.cloned().or(of_time)
}

/// Events with what is to be known of them, each column under its number: names may be any.
fn columns(heard: &[Heard], decoded: &Decoded) -> Result<RecordBatch, TrainError> {
    let mut events = heard.iter().peekable();
    let rows = decoded
        .offsets
        .iter()
        .enumerate()
        .filter(|(_, offset)| events.next_if(|event| event.offset == **offset).is_some());
    let rows: UInt32Array = rows.map(|(row, _)| Some(row as u32)).collect();
    let times = Int64Array::from_iter_values(heard.iter().map(|event| event.time.millis()));
    let known: Int64Array = heard.iter().map(|event| event.known.map(EventTime::millis)).collect();
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(known)];
    arrays.extend(arrow_select::take::take_record_batch(&decoded.columns, &rows)?.columns().iter().cloned());
    let field = |array: &ArrayRef| Field::new("", array.data_type().clone(), true);
    let fields: Vec<Field> = arrays.iter().map(field).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Those events as a block of their partition, numbered from `first`.
fn block(partition: PartitionId, rows: &RecordBatch, first: u64) -> (RawBlock, Decoded) {
    let next = first + rows.num_rows() as u64;
    let offsets: Vec<u64> = (first..next).collect();
    let known = rows.column(KNOWN).as_primitive::<Int64Type>();
    let known =
        if known.null_count() == 0 { KnownTimes::Each(known.values().to_vec()) } else { KnownTimes::Unknown };
    let decoded: Vec<usize> = (DECODED..rows.num_columns()).collect();
    let columns = rows.project(&decoded).expect("these columns are among them");
    let raw = RawBlock {
        partition,
        data: bytes::Bytes::new(),
        framing: Framing::Records { ends: vec![0; offsets.len()], offsets: offsets.clone() },
        known,
        next: Position { next, place: String::new() },
        refused: Vec::new(),
    };
    let records = (0..offsets.len() as u32).collect();
    (raw, Decoded { columns, offsets, records, bad: Vec::new() })
}
