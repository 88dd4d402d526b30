//! What formats need of the world, as a project has it: its files, its plugins, and registries of schemas over HTTP.

#[cfg(feature = "web")]
use crate::schema_registry::HttpRegistry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_event::Clock;
use weir_format::payload::PayloadPlugins;
use weir_format::{SchemaRegistry, Surroundings};

/// Schemas and descriptors are written by hand or made of what is: a longer file is a mistake.
const FILE_LIMIT_BYTES: u64 = 16 << 20;

/// The surroundings of a project's formats.
#[derive(Debug, Clone)]
pub struct ProjectSurroundings {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    plugins: Option<(Arc<dyn PayloadPlugins>, String)>,
}

impl ProjectSurroundings {
    /// Of the project in this folder; time is this clock's.
    pub fn new(folder: &Path, clock: Arc<dyn Clock>) -> ProjectSurroundings {
        ProjectSurroundings { folder: folder.to_path_buf(), clock, plugins: None }
    }

    /// Also with plugins that may decode payloads, on the account of `owner`.
    #[must_use]
    pub fn with_plugins(self, plugins: Arc<dyn PayloadPlugins>, owner: &str) -> ProjectSurroundings {
        ProjectSurroundings { plugins: Some((plugins, owner.to_owned())), ..self }
    }
}

impl Surroundings for ProjectSurroundings {
    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        let full = self.folder.join(path);
        let described = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("`{path}` is not there; paths start at the project's folder")
            }
            _ => format!("`{path}` cannot be read: {error}"),
        };
        let about = std::fs::metadata(&full).map_err(described)?;
        if !about.is_file() {
            return Err(format!("`{path}` is not a file"));
        }
        if about.len() > FILE_LIMIT_BYTES {
            return Err(format!(
                "`{path}` has {} bytes, more than the {FILE_LIMIT_BYTES} that are read",
                about.len()
            ));
        }
        std::fs::read(&full).map_err(described)
    }

    #[cfg(feature = "web")]
    fn registry(&self, url: &str) -> Result<Arc<dyn SchemaRegistry>, String> {
        Ok(Arc::new(HttpRegistry::new(url)?))
    }

    #[cfg(not(feature = "web"))]
    fn registry(&self, _: &str) -> Result<Arc<dyn SchemaRegistry>, String> {
        Err(weir_connect::settings::left_out("the client of schema registries"))
    }

    fn plugins(&self) -> Option<(Arc<dyn PayloadPlugins>, String)> {
        self.plugins.clone()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::ManualClock;

    #[test]
    fn files_are_those_of_the_project() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.avsc"), "{}").unwrap();
        let around = ProjectSurroundings::new(folder.path(), Arc::new(ManualClock::default()));
        assert_eq!(around.file("a.avsc").unwrap(), b"{}");
        let said = around.file("b.avsc").unwrap_err();
        assert_eq!(said, "`b.avsc` is not there; paths start at the project's folder");
        assert_eq!(around.file(".").unwrap_err(), "`.` is not a file");
        assert!(around.registry("ftp://x").unwrap_err().contains("http"));
    }
}
