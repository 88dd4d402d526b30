//! The laws of decoders: a payload's row depends on nothing except that payload. Must not know functions.

use super::value::{self, Dice, Value};
use super::{Finding, LabSettings, Verdict, finding};
use crate::failure::Failure;
use crate::payloads::{Part, PluginPayloads};

/// A row for each payload; none for one that is refused.
type Decoded = Result<Vec<Option<Vec<Value>>>, String>;

/// A decoder as the lab calls it.
pub(super) struct Decodes<'a> {
    /// The columns of these indexes, of all payloads in one call.
    pub(super) call: &'a dyn Fn(&[&[u8]], &[usize]) -> Decoded,
    /// Drops every instance: whatever one remembers is gone.
    pub(super) forget: &'a dyn Fn(),
    /// How many columns there are.
    pub(super) columns: usize,
}

struct PayloadLaw {
    name: &'static str,
    says: &'static str,
    try_on: fn(&Decodes<'_>, &[&[u8]]) -> Result<(), Vec<String>>,
}

const LAWS: [PayloadLaw; 3] = [
    PayloadLaw {
        name: "payloads",
        says: "payloads decoded together give what each gives alone",
        try_on: together,
    },
    PayloadLaw {
        name: "columns",
        says: "a column that is wanted alone is what it is among all",
        try_on: column_by_column,
    },
    PayloadLaw {
        name: "memory",
        says: "an instance that has worked gives what a fresh one gives",
        try_on: again,
    },
];

/// Every law of a plugin's decoder; `given` are payloads of its author's.
pub(super) fn try_decoder(
    decoder: &PluginPayloads,
    given: &[Vec<u8>],
    settings: LabSettings,
) -> Vec<Finding> {
    let call = |payloads: &[&[u8]], wanted: &[usize]| {
        let called = decoder.run(payloads, wanted).map_err(|failure: Failure| failure.reason)?;
        Ok(rows(&called, payloads.len()))
    };
    let (forget, columns) =
        (|| decoder.forget(), weir_format::payload::PayloadDecoder::columns(decoder).len());
    try_laws(&Decodes { call: &call, forget: &forget, columns }, given, settings)
}

fn rows(part: &Part, payloads: usize) -> Vec<Option<Vec<Value>>> {
    let columns: Vec<Vec<Value>> = part.columns.iter().map(value::values).collect();
    let is_refused = |row: usize| part.refused.iter().any(|(refused, _)| *refused == row);
    let row = |row| (!is_refused(row)).then(|| columns.iter().map(|column| column[row].clone()).collect());
    (0..payloads).map(row).collect()
}

pub(super) fn try_laws(decoder: &Decodes<'_>, given: &[Vec<u8>], settings: LabSettings) -> Vec<Finding> {
    let mut findings = vec![try_given(decoder, given)];
    for law in &LAWS {
        let mut verdict = Verdict::Holds { cases: settings.cases };
        for case in 0..settings.cases {
            let mut dice = Dice::new(settings.seed.wrapping_add(u64::from(case)));
            let payloads: Vec<Vec<u8>> = (0..=dice.below(20)).map(|_| payload(given, &mut dice)).collect();
            let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            if let Err(because) = (law.try_on)(decoder, &payloads) {
                verdict = smallest(decoder, law, payloads, because);
                break;
            }
        }
        findings.push(finding(law.name, law.says, verdict));
    }
    findings
}

/// Whether the payloads of its author become rows.
fn try_given(decoder: &Decodes<'_>, given: &[Vec<u8>]) -> Finding {
    const LAW: (&str, &str) = ("rows", "the given payloads become rows");
    if given.is_empty() {
        let note = "made-up payloads are all that it was tried on; give some of yours with --payloads FILE, one a line";
        return finding(LAW.0, LAW.1, Verdict::Noted { note: note.to_owned() });
    }
    let all: Vec<usize> = (0..decoder.columns).collect();
    let is_row =
        |payload: &&Vec<u8>| matches!((decoder.call)(&[payload], &all), Ok(rows) if rows[0].is_some());
    let (good, bad): (Vec<_>, Vec<_>) = given.iter().partition(is_row);
    let verdict = match bad.first() {
        None => Verdict::Holds { cases: u32::try_from(good.len()).unwrap_or(u32::MAX) },
        Some(first) if good.is_empty() => Verdict::Broken {
            rows: vec![shown(first)],
            because: vec!["none of them becomes a row".to_owned()],
        },
        Some(first) => {
            let note =
                format!("{} of {} payloads are refused, such as {}", bad.len(), given.len(), shown(first));
            Verdict::Noted { note }
        }
    };
    finding(LAW.0, LAW.1, verdict)
}

/// One of the given, as it is or with a fault; or made up.
fn payload(given: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    if given.is_empty() || dice.one_in(8) {
        let (is_text, length) = (dice.one_in(2), dice.below(64));
        let byte =
            |dice: &mut Dice| if is_text { b' ' + dice.below(95) as u8 } else { dice.below(256) as u8 };
        return (0..length).map(|_| byte(dice)).collect();
    }
    let mut payload = given[dice.below(given.len())].clone();
    if dice.one_in(4) && !payload.is_empty() {
        let at = dice.below(payload.len());
        match dice.below(3) {
            0 => payload.truncate(at),
            1 => payload[at] = dice.below(256) as u8,
            _ => payload.extend_from_within(at..),
        }
    }
    payload
}

/// Leaves out payloads for as long as the law stays broken.
fn smallest(decoder: &Decodes<'_>, law: &PayloadLaw, payloads: Vec<&[u8]>, because: Vec<String>) -> Verdict {
    let (mut payloads, mut because) = (payloads, because);
    let mut at = 0;
    while at < payloads.len() {
        let mut fewer = payloads.clone();
        fewer.remove(at);
        match (law.try_on)(decoder, &fewer) {
            Err(still) => (payloads, because) = (fewer, still),
            Ok(()) => at += 1,
        }
    }
    let row = |(at, payload): (usize, &&[u8])| format!("payload {}: {}", at + 1, shown(payload));
    Verdict::Broken { rows: payloads.iter().enumerate().map(row).collect(), because }
}

fn shown(payload: &[u8]) -> String {
    const MOST: usize = 200;
    let text: String = payload.escape_ascii().map(char::from).take(MOST).collect();
    format!("\"{text}\"")
}

fn told(row: Option<&Vec<Value>>) -> String {
    row.map_or("refused".to_owned(), |row| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn is_same(one: Option<&Vec<Value>>, other: Option<&Vec<Value>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.iter().zip(other).all(|(one, other)| one.same(other, false)),
        _ => false,
    }
}

/// The payloads that can be decoded or refused alone, and what comes of each: one that fails alone is refused by the host.
fn alone<'p>(decoder: &Decodes<'_>, payloads: &[&'p [u8]]) -> Vec<(&'p [u8], Option<Vec<Value>>)> {
    let all: Vec<usize> = (0..decoder.columns).collect();
    let alone = |payload: &&'p [u8]| Some((*payload, (decoder.call)(&[payload], &all).ok()?.pop()?));
    payloads.iter().filter_map(alone).collect()
}

/// Compares what came of payloads alone with what comes of them in one call.
fn agree(decoder: &Decodes<'_>, alone: &[(&[u8], Option<Vec<Value>>)], how: &str) -> Result<(), Vec<String>> {
    let (payloads, all): (Vec<&[u8]>, Vec<usize>) =
        (alone.iter().map(|(payload, _)| *payload).collect(), (0..decoder.columns).collect());
    let together = (decoder.call)(&payloads, &all).map_err(|reason| vec![format!("{how}: {reason}")])?;
    for (at, ((_, alone), together)) in alone.iter().zip(&together).enumerate() {
        if !is_same(alone.as_ref(), together.as_ref()) {
            return Err(vec![
                format!("payload {} alone: {}", at + 1, told(alone.as_ref())),
                format!("{how}: {}", told(together.as_ref())),
            ]);
        }
    }
    Ok(())
}

fn together(decoder: &Decodes<'_>, payloads: &[&[u8]]) -> Result<(), Vec<String>> {
    let mut alone = alone(decoder, payloads);
    agree(decoder, &alone, "all payloads in one call")?;
    alone.reverse();
    agree(decoder, &alone, "backwards")
}

fn column_by_column(decoder: &Decodes<'_>, payloads: &[&[u8]]) -> Result<(), Vec<String>> {
    for (payload, row) in alone(decoder, payloads) {
        // Whether a payload is refused may be for what nobody wants.
        let Some(row) = row else { continue };
        for (column, value) in row.iter().enumerate() {
            let found = (decoder.call)(&[payload], &[column]).map_err(|reason| vec![reason])?.pop().flatten();
            let found = found.and_then(|mut row| row.pop());
            if !found.as_ref().is_some_and(|found| found.same(value, false)) {
                let found = found.map_or("refused".to_owned(), |found| found.to_string());
                return Err(vec![
                    format!("column {} of {}: {value}", column + 1, shown(payload)),
                    format!("wanted alone: {found}"),
                ]);
            }
        }
    }
    Ok(())
}

fn again(decoder: &Decodes<'_>, payloads: &[&[u8]]) -> Result<(), Vec<String>> {
    (decoder.forget)();
    let fresh = alone(decoder, payloads);
    agree(decoder, &fresh, "in an instance that has worked before")?;
    (decoder.forget)();
    agree(decoder, &fresh, "in another instance")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const SETTINGS: LabSettings = LabSettings { cases: 60, seed: 3 };

    /// Laws that are broken by a decoder of one column, the payload's length, as this makes of it. `None` refuses.
    fn broken(decode: impl Fn(&[&[u8]], usize) -> Option<i64>, given: &[&str]) -> Vec<&'static str> {
        let call = |payloads: &[&[u8]], wanted: &[usize]| {
            let row = |at| {
                let value = decode(payloads, at)?;
                Some(wanted.iter().map(|_| Value::Integer(value)).collect())
            };
            Ok((0..payloads.len()).map(row).collect())
        };
        let decoder = Decodes { call: &call, forget: &|| (), columns: 1 };
        let given: Vec<Vec<u8>> = given.iter().map(|payload| payload.as_bytes().to_vec()).collect();
        let is_broken = |found: &Finding| matches!(found.verdict, Verdict::Broken { .. });
        try_laws(&decoder, &given, SETTINGS)
            .iter()
            .filter(|found| is_broken(found))
            .map(|found| found.law)
            .collect()
    }

    fn length(payload: &[u8]) -> i64 {
        payload.len() as i64
    }

    #[test]
    fn a_decoder_that_looks_at_its_payload_alone_keeps_every_law() {
        let fine = |payloads: &[&[u8]], at: usize| (!payloads[at].is_empty()).then(|| length(payloads[at]));
        assert_eq!(broken(fine, &[]), [""; 0]);
        assert_eq!(broken(fine, &["a", "", "abc"]), [""; 0]);
    }

    #[test]
    fn what_looks_elsewhere_is_caught() {
        let neighbour = |payloads: &[&[u8]], at: usize| Some(length(payloads[at]) + length(payloads[0]));
        assert_eq!(broken(neighbour, &["a", "abc"]), ["payloads", "memory"]);
        let last_refused = |payloads: &[&[u8]], at: usize| (at < 3).then(|| length(payloads[at]));
        assert_eq!(broken(last_refused, &["a", "abc"]), ["payloads", "memory"]);
        let calls = Cell::new(0);
        let counts = |_: &[&[u8]], _: usize| {
            calls.set(calls.get() + 1);
            Some(calls.get())
        };
        assert_eq!(broken(counts, &["a"]), ["payloads", "columns", "memory"]);
        let nothing = |_: &[&[u8]], _: usize| None;
        assert_eq!(broken(nothing, &["a"]), ["rows"]);
    }

    #[test]
    fn the_case_that_is_shown_is_small() {
        let call = |payloads: &[&[u8]], _: &[usize]| {
            Ok(payloads.iter().map(|_| Some(vec![Value::Integer(payloads.len() as i64)])).collect())
        };
        let decoder = Decodes { call: &call, forget: &|| (), columns: 1 };
        let findings = try_laws(&decoder, &[b"a\n".to_vec()], SETTINGS);
        let Verdict::Broken { rows, because } = &findings[1].verdict else { panic!("{findings:?}") };
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(because, &["payload 1 alone: 1", "all payloads in one call: 2"]);
    }
}
