//! The logs of a job's inputs, decoded, partition by partition: as they were written, or each in the order of event time.
//!
//! Must not know what becomes of the rows.

use crate::error::TrainError;
use crate::sorting::{Sorted, Sorter};
use crate::{Archived, Job, Settings};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_connect::{Decoded, Decoder, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader, Source};
use weir_core::{Cut, Heard, Intake, first_offset};
use weir_event::{EventTime, PartitionId, Position};
use weir_plan::JobPlan;

/// What comes of a log.
pub(crate) enum Arrival {
    Block(Box<(RawBlock, Decoded)>),
    /// Every later row of the partition has an event time at or after this.
    Promise(PartitionId, EventTime),
    /// Nothing more will come of the partition.
    Ended(PartitionId),
}

/// Hands out what comes of partitions.
#[async_trait(?Send)]
pub(crate) trait Feed {
    /// What comes next, of a partition that is waited for or of another one of its input.
    async fn next(&mut self, waited_for: PartitionId) -> Result<Arrival, TrainError>;

    /// Asks that nothing of a partition is handed out, or takes that back.
    fn hold(&mut self, partition: PartitionId, is_held: bool);

    /// Where the record before the end of a block stands, for a person to look at.
    fn place(&self, _block: &RawBlock) -> Option<String> {
        None
    }

    /// How many events it has not handed out as they could not be used, and why the first.
    fn refused(&self) -> (u64, Option<&str>) {
        (0, None)
    }
}

/// The logs as they were written, and what comes before them.
pub(crate) struct Logs {
    plan: Arc<JobPlan>,
    /// By the number of the source.
    logs: BTreeMap<u16, Log>,
}

/// One of them.
struct Log {
    source: Arc<dyn Source>,
    reader: Box<dyn Reader>,
    decoder: Arc<dyn Decoder>,
    cut: Option<Cut>,
}

impl Logs {
    /// Opens them, and says which partitions there are, those of archives first, and where each begins that says so.
    pub(crate) async fn open(job: &Job) -> Result<(Logs, Vec<(PartitionId, OpenPartition)>), TrainError> {
        let mut opened = Logs { plan: job.plan.clone(), logs: BTreeMap::new() };
        let mut all = Vec::new();
        for (number, input) in (0..).zip(&job.inputs) {
            if let Some(Archived { source, decoder, cut, .. }) = &input.archive {
                let number = number | PartitionId::ARCHIVE;
                let cut = Some(cut.clone());
                all.extend(opened.add(number, (source.clone(), decoder.clone()), cut).await?);
            }
            let cut = input.archive.as_ref().map(|archive| archive.cut.clone());
            all.extend(opened.add(number, (input.source.clone(), input.decoder.clone()), cut).await?);
        }
        all.sort_by_key(|(id, _)| *id);
        Ok((opened, all))
    }

    async fn add(
        &mut self,
        number: u16,
        (source, decoder): (Arc<dyn Source>, Arc<dyn Decoder>),
        cut: Option<Cut>,
    ) -> Result<Vec<(PartitionId, OpenPartition)>, TrainError> {
        let partitions = source.partitions(&[]).await?;
        let reader = source.open(number, &partitions, true).await?;
        self.logs.insert(number, Log { source, reader, decoder, cut });
        let named = |open: OpenPartition| (PartitionId { source: number, partition: open.partition }, open);
        Ok(partitions.into_iter().map(named).collect())
    }

    fn log(&mut self, of: PartitionId) -> &mut Log {
        self.logs.get_mut(&of.source).expect("partitions are those of the logs that were opened")
    }
}

#[async_trait(?Send)]
impl Feed for Logs {
    async fn next(&mut self, waited_for: PartitionId) -> Result<Arrival, TrainError> {
        let plan = self.plan.clone();
        let Log { reader, decoder, cut, .. } = self.log(waited_for);
        loop {
            return Ok(match reader.next().await? {
                Fetch::Block(block) => {
                    if block.holds_data() {
                        decoder.ready(&block).await?;
                    }
                    let mut decoded = decoder.decode(&block);
                    if let Some((cut, input)) = cut.as_ref().zip(plan.input_of(block.partition)) {
                        decoded = cut.part(input, block.partition, decoded)?.decoded;
                    }
                    Arrival::Block(Box::new((block, decoded)))
                }
                Fetch::Watermark(partition, time) => Arrival::Promise(partition, time),
                Fetch::CaughtUp(partition) | Fetch::Ended(partition) => Arrival::Ended(partition),
                // None does while reading is bounded.
                Fetch::Appeared(..) => continue,
            });
        }
    }

    fn hold(&mut self, partition: PartitionId, is_held: bool) {
        let Log { reader, .. } = self.log(partition);
        if is_held { reader.pause(partition) } else { reader.resume(partition) }
    }

    fn place(&self, block: &RawBlock) -> Option<String> {
        self.logs.get(&block.partition.source)?.source.place(&block.next)
    }
}

/// Every partition in the order of event time. Events are numbered anew in that order, from the first number of the log on;
/// those of one time stay as they were.
pub(crate) struct InEventTime {
    /// Each with the number of its next event.
    partitions: BTreeMap<PartitionId, (Sorted, u64)>,
    refused: u64,
    first_refused: Option<String>,
}

/// The columns of sorted rows before the decoded ones.
const TIME: usize = 0;
const KNOWN: usize = 1;
const DECODED: usize = 2;

impl InEventTime {
    /// Reads all of the logs, and sorts those events that `judge`, who has read nothing, finds to be possible and not to be
    /// repeated ones.
    pub(crate) async fn of(
        mut logs: Logs,
        partitions: &[PartitionId],
        mut judge: Intake,
        settings: &Settings,
    ) -> Result<InEventTime, TrainError> {
        let limit = settings.sorted_bytes / partitions.len().max(1);
        let sorter =
            |partition: &PartitionId| (*partition, (Sorter::new(&settings.scratch, TIME, limit), None));
        let mut sorters: BTreeMap<PartitionId, (Sorter, Option<u64>)> =
            partitions.iter().map(sorter).collect();
        let mut left: Vec<PartitionId> = partitions.to_vec();
        let (mut refused, mut first_refused) = (0, None);
        while let Some(next) = left.first().copied() {
            match logs.next(next).await? {
                Arrival::Ended(partition) => {
                    left.retain(|other| *other != partition);
                    if partition.is_of_archive() && left.iter().all(|other| other.source != partition.source)
                    {
                        end_archive(&mut judge, partition.input(), partitions.iter().copied());
                    }
                }
                Arrival::Promise(..) => {}
                Arrival::Block(block) => {
                    let (block, decoded) = *block;
                    let heard = judge.heard(&block, &decoded)?;
                    refused += unusable(&block, &decoded, heard.len());
                    let place =
                        || logs.place(&block).map_or_else(String::new, |place| format!(" in {place}"));
                    let why = |reason: String| format!("; the first{}: {reason}", place());
                    first_refused =
                        first_refused.or_else(|| why_unusable(&block, &decoded, heard.len()).map(why));
                    let rows = columns(&judge.first_of(heard, &block, &decoded)?, &decoded)?;
                    if let Some((sorter, first)) = sorters.get_mut(&block.partition) {
                        // A log that does not begin with its first record says so by that one's number.
                        first.get_or_insert_with(|| first_offset(&block));
                        sorter.push(rows)?;
                    }
                }
            }
        }
        let sorted = sorters.into_iter().map(|(partition, (sorter, first))| {
            Ok((partition, (sorter.finish()?, first.unwrap_or_default())))
        });
        let partitions = sorted.collect::<Result<_, TrainError>>()?;
        Ok(InEventTime { partitions, refused, first_refused })
    }
}

#[async_trait(?Send)]
impl Feed for InEventTime {
    async fn next(&mut self, waited_for: PartitionId) -> Result<Arrival, TrainError> {
        let Some((sorted, next)) = self.partitions.get_mut(&waited_for) else {
            return Ok(Arrival::Ended(waited_for));
        };
        let Some(rows) = sorted.next()? else { return Ok(Arrival::Ended(waited_for)) };
        let first = std::mem::replace(next, *next + rows.num_rows() as u64);
        Ok(Arrival::Block(Box::new(block(waited_for, &rows, first))))
    }

    fn hold(&mut self, _partition: PartitionId, _is_held: bool) {}

    fn refused(&self) -> (u64, Option<&str>) {
        (self.refused, self.first_refused.as_deref())
    }
}

/// The archive of an input is read to its end; whoever judges its rows goes on with its log, which is one of these partitions.
pub(crate) fn end_archive(intake: &mut Intake, input: usize, partitions: impl Iterator<Item = PartitionId>) {
    let logs = partitions.filter(|id| !id.is_of_archive() && id.input() == input);
    logs.for_each(|id| intake.expect(id));
    intake.end_archive(input);
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
