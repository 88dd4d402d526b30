//! Collects results chunk by chunk into columns.

use crate::aggregate::{AggregateError, Finished};
use crate::answer::{ResultError, Results, Slot};
use crate::spec::StageSpec;
use arrow_array::{Array, ArrayRef, new_empty_array};

/// Results in the making.
pub(crate) struct Collector {
    results: Results,
    values: Vec<Vec<ArrayRef>>,
    carried: Vec<Vec<ArrayRef>>,
}

impl Collector {
    pub(crate) fn new(spec: &StageSpec) -> Collector {
        Collector {
            results: Results::default(),
            values: vec![Vec::new(); spec.aggregates.len()],
            carried: vec![Vec::new(); spec.carried.len()],
        }
    }

    /// Whose results the next values are; their windows or events are pushed to `results` alike.
    pub(crate) fn results(&mut self) -> &mut Results {
        &mut self.results
    }

    /// How many results were announced.
    pub(crate) fn len(&self) -> usize {
        self.results.slots.len()
    }

    /// Announces results of one window.
    pub(crate) fn window(&mut self, window: (i64, i64), slots: &[u32], revised: impl Iterator<Item = bool>) {
        self.results.slots.extend(slots.iter().map(|slot| Slot(*slot)));
        self.results.windows.extend(std::iter::repeat_n(window, slots.len()));
        self.results.revised.extend(revised);
    }

    /// Values of one aggregate for results that were announced from `first` on.
    pub(crate) fn values(&mut self, aggregate: usize, first: usize, finished: Finished) {
        let errors = finished.errors.into_iter();
        self.results.errors.extend(errors.map(|(at, reason)| ResultError {
            row: first + at as usize,
            aggregate,
            reason,
        }));
        self.values[aggregate].push(finished.values);
    }

    /// Values of one carried column.
    pub(crate) fn carried(&mut self, column: usize, values: ArrayRef) {
        self.carried[column].push(values);
    }

    pub(crate) fn finish(mut self, spec: &StageSpec) -> Result<Results, AggregateError> {
        let result_types = spec.aggregates.iter().map(|aggregate| aggregate.function.card().result.clone());
        for (parts, data_type) in self.values.into_iter().zip(result_types) {
            self.results.values.push(join(parts, &data_type)?);
        }
        for (parts, column) in self.carried.into_iter().zip(&spec.carried) {
            self.results.carried.push(join(parts, &spec.inputs[*column])?);
        }
        Ok(self.results)
    }
}

pub(crate) fn join(
    mut parts: Vec<ArrayRef>,
    data_type: &arrow_schema::DataType,
) -> Result<ArrayRef, AggregateError> {
    match parts.len() {
        0 => Ok(new_empty_array(data_type)),
        1 => Ok(parts.remove(0)),
        _ => {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            // Parts of different types mean that an aggregate gave another type than its card says.
            arrow_select::concat::concat(&parts).map_err(|error| AggregateError::Broken(error.to_string()))
        }
    }
}
