//! Where the file is that a position was in: still there, or under another name of its folder.
//!
//! A log that is rotated keeps its inode under a new name, or is copied and then cut to nothing; either way the rest of
//! it stands beside the new file. Blocks.

use super::family;
use super::names::Listed;
use super::trace::{Identity, Known, holds};
use std::path::{Path, PathBuf};

/// A copy is believed to be one when so many bytes are the same; fewer may be the same by chance.
pub(super) const LEAST_COPIED_BYTES: u64 = 32;

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
    others.sort_by_key(|other| other.identity != known.identity);
    for other in others {
        let is_itself = other.identity == known.identity;
        // Where the name holds the same bytes, a file of the same content beside it is a copy and no more.
        let may_be = is_itself || (!is_held && bytes >= LEAST_COPIED_BYTES);
        let other = path.with_file_name(other.name);
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

/// What is to be read after a file that was moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// This one, which was moved as well.
    Moved(PathBuf, Identity),
    /// What has the name now, if there is a file.
    Newest(Option<Identity>),
    /// Something of these, and it cannot be told in which order.
    Unclear(Vec<String>),
    /// The file itself was moved on.
    MovedOn,
}

/// What comes after the file that was called `path` before and is `moved` now.
pub(super) fn behind(path: &Path, moved: &Path, identity: Identity) -> Behind {
    let others = beside(path);
    let name = name_of(moved);
    let Some(itself) = others.iter().find(|other| other.name == name && other.identity == identity) else {
        return Behind::MovedOn;
    };
    match family::between(&others, itself, &name_of(path)) {
        Err(unclear) => Behind::Unclear(unclear.into_iter().map(|other| other.name.clone()).collect()),
        Ok(between) => between.first().map_or_else(
            || Behind::Newest(std::fs::metadata(path).ok().map(|newest| Identity::of(&newest))),
            |next| Behind::Moved(path.with_file_name(&next.name), next.identity),
        ),
    }
}

/// The files that `path` may have been called since it was last written, `modified`, when it is not found any more.
pub(super) fn since(path: &Path, modified: (i64, i64)) -> Vec<String> {
    let others = beside(path);
    let newest = family::newest_of(&name_of(path));
    let members = others.into_iter().filter(|other| family::newest_of(&other.name) == newest);
    members
        .filter(|other| other.name != newest && other.modified > modified)
        .map(|other| other.name)
        .collect()
}

/// The other files of the folder, by name.
fn beside(path: &Path) -> Vec<Listed> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut others: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let other = entry.ok()?.path();
            let metadata = std::fs::metadata(&other).ok()?;
            (other != path && metadata.is_file()).then(|| Listed::new(name_of(&other), &metadata))
        })
        .collect();
    others.sort_by(|one, other| one.name.cmp(&other.name));
    others
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
