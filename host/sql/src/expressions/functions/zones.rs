//! `t AT TIME ZONE 'Europe/Berlin'`: a time as the clocks of a zone show it.
//!
//! A time in weir is an instant, and stays the same instant in every zone: only its parts, its text and what it is
//! truncated to are the zone's. A text without a zone is what a clock showed, so that it tells another instant in
//! every zone. Must not know names of zones.

use super::{Own, as_time, constant_text, is_text, own};
use crate::spellings::AT_TIME_ZONE;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{Cast, Expr, ExprSchemable, lit};
use std::sync::Arc;

const CLOCK_IN_ZONE: &str = "clock_in_zone";

pub(super) const FUNCTIONS: [Own; 2] = [
    Own {
        name: AT_TIME_ZONE,
        told: Some((
            "t AT TIME ZONE 'Europe/Berlin'",
            "the same instant by the clock of a zone, which its parts, its text and what it is truncated to follow; of a text, the instant at which that clock showed it",
        )),
        takes: "a time and the name of a zone",
        arguments: time_and_zone,
        result: |_, constants| {
            Ok(in_zone(constant_text(constants.get(1).copied().flatten()).unwrap_or("UTC")))
        },
        call: |call| {
            let (times, zone) = (call.array(0)?, call.text(1)?);
            Ok(Arc::new(times.as_primitive::<TimestampMillisecondType>().clone().with_timezone(zone)))
        },
    },
    Own {
        name: CLOCK_IN_ZONE,
        told: None,
        takes: "a time without a zone and the name of a zone",
        arguments: time_and_zone,
        result: |_, constants| {
            Ok(in_zone(constant_text(constants.get(1).copied().flatten()).unwrap_or("UTC")))
        },
        call: |call| Ok(arrow_cast::cast(&call.array(0)?, call.result)?),
    },
];

fn time_and_zone(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [time, zone] if is_text(zone) => Some(vec![as_time(time)?, DataType::Utf8]),
        _ => None,
    }
}

fn in_zone(zone: &str) -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some(zone.into()))
}

/// Reads a text in `CAST(text AS TIMESTAMP) AT TIME ZONE 'z'` as what the zone's clock showed.
pub(crate) fn read_clocks(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    let read = expression.transform_up(|node| {
        let Expr::ScalarFunction(call) = &node else { return Ok(Transformed::no(node)) };
        let ([time, zone], AT_TIME_ZONE) = (call.args.as_slice(), call.name()) else {
            return Ok(Transformed::no(node));
        };
        let name = constant_text(zone.as_literal());
        let name = name.ok_or_else(|| DataFusionError::Plan("a time zone is a constant text".to_owned()))?;
        if let Expr::Cast(cast) = time
            && cast.expr.get_type(schema)?.is_string()
        {
            return Ok(Transformed::yes(Expr::Cast(Cast::new(cast.expr.clone(), in_zone(name)))));
        }
        if time.get_type(schema)?.is_string() {
            return Ok(Transformed::yes(Expr::Cast(Cast::new(Box::new(time.clone()), in_zone(name)))));
        }
        let is_read = |function: &ScalarFunction| function.name().starts_with("to_timestamp");
        let from_text = |function: &ScalarFunction| -> Result<bool> {
            let Some(first) = function.args.first() else { return Ok(false) };
            Ok(first.get_type(schema)?.is_string())
        };
        if let Expr::ScalarFunction(inner) = time
            && is_read(inner)
            && from_text(inner)?
        {
            return Ok(Transformed::yes(call_of(CLOCK_IN_ZONE, time.clone(), name)));
        }
        Ok(Transformed::no(node))
    });
    Ok(read?.data)
}

/// Keeps the instant of a time that is cast to one of a zone, to be compared with it: the library would take it for
/// what a clock showed.
pub(crate) fn keep_instants(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    let kept = expression.transform_up(|node| {
        if let Expr::Cast(cast) = &node
            && let DataType::Timestamp(_, Some(zone)) = cast.field.data_type()
            && let DataType::Timestamp(_, None) = cast.expr.get_type(schema)?
        {
            let in_millis = DataType::Timestamp(TimeUnit::Millisecond, None);
            let time = match cast.expr.get_type(schema)? == in_millis {
                true => (*cast.expr).clone(),
                false => Expr::Cast(Cast::new(cast.expr.clone(), in_millis)),
            };
            let kept = call_of(AT_TIME_ZONE, time, zone);
            let kept = match kept.get_type(schema)? == *cast.field.data_type() {
                true => kept,
                false => Expr::Cast(Cast::new(Box::new(kept), cast.field.data_type().clone())),
            };
            return Ok(Transformed::yes(kept));
        }
        Ok(Transformed::no(node))
    });
    Ok(kept?.data)
}

fn call_of(name: &str, time: Expr, zone: &str) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(own(name), vec![time, lit(zone)]))
}
