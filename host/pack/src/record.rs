//! Which packs a project has, and which of its files are theirs: a small file for each in `packs/`, which belongs to the
//! project as the definitions do. By it an update knows what nobody has changed since.

use crate::bounds;
use crate::config::check_name;
use crate::digest::Digest;
use crate::error::{PackError, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where they are, in a project's folder.
pub const FOLDER: &str = "packs";

/// A pack that was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The key that it was signed by, where that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Its files, as they were written.
    pub files: BTreeMap<String, Digest>,
}

/// The records of a project, in the order of their names.
pub fn read_all(project: &Path) -> Result<Vec<Record>> {
    let folder = project.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(PackError::io("read", &folder, &error)),
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| PackError::io("read", &folder, &error))?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            records.push(read(&path)?);
        }
    }
    records.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(records)
}

fn read(path: &Path) -> Result<Record> {
    let file = File::open(path).map_err(|error| PackError::io("read", path, &error))?;
    let bytes = bounds::read(&path.display().to_string(), file, bounds::CONFIG_BYTES)?;
    let unusable = |what: String| {
        PackError::user(format!(
            "{} is not what `weir pack install` writes there ({what}); remove it, and install that pack anew",
            path.display()
        ))
    };
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
    check_name(&record.name).map_err(|error| unusable(error.message))?;
    Ok(record)
}

impl Record {
    /// Where it is, from the project's folder.
    pub(crate) fn path(name: &str) -> PathBuf {
        Path::new(FOLDER).join(format!("{name}.json"))
    }

    /// Its text.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_another_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_all(folder.path()), Ok(Vec::new()));
        let record = Record {
            name: "a-b".to_owned(),
            version: "1.0.0".to_owned(),
            digest: Digest::of(b""),
            signed_by: None,
            files: BTreeMap::from([("jobs/a.yaml".to_owned(), Digest::of(b"a"))]),
        };
        let path = folder.path().join(Record::path("a-b"));
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        fs::write(&path, record.text()).unwrap();
        assert_eq!(read_all(folder.path()), Ok(vec![record]));
        fs::write(&path, "{}").unwrap();
        assert!(read_all(folder.path()).unwrap_err().message.contains("is not what"));
    }
}
