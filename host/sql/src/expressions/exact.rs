//! Constants beside decimals are decimals: `fare > 0.1` means a tenth, not the double nearest to it.
//!
//! A number in a query is a bigint or a double, as it is written. Where it meets a decimal it is read as the decimal
//! of its own digits instead, so that what is exact stays so; elsewhere nothing changes.

use super::kinds::{ALTERNATIVES, conditions, needs_like_types};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result as LibraryResult, ScalarValue};
use datafusion_expr::{Expr, ExprSchemable};
use weir_event::DecimalType;

/// So many digits come back from a double as they were written.
const DIGITS_OF_DOUBLE: u8 = 15;

/// Makes decimals of the constants that stand beside one.
pub(super) fn constants_beside_decimals(expression: Expr, schema: &DFSchema) -> LibraryResult<Expr> {
    let exact = expression.transform_up(|node| match node {
        Expr::BinaryExpr(mut binary) if needs_like_types(binary.op) => {
            let changed = alike(&mut [&mut *binary.left, &mut *binary.right], schema)?;
            Ok(transformed(Expr::BinaryExpr(binary), changed))
        }
        Expr::Between(mut between) => {
            let changed = alike(&mut [&mut *between.expr, &mut *between.low, &mut *between.high], schema)?;
            Ok(transformed(Expr::Between(between), changed))
        }
        Expr::InList(mut list) => {
            let mut parts: Vec<&mut Expr> = list.list.iter_mut().collect();
            parts.push(&mut list.expr);
            let changed = alike(&mut parts, schema)?;
            Ok(transformed(Expr::InList(list), changed))
        }
        Expr::Case(mut case) => {
            let results = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
            let mut parts: Vec<&mut Expr> = results.chain(case.else_expr.as_deref_mut()).collect();
            let changed = alike(&mut parts, schema)?;
            Ok(transformed(Expr::Case(case), changed))
        }
        Expr::ScalarFunction(mut function) if ALTERNATIVES.contains(&function.name()) => {
            let skipped = conditions(function.name());
            let changed = alike(&mut function.args.iter_mut().skip(skipped).collect::<Vec<_>>(), schema)?;
            Ok(transformed(Expr::ScalarFunction(function), changed))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(exact?.data)
}

fn transformed(expression: Expr, changed: bool) -> Transformed<Expr> {
    if changed { Transformed::yes(expression) } else { Transformed::no(expression) }
}

/// Reads the constants among expressions as decimals if one of the others is a decimal; says whether any was.
fn alike(parts: &mut [&mut Expr], schema: &DFSchema) -> LibraryResult<bool> {
    let mut has_decimal = false;
    for part in parts.iter().filter(|part| !matches!(part, Expr::Literal(..))) {
        // What has no type is refused with its reason when all is given types.
        has_decimal |= part.get_type(schema).is_ok_and(|data_type| data_type.is_decimal());
    }
    let mut changed = false;
    for part in parts.iter_mut().filter(|_| has_decimal) {
        if let Expr::Literal(value, metadata) = &**part
            && let Some(decimal) = decimal(value)?
        {
            **part = Expr::Literal(decimal, metadata.clone());
            changed = true;
        }
    }
    Ok(changed)
}

/// The decimal that a constant is written as; `None` where its digits are not known any more.
fn decimal(value: &ScalarValue) -> LibraryResult<Option<ScalarValue>> {
    let text = match value {
        ScalarValue::Int64(Some(value)) => value.to_string(),
        ScalarValue::Float64(Some(value)) if value.is_finite() => value.to_string(),
        _ => return Ok(None),
    };
    let digits = text.trim_start_matches('-');
    let fraction = digits.split_once('.').map_or("", |(_, fraction)| fraction);
    let significant = digits.trim_start_matches(['0', '.']).bytes().filter(u8::is_ascii_digit).count();
    if matches!(value, ScalarValue::Float64(_)) && significant > usize::from(DIGITS_OF_DOUBLE) {
        return Ok(None);
    }
    let scale = fraction.len() as u8;
    let of_all = DecimalType::new((significant as u8).max(scale).max(1), scale);
    let Some(of) = of_all else { return Ok(None) };
    let unscaled = of
        .parse(text.as_bytes())
        .map_err(|error| DataFusionError::Internal(format!("{text} {error} {of}")))?;
    Ok(Some(ScalarValue::Decimal128(Some(unscaled), of.precision(), of.scale() as i8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_keep_the_digits_that_they_are_written_with() {
        let double = |value: f64| decimal(&ScalarValue::Float64(Some(value))).unwrap();
        let exact =
            |unscaled, precision, scale| Some(ScalarValue::Decimal128(Some(unscaled), precision, scale));
        assert_eq!(double(0.1), exact(1, 1, 1));
        assert_eq!(double(-12.345), exact(-12_345, 5, 3));
        assert_eq!(double(0.001), exact(1, 3, 3));
        assert_eq!(double(1e20), None, "it has more digits than a double tells apart");
        assert_eq!(double(2.0), exact(2, 1, 0));
        assert_eq!(double(0.0), exact(0, 1, 0));
        assert_eq!(decimal(&ScalarValue::Int64(Some(-250))).unwrap(), exact(-250, 3, 0));
        let longest = double(0.1 + 0.2);
        assert_eq!((longest, double(f64::NAN)), (None, None));
    }
}
