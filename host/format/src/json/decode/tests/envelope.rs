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
    assert_eq!(reasons[1], "a change of kind `t` is not a row");
    assert!(reasons[2].starts_with("not an event of Debezium"), "{reasons:?}");
    assert_eq!(reasons[3], "the event time `at` is missing");
}
