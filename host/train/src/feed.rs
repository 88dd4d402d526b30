//! The logs of a job's inputs, decoded, partition by partition, as they were written.
//!
//! Must not know what becomes of the rows.

use crate::error::TrainError;
use crate::kept_feed::{FeedMark, Place, Places};
use crate::{Archived, Job};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_connect::{ConnectError, Decoded, Decoder, Fetch, OpenPartition, RawBlock, Reader, Source};
use weir_core::{Cut, Intake};
use weir_event::{EventTime, PartitionId};
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

    /// Where it goes on.
    fn mark(&self) -> FeedMark;
}

/// The partitions that there are, those of archives first, and which record each begins with that says so.
pub(crate) type Begins = Vec<(PartitionId, Option<u64>)>;

/// The logs as they were written, and what comes before them.
pub(crate) struct Logs {
    plan: Arc<JobPlan>,
    /// By the number of the source.
    logs: BTreeMap<u16, Log>,
    places: Places,
}

/// One of them.
struct Log {
    source: Arc<dyn Source>,
    /// None where all was read.
    reader: Option<Box<dyn Reader>>,
    decoder: Arc<dyn Decoder>,
    cut: Option<Cut>,
}

impl Logs {
    /// Opens them at their beginnings, or where they were left.
    pub(crate) async fn open(job: &Job, left: Option<&Places>) -> Result<Logs, TrainError> {
        let mut opened = Logs { plan: job.plan.clone(), logs: BTreeMap::new(), places: Places::default() };
        for (number, input) in (0..).zip(&job.inputs) {
            if let Some(Archived { source, decoder, cut, .. }) = &input.archive {
                let number = number | PartitionId::ARCHIVE;
                let cut = Some(cut.clone());
                opened.add(number, (source.clone(), decoder.clone()), cut, left).await?;
            }
            let cut = input.archive.as_ref().map(|archive| archive.cut.clone());
            opened.add(number, (input.source.clone(), input.decoder.clone()), cut, left).await?;
        }
        Ok(opened)
    }

    async fn add(
        &mut self,
        number: u16,
        (source, decoder): (Arc<dyn Source>, Arc<dyn Decoder>),
        cut: Option<Cut>,
        left: Option<&Places>,
    ) -> Result<(), TrainError> {
        let places: BTreeMap<u16, Place> = match left {
            None => {
                let begins = |open: OpenPartition| (open.partition, Place::at(open.from));
                source.partitions(&[]).await?.into_iter().map(begins).collect()
            }
            // Those that there are since then have nothing that was known by then.
            Some(left) => left.of_source(number),
        };
        let is_left = |(partition, place): (&u16, &Place)| {
            (!place.has_ended).then(|| OpenPartition { partition: *partition, from: place.next.clone() })
        };
        let open: Vec<OpenPartition> = places.iter().filter_map(is_left).collect();
        let reader = if open.is_empty() { None } else { Some(source.open(number, &open, true).await?) };
        self.places.add(number, places);
        self.logs.insert(number, Log { source, reader, decoder, cut });
        Ok(())
    }

    /// Where they begin, before any was read.
    pub(crate) fn begins(&self) -> Begins {
        let begin = |(id, place): (PartitionId, &Place)| (id, place.next.as_ref().map(|from| from.next));
        self.places.iter().map(begin).collect()
    }

    /// How far they were read.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    fn log(&mut self, of: PartitionId) -> &mut Log {
        self.logs.get_mut(&of.source).expect("partitions are those of the logs that were opened")
    }
}

#[async_trait(?Send)]
impl Feed for Logs {
    async fn next(&mut self, waited_for: PartitionId) -> Result<Arrival, TrainError> {
        let plan = self.plan.clone();
        let Log { source, reader, decoder, cut } = self.log(waited_for);
        let Some(reader) = reader else { return Ok(Arrival::Ended(waited_for)) };
        loop {
            return Ok(match reader.next().await? {
                Fetch::Block(block) => {
                    if block.holds_data() {
                        decoder.ready(&block).await?;
                    }
                    let mut decoded = decoder.attempt(&block)?;
                    if let Some(damage) = decoded.damage(&block) {
                        let place = source.place(&block.next).unwrap_or_default();
                        return Err(
                            ConnectError::external(format!("`{place}`: {damage}; restore the file")).into()
                        );
                    }
                    if let Some((cut, input)) = cut.as_ref().zip(plan.input_of(block.partition)) {
                        decoded = cut.part(input, block.partition, decoded)?.decoded;
                    }
                    self.places.read(block.partition, block.next.clone());
                    Arrival::Block(Box::new((block, decoded)))
                }
                Fetch::Watermark(partition, time) => Arrival::Promise(partition, time),
                Fetch::CaughtUp(partition) | Fetch::Ended(partition) => {
                    self.places.ended(partition);
                    Arrival::Ended(partition)
                }
                // None does while reading is bounded.
                Fetch::Appeared(..) => continue,
            });
        }
    }

    fn hold(&mut self, partition: PartitionId, is_held: bool) {
        let Log { reader: Some(reader), .. } = self.log(partition) else { return };
        if is_held { reader.pause(partition) } else { reader.resume(partition) }
    }

    fn mark(&self) -> FeedMark {
        FeedMark::Logs(self.places.clone())
    }

    fn place(&self, block: &RawBlock) -> Option<String> {
        self.logs.get(&block.partition.source)?.source.place(&block.next)
    }
}

/// The archive of an input is read to its end; whoever judges its rows goes on with its log, which is one of these partitions.
pub(crate) fn end_archive(intake: &mut Intake, input: usize, partitions: impl Iterator<Item = PartitionId>) {
    let logs = partitions.filter(|id| !id.is_of_archive() && id.input() == input);
    logs.for_each(|id| intake.expect(id));
    intake.end_archive(input);
}
