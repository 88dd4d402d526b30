//! Where the two sides of a cut meet: how far an archive goes, and where each partition of the log begins. Found by looking,
//! before anything is read for good.
//!
//! Decides nothing, and keeps nothing but the ends.

use super::cut::{BothEnds, decide};
use super::{Bootstrap, StreamCut};
use crate::decode::{Arrival, Decoding, Outcome, depth};
use crate::inputs::{ArchiveSource, InputSource};
use crate::shared_look::ArchiveEnd;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_connect::{ConnectError, CpuTime, Decoder, Fetch, OpenPartition, Source};
use weir_core::{Cut, first_offset, known_times, record_of};
use weir_event::{Clock, EventTime, PartitionId, Position, Span};
use weir_plan::definition::{Archive, ArchiveCut};
use weir_plan::{JobPlan, StreamDefinition, StreamInput};

/// Where a partition of a log begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogStart {
    /// At its first record; at the next one where it holds none.
    pub(crate) position: Position,
    /// When the first was known; `None` where there is none yet.
    pub(crate) known: Option<EventTime>,
    /// The offset behind its last record, where the source counts records.
    pub(crate) end: Option<u64>,
}

/// What reading needs.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) depth: usize,
    pub(crate) cpu: &'a CpuTime,
    /// What says a later time says nothing.
    pub(crate) now: EventTime,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

/// Known times.
type Between = Option<(EventTime, EventTime)>;

/// For whoever reads archives and logs once, without a job that is kept: by input, where its archive is cut from its log, and
/// the known times between which rows may be in neither, if there are any. Blocks are decoded by so many `workers`.
pub async fn cuts(
    plan: &JobPlan,
    inputs: &[InputSource],
    workers: usize,
    clock: &Arc<dyn Clock>,
) -> Result<BTreeMap<usize, (Cut, Between)>, ConnectError> {
    let now = clock.now();
    let look = Look { depth: depth(workers), cpu: &CpuTime::default(), now, clock };
    let mut bootstrap = look.bootstrap(plan, inputs).await?;
    for (at, cut) in &mut bootstrap.cuts {
        let (input, source) = (&plan.inputs[*at], &inputs[*at].archive);
        if let (Some(archive), Some(source)) = (&input.stream.archive, source)
            && let (ArchiveCut::At(_), Cut::At(time)) = (&archive.cut, &cut.cut)
        {
            let before = Look { now: now.min(*time - Span::from_millis(1)), ..look };
            cut.newest_known = before.through(input, source).await?.known;
            cut.end_archive();
        }
    }
    let of_input = |(at, cut): (usize, StreamCut)| (at, (cut.cut, cut.gap));
    Ok(bootstrap.cuts.into_iter().map(of_input).collect())
}

/// A look through all of an archive, of its columns only those that say where a row belongs.
struct LookThrough {
    stream: Arc<StreamDefinition>,
    source: Arc<dyn Source>,
    places: Arc<dyn Decoder>,
    depth: usize,
    cpu: CpuTime,
    now: EventTime,
    clock: Arc<dyn Clock>,
}

impl LookThrough {
    async fn end(self) -> Result<ArchiveEnd, ConnectError> {
        tracing::info!(stream = self.stream.name, "looking for where its archive ends");
        let partitions = self.source.partitions(&[]).await?;
        let mut open: BTreeSet<u16> = partitions.iter().map(|open| open.partition).collect();
        let mut reader = self.source.open(0, &partitions, true).await?;
        let mut decoding = Decoding::new(BTreeMap::from([(0, self.places.clone())]), self.depth, &self.cpu);
        let mut end = ArchiveEnd::default();
        while !open.is_empty() || !decoding.is_empty() {
            tokio::select! {
                biased;
                fetched = reader.next(), if !open.is_empty() && decoding.has_room() => match fetched? {
                    Fetch::CaughtUp(partition) | Fetch::Ended(partition) => {
                        open.remove(&partition.partition);
                    }
                    fetch => decoding.push(fetch),
                },
                outcome = decoding.next(), if !decoding.is_empty() => match outcome.flatten() {
                    Some(Outcome::Ready(Arrival::Block(block))) => self.go_through(&block.1.columns, &mut end),
                    Some(Outcome::Ready(_)) => {}
                    Some(Outcome::Unready(unready)) if unready.1.retry => decoding.again(unready.0, &self.clock),
                    Some(Outcome::Unready(unready)) => return Err(unready.1),
                    None => return Err(ConnectError::internal("the decoder panicked on a block of the archive")),
                },
            }
        }
        Ok(end)
    }

    fn go_through(&self, columns: &RecordBatch, end: &mut ArchiveEnd) {
        let time = |column: usize| columns.column(column).as_primitive::<TimestampMillisecondType>();
        let declared = self.stream.known_time.map(|_| time(1));
        let event = time(0);
        for row in 0..columns.num_rows() {
            let known = declared.filter(|known| known.is_valid(row)).map(|known| known.value(row));
            let known = EventTime::from_millis(known.unwrap_or_else(|| event.value(row)));
            if known <= self.now {
                end.known = end.known.max(Some(known));
            }
        }
        if let Some(Archive { cut: ArchiveCut::ByOffset(_), .. }) = &self.stream.archive {
            let first = 1 + usize::from(declared.is_some());
            let number = |column: usize| columns.column(column).as_primitive::<Int64Type>();
            let (partitions, offsets) = (number(first), number(first + 1));
            for row in 0..columns.num_rows() {
                let [partition, offset] =
                    [partitions, offsets].map(|column| column.is_valid(row).then(|| column.value(row)));
                if let Some((partition, offset)) = record_of(partition, offset) {
                    let end = end.offsets.entry(partition).or_default();
                    *end = (*end).max(offset + 1);
                }
            }
        }
    }
}

impl Look<'_> {
    fn through(
        &self,
        input: &StreamInput,
        archive: &ArchiveSource,
    ) -> impl Future<Output = Result<ArchiveEnd, ConnectError>> + Send + use<> {
        let look = LookThrough {
            stream: input.stream.clone(),
            source: archive.source.clone(),
            places: archive.places.clone(),
            depth: self.depth,
            cpu: self.cpu.clone(),
            now: self.now,
            clock: self.clock.clone(),
        };
        look.end()
    }

    /// How a job begins whose streams have archives: each is looked through as far as its cut has to be found, and so are the
    /// first records of their logs, which wait for the job from then on.
    pub(crate) async fn bootstrap(
        &self,
        plan: &JobPlan,
        inputs: &[InputSource],
    ) -> Result<Bootstrap, ConnectError> {
        let (mut cuts, mut bytes, mut parts) = (BTreeMap::new(), Some(0), BTreeMap::new());
        for (at, (stream, input)) in plan.inputs.iter().zip(inputs).enumerate() {
            let (Some(archive), Some(source)) = (&stream.stream.archive, &input.archive) else { continue };
            let name = &stream.stream.name;
            let in_archive = |mut error: ConnectError| {
                error.message = format!("stream `{name}`, its `archive`: {}", error.message);
                error
            };
            // Before it is looked through: what it was found to have is to be there.
            let of_archive = source.source.parts().await.map_err(in_archive)?;
            let end = match archive.cut {
                ArchiveCut::At(_) => None,
                _ => {
                    let end = source.look.join(|| self.through(stream, source).boxed()).await;
                    Some(end.map_err(in_archive)?)
                }
            };
            let log = self.log_starts(stream, input, source).await?;
            let cut = decide(name, archive, &BothEnds { archive: end, log, now: self.now })?;
            for (partition, position) in &cut.starts {
                input.source.committed(&plan.name, *partition, position);
            }
            tracing::info!(
                job = plan.name,
                stream = name,
                "begins with the archive; {}; the rest: log",
                cut.cut
            );
            cuts.insert(at, cut);
            let partitions = source.source.partitions(&[]).await.map_err(in_archive)?;
            let left = source.source.left(&partitions, true).await.unwrap_or_default();
            bytes = bytes.zip(left.bytes).map(|(bytes, left)| bytes + left);
            parts.insert(at, of_archive);
        }
        Ok(Bootstrap::of(cuts, bytes, parts))
    }

    /// Reads the first records of every partition of the log.
    pub(crate) async fn log_starts(
        &self,
        stream: &StreamInput,
        input: &InputSource,
        archive: &ArchiveSource,
    ) -> Result<BTreeMap<u16, LogStart>, ConnectError> {
        let partitions = archive.log.partitions(&[]).await?;
        let mut open: BTreeSet<u16> = partitions.iter().map(|open| open.partition).collect();
        let from = |partition: u16| {
            let found = partitions.iter().find(|open| open.partition == partition);
            found.and_then(|open| open.from.clone()).unwrap_or_default()
        };
        let nothing =
            |partition: &u16| (*partition, LogStart { position: from(*partition), known: None, end: None });
        let mut starts: BTreeMap<u16, LogStart> = open.iter().map(nothing).collect();
        let mut reader = archive.log.open(0, &partitions, true).await?;
        let mut begun = BTreeSet::new();
        while !open.is_empty() {
            match reader.next().await? {
                Fetch::CaughtUp(PartitionId { partition, .. })
                | Fetch::Ended(PartitionId { partition, .. }) => {
                    open.remove(&partition);
                }
                Fetch::Block(block) if open.contains(&block.partition.partition) => {
                    let partition = block.partition.partition;
                    let Some(start) = starts.get_mut(&partition) else { continue };
                    if begun.insert(partition) {
                        let place = block.next.place.clone();
                        start.position = Position { next: first_offset(&block), place };
                    }
                    if !block.holds_data() {
                        continue;
                    }
                    input.decoder.ready(&block).await?;
                    let decoded = self.cpu.measure(|| input.decoder.attempt(&block))?;
                    start.known = known_times(stream, &decoded.columns).next();
                    if start.known.is_some() {
                        reader.pause(block.partition);
                        open.remove(&partition);
                    }
                }
                Fetch::Block(_) | Fetch::Watermark(..) | Fetch::Appeared(..) => {}
            }
        }
        for (partition, start) in &mut starts {
            let open = OpenPartition { partition: *partition, from: Some(start.position.clone()) };
            let left = archive.log.left(&[open], true).await.unwrap_or_default();
            start.end = left.records.map(|records| start.position.next + records);
        }
        Ok(starts)
    }
}
