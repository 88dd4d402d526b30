//! Reading file after file, block after block, and under `follow` what is added to them.
//!
//! It goes on only while somebody waits for a block. What the system has in its memory is read there and then, so
//! that it is still in the core's cache when it is decoded; what a disk or a decompressor must bring is read on a
//! thread for waiting, one read ahead.
//!
//! Under `follow` the last file is read as it grows, and a line counts once its end is there. When a file
//! appears whose name sorts behind, the present one is read to its end once more and then never looked at
//! again. A file whose name sorts before is never read, with a warning in the log: lines have numbers, and
//! numbers that were given cannot move.

use super::cut::{Cutter, Piece};
use super::input::{Before, Change, Input, LineEnd, failed};
use super::names::Names;
use super::open::OpenFile;
use crate::blocking::blocking;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use weir_connect::source::RefusedRecord;
use weir_connect::{ConnectError, Fetch, Framing, KnownTimes, RawBlock};
use weir_event::{PartitionId, Position};

/// How often files are looked at for more. A person does not notice it, and a disk neither.
const POLL: Duration = Duration::from_millis(200);

/// Where in the files a position is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// The file's name below the fixed part of the path.
    file: String,
    /// The byte of its uncompressed content that is read next.
    byte: u64,
    /// How many files sorted before it.
    before: usize,
}

impl Place {
    /// Reads the place of a position.
    pub(super) fn of(position: &Position) -> Result<Place, ConnectError> {
        serde_json::from_str(&position.place).map_err(|error| {
            ConnectError::internal(format!("`{}` is no place in a file: {error}", position.place))
        })
    }

    /// How many of a file's stored bytes are behind this place; `None` where the place is within a compressed file,
    /// whose bytes are not those that are counted.
    pub(super) fn left_of(&self, file: &str, stored: u64, is_compressed: bool) -> Option<u64> {
        match file.cmp(self.file.as_str()) {
            Ordering::Less => Some(0),
            Ordering::Greater => Some(stored),
            Ordering::Equal => (!is_compressed).then(|| stored.saturating_sub(self.byte)),
        }
    }

    /// The name of the file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Files that came too late are told of once.
    fn warn_of_unread(&mut self, files: &[String]) {
        let before = files.partition_point(|file| *file < self.file);
        if before > self.before {
            tracing::warn!(
                file = self.file,
                unread = before - self.before,
                "files were added whose names sort before one that is being read; they are not read"
            );
        }
        self.before = before;
    }

    /// The last line was read as a whole though it lacked its end: `found` is what stands there by now. Says
    /// whether the end is still missing.
    fn leave_line(&mut self, found: LineEnd, file: &OpenFile, path: &Path) -> Result<bool, ConnectError> {
        self.byte = file.position();
        match found {
            LineEnd::Nothing => Ok(true),
            LineEnd::Skipped => Ok(false),
            LineEnd::Other => Err(ConnectError::external(format!(
                "the last line of `{}` had no line end, was read as a whole, and goes on now; let every line end \
                 in a newline before it is read, and reset the jobs that read it",
                path.display()
            ))),
        }
    }
}

/// How much is read, and how it is cut.
#[derive(Debug)]
pub(super) struct Extent {
    /// Whether more is waited for when all is read.
    pub(super) follow: bool,
    /// Reading of these plain files ends at these bytes.
    pub(super) limits: HashMap<String, u64>,
    pub(super) block_bytes: usize,
    pub(super) max_record_bytes: usize,
}

/// How far reading has come.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) names: Names,
    pub(super) extent: Extent,
    pub(super) partition: PartitionId,
    /// The number of the line that is read next, counted over all files.
    pub(super) next_line: u64,
    pub(super) place: Option<Place>,
    /// Has room for one block. Its other end is held by whoever holds this reading.
    pub(super) out: Sender<Result<Fetch, ConnectError>>,
    /// Whether everything so far was handed out and nobody has been told yet.
    pub(super) has_news: bool,
}

impl Reading {
    /// Reads until the end or an error, of which it tells. `files` are those that there were at the start.
    pub(super) async fn run(mut self, files: Vec<String>) {
        if let Err(error) = self.read(files).await {
            self.send(Err(error)).await;
        }
    }

    async fn read(&mut self, mut files: Vec<String>) -> Result<(), ConnectError> {
        if let Some(place) = &self.place
            && files.binary_search(&place.file).is_err()
        {
            let gone = io::Error::from(io::ErrorKind::NotFound);
            return Err(failed(&self.names.path(&place.file), &gone));
        }
        loop {
            if let Some(mut place) = self.place.take().or_else(|| first(&files)) {
                place.warn_of_unread(&files);
                self.place = Some(place);
                files = self.read_present_file(files).await?;
                if let Some(next) = self.following(&files) {
                    self.place = Some(next);
                    continue;
                }
            }
            if !self.extent.follow {
                self.caught_up().await;
                return Ok(());
            }
            files = self.wait().await?;
        }
    }

    /// The file that comes after the present one.
    fn following(&self, files: &[String]) -> Option<Place> {
        let present = self.place.as_ref()?;
        let before = files.partition_point(|file| *file <= present.file);
        files.get(before).map(|file| Place { file: file.clone(), byte: 0, before })
    }

    /// Reads the present file to its end: under `follow`, until there is another behind it. Returns the files that
    /// there are then.
    async fn read_present_file(&mut self, mut files: Vec<String>) -> Result<Vec<String>, ConnectError> {
        let mut place = self.place.clone().unwrap_or_default();
        let path = self.names.path(&place.file);
        let (mut file, before) = self.open(&path, &place).await?;
        let mut within_line = before == Before::WithinLine;
        loop {
            let is_last = self.following(&files).is_none();
            if within_line {
                let found;
                (file, found) = file.skip_line_end().await?;
                within_line = place.leave_line(found, &file, &path)?;
            }
            if !within_line {
                file = self.read_to_end(file, &path, &mut place).await?;
            }
            if !(self.extent.follow && is_last) {
                if let Some(piece) = file.take_rest() {
                    self.hand_out(piece, &mut place).await;
                }
                self.place = Some(place);
                return Ok(files);
            }
            files = self.wait().await?;
            place.warn_of_unread(&files);
            let change;
            (file, change) = file.change().await?;
            match change {
                Change::Appended => {}
                Change::Rewritten => file = self.open(&path, &place).await?.0,
                Change::Shortened => {
                    let message = format!("`{}` has become shorter while it was followed", path.display());
                    return Err(ConnectError::external(message));
                }
            }
        }
    }

    async fn open(&self, path: &Path, place: &Place) -> Result<(OpenFile, Before), ConnectError> {
        let (path, byte) = (path.to_path_buf(), place.byte);
        let limit = self.extent.limits.get(&place.file).copied();
        let (input, before) = blocking(move || Input::open(&path, byte, limit)).await?;
        let cutter = Cutter::new(self.extent.block_bytes, self.extent.max_record_bytes);
        Ok((OpenFile::new(input, cutter), before))
    }

    async fn read_to_end(
        &mut self,
        mut file: OpenFile,
        path: &Path,
        place: &mut Place,
    ) -> Result<OpenFile, ConnectError> {
        loop {
            if !file.has_waited() {
                self.taken().await;
            }
            let read;
            (file, read) = file.read().await?;
            let at_end = match read {
                Ok(read) => read == 0,
                // Somebody is still writing it.
                Err(error) if self.extent.follow && error.kind() == io::ErrorKind::UnexpectedEof => true,
                Err(error) => return Err(failed(path, &error)),
            };
            while let Some(piece) = file.take(at_end) {
                self.hand_out(piece, place).await;
            }
            if at_end {
                return Ok(file);
            }
        }
    }

    async fn hand_out(&mut self, piece: Piece, place: &mut Place) {
        let first = self.next_line;
        self.next_line += piece.lines();
        place.byte += piece.length();
        let (data, refused) = match piece {
            Piece::Lines { data, .. } => (data, Vec::new()),
            Piece::TooLong { start, length } => {
                let reason = format!(
                    "the line is {length} bytes long, more than the {} that are read",
                    self.extent.max_record_bytes
                );
                (Bytes::new(), vec![RefusedRecord { offset: first, reason, payload: start, skip: false }])
            }
        };
        let place = serde_json::to_string(place).unwrap_or_default();
        self.has_news = true;
        let block = RawBlock {
            partition: self.partition,
            data,
            framing: Framing::Lines { first },
            known: KnownTimes::Unknown,
            next: Position { next: self.next_line, place },
            refused,
        };
        self.send(Ok(Fetch::Block(block))).await;
    }

    async fn caught_up(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.send(Ok(Fetch::CaughtUp(self.partition))).await;
        }
    }

    /// Says that all is read, lets a moment pass, and gives the files that there are then.
    async fn wait(&mut self) -> Result<Vec<String>, ConnectError> {
        self.caught_up().await;
        tokio::time::sleep(POLL).await;
        let names = self.names.clone();
        blocking(move || names.list(true)).await
    }

    /// Returns once everything that was sent has been taken.
    async fn taken(&self) {
        drop(self.out.reserve().await);
    }

    async fn send(&self, next: Result<Fetch, ConnectError>) {
        // Without a receiver there is nobody either who lets this go on.
        let _ = self.out.send(next).await;
    }
}

fn first(files: &[String]) -> Option<Place> {
    files.first().map(|file| Place { file: file.clone(), ..Place::default() })
}
