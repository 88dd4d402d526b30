//! The dependency rule: a crate of the host uses only crates in rows above its own, and a heavy library is linked
//! by the one crate that may say its name. Read from `cargo metadata`, so that it cannot be forgotten.

use crate::harness::repository;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// The rows of the layout, from the words that all share to the program.
const ROWS: [&[&str]; 7] = [
    &["weir-event"],
    &["weir-timeline", "weir-store", "weir-connect"],
    &["weir-plan"],
    &["weir-core", "weir-sql", "weir-plugin", "weir-connectors"],
    &["weir-engine"],
    &["weir-serve"],
    &["weir"],
];

/// Libraries that one crate alone may name.
const OWNERS: [(&str, &str); 6] = [
    ("wasmtime", "weir-plugin"),
    ("sqlparser", "weir-sql"),
    ("datafusion-expr", "weir-sql"),
    ("sled", "weir-store"),
    ("rdkafka", "weir-connectors"),
    ("axum", "weir-serve"),
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

#[test]
fn there_is_one_arrow_and_one_parser() {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).expect("a lock file");
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
