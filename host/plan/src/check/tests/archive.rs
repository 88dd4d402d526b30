//! `archive` of a stream.

use super::*;
use crate::definition::{ArchiveCut, OffsetColumns};

#[test]
fn an_archive_has_the_stream_s_columns_where_it_keeps_them() {
    let text = "fields: {t: timestamp, user: string, n: {type: bigint, from: payload.n}}\nevent_time: t\nsource: {http: {}}\n\
                archive: {source: {file: {path: a}}, columns: {user: uid}}\n";
    let archive = stream(text).archive.unwrap();
    let paths = archive.schema.fields.iter().map(|field| field.path.join("."));
    assert_eq!(paths.collect::<Vec<_>>(), ["t", "uid", "payload.n"]);
    assert_eq!((archive.format.name.as_str(), archive.origin.kind.as_str()), ("json", "file"));
    assert_eq!(archive.schema.event_time, 0);
}

#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let text = "fields: {t: timestamp, u: string}\nevent_time: t\nsource: {http: {}}\narchive:\n  columns: {uu: uid, u: [a]}\n  cut: \
         auto\n  sourec: {http: {}}\n";
    let checked = project(&[("streams/a.yaml", text)]);
    let said = said(&checked);
    for expected in [
        "5:3: `archive.source`: missing; write a mapping such as {source: {file:",
        "5:13: `archive.columns`: `uu`: unknown column; did you mean `u`?",
        "5:25: `archive.columns.u`: expected",
        "7:3: `archive.sourec`: unknown key; did you mean `source`?",
    ] {
        assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
    }
}

#[test]
fn an_archive_is_cut_at_its_end_at_a_time_or_by_the_log_s_offsets() {
    let cut = |cut: &str| {
        let text = format!(
            "fields: {{t: timestamp, u: string, off: bigint}}\nevent_time: t\nsource: {{http: {{}}}}\narchive: {{source: \
             {{file: {{path: a}}}}{cut}}}\n"
        );
        stream(&text).archive.unwrap()
    };
    assert_eq!((cut("").cut, cut("").allow_gap), (ArchiveCut::Auto, false));
    assert_eq!(
        (cut(", cut: auto, allow_gap: true").cut, cut(", allow_gap: true").allow_gap),
        (ArchiveCut::Auto, true)
    );
    let at = weir_event::EventTime::from_millis(1_769_904_000_000);
    assert_eq!(cut(", cut: 2026-02-01T00:00:00Z").cut, ArchiveCut::At(at));
    assert_eq!(cut(", cut: 1769904000000").cut, ArchiveCut::At(at));
    let by_offset = cut(", cut: {partition: p, offset: off}");
    assert_eq!(by_offset.cut, ArchiveCut::ByOffset(OffsetColumns { partition: 3, offset: 2 }));
    assert_eq!((by_offset.schema.fields[3].name.as_str(), by_offset.columns(&[0])), ("p", vec![0, 3, 2]));
}

#[test]
fn what_is_wrong_with_a_cut_and_with_bootstrap_is_said() {
    let archive = |more: &str| {
        format!(
            "fields: {{t: timestamp, u: string}}\nevent_time: t\nsource: {{http: {{}}}}\narchive:\n  source: {{file: \
             {{path: a}}}}\n  {more}\n"
        )
    };
    let job = |more: &str| format!("query: SELECT u FROM a\nsinks: [{{stdout: {{}}}}]\nbootstrap: {more}\n");
    for (file, text, expected) in [
        ("streams/a.yaml", archive("cut: yesterday"), "6:8: `archive.cut`: "),
        (
            "streams/a.yaml",
            archive("cut: {partition: p}"),
            "6:8: `archive.cut.offset`: missing; name the archive's column",
        ),
        (
            "streams/a.yaml",
            archive("cut: {partition: u, offset: o}"),
            "`archive.cut.partition`: `u` is declared string; declare it bigint",
        ),
        ("streams/a.yaml", archive("allow_gap: maybe"), "6:14: `archive.allow_gap`: expected true or false"),
        ("jobs/j.yaml", job("{shards: 0}"), "`bootstrap.shards`: expected a whole number from 1 to 128"),
        ("jobs/j.yaml", job("{writes: all}"), "`bootstrap.writes`: `all`: unknown value; known: skip"),
        (
            "jobs/j.yaml",
            job("{writes: {}}"),
            "`bootstrap.writes`: is empty; write skip, {separate: [SINK, ..]} or {smooth: {rate: 1000}}",
        ),
        (
            "jobs/j.yaml",
            job("{writes: {smooth: {}}}"),
            "3:30: `bootstrap.writes.smooth.rate`: missing; write how many rows a second",
        ),
        (
            "jobs/j.yaml",
            job("{writes: {smooth: {rate: 0}}}"),
            "3:37: `bootstrap.writes.smooth.rate`: expected a whole number of at least 1",
        ),
        (
            "jobs/j.yaml",
            job("{writes: {smooth: {speed: 1, rate: 1}}}"),
            "`bootstrap.writes.smooth.speed`: unknown key",
        ),
        (
            "jobs/j.yaml",
            job("{writes: {separate: [stdout], smooth: {rate: 1}}}"),
            "3:50: `bootstrap.writes.smooth`: has no place beside `separate`; write one of the two",
        ),
        (
            "jobs/j.yaml",
            job("{writes: {separate: []}}"),
            "`bootstrap.writes.separate`: is empty; name a sink",
        ),
        (
            "jobs/j.yaml",
            job("{writes: {separate: [file]}}"),
            "`bootstrap.writes.separate`: `file`: unknown sink",
        ),
    ] {
        let said = said(&project(&[(file, &text)]));
        assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
    }
}

#[test]
fn changes_of_a_table_are_cut_by_offsets_alone() {
    let stream = |cut: &str| {
        let text = format!(
            "fields: {{t: timestamp, u: string}}\nevent_time: t\nformat: {{json: {{changes: debezium}}}}\nsource: {{http: \
             {{}}}}\narchive: {{source: {{file: {{path: a}}}}{cut}}}\n"
        );
        said(&project(&[("streams/a.yaml", &text)]))
    };
    for cut in ["", ", cut: auto", ", cut: 2026-02-01T00:00:00Z"] {
        let said = stream(cut);
        assert!(
            said.iter().any(|line| line.contains("`archive.cut`: changes of a table take others back")),
            "{said:?}"
        );
    }
    assert_eq!(stream(", cut: {partition: p, offset: o}"), Vec::<String>::new());
}
