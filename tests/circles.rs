//! Which modules of a crate use which, read from the sources: modules that use each other in a circle stand in one
//! folder, so that a folder can be read, and taken out, without those beside it.

use crate::harness::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where a module stands in its crate, name by name; the crate itself has none.
type Names = Vec<String>;

/// The modules of a crate.
struct Modules {
    texts: BTreeMap<Names, String>,
    folders: BTreeMap<Names, PathBuf>,
}

impl Modules {
    fn read(source: &Path) -> Modules {
        let mut modules = Modules { texts: BTreeMap::new(), folders: BTreeMap::new() };
        modules.read_folder(source, &mut Vec::new());
        modules
    }

    fn read_folder(&mut self, folder: &Path, above: &mut Names) {
        for entry in std::fs::read_dir(folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                above.push(name);
                self.read_folder(&path, above);
                above.pop();
                continue;
            }
            let mut names = above.clone();
            if !["lib", "main", "mod"].contains(&name.as_str()) {
                names.push(name);
            }
            let text = std::fs::read_to_string(&path).expect("a source file is text");
            self.texts.insert(names.clone(), code(&text));
            self.folders.insert(names, folder.to_owned());
        }
    }

    /// The module that declares what a path leads to, through what is exported again on the way.
    fn declaring(&self, path: &[String], depth: usize) -> Option<Names> {
        let module =
            (0..=path.len()).rev().map(|length| &path[..length]).find(|it| self.texts.contains_key(*it))?;
        let exported = path.get(module.len()).and_then(|item| {
            let paths = used(&self.texts[module], module, true);
            paths.into_iter().find(|exported| exported.last() == Some(item) && exported.as_slice() != path)
        });
        let further =
            exported.filter(|_| depth > 0).and_then(|exported| self.declaring(&exported, depth - 1));
        Some(further.unwrap_or_else(|| module.to_vec()))
    }

    /// By module, those that it uses.
    fn graph(&self) -> BTreeMap<Names, BTreeSet<Names>> {
        let uses = |module: &Names| {
            let paths = used(&self.texts[module], module, false);
            let modules = paths.iter().filter_map(|path| self.declaring(path, 4));
            modules.filter(|used| used != module && !used.is_empty()).collect()
        };
        let modules = self.texts.keys().filter(|module| !module.is_empty());
        modules.map(|module| (module.clone(), uses(module))).collect()
    }
}

/// A source without its comments and its tests.
fn code(text: &str) -> String {
    let tests = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code);
    let lines = tests.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The paths within the crate that a module's text names, or only those that it exports again.
fn used(text: &str, module: &[String], exported: bool) -> Vec<Names> {
    let mut paths = Vec::new();
    for first in ["crate", "super", "self"] {
        let begins = |at: usize| {
            text[..at].chars().next_back().is_none_or(|before| !is_of_name(before) && before != ':')
        };
        for (at, _) in text.match_indices(&format!("{first}::")).filter(|(at, _)| begins(*at)) {
            if exported && !is_exported(&text[..at]) {
                continue;
            }
            let mut tree = Vec::new();
            spread(&text[at..], &[], &mut tree);
            paths.extend(tree.into_iter().filter_map(|path| within(module, &path)));
        }
    }
    if exported {
        // What a module exports of those below it.
        for (at, found) in text.match_indices("use ").filter(|(at, _)| is_exported(&text[..at + 4])) {
            let mut tree = Vec::new();
            spread(&text[at + found.len()..], &[], &mut tree);
            let first = |path: &Names| {
                path.first().is_some_and(|name| !["crate", "super", "self"].contains(&name.as_str()))
            };
            paths.extend(tree.into_iter().filter(first).map(|path| [module, &path].concat()));
        }
    }
    paths
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether what stands here is behind `pub use`.
fn is_exported(before: &str) -> bool {
    let line = before.rsplit(['\n', ';']).next().unwrap_or_default().trim_start();
    line.starts_with("pub") && line.ends_with("use ")
}

/// The paths of a tree such as `a::{b, c::d}`; returns what follows it.
fn spread<'a>(text: &'a str, above: &[String], paths: &mut Vec<Names>) -> &'a str {
    let end = text.find(|letter| !is_of_name(letter)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut rest = rest.trim_start_matches('*');
    let mut path = above.to_vec();
    path.extend((!name.is_empty()).then(|| name.to_owned()));
    if let Some(below) = rest.strip_prefix("::") {
        if !below.starts_with('{') {
            return spread(below, &path, paths);
        }
        rest = &below[1..];
        loop {
            rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.starts_with(|letter| is_of_name(letter) || letter == '*') => {
                    rest = spread(rest, &path, paths);
                    let renamed = rest.trim_start().strip_prefix("as ");
                    rest = renamed.map_or(rest, |new| new.trim_start_matches(is_of_name));
                }
                None => return rest,
            }
        }
    }
    paths.push(path);
    rest
}

/// A path as names from the crate on; `None` where it leads out of it.
fn within(module: &[String], path: &[String]) -> Option<Names> {
    let above = path.iter().take_while(|name| *name == "super").count();
    let (from, rest) = match path.first()?.as_str() {
        "crate" => (0, 1),
        "self" => (module.len(), 1),
        _ => (module.len().checked_sub(above)?, above),
    };
    Some(module[..from].iter().chain(&path[rest..]).filter(|name| *name != "self").cloned().collect())
}

/// Every module that a module reaches.
fn reached<'a>(graph: &'a BTreeMap<Names, BTreeSet<Names>>, module: &'a Names) -> BTreeSet<&'a Names> {
    let (mut found, mut left) = (BTreeSet::new(), vec![module]);
    while let Some(next) = left.pop() {
        left.extend(graph[next].iter().filter(|used| found.insert(*used)));
    }
    found
}

#[test]
fn modules_in_a_circle_stand_in_one_folder() {
    let crates = std::fs::read_dir(repository().join("host")).expect("the host's crates");
    let (mut uses, mut wide) = (0, BTreeSet::new());
    for folder in crates.map(|entry| entry.expect("an entry").path()) {
        let modules = Modules::read(&folder.join("src"));
        let graph = modules.graph();
        uses += graph.values().map(BTreeSet::len).sum::<usize>();
        for module in graph.keys() {
            for other in reached(&graph, module) {
                let is_circle = reached(&graph, other).contains(module);
                if is_circle && modules.folders[other] != modules.folders[module] {
                    let name = folder.file_name().unwrap_or_default().to_string_lossy();
                    wide.insert(format!("{name}: {} and {}", module.join("::"), other.join("::")));
                }
            }
        }
    }
    assert!(uses > 900, "what modules use was not found: {uses}");
    let wide: Vec<String> = wide.into_iter().collect();
    assert!(wide.is_empty(), "these use each other, over others or not:\n{}", wide.join("\n"));
}

#[test]
fn paths_are_read_out_of_trees() {
    let names = |text: &str| -> Names { text.split("::").map(str::to_owned).collect() };
    let text = "use crate::a::{self, B as C, d::{E, f::*}};\nfn g() -> super::h::I { crate::j::k() }\npub(crate) use l::M;";
    let found: BTreeSet<Names> = used(text, &names("x::y"), false).into_iter().collect();
    let expected = ["a", "a::B", "a::d::E", "a::d::f", "x::h::I", "j::k"];
    assert_eq!(found, expected.into_iter().map(names).collect());
    assert_eq!(used(text, &names("x::y"), true), vec![names("x::y::l::M")]);
}
