//! The laws of scalar functions: a row's value depends on nothing except that row. Must not know aggregates.

use super::laws::{Broken, History};
use super::subject::Row;
use super::value::{self, Dice, Taste, Value};
use super::{Finding, LabSettings, finding, history, try_histories, try_values};
use crate::failure::Failure;
use crate::scalar::PluginScalar;
use crate::wire::DataType;
use arrow_array::ArrayRef;

const TASTES: [Taste; 3] = [Taste::Ordinary, Taste::Extreme, Taste::Uneven];
/// Histories in which each row is called alone once more, to see whether it has a value.
const MOST_ROWS: u32 = 100;

type Call<'a> = dyn Fn(&[&Row]) -> Result<Vec<Value>, Failure> + 'a;

struct RowLaw {
    name: &'static str,
    says: &'static str,
    try_on: fn(&Called<'_>, &History) -> Result<(), Broken>,
}

const LAWS: [RowLaw; 3] = [
    RowLaw { name: "rows", says: "rows called together give what each gives alone", try_on: together },
    RowLaw { name: "order", says: "rows in another order give the same values", try_on: in_any_order },
    RowLaw {
        name: "memory",
        says: "an instance that has worked gives what a fresh one gives",
        try_on: again,
    },
];

struct Called<'a> {
    call: &'a Call<'a>,
    forget: &'a dyn Fn(),
}

/// Every law of a scalar function.
pub(super) fn try_scalar(function: &PluginScalar, types: &[DataType], settings: LabSettings) -> Vec<Finding> {
    let call = |rows: &[&Row]| {
        let columns: Result<Vec<ArrayRef>, Failure> = (0..)
            .zip(types)
            .map(|(at, data_type): (usize, _)| {
                let values: Vec<&Value> = rows.iter().map(|row| &row.values[at]).collect();
                value::column(&values, *data_type)
            })
            .collect();
        let columns = columns?;
        let (answer, _) = function.run(|guest| function.invoke(guest, &columns, rows.len()))?;
        Ok(value::values(&answer))
    };
    let forget = || function.forget();
    let subject = Called { call: &call, forget: &forget };
    // A history has a value here if each of its rows has one.
    let value = |history: &History| {
        let mut rows = history.rows.iter().map(|row| call(&[row]));
        rows.find_map(Result::err).map_or(Ok(()), |failure| Err(Broken::Fails(failure.reason)))
    };
    let short = LabSettings { cases: settings.cases.min(MOST_ROWS), ..settings };
    let mut findings = vec![try_values(types, short, value)];
    let make = |taste, seed| history(types, taste, seed);
    findings.extend(LAWS.iter().map(|law| {
        let try_on = |history: &History| (law.try_on)(&subject, history);
        finding(law.name, law.says, try_histories(make, &TASTES, settings, try_on))
    }));
    findings
}

impl Called<'_> {
    /// The rows that have a value alone, with it.
    fn alone<'a>(&self, rows: &'a [Row]) -> Vec<(&'a Row, Value)> {
        let alone = rows.iter().filter_map(|row| Some((row, (self.call)(&[row]).ok()?.pop()?)));
        alone.collect()
    }

    /// Compares the values that rows had alone with those that they have in one call.
    fn agree(&self, alone: &[(&Row, Value)], how: &str) -> Result<(), Broken> {
        let rows: Vec<&Row> = alone.iter().map(|(row, _)| *row).collect();
        let values =
            (self.call)(&rows).map_err(|failure| Broken::Fails(format!("{how}: {}", failure.reason)))?;
        for (at, ((_, alone), value)) in alone.iter().zip(values).enumerate() {
            if !alone.same(&value, false) {
                return Err(Broken::Differs {
                    one: format!("row {} alone", at + 1),
                    gave: alone.to_string(),
                    other: how.to_owned(),
                    instead: value.to_string(),
                });
            }
        }
        Ok(())
    }
}

fn together(subject: &Called<'_>, history: &History) -> Result<(), Broken> {
    subject.agree(&subject.alone(&history.rows), "all rows in one call")
}

fn in_any_order(subject: &Called<'_>, history: &History) -> Result<(), Broken> {
    let mut alone = subject.alone(&history.rows);
    alone.reverse();
    subject.agree(&alone, "backwards")?;
    let mut dice = Dice::new(history.seed);
    for at in (1..alone.len()).rev() {
        alone.swap(at, dice.below(at + 1));
    }
    subject.agree(&alone, "in another order")
}

fn again(subject: &Called<'_>, history: &History) -> Result<(), Broken> {
    (subject.forget)();
    let fresh = subject.alone(&history.rows);
    subject.agree(&fresh, "in an instance that has worked before")?;
    (subject.forget)();
    subject.agree(&fresh, "in another instance")
}
