//! A project folder: which files it is made of, read as text. Must not know what is in them.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use weir_plan::{ConnectorKinds, ProjectFiles, SourceFile, check_project, needed_query_files};

/// The files of a project.
#[derive(Debug)]
pub(crate) struct Project {
    folder: PathBuf,
    files: ProjectFiles,
}

/// Endings of definitions; a stream may also be a `.sql` file.
const DEFINITIONS: [&str; 3] = ["yaml", "yml", "json"];

impl Project {
    /// Reads every definition below `folder`; all files that cannot be read are reported at once.
    pub(crate) fn read(folder: &Path) -> Result<Project, Failure> {
        let shown = folder.display();
        let folder = match folder.canonicalize() {
            Ok(folder) if folder.is_dir() => folder,
            Ok(_) => return Err(Failure::user(format!("{shown} is no folder; give a project's folder"))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let make = format!("there is no folder {shown}; `weir init {shown}` makes a project there");
                return Err(Failure::user(make));
            }
            Err(error) => return Err(Failure::user(format!("cannot read {shown}: {error}"))),
        };
        if !["weir.yaml", "streams", "jobs"].iter().any(|name| folder.join(name).exists()) {
            let message = format!(
                "{shown} is no project: it has neither weir.yaml nor streams nor jobs; `weir init {shown}` makes one"
            );
            return Err(Failure::user(message));
        }
        let mut reader = Reader { folder: &folder, failures: Vec::new() };
        let files = reader.read();
        Failure::all(reader.failures)?;
        Ok(Project { folder, files })
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
    pub(crate) fn check(&self, kinds: &dyn ConnectorKinds) -> weir_plan::Checked {
        check_project(&self.files, &environment, kinds)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

struct Reader<'a> {
    folder: &'a Path,
    failures: Vec<Failure>,
}

impl Reader<'_> {
    fn read(&mut self) -> ProjectFiles {
        let mut files = ProjectFiles {
            server: self.text("weir.yaml").map(|text| SourceFile { path: "weir.yaml".to_owned(), text }),
            streams: self.all("streams", &["yaml", "yml", "json", "sql"]),
            jobs: self.all("jobs", &DEFINITIONS),
            queries: BTreeMap::new(),
        };
        files.queries = self.all("jobs", &["sql"]).into_iter().map(|file| (file.path, file.text)).collect();
        for path in needed_query_files(&files, &environment) {
            if !files.queries.contains_key(&path)
                && let Some(text) = self.text(&path)
            {
                files.queries.insert(path, text);
            }
        }
        files
    }

    /// Every file of `below` with one of these endings, in the order of their names.
    fn all(&mut self, below: &str, endings: &[&str]) -> Vec<SourceFile> {
        let mut names = match self.names(below) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.failures.push(Failure::user(format!("{below}: cannot be listed: {error}")));
                Vec::new()
            }
        };
        names.retain(|name| {
            let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
            !name.starts_with('.') && ending.is_some_and(|ending| endings.contains(&ending.as_str()))
        });
        names.sort();
        let paths = names.into_iter().map(|name| format!("{below}/{name}"));
        paths.filter_map(|path| Some(SourceFile { text: self.text(&path)?, path })).collect()
    }

    fn names(&self, below: &str) -> std::io::Result<Vec<String>> {
        let entries = fs::read_dir(self.folder.join(below))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// The text of a file; `None` if there is none, or if it cannot be read, which is then on record.
    fn text(&mut self, path: &str) -> Option<String> {
        let problem = match fs::read(self.folder.join(path)) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(error) => {
                    let before = error.as_bytes()[..error.utf8_error().valid_up_to()].iter();
                    let line = before.filter(|byte| **byte == b'\n').count() + 1;
                    format!("{path}:{line}:1: is not UTF-8; save it as such")
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => format!("{path}: cannot be read: {error}"),
        };
        self.failures.push(Failure::user(problem));
        None
    }
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
    fn every_file_that_is_not_text_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(format!("jobs/{name}.yaml")), b"job: a\n\xff").unwrap();
        }
        let failure = format!("{:?}", Project::read(folder.path()).unwrap_err());
        assert!(failure.contains("jobs/a.yaml:2:1") && failure.contains("jobs/b.yaml:2:1"), "{failure}");
    }
}
