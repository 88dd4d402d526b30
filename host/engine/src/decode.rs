//! Decoding: blocks -> columns, in parallel and put back in order.
//!
//! Decoders are pure, so blocks decode on the engine's workers while earlier ones are still on their way; what
//! comes out is in the order in which it was read, also what is not a block.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use std::sync::Arc;
use weir_connect::{CpuTime, Decoded, Decoder, Fetch, RawBlock};
use weir_event::{EventTime, PartitionId, Position};

/// What comes out.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A decoded block, with its bytes for dead letters.
    Block(Box<(RawBlock, Decoded)>),
    /// The partition's present end.
    CaughtUp(PartitionId),
    /// What the source promises of the rest of the partition.
    Watermark(PartitionId, EventTime),
    /// A new partition, and where it begins.
    Appeared(PartitionId, Position),
    /// Nothing more will come of the partition.
    Ended(PartitionId),
}

impl Arrival {
    /// Whose it is.
    pub(crate) fn partition(&self) -> PartitionId {
        match self {
            Arrival::Block(block) => block.0.partition,
            Arrival::CaughtUp(partition)
            | Arrival::Watermark(partition, _)
            | Arrival::Appeared(partition, _)
            | Arrival::Ended(partition) => *partition,
        }
    }
}

/// How many blocks this many workers are to decode at once: with several workers one more each, so that none waits
/// while the job's driver is busy.
pub(crate) fn depth(workers: usize) -> usize {
    if workers <= 1 { 1 } else { 2 * workers }
}

/// Blocks on their way.
pub(crate) struct Decoding {
    /// For each input.
    decoders: Vec<Arc<dyn Decoder>>,
    in_flight: FuturesOrdered<BoxFuture<'static, Option<Arrival>>>,
    depth: usize,
    cpu: CpuTime,
}

impl Decoding {
    /// Decodes up to `depth` blocks at once, each with its input's decoder, for the owner of `cpu`.
    pub(crate) fn new(decoders: Vec<Arc<dyn Decoder>>, depth: usize, cpu: &CpuTime) -> Self {
        Decoding { decoders, in_flight: FuturesOrdered::new(), depth: depth.max(1), cpu: cpu.clone() }
    }

    /// Lets what is taken in from now on be decoded so.
    pub(crate) fn decode_with(&mut self, decoders: Vec<Arc<dyn Decoder>>) {
        self.decoders = decoders;
    }

    /// Whether more can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < self.depth
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Takes in what a reader handed out.
    pub(crate) fn push(&mut self, fetch: Fetch) {
        let arrival = match fetch {
            Fetch::CaughtUp(partition) => Arrival::CaughtUp(partition),
            Fetch::Watermark(partition, time) => Arrival::Watermark(partition, time),
            Fetch::Appeared(partition, at) => Arrival::Appeared(partition, at),
            Fetch::Ended(partition) => Arrival::Ended(partition),
            Fetch::Block(block) => {
                let decoder = self.decoders.get(usize::from(block.partition.source)).cloned();
                let cpu = self.cpu.clone();
                let task = tokio::spawn(async move {
                    let decoded = cpu.measure(|| Some(decoder?.decode(&block)))?;
                    Some(Arrival::Block(Box::new((block, decoded))))
                });
                return self.in_flight.push_back(Box::pin(async move { task.await.ok().flatten() }));
            }
        };
        self.in_flight.push_back(Box::pin(std::future::ready(Some(arrival))));
    }

    /// The next in order; `None` if nothing is on its way, `Some(None)` if a decoder broke its promise not to
    /// panic, or a reader stamped a block with an input that there is not. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Option<Arrival>> {
        self.in_flight.next().await
    }
}
