//! Division of doubles that fails by zero, as that of whole numbers and decimals does: the expression library gives an
//! infinity or no number, and a division by zero is something to be told.
//!
//! Must not know where a division stands.

use super::division::sides;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// A division of doubles, or its remainder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DoubleDivision(BinaryExpr);

impl DoubleDivision {
    pub(super) fn new(division: BinaryExpr) -> DoubleDivision {
        DoubleDivision(division)
    }
}

impl fmt::Display for DoubleDivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PhysicalExpr for DoubleDivision {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.0.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.0.nullable(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let quotients = self.0.evaluate(batch)?;
        let values = quotients.to_array(rows)?;
        // What was divided by zero is never finite, so the divisors are seldom looked at.
        if !are_finite(&values) {
            let divisors = self.0.right().evaluate(batch)?.into_array(rows)?;
            let is_by_zero =
                |row: usize| number(&values, row).is_some() && number(&divisors, row) == Some(0.0);
            if (0..rows).any(is_by_zero) {
                return Err(DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None));
            }
        }
        Ok(quotients)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.0.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [dividend, divisor] = sides(children)?;
        Ok(Arc::new(DoubleDivision(BinaryExpr::new(dividend, *self.0.op(), divisor))))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}

/// Whether every value is a number that can be written; what stands under a null does not count.
fn are_finite(values: &ArrayRef) -> bool {
    match values.data_type() {
        DataType::Float64 => are_all(values.as_primitive::<Float64Type>(), f64::is_finite),
        DataType::Float32 => are_all(values.as_primitive::<Float32Type>(), f32::is_finite),
        _ => true,
    }
}

/// Nulls are only looked for where some value, which may stand under one, is not as asked.
fn are_all<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, holds: impl Fn(T::Native) -> bool) -> bool {
    values.values().iter().all(|value| holds(*value)) || values.iter().flatten().all(holds)
}

/// The value of a row, unless it is null or not a double.
fn number(values: &ArrayRef, row: usize) -> Option<f64> {
    if values.is_null(row) {
        return None;
    }
    match values.data_type() {
        DataType::Float64 => Some(values.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Some(f64::from(values.as_primitive::<Float32Type>().value(row))),
        _ => None,
    }
}
