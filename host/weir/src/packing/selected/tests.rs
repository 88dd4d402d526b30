//! Projects, and which of their files are packed.

use super::*;

fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let project = Project::read(folder.path()).unwrap();
    (folder, project)
}

const STREAM: &str = "fields: {user_id: string, fare: double, t: timestamp}\nevent_time: t\n";

fn stream(rest: &str) -> String {
    format!("{STREAM}{rest}\n")
}

fn selected(files: &[(&str, &str)], include: &[&str], exclude: &[&str]) -> Result<Selection, Failure> {
    let texts = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (_folder, project) = project(files);
    let choice = Choice::of(&texts(include), &texts(exclude), false)?;
    select(&project, &choice, &BTreeMap::new())
}

fn paths_of(selection: &Selection) -> Vec<&str> {
    selection.files.keys().map(String::as_str).collect()
}

const COUNT: &str = "SELECT user_id, COUNT(*) AS n FROM rides GROUP BY user_id, TUMBLE(t, INTERVAL '1' HOUR)";

#[test]
fn definitions_and_what_they_name_are_packed_and_nothing_of_the_server() {
    let rides = stream("source: {file: {path: \"data/rides/*.jsonl\"}}");
    let posted = stream(
        "source: {kafka: {brokers: \"h:1\", topic: a}}\nformat: {avro: {schema: schemas/posted.avsc}}",
    );
    let avsc = r#"{"type":"record","name":"r","fields":[{"name":"user_id","type":"string"},
        {"name":"fare","type":"double"},{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
    let selection = selected(
        &[
            ("weir.yaml", "token: sesame\n"),
            ("streams/rides.yaml", &rides),
            ("streams/posted.yaml", &posted),
            ("schemas/posted.avsc", avsc),
            ("schemas/other.avsc", "not named"),
            ("jobs/a.yaml", "query_file: queries/a.sql\n"),
            ("queries/a.sql", COUNT),
            ("jobs/b.yaml", "{}"),
            ("jobs/b.sql", COUNT),
            ("data/rides/1.jsonl", "{}"),
            ("data/rides/2.jsonl", "{}"),
            ("data/other.jsonl", "{}"),
            (".weir/state/x", "x"),
            ("packs/other.json", "{}"),
            ("README.md", "x"),
        ],
        &[],
        &["data/rides/2*"],
    );
    let selection = selection.unwrap();
    let wanted = [
        "data/rides/1.jsonl",
        "jobs/a.yaml",
        "jobs/b.sql",
        "jobs/b.yaml",
        "queries/a.sql",
        "schemas/posted.avsc",
        "streams/posted.yaml",
        "streams/rides.yaml",
    ];
    assert_eq!((paths_of(&selection), selection.notices.len()), (wanted.to_vec(), 0));
}

#[test]
fn what_is_included_brings_what_it_reads() {
    let rides = stream("source: {http: {}}");
    let files = [
        ("streams/rides.yaml", rides.as_str()),
        ("streams/other.yaml", rides.as_str()),
        ("jobs/risk_a.yaml", "query_file: queries/a.sql\n"),
        ("queries/a.sql", COUNT),
        ("jobs/b.yaml", "query: SELECT user_id, t FROM other\nsinks: [stdout: {}]\n"),
        ("tests/rows.jsonl", "{}"),
    ];
    let some = selected(&files, &["jobs/risk*.yaml", "tests/*"], &[]).unwrap();
    assert_eq!(
        paths_of(&some),
        ["jobs/risk_a.yaml", "queries/a.sql", "streams/rides.yaml", "tests/rows.jsonl"]
    );
    let none = selected(&files, &["jobs/none*"], &[]).unwrap_err().to_string();
    assert!(none.contains("nothing is left"), "{none}");
}

#[test]
fn variables_stay_as_they_are_written_and_are_listed() {
    let selection = selected(
        &[
            (
                "streams/a.yaml",
                &stream("source: {kafka: {brokers: \"${BROKERS:-h:1}\", topic: \"${TOPIC:-a}\"}}"),
            ),
            ("streams/b.yaml", &stream("source: {kafka: {brokers: \"${BROKERS:-h:1}\", topic: b}}")),
        ],
        &[],
        &[],
    )
    .unwrap();
    let named: Vec<(&str, usize)> =
        selection.variables.iter().map(|variable| (variable.name.as_str(), variable.files.len())).collect();
    assert_eq!(named, [("BROKERS", 2), ("TOPIC", 1)]);
    assert!(String::from_utf8_lossy(&selection.files["streams/a.yaml"]).contains("${TOPIC:-a}"));
}

#[test]
fn what_may_not_be_packed_is_told_with_what_to_do() {
    let refused = |files: &[(&str, &str)]| selected(files, &[], &[]).unwrap_err().to_string();
    let with_sink = "query: SELECT user_id, t FROM rides\nsinks: [{redis: {url: \"redis://:sesame@h:1\", key: \"{user_id}\"}}]\n";
    let said = refused(&[("streams/rides.yaml", &stream("source: {http: {}}")), ("jobs/a.yaml", with_sink)]);
    assert!(
        said.contains("jobs/a.yaml:2:23: a password in an address is written out")
            && !said.contains("sesame"),
        "{said}"
    );

    let said = refused(&[("streams/rides.yaml", "fields: [")]);
    assert!(said.contains("streams/rides.yaml:"), "{said}");

    let large = "x".repeat(DATA_BYTES as usize + 1);
    let rides = stream("source: {file: {path: data/rides.jsonl}}");
    let said = refused(&[("streams/rides.yaml", &rides), ("data/rides.jsonl", &large)]);
    assert!(said.contains("data/rides.jsonl has 16.0 MiB") && said.contains("--exclude"), "{said}");

    let elsewhere = stream("source: {file: {path: events.jsonl}}");
    let selection =
        selected(&[("streams/rides.yaml", &elsewhere), ("events.jsonl", "{}")], &[], &[]).unwrap();
    assert!(selection.notices[0].contains("streams/rides.yaml names events.jsonl, which is not in the pack"));
}

#[test]
fn a_link_out_of_the_project_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.jsonl"), "secret").unwrap();
    let (folder, _) = project(&[("streams/rides.yaml", &stream("source: {file: {path: data/x.jsonl}}"))]);
    fs::create_dir(folder.path().join("data")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("x.jsonl"), folder.path().join("data/x.jsonl")).unwrap();
    let project = Project::read(folder.path()).unwrap();
    let said = select(&project, &Choice::default(), &BTreeMap::new()).unwrap_err().to_string();
    assert!(said.contains("data/x.jsonl is a link that leads out"), "{said}");
}
