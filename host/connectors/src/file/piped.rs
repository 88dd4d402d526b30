//! A reader of what a task of its own reads, which goes on only while somebody waits.
//!
//! Must not know what is read.

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse};
use tokio::sync::mpsc::Receiver;
use weir_connect::{ConnectError, Fetch, Reader};

/// Hands out what is read.
pub(super) struct PipedReader {
    /// Goes on only while `next` is waited for.
    reading: Fuse<BoxFuture<'static, ()>>,
    /// What it has read.
    blocks: Receiver<Result<Fetch, ConnectError>>,
}

impl PipedReader {
    /// Hands out what `reading` sends.
    pub(super) fn of(reading: BoxFuture<'static, ()>, blocks: Receiver<Result<Fetch, ConnectError>>) -> Self {
        PipedReader { reading: reading.fuse(), blocks }
    }

    /// Of no partition: hands out nothing, ever.
    pub(super) fn ended(blocks: Receiver<Result<Fetch, ConnectError>>) -> Self {
        PipedReader { reading: Fuse::terminated(), blocks }
    }
}

#[async_trait]
impl Reader for PipedReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        loop {
            tokio::select! {
                biased;
                // After its end it never wakes anybody: when all was handed out, there is nothing to wake up for.
                () = &mut self.reading => {}
                Some(next) = self.blocks.recv() => return next,
            }
        }
    }
}
