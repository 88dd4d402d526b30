//! The source whose partitions are files: each is read beside the others, and holds the watermark back until it was read.
//!
//! Knows which files there are and which partition each of them is. How one is read is the matter of a source of that file
//! alone. A position says the file's name and, once something of it was read, where in it that source stands.

use super::whole::{Shelf, WholeFile, sorted};
use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt, select_all};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use weir_connect::{ConnectError, Fetch, Left, OpenPartition, Probe, Reader, Source};
use weir_event::{Clock, PartitionId, Position};

/// So many files are open at a time: each has a block or two of a megabyte in memory.
const OPEN_FILES: usize = 64;

/// Makes the source of a file alone, by its name below the fixed part of the path.
pub(super) type OneFile = Box<dyn Fn(&str) -> Arc<dyn Source> + Send + Sync>;

/// Reads files beside each other.
pub(super) struct EachFile {
    shelf: Arc<dyn Shelf>,
    one: Arc<OneFile>,
    /// Whether files that come later are waited for.
    follow: bool,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for EachFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EachFile")
            .field("shelf", &self.shelf)
            .field("follow", &self.follow)
            .finish_non_exhaustive()
    }
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePlace {
    file: String,
    /// What the source of the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

impl FilePlace {
    fn of(open: &OpenPartition) -> Result<FilePlace, ConnectError> {
        let place = open.from.as_ref().map_or("", |position| &position.place);
        serde_json::from_str(place).map_err(|_| {
            ConnectError::user(format!(
                "`{place}` is not a place in one file: the job has read the files as one partition; leave \
                 `partitions: files` out, or start it anew with --reset"
            ))
        })
    }

    fn position(&self, next: u64) -> Position {
        Position { next, place: serde_json::to_string(self).unwrap_or_default() }
    }

    /// As the source of the file says it.
    fn within(self, next: u64) -> Option<Position> {
        self.at.map(|place| Position { next, place })
    }
}

/// The beginning of a file.
fn beginning(file: &WholeFile) -> Position {
    FilePlace { file: file.name.clone(), at: None }.position(0)
}

fn next_number(taken: impl Iterator<Item = u16>) -> Result<u16, ConnectError> {
    let Some(last) = taken.max() else { return Ok(0) };
    last.checked_add(1).ok_or_else(|| {
        ConnectError::user(
            "there are more than 65536 files; read them as one partition, without `partitions: files`",
        )
    })
}

impl EachFile {
    /// A source over these files. Does no I/O.
    pub(super) fn new(shelf: Arc<dyn Shelf>, one: OneFile, follow: bool, clock: Arc<dyn Clock>) -> EachFile {
        EachFile { shelf, one: Arc::new(one), follow, clock }
    }
}

#[async_trait]
impl Source for EachFile {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        let places = known.iter().map(FilePlace::of).collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<&str> = places.iter().map(|place| place.file.as_str()).collect();
        let files = sorted(self.shelf.list().await?);
        let mut all = known.to_vec();
        for file in files.iter().filter(|file| !names.contains(file.name.as_str())) {
            let partition = next_number(all.iter().map(|open| open.partition))?;
            all.push(OpenPartition { partition, from: Some(beginning(file)) });
        }
        if all.is_empty() && !self.follow {
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
        let there = self.shelf.list().await?;
        let there: BTreeSet<&str> = there.iter().map(|file| file.name.as_str()).collect();
        let mut reader = EachReader {
            shelf: self.shelf.clone(),
            one: self.one.clone(),
            clock: self.clock.clone(),
            source,
            is_growing: self.follow && !bounded,
            looking: None,
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            opening: None,
            files: OpenFiles::default(),
            said: VecDeque::new(),
        };
        for open in partitions {
            let place = FilePlace::of(open)?;
            let id = PartitionId { source, partition: open.partition };
            reader.known.insert(place.file.clone(), open.partition);
            if there.contains(place.file.as_str()) {
                let next = open.from.as_ref().map_or(0, |position| position.next);
                reader.waiting.push_back((id, place, next));
            } else {
                // What was not read of it is told by nobody: it was taken away by whoever had written it.
                tracing::warn!("{}: `{}` is not there any more", self.shelf.asked(), place.file);
                reader.said.push_back(Fetch::CaughtUp(id));
            }
        }
        Ok(Box::new(reader))
    }

    async fn left(&self, positions: &[OpenPartition], bounded: bool) -> Result<Left, ConnectError> {
        let there = self.shelf.list().await?;
        let mut bytes = 0;
        for open in positions {
            let place = FilePlace::of(open)?;
            let Some(file) = there.iter().find(|file| file.name == place.file) else { continue };
            let next = open.from.as_ref().map_or(0, |position| position.next);
            let one = (self.one)(&file.name);
            bytes += match place.within(next) {
                None => file.bytes,
                from => {
                    let open = OpenPartition { partition: open.partition, from };
                    one.left(&[open], bounded).await?.bytes.unwrap_or_default()
                }
            };
        }
        Ok(Left { bytes: Some(bytes), ..Left::default() })
    }

    async fn probe(&self) -> Result<Probe, ConnectError> {
        let count = self.partitions(&[]).await?.len();
        Ok(Probe::Ready(if count == 1 { "1 file".to_owned() } else { format!("{count} files") }))
    }

    fn missing(&self) -> Option<String> {
        if self.follow { None } else { self.shelf.missing() }
    }

    fn place(&self, before: &Position) -> Option<String> {
        let place: FilePlace = serde_json::from_str(&before.place).ok()?;
        Some(self.shelf.path(&place.file))
    }

    fn reads(&self, place: &str) -> bool {
        // What stands for the number of a sink's file.
        let file = place.rsplit_once('*').map(|(start, end)| format!("{start}000000000000{end}"));
        file.is_some_and(|file| self.shelf.means(Path::new(&file)))
    }

    fn grows(&self) -> bool {
        self.follow
    }
}

/// Files that are being read. What takes a while is kept here, since whoever waits for it may give up and come again.
struct EachReader {
    shelf: Arc<dyn Shelf>,
    one: Arc<OneFile>,
    clock: Arc<dyn Clock>,
    source: u16,
    is_growing: bool,
    /// The next look for files that came later, which takes place after a while.
    looking: Option<BoxFuture<'static, Result<Vec<WholeFile>, ConnectError>>>,
    /// Which partition each file is.
    known: BTreeMap<String, u16>,
    /// To be read when there is room.
    waiting: VecDeque<(PartitionId, FilePlace, u64)>,
    opening: Option<OpeningFile>,
    files: OpenFiles,
    /// To be handed out first.
    said: VecDeque<Fetch>,
}

#[derive(Default)]
struct OpenFiles {
    /// That which was read last comes last.
    open: Vec<OpenedFile>,
    paused: BTreeSet<PartitionId>,
}

struct OpeningFile {
    id: PartitionId,
    file: String,
    reader: BoxFuture<'static, Result<Box<dyn Reader>, ConnectError>>,
}

struct OpenedFile {
    id: PartitionId,
    file: String,
    reader: Box<dyn Reader>,
}

impl OpenFiles {
    /// The next thing of whichever file has one. Cancel safe.
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        let paused = &self.paused;
        let going = self.open.iter_mut().enumerate().filter(|(_, it)| !paused.contains(&it.id));
        let (places, going): (Vec<_>, Vec<_>) = going.map(|(at, it)| (at, it.reader.next())).unzip();
        if going.is_empty() {
            return std::future::pending().await;
        }
        let (fetched, at, _) = select_all(going).await;
        let it = self.open.remove(places[at]);
        Ok(match fetched? {
            // The file was read to its end, and what is added to it is not waited for.
            end @ Fetch::CaughtUp(_) => end,
            Fetch::Block(mut block) => {
                let place = FilePlace { file: it.file.clone(), at: Some(block.next.place) };
                block.next = place.position(block.next.next);
                self.open.push(it);
                Fetch::Block(block)
            }
            other => {
                self.open.push(it);
                other
            }
        })
    }
}

impl EachReader {
    /// Opens files while there is room. Cancel safe.
    async fn open_waiting(&mut self) -> Result<(), ConnectError> {
        loop {
            if let Some(opening) = &mut self.opening {
                let reader = (&mut opening.reader).await;
                if let Some(OpeningFile { id, file, .. }) = self.opening.take() {
                    self.files.open.push(OpenedFile { id, file, reader: reader? });
                }
            }
            if self.files.open.len() >= OPEN_FILES {
                return Ok(());
            }
            let Some((id, place, next)) = self.waiting.pop_front() else { return Ok(()) };
            let file = place.file.clone();
            let from = OpenPartition { partition: id.partition, from: place.within(next) };
            let (one, source) = ((self.one)(&file), self.source);
            let reader = async move { one.open(source, &[from], true).await }.boxed();
            self.opening = Some(OpeningFile { id, file, reader });
        }
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
            if self.known.contains_key(&file.name) {
                continue;
            }
            let partition = next_number(self.known.values().copied())?;
            let id = PartitionId { source: self.source, partition };
            self.known.insert(file.name.clone(), partition);
            self.said.push_back(Fetch::Appeared(id, beginning(&file)));
            self.waiting.push_back((id, FilePlace { file: file.name, at: None }, 0));
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
            self.open_waiting().await?;
            if self.is_growing {
                self.start_looking();
            }
            let found = tokio::select! {
                biased;
                Some(found) = async { Some(self.looking.as_mut()?.await) } => found,
                fetched = self.files.next() => return fetched,
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
