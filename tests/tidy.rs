//! A ratchet: limits that the code keeps, read from the sources.

use crate::harness::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// No file is longer: one that wants to be knows too much.
const LONGEST_FILE_LINES: usize = 600;
/// No function is longer: one that wants to be does several things.
const LONGEST_FUNCTION_LINES: usize = 70;
/// What may stand before `fn`, beside `pub`.
const QUALIFIERS: [&str; 5] = ["const", "async", "unsafe", "extern", "\"C\""];
/// Nothing names it where it is declared for the tests: it is there so that building without tests resolves the same
/// features as with them, and compiles nothing twice.
const FOR_ITS_FEATURES: &str = "proptest";

fn sources() -> Vec<PathBuf> {
    let root = repository();
    let mut found = Vec::new();
    for folder in ["host", "guest-sdk", "plugins", "tests"] {
        collect(&root.join(folder), ".rs", &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// Every file below a folder that ends so.
fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "dist" {
            collect(&path, ending, found);
        } else if name.ends_with(ending) {
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

/// How many lines the function has that begins in the first of these; `None` where none does or it has no body.
fn function_lines(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    let code = first.trim_start();
    let mut words = code.split_whitespace();
    let is_function = words.find(|word| !word.starts_with("pub") && !QUALIFIERS.contains(word)) == Some("fn");
    if !is_function {
        return None;
    }
    let end = format!("{}}}", &first[..first.len() - code.len()]);
    let decides = |line: &&&str| line.ends_with(';') || line.ends_with('{') || line.ends_with('}');
    match lines.iter().find(decides)? {
        line if line.ends_with(';') => None,
        line if line.ends_with('}') => Some(1),
        _ => Some(lines.iter().position(|line| *line == end)? + 1),
    }
}

#[test]
fn functions_stay_short() {
    let mut functions = 0;
    let mut long = Vec::new();
    for path in sources() {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(length) = function_lines(&lines[at..]) else { continue };
            functions += 1;
            if length > LONGEST_FUNCTION_LINES {
                long.push(format!("{}:{}: {length} lines: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(functions > 3000, "the functions were not found: {functions}");
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// The types that a source declares beside its tests, at its outermost level.
fn types(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter_map(|line| {
        let mut words = line.split(' ').skip_while(|word| word.starts_with("pub"));
        let declares = matches!(words.next()?, "struct" | "enum" | "trait" | "type" | "union");
        let name = words.next().filter(|_| declares)?;
        name.split(|letter: char| !letter.is_alphanumeric()).next()
    })
}

#[test]
fn a_type_s_name_means_one_thing_in_a_crate() {
    let is_test = |path: &Path| {
        let names = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        names.skip_while(|name| name != "src").any(|name| name == "tests" || name == "tests.rs")
    };
    let mut found = BTreeMap::<(PathBuf, String), Vec<String>>::new();
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        let folder = path.ancestors().find(|folder| folder.ends_with("src"));
        let Some(folder) = folder.map(Path::to_owned) else { continue };
        for name in types(&read(&path)) {
            found.entry((folder.clone(), name.to_owned())).or_default().push(path.display().to_string());
        }
    }
    assert!(found.len() > 700, "the types were not found: {}", found.len());
    let twice: Vec<String> = found
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|((_, name), places)| format!("{name}: {}", places.join(", ")))
        .collect();
    assert!(twice.is_empty(), "{}", twice.join("\n"));
}

/// What a manifest declares in its tables of dependencies, in that of the workspace too.
fn declared(manifest: &Path) -> BTreeSet<String> {
    let text = read(manifest);
    let mut in_dependencies = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies && let Some(end) = line.find(['.', ' ']).filter(|_| !line.starts_with('#'))
        {
            found.insert(line[..end].to_owned());
        }
    }
    found
}

/// Whether a text has `library::` as a path's beginning.
fn names(text: &str, library: &str) -> bool {
    let path = format!("{}::", library.replace('-', "_"));
    let begins_word = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    text.match_indices(&path).any(|(at, _)| begins_word(at))
}

#[test]
fn every_dependency_is_used() {
    let root = repository();
    let crates = std::fs::read_dir(root.join("host")).expect("the host's crates");
    let mut folders: Vec<PathBuf> = crates.map(|entry| entry.expect("an entry").path()).collect();
    folders.push(root.join("tests"));
    let mut used = BTreeSet::new();
    for folder in &folders {
        let mut files = Vec::new();
        collect(folder, ".rs", &mut files);
        let sources: Vec<String> = files.iter().map(|file| read(file)).collect();
        let manifest = folder.join("Cargo.toml");
        let dependencies = declared(&manifest);
        assert!(!dependencies.is_empty(), "{} declares nothing", manifest.display());
        for library in dependencies {
            let is_used = library == FOR_ITS_FEATURES || sources.iter().any(|text| names(text, &library));
            assert!(is_used, "{}: nothing names {library}; remove it", manifest.display());
            used.insert(library);
        }
    }
    for library in declared(&root.join("Cargo.toml")) {
        assert!(used.contains(&library), "Cargo.toml: no crate uses {library}; remove it");
    }
}
