//! The kit for plugins in Python as it was when this program was built, so that building needs no checkout of weir.
//! Knows which files it has; must not know what they do.

use crate::failure::Failure;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A file of the kit: its path below the kit's folder, and its text.
macro_rules! kit {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../guest-sdk/python/", $path)))),*]
    };
}

const PYTHON: &[(&str, &str)] = kit![
    "weir/__init__.py",
    "weir/_client.py",
    "weir/_errors.py",
    "weir/_http.py",
    "weir/_tables.py",
    "weir/_train.py",
    "weir/py.typed",
    "weir/plugin/__init__.py",
    "weir/plugin/__main__.py",
    "weir/plugin/aggregate.py",
    "weir/plugin/blame.py",
    "weir/plugin/build.py",
    "weir/plugin/columns.py",
    "weir/plugin/declared.py",
    "weir/plugin/exports.py",
    "weir/plugin/hints.py",
    "weir/plugin/scalar.py",
    "weir/plugin/surroundings.py",
    "weir/plugin/tools.py",
    "weir/plugin/wit/aggregate.wit",
    "weir/plugin/wit/platform.wit",
    "weir/plugin/wit/scalar.wit",
    "weir/plugin/wit/types.wit",
];

/// The kit in a folder of its own, which is gone when it is dropped.
pub(super) fn python() -> Result<TempDir, Failure> {
    let failed = |error: std::io::Error| {
        Failure::external(format!("the kit for Python cannot be written to a temporary folder: {error}"))
    };
    let folder = tempfile::Builder::new().prefix("weir-kit-").tempdir().map_err(failed)?;
    for (path, text) in PYTHON {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        fs::write(path, text).map_err(failed)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_name() == "__pycache__" {
            } else if entry.path().is_dir() {
                files_below(&entry.path(), found);
            } else {
                found.push(entry.path());
            }
        }
    }

    #[test]
    fn every_file_of_the_package_is_in_it() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/python");
        let mut files = Vec::new();
        files_below(&package.join("weir"), &mut files);
        let there: BTreeSet<String> = files
            .iter()
            .map(|file| file.strip_prefix(&package).unwrap().to_string_lossy().into_owned())
            .collect();
        let kept: BTreeSet<String> = PYTHON.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(kept, there);
        let written = python().unwrap();
        assert!(written.path().join("weir/plugin/wit/types.wit").exists());
    }
}
