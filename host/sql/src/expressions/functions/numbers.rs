//! `SIGN(x)`: -1, 0 or 1, in the type of its argument.
//!
//! Knows the types of numbers. Must not know a query.

use super::Own;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result};
use std::sync::Arc;

pub(super) const FUNCTIONS: [Own; 1] = [Own {
    name: "sign",
    told: Some(("SIGN(x)", "-1, 0 or 1, in the type of x")),
    takes: "a number",
    arguments: |given| match given {
        [number] => signed(number).map(|number| vec![number]),
        _ => None,
    },
    result: |types, _| Ok(types.first().cloned().unwrap_or(DataType::Null)),
    call: |call| sign(&call.array(0)?),
}];

fn signed(number: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match number {
        T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 => T::Int32,
        T::Int64 | T::UInt32 | T::UInt64 | T::Null => T::Int64,
        T::Float16 | T::Float32 => T::Float32,
        T::Float64 => T::Float64,
        T::Decimal128(precision, scale) => T::Decimal128(*precision, *scale),
        _ => return None,
    })
}

/// Of doubles NaN stays NaN, and a zero the zero that it is.
fn sign(numbers: &ArrayRef) -> Result<ArrayRef> {
    Ok(match numbers.data_type() {
        DataType::Int32 => {
            let signs: PrimitiveArray<Int32Type> = numbers.as_primitive::<Int32Type>().unary(i32::signum);
            Arc::new(signs)
        }
        DataType::Int64 => {
            let signs: PrimitiveArray<Int64Type> = numbers.as_primitive::<Int64Type>().unary(i64::signum);
            Arc::new(signs)
        }
        DataType::Float32 => {
            let sign = |value: f32| if value == 0.0 { value } else { value.signum() };
            let signs: PrimitiveArray<Float32Type> = numbers.as_primitive::<Float32Type>().unary(sign);
            Arc::new(signs)
        }
        DataType::Float64 => {
            let sign = |value: f64| if value == 0.0 { value } else { value.signum() };
            let signs: PrimitiveArray<Float64Type> = numbers.as_primitive::<Float64Type>().unary(sign);
            Arc::new(signs)
        }
        DataType::Decimal128(precision, scale) => {
            let one = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let sign = |value: i128| value.signum() * one;
            let signs: PrimitiveArray<Decimal128Type> = numbers.as_primitive::<Decimal128Type>().unary(sign);
            Arc::new(signs.with_precision_and_scale(*precision, *scale)?)
        }
        other => return Err(DataFusionError::Execution(format!("sign of a value of type {other}"))),
    })
}
