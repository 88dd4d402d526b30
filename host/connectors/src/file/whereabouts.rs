//! Where the file is that a position was in: still there, or under another name of its folder.
//!
//! A log that is rotated keeps its inode under a new name, or is copied and then cut to nothing; either way the rest of
//! it stands beside the new file. Blocks.

use super::trace::{Identity, Known, holds};
use std::path::{Path, PathBuf};

/// A copy is believed to be one when so many bytes are the same; fewer may be the same by chance.
const LEAST_COPIED_BYTES: u64 = 32;

/// Where a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Under its name.
    Same,
    /// Under this other name; under its own there is another file, or none.
    Moved(PathBuf),
    /// Under its name there is another file, and it is not in the folder.
    Replaced,
    /// Under its name there is a file that is shorter than what was read, and it is not in the folder.
    Shortened,
    /// Under its name there is no file, and it is not in the folder.
    Gone,
}

/// Looks for the file of which `bytes` bytes of content were read under `path`.
pub(super) fn find(path: &Path, bytes: u64, known: &Known) -> Whereabouts {
    let here = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    let is_held = here.is_some() && holds(path, bytes, known);
    if is_held && here.as_ref().is_some_and(|here| Identity::of(here) == known.identity) {
        return Whereabouts::Same;
    }
    let mut others = beside(path);
    // The file itself rather than a copy of it.
    others.sort_by_key(|(_, identity)| *identity != known.identity);
    for (other, identity) in others {
        let is_itself = identity == known.identity;
        // Where the name holds the same bytes, a file of the same content beside it is a copy and no more.
        let may_be = is_itself || (!is_held && bytes >= LEAST_COPIED_BYTES);
        if may_be && holds(&other, bytes, known) {
            return Whereabouts::Moved(other);
        }
    }
    match here {
        Some(_) if is_held => Whereabouts::Same,
        Some(here) if here.len() < bytes && !super::input::is_gzip(path) => Whereabouts::Shortened,
        Some(_) => Whereabouts::Replaced,
        None => Whereabouts::Gone,
    }
}

/// The other files of the folder, by name.
fn beside(path: &Path) -> Vec<(PathBuf, Identity)> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut others: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let other = entry.ok()?.path();
            let metadata = std::fs::metadata(&other).ok()?;
            (other != path && metadata.is_file()).then(|| (other, Identity::of(&metadata)))
        })
        .collect();
    others.sort_by(|(one, _), (other, _)| one.cmp(other));
    others
}
