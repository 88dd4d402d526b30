//! A ratchet: limits that the code keeps, read from the sources.

use crate::harness::repository;
use std::path::{Path, PathBuf};

/// No file is longer: one that wants to be knows too much.
const LONGEST_FILE_LINES: usize = 600;

fn sources() -> Vec<PathBuf> {
    let root = repository();
    let mut found = Vec::new();
    for folder in ["host", "guest-sdk", "plugins", "tests"] {
        collect(&root.join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "dist" {
            collect(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a source file is text")
}

#[test]
fn files_stay_short() {
    for path in sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= LONGEST_FILE_LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_module_opens_with_what_it_knows() {
    for path in sources() {
        let text = read(&path);
        assert!(text.trim_start().starts_with("//!"), "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_left_to_do() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    for path in sources() {
        let text = read(&path);
        for mark in marks {
            assert!(!text.contains(mark), "{} says {mark}", path.display());
        }
    }
}
