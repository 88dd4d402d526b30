//! Which files a path or a glob means, in the order in which they are read.

use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// A path or a glob.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// As it was written, below `folder` unless it is absolute.
    path: String,
    folder: PathBuf,
    /// The folder above the first component with a glob's character: names are told relative to it, so that a
    /// position still means the same file when the project has moved.
    base: PathBuf,
}

impl Names {
    pub(super) fn new(folder: PathBuf, path: String) -> Self {
        let fixed = Path::new(&path).ancestors().skip(1).find(|above| !is_glob(&above.to_string_lossy()));
        let base = fixed.map_or_else(|| folder.clone(), |fixed| folder.join(fixed));
        Names { path, folder, base }
    }

    /// The whole glob: what stands in the folder's own name is not part of it.
    fn pattern(&self) -> String {
        if Path::new(&self.path).is_absolute() {
            return self.path.clone();
        }
        let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
        Path::new(&folder).join(&self.path).to_string_lossy().into_owned()
    }

    /// The names of the present files, relative to the base, sorted by their bytes.
    ///
    /// # Errors
    /// A plain path that names no file, and, unless files may still come (`follow`), a glob that matches none.
    pub(super) fn list(&self, follow: bool) -> Result<Vec<String>, ConnectError> {
        if !is_glob(&self.path) {
            let path = self.folder.join(&self.path);
            if !path.is_file() {
                return Err(ConnectError::user(format!(
                    "there is no file `{}`; check the source's `path`",
                    path.display()
                )));
            }
            return Ok(vec![self.name_of(&path)]);
        }
        let matches = glob::glob(&self.pattern())
            .map_err(|error| ConnectError::user(format!("`{}` is not a glob: {error}", self.path)))?;
        let mut names = Vec::new();
        for path in matches {
            let path = path.map_err(|error| {
                ConnectError::unavailable(format!("cannot list `{}`: {error}", self.path))
            })?;
            if path.is_file() {
                names.push(self.name_of(&path));
            }
        }
        if names.is_empty() && !follow {
            return Err(ConnectError::user(format!(
                "no file matches `{}`; check the source's `path`",
                self.folder.join(&self.path).display()
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
