//! Times in the unit or the pattern of their column, and files that are not JSON.

use super::*;
use weir_event::{TimePattern, TimeUnit};

fn times(form: TimeForm) -> StreamSchema {
    let mut schema = stream(&[("t", "timestamp"), ("n", "bigint")]);
    schema.fields[0].form = form;
    schema
}

fn read(schema: &StreamSchema, value: &str) -> Result<String, String> {
    let decoded = decode_lines(schema, &format!("{{\"n\":1,\"t\":{value}}}"));
    match decoded.bad.first() {
        Some(bad) => Err(bad.reason.clone()),
        None => {
            let times = decoded.columns.column(0).as_primitive::<TimestampMillisecondType>();
            Ok(weir_event::EventTime::from_millis(times.value(0)).to_string())
        }
    }
}

#[test]
fn numbers_are_times_in_the_unit_of_their_column() {
    let schema = times(TimeForm::Unit(TimeUnit::Seconds));
    assert_eq!(read(&schema, "1767225600").as_deref(), Ok("2026-01-01T00:00:00.000Z"));
    assert_eq!(read(&schema, "1767225600.25").as_deref(), Ok("2026-01-01T00:00:00.250Z"));
    for (value, reason) in [
        ("\"2026-01-01T00:00:00Z\"", "is not a number; the stream's file says `unit: s` of its column"),
        ("true", "is not a number; the stream's file says `unit: s` of its column"),
        ("1e30", "is out of range of a time in seconds"),
        ("null", "the event time `t` is null"),
    ] {
        assert!(read(&schema, value).unwrap_err().ends_with(reason), "{value}: {:?}", read(&schema, value));
    }
}

#[test]
fn texts_are_times_of_the_pattern_of_their_column() {
    let pattern = TimePattern::new("%Y-%m-%d %H:%M:%S", Some("Europe/Berlin")).unwrap();
    let schema = times(TimeForm::Pattern(pattern));
    assert_eq!(read(&schema, "\"2026-03-01 10:00:00\"").as_deref(), Ok("2026-03-01T09:00:00.000Z"));
    assert_eq!(read(&schema, "\"2026-03-01\\u002010:00:00\"").as_deref(), Ok("2026-03-01T09:00:00.000Z"));
    let of = "the stream's file says `pattern: \"%Y-%m-%d %H:%M:%S\", zone: Europe/Berlin` of its column";
    for (value, why) in [
        ("\"2026-03-01T10:00:00Z\"", "is not a time of this form"),
        ("\"2026-02-30 10:00:00\"", "is not a time of this form"),
        ("1767225600000", "is not a text"),
    ] {
        let reason = read(&schema, value).unwrap_err();
        assert!(reason.ends_with(&format!("{why}; {of}")), "{reason}");
    }
}

#[test]
fn a_refused_time_leaves_the_rows_around_it_whole() {
    let mut schema = stream(&[("at", "timestamp"), ("n", "bigint"), ("t", "timestamp")]);
    schema.fields[2].form = TimeForm::Unit(TimeUnit::Micros);
    let line = |n: u32, t: &str| format!("{{\"at\":{n},\"n\":{n},\"t\":{t}}}\n");
    let decoded =
        decode_lines(&schema, &(line(1, "1000") + &line(2, "\"x\"") + &line(3, "null") + &line(4, "-1")));
    assert_eq!((decoded.bad.len(), decoded.offsets), (1, vec![100, 102, 103]));
    let times = decoded.columns.column(2).as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.iter().collect::<Vec<_>>(), [Some(1), None, Some(-1)]);
}

#[test]
fn a_line_of_csv_is_told_to_be_one() {
    let schema = times(TimeForm::Standard);
    for line in ["user,city,fare", "u1,\"Berlin {Mitte}\",3", "a;b", "\"a\",\"b\""] {
        assert!(only_reason(&schema, line).contains("CSV"), "{line}");
    }
    for line in ["17", "hello", "\"a, b\"", "null", "a, {\"t\":1}"] {
        assert!(!only_reason(&schema, line).contains("CSV"), "{line}");
    }
}
