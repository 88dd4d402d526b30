//! Division of decimals that rounds: the expression library cuts the digits off that its result has no place for.
//!
//! Must not know which type a division has: that is the library's rule.

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, Decimal128Array, RecordBatch};
use arrow_buffer::i256;
use arrow_schema::{ArrowError, DataType, Schema};
use datafusion_common::{DataFusionError, Result, internal_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One decimal over another, half a digit rounded away from zero.
#[derive(Debug, Clone, Eq)]
pub(super) struct DecimalDivision {
    dividend: Arc<dyn PhysicalExpr>,
    divisor: Arc<dyn PhysicalExpr>,
    /// The library's type of the division.
    result: DataType,
}

impl DecimalDivision {
    pub(super) fn new(
        dividend: Arc<dyn PhysicalExpr>,
        divisor: Arc<dyn PhysicalExpr>,
        result: DataType,
    ) -> DecimalDivision {
        DecimalDivision { dividend, divisor, result }
    }
}

impl PartialEq for DecimalDivision {
    fn eq(&self, other: &Self) -> bool {
        self.dividend.eq(&other.dividend) && self.divisor.eq(&other.divisor) && self.result == other.result
    }
}

impl Hash for DecimalDivision {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dividend.hash(state);
        self.divisor.hash(state);
        self.result.hash(state);
    }
}

impl fmt::Display for DecimalDivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.dividend, self.divisor)
    }
}

impl PhysicalExpr for DecimalDivision {
    fn data_type(&self, _input: &Schema) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn nullable(&self, _input: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let dividends = self.dividend.evaluate(batch)?.into_array(rows)?;
        let divisors = self.divisor.evaluate(batch)?.into_array(rows)?;
        let (Some(dividends), Some(divisors), DataType::Decimal128(_, scale)) = (
            dividends.as_primitive_opt::<Decimal128Type>(),
            divisors.as_primitive_opt::<Decimal128Type>(),
            &self.result,
        ) else {
            return internal_err!("{self} is not of decimals");
        };
        // By so many powers of ten the last digits of dividend and divisor stand apart from the result's.
        let shift = i32::from(*scale) - i32::from(dividends.scale()) + i32::from(divisors.scale());
        let quotients = (0..rows).map(|row| {
            if dividends.is_null(row) || divisors.is_null(row) {
                return Ok(None);
            }
            quotient(dividends.value(row), divisors.value(row), shift).map(Some)
        });
        let quotients = quotients.collect::<Result<Decimal128Array, ArrowError>>()?;
        Ok(ColumnarValue::Array(Arc::new(quotients.with_data_type(self.result.clone()))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.dividend, &self.divisor]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [dividend, divisor] = sides(children)?;
        Ok(Arc::new(DecimalDivision::new(dividend, divisor, self.result.clone())))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The dividend and the divisor of a division's children.
pub(super) fn sides(children: Vec<Arc<dyn PhysicalExpr>>) -> Result<[Arc<dyn PhysicalExpr>; 2]> {
    children.try_into().map_err(|_| DataFusionError::Internal("a division has two sides".to_owned()))
}

/// `dividend` times ten to the power of `shift`, over `divisor`.
fn quotient(dividend: i128, divisor: i128, shift: i32) -> Result<i128, ArrowError> {
    if divisor == 0 {
        return Err(ArrowError::DivideByZero);
    }
    let overflow =
        || ArrowError::ArithmeticOverflow("a division of decimals has more than 38 digits".to_owned());
    let scaled = |value: i128, powers: i32| {
        let powers = u32::try_from(powers).unwrap_or(0);
        let factor = i256::from_i128(10).checked_pow(powers)?;
        i256::from_i128(value).checked_mul(factor)
    };
    let dividend = scaled(dividend, shift).ok_or_else(overflow)?;
    let divisor = scaled(divisor, -shift).ok_or_else(overflow)?;
    let (whole, rest) = (dividend.wrapping_div(divisor), dividend.wrapping_rem(divisor));
    let is_negative = (dividend < i256::ZERO) != (divisor < i256::ZERO);
    // Not twice the rest, which might overflow.
    let rounds = rest.wrapping_abs() >= divisor.wrapping_abs().wrapping_sub(rest.wrapping_abs());
    let step = match (rounds, is_negative) {
        (false, _) => i256::ZERO,
        (true, true) => i256::MINUS_ONE,
        (true, false) => i256::ONE,
    };
    whole.wrapping_add(step).to_i128().ok_or_else(overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (dividend, divisor, shift, expected) in [
            (2, 3, 0, 1),
            (1, 3, 0, 0),
            (1, 2, 0, 1),
            (-1, 2, 0, -1),
            (1, -2, 0, -1),
            (-2, -3, 2, 67),
            (-5, 3, 1, -17),
            (149, 1, -1, 15),
            (144, 1, -1, 14),
            (0, -7, 5, 0),
        ] {
            assert_eq!(
                quotient(dividend, divisor, shift).unwrap(),
                expected,
                "{dividend} / {divisor} by {shift}"
            );
        }
        let most = 10_i128.pow(38) - 1;
        assert_eq!(quotient(most, most, 4).unwrap(), 10_000);
        assert!(matches!(quotient(1, 0, 0), Err(ArrowError::DivideByZero)));
        for shift in [4, 60, 76] {
            assert!(matches!(quotient(most, 1, shift), Err(ArrowError::ArithmeticOverflow(_))), "{shift}");
        }
    }
}
