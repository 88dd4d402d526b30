//! Derived features of a training set: over the answers to the spine's rows and the columns beside them, by the code that
//! lookups have.
//!
//! A request's fields are the spine's columns of the same names. Must not know how an answer came about.

use crate::Job;
use crate::error::TrainError;
use crate::spine::Spine;
use crate::table::{STATUSES, declared_default};
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{Array, ArrayRef, Int8Array, RecordBatch};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_core::{Called, Deriving, Given, of_type};
use weir_plan::DerivedInput;

/// Of [`STATUSES`], in whose order the worse stands behind the better.
const STATUS_OK: i8 = 0;
const STATUS_DEFAULT: i8 = 1;
const STATUS_NOT_FOUND: i8 = 2;
const STATUS_ERROR: i8 = STATUSES.len() as i8 - 1;

/// Where an input is found.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A column of the spine.
    Spine(usize),
    /// A column of the answers, the one of its status behind it.
    Answers(usize),
}

/// A derived feature as a column.
#[derive(Debug)]
pub(crate) struct DerivedColumn {
    deriving: Deriving,
    sources: Vec<Source>,
    /// The spine's columns of the key: where one is null nothing is looked up.
    keys: Vec<usize>,
}

/// The values of a derived feature, what they are, and why the first has none that could not be computed.
pub(crate) struct DerivedValues {
    pub(crate) values: ArrayRef,
    pub(crate) statuses: ArrayRef,
    /// How many could not be computed though what they are computed of is there, and why the first could not.
    pub(crate) failed: (u64, Option<String>),
}

/// Refuses a spine that lacks what is wanted of a job.
pub(crate) fn check(job: &Job, spine: &Spine) -> Result<(), TrainError> {
    job.derived().try_for_each(|at| DerivedColumn::of(job, at, spine).map(drop))
}

impl DerivedColumn {
    /// The derived feature of this number.
    pub(crate) fn of(job: &Job, at: usize, spine: &Spine) -> Result<DerivedColumn, TrainError> {
        let plan = &job.plan;
        let feature = &plan.transform.features[at];
        let keys = spine.keys_of(job)?;
        let source = |input: &DerivedInput| match *input {
            DerivedInput::Key(key) => Ok(Source::Spine(keys[key])),
            DerivedInput::Request(field) => Ok(Source::Spine(requested(job, &feature.name, field, spine)?)),
            DerivedInput::Stored(stored) => {
                let answered = job.features.iter().position(|answered| *answered == stored);
                let lacks =
                    || TrainError::weir(format!("feature {stored} of job `{}` was not asked", plan.name));
                Ok(Source::Answers(value_column(answered.ok_or_else(lacks)?)))
            }
        };
        let sources = feature.inputs.iter().map(source).collect::<Result<_, TrainError>>()?;
        let declared = (&*feature.name, feature.default.as_ref(), &feature.data_type);
        let default = declared_default(declared, feature.expression.data_type())?;
        Ok(DerivedColumn { deriving: Deriving::of(plan, feature, default), sources, keys })
    }

    /// The type of its values.
    pub(crate) fn data_type(&self) -> &DataType {
        self.deriving.data_type()
    }

    /// Computes it for rows of the spine and the answers to them; `called` is what the calls that it may be a part of gave for
    /// these rows.
    pub(crate) fn compute(
        &self,
        spine: &RecordBatch,
        answers: &RecordBatch,
        called: &mut Called,
    ) -> Result<DerivedValues, TrainError> {
        let rows = spine.num_rows();
        let mut statuses = vec![STATUS_OK; rows];
        for key in &self.keys {
            let key = spine.column(*key);
            (0..rows).filter(|row| key.is_null(*row)).for_each(|row| statuses[row] = STATUS_ERROR);
        }
        let mut given = Vec::with_capacity(self.sources.len());
        for (source, input) in self.sources.iter().zip(self.deriving.inputs()) {
            let values = match *source {
                Source::Spine(at) => spine.column(at).clone(),
                Source::Answers(at) => {
                    let own = answers.column(at + 1).as_primitive::<Int8Type>();
                    own.values()
                        .iter()
                        .zip(&mut statuses)
                        .for_each(|(own, worst)| *worst = (*worst).max(*own));
                    answers.column(at).clone()
                }
            };
            let values = of_type(&values, self.deriving.input_type(*input))?;
            given.push(Given { values, failed: BTreeMap::new() });
        }
        let unknown = statuses.iter().enumerate().filter(|(_, status)| **status == STATUS_ERROR);
        let unknown: BTreeMap<usize, String> = unknown.map(|(row, _)| (row, String::new())).collect();
        let all: Vec<&Given> = given.iter().collect();
        let derived = self.deriving.compute(&all, rows, unknown, called);
        let (mut count, mut first) = (0, None);
        for (row, reason) in derived.failed {
            if statuses[row] != STATUS_ERROR {
                count += 1;
                first.get_or_insert(reason);
            }
            statuses[row] = STATUS_ERROR;
        }
        let stands_in = derived.defaults.iter().enumerate().filter(|(_, is_default)| **is_default);
        for (row, _) in stands_in.filter(|(row, _)| statuses[*row] <= STATUS_NOT_FOUND).collect::<Vec<_>>() {
            statuses[row] = STATUS_DEFAULT;
        }
        Ok(DerivedValues {
            values: derived.values,
            statuses: Arc::new(Int8Array::from(statuses)),
            failed: (count, first),
        })
    }
}

/// The column of the answers that has the values of the feature in this place among those that are answered: in front of all
/// stands the number of the spine's row, and behind each value its status.
pub(crate) fn value_column(answered: usize) -> usize {
    1 + 2 * answered
}

/// The spine's column of a field of the request.
fn requested(job: &Job, feature: &str, field: usize, spine: &Spine) -> Result<usize, TrainError> {
    let (name, field) = (&job.plan.name, &job.plan.transform.request[field]);
    let Some(at) = spine.schema.fields.iter().position(|column| column.name == field.name) else {
        return Err(TrainError::user(format!(
            "the spine has no column `{}`, a field of the request that feature `{feature}` of job `{name}` is computed of; add \
             it, or leave that feature out",
            field.name
        )));
    };
    let found = &spine.schema.fields[at].data_type;
    if *found == field.data_type {
        return Ok(at);
    }
    Err(TrainError::user(format!(
        "column `{}` of the spine is {found}, and the request field of job `{name}` is {}; write it as that, or train its \
         features alone",
        field.name, field.data_type
    )))
}
