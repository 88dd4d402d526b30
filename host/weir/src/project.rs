//! The project that a command is about: its folder, and the variables with which its definitions are read.

use crate::failure::Failure;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use weir_plan::{Checked, ConnectorKinds, ProjectFiles, needed_query_files, place_of_variable};
use weir_project::ProjectFolder;

mod environment;

/// A project's folder, read.
#[derive(Debug)]
pub(crate) struct Project {
    folder: ProjectFolder,
    /// Values of variables that come before those of the environment: what the command line says.
    overrides: BTreeMap<String, String>,
}

impl Project {
    /// Reads every definition below `folder`. What cannot be read is told with whatever else is wrong.
    pub(crate) fn read(folder: &Path) -> Result<Project, Failure> {
        Project::read_with(folder, BTreeMap::new())
    }

    /// As [`Project::read`]; `overrides` are values of variables that come before the environment's.
    pub(crate) fn read_with(folder: &Path, overrides: BTreeMap<String, String>) -> Result<Project, Failure> {
        let folder = ProjectFolder::read(folder, &|name: &str| variable(&overrides, name));
        Ok(Project { folder: folder.map_err(Failure::user)?, overrides })
    }

    /// The same project with these files in place of those of its folder.
    pub(crate) fn with_files(&self, files: BTreeMap<String, String>) -> Project {
        Project { folder: self.folder.with_files(files), overrides: self.overrides.clone() }
    }

    /// The texts of each job's definition.
    pub(crate) fn texts(&self, checked: &Checked) -> BTreeMap<String, BTreeMap<String, String>> {
        checked.jobs.iter().map(|job| (job.name.clone(), self.folder.texts_of(job))).collect()
    }

    /// The texts of all definitions.
    pub(crate) fn files(&self) -> &ProjectFiles {
        self.folder.files()
    }

    /// Paths of the files that may hold queries of these jobs; some need not be there.
    pub(crate) fn query_files(&self, jobs: &ProjectFiles) -> Vec<String> {
        needed_query_files(jobs, &|name: &str| variable(&self.overrides, name))
    }

    /// The folder, as an absolute path.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the components are that are loaded at start.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.folder().join("plugins")
    }

    /// The definitions, and everything that is wrong with them.
    pub(crate) fn check(&self, kinds: &dyn ConnectorKinds) -> Checked {
        let asked = RefCell::new(BTreeSet::new());
        let ask = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            variable(&self.overrides, name)
        };
        let mut checked = self.folder.check(&ask, kinds);
        for name in self.overrides.keys() {
            let of_variable = place_of_variable(name);
            let of_it = checked.diagnostics.iter_mut().filter(|found| found.file == of_variable);
            of_it.for_each(|found| "the command line".clone_into(&mut found.file));
        }
        let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        checked.diagnostics.extend(environment::misspelt(set, &asked.into_inner()));
        checked
    }
}

fn variable(overrides: &BTreeMap<String, String>, name: &str) -> Option<String> {
    overrides.get(name).cloned().or_else(|| std::env::var(name).ok())
}
