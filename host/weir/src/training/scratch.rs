//! The folder beside a training set while it is made: what does not fit in memory, and what the next run of the same request
//! goes on from when this one was killed.
//!
//! It goes when the training set is there, and when it cannot be made; it stays when the run was killed or stopped, or
//! another system failed. A run that asks for something else, or that another weir would make otherwise, empties it first.
//! Must not know what is kept.

use super::output::Output;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Whose lock says that somebody works in the folder, and its name that it is of weir.
const LOCK: &str = "lock";
/// Says which request it is for.
const REQUEST: &str = "request";
/// What the jobs go on from.
const JOBS: &str = "jobs";
/// Copies of logs, which stay as they were when they were copied.
const COPIES: &str = "copies";
/// What nobody needs after this run.
const WORK: &str = "work";

/// The folder, which is ours.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    stays: Cell<bool>,
    _lock: File,
}

/// Which request a folder is for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Of {
    request: String,
}

impl Scratch {
    /// That of a training set, as an earlier run of the same request left it, or empty. `request` tells requests apart.
    pub(super) fn open(output: &Output, request: &str) -> Result<Scratch, Failure> {
        let (path, of) = (output.beside(), output.path().display());
        let failed = |error: io::Error| output.unwritable(&error);
        let is_own = match fs::symlink_metadata(&path) {
            Ok(found) => found.is_dir() && path.join(LOCK).is_file(),
            Err(_) => true,
        };
        if !is_own {
            return Err(Failure::user(format!(
                "-o {of}: {} is not of weir, and would be emptied; remove it, or write another file",
                path.display()
            )));
        }
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(Failure::user(format!(
                "-o {of}: another `weir train` writes it now; wait for that, or write another file"
            )));
        }
        let scratch = Scratch { path, stays: Cell::new(false), _lock: lock };
        scratch.prepare(&Of { request: request.to_owned() }).map_err(failed)?;
        Ok(scratch)
    }

    fn prepare(&self, of: &Of) -> io::Result<()> {
        let left = fs::read(self.path.join(REQUEST)).ok();
        let is_same = left
            .as_ref()
            .is_some_and(|left| serde_json::from_slice::<Of>(left).is_ok_and(|left| left == *of));
        if left.is_some() && !is_same {
            tracing::info!("what an earlier run left of another request is removed");
        }
        let stays = |name: &str| name == LOCK || is_same && [REQUEST, JOBS, COPIES].contains(&name);
        for left in fs::read_dir(&self.path)?.collect::<Result<Vec<_>, _>>()? {
            if stays(&left.file_name().to_string_lossy()) {
                continue;
            }
            let path = left.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        for folder in [JOBS, COPIES, WORK] {
            fs::create_dir_all(self.path.join(folder))?;
        }
        let mut file = tempfile::NamedTempFile::new_in(self.path.join(WORK))?;
        serde_json::to_writer(&mut file, of)?;
        file.persist(self.path.join(REQUEST)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Where to put what nobody needs after this run.
    pub(super) fn work(&self) -> PathBuf {
        self.path.join(WORK)
    }

    /// Where jobs keep how far they are.
    pub(super) fn jobs(&self) -> PathBuf {
        self.path.join(JOBS)
    }

    /// Where copies of logs are.
    pub(super) fn copies(&self) -> PathBuf {
        self.path.join(COPIES)
    }

    /// It is not removed: the next run of the same request goes on from what is in it.
    pub(super) fn stay(&self) {
        self.stays.set(true);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.stays.get() {
            return;
        }
        let path: &Path = &self.path;
        if let Err(error) = fs::remove_dir_all(path) {
            tracing::warn!(path = %path.display(), %error, "a folder cannot be removed that nobody needs any more");
        }
    }
}
