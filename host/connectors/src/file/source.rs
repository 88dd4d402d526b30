//! The source: one partition, the lines of all files in order of their names.
//!
//! A position is the number of the next line over all files, with the file and byte where it starts.

use super::input::is_gzip;
use super::names::{Listing, Names, file_at};
use super::piped::PipedReader;
use super::place::{Place, files};
use super::read::{Extent, Reading};
use crate::blocking::blocking;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use weir_connect::{ConnectError, FileLayout, Left, OpenPartition, Reader, Source};
use weir_event::{Clock, PartitionId, Position};

/// Records longer than this are refused: they would have to be held whole.
pub(super) const MAX_RECORD_BYTES: usize = 10 << 20;

/// Large enough that a block's costs do not show, small enough that several fit into a core's cache.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// What a file source is made of.
#[derive(Debug, Clone)]
pub struct FileSourceSettings {
    /// Where a relative path starts.
    pub folder: PathBuf,
    /// A path or a glob. Files whose names end in `.gz` are decompressed.
    pub path: String,
    /// Whether to wait for more lines and files when all are read.
    pub follow: bool,
    /// How files fall into records.
    pub layout: FileLayout,
    /// Longer lines are refused, bytes.
    pub max_record_bytes: usize,
}

impl FileSourceSettings {
    /// All settings but the path at their defaults.
    pub fn new(folder: impl Into<PathBuf>, path: impl Into<String>) -> Self {
        FileSourceSettings {
            folder: folder.into(),
            path: path.into(),
            follow: false,
            layout: FileLayout::Lines,
            max_record_bytes: MAX_RECORD_BYTES,
        }
    }
}

/// Reads records from files.
#[derive(Debug)]
pub struct FileSource {
    names: Names,
    settings: FileSourceSettings,
    clock: Arc<dyn Clock>,
}

impl FileSource {
    /// A source over these files, which waits for more by this clock. Does no I/O.
    pub fn new(settings: FileSourceSettings, clock: Arc<dyn Clock>) -> Self {
        FileSource { names: Names::new(settings.folder.clone(), settings.path.clone()), settings, clock }
    }

    /// The files that there are.
    async fn present_files(&self, place: Option<&Place>) -> Result<Listing, ConnectError> {
        let (names, follow) = (self.names.clone(), self.settings.follow);
        let place = place.cloned();
        blocking(move || {
            let listing = files(&names, place.as_ref())?;
            names.expect_some(&listing, follow)?;
            Ok(listing)
        })
        .await
    }
}

/// How long each plain file is: where a bounded read of it ends.
fn lengths(listing: &Listing) -> HashMap<String, u64> {
    let plain = listing.files.iter().filter(|file| !is_gzip(Path::new(&file.name)));
    plain.map(|file| (file.name.clone(), file.bytes)).collect()
}

#[async_trait]
impl Source for FileSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        self.present_files(None).await.map(|_| OpenPartition::numbered(1, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let (out, blocks) = mpsc::channel(1);
        let Some(open) = partitions.first() else {
            return Ok(Box::new(PipedReader::ended(blocks)));
        };
        let read = open.from.as_ref().filter(|position| position.next > 0);
        let place = read.map(Place::of).transpose()?;
        let listing = self.present_files(place.as_ref()).await?;
        let reading = Reading {
            names: self.names.clone(),
            clock: self.clock.clone(),
            extent: Extent {
                follow: self.settings.follow && !bounded,
                limits: if bounded { lengths(&listing) } else { HashMap::new() },
                layout: self.settings.layout,
                block_bytes: BLOCK_BYTES,
                max_record_bytes: self.settings.max_record_bytes,
            },
            partition: PartitionId { source, partition: open.partition },
            next_line: open.from.as_ref().map_or(0, |position| position.next),
            place,
            head: Bytes::new(),
            out,
            has_news: true,
        };
        Ok(Box::new(PipedReader::of(reading.run(listing).boxed(), blocks)))
    }

    async fn left(&self, positions: &[OpenPartition], _: bool) -> Result<Left, ConnectError> {
        let from = positions.first().and_then(|open| open.from.as_ref());
        let place = from.filter(|position| position.next > 0).map(Place::of).transpose()?;
        let names = self.names.clone();
        blocking(move || {
            let listing = files(&names, place.as_ref())?;
            let bytes = match place {
                Some(place) => place.left(&listing),
                None => Some(listing.files.iter().map(|file| file.bytes).sum()),
            };
            Ok(Left { bytes, ..Left::default() })
        })
        .await
    }

    async fn parts(&self) -> Result<Vec<(String, u64)>, ConnectError> {
        let names = self.names.clone();
        blocking(move || {
            let listing = files(&names, None)?;
            Ok(listing.files.into_iter().map(|file| (file.name, file.bytes)).collect())
        })
        .await
    }

    async fn stamps(&self) -> Result<Vec<(String, String)>, ConnectError> {
        let names = self.names.clone();
        blocking(move || {
            let listing = files(&names, None)?;
            Ok(listing.files.iter().map(|file| (file.name.clone(), file.stamp())).collect())
        })
        .await
    }

    fn missing(&self) -> Option<String> {
        let listing = files(&self.names, None);
        let found = listing.and_then(|listing| self.names.expect_some(&listing, false));
        let waits = if self.settings.follow { "; it is waited for, as the source has `follow`" } else { "" };
        found.err().map(|error| format!("{}{waits}", error.message))
    }

    fn place(&self, before: &Position) -> Option<String> {
        Place::of(before).ok().map(|place| self.names.path(&place.file).display().to_string())
    }

    fn reads(&self, place: &str) -> bool {
        self.names.mean(Path::new(&file_at(place)))
    }

    fn grows(&self) -> bool {
        self.settings.follow
    }
}
