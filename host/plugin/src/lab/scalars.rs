//! The laws of scalar functions: a row's value depends on nothing except that row. Must not know aggregates.

use super::laws::{Broken, History};
use super::subject::Row;
use super::value::{self, Dice, Taste, Value};
use super::{Finding, LabSettings, Verdict, finding, history, shrink, told};
use crate::failure::Failure;
use crate::scalar::PluginScalar;
use crate::wire::DataType;
use arrow_array::ArrayRef;

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
    LAWS.iter().map(|law| try_law(&subject, law, types, settings)).collect()
}

fn try_law(subject: &Called<'_>, law: &RowLaw, types: &[DataType], settings: LabSettings) -> Finding {
    const TASTES: [Taste; 3] = [Taste::Ordinary, Taste::Extreme, Taste::Uneven];
    for case in 0..settings.cases {
        let taste = TASTES[case as usize % TASTES.len()];
        let history = history(types, taste, settings.seed.wrapping_add(u64::from(case)));
        let try_on = |history: &History| (law.try_on)(subject, history);
        if let Err(broken) = try_on(&history) {
            let (smallest, broken) = shrink::shrink(history, broken, try_on);
            return finding(law.name, law.says, told(&smallest, &broken));
        }
    }
    finding(law.name, law.says, Verdict::Holds { cases: settings.cases })
}

impl Called<'_> {
    /// The rows that have a value alone, with it; a row that traps breaks every law.
    fn alone<'a>(&self, rows: &'a [Row]) -> Result<Vec<(&'a Row, Value)>, Broken> {
        let mut kept = Vec::new();
        for row in rows {
            match (self.call)(&[row]) {
                Ok(mut values) => kept.extend(values.pop().map(|value| (row, value))),
                Err(failure) if failure.is_misbehaviour() => return Err(Broken::Fails(failure.reason)),
                Err(_) => {}
            }
        }
        Ok(kept)
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
                    gave: alone.clone(),
                    other: how.to_owned(),
                    instead: value,
                });
            }
        }
        Ok(())
    }
}

fn together(subject: &Called<'_>, history: &History) -> Result<(), Broken> {
    subject.agree(&subject.alone(&history.rows)?, "all rows in one call")
}

fn in_any_order(subject: &Called<'_>, history: &History) -> Result<(), Broken> {
    let mut alone = subject.alone(&history.rows)?;
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
    let fresh = subject.alone(&history.rows)?;
    subject.agree(&fresh, "in an instance that has worked before")?;
    (subject.forget)();
    subject.agree(&fresh, "in another instance")
}
