//! Expressions of expressions: what a query computes of a table whose columns are themselves computed.
//!
//! Must not know what they compute.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_plan::{Expression, ExpressionError};

/// An expression over computed columns.
#[derive(Debug)]
pub(crate) struct Composed {
    inner: Vec<Arc<dyn Expression>>,
    schema: SchemaRef,
    outer: Arc<dyn Expression>,
    reads: Vec<usize>,
}

impl Composed {
    /// `outer` over columns that are what `inner` computes.
    pub(crate) fn of(inner: Vec<Arc<dyn Expression>>, outer: Arc<dyn Expression>) -> Arc<dyn Expression> {
        if let Some(only) = outer.as_column().and_then(|column| inner.get(column)) {
            return only.clone();
        }
        let fields = inner.iter().enumerate();
        let fields = fields.map(|(index, of)| Field::new(index.to_string(), of.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let reads: BTreeSet<usize> = inner.iter().flat_map(|column| column.reads()).copied().collect();
        Arc::new(Composed { inner, schema, outer, reads: reads.into_iter().collect() })
    }
}

impl Expression for Composed {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        let columns = self.inner.iter().map(|column| column.evaluate(batch));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let computed = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        self.outer.evaluate(&computed.map_err(|error| ExpressionError::Broken(error.to_string()))?)
    }

    fn data_type(&self) -> &DataType {
        self.outer.data_type()
    }

    fn canonical(&self) -> &str {
        self.outer.canonical()
    }

    fn reads(&self) -> &[usize] {
        &self.reads
    }
}

/// A condition, and another one that is asked only where the first is true.
#[derive(Debug)]
pub(crate) struct Both {
    first: Arc<dyn Expression>,
    then: Arc<dyn Expression>,
    canonical: String,
    reads: Vec<usize>,
}

impl Both {
    pub(crate) fn of(first: Arc<dyn Expression>, then: Arc<dyn Expression>) -> Arc<dyn Expression> {
        let canonical = format!("AND({}, {})", first.canonical(), then.canonical());
        let reads: BTreeSet<usize> = first.reads().iter().chain(then.reads()).copied().collect();
        Arc::new(Both { first, then, canonical, reads: reads.into_iter().collect() })
    }
}

impl Expression for Both {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        let first = self.first.evaluate(batch)?;
        let first = first.as_boolean();
        let asked = filter_record_batch(batch, first);
        let then = self.then.evaluate(&asked.map_err(|error| ExpressionError::Broken(error.to_string()))?)?;
        let mut answers = then.as_boolean().iter();
        let is_true = |row: usize| first.is_valid(row) && first.value(row);
        let both: BooleanArray = (0..first.len())
            .map(|row| if is_true(row) { answers.next().flatten() } else { Some(false) })
            .collect();
        Ok(Arc::new(both))
    }

    fn data_type(&self) -> &DataType {
        &DataType::Boolean
    }

    fn canonical(&self) -> &str {
        &self.canonical
    }

    fn reads(&self) -> &[usize] {
        &self.reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;
    use arrow_array::types::Int64Type;

    /// What a function makes of the first column.
    #[derive(Debug)]
    struct Of(DataType, fn(&[Option<i64>]) -> Result<ArrayRef, ExpressionError>);

    impl Expression for Of {
        fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
            let numbers: Vec<_> = batch.column(0).as_primitive::<Int64Type>().iter().collect();
            (self.1)(&numbers)
        }

        fn data_type(&self) -> &DataType {
            &self.0
        }

        fn canonical(&self) -> &'static str {
            "of"
        }

        fn reads(&self) -> &[usize] {
            &[0]
        }
    }

    fn numbers(of: &[Option<i64>]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(of.to_vec()));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    #[test]
    fn the_outer_sees_what_the_inner_computes() {
        let doubled = |of: &[Option<i64>]| -> Result<ArrayRef, ExpressionError> {
            Ok(Arc::new(of.iter().map(|n| n.map(|n| n * 2)).collect::<Int64Array>()))
        };
        let of = || -> Arc<dyn Expression> { Arc::new(Of(DataType::Int64, doubled)) };
        let four_times = Composed::of(vec![of()], of());
        let found = four_times.evaluate(&numbers(&[Some(3), None])).unwrap();
        assert_eq!(found.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(12), None]);
    }

    #[test]
    fn the_second_condition_is_asked_only_where_the_first_is_true() {
        let above_one = |of: &[Option<i64>]| -> Result<ArrayRef, ExpressionError> {
            Ok(Arc::new(of.iter().map(|n| n.map(|n| n > 1)).collect::<BooleanArray>()))
        };
        let below_four = |of: &[Option<i64>]| -> Result<ArrayRef, ExpressionError> {
            assert!(of.iter().all(|n| n.is_some_and(|n| n > 1)), "{of:?}");
            Ok(Arc::new(of.iter().map(|n| n.map(|n| n < 4)).collect::<BooleanArray>()))
        };
        let both =
            Both::of(Arc::new(Of(DataType::Boolean, above_one)), Arc::new(Of(DataType::Boolean, below_four)));
        let found = both.evaluate(&numbers(&[Some(0), Some(2), None, Some(9), Some(3)])).unwrap();
        let found: Vec<_> = found.as_boolean().iter().collect();
        assert_eq!(found, [Some(false), Some(true), Some(false), Some(false), Some(true)]);
    }
}
