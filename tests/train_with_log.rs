//! Training sets of streams that have both an archive and a log, beside the point-in-time join by brute force: cut at a time,
//! at the archive's end, and by the log's own offsets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::Project;
use crate::train_oracle::{
    BASE, DISORDER, Event, JOBS, PRECEDING, RULES, USERS, World, assert_row, query, train,
};
use serde_json::{Value, json};

/// Of each of the two files so many events are archived; those of the second were known up to half a minute later.
const ARCHIVED: [usize; 2] = [450, 800];
/// So many events are on both sides.
const OVERLAP: usize = 40;

/// Each event is known no earlier than those before it, as its line says too, so that a time cuts a file in two.
fn world() -> World {
    let mut world = World::new(11, 700, 1000);
    for events in &mut world.files {
        let known = World::known(events);
        events.iter_mut().zip(known).for_each(|(event, known)| event.known = Some(known));
    }
    world
}

/// The events of each file that were known before a time, and how many they are.
fn known_before(world: &World, time: i64) -> [usize; 2] {
    [0, 1].map(|file| world.files[file].partition_point(|event| event.known < Some(time)))
}

fn at(world: &World, ends: [usize; 2]) -> [Vec<Event>; 2] {
    [0, 1].map(|file| world.files[file][..ends[file]].to_vec())
}

fn from(world: &World, starts: [usize; 2]) -> [Vec<Event>; 2] {
    [0, 1].map(|file| world.files[file][starts[file]..].to_vec())
}

/// A line of an archive says which record of the log it is.
fn archived(event: &Event, file: usize, offset: usize) -> String {
    let mut line: Value = serde_json::from_str(&event.line()).unwrap();
    line["p"] = json!(file);
    line["o"] = json!(offset);
    format!("{line}\n")
}

/// What each side of the project holds, and what the two sides are to be taken for.
fn check(cut: &str, (archive, log): ([usize; 2], [usize; 2]), ends: [usize; 2]) {
    let mut world = world();
    let project = Project::new();
    let stream = format!(
        "fields: {{user_id: string, n: bigint, fare: double, at: timestamp, known: timestamp}}\nevent_time: at\nknown_time: known\n\
         disorder: 3s\nidle_after: 1h\nsource: {{file: {{path: 'data/*.jsonl', partitions: files}}}}\narchive: {{source: {{file: \
         {{path: 'archive/*.jsonl', partitions: files}}}}, format: json, cut: {cut}}}\n"
    );
    project.file("streams/rides.yaml", &stream);
    for (job, more, _) in JOBS {
        project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {}\n{more}", query(job, PRECEDING)));
    }
    for file in 0..2 {
        let events = world.files[file].iter().enumerate();
        let past = events.take(archive[file]).map(|(offset, event)| archived(event, file, offset));
        project.file(&format!("archive/{file}.jsonl"), &past.collect::<String>());
        let rest: String = world.files[file][log[file]..].iter().map(Event::line).collect();
        project.file(&format!("data/{file}.jsonl"), &rest);
    }
    let spine: Vec<(u64, i64)> =
        world.moments().into_iter().map(|moment| (world.roll(USERS as i64) as u64, moment)).collect();
    let line = |(user, moment): &(u64, i64)| {
        format!("{}\n", json!({"user_id": format!("u{user}"), "event_time": moment}))
    };
    project.file("spine.jsonl", &spine.iter().map(line).collect::<String>());
    // The log begins where the job's watermark is by then, which the one that was archived least far holds back.
    let newest = at(&world, ends).map(|events| events.iter().map(|event| event.at).max().unwrap());
    world.floors.extend([newest[0].min(newest[1]) - DISORDER; 2]);
    world.files = [at(&world, ends), from(&world, ends)].concat();
    for rule in &RULES {
        let rows = train(&project, "over,strict,life", &[rule.arguments, &["--with-log"]].concat());
        assert_eq!(rows.len(), spine.len());
        spine.iter().zip(&rows).for_each(|(asked, row)| drop(assert_row(&world, rule, *asked, row)));
    }
}

#[test]
fn cut_at_a_time_each_event_counts_once() {
    let time = BASE + 40_000;
    let ends = known_before(&world(), time);
    let cut = weir_event::EventTime::from_millis(time).to_string();
    check(&cut, (ends.map(|end| end + OVERLAP), ends.map(|end| end - OVERLAP)), ends);
    // Where the archive ends before that, the log has the rest.
    let early = known_before(&world(), time - 5000);
    check(&cut, (early, early.map(|end| end - OVERLAP)), early);
}

#[test]
fn cut_at_its_end_an_archive_has_all_but_the_last_moment() {
    let world = world();
    let archive = known_before(&world, BASE + 40_000);
    let newest = (0..2).map(|file| world.files[file][archive[file] - 1].known.unwrap()).max().unwrap();
    check("auto", (archive, archive.map(|end| end - OVERLAP)), known_before(&world, newest));
}

#[test]
fn cut_by_the_log_s_own_offsets_each_file_goes_on_where_its_archive_ends() {
    check("{partition: p, offset: o}", (ARCHIVED, [0, 0]), ARCHIVED);
}

/// A stream of one file of events a second apart, archived up to a second and logged from another one on.
fn one_file(project: &Project, more: &str, (archived, logged): (i64, i64)) {
    project.file(
        "streams/e.yaml",
        &format!(
            "fields: {{id: bigint, u: string, t: timestamp}}\nevent_time: t\nsource: {{file: {{path: log.jsonl}}}}\narchive: \
             {{source: {{file: {{path: past.jsonl}}}}, format: json{more}}}\n"
        ),
    );
    project.file("jobs/j.yaml", "query: SELECT u, COUNT(*) AS c FROM e GROUP BY u\nemit: {on: change}\n");
    let event = |second: i64| format!("{}\n", json!({"id": second / 2, "u": "m", "t": BASE + second * 1000}));
    project.file("past.jsonl", &(0..archived).map(event).collect::<String>());
    project.file("log.jsonl", &(logged..100).map(event).collect::<String>());
    let row = |second: i64| format!("{}\n", json!({"u": "m", "event_time": BASE + second * 1000}));
    project.file("spine.jsonl", &[30, 59, 60, 99].map(row).concat());
}

fn counted(project: &Project, more: &[&str]) -> Vec<(Value, Value)> {
    let rows = train(project, "j", more);
    rows.iter().map(|row| (row["j__c"].clone(), row["j__c__status"].clone())).collect()
}

#[test]
fn a_gap_between_the_two_is_refused_or_makes_values_partial() {
    let project = Project::new();
    one_file(&project, "", (40, 60));
    let path = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let (spine, output) = (path("spine.jsonl"), path("out.csv"));
    let all = ["--spine", &spine, "--features", "j", "-o", &output];
    let alone = project.weir("train", &all);
    assert!(alone.status.success(), "{alone:?}");
    let told = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(told.contains("rows=3") && told.contains("behind the end of an archive"), "{told}");
    let refused = project.weir("train", &[&all[..], &["--with-log"]].concat());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    for says in ["its archive ends at", "its log begins at", "allow_gap: true"] {
        assert!(told.contains(says), "{told}");
    }
    one_file(&project, ", allow_gap: true", (40, 60));
    let found = counted(&project, &["--with-log"]);
    let expected = [(31, "ok"), (40, "partial"), (41, "partial"), (80, "partial")];
    assert_eq!(found, expected.map(|(count, status)| (json!(count), json!(status))));
}

#[test]
fn an_id_that_the_archive_has_is_not_counted_again_of_the_log() {
    let project = Project::new();
    // Of each id the second event is a second later: of one of them it is behind the cut.
    one_file(&project, ", cut: 2026-02-02T02:40:51Z", (70, 30));
    let stream = std::fs::read_to_string(project.path().join("streams/e.yaml")).unwrap();
    project.file("streams/e.yaml", &format!("{stream}event_id: id\n"));
    let ok = |count: i64| (json!(count), json!("ok"));
    for rule in ["known", "event"] {
        let found = counted(&project, &["--with-log", "--as-of", rule]);
        assert_eq!(found, [ok(16), ok(30), ok(31), ok(50)], "{rule}");
    }
}
