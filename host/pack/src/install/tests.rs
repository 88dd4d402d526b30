//! Packs that come into folders: new ones, newer ones, others' files, and installations that end halfway.

use super::*;
use crate::artifact::Artifact;
use crate::artifact::tests::{config, files};
use crate::config::PackConfig;

fn pack(version: &str, changed: &[(&str, Option<&str>)]) -> Pack {
    let mut files = files();
    for (path, text) in changed {
        match text {
            Some(text) => drop(files.insert((*path).to_owned(), text.as_bytes().to_vec())),
            None => drop(files.remove(*path)),
        }
    }
    Artifact::build(PackConfig { version: version.to_owned(), ..config() }, &files).unwrap().open().unwrap()
}

fn install(pack: &Pack, project: &Path) {
    compare(pack, project, None).unwrap().apply(pack, project).unwrap();
}

/// Every file of a project.
fn found(project: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![project.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(project).unwrap().display().to_string();
                found.insert(below, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_pack_is_there_once_it_is_installed_and_then_nothing_is_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("new");
    let pack = pack("1.0.0", &[]);
    let changes = compare(&pack, &project, None).unwrap();
    assert_eq!((changes.written().count(), changes.is_nothing()), (4, false));
    changes.apply(&pack, &project).unwrap();
    let mut found = found(&project);
    assert!(found.remove("packs/user-risk.json").is_some());
    assert_eq!(found, pack.files);
    assert!(compare(&pack, &project, None).unwrap().is_nothing());
}

#[test]
fn a_newer_version_takes_the_place_of_what_nobody_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    install(&pack("1.0.0", &[("jobs/old.yaml", Some("old")), ("jobs/mine.yaml", Some("theirs"))]), project);
    fs::write(project.join("jobs/mine.yaml"), "mine").unwrap();
    let newer = pack("1.1.0", &[("jobs/risk.yaml", Some("newer"))]);
    let changes = compare(&newer, project, None).unwrap();
    assert_eq!(changes.of(Change::Updated).collect::<Vec<_>>(), ["jobs/risk.yaml"]);
    assert_eq!(changes.gone, BTreeSet::from(["jobs/old.yaml".to_owned()]));
    assert_eq!(changes.left, BTreeSet::from(["jobs/mine.yaml".to_owned()]));
    changes.apply(&newer, project).unwrap();
    let found = found(project);
    assert_eq!(found["jobs/risk.yaml"], b"newer");
    assert!(!found.contains_key("jobs/old.yaml") && found["jobs/mine.yaml"] == b"mine");
}

#[test]
fn what_somebody_else_wrote_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    fs::create_dir(project.join("jobs")).unwrap();
    fs::write(project.join("jobs/risk.yaml"), "mine").unwrap();
    let pack = pack("1.0.0", &[]);
    let changes = compare(&pack, project, None).unwrap();
    assert_eq!(changes.conflicts().collect::<Vec<_>>(), ["jobs/risk.yaml"]);
    changes.apply(&pack, project).unwrap();
    assert_eq!(found(project)["jobs/risk.yaml"], b"job: risk");
}

#[test]
fn a_file_of_two_packs_stays_when_one_does_not_have_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    let first = pack("1.0.0", &[]);
    install(&first, project);
    let other = PackConfig { name: "other".to_owned(), ..config() };
    install(&Artifact::build(other, &files()).unwrap().open().unwrap(), project);
    let newer = pack("1.1.0", &[("streams/rides.yaml", None)]);
    assert!(compare(&newer, project, None).unwrap().gone.is_empty());
}

#[test]
fn links_and_folders_in_the_way_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (project, outside) = (folder.path().join("project"), folder.path().join("outside"));
    fs::create_dir_all(&outside).unwrap();
    let refused = || compare(&pack("1.0.0", &[]), &project, None).unwrap_err().message;
    fs::create_dir_all(&project).unwrap();
    std::os::unix::fs::symlink(&outside, project.join("jobs")).unwrap();
    assert!(refused().contains("jobs is a link"), "{}", refused());
    fs::remove_file(project.join("jobs")).unwrap();
    fs::create_dir_all(project.join("jobs/risk.yaml")).unwrap();
    assert!(refused().contains("risk.yaml is a folder"), "{}", refused());
    fs::remove_dir_all(project.join("jobs")).unwrap();
    fs::write(project.join("jobs"), "").unwrap();
    assert!(refused().contains("jobs is a file"), "{}", refused());
}

#[test]
fn an_installation_that_ends_halfway_is_completed_by_the_next() {
    let older = pack("1.0.0", &[("jobs/old.yaml", Some("old"))]);
    let newer = pack("2.0.0", &[("jobs/risk.yaml", Some("newer")), ("jobs/risk.sql", Some("SELECT"))]);
    let wanted = {
        let folder = tempfile::tempdir().unwrap();
        install(&newer, folder.path());
        found(folder.path())
    };
    for before in [None, Some(&older)] {
        for taken in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let project = folder.path();
            before.into_iter().for_each(|older| install(older, project));
            let changes = compare(&newer, project, None).unwrap();
            let mut steps = changes.steps(&newer, project).unwrap();
            let is_all = taken == steps.len();
            steps.iter_mut().take(taken).for_each(|step| step.take(project).unwrap());
            // As a process that is killed leaves them.
            for step in &mut steps {
                if let Step::Move { staged: Some(staged), .. } = step {
                    staged.disable_cleanup(true);
                }
            }
            drop(steps);
            let job = project.join("jobs/risk.yaml");
            let is_new = fs::read(&job).is_ok_and(|bytes| bytes == b"newer");
            let named = ["plugins/geo.wasm", "streams/rides.yaml", "jobs/risk.sql"];
            assert!(!is_new || named.iter().all(|path| project.join(path).exists()), "after {taken} steps");
            let changes = compare(&newer, project, None).unwrap();
            assert_eq!(changes.conflicts().count(), 0, "after {taken} steps");
            clear(project).unwrap();
            changes.apply(&newer, project).unwrap();
            assert_eq!(found(project), wanted, "after {taken} steps");
            if is_all {
                break;
            }
        }
    }
}
