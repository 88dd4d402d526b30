//! Where in the files a position is, and what it remembers of the files before it.
//!
//! Lines have numbers, and numbers that were given cannot move: what appears before the present place, in a file that
//! was read or under a name that sorts before, is not read any more. It is told of instead, once.
//!
//! Reads nothing but lists of files.

use super::cut::Piece;
use super::input::is_gzip;
use super::names::{Listed, Listing, Names, Order};
use super::trace::{Identity, Known, Trace};
use super::whereabouts::LEAST_COPIED_BYTES;
use serde::{Deserialize, Serialize};
use std::path::Path;
use weir_connect::ConnectError;
use weir_event::Position;

/// So many finished files are remembered one by one, enough for those that somebody may still write to; of older ones
/// only how many there were.
const REMEMBERED_FILES: usize = 32;

/// Where in the files a position is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The file's name below the fixed part of the path.
    pub(super) file: String,
    /// The byte of its uncompressed content that is read next.
    pub(super) byte: u64,
    /// How many files sorted before it that are not among the finished ones.
    before: usize,
    #[serde(default)]
    pub(super) order: Order,
    /// Which file it is; `None` until something was read of it, and from a weir that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) known: Option<Known>,
    /// What is written to, if the present file is an older one of a log that is rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    /// The files that were read before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    finished: Vec<Finished>,
    /// Which file has to be there when the present one is opened.
    #[serde(skip)]
    pub(super) expected: Option<Identity>,
    /// What was read of the present file.
    #[serde(skip)]
    trace: Trace,
    /// How long it is on disk, if it is compressed.
    #[serde(skip)]
    compressed_bytes: Option<u64>,
}

/// A file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finished {
    pub(super) file: String,
    #[serde(flatten)]
    pub(super) known: Known,
    /// How much content it had.
    pub(super) content: u64,
    /// How long it was on disk.
    bytes: u64,
}

/// The files that there are, in the order in which this place goes on; without one, in that of a new place. Blocks.
pub(super) fn files(names: &Names, place: Option<&Place>) -> Result<Listing, ConnectError> {
    let order = place.map_or(Order::Natural, |place| place.order);
    names.list(order, place.map(Place::newest))
}

impl Place {
    /// The beginning of the first file.
    pub(super) fn first(listing: &Listing) -> Option<Place> {
        listing.files.first().map(|file| Place {
            file: file.name.clone(),
            byte: 0,
            before: 0,
            order: Order::Natural,
            known: None,
            newest: listing.newest_of(&file.name),
            finished: Vec::new(),
            expected: Some(file.identity),
            trace: Trace::default(),
            compressed_bytes: None,
        })
    }

    /// Reads the place of a position.
    pub(super) fn of(position: &Position) -> Result<Place, ConnectError> {
        serde_json::from_str(&position.place).map_err(|error| {
            ConnectError::internal(format!("`{}` is not a place in a file: {error}", position.place))
        })
    }

    /// What is written to of the log that the present file is of.
    pub(super) fn newest(&self) -> &str {
        self.newest.as_deref().unwrap_or(&self.file)
    }

    /// Whether the file that the place is in is not the one that its name means.
    pub(super) fn is_astray(&self, listing: &Listing) -> bool {
        let here = listing.find(&self.file).map(|file| file.identity);
        self.known.is_some_and(|known| here != Some(known.identity))
    }

    /// Takes over the name that the present file has now, if it is one from which everything is read on that was not
    /// read.
    pub(super) fn move_to(&mut self, name: &str, listing: &Listing) -> bool {
        let log_of = |name: &str| listing.newest_of(name).unwrap_or_else(|| name.to_owned());
        let is_same_log = log_of(name) == log_of(&self.file);
        // What stands between the names is read from there: it must be new, and not what was read and forgotten.
        let is_before = self.before == 0 && listing.before(&self.file).iter().any(|file| file.name == name);
        let is_followed = listing.find(name).is_some() && (is_same_log || is_before);
        if is_followed {
            name.clone_into(&mut self.file);
            self.newest = listing.newest_of(name);
        }
        is_followed
    }

    /// Finds the present file under another name of its log; `holds` says whether a file begins with what was read.
    pub(super) fn relocate(&mut self, listing: &Listing, holds: impl Fn(&Listed, u64, &Known) -> bool) {
        let Some(known) = self.known.filter(|_| self.is_astray(listing)) else { return };
        let moved = listing.of_identity(known.identity);
        if let Some(moved) = moved.filter(|file| holds(file, self.byte, &known)) {
            self.move_to(&moved.name, listing);
        }
    }

    /// The present file is open: which one it is and what was read of it.
    pub(super) fn begin(&mut self, known: Known, trace: Trace, compressed_bytes: Option<u64>) {
        self.known = Some(known);
        self.trace = trace;
        self.compressed_bytes = compressed_bytes;
    }

    /// Moves on behind a piece of the present file.
    pub(super) fn advance(&mut self, piece: &Piece) {
        match piece {
            Piece::Lines { data, .. } => self.trace.push(data),
            Piece::TooLong { start, .. } => self.trace.push_beginning(start),
        }
        self.moved_by(piece.length());
    }

    /// Moves on behind bytes that end a line which was handed out before.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.trace.push(bytes);
        self.moved_by(bytes.len() as u64);
    }

    fn moved_by(&mut self, bytes: u64) {
        self.byte += bytes;
        self.known = self.known.map(|known| Known::new(known.identity, &self.trace));
    }

    /// The file that is to be read after the present one. One that was read under another name is not.
    pub(super) fn following<'l>(&self, listing: &'l Listing) -> Option<&'l Listed> {
        listing.after(&self.file).iter().find(|file| !self.is_known(file))
    }

    /// How many of the files' stored bytes are behind this place; `None` where it is within a compressed file, whose
    /// bytes are not those that are counted.
    pub(super) fn left(&self, listing: &Listing) -> Option<u64> {
        let present = listing.find(&self.file).map_or(0, |file| file.bytes);
        let left = if present == 0 || !is_gzip(Path::new(&self.file)) {
            present.saturating_sub(self.byte)
        } else {
            return None;
        };
        let behind = listing.after(&self.file).iter().filter(|file| !self.is_known(file));
        Some(left + behind.map(|file| file.bytes).sum::<u64>())
    }

    /// The present file was read: moves to the beginning of another.
    pub(super) fn leave_for(&mut self, next: &Listed, listing: &Listing) {
        let read = std::mem::replace(&mut self.file, next.name.clone());
        self.newest = listing.newest_of(&self.file);
        self.finish(read, listing);
        self.expected = Some(next.identity);
    }

    /// The present file was read and has this name now (empty where nobody knows it): moves to the beginning of the
    /// new one under the old name.
    pub(super) fn restart(&mut self, read: &str, listing: &Listing) {
        self.finish(read.to_owned(), listing);
    }

    fn finish(&mut self, read: String, listing: &Listing) {
        let untold = self.unknown_before(listing).count().saturating_sub(self.before);
        if let Some(known) = self.known.take() {
            let bytes = self.compressed_bytes.take().unwrap_or(self.byte);
            self.finished.retain(|finished| finished.known.identity != known.identity);
            self.finished.push(Finished { file: read, known, content: self.byte, bytes });
        }
        let forgotten = self.finished.len().saturating_sub(REMEMBERED_FILES);
        self.finished.drain(..forgotten);
        (self.byte, self.trace) = (0, Trace::default());
        self.before = self.unknown_before(listing).count().saturating_sub(untold);
    }

    /// What has changed before the place, each told once and in words for whoever has to do something about it;
    /// `holds` says whether a file still begins with what was read of a finished one.
    pub(super) fn changes(
        &mut self,
        listing: &Listing,
        holds: impl Fn(&Listed, u64, &Known) -> bool,
    ) -> Vec<String> {
        if self.is_astray(listing) {
            // What is before it can be told when it is found again.
            return Vec::new();
        }
        let holds = |file: &Listed, finished: &Finished| holds(file, finished.content, &finished.known);
        let mut changes = Vec::new();
        let present = self.known.map(|known| known.identity);
        let finished = self.finished.iter().map(|finished| finished.known.identity);
        let taken: Vec<Identity> = finished.chain(present).collect();
        self.finished.retain_mut(|finished| {
            let identity = finished.known.identity;
            let itself = listing.files.iter().find(|file| file.identity == identity);
            // An inode is used again for another file when its own is deleted.
            let itself = itself.filter(|file| file.name == finished.file || holds(file, finished));
            let others = || listing.before(&self.file).iter().filter(|file| !taken.contains(&file.identity));
            if itself.is_none()
                && let Some(copy) =
                    others().find(|file| finished.may_be_copied_to(file) && holds(file, finished))
            {
                finished.become_copy(copy);
                return true;
            }
            let at_name = others().find(|file| file.name == finished.file);
            let Some(file) = itself.or(at_name) else { return false };
            let is_same = itself.is_some() || holds(file, finished);
            changes.extend(finished.become_file(file, is_same));
            true
        });
        let unknown: Vec<&str> = self.unknown_before(listing).map(|file| file.name.as_str()).collect();
        if unknown.len() > self.before {
            // Which of them are new can be told where all others are remembered.
            let what = match (self.before, unknown.as_slice()) {
                (0, [name]) => format!("`{name}` is"),
                (0, names) => format!("`{}` are", names.join("`, `")),
                (before, names) if names.len() == before + 1 => "a file is".to_owned(),
                (before, names) => format!("{} files are", names.len() - before),
            };
            changes.push(format!(
                "{what} not read: a name that sorts before `{}`, which was begun already, comes too late; give new \
                 files names that sort last, or reset the jobs that read this stream",
                self.file
            ));
        }
        self.before = unknown.len();
        changes
    }

    fn unknown_before<'l>(&self, listing: &'l Listing) -> impl Iterator<Item = &'l Listed> {
        listing.before(&self.file).iter().filter(|file| !self.is_known(file))
    }

    /// Whether a file is one that was read, or is being read, under whatever name.
    fn is_known(&self, file: &Listed) -> bool {
        let is_present = self.known.is_some_and(|known| known.identity == file.identity);
        is_present || self.finished.iter().any(|finished| finished.known.identity == file.identity)
    }
}

impl Finished {
    /// Whether a file may be this one as it was compressed.
    fn may_be_copied_to(&self, file: &Listed) -> bool {
        self.content >= LEAST_COPIED_BYTES
            && is_gzip(Path::new(&file.name))
            && !is_gzip(Path::new(&self.file))
    }

    fn become_copy(&mut self, copy: &Listed) {
        self.file.clone_from(&copy.name);
        self.known.identity = copy.identity;
        self.bytes = copy.bytes;
    }

    /// Takes over where it is now and how long, and says what of that has to be told; `is_same` unless it is another
    /// file of the same name.
    fn become_file(&mut self, file: &Listed, is_same: bool) -> Option<String> {
        let before = std::mem::replace(&mut self.bytes, file.bytes);
        self.file.clone_from(&file.name);
        self.known.identity = file.identity;
        if !is_same {
            return Some(format!(
                "`{}` was written anew after it was read, and is not read again: put new rows into a file whose name \
                 sorts last, or reset the jobs that read this stream",
                self.file
            ));
        }
        (file.bytes != before).then(|| {
            format!(
                "`{}` changed from {before} to {} bytes after a later file was begun, and what was added is not read: \
                 append to the last file only, or reset the jobs that read this stream",
                self.file, file.bytes
            )
        })
    }
}
