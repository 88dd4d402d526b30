//! Reading file after file, block after block, and under `follow` what is added to them.
//!
//! It goes on only while somebody waits for a block. What the system has in its memory is read there and then, so
//! that it is still in the core's cache when it is decoded; what a disk or a decompressor must bring is read on a
//! thread for waiting, one read ahead.
//!
//! Under `follow` the last file is read as it grows, and a line counts once its end is there. When a file
//! appears whose name sorts behind, the present one is read to its end once more and then left. One that is renamed or
//! copied away to make room for a new one of its name is read to its end where it is now, then what was moved after
//! it, and the new one from its beginning. What cannot be read in order any more is a refused record with the reason:
//! see [`Place::changes`].

use super::cut::{Cutter, Piece};
use super::head::head_of;
use super::input::{Change, Input, LineEnd, failed};
use super::names::{Listed, Listing, Names};
use super::open::OpenFile;
use super::place::{Place, files};
use super::trace::{Known, holds};
use super::whereabouts::Whereabouts;
use crate::blocking::blocking;
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use weir_connect::source::RefusedRecord;
use weir_connect::{ConnectError, Fetch, FileLayout, Framing, KnownTimes, RawBlock};
use weir_event::{Clock, PartitionId, Position};

/// How often files are looked at for more. A person does not notice it, and a disk neither.
const POLL: Duration = Duration::from_millis(200);
/// A file that was renamed is left when it has not grown for so many looks: whoever writes it may not have noticed.
const LINGER_POLLS: u32 = 5;

/// How much is read, and how it is cut.
#[derive(Debug)]
pub(super) struct Extent {
    /// Whether more is waited for when all is read.
    pub(super) follow: bool,
    /// Reading of these plain files ends at these bytes.
    pub(super) limits: HashMap<String, u64>,
    /// How files fall into records.
    pub(super) layout: FileLayout,
    pub(super) block_bytes: usize,
    pub(super) max_record_bytes: usize,
}

/// How far reading has come.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) names: Names,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) extent: Extent,
    pub(super) partition: PartitionId,
    /// The number of the line that is read next, counted over all files.
    pub(super) next_line: u64,
    pub(super) place: Option<Place>,
    /// What stands at the head of the present file.
    pub(super) head: Bytes,
    /// Has room for one block. Its other end is held by whoever holds this reading.
    pub(super) out: Sender<Result<Fetch, ConnectError>>,
    /// Whether everything so far was handed out and nobody has been told yet.
    pub(super) has_news: bool,
}

/// Why the present file is not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It was read to its end.
    AtEnd,
    /// It was, and there is another of its name by now, which the place is in.
    Moved,
}

/// The present file.
#[derive(Debug)]
pub(super) struct Present {
    file: OpenFile,
    path: PathBuf,
    /// Whether the last line was read as a whole though it lacked its end, which may follow.
    within_line: bool,
}

impl Reading {
    /// Reads until the end or an error, of which it tells. `listing` is the files that there were at the start.
    pub(super) async fn run(mut self, listing: Listing) {
        if let Err(error) = self.read(listing).await {
            self.send(Err(error)).await;
        }
    }

    async fn read(&mut self, mut listing: Listing) -> Result<(), ConnectError> {
        let mut place = self.place.take();
        if let Some(place) = &mut place {
            self.find_again(place, &listing).await?;
            listing = self.tell_changes(place, listing).await?;
        }
        loop {
            place = place.or_else(|| Place::first(&listing));
            if let Some(place) = &mut place {
                if listing.find(&place.file).is_some() {
                    let left;
                    (listing, left) = self.read_file(place, listing).await?;
                    if left == Left::Moved {
                        continue;
                    }
                }
                if let Some(next) = place.following(&listing) {
                    place.leave_for(next, &listing);
                    continue;
                }
            }
            if !self.extent.follow {
                self.caught_up().await;
                return Ok(());
            }
            listing = self.wait(place.as_mut()).await?;
        }
    }

    /// Reads the present file to its end: under `follow`, until there is another behind it, or a new one in its place.
    /// Returns the files that there are then.
    async fn read_file(
        &mut self,
        place: &mut Place,
        mut listing: Listing,
    ) -> Result<(Listing, Left), ConnectError> {
        let path = self.names.path(&place.file);
        let limit = self.extent.limits.get(&place.file).copied();
        let mut present = self.begin(&path, limit, place).await?;
        let (begun, mut lingered) = (place.file.clone(), 0);
        loop {
            let is_astray = place.is_astray(&listing);
            let has_moved = is_astray || place.file != begun;
            let is_followed = place.following(&listing).is_some();
            let before = self.next_line;
            present = self.read_on(present, place).await?;
            let has_lingered = !has_moved || lingered >= LINGER_POLLS;
            if !self.extent.follow || (is_followed && !is_astray && has_lingered) {
                self.finish(present, place).await;
                return Ok((listing, Left::AtEnd));
            }
            let has_other = is_followed || listing.find(&place.file).is_some();
            if self.next_line > before {
                lingered = 0;
            } else if is_astray && has_other && has_lingered {
                let found = self.whereabouts(place).await?;
                if found != Whereabouts::Same {
                    let modified = present.file.modified();
                    self.finish(present, place).await;
                    self.leave_moved(found, modified, place, &listing).await?;
                    return Ok((listing, Left::Moved));
                }
                // It was written anew with all that was read of it, as editors do.
                present = self.begin(&path, limit, place).await?;
                lingered = 0;
            }
            listing = self.wait(Some(place)).await?;
            let change;
            (present.file, change) = present.file.change(place.byte, place.known).await?;
            match change {
                Change::Appended => lingered = if has_moved { lingered + 1 } else { 0 },
                Change::Rewritten => present = self.begin(&path, limit, place).await?,
                Change::Replaced => {
                    self.find_again(place, &listing).await?;
                    return Ok((listing, Left::Moved));
                }
            }
        }
    }

    /// Opens a file at the place, if it is the file that the place is in.
    pub(super) async fn begin(
        &mut self,
        path: &Path,
        limit: Option<u64>,
        place: &mut Place,
    ) -> Result<Present, ConnectError> {
        let (opened, byte) = (path.to_path_buf(), place.byte);
        let (input, trace) = blocking(move || Input::open(&opened, byte, limit)).await?;
        let is_other = place.expected.take().is_some_and(|expected| expected != input.identity());
        if is_other || place.known.is_some_and(|known| byte > 0 && !known.is_of(&trace)) {
            return Err(ConnectError::unavailable(format!(
                "`{}` was replaced while it was opened",
                path.display()
            )));
        }
        // Blocks end with whatever byte their mark has last.
        let within_line = self.extent.layout != FileLayout::AvroContainer && !trace.ends_a_line();
        place.begin(Known::new(input.identity(), &trace), trace, input.compressed_bytes());
        let Extent { layout, block_bytes, max_record_bytes, .. } = self.extent;
        let at_start = byte == 0;
        self.head = if at_start {
            Bytes::new()
        } else {
            let path = path.to_path_buf();
            blocking(move || head_of(&path, layout, max_record_bytes)).await?
        };
        let head = (!at_start).then_some(&self.head[..]);
        let cutter = Cutter::new(layout, head, block_bytes, max_record_bytes);
        Ok(Present { file: OpenFile::new(input, cutter), path: path.to_path_buf(), within_line })
    }

    /// Reads to the present end of the file.
    pub(super) async fn read_on(
        &mut self,
        mut present: Present,
        place: &mut Place,
    ) -> Result<Present, ConnectError> {
        if present.within_line {
            let found;
            (present.file, found) = present.file.skip_line_end().await?;
            place.pass(found.bytes());
            present.within_line = match found {
                LineEnd::Nothing | LineEnd::Half => true,
                LineEnd::Skipped(_) => false,
                LineEnd::Other => {
                    return Err(ConnectError::external(format!(
                        "the last line of `{}` had no line end, was read as a whole, and goes on now; let every line \
                         end in a newline before it is read, and start with `--reset` for the jobs that read it",
                        present.path.display()
                    )));
                }
            };
        }
        if !present.within_line {
            present.file = self.read_to_end(present.file, &present.path, place).await?;
        }
        Ok(present)
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

    /// The file has ended: what remains is its last line.
    pub(super) async fn finish(&mut self, mut present: Present, place: &mut Place) {
        while let Some(piece) = present.file.take_rest() {
            self.hand_out(piece, place).await;
        }
    }

    async fn hand_out(&mut self, piece: Piece, place: &mut Place) {
        let first = self.next_line;
        self.next_line += piece.lines();
        place.advance(&piece);
        let refused = |reason, payload, damaged| {
            (Bytes::new(), Some(RefusedRecord { offset: first, reason, payload, skip: false, damaged }))
        };
        let (data, refused) = match piece {
            Piece::Lines { data, .. } => (data, None),
            Piece::Head { data, .. } => {
                self.head = data;
                return;
            }
            Piece::Refused { start, reason, damaged, .. } => refused(reason, start, damaged),
            Piece::TooLong { start, length } => {
                let reason = format!(
                    "the line is {length} bytes long, more than the {} that are read",
                    self.extent.max_record_bytes
                );
                refused(reason, start, false)
            }
        };
        self.send_block(first, data, refused, place).await;
    }

    fn framing(&self, first: u64) -> Framing {
        match self.extent.layout {
            layout if layout.is_of_lines() => Framing::Lines { first },
            _ => Framing::Container { head: self.head.clone(), base: first, first },
        }
    }

    async fn send_block(&mut self, first: u64, data: Bytes, refused: Option<RefusedRecord>, place: &Place) {
        let place = serde_json::to_string(place).unwrap_or_default();
        self.has_news = true;
        let block = RawBlock {
            partition: self.partition,
            data,
            framing: self.framing(first),
            known: KnownTimes::Unknown,
            next: Position { next: self.next_line, place },
            refused: refused.into_iter().collect(),
        };
        self.send(Ok(Fetch::Block(block))).await;
    }

    /// Tells what has changed before the place, as a refused record where the next line is. It takes no number: after
    /// a crash it may be told earlier or later, and lines must keep theirs.
    async fn tell_changes(&mut self, place: &mut Place, listing: Listing) -> Result<Listing, ConnectError> {
        let (names, mut judged) = (self.names.clone(), place.clone());
        let (judged, listing, changes) = blocking(move || {
            let holds =
                |file: &Listed, content, known: &Known| holds(&names.path(&file.name), content, known);
            judged.relocate(&listing, &holds);
            let changes = judged.changes(&listing, &holds);
            Ok((judged, listing, changes))
        })
        .await?;
        *place = judged;
        if !changes.is_empty() {
            changes.iter().for_each(|change| tracing::warn!("{change}"));
            let (offset, reason) = (self.next_line, changes.join("; "));
            let refused = RefusedRecord { offset, reason, payload: Vec::new(), skip: false, damaged: false };
            self.send_block(offset, Bytes::new(), Some(refused), place).await;
        }
        Ok(listing)
    }

    async fn caught_up(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.send(Ok(Fetch::CaughtUp(self.partition))).await;
        }
    }

    /// Says that all is read, lets a moment pass, and gives the files that there are then.
    async fn wait(&mut self, place: Option<&mut Place>) -> Result<Listing, ConnectError> {
        self.caught_up().await;
        self.clock.sleep(POLL).await;
        let (names, at) = (self.names.clone(), place.as_deref().cloned());
        let listing = blocking(move || files(&names, at.as_ref())).await?;
        match place {
            Some(place) => self.tell_changes(place, listing).await,
            None => Ok(listing),
        }
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
