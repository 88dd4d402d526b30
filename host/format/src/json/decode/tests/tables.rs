//! What random records meet too seldom, gone through without a gap: every byte after a backslash and every control
//! character, every short number, every `\u` escape.

use super::*;

/// What `serde_json` makes of a record's member `s`; `None` where the record is not JSON.
fn read_by_reference(record: &[u8]) -> Option<Option<String>> {
    let value: Value = serde_json::from_slice(record).ok()?;
    Some(value.get("s").and_then(Value::as_str).map(str::to_owned))
}

/// What the decoder makes of it, with and without expected keys.
fn read(record: &[u8]) -> Option<Option<String>> {
    // The second of two like records meets the keys that the first has taught.
    let twice = [record, record].concat();
    let ends = vec![record.len() as u32, twice.len() as u32];
    let block = block(&twice, Framing::Records { ends, offsets: vec![0, 1] });
    let decoder = all_columns(&stream(&[("t", "timestamp"), ("s", "string")]));
    let expecting = decoder.decode(&block);
    let plain = decode(&decoder.wanted, &block, None);
    assert_eq!((&expecting.columns, &expecting.bad), (&plain.columns, &plain.bad), "{record:?}");
    assert!(expecting.offsets.is_empty() || expecting.offsets == [0, 1], "{record:?}");
    let texts = expecting.columns.column(1).as_string_view();
    let mut texts = texts.iter().map(|text| text.map(str::to_owned));
    let first = texts.next();
    assert_eq!(first, texts.next(), "{record:?}");
    first
}

/// Where a byte is put: in a value that is wanted, in one that is not, in keys, and between tokens.
const PLACES: &[(&str, &str)] = &[
    (r#"{"t":1,"s":""#, r#""}"#),
    (r#"{"t":1,"s":"long before "#, r#" and long after it"}"#),
    (r#"{"t":1,"u":""#, r#"","s":"x"}"#),
    (r#"{"t":1,"u":["#, r#"],"s":"x"}"#),
    (r#"{"t":1,"u":[""#, r#""],"s":"x"}"#),
    (r#"{"t":1,"u":{""#, r#"":{}},"s":"x"}"#),
    (r#"{"t":1,""#, r#"":0,"s":"x"}"#),
    (r#"{"t":1,"#, r#""s":"x"}"#),
    (r#"{"t":1"#, r#","s":"x"}"#),
    (r#"{"t":1,"s":"x"}"#, ""),
    ("", r#"{"t":1,"s":"x"}"#),
];

#[test]
fn every_byte_after_a_backslash_and_by_itself_is_read_as_the_reference_reads_it() {
    let mut accepted = 0;
    for (before, after) in PLACES {
        for byte in 0..=u8::MAX {
            for middle in
                [&[byte][..], &[b'\\', byte], &[b'\\', byte, b'0', b'0', b'4', b'1'], &[b'\\', b'\\', byte]]
            {
                let record = [before.as_bytes(), middle, after.as_bytes()].concat();
                let expected = read_by_reference(&record);
                assert_eq!(read(&record), expected, "{}", record.escape_ascii());
                accepted += usize::from(expected.is_some());
            }
        }
    }
    // Most of what is put in is refused; were all of it, this would say nothing.
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn every_short_number_is_read_as_the_reference_reads_it() {
    const CHARACTERS: &[u8] = b"01-+.e";
    let mut numbers = vec![String::new()];
    let mut from = 0;
    for _ in 0..4 {
        let to = numbers.len();
        for index in from..to {
            let longer = CHARACTERS.iter().map(|byte| format!("{}{}", numbers[index], char::from(*byte)));
            numbers.extend(longer.collect::<Vec<_>>());
        }
        from = to;
    }
    numbers.extend(
        ["00000", "-00.0", "0123456789", "12345678901234567890", "1E5", "1E+05", "-.5", "Infinity"]
            .map(str::to_owned),
    );
    for member in ["t", "n", "d", "s", "u"] {
        let records: Vec<_> = numbers
            .iter()
            .flat_map(|number| {
                let alone = format!(r#"{{"t":1,"{member}":{number}}}"#);
                [alone, format!(r#"{{"t":1,"{member}":{number} ,"p":{{"q":{number}}}}}"#)]
            })
            .collect();
        for records in records.chunks(500) {
            check_against_reference(&records.join("\n"));
        }
    }
}

#[test]
fn every_unicode_escape_is_read_as_the_reference_reads_it() {
    let singles = (0..=u16::MAX).map(|unit| format!(r#"{{"t":1,"s":"\u{unit:04x}"}}"#));
    check_against_reference(&singles.collect::<Vec<_>>().join("\n"));

    let edges = [0, 0x1F, 0x41, 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0xFFFF];
    let pairs = edges.iter().flat_map(|first| edges.iter().map(move |second| (first, second)));
    let pairs = pairs.map(|(first, second)| format!(r#"{{"t":1,"s":"a\u{first:04X}\u{second:04X}b"}}"#));
    check_against_reference(&pairs.collect::<Vec<_>>().join("\n"));

    let others = [
        "u", "u1", "u12", "u123", "u+123", "u-123", "u 123", "u00g0", "U0041", "ud83d", "ud83d\\",
        "ud83d\\n", "ud83dx",
    ];
    let others = others.map(|escape| format!(r#"{{"t":1,"s":"\{escape}"}}"#));
    check_against_reference(&others.join("\n"));
}
