//! `BOOL_AND`, `BOOL_OR`, `BIT_AND`, `BIT_OR`, `BIT_XOR`.

use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::value::{Value, Wholes};
use super::{Aggregate, Algebra};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::DataType;
use std::sync::Arc;

const NULLS: &str = "skipped; null of no values";

const fn descriptor(
    name: &'static str,
    aliases: &'static [&'static str],
    signature: &'static str,
    does: &'static str,
    inverse: bool,
    takes: &'static str,
    bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
) -> Descriptor {
    Descriptor {
        doc: BuiltinDoc {
            name,
            aliases,
            signature,
            does,
            algebra: Algebra::Exact,
            inverse,
            bounded: true,
            nulls: NULLS,
        },
        takes,
        distinct: Duplicates::Ignored,
        bind,
    }
}

const BOOLEAN: &str = "one boolean column";
const WHOLE: &str = "one column of int or bigint";

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor("BOOL_AND", &["EVERY"], "BOOL_AND(x)", "whether all values are true", true, BOOLEAN, |call| {
        bind_truth(call, true)
    }),
    descriptor("BOOL_OR", &["SOME"], "BOOL_OR(x)", "whether any value is true", true, BOOLEAN, |call| {
        bind_truth(call, false)
    }),
    descriptor("BIT_AND", &[], "BIT_AND(x)", "the bits that all values have", false, WHOLE, |call| {
        let data_type = whole(call)?;
        Ok(aggregate(Bits { any: false, data_type: data_type.clone() }, call.card(data_type, &[])))
    }),
    descriptor("BIT_OR", &[], "BIT_OR(x)", "the bits that any value has", false, WHOLE, |call| {
        let data_type = whole(call)?;
        Ok(aggregate(Bits { any: true, data_type: data_type.clone() }, call.card(data_type, &[])))
    }),
    Descriptor {
        distinct: Duplicates::Counted,
        ..descriptor(
            "BIT_XOR",
            &[],
            "BIT_XOR(x)",
            "the bits that an odd number of values have",
            true,
            WHOLE,
            |call| {
                let data_type = whole(call)?;
                Ok(aggregate(Parity { data_type: data_type.clone() }, call.card(data_type, &[])))
            },
        )
    },
];

fn bind_truth(call: &Call<'_>, all: bool) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    if call.arguments != [DataType::Boolean] {
        return Err(call.wrong_arguments());
    }
    Ok(aggregate(Truth { all }, call.card(DataType::Boolean, &[])))
}

fn whole(call: &Call<'_>) -> Result<DataType, BuiltinError> {
    call.no_parameters()?;
    match call.arguments {
        [argument @ (DataType::Int32 | DataType::Int64)] => Ok(argument.clone()),
        _ => Err(call.wrong_arguments()),
    }
}

/// Whether all or any values are true. Both are counted, so that values can leave again.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    all: bool,
}

/// How many values are true and how many are false.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    trues: i64,
    falses: i64,
}

impl Tally {
    fn change(&mut self, trues: i64, falses: i64) {
        self.trues = self.trues.wrapping_add(trues);
        self.falses = self.falses.wrapping_add(falses);
    }
}

impl Fold for Truth {
    type State = Tally;
    type Column<'a> = &'a BooleanArray;
    type Builder = Vec<Option<bool>>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<&'a BooleanArray> {
        <bool as Value>::columns(arguments)
    }

    fn insert(&self, state: &mut Tally, column: &&BooleanArray, row: usize, _place: Place) {
        if let Some(value) = <bool as Value>::get(column, row) {
            state.change(i64::from(value), i64::from(!value));
        }
    }

    fn remove(&self, state: &mut Tally, column: &&BooleanArray, row: usize, _place: Place) {
        if let Some(value) = <bool as Value>::get(column, row) {
            state.change(-i64::from(value), -i64::from(!value));
        }
    }

    fn merge(&self, into: &mut Tally, other: &Tally) {
        into.change(other.trues, other.falses);
    }

    fn unmerge(&self, from: &mut Tally, leaving: &Tally) {
        from.change(leaving.trues.wrapping_neg(), leaving.falses.wrapping_neg());
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Tally, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        let value = if self.all { state.falses == 0 } else { state.trues != 0 };
        builder.push((state.trues != 0 || state.falses != 0).then_some(value));
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        Arc::new(BooleanArray::from(builder))
    }

    fn encode(&self, state: &Tally, out: &mut Vec<u8>) {
        bytes::put_signed(state.trues, out);
        bytes::put_signed(state.falses, out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Tally> {
        Some(Tally { trues: reader.signed()?, falses: reader.signed()? })
    }
}

/// The bits of all values or of any.
#[derive(Debug, Clone)]
pub(crate) struct Bits {
    any: bool,
    data_type: DataType,
}

impl Bits {
    fn see(&self, state: &mut Option<i64>, bits: i64) {
        *state = Some(match *state {
            None => bits,
            Some(kept) if self.any => kept | bits,
            Some(kept) => kept & bits,
        });
    }
}

impl Fold for Bits {
    type State = Option<i64>;
    type Column<'a> = Wholes<'a>;
    type Builder = <i64 as Value>::Builder;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Wholes<'a>> {
        <i64 as Value>::columns(arguments)
    }

    fn insert(&self, state: &mut Option<i64>, column: &Wholes<'_>, row: usize, _place: Place) {
        if let Some(bits) = <i64 as Value>::get(column, row) {
            self.see(state, bits);
        }
    }

    fn merge(&self, into: &mut Option<i64>, other: &Option<i64>) {
        if let Some(bits) = other {
            self.see(into, *bits);
        }
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        <i64 as Value>::builder(&self.data_type, capacity)
    }

    fn push(&self, state: &Option<i64>, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        i64::append(builder, state.as_ref());
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        i64::build(builder)
    }

    fn encode(&self, state: &Option<i64>, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(bits) = state {
            bits.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Option<i64>> {
        match reader.byte()? {
            0 => Some(None),
            1 => i64::decode(reader).map(Some),
            _ => None,
        }
    }
}

/// The bits of an odd number of values.
#[derive(Debug, Clone)]
pub(crate) struct Parity {
    data_type: DataType,
}

/// Bits and the number of values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Odd {
    bits: i64,
    count: i64,
}

impl Odd {
    fn change(&mut self, bits: i64, count: i64) {
        self.bits ^= bits;
        self.count = self.count.wrapping_add(count);
    }
}

impl Fold for Parity {
    type State = Odd;
    type Column<'a> = Wholes<'a>;
    type Builder = <i64 as Value>::Builder;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Wholes<'a>> {
        <i64 as Value>::columns(arguments)
    }

    fn insert(&self, state: &mut Odd, column: &Wholes<'_>, row: usize, _place: Place) {
        if let Some(bits) = <i64 as Value>::get(column, row) {
            state.change(bits, 1);
        }
    }

    fn remove(&self, state: &mut Odd, column: &Wholes<'_>, row: usize, _place: Place) {
        if let Some(bits) = <i64 as Value>::get(column, row) {
            state.change(bits, -1);
        }
    }

    fn merge(&self, into: &mut Odd, other: &Odd) {
        into.change(other.bits, other.count);
    }

    fn unmerge(&self, from: &mut Odd, leaving: &Odd) {
        from.change(leaving.bits, leaving.count.wrapping_neg());
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        <i64 as Value>::builder(&self.data_type, capacity)
    }

    fn push(&self, state: &Odd, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        i64::append(builder, Some(&state.bits).filter(|_| state.count != 0));
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        i64::build(builder)
    }

    fn encode(&self, state: &Odd, out: &mut Vec<u8>) {
        state.bits.encode(out);
        bytes::put_signed(state.count, out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Odd> {
        Some(Odd { bits: i64::decode(reader)?, count: reader.signed()? })
    }
}
