//! `COUNT(*)` and `COUNT(x)`.

use super::Algebra;
use super::call::{Descriptor, Duplicates, aggregate};
use super::catalog::BuiltinDoc;
use super::fold::{Fold, Place};
use crate::bytes::{self, Reader};
use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_schema::DataType;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "COUNT",
        aliases: &[],
        signature: "COUNT(*), COUNT(x)",
        does: "the number of rows, or of rows where x is not null",
        algebra: Algebra::Exact,
        inverse: true,
        bounded: true,
        nulls: "not counted; COUNT(*) counts every row; 0 of no rows",
    },
    takes: "nothing, one column, or DISTINCT and one column of numbers, booleans, times, dates, text or bytes",
    distinct: Duplicates::Counted,
    bind: |call| {
        call.no_parameters()?;
        match call.arguments {
            [] => Ok(aggregate(Count, call.card(DataType::Int64, &["*".to_owned()]))),
            [_] => Ok(aggregate(Count, call.card(DataType::Int64, &[]))),
            _ => Err(call.wrong_arguments()),
        }
    },
}];

/// Rows, or rows whose argument is not null where there is one. The count of none is 0.
#[derive(Debug, Clone)]
pub(crate) struct Count;

impl Fold for Count {
    type State = i64;
    type Column<'a> = Option<&'a ArrayRef>;
    type Builder = Vec<i64>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
        // A column without nulls counts as COUNT(*) does.
        Some(arguments.first().filter(|array| array.null_count() > 0))
    }

    fn insert(&self, state: &mut i64, column: &Self::Column<'_>, row: usize, _place: Place) {
        *state += i64::from(column.is_none_or(|array| array.is_valid(row)));
    }

    fn remove(&self, state: &mut i64, column: &Self::Column<'_>, row: usize, _place: Place) {
        *state -= i64::from(column.is_none_or(|array| array.is_valid(row)));
    }

    fn merge(&self, into: &mut i64, other: &i64) {
        *into += other;
    }

    fn unmerge(&self, from: &mut i64, leaving: &i64) {
        *from -= leaving;
    }

    fn builder(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &i64, _as_of: i64, builder: &mut Vec<i64>) -> Result<(), String> {
        builder.push(*state);
        Ok(())
    }

    fn build(&self, builder: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    fn encode(&self, state: &i64, out: &mut Vec<u8>) {
        bytes::put_signed(*state, out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<i64> {
        reader.signed()
    }
}
