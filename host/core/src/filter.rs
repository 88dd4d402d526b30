//! WHERE, over a whole block and before any row of it is judged: a row that the query does not read is neither
//! late nor anything else.
//!
//! Knows no time.

use crate::halve::{Halved, halve};
use crate::project::of_rows;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_plan::{Expression, ExpressionError};

/// What WHERE says of the rows of a block.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    /// `None`: all pass.
    passes: Option<BooleanBuffer>,
    failed: BTreeMap<u32, String>,
}

/// What WHERE says of one row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passes<'a> {
    Yes,
    No,
    /// It has no value, for this reason.
    Fails(&'a str),
}

impl Filtered {
    /// Evaluates a filter; without one every row passes.
    pub(crate) fn of(
        filter: Option<&Arc<dyn Expression>>,
        rows: &RecordBatch,
    ) -> Result<Filtered, ExpressionError> {
        let Some(filter) = filter else { return Ok(Filtered::default()) };
        let Halved { parts, failed } = halve(rows.num_rows(), |range| {
            of_rows(is_true(&**filter, &rows.slice(range.start, range.len())))
        })?;
        let mut passes = BooleanBufferBuilder::new(rows.num_rows());
        for (range, part) in parts {
            // A row that failed does not pass either.
            passes.append_n(range.start - passes.len(), false);
            passes.append_buffer(&part);
        }
        passes.append_n(rows.num_rows() - passes.len(), false);
        let failed = failed.into_iter().map(|(row, reason)| (row as u32, reason)).collect();
        Ok(Filtered { passes: Some(passes.finish()), failed })
    }

    pub(crate) fn at(&self, row: usize) -> Passes<'_> {
        match &self.passes {
            None => Passes::Yes,
            Some(passes) if passes.value(row) => Passes::Yes,
            Some(_) => match self.failed.get(&(row as u32)) {
                Some(reason) => Passes::Fails(reason),
                None => Passes::No,
            },
        }
    }
}

/// For which rows the filter is true, which it is not where it is null.
pub(crate) fn is_true(filter: &dyn Expression, rows: &RecordBatch) -> Result<BooleanBuffer, ExpressionError> {
    let mask = filter.evaluate(rows)?;
    let mask = mask.as_boolean();
    Ok(match mask.nulls() {
        Some(valid) => mask.values() & valid.inner(),
        None => mask.values().clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, BooleanArray, Int64Array};
    use arrow_schema::DataType;

    /// `10 / n > 1`, null where `n` is, and an error for the batch where any `n` is 0.
    #[derive(Debug)]
    struct Quotient;

    impl Expression for Quotient {
        fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
            let numbers = batch.column(0).as_primitive::<arrow_array::types::Int64Type>();
            if numbers.iter().flatten().any(|number| number == 0) {
                return Err(ExpressionError::Rows("division by zero".to_owned()));
            }
            let passes: BooleanArray = numbers.iter().map(|number| Some(10 / number? > 1)).collect();
            Ok(Arc::new(passes))
        }

        fn data_type(&self) -> &DataType {
            &DataType::Boolean
        }

        fn canonical(&self) -> &'static str {
            "10 / n > 1"
        }

        fn reads(&self) -> &[usize] {
            &[0]
        }
    }

    #[test]
    fn a_row_that_fails_alone_is_found_and_null_is_not_true() {
        let numbers: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(2), None, Some(0), Some(30), Some(3), Some(0)]));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let filter: Arc<dyn Expression> = Arc::new(Quotient);
        let filtered = Filtered::of(Some(&filter), &rows).unwrap();
        let said: Vec<_> = (0..6).map(|row| filtered.at(row)).collect();
        let fails = || Passes::Fails("division by zero");
        assert_eq!(said, [Passes::Yes, Passes::No, fails(), Passes::No, Passes::Yes, fails()]);
        assert_eq!(Filtered::of(None, &rows).unwrap().at(2), Passes::Yes);
    }
}
