//! Which files a path or a glob means, in the order in which they are read.

use super::family::Families;
use super::real::real;
use super::trace::{Identity, modified};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// In which order names are read. It is part of a position: what was read in one order cannot be gone on with in
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// By their bytes, `part-10` before `part-9`: that of positions which do not say.
    #[default]
    Bytes,
    /// By their bytes, but a row of digits by its number: `part-9` before `part-10`; a log that is rotated by age:
    /// `app.log.2` before `app.log.1` before `app.log`.
    Natural,
}

impl Order {
    pub(super) fn compare(self, one: &str, other: &str) -> Ordering {
        match self {
            Order::Bytes => one.cmp(other),
            Order::Natural => natural(one.as_bytes(), other.as_bytes()).then_with(|| one.cmp(other)),
        }
    }
}

fn natural(mut one: &[u8], mut other: &[u8]) -> Ordering {
    loop {
        let (Some(first), Some(second)) = (one.first(), other.first()) else {
            return one.len().cmp(&other.len());
        };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let ((left, rest), (right, others_rest)) = (number(one), number(other));
            // Without leading zeros the longer number is the greater.
            let order = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
            if order != Ordering::Equal {
                return order;
            }
            (one, other) = (rest, others_rest);
        } else if first == second {
            (one, other) = (&one[1..], &other[1..]);
        } else {
            return first.cmp(second);
        }
    }
}

/// The digits at the beginning without leading zeros, and what follows them.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let zeros = text[..digits].iter().position(|byte| *byte != b'0').unwrap_or(digits);
    (&text[zeros..digits], &text[digits..])
}

/// A file that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name below the fixed part of the path.
    pub(super) name: String,
    pub(super) identity: Identity,
    /// How long it is on disk.
    pub(super) bytes: u64,
    /// When it was last written: seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

impl Listed {
    pub(super) fn new(name: String, metadata: &Metadata) -> Listed {
        let (identity, bytes) = (Identity::of(metadata), metadata.len());
        Listed { name, identity, bytes, modified: modified(metadata) }
    }

    /// Tells it from another file of its name, and from what it was before it was written to.
    pub(super) fn stamp(&self) -> String {
        let (seconds, nanoseconds) = self.modified;
        format!("{} {} {seconds}.{nanoseconds:09}", self.identity.inode(), self.bytes)
    }
}

/// The files that there are, in the order in which they are read.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) files: Vec<Listed>,
    order: Order,
    families: Families,
}

impl Listing {
    fn new(mut files: Vec<Listed>, order: Order, newest: Option<&str>) -> Listing {
        let families = match order {
            Order::Bytes => Families::default(),
            Order::Natural => Families::of(&files, newest),
        };
        files.sort_unstable_by(|one, other| compare(order, &families, &one.name, &other.name));
        Listing { files, order, families }
    }

    fn compare(&self, one: &str, other: &str) -> Ordering {
        compare(self.order, &self.families, one, other)
    }

    /// The name of what is written to, if this file is an older one of a log that is rotated.
    pub(super) fn newest_of(&self, name: &str) -> Option<String> {
        self.families.newest_of(name)
    }

    pub(super) fn of_identity(&self, identity: Identity) -> Option<&Listed> {
        self.files.iter().find(|file| file.identity == identity)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Listed> {
        let found = self.files.binary_search_by(|file| self.compare(&file.name, name));
        found.ok().map(|at| &self.files[at])
    }

    /// Those that are read before a file of this name.
    pub(super) fn before(&self, name: &str) -> &[Listed] {
        let end = self.files.partition_point(|file| self.compare(&file.name, name).is_lt());
        &self.files[..end]
    }

    /// Those that are read after a file of this name.
    pub(super) fn after(&self, name: &str) -> &[Listed] {
        let start = self.files.partition_point(|file| self.compare(&file.name, name).is_le());
        &self.files[start..]
    }
}

fn compare(order: Order, families: &Families, one: &str, other: &str) -> Ordering {
    match order {
        Order::Bytes => order.compare(one, other),
        Order::Natural => families.compare(one, other),
    }
}

/// A path or a glob.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// As it was written, below `folder` unless it is absolute.
    path: String,
    folder: PathBuf,
    /// The folder above the first component with a glob's character: names are told relative to it, so that a
    /// position still means the same file when the project has moved.
    base: PathBuf,
}

impl Names {
    pub(super) fn new(folder: PathBuf, path: String) -> Self {
        let fixed = Path::new(&path).ancestors().skip(1).find(|above| !is_glob(&above.to_string_lossy()));
        let base = fixed.map_or_else(|| folder.clone(), |fixed| folder.join(fixed));
        Names { path, folder, base }
    }

    /// The whole glob: what stands in the folder's own name is not part of it.
    fn pattern(&self) -> String {
        if Path::new(&self.path).is_absolute() {
            return self.path.clone();
        }
        let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
        Path::new(&folder).join(&self.path).to_string_lossy().into_owned()
    }

    /// Whether a file with this real path would be one of them.
    pub(super) fn mean(&self, file: &Path) -> bool {
        let path = self.folder.join(&self.path);
        if !is_glob(&self.path) {
            return real(&path) == file;
        }
        let base = glob::Pattern::escape(&real(&self.base).to_string_lossy());
        let below = path.strip_prefix(&self.base).unwrap_or(&path);
        let pattern = glob::Pattern::new(&Path::new(&base).join(below).to_string_lossy());
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        !self.hides(file) && pattern.is_ok_and(|pattern| pattern.matches_path_with(file, options))
    }

    /// The present files, in this order; `newest` is what is written to of a log that is rotated, also while there is
    /// no file of this name. Blocks.
    pub(super) fn list(&self, order: Order, newest: Option<&str>) -> Result<Listing, ConnectError> {
        let mut files = Vec::new();
        for path in self.paths()? {
            // A file that cannot be looked at now, or is gone since it was listed, is looked at again.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if metadata.is_file() {
                files.push(Listed::new(self.name_of(&path), &metadata));
            }
        }
        Ok(Listing::new(files, order, newest))
    }

    fn paths(&self) -> Result<Vec<PathBuf>, ConnectError> {
        if !is_glob(&self.path) {
            return Ok(vec![self.folder.join(&self.path)]);
        }
        let matches = glob::glob(&self.pattern())
            .map_err(|error| ConnectError::user(format!("`{}` is not a glob: {error}", self.path)))?;
        let unlisted = |error| ConnectError::unavailable(format!("cannot list `{}`: {error}", self.path));
        let is_meant = |path: &Result<PathBuf, _>| !path.as_ref().is_ok_and(|path| self.hides(path));
        matches.filter(is_meant).map(|path| path.map_err(unlisted)).collect()
    }

    /// Whether a file is hidden from the glob, as from that of a shell: what sinks have not finished is hidden, and what
    /// they note beside it.
    fn hides(&self, file: &Path) -> bool {
        let is_hidden =
            |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        is_hidden(file) && !is_hidden(Path::new(&self.path))
    }

    /// The whole path or glob, for a person.
    pub(super) fn asked(&self) -> String {
        self.folder.join(&self.path).display().to_string()
    }

    /// At the start there has to be a file, unless files may still come (`follow`) to a glob.
    pub(super) fn expect_some(&self, listing: &Listing, follow: bool) -> Result<(), ConnectError> {
        if !listing.files.is_empty() || (follow && is_glob(&self.path)) {
            return Ok(());
        }
        let path = self.asked();
        Err(ConnectError::user(if is_glob(&self.path) {
            format!("no file matches `{path}`; check the source's `path`")
        } else if self.folder.join(&self.path).is_dir() {
            let files = format!("{}/*", self.path.trim_end_matches('/'));
            format!("`{path}` is a folder; write `path: \"{files}\"` for the files in it")
        } else {
            format!("file `{path}` not found; check the source's `path`")
        }))
    }

    /// Where the file of this name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    pub(super) fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).to_string_lossy().into_owned()
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A file at a place as sinks tell it: `*` stands for the number of one of their files.
pub(super) fn file_at(place: &str) -> String {
    place
        .rsplit_once('*')
        .map_or_else(|| place.to_owned(), |(start, end)| format!("{start}000000000000{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_what_its_glob_matches_however_links_lead_there() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(there.join("data/sub")).unwrap();
        std::os::unix::fs::symlink("data", there.join("link")).unwrap();
        let file = there.join("data/sub/a-000000000000.jsonl");
        for (path, means) in [
            ("data/**/*.jsonl", true),
            ("link/*/*.jsonl", true),
            ("data/sub/a-*", true),
            ("data/sub/a-000000000000.jsonl", true),
            ("data/*.jsonl", false),
            ("data/sub/b-*", false),
            ("other/**/*.jsonl", false),
            ("data/sub/a.jsonl", false),
        ] {
            assert_eq!(Names::new(there.clone(), path.to_owned()).mean(&file), means, "{path}");
        }
    }

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let sorted = [
            "a",
            "a0",
            "a00",
            "a01.log",
            "a1.log",
            "a2",
            "a9b",
            "a10",
            "a10b2",
            "a10b10",
            "ab",
            "dt=2026-01-02/part-9",
            "dt=2026-01-02/part-10",
            "dt=2026-01-10/part-1",
            "part",
            "part-9.jsonl",
            "part-10.jsonl",
            "part-99999999999999999999999.jsonl",
            "part-100000000000000000000000.jsonl",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(Order::Natural.compare(one, other), at.cmp(&other_at), "{one} {other}");
            }
        }
        assert!(Order::Bytes.compare("part-10", "part-9").is_lt());
    }
}
