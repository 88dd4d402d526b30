//! A folder to look at, which is gone when it was looked at: the files of a pack alone, or of a pack over a project, so that
//! both are checked as any project is before a file of a real one is touched.
//!
//! What is not the pack's is linked to and not copied. Must not know what is in any file.

use crate::failure::Failure;
use crate::project::Project;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use weir_pack::archive::Files;
use weir_pack::paths::{FOLDERS, NAMED_FOLDERS};

/// A folder that shows a project as it would be.
#[derive(Debug)]
pub(crate) struct View {
    folder: TempDir,
}

impl View {
    /// Of these files alone.
    pub(crate) fn of(files: &Files) -> Result<View, Failure> {
        let view = View::empty()?;
        view.write(files).map_err(failed)?;
        Ok(view)
    }

    /// Of a project with these files in place of those that it has, and without those that go.
    pub(crate) fn over(
        project: &Path,
        data_dir: &str,
        files: &Files,
        gone: &BTreeSet<String>,
    ) -> Result<View, Failure> {
        let view = View::empty()?;
        let layer = Layer { project, files, gone, root: view.path() };
        layer.show(data_dir).and_then(|()| view.write(files)).map_err(failed)?;
        Ok(view)
    }

    fn empty() -> Result<View, Failure> {
        Ok(View { folder: tempfile::Builder::new().prefix("weir-pack-").tempdir().map_err(failed)? })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, files: &Files) -> io::Result<()> {
        for (path, bytes) in files {
            let path = self.path().join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// The project that it shows, with these values of variables before those of the environment.
    pub(crate) fn project(&self, overrides: BTreeMap<String, String>) -> Result<Project, Failure> {
        // A pack of plugins alone is a project too.
        fs::create_dir_all(self.path().join("jobs")).map_err(failed)?;
        Project::read_with(self.path(), overrides)
    }

    /// What is said of the project that it shows, as of the one whose place that takes.
    pub(crate) fn told(&self, failure: Failure, shown: &Path) -> Failure {
        let own = fs::canonicalize(self.path()).unwrap_or_else(|_| self.path().to_owned());
        let (own, shown) = (own.display().to_string(), shown.display().to_string());
        failure.map_lines(|line| line.replace(&own, &shown))
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::external(format!("cannot make a folder to check the pack in: {error}"))
}

/// A pack over a project.
struct Layer<'a> {
    project: &'a Path,
    files: &'a Files,
    gone: &'a BTreeSet<String>,
    root: &'a Path,
}

impl Layer<'_> {
    fn show(&self, data_dir: &str) -> io::Result<()> {
        if !self.project.is_dir() {
            return Ok(());
        }
        let data = Path::new(data_dir);
        let data_top = data.components().next().map(|first| PathBuf::from(first.as_os_str()));
        for entry in fs::read_dir(self.project)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy().into_owned();
            if FOLDERS.contains(&name.as_str()) {
                self.folder(&name)?;
            } else if data_top.as_deref() != Some(Path::new(&name)) {
                symlink(self.project.join(&name), self.root.join(&name))?;
            }
        }
        // What writes there is told by where it really is, so that the folder itself is no link.
        if data.is_relative() {
            fs::create_dir_all(self.root.join(data))?;
            for below in ["plugins", "compiled"].map(|below| data.join(below)) {
                if self.project.join(&below).is_dir() {
                    symlink(self.project.join(&below), self.root.join(&below))?;
                }
            }
        }
        Ok(())
    }

    /// A folder as it would be. Of those that hold what is named, what the pack has nothing in is one link.
    fn folder(&self, below: &str) -> io::Result<()> {
        let is_touched = self
            .files
            .keys()
            .chain(self.gone)
            .any(|path| path.strip_prefix(below).is_some_and(|rest| rest.starts_with('/')));
        let from = self.project.join(below);
        let top = below.split('/').next().unwrap_or_default();
        if !is_touched && NAMED_FOLDERS.contains(&top) || !from.is_dir() {
            return symlink(&from, self.root.join(below));
        }
        fs::create_dir_all(self.root.join(below))?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.folder(&path)?;
            } else if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, self.root.join(&path))?;
            } else if !self.files.contains_key(&path) && !self.gone.contains(&path) {
                symlink(entry.path(), self.root.join(&path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_pack_lies_over_a_project_and_the_project_stays() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        for path in [
            "weir.yaml",
            "jobs/a.yaml",
            "jobs/below/b.yaml",
            "jobs/gone.yaml",
            "data/x/1",
            ".weir/state/s",
            ".weir/plugins/p",
        ] {
            write(project, path, "mine");
        }
        let files: Files =
            ["jobs/a.yaml", "jobs/new.yaml"].map(|path| (path.to_owned(), b"theirs".to_vec())).into();
        let gone = BTreeSet::from(["jobs/gone.yaml".to_owned()]);
        let view = View::over(project, ".weir", &files, &gone).unwrap();
        let read = |path: &str| fs::read_to_string(view.path().join(path)).ok();
        for (path, wanted) in [
            ("weir.yaml", Some("mine")),
            ("jobs/a.yaml", Some("theirs")),
            ("jobs/new.yaml", Some("theirs")),
            ("jobs/below/b.yaml", Some("mine")),
            ("jobs/gone.yaml", None),
            ("data/x/1", Some("mine")),
            (".weir/plugins/p", Some("mine")),
            (".weir/state/s", None),
        ] {
            assert_eq!(read(path).as_deref(), wanted, "{path}");
        }
        assert_eq!(fs::read_to_string(project.join("jobs/a.yaml")).unwrap(), "mine");
        let none = View::over(&project.join("none"), ".weir", &files, &gone).unwrap();
        assert_eq!(fs::read_dir(none.path()).unwrap().count(), 1);
    }
}
