//! Reading file after file, and under `follow` those that are added.
//!
//! It goes on only while somebody waits for a block.

use super::place::WholePlace;
use super::{Shelf, WholeFile, lines, rows, sorted};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use weir_connect::source::RefusedRecord;
use weir_connect::{ConnectError, Fetch, FileLayout, Framing, KnownTimes, RawBlock};
use weir_event::{Clock, PartitionId, Position};

/// How far reading has come.
#[derive(Debug)]
pub(super) struct WholeReading {
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) layout: FileLayout,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether more is waited for when all is read.
    pub(super) follow: bool,
    pub(super) partition: PartitionId,
    /// The number of the row that is read next, counted over all files.
    pub(super) next: u64,
    /// Has room for one block. Its other end is held by whoever holds this reading.
    pub(super) out: Sender<Result<Fetch, ConnectError>>,
    /// Whether everything so far was handed out and nobody has been told yet.
    pub(super) has_news: bool,
}

impl WholeReading {
    /// Reads until the end or an error, of which it tells. `listing` is the files that there were at the start.
    pub(super) async fn run(mut self, place: Option<WholePlace>, listing: Vec<WholeFile>) {
        if let Err(error) = self.read(place, listing).await {
            self.send(Err(error)).await;
        }
    }

    async fn read(
        &mut self,
        mut place: Option<WholePlace>,
        mut listing: Vec<WholeFile>,
    ) -> Result<(), ConnectError> {
        self.tell_late(place.as_mut(), &listing).await;
        loop {
            if let Some(place) = &mut place
                && let Some(file) = place.unread(&listing, |name| self.shelf.path(name))?
            {
                self.read_file(place, file).await?;
            }
            let next = match &place {
                Some(place) => place.following(&listing),
                None => listing.first(),
            };
            if let Some(next) = next {
                place = Some(WholePlace::start_of(next, &listing));
                continue;
            }
            self.caught_up().await;
            if !self.follow {
                return Ok(());
            }
            self.clock.sleep(self.shelf.poll()).await;
            listing = sorted(self.shelf.list().await?);
            self.tell_late(place.as_mut(), &listing).await;
        }
    }

    async fn read_file(&mut self, place: &mut WholePlace, file: &WholeFile) -> Result<(), ConnectError> {
        if self.layout == FileLayout::Columns {
            rows::read(self, place, file).await
        } else {
            lines::read(self, place, file).await
        }
    }

    /// Hands out what comes next of a file; `rows` of it are counted.
    pub(super) async fn hand_out(
        &mut self,
        (data, framing): (Bytes, Framing),
        rows: u64,
        refused: Option<RefusedRecord>,
        place: &WholePlace,
    ) {
        self.next += rows;
        self.has_news = true;
        let place = serde_json::to_string(place).unwrap_or_default();
        let block = RawBlock {
            partition: self.partition,
            data,
            framing,
            known: KnownTimes::Unknown,
            next: Position { next: self.next, place },
            refused: refused.into_iter().collect(),
        };
        self.send(Ok(Fetch::Block(block))).await;
    }

    /// Tells of files that are not read, as a refused record where the next row is, which takes no number.
    async fn tell_late(&mut self, place: Option<&mut WholePlace>, listing: &[WholeFile]) {
        let Some(place) = place else { return };
        if let Some(reason) = place.too_late(listing) {
            tracing::warn!("{reason}");
            let refused =
                RefusedRecord { offset: self.next, reason, payload: Vec::new(), skip: false, damaged: false };
            let nothing = (Bytes::new(), Framing::Lines { first: self.next });
            self.hand_out(nothing, 0, Some(refused), place).await;
        }
    }

    async fn caught_up(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.send(Ok(Fetch::CaughtUp(self.partition))).await;
        }
    }

    /// Returns once everything that was sent has been taken.
    pub(super) async fn taken(&self) {
        drop(self.out.reserve().await);
    }

    async fn send(&self, next: Result<Fetch, ConnectError>) {
        // Without a receiver there is nobody either who lets this go on.
        let _ = self.out.send(next).await;
    }
}
