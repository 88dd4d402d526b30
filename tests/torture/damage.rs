//! Files of a state that are damaged while nothing runs: weir refuses to go on and says which, or goes on right, or says what
//! is lost. What is wrong is never silent.

#![allow(clippy::disallowed_methods, reason = "a server is let run for a moment before it is killed")]

use super::world::{SETTINGS, World, project};
use super::{Dice, times};
use crate::harness::{Project, Server};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Words of which one is in what is said about data that are not there any more.
const TELLS: [&str; 6] = ["lost", "gone", "damaged", "older", "cut", "missing"];

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(files(&path).into_iter().map(|(name, bytes)| (path.join(name), bytes)));
        } else if let Ok(bytes) = fs::read(&path) {
            all.insert(path.clone(), bytes);
        }
    }
    let below = |path: PathBuf| path.strip_prefix(folder).map(Path::to_owned).unwrap_or(path);
    all.into_iter().map(|(path, bytes)| (below(path), bytes)).collect()
}

fn copied(all: &BTreeMap<PathBuf, Vec<u8>>) -> Project {
    let project = Project::new();
    for (path, bytes) in all {
        let path = project.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
        fs::write(path, bytes).expect("files can be written");
    }
    project
}

/// Damages a file in one of five ways, and says how.
fn damage(path: &Path, bytes: &[u8], older: Option<&Vec<u8>>, dice: &mut Dice) -> &'static str {
    const PAGE: usize = 4096;
    let mut damaged = bytes.to_vec();
    let at = dice.roll(bytes.len().max(1));
    let how = match dice.roll(5) {
        0 if !bytes.is_empty() => {
            damaged[at] ^= 1 << dice.roll(8);
            "a bit is flipped"
        }
        1 if !bytes.is_empty() => {
            let page = at / PAGE * PAGE..bytes.len().min(at / PAGE * PAGE + PAGE);
            damaged[page].fill(0);
            "a page is zero"
        }
        2 => {
            damaged.truncate(at);
            "it is cut short"
        }
        3 if older.is_some_and(|older| older != bytes) => {
            damaged.clone_from(older.expect("there is one"));
            "it is an older copy"
        }
        _ => {
            fs::remove_file(path).expect("a file can be removed");
            return "it is removed";
        }
    };
    fs::write(path, damaged).expect("a file can be written");
    how
}

#[test]
fn damage_is_refused_or_told_or_does_not_matter() {
    let project = project();
    let mut world = World::default();
    let mut older = BTreeMap::new();
    for round in 0..3 {
        let server = Server::start(&project, SETTINGS);
        let senders = world.post_to(&server);
        std::thread::sleep(Duration::from_millis(400));
        server.kill();
        world.learn(senders);
        if round == 0 {
            older = files(project.path());
        }
    }
    let all = files(project.path());
    let ours: Vec<&PathBuf> = all.keys().filter(|path| path.starts_with(".weir")).collect();
    let (mut dice, mut outcomes) = (Dice(5), BTreeMap::<&str, usize>::new());
    for _ in 0..30 * times() {
        let path = ours[dice.roll(ours.len())];
        let copy = copied(&all);
        let how = damage(&copy.path().join(path), &all[path], older.get(path), &mut dice);
        let ran = copy.weir("run", &["--until-end"]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let is_told = said.lines().any(|line| {
            (line.contains("WARN") || line.contains("ERROR"))
                && TELLS.iter().any(|tells| line.contains(tells))
        });
        let written = world.written(&copy);
        let outcome = match (ran.status.code(), &written) {
            (Some(0), Ok(_)) => "right",
            (Some(0), Err(_)) if is_told => "told",
            (Some(1 | 3), _) if !said.trim().is_empty() => "refused",
            _ => panic!("{}: {how}: {:?}, {:?}\n{said}", path.display(), ran.status, written.err()),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert!(outcomes.len() > 1, "{outcomes:?}");
    eprintln!("{outcomes:?}");
}
