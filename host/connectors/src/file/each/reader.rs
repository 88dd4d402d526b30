//! Reading files beside each other, some at a time, and under `follow` those that are added.
//!
//! Knows when a file is opened, put off and over. Must not know what stands in one. What takes a while is kept in the reader,
//! since whoever waits for it may give up and come again.

use super::place::{FilePlace, Numbers};
use super::{Changes, EachFile, OneFile};
use crate::file::whole::{Shelf, WholeFile, sorted};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, select_all};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use weir_connect::{ConnectError, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader};
use weir_event::{Clock, PartitionId};

/// So many files are open at a time: each has a block or two of a megabyte in memory.
const OPEN_FILES: usize = 64;

/// A reader of files.
pub(super) struct EachReader {
    shelf: Arc<dyn Shelf>,
    one: Arc<OneFile>,
    changes: Changes,
    clock: Arc<dyn Clock>,
    source: u16,
    is_growing: bool,
    known: BTreeSet<String>,
    numbers: Numbers,
    /// To be read when there is room.
    waiting: VecDeque<FileInTurn>,
    opening: Option<(FileInTurn, ReaderToBe)>,
    files: FilesBeingRead,
    /// One that could not be read, and the answer to whether it is still there.
    failed: Option<(FileInTurn, ConnectError, ShelfAnswer)>,
    /// Those that went before anything of them was read.
    gone: BTreeMap<String, PartitionId>,
    /// The next look for files that came later, which takes place after a while.
    looking: Option<ShelfAnswer>,
    /// To be handed out first.
    said: VecDeque<Fetch>,
}

type ShelfAnswer = BoxFuture<'static, Result<Vec<WholeFile>, ConnectError>>;
type ReaderToBe = BoxFuture<'static, Result<Box<dyn Reader>, ConnectError>>;

/// A file that is not read to its end, and where reading it goes on.
#[derive(Debug)]
struct FileInTurn {
    id: PartitionId,
    file: WholeFile,
    place: FilePlace,
    next: u64,
}

#[derive(Default)]
struct FilesBeingRead {
    /// That which was read last comes last.
    open: Vec<FileBeingRead>,
    paused: BTreeSet<PartitionId>,
}

struct FileBeingRead {
    of: FileInTurn,
    reader: Box<dyn Reader>,
}

/// What comes of an open file.
enum FileStep {
    Read(Fetch),
    /// It was read to its end.
    Over(FileInTurn),
    Failed(FileInTurn, ConnectError),
}

impl FilesBeingRead {
    fn may_be_read(&self, of: &FileInTurn) -> bool {
        !self.paused.contains(&of.id)
    }

    /// Closes a file that is not to be read now, and says which.
    fn put_off(&mut self) -> Option<FileInTurn> {
        let at = self.open.iter().position(|it| !self.may_be_read(&it.of))?;
        Some(self.open.remove(at).of)
    }

    /// The next thing of whichever file has one. Cancel safe.
    async fn next(&mut self) -> FileStep {
        let paused = &self.paused;
        let going = self.open.iter_mut().enumerate().filter(|(_, it)| !paused.contains(&it.of.id));
        let (places, going): (Vec<_>, Vec<_>) = going.map(|(at, it)| (at, it.reader.next())).unzip();
        if going.is_empty() {
            return std::future::pending().await;
        }
        let (fetched, at, _) = select_all(going).await;
        let mut it = self.open.remove(places[at]);
        let fetch = match fetched {
            Err(error) => return FileStep::Failed(it.of, error),
            Ok(Fetch::CaughtUp(_)) => return FileStep::Over(it.of),
            Ok(Fetch::Block(mut block)) => {
                it.of.next = block.next.next;
                it.of.place = FilePlace { at: Some(block.next.place), is_done: false, ..it.of.place };
                block.next = it.of.place.position(it.of.next);
                Fetch::Block(block)
            }
            Ok(other) => other,
        };
        self.open.push(it);
        FileStep::Read(fetch)
    }
}

impl EachReader {
    /// A reader of no file yet.
    pub(super) fn new(of: &EachFile, source: u16, bounded: bool) -> EachReader {
        EachReader {
            shelf: of.shelf.clone(),
            one: of.one.clone(),
            changes: of.changes,
            clock: of.clock.clone(),
            source,
            is_growing: of.follows() && !bounded,
            known: BTreeSet::new(),
            numbers: Numbers::default(),
            waiting: VecDeque::new(),
            opening: None,
            files: FilesBeingRead::default(),
            failed: None,
            gone: BTreeMap::new(),
            looking: None,
            said: VecDeque::new(),
        }
    }

    /// Adds a partition; `file` is what it reads, where that is there. An error where it was taken away half read.
    pub(super) fn add(
        &mut self,
        partition: u16,
        place: FilePlace,
        next: u64,
        file: Option<WholeFile>,
    ) -> Result<(), ConnectError> {
        let id = PartitionId { source: self.source, partition };
        self.known.insert(place.file.clone());
        self.numbers.take(partition);
        match file {
            _ if place.is_done && self.changes != Changes::BetweenRuns => {
                self.said.push_back(Fetch::Ended(id));
            }
            Some(file) => self.waiting.push_back(FileInTurn { id, file, place, next }),
            None if place.is_done => self.said.push_back(Fetch::CaughtUp(id)),
            None if place.at.is_none() => self.went_unread(id, &place.file),
            None => {
                return Err(ConnectError::external(format!(
                    "`{}` was read in part and is gone; restore it, or start with `--reset` for the jobs that read it",
                    self.shelf.path(&place.file)
                )));
            }
        }
        Ok(())
    }

    /// Whoever had written a file took it away before it was its turn: as if it had never been there.
    fn went_unread(&mut self, id: PartitionId, name: &str) {
        tracing::warn!("`{}` went before anything of it was read", self.shelf.path(name));
        self.gone.insert(name.to_owned(), id);
        self.said.push_back(Fetch::CaughtUp(id));
    }

    /// Opens files while there is room. Cancel safe.
    async fn open_waiting(&mut self) {
        loop {
            if let Some((_, opening)) = &mut self.opening {
                let reader = opening.await;
                if let Some((of, _)) = self.opening.take() {
                    match reader {
                        Ok(reader) => self.files.open.push(FileBeingRead { of, reader }),
                        Err(error) => return self.look_after(of, error),
                    }
                }
            }
            let Some(turn) = self.waiting.iter().position(|of| self.files.may_be_read(of)) else { return };
            if self.files.open.len() >= OPEN_FILES {
                // One that waits for its turn holds back those that are paused.
                let Some(put_off) = self.files.put_off() else { return };
                self.waiting.push_back(put_off);
            }
            let Some(of) = self.waiting.remove(turn) else { return };
            let from = OpenPartition { partition: of.id.partition, from: of.place.within(of.next) };
            let (one, source) = ((self.one)(&of.file), self.source);
            self.opening = Some((of, async move { one.open(source, &[from], true).await }.boxed()));
        }
    }

    /// A file was read to its end, which its position says from now on.
    fn finish(&mut self, mut of: FileInTurn) {
        of.place.is_done = true;
        self.said.push_back(Fetch::Block(RawBlock {
            partition: of.id,
            data: Bytes::new(),
            framing: Framing::Lines { first: of.next },
            known: KnownTimes::Unknown,
            next: of.place.position(of.next),
            refused: Vec::new(),
        }));
        let end = if self.changes == Changes::BetweenRuns { Fetch::CaughtUp } else { Fetch::Ended };
        self.said.push_back(end(of.id));
    }

    /// Has it looked whether a file that could not be read is still there.
    fn look_after(&mut self, of: FileInTurn, error: ConnectError) {
        let shelf = self.shelf.clone();
        self.failed = Some((of, error, async move { shelf.list().await }.boxed()));
    }

    /// Fails for a file that could not be read, unless it went before anything of it was. Cancel safe.
    async fn judge_failed(&mut self) -> Result<(), ConnectError> {
        let Some((_, _, listing)) = &mut self.failed else { return Ok(()) };
        let listing = listing.await;
        let Some((of, error, _)) = self.failed.take() else { return Ok(()) };
        let is_there = listing.map_or(true, |there| there.iter().any(|file| file.name == of.place.file));
        if is_there || of.place.at.is_some() {
            return Err(error);
        }
        self.went_unread(of.id, &of.place.file);
        Ok(())
    }

    /// Lets a look for files take place.
    fn start_looking(&mut self) {
        let (shelf, clock) = (self.shelf.clone(), self.clock.clone());
        self.looking.get_or_insert_with(|| {
            let look = async move {
                clock.sleep(shelf.poll()).await;
                shelf.list().await
            };
            look.boxed()
        });
    }

    /// Takes in the files that were not there before.
    fn take_in(&mut self, files: Vec<WholeFile>) -> Result<(), ConnectError> {
        for file in sorted(files) {
            let place = FilePlace::beginning(&file.name);
            let id = if let Some(id) = self.gone.remove(&file.name) {
                id
            } else if self.known.insert(file.name.clone()) {
                let id = PartitionId { source: self.source, partition: self.numbers.next()? };
                self.said.push_back(Fetch::Appeared(id, place.position(0)));
                id
            } else {
                continue;
            };
            self.waiting.push_back(FileInTurn { id, file, place, next: 0 });
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for EachReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Ok(said);
            }
            self.judge_failed().await?;
            self.open_waiting().await;
            if self.failed.is_some() || !self.said.is_empty() {
                continue;
            }
            if self.is_growing {
                self.start_looking();
            }
            let found = tokio::select! {
                biased;
                Some(found) = async { Some(self.looking.as_mut()?.await) } => found,
                outcome = self.files.next() => {
                    match outcome {
                        FileStep::Read(fetch) => return Ok(fetch),
                        FileStep::Over(of) => self.finish(of),
                        FileStep::Failed(of, error) => self.look_after(of, error),
                    }
                    continue;
                }
            };
            self.looking = None;
            self.take_in(found?)?;
        }
    }

    fn pause(&mut self, partition: PartitionId) {
        self.files.paused.insert(partition);
    }

    fn resume(&mut self, partition: PartitionId) {
        self.files.paused.remove(&partition);
    }
}
