//! The kit for plugins as it was when this program was built: interfaces, what plugins in each language are made with and
//! built by. So a plugin needs no checkout of weir. Knows which files it has; must not know what they do.

use crate::failure::Failure;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files by their paths in weir's repository, and their texts.
macro_rules! kit {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = kit![
    "guest-sdk/js/build.mjs",
    "guest-sdk/js/weir/aggregate.js",
    "guest-sdk/js/weir/columns.js",
    "guest-sdk/js/weir/declared.js",
    "guest-sdk/js/weir/decode.js",
    "guest-sdk/js/weir/exports.js",
    "guest-sdk/js/weir/index.d.ts",
    "guest-sdk/js/weir/index.js",
    "guest-sdk/js/weir/play.js",
    "guest-sdk/js/weir/process.js",
    "guest-sdk/js/weir/scalar.js",
    "guest-sdk/js/weir/state.js",
    "guest-sdk/js/weir/surroundings.js",
    "guest-sdk/js/weir/told.js",
    "guest-sdk/js/weir/transform.js",
    "guest-sdk/js/weir/types.js",
    "guest-sdk/python/weir/__init__.py",
    "guest-sdk/python/weir/_client.py",
    "guest-sdk/python/weir/_errors.py",
    "guest-sdk/python/weir/_http.py",
    "guest-sdk/python/weir/_tables.py",
    "guest-sdk/python/weir/_train.py",
    "guest-sdk/python/weir/plugin/__init__.py",
    "guest-sdk/python/weir/plugin/__main__.py",
    "guest-sdk/python/weir/plugin/aggregate.py",
    "guest-sdk/python/weir/plugin/blame.py",
    "guest-sdk/python/weir/plugin/build.py",
    "guest-sdk/python/weir/plugin/columns.py",
    "guest-sdk/python/weir/plugin/declared.py",
    "guest-sdk/python/weir/plugin/decode.py",
    "guest-sdk/python/weir/plugin/exports.py",
    "guest-sdk/python/weir/plugin/hints.py",
    "guest-sdk/python/weir/plugin/play.py",
    "guest-sdk/python/weir/plugin/process.py",
    "guest-sdk/python/weir/plugin/rows.py",
    "guest-sdk/python/weir/plugin/scalar.py",
    "guest-sdk/python/weir/plugin/state.py",
    "guest-sdk/python/weir/plugin/surroundings.py",
    "guest-sdk/python/weir/plugin/tools.py",
    "guest-sdk/python/weir/plugin/transform.py",
    "guest-sdk/python/weir/py.typed",
    "guest-sdk/rust/Cargo.lock",
    "guest-sdk/rust/Cargo.toml",
    "guest-sdk/rust/macros/Cargo.toml",
    "guest-sdk/rust/macros/src/aggregate.rs",
    "guest-sdk/rust/macros/src/decode.rs",
    "guest-sdk/rust/macros/src/implementation.rs",
    "guest-sdk/rust/macros/src/lib.rs",
    "guest-sdk/rust/macros/src/options.rs",
    "guest-sdk/rust/macros/src/process.rs",
    "guest-sdk/rust/macros/src/row.rs",
    "guest-sdk/rust/macros/src/rows.rs",
    "guest-sdk/rust/macros/src/scalar.rs",
    "guest-sdk/rust/macros/src/transform.rs",
    "guest-sdk/rust/src/aggregate.rs",
    "guest-sdk/rust/src/bindings.rs",
    "guest-sdk/rust/src/decode.rs",
    "guest-sdk/rust/src/display.rs",
    "guest-sdk/rust/src/export.rs",
    "guest-sdk/rust/src/input.rs",
    "guest-sdk/rust/src/lib.rs",
    "guest-sdk/rust/src/literal.rs",
    "guest-sdk/rust/src/play.rs",
    "guest-sdk/rust/src/process.rs",
    "guest-sdk/rust/src/read.rs",
    "guest-sdk/rust/src/row.rs",
    "guest-sdk/rust/src/scalar.rs",
    "guest-sdk/rust/src/state.rs",
    "guest-sdk/rust/src/timestamp.rs",
    "guest-sdk/rust/src/transform.rs",
    "guest-sdk/rust/src/write.rs",
    "plugins/Cargo.lock",
    "plugins/Cargo.toml",
    "plugins/build",
    "plugins/componentize/Cargo.toml",
    "plugins/componentize/src/main.rs",
    "plugins/geo/Cargo.toml",
    "plugins/geo/src/geohash.rs",
    "plugins/geo/src/lib.rs",
    "plugins/risk/Cargo.toml",
    "plugins/risk/src/lib.rs",
    "plugins/tracker/Cargo.toml",
    "plugins/tracker/src/lib.rs",
    "plugins/trip/Cargo.toml",
    "plugins/trip/src/lib.rs",
    "plugins/visits/Cargo.toml",
    "plugins/visits/src/lib.rs",
    "wit/aggregate.wit",
    "wit/decode.wit",
    "wit/migrate.wit",
    "wit/platform.wit",
    "wit/process.wit",
    "wit/scalar.wit",
    "wit/transform.wit",
    "wit/types.wit",
];

/// The package for Python finds the interfaces beside itself.
const PYTHON_INTERFACES: &str = "guest-sdk/python/weir/plugin/wit";

/// The files whose paths begin like this.
pub(super) fn below(prefix: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied().filter(move |(path, _)| path.starts_with(prefix))
}

/// The kit in the user's cache, where what is built of it is found again. It is written once, whole or not at all.
pub(super) fn unpacked() -> Result<PathBuf, Failure> {
    let cache = cache()?;
    let kit = cache.join(format!("kit-{}", &digest()[..16]));
    if kit.is_dir() {
        return Ok(kit);
    }
    let failed = |error: io::Error| {
        let cache = cache.display();
        Failure::external(format!(
            "the kit for plugins cannot be written into {cache}: {error}; set XDG_CACHE_HOME"
        ))
    };
    fs::create_dir_all(&cache).map_err(failed)?;
    let aside = tempfile::Builder::new().prefix("kit-").tempdir_in(&cache).map_err(failed)?;
    write_into(aside.path()).map_err(failed)?;
    match fs::rename(aside.path(), &kit) {
        // Another process was faster, with the same files.
        Err(_) if kit.is_dir() => Ok(kit),
        renamed => renamed.map(|()| kit).map_err(failed),
    }
}

/// What is kept for the next time, for this user.
pub(super) fn cache() -> Result<PathBuf, Failure> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|cache| cache.is_absolute());
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let missing = "neither HOME nor XDG_CACHE_HOME says where things are kept; set one of them";
    cache.map(|cache| cache.join("weir")).ok_or_else(|| Failure::external(missing))
}

fn digest() -> String {
    let mut hash = Sha256::new();
    for (path, text) in FILES {
        hash.update(path);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_into(folder: &Path) -> io::Result<()> {
    for (path, text) in FILES {
        write(&folder.join(path), text)?;
    }
    for (path, text) in below("wit/") {
        write(&folder.join(PYTHON_INTERFACES).join(path.trim_start_matches("wit/")), text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
        const MADE: [&str; 3] = ["__pycache__", "target", "README.md"];
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if MADE.iter().any(|made| entry.file_name() == *made) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                files_below(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_file_that_a_plugin_is_built_of_is_in_it() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for folder in [
            "guest-sdk/js/weir",
            "guest-sdk/python/weir",
            "guest-sdk/rust/src",
            "guest-sdk/rust/macros",
            "wit",
        ] {
            let mut files = Vec::new();
            files_below(&repository.join(folder), &mut files);
            let there: BTreeSet<String> = files
                .iter()
                .map(|file| file.strip_prefix(&repository).unwrap().to_string_lossy().into_owned())
                .collect();
            let kept: BTreeSet<String> = below(folder).map(|(path, _)| path.to_owned()).collect();
            assert_eq!(kept, there);
        }
    }

    #[test]
    fn it_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        write_into(folder.path()).unwrap();
        for path in ["wit/types.wit", "guest-sdk/python/weir/plugin/wit/types.wit", "plugins/build"] {
            assert!(folder.path().join(path).exists(), "{path}");
        }
    }
}
