//! Reading the files of a project: only regular ones, none of which is larger than a definition can be, and no folder
//! that is outside of the project or was read already, by whatever links.
//!
//! Whatever lies in the folder, reading ends and what is sound is read. Must not know what is in the files.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use weir_plan::check::Environment;
use weir_plan::{Diagnostic, ProjectFiles, needed_query_files};

/// Where the server's settings stand.
pub(super) const SERVER: &str = "weir.yaml";
/// Endings of definitions; a stream may also be a `.sql` file.
const DEFINITIONS: [&str; 3] = ["yaml", "yml", "json"];
/// No definition that somebody wrote is as large; what is larger is another file by mistake.
const SIZE_LIMIT: u64 = 1 << 20;

pub(super) struct Reader<'a> {
    /// Without links in it.
    folder: &'a Path,
    remarks: Vec<Diagnostic>,
    /// The folders that were read, without links in them.
    walked: BTreeSet<PathBuf>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Reader { folder, remarks: Vec::new(), walked: BTreeSet::new() }
    }

    /// The texts, and what cannot be read or is not read. The environment tells which files a definition names.
    pub(super) fn read(mut self, environment: &Environment<'_>) -> (ProjectFiles, Vec<Diagnostic>) {
        let (streams, jobs) = (self.paths("streams"), self.paths("jobs"));
        let paths = [SERVER.to_owned()].into_iter().chain(streams).chain(jobs);
        let mut files: ProjectFiles =
            paths.filter_map(|path| Some((path.clone(), self.text(&path)?))).collect();
        for path in needed_query_files(&files, environment) {
            if !files.queries.contains_key(&path)
                && let Some(text) = self.text(&path)
            {
                files.queries.insert(path, text);
            }
        }
        (files, self.remarks)
    }

    /// Every path of `below` and its folders that may be a definition, in the order of their names; of the others it
    /// is said that they are not read.
    fn paths(&mut self, below: &str) -> Vec<String> {
        if let Some(reason) = self.unfollowed(below) {
            self.remarks.push(Diagnostic::error(below, 1, 1, format!("is {reason}")));
            return Vec::new();
        }
        let (mut paths, mut links) = (Vec::new(), VecDeque::new());
        self.walk(below, &mut paths, &mut links);
        // After the folders themselves, which are read under their own names.
        while let Some(link) = links.pop_front() {
            match self.unfollowed(&link) {
                Some(reason) => self.is_not_read(&link, &format!("it is {reason}")),
                None => self.walk(&link, &mut paths, &mut links),
            }
        }
        paths.sort();
        paths.retain(|path| {
            let reason = ignored(path);
            if let Some(reason) = &reason {
                self.is_not_read(path, reason);
            }
            reason.is_none()
        });
        paths
    }

    fn walk(&mut self, below: &str, paths: &mut Vec<String>, links: &mut VecDeque<String>) {
        self.walked.extend(self.folder.join(below).canonicalize());
        let listed = fs::read_dir(self.folder.join(below));
        let mut entries = match listed.and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => {
                let message = format!("cannot be listed: {error}");
                return self.remarks.push(Diagnostic::error(below, 1, 1, message));
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            if ignored(&path).is_none() || !self.folder.join(&path).is_dir() {
                // Also a folder that is named like a definition: whoever reads it says that it is not one.
                paths.push(path);
            } else if is_hidden(&path) {
                self.is_not_read(&path, "its name begins with a dot");
            } else if self.folder.join(&path).is_symlink() {
                links.push_back(path);
            } else {
                self.walk(&path, paths, links);
            }
        }
    }

    /// Why a link to a folder is not followed, if it is one that is not.
    fn unfollowed(&self, path: &str) -> Option<&'static str> {
        let link = self.folder.join(path);
        if !link.is_symlink() || !link.is_dir() {
            return None;
        }
        let (Ok(target), Some(Ok(above))) = (link.canonicalize(), link.parent().map(Path::canonicalize))
        else {
            return Some("a link to a folder that cannot be looked up; correct the link, or remove it");
        };
        if !target.starts_with(self.folder) {
            return Some("a link to a folder outside of the project; put the folder itself in its place");
        }
        if above.starts_with(&target) {
            return Some("a link to a folder that it is in itself; remove it");
        }
        self.walked.contains(&target).then_some("a link to a folder that is read already; remove it")
    }

    fn is_not_read(&mut self, path: &str, reason: &str) {
        self.remarks.push(Diagnostic::warning(path, 1, 1, format!("is not read: {reason}")));
    }

    /// The text of a file, an empty one if it cannot be read, which is then on record; `None` if there is none.
    fn text(&mut self, path: &str) -> Option<String> {
        let (line, problem) = match bytes(&self.folder.join(path)) {
            Ok(bytes) => match String::from_utf8(bytes?) {
                Ok(text) => return Some(text),
                Err(error) => {
                    let before = error.as_bytes()[..error.utf8_error().valid_up_to()].iter();
                    let line = before.filter(|byte| **byte == b'\n').count() + 1;
                    (line, "is not UTF-8; save it as such".to_owned())
                }
            },
            Err(problem) => (1, problem),
        };
        self.remarks.push(Diagnostic::error(path, u32::try_from(line).unwrap_or(u32::MAX), 1, problem));
        Some(String::new())
    }
}

/// What is in a regular file, or one that is linked to; `None` if there is none, else why it is not read.
fn bytes(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    // Asked before it is opened: to open a pipe waits for whoever writes to it.
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            return Err("is a link to a file that was not found; correct the link, or remove it".to_owned());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if found.is_dir() {
        return Err("is a folder, not a file; give it a name without that ending, or remove it".to_owned());
    }
    if !found.is_file() {
        return Err("is not a regular file; put a file in its place, or remove it".to_owned());
    }
    let mut bytes = Vec::new();
    // It may be larger than it says, as the system's own files are.
    let file = File::open(path).map_err(unreadable)?;
    file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(
            "is larger than 1 MiB, which a definition is not; put another file in its place, or remove it"
                .to_owned(),
        );
    }
    Ok(Some(bytes))
}

fn ending(path: &str) -> Option<String> {
    path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())
}

fn is_hidden(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with('.'))
}

/// Why a file among the definitions is not one, if it is not.
fn ignored(path: &str) -> Option<String> {
    if is_hidden(path) {
        return Some("its name begins with a dot; rename it, or remove it".to_owned());
    }
    let is_definition =
        ending(path).is_some_and(|ending| ending == "sql" || DEFINITIONS.contains(&ending.as_str()));
    (!is_definition).then(|| "definitions end in .yaml, .yml, .json or .sql".to_owned())
}
