//! Changes in Debezium's envelope.

use super::*;
use weir_event::DataType;

#[test]
fn rows_are_those_after_a_change_and_what_is_not_a_row_says_so() {
    let mut fields = vec![Field::named("at", DataType::Timestamp), Field::named("city", DataType::String)];
    fields[1].path = vec!["place".to_owned(), "city".to_owned()];
    let decoder = JsonDecoder::in_envelope(&StreamSchema { fields, event_time: 0 }, &[0, 1]);
    let lines = [
        r#"{"before":null,"after":{"at":1,"place":{"city":"a"}},"source":{"db":"d"},"op":"c","ts_ms":9}"#,
        r#"{"schema":{"type":"struct"},"payload":{"op":"u","before":{"at":1},"after":{"at":2,"place":null}}}"#,
        r#"{"payload":{"op":"r","after":{"at":3,"place":{"city":"b"}}}}"#,
        r#"{"op":"d","before":{"at":1},"after":null}"#,
        r#"{"op":"t"}"#,
        r#"{"at":1}"#,
        r#"{"op":"c","after":null}"#,
    ];
    let decoded = decoder.decode(&RawBlock {
        partition: PartitionId::default(),
        data: lines.join("\n").into(),
        framing: Framing::Lines { first: 0 },
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    });
    assert_eq!(decoded.offsets, [0, 1, 2]);
    let cities = decoded.columns.column(1).as_string_view().iter().collect::<Vec<_>>();
    assert_eq!(cities, [Some("a"), None, Some("b")]);
    let reasons: Vec<_> = decoded.bad.iter().map(|bad| bad.reason.as_str()).collect();
    assert!(reasons[0].starts_with("a row was deleted"), "{reasons:?}");
    assert!(reasons[1].starts_with("the table was truncated"), "{reasons:?}");
    assert!(reasons[2].starts_with("not an event of Debezium"), "{reasons:?}");
    assert_eq!(reasons[3], "the event time `at` is missing");
}

/// The rows of changes: city, and whether it is taken back.
fn changes(columns: &[usize], lines: &[&str]) -> Decoded {
    let fields = vec![Field::named("at", DataType::Timestamp), Field::named("city", DataType::String)];
    let schema = StreamSchema { fields, event_time: 0 }.with_taken_back();
    JsonDecoder::of_changes(&schema, columns).decode(&RawBlock {
        partition: PartitionId::default(),
        data: lines.join("\n").into(),
        framing: Framing::Lines { first: 0 },
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    })
}

fn reasons(decoded: &Decoded) -> Vec<(u64, &str)> {
    decoded.bad.iter().map(|bad| (bad.offset, bad.reason.as_str())).collect()
}

#[test]
fn a_change_takes_back_the_row_before_it_and_then_gives_that_after_it() {
    let lines = [
        r#"{"before":null,"after":{"at":1,"city":"a"},"op":"r"}"#,
        r#"{"schema":{},"payload":{"op":"u","before":{"city":"a","at":1},"after":{"at":2,"city":"b"}}}"#,
        r#"{"op":"u","before":{"at":2,"city":"b"},"after":{"at":2,"city":null}}"#,
        r#"{"payload":{"op":"d","before":{"at":2,"city":null},"after":null}}"#,
        r#"{"op":"c","before":{"at":7,"city":"never"},"after":{"at":3,"city":"c"}}"#,
    ];
    let decoded = changes(&[1, 0, 2], &lines);
    assert_eq!(reasons(&decoded), []);
    assert_eq!(decoded.offsets, [0, 1, 1, 2, 2, 3, 4]);
    assert_eq!(decoded.records, [0, 1, 1, 2, 2, 3, 4]);
    let cities = decoded.columns.column(0).as_string_view().iter().collect::<Vec<_>>();
    assert_eq!(cities, [Some("a"), Some("a"), Some("b"), Some("b"), None, None, Some("c")]);
    let times = decoded.columns.column(1).as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.values(), &[1, 1, 2, 2, 2, 2, 3]);
    let taken_back = decoded.columns.column(2).as_boolean().iter().flatten().collect::<Vec<_>>();
    assert_eq!(taken_back, [false, true, false, true, false, true, false]);
    assert_eq!(changes(&[], &lines).offsets, [0, 1, 1, 2, 2, 3, 4]);
    assert_eq!(changes(&[0], &lines).columns.num_columns(), 1);
}

#[test]
fn a_row_that_cannot_be_taken_back_is_told_and_the_other_is_kept() {
    let decoded = changes(
        &[0, 1, 2],
        &[
            // PostgreSQL without REPLICA IDENTITY FULL.
            r#"{"op":"u","before":null,"after":{"at":1,"city":"a"}}"#,
            r#"{"op":"d","before":{"id":5,"at":null,"city":null},"after":null}"#,
            r#"{"op":"d","after":null}"#,
            // It was a dead letter when it came.
            r#"{"op":"u","before":{"at":null,"city":"a"},"after":{"at":2,"city":"b"}}"#,
            r#"{"op":"u","before":{"at":1,"city":7},"after":{"at":3,"city":"c"}}"#,
            r#"{"op":"u","before":{"at":1,"city":"a"},"after":{"at":4,"city":7}}"#,
            r#"{"op":"u","before":{"at":1,"city":"a"},"after":{"at":null,"city":"a"}}"#,
            r#"{"op":"t"}"#,
            r#"{"op":"m","message":{}}"#,
            r#"{"op":"u","before":5,"after":{"at":6,"city":"e"}}"#,
        ],
    );
    assert_eq!(decoded.offsets, [3, 4, 5, 6, 9]);
    let taken_back = decoded.columns.column(2).as_boolean().iter().flatten().collect::<Vec<_>>();
    assert_eq!(taken_back, [false, false, true, true, false]);
    let found = reasons(&decoded);
    let offsets: Vec<u64> = found.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    for (_, reason) in &found[..3] {
        assert!(reason.contains("`ALTER TABLE .. REPLICA IDENTITY FULL`"), "{reason}");
    }
    assert!(found[3].1.starts_with("the row before the change: member `city`: "), "{found:?}");
    assert!(found[4].1.starts_with("member `city`: "), "{found:?}");
    assert_eq!(found[5].1, "the event time `at` is null");
    assert!(found[6].1.starts_with("the table was truncated"), "{found:?}");
    assert_eq!(found[7].1, "a change of kind `m` is not a row");
    assert!(found[8].1.starts_with("the row before the change: member `at`: "), "{found:?}");
}
