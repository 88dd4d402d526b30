//! What a pack says of itself: the config of its artifact, which is read before anything else of it.

use crate::digest::Digest;
use crate::error::{PackError, Result};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is in a pack. Whoever makes one fills in all but `plugins` and `files`, which are told of its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackConfig {
    /// Its name.
    pub name: String,
    /// Its version: three numbers, and what may stand behind them.
    pub version: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The version of weir that made it.
    pub weir: String,
    /// The streams.
    pub streams: Vec<PackStream>,
    /// The jobs.
    pub jobs: Vec<PackJob>,
    /// The plugins.
    #[serde(default)]
    pub plugins: Vec<PackPlugin>,
    /// Variables of the environment that its definitions name.
    #[serde(default)]
    pub variables: Vec<PackVariable>,
    /// Every file, by its path.
    #[serde(default)]
    pub files: BTreeMap<String, PackFile>,
}

/// A stream of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackStream {
    /// Its name.
    pub name: String,
    /// Where its events come from, such as `kafka`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its columns.
    pub columns: Vec<PackColumn>,
}

/// A column, or a feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A job of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackJob {
    /// Its name.
    pub name: String,
    /// The version of its definition.
    pub version: u32,
    /// The columns of its key.
    pub entity: Vec<String>,
    /// Its features.
    pub features: Vec<PackColumn>,
    /// The kinds of its sinks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
}

/// A component of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPlugin {
    /// Its name.
    pub name: String,
    /// The digest of the component.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// A variable that definitions name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackVariable {
    /// Its name.
    pub name: String,
    /// What stands for it where it is not set; without one it has to be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The files that name it.
    pub files: Vec<String>,
}

/// A file of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFile {
    /// The digest of what it holds.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

const NAME_BYTES: usize = 64;
const VERSION_BYTES: usize = 64;

/// Refuses what is not a name of a pack: it is also a part of a registry's repository.
pub fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = name.len() <= NAME_BYTES
        && name.split(['-', '_', '.']).all(|part| !part.is_empty() && part.chars().all(fits));
    if is_name {
        return Ok(());
    }
    Err(PackError::user(format!(
        "`{}` is not a name of a pack; write a-z and 0-9, with single signs of -, _ and . between them, such as user-risk",
        name.escape_debug()
    )))
}

/// Reads a version; it is also a tag, which cannot hold `+`.
pub fn version(text: &str) -> Result<Version> {
    let parsed =
        Version::parse(text).ok().filter(|version| version.build.is_empty() && text.len() <= VERSION_BYTES);
    parsed.ok_or_else(|| {
        PackError::user(format!(
            "`{}` is not a version of a pack; write MAJOR.MINOR.PATCH, such as 1.2.0 or 2.0.0-rc.1, without a part behind +",
            text.escape_debug()
        ))
    })
}

impl PackConfig {
    /// Reads a config and judges what it says of itself.
    pub(crate) fn parse(bytes: &[u8]) -> Result<PackConfig> {
        let config: PackConfig = serde_json::from_slice(bytes).map_err(|error| {
            PackError::user(format!(
                "the pack's config is not one that this weir reads ({error}); a newer weir may have made it"
            ))
        })?;
        check_name(&config.name)?;
        version(&config.version)?;
        Ok(config)
    }

    /// `NAME VERSION`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// The variables that have to be set.
    pub fn required(&self) -> impl Iterator<Item = &PackVariable> {
        self.variables.iter().filter(|variable| variable.default.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_fit_a_repository_and_a_tag() {
        for good in ["user-risk", "a", "a1.b_c"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "User", "a--b", "-a", "a/b", "a b", "../a", "ü", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in ["1.2.0", "0.0.1-rc.1"] {
            assert!(version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.2", "v1.2.0", "1.2.0+build", "latest"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
