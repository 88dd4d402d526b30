//! What is known of every plugin, as one JSON file: immutable versions and which of them is active. Written whole
//! or not at all. Must not know wasmtime or what a function is.

use crate::cache;
use crate::describe::is_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// The version of this file's layout.
const FORMAT: u32 = 1;
/// Name of the file in the registry's folder.
const FILE: &str = "plugins.json";
/// How the signature begins of what decodes payloads.
pub(crate) const DECODES: &str = "decode payload ";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    format: u32,
    pub(crate) plugins: BTreeMap<String, Record>,
}

/// One plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// In order of upload; version n is the n-th.
    pub(crate) versions: Vec<VersionStatus>,
    /// Versions in order of activation; the last is active, the one before is rolled back to.
    pub(crate) activated: Vec<u32>,
    /// Hash of the project's file of this name when it was last taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
}

/// One version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// Its number, counted from 1 in order of upload.
    pub version: u32,
    /// Hash of the component's file, in hexadecimal.
    pub sha256: String,
    /// Size of the component's file.
    pub bytes: u64,
    /// A signature per function.
    pub exports: Vec<String>,
}

impl VersionStatus {
    /// Whether it decodes payloads.
    pub fn decodes(&self) -> bool {
        self.exports.iter().any(|signature| signature.starts_with(DECODES))
    }

    /// The names of its functions, in the order of the signatures, which are as `scalar name(..) -> ..`.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().filter_map(|signature| {
            let (_, named) = signature.split_once(' ')?;
            // What payloads are decoded into has no name.
            named.split_once('(').map(|(name, _)| name).filter(|name| is_name(name))
        })
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger { format: FORMAT, plugins: BTreeMap::new() }
    }
}

impl Record {
    pub(crate) fn active(&self) -> Option<u32> {
        self.activated.last().copied()
    }

    /// The version that was active before the active one.
    pub(crate) fn previous(&self) -> Option<u32> {
        self.activated.iter().rev().nth(1).copied()
    }

    pub(crate) fn version(&self, version: u32) -> Option<&VersionStatus> {
        self.versions.iter().find(|known| known.version == version)
    }

    pub(crate) fn by_hash(&self, sha256: &str) -> Option<&VersionStatus> {
        self.versions.iter().find(|known| known.sha256 == sha256)
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("cannot read or write {FILE}: {0}")]
    Disk(#[from] io::Error),
    #[error("{FILE} is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("{FILE} has format {0}, and this weir knows {FORMAT}; start a newer weir")]
    Newer(u32),
}

impl Ledger {
    /// The ledger in a folder; an empty one if there is none.
    pub(crate) fn read(folder: &Path) -> Result<Self, LedgerError> {
        let text = match fs::read(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
            Err(error) => return Err(error.into()),
        };
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(&text)?;
        if format > FORMAT {
            return Err(LedgerError::Newer(format));
        }
        Ok(serde_json::from_slice(&text)?)
    }

    /// Puts it on disk.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), LedgerError> {
        Ok(cache::write_whole(&folder.join(FILE), &serde_json::to_vec_pretty(self)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Ledger::read(folder.path()).unwrap(), Ledger::default());
        let mut ledger = Ledger::default();
        let version = VersionStatus { version: 1, sha256: "ab".to_owned(), bytes: 3, exports: Vec::new() };
        let record = Record { versions: vec![version], activated: vec![1], project: None };
        ledger.plugins.insert("geo".to_owned(), record);
        ledger.write(folder.path()).unwrap();
        assert_eq!(Ledger::read(folder.path()).unwrap(), ledger);
        for (text, reason) in [("{", "damaged"), (r#"{"format": 2, "future": []}"#, "start a newer weir")] {
            fs::write(folder.path().join(FILE), text).unwrap();
            let error = Ledger::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
