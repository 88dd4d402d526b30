//! What each job runs by, kept beside the state. The texts of its definition: a server that was stopped, and starts with
//! another definition whose features lack some of the past, goes on by the kept one until they have it. And the versions of
//! plugins that make its state, for whoever cannot look at that while a server has it open.
//!
//! Must not know how anything is planned or made.

use crate::failure::Failure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use weir_plan::JobPlan;

/// The files of a definition, by their paths in the project.
pub(crate) type Texts = BTreeMap<String, String>;

/// The versions of plugins that make a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptVersions {
    /// The version of the job's definition.
    pub(crate) version: u32,
    /// By plugin, the hash of the component.
    pub(crate) made_by: BTreeMap<String, String>,
    /// The hash of the definition with newer ones that somebody has asked for, while that is made beside the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upgrading: Option<String>,
}

/// Where they are kept.
#[derive(Debug, Clone)]
pub(crate) struct KeptDefinitions {
    folder: PathBuf,
}

impl KeptDefinitions {
    /// Those beside the state of a project.
    pub(crate) fn of(data_dir: &Path) -> KeptDefinitions {
        KeptDefinitions { folder: data_dir.join("definitions") }
    }

    /// What a job runs by from now on.
    pub(crate) fn keep(&self, job: &str, texts: &Texts) -> Result<(), Failure> {
        self.write(&self.path(job), texts)
    }

    /// What a job ran by; nothing where that is not known or cannot be read: then it is not needed to go on.
    pub(crate) fn texts(&self, job: &str) -> Option<Texts> {
        self.read(job, &self.path(job))
    }

    /// The versions with which a plan runs from now on.
    pub(crate) fn keep_versions(&self, plan: &JobPlan) -> Result<(), Failure> {
        let made_by = plan.state_made_by();
        let path = self.path_of_versions(&plan.name);
        if made_by.is_empty() && !path.exists() {
            return Ok(());
        }
        let before = self.versions(&plan.name).filter(|before| before.made_by == made_by);
        let upgrading = before.and_then(|before| before.upgrading);
        self.write(&path, &KeptVersions { version: plan.version, made_by, upgrading })
    }

    /// Whether somebody has asked for newer versions, which are made beside a job: the hash of its definition with them.
    pub(crate) fn keep_upgrade(&self, job: &str, upgrading: Option<String>) -> Result<(), Failure> {
        match self.versions(job) {
            Some(kept) if kept.upgrading != upgrading => {
                self.write(&self.path_of_versions(job), &KeptVersions { upgrading, ..kept })
            }
            _ => Ok(()),
        }
    }

    /// The versions with which a job ran.
    pub(crate) fn versions(&self, job: &str) -> Option<KeptVersions> {
        self.read(job, &self.path_of_versions(job))
    }

    fn write(&self, path: &Path, what: &impl Serialize) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::external(format!("{} cannot be written: {error}; make room there", path.display()))
        };
        let text = serde_json::to_vec(what).map_err(Failure::weir)?;
        if fs::read(path).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let new = path.with_extension("new");
        fs::create_dir_all(&self.folder).map_err(failed)?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(failed)
    }

    fn read<T: DeserializeOwned>(&self, job: &str, path: &Path) -> Option<T> {
        let read = match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        read.inspect_err(|error| {
            tracing::warn!(job, "what the job ran by cannot be read in {}: {error}", path.display());
        })
        .ok()
    }

    /// No job's name has a dot.
    fn path_of_versions(&self, job: &str) -> PathBuf {
        self.folder.join(format!("{job}.plugins.json"))
    }

    fn path(&self, job: &str) -> PathBuf {
        self.folder.join(format!("{job}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_last_is_what_a_job_ran_by() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptDefinitions::of(folder.path());
        assert_eq!(kept.texts("j"), None);
        let texts = |query: &str| Texts::from([("jobs/j.sql".to_owned(), query.to_owned())]);
        for query in ["SELECT 1", "SELECT 2", "SELECT 2"] {
            kept.keep("j", &texts(query)).unwrap();
            assert_eq!(kept.texts("j"), Some(texts(query)));
        }
        assert_eq!(kept.versions("j"), None);
        fs::write(folder.path().join("definitions/j.json"), "{").unwrap();
        assert_eq!(kept.texts("j"), None);
    }
}
