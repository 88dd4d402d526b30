//! Which files a path or a glob means, in the order in which they are read.

use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// A path or a glob, absolute.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pattern: String,
    /// The folder above the first component with a glob's character: names are told relative to it, so that a
    /// position still means the same file when the project has moved.
    base: PathBuf,
}

impl Names {
    pub(super) fn new(pattern: String) -> Self {
        let path = Path::new(&pattern);
        let base = match path.ancestors().skip(1).find(|folder| !is_glob(&folder.to_string_lossy())) {
            Some(folder) => folder.to_path_buf(),
            None => PathBuf::new(),
        };
        Names { pattern, base }
    }

    /// The names of the present files, relative to the base, sorted by their bytes.
    ///
    /// # Errors
    /// A plain path that names no file, and, unless files may still come (`follow`), a glob that matches none.
    pub(super) fn list(&self, follow: bool) -> Result<Vec<String>, ConnectError> {
        if !is_glob(&self.pattern) {
            let path = Path::new(&self.pattern);
            if !path.is_file() {
                return Err(ConnectError::user(format!(
                    "there is no file `{}`; check the source's `path`",
                    self.pattern
                )));
            }
            return Ok(vec![self.name_of(path)]);
        }
        let matches = glob::glob(&self.pattern)
            .map_err(|error| ConnectError::user(format!("`{}` is not a glob: {error}", self.pattern)))?;
        let mut names = Vec::new();
        for path in matches {
            let path = path.map_err(|error| {
                ConnectError::unavailable(format!("cannot list `{}`: {error}", self.pattern))
            })?;
            if path.is_file() {
                names.push(self.name_of(&path));
            }
        }
        if names.is_empty() && !follow {
            return Err(ConnectError::user(format!(
                "no file matches `{}`; check the source's `path`",
                self.pattern
            )));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where the file of this name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.base).unwrap_or(path).to_string_lossy().into_owned()
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}
