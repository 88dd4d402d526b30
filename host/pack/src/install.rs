//! A pack's files into a project's folder: first what would change, then the change.
//!
//! Every file is written beside the project under a passing name and then moved to its place, in an order in which a project
//! that is valid stays so: what definitions name comes before them, streams before jobs, and the record of the pack last.
//! Whoever is killed in between leaves files that the next installation finds to be there already.
//!
//! Knows files and their digests. Must not know what is in any.

use crate::artifact::Pack;
use crate::digest::Digest;
use crate::error::{PackError, Result};
use crate::paths;
use crate::record::{self, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What becomes of a file of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There is none of its name.
    New,
    /// It is there as it is.
    Same,
    /// An earlier version of the pack wrote what is there, and nobody has changed it since.
    Updated,
    /// Something else is there.
    Conflict,
}

/// What an installation would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The pack's files.
    pub files: BTreeMap<String, Change>,
    /// Files of an earlier version that this one does not have, as they were written.
    pub gone: BTreeSet<String>,
    /// The same of files that somebody has changed: they stay.
    pub left: BTreeSet<String>,
    /// What is recorded of the pack so far.
    pub earlier: Option<Record>,
    record: Record,
}

/// Compares a pack with a folder, which need not be there.
pub fn compare(pack: &Pack, project: &Path, signed_by: Option<String>) -> Result<Changes> {
    let records = record::read_all(project)?;
    let earlier = records.iter().find(|record| record.name == pack.config.name).cloned();
    let written = |path: &str| earlier.as_ref().and_then(|record| record.files.get(path));
    let mut files = BTreeMap::new();
    for (path, bytes) in &pack.files {
        let wanted = Digest::of(bytes);
        let change = match digest_at(project, path)? {
            None => Change::New,
            Some(found) if found == wanted => Change::Same,
            Some(found) if written(path) == Some(&found) => Change::Updated,
            Some(_) => Change::Conflict,
        };
        files.insert(path.clone(), change);
    }
    let is_others = |path: &String| {
        records.iter().any(|record| record.name != pack.config.name && record.files.contains_key(path))
    };
    let (mut gone, mut left) = (BTreeSet::new(), BTreeSet::new());
    for (path, written) in earlier.iter().flat_map(|record| &record.files) {
        if pack.files.contains_key(path) || is_others(path) || paths::check(path).is_err() {
            continue;
        }
        match digest_at(project, path)? {
            None => {}
            Some(found) if found == *written => drop(gone.insert(path.clone())),
            Some(_) => drop(left.insert(path.clone())),
        }
    }
    let record = Record {
        name: pack.config.name.clone(),
        version: pack.config.version.clone(),
        digest: pack.digest,
        signed_by,
        files: pack.files.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect(),
    };
    Ok(Changes { files, gone, left, earlier, record })
}

/// The digest of the file at a path of the project; `None` where there is nothing. What is not a file, and what is behind a
/// link, is refused: it may lead anywhere.
fn digest_at(project: &Path, path: &str) -> Result<Option<Digest>> {
    let mut at = project.to_owned();
    let names: Vec<&str> = path.split('/').collect();
    for (number, name) in names.iter().enumerate() {
        at.push(name);
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PackError::io("look at", &at, &error)),
        };
        let is_last = number + 1 == names.len();
        if is_last && !found.is_file() || !is_last && !found.is_dir() {
            let what = if found.is_symlink() {
                "a link, which may lead out of the project"
            } else if found.is_dir() {
                "a folder"
            } else {
                "a file"
            };
            return Err(PackError::user(format!(
                "{} is {what}, and the pack has {path}; put it elsewhere, or give another project",
                at.display()
            )));
        }
    }
    let bytes = fs::read(&at).map_err(|error| PackError::io("read", &at, &error))?;
    Ok(Some(Digest::of(&bytes)))
}

impl Changes {
    /// The files that differ from what the pack has, and that no version of it wrote.
    pub fn conflicts(&self) -> impl Iterator<Item = &str> {
        self.of(Change::Conflict)
    }

    /// The files with which this happens.
    pub fn of(&self, change: Change) -> impl Iterator<Item = &str> {
        self.files.iter().filter(move |(_, found)| **found == change).map(|(path, _)| path.as_str())
    }

    /// Whether all of it is there, and recorded.
    pub fn is_nothing(&self) -> bool {
        let is_recorded = self.earlier.as_ref().is_some_and(|earlier| {
            (&earlier.version, &earlier.digest, &earlier.files)
                == (&self.record.version, &self.record.digest, &self.record.files)
        });
        is_recorded && self.gone.is_empty() && self.files.values().all(|change| *change == Change::Same)
    }

    /// The files that are written: those that are not there as they are.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|(_, change)| **change != Change::Same).map(|(path, _)| path.as_str())
    }

    /// Writes them, also over what differs: whoever does not want that looks at [`Changes::conflicts`] before.
    pub fn apply(&self, pack: &Pack, project: &Path) -> Result<()> {
        let mut steps = self.steps(pack, project)?;
        steps.iter_mut().try_for_each(|step| step.take(project))?;
        sync(project)
    }

    /// The steps of a change, in their order; nothing is at its place before they are taken.
    fn steps(&self, pack: &Pack, project: &Path) -> Result<Vec<Step>> {
        fs::create_dir_all(project).map_err(|error| PackError::io("make", project, &error))?;
        let staged = |to: PathBuf, bytes: &[u8]| Step::staged(project, to, bytes);
        let mut steps = Vec::new();
        let mut written: Vec<&str> = self.written().collect();
        written.sort_by_key(|path| order(path));
        for path in written {
            let bytes = pack.files.get(path).map(Vec::as_slice).unwrap_or_default();
            steps.push(staged(PathBuf::from(path), bytes)?);
        }
        // Jobs go before the streams that they read.
        let mut gone: Vec<&String> = self.gone.iter().collect();
        gone.sort_by_key(|path| std::cmp::Reverse(order(path)));
        steps.extend(gone.into_iter().map(|path| Step::Remove(PathBuf::from(path))));
        steps.push(staged(Record::path(&self.record.name), &self.record.text())?);
        Ok(steps)
    }
}

/// What is named comes before what names it; a query comes before the job whose file it stands beside.
fn order(path: &str) -> (usize, bool, &str) {
    const ORDER: [&str; 7] = ["plugins", "schemas", "data", "queries", "tests", "streams", "jobs"];
    let folder = path.split('/').next().unwrap_or_default();
    let at = ORDER.iter().position(|known| *known == folder).unwrap_or(ORDER.len());
    (at, !path.ends_with(".sql"), path)
}

/// One file.
enum Step {
    /// Moved to its place.
    Move {
        staged: Option<tempfile::NamedTempFile>,
        to: PathBuf,
    },
    Remove(PathBuf),
}

/// What is written under a passing name begins so: no command of weir reads it.
const STAGED: &str = ".weir-pack-";

impl Step {
    fn staged(project: &Path, to: PathBuf, bytes: &[u8]) -> Result<Step> {
        let failed = |error: std::io::Error| PackError::io("write", &project.join(&to), &error);
        let mut staged = tempfile::Builder::new().prefix(STAGED).tempfile_in(project).map_err(failed)?;
        staged.write_all(bytes).map_err(failed)?;
        readable(staged.as_file()).and_then(|()| staged.as_file().sync_all()).map_err(failed)?;
        Ok(Step::Move { staged: Some(staged), to })
    }

    fn take(&mut self, project: &Path) -> Result<()> {
        match self {
            Step::Move { staged, to } => {
                let to = project.join(to);
                to.parent()
                    .map_or(Ok(()), fs::create_dir_all)
                    .map_err(|error| PackError::io("write", &to, &error))?;
                // It is moved once.
                let Some(staged) = staged.take() else { return Ok(()) };
                staged.persist(&to).map_err(|error| PackError::io("write", &to, &error.error))?;
                Ok(())
            }
            Step::Remove(path) => match fs::remove_file(project.join(&*path)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(PackError::io("remove", path, &error))
                }
                _ => Ok(()),
            },
        }
    }
}

fn readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

/// The folders of a project, to the disk, so that what was moved stays where it is.
fn sync(project: &Path) -> Result<()> {
    let folders = paths::FOLDERS.iter().chain([&record::FOLDER]).map(|folder| project.join(folder));
    for folder in folders.chain([project.to_owned()]).filter(|folder| folder.is_dir()) {
        let synced = File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| PackError::io("write", &folder, &error))?;
    }
    Ok(())
}

/// Removes what installations that were killed have left under passing names. Of two at once this may take the files of the
/// other, which then fails and is typed again.
pub fn clear(project: &Path) -> Result<()> {
    let entries = match fs::read_dir(project) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PackError::io("read", project, &error)),
    };
    for entry in entries.filter_map(std::result::Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(STAGED) {
            // Whoever else removed it did what is wanted.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
