//! The source whose partitions are files: each is read beside the others, and holds the watermark back until it was read.
//!
//! Knows which files there are and which partition each of them is. How one is read is the matter of a source of that file
//! alone. A position says the file's name and, once something of it was read, where in it that source stands.

mod place;
mod reader;

use self::place::{FilePlace, Numbers};
use self::reader::EachReader;
use super::names::file_at;
use super::whole::{Shelf, WholeFile, sorted};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use weir_connect::{ConnectError, Left, OpenPartition, Probe, Reader, Source};
use weir_event::{Clock, Position};

/// Makes the source of a file alone.
pub(super) type OneFile = Box<dyn Fn(&WholeFile) -> Arc<dyn Source> + Send + Sync>;

/// Reads files beside each other.
pub(super) struct EachFile {
    shelf: Arc<dyn Shelf>,
    one: Arc<OneFile>,
    changes: Changes,
    clock: Arc<dyn Clock>,
}

/// What can come after all was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    /// Nothing.
    Never,
    /// More rows of files that are known, and other files, which the next run finds.
    BetweenRuns,
    /// Other files, which are waited for.
    Follow,
}

impl fmt::Debug for EachFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachFile")
            .field("shelf", &self.shelf)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl EachFile {
    /// A source over these files. Does no I/O.
    pub(super) fn new(
        shelf: Arc<dyn Shelf>,
        one: OneFile,
        changes: Changes,
        clock: Arc<dyn Clock>,
    ) -> EachFile {
        EachFile { shelf, one: Arc::new(one), changes, clock }
    }

    fn follows(&self) -> bool {
        self.changes == Changes::Follow
    }

    async fn listed(&self) -> Result<BTreeMap<String, WholeFile>, ConnectError> {
        Ok(self.shelf.list().await?.into_iter().map(|file| (file.name.clone(), file)).collect())
    }
}

#[async_trait]
impl Source for EachFile {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        let places = known.iter().map(FilePlace::of).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&str> = places.iter().map(|place| place.file.as_str()).collect();
        let files = sorted(self.shelf.list().await?);
        let mut all = known.to_vec();
        let mut numbers = Numbers::behind(all.iter().map(|open| open.partition));
        for file in files.iter().filter(|file| !names.contains(file.name.as_str())) {
            let from = Some(FilePlace::beginning(&file.name).position(0));
            all.push(OpenPartition { partition: numbers.next()?, from });
        }
        if all.is_empty() && !self.follows() {
            let asked = self.shelf.asked();
            return Err(ConnectError::user(format!("no file matches `{asked}`; check the source's `path`")));
        }
        Ok(all)
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let mut there = self.listed().await?;
        let mut reader = EachReader::new(self, source, bounded);
        for open in partitions {
            let place = FilePlace::of(open)?;
            let next = open.from.as_ref().map_or(0, |position| position.next);
            let file = there.remove(&place.file);
            reader.add(open.partition, place, next, file)?;
        }
        Ok(Box::new(reader))
    }

    async fn left(&self, positions: &[OpenPartition], bounded: bool) -> Result<Left, ConnectError> {
        let there = self.listed().await?;
        let mut bytes = Some(0);
        for open in positions {
            let place = FilePlace::of(open)?;
            let Some(file) = there.get(&place.file) else { continue };
            if place.is_done && self.changes != Changes::BetweenRuns {
                continue;
            }
            let next = open.from.as_ref().map_or(0, |position| position.next);
            let left = match place.within(next) {
                None => Some(file.bytes),
                from => {
                    let open = OpenPartition { partition: open.partition, from };
                    let left = (self.one)(file).left(&[open], bounded).await?.bytes;
                    // What was read of one that is compressed cannot be told from its length.
                    left.or(place.is_done.then_some(0))
                }
            };
            bytes = bytes.zip(left).map(|(bytes, left)| bytes + left);
        }
        Ok(Left { bytes, ..Left::default() })
    }

    async fn probe(&self) -> Result<Probe, ConnectError> {
        let count = self.partitions(&[]).await?.len();
        Ok(Probe::Ready(if count == 1 { "1 file".to_owned() } else { format!("{count} files") }))
    }

    async fn parts(&self) -> Result<Vec<(String, u64)>, ConnectError> {
        Ok(self.shelf.list().await?.into_iter().map(|file| (file.name, file.bytes)).collect())
    }

    async fn stamps(&self) -> Result<Vec<(String, String)>, ConnectError> {
        Ok(sorted(self.shelf.list().await?).into_iter().map(|file| (file.name, file.identity)).collect())
    }

    fn missing(&self) -> Option<String> {
        if self.follows() { None } else { self.shelf.missing() }
    }

    fn place(&self, before: &Position) -> Option<String> {
        let place: FilePlace = serde_json::from_str(&before.place).ok()?;
        Some(self.shelf.path(&place.file))
    }

    fn reads(&self, place: &str) -> bool {
        self.shelf.means(Path::new(&file_at(place)))
    }

    fn grows(&self) -> bool {
        self.follows()
    }
}

#[cfg(test)]
mod tests;
