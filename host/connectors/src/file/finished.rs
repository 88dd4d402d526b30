//! The files that were read to their end: which of those that there are they are now, under whatever name.
//!
//! The system gives an inode again once its file is deleted, as when a log is compressed: a new file can be taken for one
//! that was read, and would be skipped. A file is one that was read only if what was read of it is still there.
//!
//! Reads nothing but lists of files; what stands in them is asked of whoever calls.

use super::family;
use super::input::is_gzip;
use super::names::{Listed, Listing};
use super::trace::{Identity, Known, Trace};
use super::whereabouts::LEAST_COPIED_BYTES;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;

/// A file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finished {
    file: String,
    #[serde(flatten)]
    pub(super) known: Known,
    /// How much content it had.
    content: u64,
    /// How long it was on disk.
    bytes: u64,
    /// When it had been written last as its content was looked at; it need not be looked at again.
    #[serde(skip)]
    seen: Option<(i64, i64)>,
}

/// Where finished files are looked for.
#[derive(Debug)]
pub(super) struct Around<'l> {
    pub(super) listing: &'l Listing,
    /// The name of the file that is being read.
    pub(super) name: &'l str,
    pub(super) present: Option<Identity>,
    /// Whether that file has another name by now, so that it is not known what is before it.
    pub(super) is_astray: bool,
}

/// Whether a file begins with so many bytes of content, those that were read.
pub(super) type Holds<'h> = &'h dyn Fn(&Listed, u64, &Known) -> bool;

/// What a finished file is now.
enum Found<'l> {
    Itself(&'l Listed),
    Compressed(&'l Listed),
    /// Another file, which has its name.
    Replaced(&'l Listed),
}

/// Finds each finished file among those that there are and forgets those that are gone; gives what has changed, in words
/// for whoever has to do something about it.
pub(super) fn recognize(finished: &mut Vec<Finished>, around: &Around, holds: Holds) -> Vec<String> {
    let mut taken: HashSet<Identity> = around.present.into_iter().collect();
    let mut found = vec![false; finished.len()];
    let mut changes = Vec::new();
    // The surest first: what one of them is now, no other is.
    for find in [Finished::itself, Finished::compressed, Finished::replaced] {
        for (finished, found) in finished.iter_mut().zip(&mut found).filter(|(_, found)| !**found) {
            if let Some(now) = find(finished, around, &taken, holds) {
                changes.extend(finished.become_found(now));
                taken.insert(finished.known.identity);
                *found = true;
            }
        }
    }
    let mut found = found.into_iter();
    finished.retain(|_| found.next().unwrap_or_default());
    changes
}

impl Finished {
    pub(super) fn new(file: String, known: Known, content: u64, bytes: u64) -> Finished {
        Finished { file, known, content, bytes, seen: None }
    }

    fn itself<'l>(&self, around: &Around<'l>, _: &HashSet<Identity>, holds: Holds) -> Option<Found<'l>> {
        let identity = self.known.identity;
        let mut same = around.listing.files.iter().filter(|file| file.identity == identity);
        let file = same.find(|file| self.is_itself(file, around, holds))?;
        // What was compressed may have got the inode of what it was before.
        let is_compressed = is_gzip(Path::new(&file.name)) && !is_gzip(Path::new(&self.file));
        Some(if is_compressed { Found::Compressed(file) } else { Found::Itself(file) })
    }

    fn compressed<'l>(
        &self,
        around: &Around<'l>,
        taken: &HashSet<Identity>,
        holds: Holds,
    ) -> Option<Found<'l>> {
        if self.content < LEAST_COPIED_BYTES || is_gzip(Path::new(&self.file)) {
            return None;
        }
        // When a log was compressed says little of its age: its files may be taken for newer ones.
        let log = family::newest_of(&self.file);
        let of_log = around.listing.files.iter().filter(|file| family::newest_of(&file.name) == log);
        around
            .before()
            .chain(of_log)
            .filter(|file| is_gzip(Path::new(&file.name)) && !taken.contains(&file.identity))
            .find(|file| holds(file, self.content, &self.known))
            .map(Found::Compressed)
    }

    fn replaced<'l>(
        &self,
        around: &Around<'l>,
        taken: &HashSet<Identity>,
        holds: Holds,
    ) -> Option<Found<'l>> {
        if around.is_astray {
            return None;
        }
        let mut others = around.before().filter(|file| !taken.contains(&file.identity));
        let other = others.find(|file| file.name == self.file)?;
        let is_same = holds(other, self.content, &self.known);
        Some(if is_same { Found::Itself(other) } else { Found::Replaced(other) })
    }

    /// Whether a file of the same inode is this one.
    fn is_itself(&self, file: &Listed, around: &Around, holds: Holds) -> bool {
        if self.content == 0 {
            // No content tells it from another. Whatever is behind the place is read: nothing of it was.
            let is_before = around.before().any(|before| before.name == file.name);
            return is_before && (file.name == self.file || file.bytes == self.bytes);
        }
        if file.bytes != self.bytes {
            return holds(file, self.content, &self.known);
        }
        if self.seen == Some(file.modified) {
            return true;
        }
        if is_gzip(Path::new(&file.name)) {
            // To read it through takes long; it is as long as it was, and its beginning is enough.
            let (content, beginning) = self.known.beginning(self.content);
            return holds(file, content, &beginning);
        }
        holds(file, self.content, &self.known)
    }

    /// Takes over where it is now and how long, and says what of that has to be told.
    fn become_found(&mut self, found: Found) -> Option<String> {
        let (Found::Itself(file) | Found::Compressed(file) | Found::Replaced(file)) = found;
        let before = std::mem::replace(&mut self.bytes, file.bytes);
        self.file.clone_from(&file.name);
        self.known.identity = file.identity;
        self.seen = Some(file.modified);
        match found {
            Found::Compressed(_) => None,
            Found::Replaced(_) => {
                (self.content, self.known) = (0, Known::new(file.identity, &Trace::default()));
                Some(format!(
                    "`{}` was written anew after it was read, and is not read again: put new rows into a file whose \
                     name sorts last, or reset the jobs that read this stream",
                    self.file
                ))
            }
            Found::Itself(_) => (file.bytes != before).then(|| {
                format!(
                    "`{}` changed from {before} to {} bytes after a later file was begun, and what was added is not \
                     read: append to the last file only, or reset the jobs that read this stream",
                    self.file, file.bytes
                )
            }),
        }
    }
}

impl<'l> Around<'l> {
    fn before(&self) -> impl Iterator<Item = &'l Listed> + use<'l> {
        self.listing.before(self.name).iter()
    }
}
