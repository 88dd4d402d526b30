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
fn links_to_folders_are_followed_within_the_project_and_once() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for below in ["jobs/own", "elsewhere/deep"] {
        fs::create_dir_all(folder.path().join(below)).unwrap();
    }
    for file in ["jobs/own/o.yaml", "elsewhere/a.yaml", "elsewhere/deep/d.yaml"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    fs::write(outside.path().join("secret.yaml"), "").unwrap();
    let away = outside.path().display().to_string();
    for (to, link) in [
        ("..", "jobs/above"),
        (".", "jobs/here"),
        ("own", "jobs/another"),
        ("../elsewhere", "jobs/linked"),
        ("../elsewhere/a.yaml", "jobs/a.yaml"),
        ("../../jobs", "elsewhere/deep/back"),
        (&away, "jobs/away"),
        (&away, "streams"),
    ] {
        std::os::unix::fs::symlink(to, folder.path().join(link)).unwrap();
    }
    let project = read(folder.path()).unwrap();
    let jobs: Vec<&str> = project.files.jobs.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(jobs, ["jobs/a.yaml", "jobs/linked/a.yaml", "jobs/linked/deep/d.yaml", "jobs/own/o.yaml"]);
    assert!(project.files.streams.is_empty());
    let told: Vec<String> = project.remarks.iter().map(ToString::to_string).collect();
    let expected = [
        "streams:1:1: is a link to a folder outside of the project",
        "jobs/above:1:1: warning: is not read: it is a link to a folder that it is in itself",
        "jobs/another:1:1: warning: is not read: it is a link to a folder that is read already",
        "jobs/away:1:1: warning: is not read: it is a link to a folder outside of the project",
        "jobs/here:1:1: warning: is not read: it is a link to a folder that it is in itself",
        "jobs/linked/deep/back:1:1: warning: is not read: it is a link to a folder that is read already",
    ];
    assert!(told.iter().zip(expected).all(|(told, begin)| told.starts_with(begin)), "{told:#?}");
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn a_project_that_kubernetes_mounts_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("streams/s.yaml", "s"), ("jobs/j.yaml", "j"), ("weir.yaml", "w")] {
        let file = folder.path().join("..2026_11_28").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    for (to, link) in [
        ("..2026_11_28", "..data"),
        ("..data/streams", "streams"),
        ("..data/jobs", "jobs"),
        ("..data/weir.yaml", "weir.yaml"),
    ] {
        std::os::unix::fs::symlink(to, folder.path().join(link)).unwrap();
    }
    let project = read(folder.path()).unwrap();
    assert_eq!(project.remarks, Vec::new());
    let files = project.files.streams.iter().chain(&project.files.jobs).chain(&project.files.server);
    let texts: Vec<&str> = files.map(|file| file.text.as_str()).collect();
    assert_eq!(texts, ["s", "j", "w"]);
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
