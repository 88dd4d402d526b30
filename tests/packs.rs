//! Feature packs: built, brought through a real registry, installed, and refused where they are not what they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Dice, Project, Server, repository, wait_for, weir};
use crate::services::oci::Registry;
use crate::services::said;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A project whose definitions, plugin and data make a pack.
pub(crate) fn project() -> Project {
    let project = Project::new();
    project
        .file("weir.yaml", "listen: 127.0.0.1:0\ntoken: ${NOBODYS_TOKEN:-sesame}\n")
        .file(
            "streams/rides.yaml",
            "fields: {user_id: string, lat: double, lon: double, t: timestamp}\nevent_time: t\n\
             source: {http: {keep: \"${KEEP:-1d}\"}}\n",
        )
        .file(
            "streams/old_rides.yaml",
            "fields: {user_id: string, t: timestamp}\nevent_time: t\nsource: {file: {path: data/old.jsonl}}\n",
        )
        .file("data/old.jsonl", "{\"user_id\":\"u1\",\"t\":\"2026-01-31T10:00:00Z\"}\n")
        .file("jobs/rides.yaml", "features: {rides: {description: rides so far}}\nemit: {on: change}\n")
        .file("jobs/rides.sql", "SELECT user_id, COUNT(*) AS rides FROM rides GROUP BY user_id")
        .file(
            "jobs/places.yaml",
            "query: SELECT geohash_encode(lat, lon, 3) AS place, COUNT(*) AS rides FROM rides \
             GROUP BY geohash_encode(lat, lon, 3)\nemit: {on: change}\n",
        )
        .file(".weir/state/secret", "x");
    std::fs::create_dir(project.path().join("plugins")).unwrap();
    std::fs::copy(repository().join("plugins/dist/geo.wasm"), project.path().join("plugins/geo.wasm"))
        .unwrap();
    project
}

/// `weir pack WORDS..` with these variables: the exit code, and everything that it says.
pub(crate) fn pack_with(variables: &[(&str, &str)], input: &str, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(weir());
    command.arg("pack").args(words).env_remove("RUST_BACKTRACE").envs(variables.iter().copied());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), text.concat())
}

/// The same, which must succeed.
#[track_caller]
pub(crate) fn pack(words: &[&str]) -> String {
    let (code, text) = pack_with(&[], "", words);
    assert_eq!(code, Some(0), "weir pack {words:?}: {text}");
    text
}

/// The same, which must be refused as the user's to correct, with these words.
#[track_caller]
pub(crate) fn refused(words: &[&str], parts: &[&str]) -> String {
    let (code, text) = pack_with(&[], "", words);
    assert_eq!(code, Some(1), "weir pack {words:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "weir pack {words:?} does not say `{part}`: {text}");
    }
    text
}

/// Builds a pack of a project, as a folder or an archive.
#[track_caller]
pub(crate) fn build(project: &Project, version: &str, output: &str, more: &[&str]) -> String {
    let output = project.path().join(output).display().to_string();
    let folder = project.path().display().to_string();
    let words = ["build", &folder, "--name", "user-risk", "--version", version, "-o", &output];
    pack(&[&words[..], more].concat());
    output
}

#[track_caller]
pub(crate) fn install(pack_at: &str, into: &Project, more: &[&str]) -> String {
    pack(&[&["install", pack_at, "--project", &into.path().display().to_string(), "--yes"], more].concat())
}

pub(crate) fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Every file of a folder except what a server makes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let listed = said(Command::new("find").arg(folder).args(["-type", "f", "-not", "-path", "*/.weir/*"]));
    listed
        .lines()
        .map(|path| (path[folder.display().to_string().len() + 1..].to_owned(), read(path)))
        .collect()
}

#[test]
fn the_same_project_makes_the_same_bytes_and_they_say_what_is_in_them() {
    let (project, twin) = (project(), project());
    let (one, two) = (build(&project, "1.2.0", "out/a.tar", &[]), build(&twin, "1.2.0", "out/a.tar", &[]));
    assert_eq!(read(&one), read(&two));
    let shown: Value = serde_json::from_str(&pack(&["show", &one, "--json"])).unwrap();
    let listed: Vec<&String> = shown["files"].as_object().unwrap().keys().collect();
    assert_eq!(
        listed,
        [
            "data/old.jsonl",
            "jobs/places.yaml",
            "jobs/rides.sql",
            "jobs/rides.yaml",
            "plugins/geo.wasm",
            "streams/old_rides.yaml",
            "streams/rides.yaml"
        ]
    );
    assert_eq!(shown["jobs"][1]["features"][0]["description"], "rides so far");
    assert_eq!(shown["streams"][1]["columns"][1]["type"], "double");
    assert_eq!(shown["variables"][0]["name"], "KEEP");
    assert_eq!(shown["signature"]["state"], "none");
    let text = pack(&["show", &one]);
    for part in ["user-risk 1.2.0  sha256:", "not signed", "geo", "KEEP", "1d", "rides bigint"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!String::from_utf8_lossy(&read(&one)).contains("sesame"));
    let folder = build(&project, "1.2.0", "out/folder", &[]);
    assert_eq!(serde_json::from_str::<Value>(&pack(&["show", &folder, "--json"])).unwrap(), shown);
    refused(&["show", &project.path().display().to_string()], &["is not a pack"]);
}

#[test]
fn a_project_with_errors_or_secrets_is_not_packed() {
    let project = project();
    let folder = project.path().display().to_string();
    let words = ["build", &folder, "--name", "user-risk", "--version", "1.0.0", "-o", "/dev/null/x"];
    project.file("jobs/bad.yaml", "query: SELECT nothing FROM rides GROUP BY user_id\nemit: {on: change}\n");
    refused(&words, &["jobs/bad.yaml:1:", "nothing"]);
    let sink = "sinks: [{postgres: {url: \"postgres://me:hunter2@h/d\", table: t}}]\n";
    project.file("jobs/bad.yaml", &format!("query: SELECT user_id, t FROM rides\n{sink}"));
    let text =
        refused(&words, &["jobs/bad.yaml:2:", "a password in an address is written out", "--allow-secrets"]);
    assert!(!text.contains("hunter2"), "{text}");
    refused(&["build", &folder, "--name", "User Risk", "--version", "1.0.0"], &["is not a name of a pack"]);
    refused(&["build", &folder, "--name", "a", "--version", "one"], &["is not a version"]);
}

#[test]
fn a_pack_goes_through_a_registry_into_a_project_that_answers() {
    let registry = Registry::open();
    let source = project();
    let built = build(&source, "1.2.0", "risk.tar", &["--description", "rides and places"]);
    let at = registry.address("team/user-risk");
    assert!(pack(&["push", &built, &at]).contains(":1.2.0"));
    // The component, and all else, is there already.
    let again = pack(&["push", &built, &format!("{at}:latest")]);
    assert!(
        again.contains("plugins/geo.wasm is there already") && !again.contains("pushing plugins"),
        "{again}"
    );
    let pulled = source.path().join("pulled.tar").display().to_string();
    pack(&["pull", &at, "-o", &pulled]);
    assert_eq!(read(&pulled), read(&built));

    let new = Project::new();
    let text = install(&at, &new, &[]);
    for part in
        ["user-risk 1.2.0", "rides and places", "plugins/geo.wasm", "KEEP", "installed user-risk 1.2.0"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut found = files(new.path());
    assert!(found.remove("packs/user-risk.json").is_some());
    assert!(found.keys().all(|path| read(source.path().join(path)) == found[path]), "{:?}", found.keys());
    let checked = new.weir("check", &[]);
    assert!(
        checked.status.success() && String::from_utf8_lossy(&checked.stdout).contains("2 jobs: no errors")
    );

    let server = Server::start(&new, "");
    let ride = "{\"user_id\":\"u1\",\"lat\":52.52,\"lon\":13.4,\"t\":\"2026-01-31T10:00:00Z\"}\n";
    let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", ride.repeat(3));
    assert_eq!((status, &answer["visible"]), (200, &Value::Bool(true)), "{answer}");
    let (_, answer) = server.get("/v1/jobs/rides/values?user_id=u1");
    assert_eq!(answer["features"]["rides"]["value"], 3, "{answer}");
    let (_, answer) = server.get("/v1/jobs/places/values?place=u33");
    assert_eq!(answer["features"]["rides"]["value"], 3, "{answer}");
    assert!(install(&format!("{at}:1.2.0"), &new, &[]).contains("nothing to do"));
}

#[test]
fn a_pack_joins_a_project_and_takes_nothing_of_it() {
    let source = project();
    let built = build(&source, "1.0.0", "risk.tar", &[]);
    let own = Project::new();
    own.file(
        "streams/taps.yaml",
        "fields: {id: string, city: string, t: timestamp}\nevent_time: t\nsource: {http: {}}\n",
    )
    .file("jobs/taps.yaml", "query: SELECT id, COUNT(*) AS n FROM taps GROUP BY id\nemit: {on: change}\n")
    .file(
        "jobs/visits.yaml",
        "query: SELECT id, started, rides FROM TABLE(visits(TABLE taps PARTITION BY id, 30))\n",
    )
    .file("jobs/rides.sql", "SELECT 1");
    std::fs::create_dir(own.path().join("plugins")).unwrap();
    std::fs::copy(repository().join("plugins/dist/visits.wasm"), own.path().join("plugins/visits.wasm"))
        .unwrap();
    let into = own.path().display().to_string();
    let before = files(own.path());
    let words = ["install", &built, "--project", &into, "--yes"];
    refused(&words, &["jobs/rides.sql", "--replace"]);
    assert!(pack(&[&words[..], &["--replace", "--dry-run"]].concat()).contains("nothing was written"));
    // Nobody can be asked in a test.
    refused(&["install", &built, "--project", &into, "--replace"], &["--yes"]);
    assert_eq!(files(own.path()), before, "nothing was written so far");
    install(&built, &own, &["--replace"]);
    let checked = own.weir("check", &[]);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(text.contains("3 streams, 4 jobs: no errors"), "{text}");

    // A newer version takes the place of what nobody changed, and what it does not have goes.
    source.file(
        "jobs/rides.sql",
        "SELECT user_id, COUNT(*) AS rides, MAX(lat) AS north FROM rides GROUP BY user_id",
    );
    std::fs::remove_file(source.path().join("jobs/places.yaml")).unwrap();
    let newer = build(&source, "1.1.0", "newer.tar", &[]);
    let text = install(&newer, &own, &[]);
    assert!(text.contains("takes the place of version 1.0.0") && text.contains("removed"), "{text}");
    let text = String::from_utf8_lossy(&own.weir("check", &[]).stdout).into_owned();
    assert!(text.contains("3 jobs: no errors") && text.contains("north"), "{text}");
    assert!(install(&built, &own, &["--dry-run"]).contains("takes the place of the newer version"));
}

#[test]
fn what_would_break_a_project_is_refused_before_a_file_is_written() {
    let source = project();
    let built = build(&source, "1.0.0", "risk.tar", &[]);
    let own = Project::new();
    let into = own.path().display().to_string();
    // The same stream under another name of its file, and an error that is not the pack's.
    own.file("streams/mine.yaml", "stream: rides\nfields: {a: string, t: timestamp}\nevent_time: t\n")
        .file("jobs/mine.yaml", "query: SELECT nothing\n");
    let before = files(own.path());
    let words = ["install", &built, "--project", &into, "--yes"];
    let text = refused(&words, &["stream `rides` is in", "jobs/mine.yaml:"]);
    let of_mine = text.lines().find(|line| line.starts_with("jobs/mine.yaml:")).unwrap();
    assert!(of_mine.ends_with("(so it is without the pack)"), "{text}");
    assert_eq!(files(own.path()), before);
    std::fs::remove_dir_all(own.path().join("streams")).unwrap();
    std::fs::remove_dir_all(own.path().join("jobs")).unwrap();
    own.file("weir.yaml", "data_dir: data\n");
    refused(&words, &["the pack has data/old.jsonl", "`data_dir`"]);
    let elsewhere = Project::new();
    elsewhere.file("holiday.jpg", "x");
    refused(
        &["install", &built, "--project", &elsewhere.path().display().to_string(), "--yes"],
        &["is not a project"],
    );
}

#[test]
fn variables_have_to_be_set_and_are_only_looked_at() {
    let source = Project::new();
    source.file(
        "streams/a.yaml",
        "fields: {id: string, t: timestamp}\nevent_time: t\nsource: {kafka: {brokers: \"${PACK_BROKERS}\", topic: a}}\n",
    );
    let folder = source.path().display().to_string();
    let output = source.path().join("a.tar").display().to_string();
    let words = ["build", &folder, "--name", "a", "--version", "1.0.0", "-o", &output];
    refused(&words, &["`PACK_BROKERS` is not set"]);
    pack(&[&words[..], &["--set", "PACK_BROKERS=h:1"]].concat());
    let into = Project::new();
    let path = into.path().display().to_string();
    let words = ["install", &output, "--project", &path, "--yes"];
    refused(&words, &["PACK_BROKERS (streams/a.yaml)", "--set NAME=VALUE", "has to be set"]);
    pack(&[&words[..], &["--set", "PACK_BROKERS=h:1"]].concat());
    assert!(String::from_utf8(read(into.path().join("streams/a.yaml"))).unwrap().contains("${PACK_BROKERS}"));
}

#[test]
fn whoever_changes_a_part_of_a_pack_is_found_out() {
    let registry = Registry::open();
    let source = project();
    let folder = build(&source, "1.0.0", "risk", &[]);
    let at = registry.address("user-risk");
    pack(&["push", &folder, &at]);
    let into = source.path().join("x.tar").display().to_string();
    let index: Value = serde_json::from_slice(&read(Path::new(&folder).join("index.json"))).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let blob =
        |digest: &str| Path::new(&folder).join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let parsed: Value = serde_json::from_slice(&read(blob(&manifest))).unwrap();
    for part in [&parsed["config"], &parsed["layers"][0], &parsed["layers"][1]] {
        let digest = part["digest"].as_str().unwrap();
        for at_disk in [blob(digest), registry.blob(digest)] {
            let sound = read(&at_disk);
            let mut changed = sound.clone();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            std::fs::write(&at_disk, changed).unwrap();
            let (words, other) = (["show", &folder], ["pull", &at, "-o", &into]);
            let words = if at_disk.starts_with(&folder) { &words[..] } else { &other[..] };
            let (code, text) = pack_with(&[], "", words);
            assert!(
                code == Some(2) && text.contains("is expected") && text.contains(digest),
                "{code:?} {text}"
            );
            std::fs::write(&at_disk, sound).unwrap();
        }
    }
    pack(&["pull", &format!("{at}@{manifest}"), "-o", &into]);
    let other = format!("{at}@sha256:{}", "0".repeat(64));
    refused(&["pull", &other, "-o", &into], &["has no pack"]);
}

#[test]
fn a_registry_that_lets_in_whom_it_knows() {
    let registry = Registry::guarded();
    let source = project();
    let built = build(&source, "1.0.0", "risk.tar", &[]);
    let at = registry.address("team/user-risk");
    let home = Project::new();
    let nobody = [("DOCKER_CONFIG", home.path().to_str().unwrap())];
    let words = ["push", &built, &at];
    let (code, text) = pack_with(&nobody, "", &words);
    assert_eq!(code, Some(1), "{text}");
    for part in
        ["does not let whoever has no login push to team/user-risk (401", "--password-stdin", "docker login"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let named = [&words[..], &["--username", "weir", "--password-stdin"]].concat();
    let (code, text) = pack_with(&nobody, "wrong\n", &named);
    assert!(code == Some(1) && text.contains("does not let `weir` push"), "{text}");
    let (code, text) = pack_with(&nobody, "sesame\n", &named);
    assert_eq!(code, Some(0), "{text}");

    let into = source.path().join("pulled.tar").display().to_string();
    let words = ["pull", &at, "-o", &into];
    let variables = [("WEIR_REGISTRY_USERNAME", "weir"), ("WEIR_REGISTRY_PASSWORD", "sesame"), nobody[0]];
    let (code, text) = pack_with(&variables, "", &words);
    assert_eq!(code, Some(0), "{text}");
    let host = at.trim_start_matches("oci://").split('/').next().unwrap();
    // base64 of weir:sesame.
    home.file("config.json", &format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"d2VpcjpzZXNhbWU=\"}}}}}}"));
    let (code, text) = pack_with(&nobody, "", &words);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = pack_with(&nobody, "", &["pull", &format!("{at}:7.0.0"), "-o", &into]);
    assert!(code == Some(1) && text.contains("has no pack") && text.contains("1.0.0"), "{text}");
}

#[test]
fn who_is_not_there_is_told_as_such() {
    let (code, text) = pack_with(&[], "", &["pull", "oci://nowhere.invalid/team/a:1.0.0"]);
    assert!(
        code == Some(2) && text.contains("no answer from the registry nowhere.invalid"),
        "{code:?} {text}"
    );
    refused(&["pull", "ghcr.io/team/a"], &["does not begin with oci://", "such as oci://"]);
    refused(&["show", "no-such-file.tar"], &["cannot read no-such-file.tar"]);
}

#[test]
fn archives_that_lead_elsewhere_or_never_end_are_refused() {
    let source = project();
    let folder = build(&source, "1.0.0", "sound", &[]);
    // Everything of it is consistent except what the archive holds.
    let script = r#"
import gzip, hashlib, io, json, pathlib, shutil, sys, tarfile
sound, out, kind = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
shutil.copytree(sound, out)
blobs = out / "blobs/sha256"
def put(data, old):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    (blobs / digest[7:]).write_bytes(data)
    old.update(digest=digest, size=len(data))
index = json.loads((out / "index.json").read_text())
manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
raw = io.BytesIO()
with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as tar:
    entry = tarfile.TarInfo({"slip": "../../escaped", "absolute": "/tmp/escaped", "settings": "weir.yaml"}.get(kind, "jobs/x.yaml"))
    if kind == "link":
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    if kind == "bomb":
        entry.size = 300 << 20
    tar.addfile(entry, io.BytesIO(bytes(entry.size)) if entry.size else None)
put(raw.getvalue(), manifest["layers"][0])
put(json.dumps(manifest).encode(), index["manifests"][0])
(out / "index.json").write_text(json.dumps(index))
"#;
    for (kind, part) in [
        ("slip", "leads out of the project's folder"),
        ("absolute", "paths start at the project's folder"),
        ("settings", "it has files in streams/"),
        ("link", "is a link or a device"),
        ("bomb", "unpacks to more than 128.0 MiB"),
        ("other", "differ in"),
    ] {
        let out = source.path().join(kind).display().to_string();
        said(Command::new("python3").args(["-c", script, &folder, &out, kind]));
        let into = source.path().join("into").join(kind);
        refused(&["install", &out, "--project", &into.display().to_string(), "--yes"], &[part]);
        assert!(!into.exists(), "{kind}");
    }
}

#[test]
fn an_installation_that_is_killed_leaves_a_project_that_is_valid_and_is_completed() {
    let source = project();
    let older = build(&source, "1.0.0", "older", &[]);
    source.file(
        "jobs/rides.sql",
        "SELECT user_id, COUNT(*) AS rides, MIN(lat) AS south FROM rides GROUP BY user_id",
    );
    source.file(
        "jobs/more.yaml",
        "query: SELECT user_id, COUNT(*) AS n FROM old_rides GROUP BY user_id\nemit: {on: change}\n",
    );
    let newer = build(&source, "2.0.0", "newer", &[]);
    let wanted = {
        let project = Project::new();
        install(&newer, &project, &[]);
        files(project.path())
    };
    let mut dice = Dice::new(7);
    for round in 0..8 {
        let project = Project::new();
        if round % 2 == 0 {
            install(&older, &project, &[]);
        }
        let mut command = Command::new(weir());
        command.args(["pack", "install", &newer, "--yes", "--project"]).arg(project.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From the first file that is staged on, it is killed somewhere.
        let begun = || {
            std::fs::read_dir(project.path())
                .unwrap()
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with(".weir-pack-"))
        };
        wait_for("the installation to begin or end", Duration::from_secs(120), || {
            (begun() || child.try_wait().unwrap().is_some()).then_some(())
        });
        (0..dice.below(20_000)).for_each(|_| std::hint::spin_loop());
        // It may be done.
        let _ = child.kill();
        child.wait().unwrap();
        // Of a new project there may be none yet.
        if ["streams", "jobs"].iter().any(|folder| project.path().join(folder).exists()) {
            let checked = project.weir("check", &[]);
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
        install(&newer, &project, &[]);
        assert_eq!(files(project.path()), wanted);
    }
}
