//! The dependency rule: a crate of the host uses only crates in rows above its own, and a heavy library is linked
//! by the one crate that may say its name, and by none that promises to be without it. Read from `cargo metadata` and
//! the lock file, so that it cannot be forgotten.

use crate::harness::repository;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The rows of the layout, from the words that all share to the program.
const ROWS: [&[&str]; 7] = [
    &["weir-event"],
    &["weir-timeline", "weir-store", "weir-connect", "weir-pack"],
    &["weir-plan", "weir-format"],
    &["weir-core", "weir-sql", "weir-plugin", "weir-connectors"],
    &["weir-project", "weir-engine", "weir-train"],
    &["weir-serve"],
    &["weir"],
];

/// Libraries that one crate alone may name.
const OWNERS: [(&str, &str); 8] = [
    ("wasmtime", "weir-plugin"),
    ("sqlparser", "weir-sql"),
    ("datafusion-expr", "weir-sql"),
    ("sled", "weir-store"),
    ("rdkafka", "weir-connectors"),
    ("axum", "weir-serve"),
    ("minisign", "weir-pack"),
    ("minisign-verify", "weir-pack"),
];

/// What a crate does without, also in what it uses: whoever builds on it alone gets none of that.
const ABSENCES: [(&str, &[&str]); 7] = [
    ("weir-event", &["tokio", "hyper", "sled"]),
    ("weir-pack", &["rdkafka", "openssl-sys", "axum", "sled", "wasmtime", "datafusion-expr"]),
    ("weir-format", &["rdkafka", "openssl-sys", "hyper", "tokio", "sled", "wasmtime", "datafusion-expr"]),
    ("weir-core", &["rdkafka", "hyper", "tokio", "sled", "wasmtime", "sqlparser"]),
    ("weir-engine", &["rdkafka", "hyper", "axum", "wasmtime", "sqlparser"]),
    ("weir-train", &["rdkafka", "tokio", "hyper", "sled", "wasmtime", "sqlparser"]),
    ("weir-project", &["rdkafka", "openssl-sys", "axum", "sled", "wasmtime", "ureq"]),
];

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages
        .map(|package| {
            let normal = |dependency: &&Value| dependency["kind"].is_null();
            let dependencies =
                package["dependencies"].as_array().expect("dependencies").iter().filter(normal);
            let names = dependencies.map(|dependency| text(&dependency["name"])).collect();
            (text(&package["name"]), names)
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&name))
}

#[test]
fn a_crate_uses_only_crates_in_rows_above_its_own() {
    for (package, dependencies) in dependencies() {
        let Some(own) = row(&package) else {
            assert_eq!(package, "weir-tests", "{package} stands in no row");
            continue;
        };
        for dependency in dependencies {
            if let Some(above) = row(&dependency) {
                assert!(above < own, "{package} (row {own}) must not use {dependency} (row {above})");
            }
        }
    }
}

#[test]
fn a_heavy_library_is_named_by_one_crate() {
    // The tests talk to a broker as the program's neighbours do.
    for (package, dependencies) in dependencies().into_iter().filter(|(package, _)| package != "weir-tests") {
        for (library, owner) in OWNERS {
            let names = dependencies.iter().any(|dependency| dependency == library);
            assert!(!names || package == owner, "{package} names {library}, which is {owner}'s alone");
        }
    }
}

/// What each package of the lock file uses; of our own crates only what is not for tests alone.
fn locked_dependencies() -> BTreeMap<String, Vec<String>> {
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in lock_file().split("[[package]]") {
        // `name = "tokio"`, and under `dependencies` a line ` "bytes",` or ` "syn 2.0.1",` for each.
        let name = package.lines().find_map(|line| line.strip_prefix("name = \""));
        let used = package.lines().filter_map(|line| line.strip_prefix(" \""));
        let used = used.filter_map(|line| line.split([' ', '"']).next()).map(str::to_owned);
        let name = name.unwrap_or_default().trim_end_matches('"').to_owned();
        packages.entry(name).or_default().extend(used);
    }
    packages.extend(dependencies());
    packages
}

#[test]
fn what_a_crate_does_without_is_not_in_what_it_uses_either() {
    let packages = locked_dependencies();
    for (package, absent) in ABSENCES {
        let (mut linked, mut next) = (BTreeSet::new(), vec![package]);
        while let Some(name) = next.pop() {
            let used = packages.get(name).unwrap_or_else(|| panic!("{name} is not in the lock file"));
            next.extend(used.iter().map(String::as_str).filter(|used| linked.insert(*used)));
        }
        assert!(linked.contains("arrow-schema"), "{package} links {linked:?}");
        for library in absent {
            assert!(packages.contains_key(*library), "{library} is not a package any more");
            assert!(!linked.contains(library), "{package} links {library}");
        }
    }
}

/// What only a host has.
const OF_HOSTS: [&str; 7] = ["std::fs", "std::thread", "std::net", "Mutex", "RwLock", "Clock", "async fn"];

#[test]
fn the_core_knows_no_thread_file_or_clock() {
    let mut folders = vec![repository().join("host/core/src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).expect("a source is text");
            for word in OF_HOSTS {
                assert!(!text.contains(word), "{} says {word}", path.display());
            }
        }
    }
    assert!(files > 20, "the sources of the core were not found");
}

fn lock_file() -> String {
    std::fs::read_to_string(repository().join("Cargo.lock")).expect("a lock file")
}

#[test]
fn there_is_one_arrow_and_one_parser() {
    let lock = lock_file();
    for library in
        ["arrow-array", "arrow-schema", "sqlparser", "datafusion-expr", "wasmtime", "rustls", "openssl-sys"]
    {
        let versions = lock.lines().filter(|line| *line == format!("name = \"{library}\"")).count();
        assert!(versions <= 1, "{library} is built in {versions} versions");
    }
}

/// Crates whose code, or code made of theirs, computes expressions.
const COMPUTE: [&str; 10] = [
    "arrow-arith",
    "arrow-cast",
    "arrow-string",
    "chrono",
    "datafusion-common",
    "datafusion-expr",
    "datafusion-functions",
    "datafusion-functions-nested",
    "datafusion-physical-expr",
    "weir-sql",
];

#[test]
fn whole_numbers_are_checked_in_release_as_in_debug() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace has one");
    for name in COMPUTE {
        let checked = format!("[profile.release.package.{name}]\noverflow-checks = true\n");
        assert!(
            manifest.contains(&checked),
            "{name}: a number that does not fit would wrap around in release"
        );
    }
}
