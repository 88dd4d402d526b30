//! The conformance lab: whether a component's functions keep the laws that the host relies on, tried on rows that are
//! made up, with the smallest case where one does not. For whoever writes a plugin; a server runs it on nobody.
//!
//! Knows how functions are called. Must not know jobs, files or how a report is shown.

mod courses;
mod laws;
mod payloads;
mod processes;
mod scalars;
mod shrink;
mod subject;
#[cfg(test)]
mod tests;
mod value;

use crate::account::Account;
use crate::aggregate::PluginAggregate;
use crate::describe::Described;
use crate::limits::MAX_STATE_BYTES;
use crate::payloads::PluginPayloads;
use crate::plugin::Plugin;
use crate::process::PluginProcess;
use crate::scalar::{PluginScalar, RowWorld, ScalarWorld};
use crate::transform::TransformWorld;
use crate::wire::{DataType, LogicalType};
use crate::world::World;
use arrow_schema::DataType as ArrowType;
use laws::{Broken, History, LAWS, Law};
use serde::Serialize;
use std::sync::Arc;
use subject::{PluginSubject, Row, Subject};
use value::{Dice, Taste};
use weir_timeline::Algebra;
use weir_timeline::aggregate::Parameter;

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct LabSettings {
    /// Histories for each law.
    pub cases: u32,
    /// What they are made of: the same for the same seed.
    pub seed: u64,
}

/// What was tried with one function.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Its signature, with the constants that it was tried with.
    pub function: String,
    /// One for each law, in order.
    pub findings: Vec<Finding>,
}

/// What became of one law.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Its name.
    pub law: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Whether it holds.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a law holds.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// On every history that was tried.
    Holds {
        /// How many.
        cases: u32,
    },
    /// On one that was made as small as it can be.
    Broken {
        /// Its rows, one a line.
        rows: Vec<String>,
        /// What two ways gave that must agree, or what failed.
        because: Vec<String>,
    },
    /// Nothing is wrong, and its author should know.
    Noted {
        /// What.
        note: String,
    },
}

impl Tried {
    /// Whether no law is broken.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| matches!(finding.verdict, Verdict::Broken { .. }))
    }
}

impl Plugin {
    /// Tries every function, and its decoder on made-up payloads and those that are given; an error says why one cannot be
    /// tried.
    pub fn try_laws(
        self: &Arc<Self>,
        settings: LabSettings,
        payloads: &[Vec<u8>],
    ) -> Result<Vec<Tried>, String> {
        let account = Arc::new(Account::new(self, ""));
        let functions = self.functions.iter().map(|function| try_function(&account, function, settings));
        let mut tried = functions.collect::<Result<Vec<_>, _>>()?;
        if let Some(function) = self.decodes() {
            let findings = payloads::try_decoder(&PluginPayloads::new(account), payloads, settings);
            tried.push(Tried { function, findings });
        }
        Ok(tried)
    }
}

fn try_function(account: &Arc<Account>, info: &Described, settings: LabSettings) -> Result<Tried, String> {
    let types: Vec<DataType> = info.arguments.iter().map(|field| field.data_type).collect();
    let arrow: Vec<ArrowType> = types.iter().map(|data_type| data_type.to_arrow()).collect();
    let row_function = |world: &'static dyn RowWorld| Tried {
        function: info.to_string(),
        findings: scalars::try_scalar(&PluginScalar::new(world, account, info), &types, settings),
    };
    if info.kind == TransformWorld.kind() {
        return Ok(row_function(&TransformWorld));
    }
    if !info.rows.is_empty() {
        let bind = |given: &[Parameter]| PluginProcess::bind(account, info, &arrow, given);
        let (logic, constants) = bound(info, bind)?;
        let findings = processes::try_process(&logic, types, settings);
        return Ok(Tried { function: format!("{info}{}", shown(&constants)), findings });
    }
    let Some(algebra) = info.algebra else {
        return Ok(row_function(&ScalarWorld));
    };
    let bind = |given: &[Parameter]| PluginAggregate::bind(account, info, &arrow, given);
    let (aggregate, constants) = bound(info, bind)?;
    let subject = PluginSubject { aggregate: &aggregate, arguments: types };
    Ok(Tried {
        function: format!("{info}, {}{}", algebra.name(), shown(&constants)),
        findings: try_aggregate(&subject, algebra, settings),
    })
}

fn shown(constants: &[Parameter]) -> String {
    if constants.is_empty() { String::new() } else { format!(", with {constants:?}") }
}

/// The function with the first constants of some that it takes.
fn bound<T>(
    info: &Described,
    bind: impl Fn(&[Parameter]) -> Result<T, String>,
) -> Result<(T, Vec<Parameter>), String> {
    let mut refused = String::new();
    for attempt in 0..4 {
        let given: Vec<Parameter> =
            info.parameters.iter().map(|field| constant(field.data_type, attempt)).collect();
        match bind(&given) {
            Ok(bound) => return Ok((bound, given)),
            Err(reason) => refused = reason,
        }
    }
    Err(format!("`{}` takes none of the constants that were tried: {refused}", info.name))
}

fn constant(data_type: DataType, attempt: usize) -> Parameter {
    match data_type.logical {
        LogicalType::Boolean => Parameter::Bool(attempt.is_multiple_of(2)),
        LogicalType::Bigint => Parameter::Int([3, 1, 100, 0][attempt]),
        LogicalType::Timestamp => Parameter::Int([1_700_000_000_000, 0, 1, 1][attempt]),
        LogicalType::Double => Parameter::Double([0.5, 1.0, 10.0, 0.0][attempt]),
        LogicalType::Text | LogicalType::Bytes => Parameter::Text(["a", "", "1", "dd"][attempt].to_owned()),
    }
}

/// Every law of an aggregate, and how its states grow.
fn try_aggregate(subject: &dyn Subject, algebra: Algebra, settings: LabSettings) -> Vec<Finding> {
    let laws = LAWS.iter().filter(|law| law.holds_for(algebra));
    let value = |history: &History| {
        let given = laws::at_once(subject, &history.rows);
        given.map(drop).map_err(|failed| Broken::Fails(failed.reason))
    };
    let mut findings = vec![try_values(&subject.arguments(), settings, value)];
    findings.extend(laws.map(|law| try_law(subject, law, algebra, settings)));
    findings.push(try_growth(subject, settings));
    findings.extend(note_nulls(subject));
    findings
}

fn try_law(subject: &dyn Subject, law: &Law, algebra: Algebra, settings: LabSettings) -> Finding {
    // Cuts may change the last bits of a sum that is not exact, and more where values are extreme.
    let is_cut = matches!(law.name, "identity" | "tiles" | "steps");
    let tastes: &[Taste] = if is_cut && algebra != Algebra::Exact {
        &[Taste::Ordinary]
    } else {
        &[Taste::Ordinary, Taste::Uneven, Taste::Extreme]
    };
    let types = subject.arguments();
    let try_on = |history: &History| (law.try_on)(subject, history, algebra);
    let verdict = try_histories(|taste, seed| history(&types, taste, seed), tastes, settings, try_on);
    finding(law.name, law.says, verdict)
}

/// Tries a law on many histories. Calls that fail are no reason against it, unless they keep it from being tried.
fn try_histories(
    make: impl Fn(Taste, u64) -> History,
    tastes: &[Taste],
    settings: LabSettings,
    try_on: impl Fn(&History) -> Result<(), Broken>,
) -> Verdict {
    let (mut failed, mut first) = (0, None);
    for case in 0..settings.cases {
        let taste = tastes[case as usize % tastes.len()];
        let history = make(taste, settings.seed.wrapping_add(u64::from(case)));
        match try_on(&history) {
            Ok(()) => {}
            Err(fails @ Broken::Fails(_)) => {
                failed += 1;
                first.get_or_insert((history, fails));
            }
            Err(differs) => {
                let differs_on = |history: &History| match try_on(history) {
                    Err(Broken::Fails(_)) => Ok(()),
                    tried => tried,
                };
                let (smallest, broken) = shrink::shrink(history, differs, differs_on);
                return told(&smallest, &broken);
            }
        }
    }
    match first {
        Some((history, fails)) if failed > settings.cases / 2 => {
            let (smallest, broken) = shrink::shrink(history, fails, try_on);
            told(&smallest, &broken)
        }
        _ => Verdict::Holds { cases: settings.cases - failed },
    }
}

const VALUES: (&str, &str) = ("values", "made-up rows have values");

/// Whether there are values at all, and on what rows there are none.
fn try_values(
    types: &[DataType],
    settings: LabSettings,
    value: impl Fn(&History) -> Result<(), Broken>,
) -> Finding {
    const TASTES: [Taste; 3] = [Taste::Ordinary, Taste::Extreme, Taste::Uneven];
    let (mut tried, mut failed, mut first) = (0, 0, None);
    for case in 0..settings.cases {
        let taste = TASTES[case as usize % TASTES.len()];
        let history = history(types, taste, settings.seed.wrapping_add(u64::from(case)));
        if history.rows.is_empty() {
            continue;
        }
        tried += 1;
        if let Err(fails) = value(&history) {
            failed += 1;
            first.get_or_insert((history, fails));
        }
    }
    let Some((history, fails)) = first else {
        return finding(VALUES.0, VALUES.1, Verdict::Holds { cases: tried });
    };
    let (smallest, fails) = shrink::shrink(history, fails, value);
    let broken = told(&smallest, &fails);
    let Verdict::Broken { rows, because } = broken else { return finding(VALUES.0, VALUES.1, broken) };
    if failed == tried {
        return finding(VALUES.0, VALUES.1, Verdict::Broken { rows, because });
    }
    let (rows, because) = (rows.join("; "), because.join("; "));
    let note = format!("{failed} of {tried} made-up histories fail, such as {rows}: {because}");
    finding(VALUES.0, VALUES.1, Verdict::Noted { note })
}

fn finding(law: &'static str, says: &'static str, verdict: Verdict) -> Finding {
    Finding { law, says, verdict }
}

/// Rows of one key: none to thirty, some at the same time.
fn history(types: &[DataType], taste: Taste, seed: u64) -> History {
    let mut dice = Dice::new(seed);
    let length = if dice.one_in(10) { dice.below(3) } else { dice.below(30) };
    let mut time = 1_700_000_000_000;
    let rows = (0..length).map(|_| {
        time += if dice.one_in(4) { 0 } else { 1 + dice.below(3_600_000) as i64 };
        Row {
            time,
            values: types.iter().map(|data_type| value::make(*data_type, taste, &mut dice)).collect(),
        }
    });
    let rows = rows.collect();
    History { rows, seed: dice.next() }
}

fn told(history: &History, broken: &Broken) -> Verdict {
    let row = |(at, row): (usize, &Row)| {
        let values: Vec<String> = row.values.iter().map(ToString::to_string).collect();
        format!("row {} at {}: {}", at + 1, row.time, values.join(", "))
    };
    let because = match broken {
        Broken::Differs { one, gave, other, instead } => {
            vec![format!("{one}: {gave}"), format!("{other}: {instead}")]
        }
        Broken::Fails(reason) | Broken::Forbidden(reason) => vec![reason.clone()],
    };
    Verdict::Broken { rows: history.rows.iter().enumerate().map(row).collect(), because }
}

/// Whether the state of many rows stays within its bound.
fn try_growth(subject: &dyn Subject, settings: LabSettings) -> Finding {
    const LAW: (&str, &str) = ("growth", "the state of many rows of one key stays below 65,536 bytes");
    const ROWS: usize = 4000;
    const CALL: usize = 500;
    let types = subject.arguments();
    let mut dice = Dice::new(settings.seed);
    let (mut state, mut lengths) = (Vec::new(), Vec::new());
    for call in 0..ROWS / CALL {
        let rows: Vec<Row> = (0..CALL)
            .map(|row| Row {
                time: 1_700_000_000_000 + ((call * CALL + row) as i64) * 60_000,
                values: types.iter().map(|it| value::make(*it, Taste::Uneven, &mut dice)).collect(),
            })
            .collect();
        match laws::fed(subject, &state, &rows) {
            Ok(fed) => state = fed,
            Err(failed) => {
                let rows = vec![format!("{} made-up rows, one a minute", call * CALL + CALL)];
                let because = vec![format!("after {} bytes of state: {}", state.len(), failed.reason)];
                return finding(LAW.0, LAW.1, Verdict::Broken { rows, because });
            }
        }
        lengths.push(state.len());
    }
    let (half, whole) = (lengths[lengths.len() / 2 - 1], lengths[lengths.len() - 1]);
    if whole > 1024 && whole > half + half / 2 {
        let rows_left = (MAX_STATE_BYTES - whole) * ROWS / (2 * (whole - half).max(1));
        let note = format!(
            "the state grows with the rows: {half} bytes after {} rows and {whole} after {ROWS}; at about {} rows of one \
             key in one stretch it is refused",
            ROWS / 2,
            ROWS + rows_left
        );
        return finding(LAW.0, LAW.1, Verdict::Noted { note });
    }
    finding(LAW.0, LAW.1, Verdict::Holds { cases: 1 })
}

/// Rows of nulls are ignored by convention; whether these are is worth a word.
fn note_nulls(subject: &dyn Subject) -> Option<Finding> {
    let types = subject.arguments();
    if types.is_empty() {
        return None;
    }
    let rows: Vec<Row> = (0..3)
        .map(|at| Row { time: 1_700_000_000_000 + at, values: vec![value::Value::Null; types.len()] })
        .collect();
    let of_nothing = laws::finished(subject, &[], &rows).ok()?;
    let of_nulls =
        laws::fed(subject, &[], &rows).and_then(|state| laws::finished(subject, &state, &rows)).ok()?;
    if of_nothing.same(&of_nulls, false) {
        return None;
    }
    let note = format!("rows of nulls count: three of them give {of_nulls}, and no row gives {of_nothing}");
    Some(finding("nulls", "rows of nulls are ignored", Verdict::Noted { note }))
}
