//! Folders of every shape, and what is read and told of them.

use super::*;
use std::fs;
use weir_plan::SourceFile;

fn read(folder: &Path) -> Result<ProjectFolder, FolderError> {
    ProjectFolder::read(folder, &|_: &str| None)
}

#[test]
fn definitions_are_found_by_folder_and_ending() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("weir.yaml", ""),
        ("streams/b.yaml", "b"),
        ("streams/a.sql", "a"),
        ("jobs/j.yml", "query_file: queries/j.sql"),
        ("jobs/k.json", "{}"),
        ("jobs/k.sql", "SELECT 1"),
        ("jobs/README.md", "no job"),
        ("queries/j.sql", "SELECT 2"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let project = read(folder.path()).unwrap();
    let paths = |files: &[SourceFile]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&project.files.streams), ["streams/a.sql", "streams/b.yaml"]);
    assert_eq!(paths(&project.files.jobs), ["jobs/j.yml", "jobs/k.json"]);
    let queries: Vec<_> = project.files.queries.keys().map(String::as_str).collect();
    assert_eq!(queries, ["jobs/k.sql", "queries/j.sql"]);
}

#[test]
fn what_is_no_project_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none")] {
        let failure = read(&path).unwrap_err();
        assert!(failure.to_string().contains("weir init"), "{failure}");
    }
}

#[test]
fn definitions_in_folders_are_read_and_what_is_not_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for path in
        ["jobs/fraud/a.yaml", "jobs/fraud/deep/b.sql", "jobs/.hidden.yaml", "jobs/c.yaml.bak", "jobs/.git/x"]
    {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let project = read(folder.path()).unwrap();
    assert_eq!(project.files.jobs.len(), 1);
    assert_eq!(project.files.jobs[0].path, "jobs/fraud/a.yaml");
    assert!(project.files.queries.contains_key("jobs/fraud/deep/b.sql"));
    let mut told: Vec<&str> = project.remarks.iter().map(|remark| remark.file.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["jobs/.git", "jobs/.hidden.yaml", "jobs/c.yaml.bak"]);
}

#[test]
fn links_to_folders_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    for below in ["jobs", "elsewhere"] {
        fs::create_dir(folder.path().join(below)).unwrap();
    }
    fs::write(folder.path().join("elsewhere/a.yaml"), "").unwrap();
    for (to, link) in [
        ("..", "jobs/loop"),
        ("../elsewhere", "jobs/outside"),
        ("../elsewhere/a.yaml", "jobs/a.yaml"),
        ("elsewhere", "streams"),
    ] {
        std::os::unix::fs::symlink(to, folder.path().join(link)).unwrap();
    }
    let project = read(folder.path()).unwrap();
    assert_eq!(project.files.jobs.len(), 1, "a link to a file is one: {:?}", project.files.jobs);
    assert!(project.files.streams.is_empty());
    let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
    for (told, path) in told.iter().zip(["streams:1:1: is a link", "jobs/loop:1:1: warning: is not read"]) {
        assert!(told.starts_with(path) && told.contains("link to a folder"), "{told}");
    }
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn only_files_of_a_definition_s_size_are_read_and_each_other_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("jobs/folder.yaml")).unwrap();
    fs::write(at("jobs/folder.yaml/inner.yaml"), "").unwrap();
    let made = std::process::Command::new("mkfifo").args([at("jobs/pipe.yaml"), at("weir.yaml")]).status();
    assert!(made.unwrap().success());
    for (to, link) in [("pipe.yaml", "pipe_link.yml"), ("/dev/zero", "zero.json"), ("gone", "dangling.sql")] {
        std::os::unix::fs::symlink(to, at("jobs").join(link)).unwrap();
    }
    fs::File::create(at("jobs/large.yaml")).unwrap().set_len(8 << 30).unwrap();
    fs::write(at("jobs/full.yaml"), vec![b'#'; 1 << 20]).unwrap();
    let project = read(folder.path()).unwrap();
    let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
    for says in [
        "weir.yaml:1:1: is not a regular file",
        "jobs/folder.yaml:1:1: is a folder",
        "jobs/large.yaml:1:1: is larger than 1 MiB",
        "jobs/pipe.yaml:1:1: is not a regular file",
        "jobs/pipe_link.yml:1:1: is not a regular file",
        "jobs/zero.json:1:1: is not a regular file",
        "jobs/dangling.sql:1:1: is a link to a file that was not found",
    ] {
        assert!(told.iter().any(|told| told.starts_with(says)), "{says}: {told:?}");
    }
    assert_eq!(told.len(), 7, "{told:?}");
    assert_eq!(project.files.jobs.iter().map(|file| file.text.len()).sum::<usize>(), 1 << 20);
}

#[test]
fn every_file_that_is_not_text_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("jobs")).unwrap();
    for name in ["a", "b"] {
        fs::write(folder.path().join(format!("jobs/{name}.yaml")), b"job: a\n\xff").unwrap();
    }
    let project = read(folder.path()).unwrap();
    let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("jobs/a.yaml:2:1") && told[1].starts_with("jobs/b.yaml:2:1"), "{told:?}");
}
