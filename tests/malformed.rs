//! Definitions and records with something broken in them: what reads them says what is wrong or takes them, and never
//! panics, hangs or answers in no words. Made of every golden case by changing a few bytes, the same ones for a number.
//!
//! 3,000 of each, or as many as WEIR_MALFORMED says; each is known by its number alone.

use crate::golden::cases;
use crate::harness::Dice;
use crate::replay::{block, decoder, plan_of};
use arrow_array::{ArrayRef, Int64Array, StringViewArray};
use arrow_schema::DataType as ArrowType;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::key::{EncodedKeys, decode_keys};
use weir_event::{Clock, PartitionId};
use weir_project::{AnyConnectors, BuiltIns, ProjectFiles, plan};

/// Longer than any of them takes by far, and short enough that nobody takes it for an end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is put where it does not belong: words of SQL and YAML, numbers at edges, bytes that mean something.
const STRANGE: [&str; 40] = [
    "(",
    ")",
    "((((((((",
    ",",
    "'",
    "\"",
    "`",
    "\\",
    "\n",
    "\t",
    "\0",
    "\u{feff}",
    "é\u{202e}",
    "--",
    "/*",
    ";",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "*",
    "SELECT ",
    " FROM ",
    " GROUP BY ",
    " OVER (",
    "TUMBLE(",
    "INTERVAL '1' DAY",
    "NULL",
    "CAST(",
    " AND ",
    "9223372036854775807",
    "-9223372036854775809",
    "1e400",
    "0.0",
    "${HOME}",
    "&a ",
    "*a",
    "!!binary ",
];

fn count() -> u64 {
    std::env::var("WEIR_MALFORMED").map_or(3000, |count| count.parse().expect("a number"))
}

/// A text with one to four things changed: cut, doubled, moved, replaced.
fn broken(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(letters.len() + 1);
        let length = dice.below(12).min(letters.len() - at);
        match dice.below(5) {
            0 => drop(letters.drain(at..at + length)),
            1 => drop(letters.splice(at..at, letters[at..at + length].to_vec())),
            2 => drop(letters.splice(at..at + length, dice.choose(&STRANGE).chars())),
            3 => {
                let moved: Vec<char> = letters.drain(at..at + length).collect();
                let to = dice.below(letters.len() + 1);
                drop(letters.splice(to..to, moved));
            }
            _ => drop(letters.splice(at..at, dice.choose(&STRANGE).chars())),
        }
    }
    letters.into_iter().collect()
}

/// The cases that are planned, with their definitions.
fn definitions() -> Vec<(PathBuf, String, String)> {
    let read = |case: &PathBuf, name: &str| std::fs::read_to_string(case.join(name)).expect("a definition");
    let texts = cases().into_iter().map(|case| {
        let (stream, job) = (read(&case, "stream.yaml"), read(&case, "job.yaml"));
        (case, stream, job)
    });
    texts.collect()
}

#[test]
fn broken_definitions_are_planned_or_refused_in_words() {
    let cases = definitions();
    let clock = SystemClock::new();
    let mut refused = 0;
    for number in 0..count() {
        let mut dice = Dice::new(number);
        let (_, stream, job) = &cases[dice.below(cases.len())];
        let (stream, job) = match dice.below(3) {
            0 => (broken(stream, &mut dice), job.clone()),
            _ => (stream.clone(), broken(job, &mut dice)),
        };
        let files =
            ProjectFiles::from_iter([("streams/t.yaml", stream.as_str()), ("jobs/j.yaml", job.as_str())]);
        let began = clock.monotonic();
        let planned = plan(&files, &|_: &str| None, &AnyConnectors, &BuiltIns);
        let took = clock.monotonic().saturating_sub(began);
        assert!(took < PATIENCE, "definition {number} took {took:?}:\n{stream}\n{job}");
        if planned.jobs.is_empty() {
            refused += 1;
            let reasons: Vec<String> = planned.diagnostics.iter().map(ToString::to_string).collect();
            let said = reasons.iter().any(|reason| reason.len() > 10);
            assert!(said, "definition {number} is refused without a word: {reasons:?}\n{stream}\n{job}");
        }
    }
    assert!(refused > count() / 3, "only {refused} were refused: too little is broken");
}

/// Stored keys are read when state is restored or looked up: whatever stands there is a key or an error.
#[test]
fn broken_keys_are_values_or_an_error() {
    let types = [
        ArrowType::Utf8View,
        ArrowType::Int64,
        ArrowType::Float64,
        ArrowType::Boolean,
        ArrowType::Date32,
        ArrowType::Decimal128(38, 2),
        ArrowType::BinaryView,
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from(vec![Some("a\0b"), None])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(7)])),
    ];
    let keys = EncodedKeys::encode(&columns, 2).expect("both are types of keys");
    for number in 0..10 * count() {
        let mut dice = Dice::new(number);
        let mut key = if dice.below(2) == 0 {
            keys.key(dice.below(2)).to_vec()
        } else {
            let length = dice.below(40);
            dice.bytes(length)
        };
        if !key.is_empty() {
            let at = dice.below(key.len());
            key[at] = dice.below(256) as u8;
        }
        let of: Vec<ArrowType> =
            (0..=dice.below(3)).map(|_| types[dice.below(types.len())].clone()).collect();
        if let Ok(values) = decode_keys([&*key].into_iter(), &of) {
            assert!(values.iter().all(|column| column.len() == 1), "key {number}: {key:?} as {of:?}");
            let again = EncodedKeys::encode(&values, 1).expect("types of keys");
            let back = decode_keys([again.key(0)].into_iter(), &of).expect("a key reads back");
            // By their keys: a not-a-number is not equal to itself.
            let twice = EncodedKeys::encode(&back, 1).expect("types of keys");
            assert_eq!(twice.key(0), again.key(0), "key {number}: {key:?} as {of:?}");
        }
    }
}

#[test]
fn broken_records_are_rows_or_dead_letters() {
    let cases: Vec<_> = cases()
        .into_iter()
        .filter_map(|case| {
            let plan = plan_of(&case).ok()?;
            // A change may be two rows.
            if plan.inputs[0].stream.format.options != serde_json::json!({}) {
                return None;
            }
            let text = std::fs::read_to_string(case.join("in.jsonl")).ok()?;
            Some((plan, text)).filter(|(_, text)| !text.is_empty())
        })
        .collect();
    for number in 0..count() {
        let mut dice = Dice::new(number);
        let (plan, text) = &cases[dice.below(cases.len())];
        let input = &plan.inputs[0];
        let lines: Vec<String> =
            text.lines().map(|line| broken(line, &mut dice).replace('\n', " ")).collect();
        let block = block(PartitionId::default(), 0, &lines);
        let decoded = decoder(input).decode(&block);
        // An empty line is not a record.
        let due = lines.iter().filter(|line| !line.trim_end_matches('\r').is_empty()).count();
        assert_eq!(decoded.columns.num_rows() + decoded.bad.len(), due, "records {number}: {lines:?}");
        assert!(decoded.bad.iter().all(|bad| !bad.reason.is_empty()), "records {number}: {lines:?}");
    }
}
