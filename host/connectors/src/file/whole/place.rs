//! Where in the files a position is.
//!
//! Reads nothing but lists of files.

use super::WholeFile;
use crate::file::names::Order;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use weir_connect::ConnectError;
use weir_event::Position;

/// The order in which files are read.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    Order::Natural.compare(one, other)
}

/// Where in the files a position is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WholePlace {
    /// The file's name below the fixed part of the path.
    pub(super) file: String,
    identity: String,
    /// How much of it was read: rows of columns, bytes of uncompressed lines.
    pub(super) at: u64,
    /// Whether that is all of it.
    #[serde(default, rename = "done")]
    pub(super) is_done: bool,
    /// How many files sort before it.
    before: usize,
}

impl WholePlace {
    /// The beginning of a file.
    pub(super) fn start_of(file: &WholeFile, listing: &[WholeFile]) -> WholePlace {
        let before = before(&file.name, listing).len();
        WholePlace { file: file.name.clone(), identity: file.identity.clone(), at: 0, is_done: false, before }
    }

    /// Reads the place of a position.
    pub(super) fn of(position: &Position) -> Result<WholePlace, ConnectError> {
        serde_json::from_str(&position.place).map_err(|error| {
            ConnectError::internal(format!("`{}` is not a place in a file: {error}", position.place))
        })
    }

    /// The file that it is in, if there is more of it to be read, which it is a place in from now on; `path` is where that is,
    /// for a person.
    pub(super) fn unread<'l>(
        &mut self,
        listing: &'l [WholeFile],
        path: impl Fn(&str) -> String,
    ) -> Result<Option<&'l WholeFile>, ConnectError> {
        if self.is_done {
            return Ok(None);
        }
        let file = listing.iter().find(|file| file.name == self.file);
        let wrong = |what: &str| {
            ConnectError::external(format!(
                "`{}` was read in part and {what}; restore it, or start with `--reset` for the jobs that read it",
                path(&self.file)
            ))
        };
        match file {
            Some(file) if self.at == 0 || file.may_be(&self.identity) => {
                self.identity.clone_from(&file.identity);
                Ok(Some(file))
            }
            Some(_) => Err(wrong("was replaced since")),
            None if self.at == 0 => Ok(None),
            None => Err(wrong("is gone")),
        }
    }

    /// The file that comes after it.
    pub(super) fn following<'l>(&self, listing: &'l [WholeFile]) -> Option<&'l WholeFile> {
        listing.get(listing.partition_point(|file| compare(&file.name, &self.file).is_le()))
    }

    /// What has come where it is not read any more, in words, once.
    pub(super) fn too_late(&mut self, listing: &[WholeFile]) -> Option<String> {
        let known = std::mem::replace(&mut self.before, before(&self.file, listing).len());
        let more = self.before.checked_sub(known).filter(|more| *more > 0)?;
        let what = if more == 1 { "a file is".to_owned() } else { format!("{more} files are") };
        Some(format!(
            "{what} not read: a name that sorts before `{}`, which was begun already, comes too late; give new files \
             names that sort last, or reset the jobs that read this stream",
            self.file
        ))
    }
}

fn before<'l>(name: &str, listing: &'l [WholeFile]) -> &'l [WholeFile] {
    &listing[..listing.partition_point(|file| compare(&file.name, name).is_lt())]
}
