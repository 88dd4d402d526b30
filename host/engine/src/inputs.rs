//! The sources of a job's inputs, read as one: whatever comes next of any of them. While a job reads the past, archives are
//! read in place of the logs that go on behind them.
//!
//! Knows which source a partition belongs to: [`PartitionId::source`] is its number. Decides nothing, and knows neither
//! rows nor watermarks.

use crate::shared_look::SharedLook;
use futures_util::future::select_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, Decoder, Fetch, Left, OpenPartition, Reader, Source};
use weir_event::{PartitionId, Position};
use weir_plan::JobPlan;

/// What one input of a job is read through.
#[derive(Debug, Clone)]
pub struct InputSource {
    /// Where its stream comes from.
    pub source: Arc<dyn Source>,
    /// Decodes the columns that the plan names of it.
    pub decoder: Arc<dyn Decoder>,
    /// Where the past of the stream is kept, if anywhere.
    pub archive: Option<ArchiveSource>,
}

/// What the past of a stream is read through.
#[derive(Debug, Clone)]
pub struct ArchiveSource {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// Decodes the columns that the plan names of the stream, and behind them those that the archive is cut by.
    pub decoder: Arc<dyn Decoder>,
    /// Decodes of it what the cut is found by: [`Archive::places`](weir_plan::definition::Archive::places).
    pub places: Arc<dyn Decoder>,
    /// The stream's own source once more, to look where its log begins.
    pub log: Arc<dyn Source>,
    /// What jobs share that look for its end at the same time.
    pub look: SharedLook,
}

/// Sources of a job, in the order of its plan.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    entries: Arc<[OneSource]>,
}

/// One source.
#[derive(Debug, Clone)]
struct OneSource {
    /// As [`PartitionId::source`] has it.
    number: u16,
    /// Its stream's name, and what of the stream it is.
    name: String,
    source: Arc<dyn Source>,
    decoder: Arc<dyn Decoder>,
    is_archive: bool,
}

impl OneSource {
    /// An archive is read to where it ends now.
    fn is_bounded(&self, bounded: bool) -> bool {
        bounded || self.is_archive
    }
}

impl Inputs {
    /// The logs; in the `past` the archives, in place of those that have one.
    pub(crate) fn of(plan: &JobPlan, sources: &[InputSource], past: bool) -> Inputs {
        let names = plan.inputs.iter().map(|input| input.stream.name.clone());
        let entry = |(number, (name, input)): (u16, (String, &InputSource))| match &input.archive {
            Some(ArchiveSource { source, decoder, .. }) if past => OneSource {
                number: number | PartitionId::ARCHIVE,
                name: format!("{name}`, its `archive"),
                source: source.clone(),
                decoder: decoder.clone(),
                is_archive: true,
            },
            _ => OneSource {
                number,
                name,
                source: input.source.clone(),
                decoder: input.decoder.clone(),
                is_archive: false,
            },
        };
        Inputs { entries: (0..).zip(names.zip(sources)).map(entry).collect() }
    }

    /// What decodes each source's blocks.
    pub(crate) fn decoders(&self) -> BTreeMap<u16, Arc<dyn Decoder>> {
        self.entries.iter().map(|entry| (entry.number, entry.decoder.clone())).collect()
    }

    /// The partitions that there are now, by source, given where those stand that were read before.
    pub(crate) async fn partitions(
        &self,
        positions: &BTreeMap<PartitionId, Position>,
    ) -> Result<Vec<(u16, Vec<OpenPartition>)>, ConnectError> {
        let mut all = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter() {
            let found = entry.source.partitions(&of_source(entry.number, positions)).await;
            all.push((entry.number, found.map_err(|error| self.named(entry, error))?));
        }
        Ok(all)
    }

    /// Opens all of them where reading goes on.
    pub(crate) async fn open(
        &self,
        partitions: &[(u16, Vec<OpenPartition>)],
        bounded: bool,
    ) -> Result<Readers, ConnectError> {
        let mut readers = Vec::with_capacity(self.entries.len());
        for (entry, (_, own)) in self.entries.iter().zip(partitions) {
            let opened = entry.source.open(entry.number, own, entry.is_bounded(bounded)).await;
            readers.push(opened.map_err(|error| self.named(entry, error))?);
        }
        Ok(Readers { inputs: self.clone(), readers, turn: 0 })
    }

    /// What each archive consists of now, by the number of its input.
    pub(crate) async fn archive_parts(&self) -> Result<BTreeMap<usize, Vec<(String, u64)>>, ConnectError> {
        let mut all = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.is_archive) {
            let parts = entry.source.parts().await.map_err(|error| self.named(entry, error))?;
            all.insert(PartitionId { source: entry.number, partition: 0 }.input(), parts);
        }
        Ok(all)
    }

    /// How much of all their logs lies behind these positions; nothing where one of them does not say it.
    pub(crate) async fn left(
        &self,
        positions: &BTreeMap<PartitionId, Position>,
        bounded: bool,
    ) -> Result<Left, ConnectError> {
        let mut all = Left { records: Some(0), bytes: Some(0), time: Some(Duration::ZERO) };
        for entry in self.entries.iter() {
            let own = of_source(entry.number, positions);
            let left = entry.source.left(&own, entry.is_bounded(bounded)).await?;
            let sum = |all: Option<u64>, left: Option<u64>| all.zip(left).map(|(all, left)| all + left);
            all = Left {
                records: sum(all.records, left.records),
                bytes: sum(all.bytes, left.bytes),
                time: all.time.zip(left.time).map(|(all, left)| all.max(left)),
            };
        }
        Ok(all)
    }

    /// Where the record before a position of a partition stands, for a person to look at.
    pub(crate) fn place(&self, partition: PartitionId, before: &Position) -> Option<String> {
        self.of_partition(partition)?.source.place(before)
    }

    /// Tells the source of a partition where a job's newest checkpoint stands in it.
    pub(crate) fn committed(&self, job: &str, partition: PartitionId, position: &Position) {
        if let Some(entry) = self.of_partition(partition) {
            entry.source.committed(job, partition.partition, position);
        }
    }

    fn of_partition(&self, partition: PartitionId) -> Option<&OneSource> {
        self.entries.iter().find(|entry| entry.number == partition.source)
    }

    /// What a source says, with its stream's name where there are several, or it is an archive.
    fn named(&self, entry: &OneSource, mut error: ConnectError) -> ConnectError {
        if self.entries.len() > 1 || entry.is_archive {
            error.message = format!("stream `{}`: {}", entry.name, error.message);
        }
        error
    }
}

/// Where the partitions of one source stand.
fn of_source(source: u16, positions: &BTreeMap<PartitionId, Position>) -> Vec<OpenPartition> {
    let own = positions.iter().filter(|(id, _)| id.source == source);
    let open = |(id, position): (&PartitionId, &Position)| OpenPartition {
        partition: id.partition,
        from: Some(position.clone()),
    };
    own.map(open).collect()
}

/// All open readers of a job.
pub(crate) struct Readers {
    inputs: Inputs,
    /// One for each source.
    readers: Vec<Box<dyn Reader>>,
    /// Which is asked first the next time, so that one that always has something does not keep the others waiting.
    turn: usize,
}

impl Readers {
    /// What comes next of any of them. Cancel safe, as each of them is.
    pub(crate) async fn next(&mut self) -> Result<Fetch, ConnectError> {
        let count = self.readers.len();
        if let [only] = self.readers.as_mut_slice() {
            let fetched = only.next().await;
            return fetched.map_err(|error| self.inputs.named(&self.inputs.entries[0], error));
        }
        let mut asked: Vec<_> = self.readers.iter_mut().map(|reader| reader.next()).collect();
        asked.rotate_left(self.turn);
        let (fetched, index, rest) = select_all(asked).await;
        drop(rest);
        let at = (self.turn + index) % count;
        self.turn = (at + 1) % count;
        fetched.map_err(|error| self.inputs.named(&self.inputs.entries[at], error))
    }

    /// Asks that no more of a partition is handed out.
    pub(crate) fn pause(&mut self, partition: PartitionId) {
        if let Some(reader) = self.of_partition(partition) {
            reader.pause(partition);
        }
    }

    /// Takes [`Readers::pause`] back.
    pub(crate) fn resume(&mut self, partition: PartitionId) {
        if let Some(reader) = self.of_partition(partition) {
            reader.resume(partition);
        }
    }

    fn of_partition(&mut self, partition: PartitionId) -> Option<&mut Box<dyn Reader>> {
        let at = self.inputs.entries.iter().position(|entry| entry.number == partition.source)?;
        self.readers.get_mut(at)
    }

    /// Why a source cannot be reached, if one says so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.readers.iter().find_map(|reader| reader.health().trouble())
    }
}
