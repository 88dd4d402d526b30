//! The values of a frame, computed in the most obvious way.

use super::figures;
use super::model::Row;
use super::testers::decimal;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A value that can be compared, doubles by their bits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Whole(i64),
    Decimal(i128),
    Double(u64),
    Text(String),
    Boolean(bool),
    List(Vec<Cell>),
}

impl Cell {
    pub(super) fn double(value: f64) -> Cell {
        Cell::Double(if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() })
    }

    pub(super) fn of(array: &ArrayRef, row: usize) -> Cell {
        if array.is_null(row) {
            return Cell::Null;
        }
        match array.data_type() {
            DataType::Int64 => Cell::Whole(array.as_primitive::<Int64Type>().value(row)),
            DataType::Decimal128(..) => Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
            DataType::Float64 => Cell::double(array.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8View => Cell::Text(array.as_string_view().value(row).to_owned()),
            DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                Cell::List((0..items.len()).map(|item| Cell::of(&items, item)).collect())
            }
            DataType::Struct(_) => {
                Cell::List(array.as_struct().columns().iter().map(|field| Cell::of(field, row)).collect())
            }
            DataType::Map(..) => {
                let entries: ArrayRef = Arc::new(array.as_map().value(row));
                Cell::List((0..entries.len()).map(|entry| Cell::of(&entries, entry)).collect())
            }
            other => panic!("no cell of {other}"),
        }
    }
}

/// The values of the testers' aggregates over rows in total order, as of a time. (`Adder` is not exact: it has none
/// here.)
pub(super) fn values(rows: &[&Row], as_of: i64) -> Vec<Option<Cell>> {
    let flagged: Vec<&Row> = rows.iter().copied().filter(|row| row.flag == Some(true)).collect();
    let wholes = |rows: &[&Row]| rows.iter().filter_map(|row| row.whole).collect::<Vec<i64>>();
    let doubles: Vec<f64> = rows.iter().filter_map(|row| row.double).collect();
    let texts: Vec<Cell> = rows.iter().filter_map(|row| row.text.clone().map(Cell::Text)).collect();
    let flags: Vec<bool> = rows.iter().filter_map(|row| row.flag).collect();
    let or_null = |value: Option<Cell>| Some(value.unwrap_or(Cell::Null));
    let last = |count: usize, of: &[Cell]| of[of.len().saturating_sub(count)..].to_vec();
    let (whole, flagged_whole) = (wholes(rows), wholes(&flagged));
    let sum = doubles.iter().sum::<f64>() + 0.0;
    let distinct: BTreeSet<u64> = doubles
        .iter()
        .map(|it| if it.is_nan() { f64::NAN.to_bits() } else { (it + 0.0).to_bits() })
        .collect();
    let descending = last(2, &flagged_whole.iter().map(|it| Cell::Whole(*it)).collect::<Vec<_>>());
    let by_order = |a: &&f64, b: &&f64| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => a.cmp(&b),
    };
    let basic = vec![
        Some(Cell::Whole(rows.len() as i64)),
        Some(Cell::Whole(texts.len() as i64)),
        or_null((!flagged_whole.is_empty()).then(|| Cell::Whole(flagged_whole.iter().sum()))),
        or_null((!doubles.is_empty()).then(|| Cell::double(sum))),
        or_null(
            (!whole.is_empty()).then(|| Cell::double(whole.iter().sum::<i64>() as f64 / whole.len() as f64)),
        ),
        or_null(doubles.iter().min_by(by_order).map(|it| Cell::double(*it))),
        or_null(doubles.iter().max_by(by_order).map(|it| Cell::double(*it))),
        or_null(texts.iter().min().cloned()),
        or_null(flags.iter().max().map(|it| Cell::Boolean(*it))),
        or_null(texts.first().cloned()),
        or_null(flagged_whole.last().map(|it| Cell::Whole(*it))),
        Some(Cell::List(last(3, &texts))),
        Some(Cell::List(descending.into_iter().rev().collect())),
        Some(Cell::Whole(texts.iter().collect::<BTreeSet<_>>().len() as i64)),
        Some(Cell::Whole(distinct.len() as i64)),
        or_null((!whole.is_empty()).then(|| Cell::Decimal(decimal(whole.iter().sum())))),
        or_null(whole.iter().max().map(|it| Cell::Decimal(decimal(*it)))),
        or_null(flagged_whole.last().map(|it| Cell::Decimal(decimal(*it)))),
        Some(Cell::Whole(whole.iter().fold(0, |hash: i64, it| hash.wrapping_mul(31).wrapping_add(*it + 7)))),
        None,
    ];
    basic.into_iter().chain(figures::values(rows, as_of)).collect()
}
