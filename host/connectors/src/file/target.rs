//! Where finished files appear, and the nearest such place: a folder, in which a file gets its name by being renamed.
//! Blocking.
//!
//! Must not know rows, or when a file is finished.

use super::written::Upload;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use weir_connect::{ConnectError, make_folder};

/// What readers look into. Names are those below it.
pub(super) trait Target: std::fmt::Debug + Send + Sync {
    /// Makes it ready to be written to.
    fn open(&self) -> Result<(), ConnectError>;

    /// Looks whether it can be reached, without any effect; gives what was found, for a person.
    fn probe(&self) -> Result<String, ConnectError>;

    /// What stands in it.
    fn names(&self) -> Result<Vec<String>, ConnectError>;

    /// Brings a file that was written and synced at `from` to where nothing but a word lets it appear; what that word
    /// needs goes into the token. Where there is no such place, the file stays where it is.
    fn bring(&self, _from: &Path, _name: &str) -> Result<Option<Upload>, ConnectError> {
        Ok(None)
    }

    /// Lets a file appear that was written and synced at `from`, and perhaps brought. Idempotent: where the name is there
    /// already, or neither is there, it was done before, except that what `is_prepared` by this process cannot be gone.
    fn publish(
        &self,
        from: &Path,
        name: &str,
        upload: Option<&Upload>,
        is_prepared: bool,
    ) -> Result<(), ConnectError>;

    /// Gives up what was brought, has not appeared, and is named by no safe checkpoint: all that is left at a start.
    fn clear(&self) -> Result<(), ConnectError> {
        Ok(())
    }

    /// Makes durable what has appeared in these folders below it.
    fn settle(&self, under: &BTreeSet<&str>) -> Result<(), ConnectError>;
}

/// A folder on this machine.
#[derive(Debug)]
pub(super) struct LocalFolder {
    pub(super) path: PathBuf,
    pub(super) job: String,
    /// How deep finished files lie in folders below it.
    pub(super) depth: usize,
}

impl Target for LocalFolder {
    fn open(&self) -> Result<(), ConnectError> {
        make_folder(&self.path).map_err(|error| failed(&self.job, "make", &self.path, &error))
    }

    fn probe(&self) -> Result<String, ConnectError> {
        let found = match fs::read_dir(&self.path) {
            Ok(_) => "the folder is there",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "the folder will be made",
            Err(error) => return Err(failed(&self.job, "list", &self.path, &error)),
        };
        // The nearest one that is there holds what will be made.
        let nearest = self.path.ancestors().find(|folder| folder.exists()).unwrap_or(&self.path);
        may_write(nearest).map_err(|error| failed(&self.job, "write to", nearest, &error))?;
        Ok(found.to_owned())
    }

    fn names(&self) -> Result<Vec<String>, ConnectError> {
        let mut folders = vec![(self.path.clone(), String::new())];
        let mut names = Vec::new();
        for depth in 0..=self.depth {
            for (folder, under) in std::mem::take(&mut folders) {
                let listed = |error| failed(&self.job, "list", &folder, &error);
                for entry in fs::read_dir(&folder).map_err(listed)? {
                    let entry = entry.map_err(listed)?;
                    let Some(name) = entry.file_name().to_str().map(|name| format!("{under}{name}")) else {
                        continue;
                    };
                    if depth < self.depth && name.contains('=') && entry.path().is_dir() {
                        folders.push((entry.path(), format!("{name}/")));
                    }
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    fn publish(
        &self,
        from: &Path,
        name: &str,
        _: Option<&Upload>,
        is_prepared: bool,
    ) -> Result<(), ConnectError> {
        let to = self.path.join(name);
        if to.exists() {
            // What is finished is never written over: another of this name is of a folder that was away.
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            make_folder(folder).map_err(|error| failed(&self.job, "make", folder, &error))?;
        }
        match fs::rename(from, &to) {
            Ok(()) => Ok(()),
            // What this process has prepared was not renamed before.
            Err(error) if is_prepared => Err(failed(&self.job, "finish", from, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // It was renamed before; readers may have taken it away since.
                tracing::debug!(file = %to.display(), "a finished file had its name already");
                Ok(())
            }
            Err(error) => Err(failed(&self.job, "finish", from, &error)),
        }
    }

    fn settle(&self, under: &BTreeSet<&str>) -> Result<(), ConnectError> {
        under.iter().try_for_each(|under| sync_folder(&self.job, &self.path.join(under)))
    }
}

/// Whether this process may make files in a folder.
#[cfg(target_os = "linux")]
fn may_write(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The same, as far as it can be told without writing.
#[cfg(not(target_os = "linux"))]
fn may_write(folder: &Path) -> io::Result<()> {
    let is_fit = folder.is_dir() && !fs::metadata(folder)?.permissions().readonly();
    if is_fit { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(job: &str, path: &Path) -> Result<(), ConnectError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed(job, "sync", path, &error))
}

/// What a disk said to a sink, and whose fault it is.
pub(super) fn failed(job: &str, what: &str, path: &Path, error: &io::Error) -> ConnectError {
    let message = format!("job `{job}` cannot {what} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => ConnectError::user(format!(
            "{message}; the sink's `path` must be a folder that weir may write to"
        )),
        _ => ConnectError::unavailable(message),
    }
}
