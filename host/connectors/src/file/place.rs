//! Where in the files a position is, and what it remembers of the files before it.
//!
//! Lines have numbers, and numbers that were given cannot move: what appears before the present place, in a file that
//! was read or under a name that sorts before, is not read any more. It is told of instead, once.
//!
//! Reads nothing but lists of files.

use super::cut::Piece;
use super::finished::{self, Around, Finished, Holds};
use super::input::is_gzip;
use super::names::{Listed, Listing, Names, Order};
use super::trace::{Identity, Known, Trace};
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
            self.settle(listing);
        }
        is_followed
    }

    /// The file of the place's name was found to be the one that it is in, whoever it was to the system before.
    pub(super) fn settle(&mut self, listing: &Listing) {
        let here = listing.find(&self.file).map(|file| file.identity);
        self.known = self.known.map(|known| known.of(here.unwrap_or(known.identity)));
    }

    /// The present file is not open; one of which nothing was read has nothing that it could be known by.
    pub(super) fn close(&mut self) {
        self.known = self.known.filter(|_| self.byte > 0);
    }

    /// Finds the present file under another name of its log; `holds` says whether a file begins with what was read.
    pub(super) fn relocate(&mut self, listing: &Listing, holds: Holds) {
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
            Piece::Lines { data, .. } | Piece::Head { data, .. } => self.trace.push(data),
            Piece::TooLong { start, length } | Piece::Refused { start, length, .. } => {
                if start.len() as u64 == *length {
                    self.trace.push(start);
                } else {
                    self.trace.push_beginning(start);
                }
            }
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
            self.finished.push(Finished::new(read, known, self.byte, bytes));
        }
        let forgotten = self.finished.len().saturating_sub(REMEMBERED_FILES);
        self.finished.drain(..forgotten);
        (self.byte, self.trace) = (0, Trace::default());
        self.before = self.unknown_before(listing).count().saturating_sub(untold);
    }

    /// What has changed before the place, each told once and in words for whoever has to do something about it;
    /// `holds` says whether a file still begins with what was read of a finished one.
    pub(super) fn changes(&mut self, listing: &Listing, holds: Holds) -> Vec<String> {
        let around = Around {
            listing,
            name: &self.file,
            present: self.known.map(|known| known.identity),
            is_astray: self.is_astray(listing),
        };
        let mut changes = finished::recognize(&mut self.finished, &around, holds);
        // What is before it can be told when it is found again.
        if !around.is_astray {
            self.step_back(listing);
            changes.extend(self.too_late(listing));
        }
        changes
    }

    /// Where the present file is not even open: goes back to the first of those that come before it and behind all that
    /// was read.
    fn step_back(&mut self, listing: &Listing) {
        if self.byte > 0 || self.known.is_some() || self.before > 0 {
            return;
        }
        let before = listing.before(&self.file);
        let last_read = before.iter().rposition(|file| self.is_known(file));
        if let Some(unread) = before.get(last_read.map_or(0, |last| last + 1)) {
            self.file.clone_from(&unread.name);
            self.newest = listing.newest_of(&unread.name);
            self.expected = Some(unread.identity);
        }
    }

    fn too_late(&mut self, listing: &Listing) -> Option<String> {
        let unknown: Vec<&str> = self.unknown_before(listing).map(|file| file.name.as_str()).collect();
        let before = std::mem::replace(&mut self.before, unknown.len());
        if unknown.len() <= before {
            return None;
        }
        // Which of them are new can be told where all others are remembered.
        let what = match (before, unknown.as_slice()) {
            (0, [name]) => format!("`{name}` is"),
            (0, names) => format!("`{}` are", names.join("`, `")),
            (before, names) if names.len() == before + 1 => "a file is".to_owned(),
            (before, names) => format!("{} files are", names.len() - before),
        };
        Some(format!(
            "{what} not read: a name that sorts before `{}`, which was begun already, comes too late; give new files \
             names that sort last, or reset the jobs that read this stream",
            self.file
        ))
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
