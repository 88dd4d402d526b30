//! A project folder: which files it is made of, read as text. Must not know what is in them.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use weir_plan::{
    Checked, ConnectorKinds, Diagnostic, ProjectFiles, Severity, SourceFile, check_project,
    needed_query_files,
};

/// The files of a project.
#[derive(Debug)]
pub(crate) struct Project {
    folder: PathBuf,
    files: ProjectFiles,
    /// Values of variables that come before those of the environment: what the command line says.
    overrides: BTreeMap<String, String>,
    /// What cannot be read or is not read.
    remarks: Vec<Diagnostic>,
}

/// Endings of definitions; a stream may also be a `.sql` file.
const DEFINITIONS: [&str; 3] = ["yaml", "yml", "json"];

impl Project {
    /// Reads every definition below `folder`. What cannot be read is told with whatever else is wrong.
    pub(crate) fn read(folder: &Path) -> Result<Project, Failure> {
        Project::read_with(folder, BTreeMap::new())
    }

    /// As [`Project::read`]; `overrides` are values of variables that come before the environment's.
    pub(crate) fn read_with(folder: &Path, overrides: BTreeMap<String, String>) -> Result<Project, Failure> {
        let shown = folder.display();
        let folder = match folder.canonicalize() {
            Ok(folder) if folder.is_dir() => folder,
            Ok(_) => return Err(Failure::user(format!("{shown} is not a folder; give a project's folder"))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let make = format!("folder {shown} was not found; `weir init {shown}` makes a project there");
                return Err(Failure::user(make));
            }
            Err(error) => return Err(Failure::user(format!("cannot read {shown}: {error}"))),
        };
        if !["weir.yaml", "streams", "jobs"].iter().any(|name| folder.join(name).exists()) {
            let message = format!(
                "{shown} is not a project: it has neither weir.yaml nor streams nor jobs; `weir init {shown}` makes one"
            );
            return Err(Failure::user(message));
        }
        let mut reader = Reader { folder: &folder, overrides: &overrides, remarks: Vec::new() };
        let files = reader.read();
        let remarks = reader.remarks;
        Ok(Project { folder, files, overrides, remarks })
    }

    /// The folder, as an absolute path.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the components are that are loaded at start.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.folder.join("plugins")
    }

    /// The definitions, and everything that is wrong with them.
    pub(crate) fn check(&self, kinds: &dyn ConnectorKinds) -> Checked {
        let mut checked = check_project(&self.files, &|name| variable(&self.overrides, name), kinds);
        // A file that cannot be read counts as an empty one, of which nothing else is worth saying.
        let unreadable = |found: &Diagnostic| {
            self.remarks.iter().any(|remark| remark.file == found.file && remark.severity == Severity::Error)
        };
        checked.diagnostics.retain(|found| !unreadable(found));
        for name in self.overrides.keys() {
            let of_variable = format!("environment variable {name}");
            let of_it = checked.diagnostics.iter_mut().filter(|found| found.file == of_variable);
            of_it.for_each(|found| "the command line".clone_into(&mut found.file));
        }
        checked.diagnostics.splice(0..0, self.remarks.iter().cloned());
        if self.remarks.iter().any(|remark| remark.file == SERVER && remark.severity == Severity::Error) {
            checked.server = None;
        }
        checked
    }
}

/// Where the server's settings stand.
const SERVER: &str = "weir.yaml";
/// Folders in folders; deeper is a loop of links.
const DEPTH_LIMIT: usize = 8;

fn variable(overrides: &BTreeMap<String, String>, name: &str) -> Option<String> {
    overrides.get(name).cloned().or_else(|| std::env::var(name).ok())
}

struct Reader<'a> {
    folder: &'a Path,
    overrides: &'a BTreeMap<String, String>,
    remarks: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn read(&mut self) -> ProjectFiles {
        let (streams, jobs) = (self.paths("streams"), self.paths("jobs"));
        let mut files = ProjectFiles {
            server: self.text(SERVER).map(|text| SourceFile { path: SERVER.to_owned(), text }),
            streams: self.texts(&streams, &["yaml", "yml", "json", "sql"]),
            jobs: self.texts(&jobs, &DEFINITIONS),
            queries: BTreeMap::new(),
        };
        let beside = self.texts(&jobs, &["sql"]);
        files.queries = beside.into_iter().map(|file| (file.path, file.text)).collect();
        let overrides = self.overrides;
        for path in needed_query_files(&files, &|name| variable(overrides, name)) {
            if !files.queries.contains_key(&path)
                && let Some(text) = self.text(&path)
            {
                files.queries.insert(path, text);
            }
        }
        files
    }

    /// Every file of `below` and its folders that may be a definition, in the order of their names; of the others it
    /// is said that they are not read.
    fn paths(&mut self, below: &str) -> Vec<String> {
        let mut paths = Vec::new();
        self.walk(below, 0, &mut paths);
        paths.sort();
        paths.retain(|path| {
            let reason = ignored(path);
            if let Some(reason) = &reason {
                self.remarks.push(Diagnostic::warning(path, 1, 1, format!("is not read: {reason}")));
            }
            reason.is_none()
        });
        paths
    }

    fn walk(&mut self, below: &str, depth: usize, paths: &mut Vec<String>) {
        let listed = fs::read_dir(self.folder.join(below));
        let entries = match listed.and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound && depth == 0 => return,
            Err(error) => {
                let message = format!("cannot be listed: {error}");
                return self.remarks.push(Diagnostic::error(below, 1, 1, message));
            }
        };
        for entry in entries {
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            if !self.folder.join(&path).is_dir() {
                paths.push(path);
            } else if depth < DEPTH_LIMIT && !is_hidden(&path) {
                self.walk(&path, depth + 1, paths);
            } else {
                let reason = if is_hidden(&path) {
                    "its name begins with a dot"
                } else {
                    "it is too deep; is a link a loop?"
                };
                self.remarks.push(Diagnostic::warning(path, 1, 1, format!("is not read: {reason}")));
            }
        }
    }

    /// The texts of those that have one of these endings.
    fn texts(&mut self, paths: &[String], endings: &[&str]) -> Vec<SourceFile> {
        let wanted =
            paths.iter().filter(|path| ending(path).is_some_and(|found| endings.contains(&found.as_str())));
        wanted.filter_map(|path| Some(SourceFile { text: self.text(path)?, path: path.clone() })).collect()
    }

    /// The text of a file, an empty one if it cannot be read, which is then on record; `None` if there is none.
    fn text(&mut self, path: &str) -> Option<String> {
        let (line, problem) = match fs::read(self.folder.join(path)) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(error) => {
                    let before = error.as_bytes()[..error.utf8_error().valid_up_to()].iter();
                    let line = before.filter(|byte| **byte == b'\n').count() + 1;
                    (line, "is not UTF-8; save it as such".to_owned())
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => (1, format!("cannot be read: {error}")),
        };
        self.remarks.push(Diagnostic::error(path, u32::try_from(line).unwrap_or(u32::MAX), 1, problem));
        Some(String::new())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_found_by_folder_and_ending() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("weir.yaml", ""),
            ("streams/b.yaml", "b"),
            ("streams/a.sql", "a"),
            ("jobs/j.yml", "query_file: queries/j.sql"),
            ("jobs/k.json", "{}"),
            ("jobs/k.sql", "SELECT 1"),
            ("jobs/README.md", "no job"),
            ("queries/j.sql", "SELECT 2"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let project = Project::read(folder.path()).unwrap();
        let paths = |files: &[SourceFile]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&project.files.streams), ["streams/a.sql", "streams/b.yaml"]);
        assert_eq!(paths(&project.files.jobs), ["jobs/j.yml", "jobs/k.json"]);
        let queries: Vec<_> = project.files.queries.keys().map(String::as_str).collect();
        assert_eq!(queries, ["jobs/k.sql", "queries/j.sql"]);
    }

    #[test]
    fn what_is_no_project_says_how_to_make_one() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none")] {
            let failure = Project::read(&path).unwrap_err();
            assert_eq!(failure.exit_code(), 1);
            assert!(format!("{failure:?}").contains("weir init"), "{failure:?}");
        }
    }

    #[test]
    fn definitions_in_folders_are_read_and_what_is_not_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "jobs/fraud/a.yaml",
            "jobs/fraud/deep/b.sql",
            "jobs/.hidden.yaml",
            "jobs/c.yaml.bak",
            "jobs/.git/x",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let project = Project::read(folder.path()).unwrap();
        assert_eq!(project.files.jobs.len(), 1);
        assert_eq!(project.files.jobs[0].path, "jobs/fraud/a.yaml");
        assert!(project.files.queries.contains_key("jobs/fraud/deep/b.sql"));
        let mut told: Vec<&str> = project.remarks.iter().map(|remark| remark.file.as_str()).collect();
        told.sort_unstable();
        assert_eq!(told, ["jobs/.git", "jobs/.hidden.yaml", "jobs/c.yaml.bak"]);
    }

    #[test]
    fn a_link_to_its_own_folder_ends() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        std::os::unix::fs::symlink("../jobs", folder.path().join("jobs/again")).unwrap();
        let project = Project::read(folder.path()).unwrap();
        assert!(
            project.remarks.iter().any(|remark| remark.message.contains("too deep")),
            "{:?}",
            project.remarks
        );
    }

    #[test]
    fn every_file_that_is_not_text_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(format!("jobs/{name}.yaml")), b"job: a\n\xff").unwrap();
        }
        let project = Project::read(folder.path()).unwrap();
        let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("jobs/a.yaml:2:1") && told[1].starts_with("jobs/b.yaml:2:1"), "{told:?}");
    }
}
