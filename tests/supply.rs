//! What weir is made of: packages of the public registry alone, under licences that `deny.toml` allows.

use crate::harness::repository;
use serde_json::Value;
use spdx::{Expression, ParseMode};
use std::process::Command;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        // Packages for other systems are asked for only here, and may have to be fetched.
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(repository())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// The licences that are allowed, as `deny.toml` lists them.
fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("deny.toml")).expect("deny.toml is there");
    let list = text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_package_is_of_the_registry_under_a_licence_that_is_allowed() {
    let allowed = allowed();
    assert!(allowed.iter().any(|licence| licence == "Apache-2.0"), "{allowed:?}");
    let packages = packages();
    assert!(packages.len() > 100);
    for package in packages {
        let (name, source) = (&package["name"], &package["source"]);
        assert!(source.is_null() || source == REGISTRY, "{name} is from {source}");
        let licence = package["license"].as_str().unwrap_or_default();
        let parsed = Expression::parse_mode(licence, ParseMode::LAX);
        let parsed = parsed.unwrap_or_else(|error| panic!("{name} is under `{licence}`: {error}"));
        let is_allowed = parsed.evaluate(|licence| allowed.contains(&licence.to_string()));
        assert!(is_allowed, "{name} is under `{licence}`, of which deny.toml allows too little");
    }
}
