//! The sources of a job's inputs, read as one: whatever comes next of any of them.
//!
//! Knows which input a partition belongs to: [`PartitionId::source`] is its index. Decides nothing, and knows neither
//! rows nor watermarks.

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
}

/// The sources of all inputs of a job, in the order of its plan.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// Each with its stream's name.
    inputs: Arc<[(String, InputSource)]>,
}

impl Inputs {
    pub(crate) fn of(plan: &JobPlan, sources: &[InputSource]) -> Inputs {
        let names = plan.inputs.iter().map(|input| input.stream.name.clone());
        Inputs { inputs: names.zip(sources.iter().cloned()).collect() }
    }

    /// What decodes each input's blocks.
    pub(crate) fn decoders(&self) -> Vec<Arc<dyn Decoder>> {
        self.inputs.iter().map(|(_, input)| input.decoder.clone()).collect()
    }

    /// The partitions that there are now, by input, given where those stand that were read before.
    pub(crate) async fn partitions(
        &self,
        positions: &BTreeMap<PartitionId, Position>,
    ) -> Result<Vec<Vec<OpenPartition>>, ConnectError> {
        let mut all = Vec::with_capacity(self.inputs.len());
        for (source, (_, input)) in (0..).zip(self.inputs.iter()) {
            let found = input.source.partitions(&of_input(source, positions)).await;
            all.push(found.map_err(|error| self.named(source, error))?);
        }
        Ok(all)
    }

    /// Opens all of them where reading goes on.
    pub(crate) async fn open(
        &self,
        partitions: &[Vec<OpenPartition>],
        bounded: bool,
    ) -> Result<Readers, ConnectError> {
        let mut readers = Vec::with_capacity(self.inputs.len());
        for (source, ((_, input), own)) in (0..).zip(self.inputs.iter().zip(partitions)) {
            let opened = input.source.open(source, own, bounded).await;
            readers.push(opened.map_err(|error| self.named(source, error))?);
        }
        Ok(Readers { inputs: self.clone(), readers, turn: 0 })
    }

    /// How much of all their logs lies behind these positions; nothing where one of them does not say it.
    pub(crate) async fn left(
        &self,
        positions: &BTreeMap<PartitionId, Position>,
        bounded: bool,
    ) -> Result<Left, ConnectError> {
        let mut all = Left { records: Some(0), bytes: Some(0), time: Some(Duration::ZERO) };
        for (source, (_, input)) in (0..).zip(self.inputs.iter()) {
            let left = input.source.left(&of_input(source, positions), bounded).await?;
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
        self.inputs.get(usize::from(partition.source))?.1.source.place(before)
    }

    /// Tells the source of a partition where a job's newest checkpoint stands in it.
    pub(crate) fn committed(&self, job: &str, partition: PartitionId, position: &Position) {
        if let Some((_, input)) = self.inputs.get(usize::from(partition.source)) {
            input.source.committed(job, partition.partition, position);
        }
    }

    /// What a source says, with its stream's name where there are several.
    fn named(&self, source: u16, mut error: ConnectError) -> ConnectError {
        if let Some((name, _)) = self.inputs.get(usize::from(source)).filter(|_| self.inputs.len() > 1) {
            error.message = format!("stream `{name}`: {}", error.message);
        }
        error
    }
}

/// Where the partitions of one input stand.
fn of_input(source: u16, positions: &BTreeMap<PartitionId, Position>) -> Vec<OpenPartition> {
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
    /// One for each input.
    readers: Vec<Box<dyn Reader>>,
    /// Which is asked first the next time, so that one that always has something does not keep the others waiting.
    turn: usize,
}

impl Readers {
    /// What comes next of any of them. Cancel safe, as each of them is.
    pub(crate) async fn next(&mut self) -> Result<Fetch, ConnectError> {
        let count = self.readers.len();
        if let [only] = self.readers.as_mut_slice() {
            return only.next().await;
        }
        let mut asked: Vec<_> = self.readers.iter_mut().map(|reader| reader.next()).collect();
        asked.rotate_left(self.turn);
        let (fetched, index, rest) = select_all(asked).await;
        drop(rest);
        let source = (self.turn + index) % count;
        self.turn = (source + 1) % count;
        fetched.map_err(|error| self.inputs.named(source as u16, error))
    }

    /// Asks that no more of a partition is handed out.
    pub(crate) fn pause(&mut self, partition: PartitionId) {
        if let Some(reader) = self.readers.get_mut(usize::from(partition.source)) {
            reader.pause(partition);
        }
    }

    /// Takes [`Readers::pause`] back.
    pub(crate) fn resume(&mut self, partition: PartitionId) {
        if let Some(reader) = self.readers.get_mut(usize::from(partition.source)) {
            reader.resume(partition);
        }
    }

    /// Why a source cannot be reached, if one says so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.readers.iter().find_map(|reader| reader.health().trouble())
    }
}
