//! Decoding: blocks -> columns, in parallel and put back in order.
//!
//! Decoders are pure, so blocks decode on the engine's workers while earlier ones are still on their way; what
//! comes out is in the order in which it was read, also what is not a block. A block whose decoder waits for something
//! (a schema that a registry does not give now) holds up what is behind it, and is decoded later.

use crate::apart::Apart;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, CpuTime, Decoded, Decoder, Fetch, RawBlock};
use weir_event::{Clock, EventTime, PartitionId, Position};

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

/// What decoding comes to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// What may be taken.
    Ready(Arrival),
    /// A block that cannot be decoded now, and why: [`Decoding::again`] keeps its place.
    Unready(Box<(RawBlock, ConnectError)>),
}

/// Back-off while a block cannot be decoded: doubled from the first to the last.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LAST_BACK_OFF: Duration = Duration::from_secs(10);

/// How many blocks this many workers are to decode at once: with several workers one more each, so that none waits
/// while the job's driver is busy.
pub(crate) fn depth(workers: usize) -> usize {
    if workers <= 1 { 1 } else { 2 * workers }
}

/// Blocks on their way.
pub(crate) struct Decoding {
    /// By the number of the source.
    decoders: BTreeMap<u16, Arc<dyn Decoder>>,
    in_flight: FuturesOrdered<BoxFuture<'static, Option<Outcome>>>,
    depth: usize,
    back_off: Duration,
    cpu: CpuTime,
    /// Where decoders work that take long.
    apart: Apart,
}

impl Decoding {
    /// Decodes up to `depth` blocks at once, each with its source's decoder, for the owner of `cpu`.
    pub(crate) fn new(decoders: BTreeMap<u16, Arc<dyn Decoder>>, depth: usize, cpu: &CpuTime) -> Self {
        Decoding {
            decoders,
            in_flight: FuturesOrdered::new(),
            depth: depth.max(1),
            back_off: FIRST_BACK_OFF,
            cpu: cpu.clone(),
            // With several workers there are two blocks for each.
            apart: Apart::on_half_of(depth / 2),
        }
    }

    /// Lets what is taken in from now on be decoded so.
    pub(crate) fn decode_with(&mut self, decoders: BTreeMap<u16, Arc<dyn Decoder>>) {
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
                let task = tokio::spawn(self.decode(block));
                return self.in_flight.push_back(Box::pin(async move { task.await.ok().flatten() }));
            }
        };
        self.in_flight.push_back(Box::pin(std::future::ready(Some(Outcome::Ready(arrival)))));
    }

    /// Decodes a block that could not be decoded before, once some time has passed; what is behind it waits.
    pub(crate) fn again(&mut self, block: RawBlock, clock: &Arc<dyn Clock>) {
        let pause = clock.sleep(self.back_off);
        self.back_off = (self.back_off * 2).min(LAST_BACK_OFF);
        let decoded = self.decode(block);
        let task = tokio::spawn(async move {
            pause.await;
            decoded.await
        });
        self.in_flight.push_front(Box::pin(async move { task.await.ok().flatten() }));
    }

    /// Lets go of everything on its way.
    pub(crate) fn clear(&mut self) {
        self.in_flight = FuturesOrdered::new();
    }

    fn decode(&self, block: RawBlock) -> impl Future<Output = Option<Outcome>> + Send + use<> {
        let decoder = self.decoders.get(&block.partition.source).cloned();
        let (cpu, apart) = (self.cpu.clone(), self.apart.clone());
        async move {
            let decoder = decoder?;
            // What says only where its log goes on is not of any format.
            if block.holds_data()
                && let Err(error) = decoder.ready(&block).await
            {
                return Some(Outcome::Unready(Box::new((block, error))));
            }
            let attempt = || cpu.measure(|| decoder.attempt(&block));
            let decoded = if decoder.takes_long() { apart.run(attempt) } else { attempt() };
            Some(match decoded {
                Ok(decoded) => Outcome::Ready(Arrival::Block(Box::new((block, decoded)))),
                Err(error) => Outcome::Unready(Box::new((block, error))),
            })
        }
    }

    /// The next in order; `None` if nothing is on its way, `Some(None)` if a decoder broke its promise not to
    /// panic, or a reader stamped a block with an input that there is not. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Option<Outcome>> {
        let next = self.in_flight.next().await;
        if let Some(Some(Outcome::Ready(Arrival::Block(_)))) = next {
            self.back_off = FIRST_BACK_OFF;
        }
        next
    }
}
