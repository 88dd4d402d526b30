//! Marks of the state outside its folder: by them a folder is noticed that was put back whole, witness and all, or that is
//! not there any more.
//!
//! A mark is a line like the witness's, in a file that others name: the id of the state and an epoch that was safe. The id
//! is random, given once, and lies in the folder as `identity`.

use std::fs;
use std::path::{Path, PathBuf};

use weir_event::random_id;

use crate::{Epoch, StoreError, files};

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The state's id.
    pub(crate) id: String,
    /// An epoch of it that was safe; 0 where there was none yet.
    pub(crate) epoch: Epoch,
}

/// The id of the state in a folder; `None` where it has none yet.
pub(crate) fn read_id(folder: &Path) -> Result<Option<String>, StoreError> {
    files::read_value(&folder.join(files::IDENTITY))
}

/// Gives the state in a folder an id.
pub(crate) fn give_id(folder: &Path) -> Result<String, StoreError> {
    let id = format!("{:016x}", random_id());
    files::write_value(&folder.join(files::IDENTITY), &id)?;
    Ok(id)
}

/// The mark at a path; `None` where there is none, or none that is whole: it only ever bears witness.
pub(crate) fn read(at: &Path) -> Option<Mark> {
    let value = match files::read_value(at) {
        Ok(value) => value?,
        Err(error) => {
            tracing::warn!(path = %at.display(), %error, "the mark of the state that was left there cannot be read");
            return None;
        }
    };
    let (id, epoch) = value.split_once(':')?;
    Some(Mark { id: id.to_owned(), epoch: Epoch(epoch.parse().ok()?) })
}

/// Leaves a mark; where the folder for it is not there, nothing lies in it.
pub(crate) fn write(at: &Path, mark: &Mark) -> Result<(), StoreError> {
    if !at.parent().is_some_and(|folder| fs::exists(folder).unwrap_or(true)) {
        return Ok(());
    }
    files::write_value(at, &format!("{}:{}", mark.id, mark.epoch))
}

/// What the marks say of a state: which are of another, and which knows its newest epoch.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) of_others: Vec<PathBuf>,
    pub(crate) newest: Option<(Epoch, PathBuf)>,
}

impl Marks {
    /// Reads those at these paths, of the state that has this id.
    pub(crate) fn read(paths: &[PathBuf], id: Option<&str>) -> Marks {
        let mut marks = Marks::default();
        for path in paths {
            let Some(mark) = read(path) else { continue };
            if Some(&*mark.id) != id {
                marks.of_others.push(path.clone());
            } else if mark.epoch > Epoch::default()
                && marks.newest.as_ref().is_none_or(|(epoch, _)| *epoch < mark.epoch)
            {
                marks.newest = Some((mark.epoch, path.clone()));
            }
        }
        marks
    }
}
