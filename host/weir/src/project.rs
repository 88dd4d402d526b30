//! A project folder: which files it is made of, read as text. Must not know what is in them.

use crate::failure::Failure;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use weir_plan::{Checked, ConnectorKinds, Diagnostic, ProjectFiles, Severity, check_project};

mod environment;
mod reader;
use reader::{Reader, SERVER};

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
        let (files, remarks) = Reader::new(&folder).read(&|name| variable(&overrides, name));
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
        let asked = RefCell::new(BTreeSet::new());
        let ask = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            variable(&self.overrides, name)
        };
        let mut checked = check_project(&self.files, &ask, kinds);
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
        let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        checked.diagnostics.extend(environment::misspelt(set, &asked.into_inner()));
        checked.diagnostics.splice(0..0, self.remarks.iter().cloned());
        if self.remarks.iter().any(|remark| remark.file == SERVER && remark.severity == Severity::Error) {
            checked.server = None;
        }
        checked
    }
}

fn variable(overrides: &BTreeMap<String, String>, name: &str) -> Option<String> {
    overrides.get(name).cloned().or_else(|| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use weir_plan::SourceFile;

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
    fn links_to_folders_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        for below in ["jobs", "elsewhere"] {
            fs::create_dir(folder.path().join(below)).unwrap();
        }
        fs::write(folder.path().join("elsewhere/a.yaml"), "").unwrap();
        for (to, link) in [
            ("..", "jobs/loop"),
            ("../elsewhere", "jobs/outside"),
            ("../elsewhere/a.yaml", "jobs/a.yaml"),
            ("elsewhere", "streams"),
        ] {
            std::os::unix::fs::symlink(to, folder.path().join(link)).unwrap();
        }
        let project = Project::read(folder.path()).unwrap();
        assert_eq!(project.files.jobs.len(), 1, "a link to a file is one: {:?}", project.files.jobs);
        assert!(project.files.streams.is_empty());
        let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
        for (told, path) in told.iter().zip(["streams:1:1: is a link", "jobs/loop:1:1: warning: is not read"])
        {
            assert!(told.starts_with(path) && told.contains("link to a folder"), "{told}");
        }
        assert_eq!(told.len(), 3, "{told:?}");
    }

    #[test]
    fn only_files_of_a_definition_s_size_are_read_and_each_other_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("jobs/folder.yaml")).unwrap();
        fs::write(at("jobs/folder.yaml/inner.yaml"), "").unwrap();
        let made =
            std::process::Command::new("mkfifo").args([at("jobs/pipe.yaml"), at("weir.yaml")]).status();
        assert!(made.unwrap().success());
        for (to, link) in
            [("pipe.yaml", "pipe_link.yml"), ("/dev/zero", "zero.json"), ("gone", "dangling.sql")]
        {
            std::os::unix::fs::symlink(to, at("jobs").join(link)).unwrap();
        }
        fs::File::create(at("jobs/large.yaml")).unwrap().set_len(8 << 30).unwrap();
        fs::write(at("jobs/full.yaml"), vec![b'#'; 1 << 20]).unwrap();
        let project = Project::read(folder.path()).unwrap();
        let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
        for says in [
            "weir.yaml:1:1: is not a regular file",
            "jobs/folder.yaml:1:1: is a folder",
            "jobs/large.yaml:1:1: is larger than 1 MiB",
            "jobs/pipe.yaml:1:1: is not a regular file",
            "jobs/pipe_link.yml:1:1: is not a regular file",
            "jobs/zero.json:1:1: is not a regular file",
            "jobs/dangling.sql:1:1: is a link to a file that was not found",
        ] {
            assert!(told.iter().any(|told| told.starts_with(says)), "{says}: {told:?}");
        }
        assert_eq!(told.len(), 7, "{told:?}");
        assert_eq!(project.files.jobs.iter().map(|file| file.text.len()).sum::<usize>(), 1 << 20);
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
