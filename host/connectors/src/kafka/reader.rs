//! An open topic: a thread polls librdkafka, since polling blocks, and what it hands over is read here. The channel
//! between them makes [`KafkaReader::next`] cancel safe.

use super::pump::{Orders, Pump};
use super::queue::MessageQueue;
use async_trait::async_trait;
use std::sync::PoisonError;
use tokio::sync::mpsc;
use weir_connect::{ConnectError, Fetch, Health, Reader};
use weir_event::PartitionId;

/// Blocks that wait for the reader: enough to decode in parallel, little to hold in memory.
const CHANNEL_BLOCKS: usize = 4;

/// Blocks as the thread hands them over.
pub(super) struct KafkaReader {
    blocks: mpsc::Receiver<Result<Fetch, ConnectError>>,
    /// Partitions of a bounded read that are not at their end.
    open: Option<usize>,
    orders: Orders,
    health: Health,
}

impl KafkaReader {
    /// Starts the thread; it ends soon after the reader is dropped.
    pub(super) fn start((pump, queue): (Pump, MessageQueue)) -> Result<KafkaReader, ConnectError> {
        let (sender, blocks) = mpsc::channel(CHANNEL_BLOCKS);
        let open = pump.bounded_lanes();
        let (orders, health) = (pump.orders(), pump.health());
        std::thread::Builder::new()
            .name("weir-kafka".to_owned())
            .spawn(move || pump.run(queue, &sender))
            .map_err(|error| ConnectError::unavailable(format!("cannot start a thread: {error}")))?;
        Ok(KafkaReader { blocks, open, orders, health })
    }

    fn order(&self, partition: PartitionId, waits: bool) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push((partition, waits));
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        if self.open == Some(0) {
            std::future::pending::<()>().await;
        }
        let ended = || Err(ConnectError::internal("the thread that reads kafka has ended"));
        let fetch = self.blocks.recv().await.unwrap_or_else(ended)?;
        if let (Fetch::CaughtUp(_), Some(open)) = (&fetch, &mut self.open) {
            *open -= 1;
        }
        Ok(fetch)
    }

    fn pause(&mut self, partition: PartitionId) {
        self.order(partition, true);
    }

    fn resume(&mut self, partition: PartitionId) {
        self.order(partition, false);
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}
