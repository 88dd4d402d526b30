//! A project's folder: which files it is made of, read as text. Must not know what is in them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use weir_plan::check::Environment;
use weir_plan::{Checked, ConnectorKinds, Diagnostic, JobDefinition, ProjectFiles, Severity, check_project};

mod reader;
#[cfg(test)]
mod tests;

use reader::{Reader, SERVER};

/// The texts of a project's folder.
#[derive(Debug)]
pub struct ProjectFolder {
    path: PathBuf,
    files: ProjectFiles,
    /// What cannot be read or is not read.
    remarks: Vec<Diagnostic>,
}

/// Why a folder is not a project's, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FolderError(String);

impl ProjectFolder {
    /// Reads every definition below `folder`. What cannot be read is told with whatever else is wrong. The environment
    /// has the values for `${NAME}`, with which a definition may name another file.
    pub fn read(folder: &Path, environment: &Environment<'_>) -> Result<ProjectFolder, FolderError> {
        let shown = folder.display();
        let refuse = |message: String| Err(FolderError(message));
        let path = match folder.canonicalize() {
            Ok(path) if path.is_dir() => path,
            Ok(_) => return refuse(format!("{shown} is not a folder; give a project's folder")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return refuse(format!(
                    "folder {shown} was not found; `weir init {shown}` makes a project there"
                ));
            }
            Err(error) => return refuse(format!("cannot read {shown}: {error}")),
        };
        if !["weir.yaml", "streams", "jobs"].iter().any(|name| path.join(name).exists()) {
            return refuse(format!(
                "{shown} is not a project: it has neither weir.yaml nor streams nor jobs; `weir init {shown}` makes one"
            ));
        }
        let (files, remarks) = Reader::new(&path).read(environment);
        Ok(ProjectFolder { path, files, remarks })
    }

    /// A folder with these files in place of those that are there; paths start at the folder.
    #[must_use]
    pub fn with_files(&self, files: impl IntoIterator<Item = (String, String)>) -> ProjectFolder {
        let files = ProjectFiles { server: self.files.server.clone(), ..files.into_iter().collect() };
        ProjectFolder { path: self.path.clone(), files, remarks: Vec::new() }
    }

    /// The texts of all definitions.
    pub fn files(&self) -> &ProjectFiles {
        &self.files
    }

    /// The texts of a job's definition, by their paths: its own file, its query's, and the streams that there are.
    pub fn texts_of(&self, job: &JobDefinition) -> BTreeMap<String, String> {
        let own = self.files.jobs.iter().filter(|file| file.path == job.file);
        let files = self.files.streams.iter().chain(own).map(|file| (file.path.clone(), file.text.clone()));
        let query =
            self.files.queries.get(&job.query.file).map(|text| (job.query.file.clone(), text.clone()));
        files.chain(query).collect()
    }

    /// The folder, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The definitions, and everything that is wrong with them.
    pub fn check(&self, environment: &Environment<'_>, kinds: &dyn ConnectorKinds) -> Checked {
        let mut checked = check_project(&self.files, environment, kinds);
        let is_error = |remark: &&Diagnostic| remark.severity == Severity::Error;
        let unreadable: Vec<&str> =
            self.remarks.iter().filter(is_error).map(|remark| remark.file.as_str()).collect();
        // A file that cannot be read counts as an empty one, of which nothing else is worth saying.
        checked.diagnostics.retain(|found| !unreadable.contains(&found.file.as_str()));
        checked.diagnostics.splice(0..0, self.remarks.iter().cloned());
        if unreadable.contains(&SERVER) {
            checked.server = None;
        }
        checked
    }
}
