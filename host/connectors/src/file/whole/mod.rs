//! The source over files that do not change once they are there: Parquet wherever it lies, and everything in object
//! stores.
//!
//! One partition: the rows of all files in order of their names. A position is the number of the next row over all files,
//! with the file and the place in it. What cannot be read in that order any more, because its name sorts before what was
//! read, is told of. Must not know what a row means.

mod bucket;
mod disk;
mod lines;
mod one;
mod place;
mod read;
mod rows;
#[cfg(test)]
mod tests;

pub(super) use self::bucket::Bucket;
pub(super) use self::disk::Disk;
pub(super) use self::one::OneOfShelf;

use self::place::{WholePlace, compare};
use self::read::WholeReading;
use super::names::file_at;
use super::piped::PipedReader;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use weir_connect::{ConnectError, FileLayout, Left, OpenPartition, Reader, Source};
use weir_event::{Clock, PartitionId, Position};

/// A file that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WholeFile {
    /// Its name below the fixed part of the path.
    pub(super) name: String,
    /// Tells what stands in it from what stood there before: the store's own mark of it, what the disk says of it, or how long
    /// it is.
    pub(super) identity: String,
    pub(super) bytes: u64,
}

impl WholeFile {
    /// Whether it may be the one of this identity: positions of earlier versions say of a file on a disk how long it is, and
    /// no more.
    fn may_be(&self, identity: &str) -> bool {
        let behind = self.identity.strip_prefix(identity);
        behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(' '))
    }
}

/// Where such files lie.
#[async_trait]
pub(super) trait Shelf: std::fmt::Debug + Send + Sync {
    /// Those that there are, in any order.
    async fn list(&self) -> Result<Vec<WholeFile>, ConnectError>;

    /// A part of a file; an error if another one has its name by now.
    async fn read(&self, file: &WholeFile, range: Range<u64>) -> Result<Bytes, ConnectError>;

    /// Where a file is, for a person; its folders can be partitions.
    fn path(&self, name: &str) -> String;

    /// What it was asked for, for a person.
    fn asked(&self) -> String;

    /// How often it is looked for more.
    fn poll(&self) -> Duration;

    /// Why there is nothing, if this machine alone can tell at once.
    fn missing(&self) -> Option<String>;

    /// Whether a sink's file at this path would be one of them.
    fn means(&self, file: &Path) -> bool;
}

/// Reads files that do not change.
#[derive(Debug)]
pub(super) struct WholeSource {
    shelf: Arc<dyn Shelf>,
    layout: FileLayout,
    follow: bool,
    clock: Arc<dyn Clock>,
}

impl WholeSource {
    /// A source over these files, which fall into records so. Does no I/O.
    pub(super) fn new(
        shelf: Arc<dyn Shelf>,
        layout: FileLayout,
        follow: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        WholeSource { shelf, layout, follow, clock }
    }

    /// The files that there are, in order.
    async fn present(&self) -> Result<Vec<WholeFile>, ConnectError> {
        let files = sorted(self.shelf.list().await?);
        if files.is_empty() && !self.follow {
            let asked = self.shelf.asked();
            return Err(ConnectError::user(format!("no file matches `{asked}`; check the source's `path`")));
        }
        Ok(files)
    }
}

pub(super) fn sorted(mut files: Vec<WholeFile>) -> Vec<WholeFile> {
    files.sort_unstable_by(|one, other| compare(&one.name, &other.name));
    files
}

#[async_trait]
impl Source for WholeSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        self.present().await.map(|_| OpenPartition::numbered(1, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let (out, blocks) = mpsc::channel(1);
        let Some(open) = partitions.first() else { return Ok(Box::new(PipedReader::ended(blocks))) };
        let read = open.from.as_ref().filter(|position| !position.place.is_empty());
        let place = read.map(WholePlace::of).transpose()?;
        let listing = self.present().await?;
        let reading = WholeReading {
            shelf: self.shelf.clone(),
            layout: self.layout,
            clock: self.clock.clone(),
            follow: self.follow && !bounded,
            partition: PartitionId { source, partition: open.partition },
            next: open.from.as_ref().map_or(0, |position| position.next),
            out,
            has_news: true,
        };
        Ok(Box::new(PipedReader::of(reading.run(place, listing).boxed(), blocks)))
    }

    async fn left(&self, positions: &[OpenPartition], _: bool) -> Result<Left, ConnectError> {
        let from = positions.first().and_then(|open| open.from.as_ref());
        let place = from.filter(|position| !position.place.is_empty()).map(WholePlace::of).transpose()?;
        let files = self.shelf.list().await?;
        let is_left = |file: &&WholeFile| match &place {
            None => true,
            Some(place) => match compare(&file.name, &place.file) {
                Ordering::Less => false,
                Ordering::Equal => !place.is_done,
                Ordering::Greater => true,
            },
        };
        Ok(Left { bytes: Some(files.iter().filter(is_left).map(|file| file.bytes).sum()), ..Left::default() })
    }

    async fn parts(&self) -> Result<Vec<(String, u64)>, ConnectError> {
        Ok(self.shelf.list().await?.into_iter().map(|file| (file.name, file.bytes)).collect())
    }

    async fn stamps(&self) -> Result<Vec<(String, String)>, ConnectError> {
        Ok(sorted(self.shelf.list().await?).into_iter().map(|file| (file.name, file.identity)).collect())
    }

    fn missing(&self) -> Option<String> {
        if self.follow { None } else { self.shelf.missing() }
    }

    fn place(&self, before: &Position) -> Option<String> {
        WholePlace::of(before).ok().map(|place| self.shelf.path(&place.file))
    }

    fn reads(&self, place: &str) -> bool {
        self.shelf.means(Path::new(&file_at(place)))
    }

    fn grows(&self) -> bool {
        self.follow
    }
}
