//! The thread that reads files ahead of who asks: file after file, block after block, and under `follow` what is
//! added to them.
//!
//! Under `follow` the last file is read as it grows, and a line counts once its end is there. When a file
//! appears whose name sorts behind, the present one is read to its end once more and then never looked at
//! again. A file whose name sorts before is never read, with a warning in the log: lines have numbers, and
//! numbers that were given cannot move.

use super::cut::{Cutter, Piece};
use super::input::{Before, Input, LineEnd, failed};
use super::names::Names;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
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

    /// The last line was read as a whole though it lacked its end: steps over the end if it has come by now. Says
    /// whether it is still missing.
    fn leave_line(&mut self, input: &mut Input, path: &Path) -> Result<bool, ConnectError> {
        let found = input.skip_line_end()?;
        self.byte = input.position();
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

/// Why reading ended without an error: nobody wants more.
struct Unwanted;

enum Stop {
    Unwanted,
    Failed(ConnectError),
}

impl From<Unwanted> for Stop {
    fn from(_: Unwanted) -> Self {
        Stop::Unwanted
    }
}

impl From<ConnectError> for Stop {
    fn from(error: ConnectError) -> Self {
        Stop::Failed(error)
    }
}

/// The reading thread's state.
#[derive(Debug)]
pub(super) struct FileThread {
    pub(super) names: Names,
    pub(super) extent: Extent,
    pub(super) partition: PartitionId,
    /// The number of the line that is read next, counted over all files.
    pub(super) next_line: u64,
    pub(super) place: Option<Place>,
    pub(super) out: Sender<Result<Fetch, ConnectError>>,
    /// Whether everything so far was handed out and nobody has been told yet.
    pub(super) has_news: bool,
}

impl FileThread {
    /// Reads until the end, an error or until nobody listens. `files` are those that there were at the start.
    pub(super) fn run(mut self, files: Vec<String>) {
        if let Err(Stop::Failed(error)) = self.read(files) {
            // Nobody is left to tell if this fails.
            let _ = self.out.blocking_send(Err(error));
        }
    }

    fn read(&mut self, mut files: Vec<String>) -> Result<(), Stop> {
        if let Some(place) = &self.place
            && files.binary_search(&place.file).is_err()
        {
            let gone = io::Error::from(io::ErrorKind::NotFound);
            return Err(Stop::Failed(failed(&self.names.path(&place.file), &gone)));
        }
        loop {
            if let Some(mut place) = self.place.take().or_else(|| first(&files)) {
                place.warn_of_unread(&files);
                self.place = Some(place);
                files = self.read_present_file(files)?;
                if let Some(next) = self.following(&files) {
                    self.place = Some(next);
                    continue;
                }
            }
            if !self.extent.follow {
                return Ok(self.caught_up()?);
            }
            self.wait()?;
            files = self.names.list(true)?;
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
    fn read_present_file(&mut self, mut files: Vec<String>) -> Result<Vec<String>, Stop> {
        let mut place = self.place.clone().unwrap_or_default();
        let path = self.names.path(&place.file);
        let limit = self.extent.limits.get(&place.file).copied();
        let (mut input, before) = Input::open(&path, place.byte, limit)?;
        let mut within_line = before == Before::WithinLine;
        let mut cutter = Cutter::new(self.extent.block_bytes, self.extent.max_record_bytes);
        loop {
            let is_last = self.following(&files).is_none();
            if within_line {
                within_line = place.leave_line(&mut input, &path)?;
            }
            if !within_line {
                self.read_to_end(&mut input, &path, &mut cutter, &mut place)?;
            }
            if !(self.extent.follow && is_last) {
                if let Some(piece) = cutter.take_rest() {
                    self.hand_out(piece, &mut place)?;
                }
                self.place = Some(place);
                return Ok(files);
            }
            self.wait()?;
            files = self.names.list(true)?;
            place.warn_of_unread(&files);
            if input.has_shrunk() {
                let message = format!("`{}` has become shorter while it was followed", path.display());
                return Err(Stop::Failed(ConnectError::external(message)));
            }
            if input.must_reopen() {
                input = Input::open(&path, place.byte, limit)?.0;
                cutter = Cutter::new(self.extent.block_bytes, self.extent.max_record_bytes);
            }
        }
    }

    fn read_to_end(
        &mut self,
        input: &mut Input,
        path: &Path,
        cutter: &mut Cutter,
        place: &mut Place,
    ) -> Result<(), Stop> {
        loop {
            let (held, room) = cutter.space();
            let at_end = match input.read(held, room) {
                Ok(read) => read == 0,
                // Somebody is still writing it.
                Err(error) if self.extent.follow && error.kind() == io::ErrorKind::UnexpectedEof => true,
                Err(error) => return Err(Stop::Failed(failed(path, &error))),
            };
            while let Some(piece) = cutter.take(at_end) {
                self.hand_out(piece, place)?;
            }
            if at_end {
                return Ok(());
            }
        }
    }

    fn hand_out(&mut self, piece: Piece, place: &mut Place) -> Result<(), Unwanted> {
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
        self.send(Fetch::Block(RawBlock {
            partition: self.partition,
            data,
            framing: Framing::Lines { first },
            known: KnownTimes::Unknown,
            next: Position { next: self.next_line, place },
            refused,
        }))
    }

    fn caught_up(&mut self) -> Result<(), Unwanted> {
        if std::mem::take(&mut self.has_news) { self.send(Fetch::CaughtUp(self.partition)) } else { Ok(()) }
    }

    /// Says that all is read, and lets a moment pass.
    fn wait(&mut self) -> Result<(), Unwanted> {
        self.caught_up()?;
        std::thread::sleep(POLL);
        if self.out.is_closed() { Err(Unwanted) } else { Ok(()) }
    }

    fn send(&self, fetch: Fetch) -> Result<(), Unwanted> {
        self.out.blocking_send(Ok(fetch)).map_err(|_| Unwanted)
    }
}

fn first(files: &[String]) -> Option<Place> {
    files.first().map(|file| Place { file: file.clone(), ..Place::default() })
}
