//! `archive` of a stream.

use super::*;

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
        "6:8: `archive.cut`: weir 0.1 does not have this yet",
        "7:3: `archive.sourec`: unknown key; did you mean `source`?",
    ] {
        assert!(said.iter().any(|line| line.contains(expected)), "{expected}: {said:?}");
    }
}
