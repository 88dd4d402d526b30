//! A value of any kind that is kept: for aggregates whose types need no loops of their own.

use super::decimal::Decimal;
use super::value::{Bytes, Double, Doubles, Kind, TextBuilder, Texts, Value, Wholes, kind_of};
use crate::bytes::Reader;
use arrow_array::builder::BooleanBuilder;
use arrow_array::{ArrayRef, BooleanArray, Decimal128Array};
use arrow_schema::DataType;
use std::cmp::Ordering;

/// A value of one of the kinds. Those of one column are all of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cell {
    Whole(i64),
    Double(Double),
    Boolean(bool),
    Bytes(Bytes),
    Decimal(Decimal),
}

/// A value in its column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CellRef<'a> {
    Whole(i64),
    Double(Double),
    Boolean(bool),
    Bytes(&'a [u8]),
    Decimal(Decimal),
}

/// A column of any kind.
pub(crate) enum Cells<'a> {
    Whole(Wholes<'a>),
    Double(Doubles<'a>),
    Boolean(&'a BooleanArray),
    Bytes(Texts<'a>),
    Decimal(&'a Decimal128Array),
}

/// Collects values of one kind.
pub(crate) enum CellBuilder {
    Whole(<i64 as Value>::Builder),
    Double(<Double as Value>::Builder),
    Boolean(BooleanBuilder),
    Bytes(TextBuilder),
    Decimal(<Decimal as Value>::Builder),
}

impl Cell {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Cell::Whole(_) => Kind::Whole,
            Cell::Double(_) => Kind::Double,
            Cell::Boolean(_) => Kind::Boolean,
            Cell::Bytes(_) => Kind::Bytes,
            Cell::Decimal(_) => Kind::Decimal,
        }
    }
}

impl Value for Cell {
    type Borrowed<'a> = CellRef<'a>;
    type Column<'a> = Cells<'a>;
    type Builder = CellBuilder;

    fn column(array: &ArrayRef) -> Option<Cells<'_>> {
        Some(match kind_of(array.data_type())? {
            Kind::Whole => Cells::Whole(<i64 as Value>::column(array)?),
            Kind::Double => Cells::Double(<Double as Value>::column(array)?),
            Kind::Boolean => Cells::Boolean(<bool as Value>::column(array)?),
            Kind::Bytes => Cells::Bytes(<Bytes as Value>::column(array)?),
            Kind::Decimal => Cells::Decimal(<Decimal as Value>::column(array)?),
        })
    }

    fn get<'a>(column: &Cells<'a>, row: usize) -> Option<CellRef<'a>>
    where
        'a: 'a,
    {
        match column {
            Cells::Whole(column) => <i64 as Value>::get(column, row).map(CellRef::Whole),
            Cells::Double(column) => <Double as Value>::get(column, row).map(CellRef::Double),
            Cells::Boolean(column) => <bool as Value>::get(column, row).map(CellRef::Boolean),
            Cells::Bytes(column) => <Bytes as Value>::get(column, row).map(CellRef::Bytes),
            Cells::Decimal(column) => <Decimal as Value>::get(column, row).map(CellRef::Decimal),
        }
    }

    fn own(borrowed: CellRef<'_>) -> Cell {
        match borrowed {
            CellRef::Whole(value) => Cell::Whole(value),
            CellRef::Double(value) => Cell::Double(value),
            CellRef::Boolean(value) => Cell::Boolean(value),
            CellRef::Bytes(value) => Cell::Bytes(Bytes::own(value)),
            CellRef::Decimal(value) => Cell::Decimal(value),
        }
    }

    fn identity(borrowed: CellRef<'_>) -> Cell {
        match borrowed {
            CellRef::Double(value) => Cell::Double(<Double as Value>::identity(value)),
            other => Cell::own(other),
        }
    }

    fn compare(&self, other: CellRef<'_>) -> Ordering {
        match (self, other) {
            (Cell::Bytes(value), CellRef::Bytes(other)) => value.compare(other),
            (_, other) => self.cmp(&Cell::own(other)),
        }
    }

    fn builder(data_type: &DataType, capacity: usize) -> CellBuilder {
        match kind_of(data_type) {
            Some(Kind::Whole) => CellBuilder::Whole(<i64 as Value>::builder(data_type, capacity)),
            Some(Kind::Double) => CellBuilder::Double(<Double as Value>::builder(data_type, capacity)),
            Some(Kind::Boolean) => CellBuilder::Boolean(<bool as Value>::builder(data_type, capacity)),
            Some(Kind::Decimal) => CellBuilder::Decimal(<Decimal as Value>::builder(data_type, capacity)),
            Some(Kind::Bytes) | None => CellBuilder::Bytes(<Bytes as Value>::builder(data_type, capacity)),
        }
    }

    fn append(builder: &mut CellBuilder, value: Option<&Cell>) {
        // A value of another kind than its column's can only come from damaged state; it becomes a null.
        match (builder, value) {
            (CellBuilder::Whole(builder), Some(Cell::Whole(value))) => i64::append(builder, Some(value)),
            (CellBuilder::Double(builder), Some(Cell::Double(value))) => Double::append(builder, Some(value)),
            (CellBuilder::Boolean(builder), Some(Cell::Boolean(value))) => bool::append(builder, Some(value)),
            (CellBuilder::Bytes(builder), Some(Cell::Bytes(value))) => Bytes::append(builder, Some(value)),
            (CellBuilder::Decimal(builder), Some(Cell::Decimal(value))) => {
                Decimal::append(builder, Some(value));
            }
            (CellBuilder::Whole(builder), _) => i64::append(builder, None),
            (CellBuilder::Double(builder), _) => Double::append(builder, None),
            (CellBuilder::Boolean(builder), _) => bool::append(builder, None),
            (CellBuilder::Bytes(builder), _) => Bytes::append(builder, None),
            (CellBuilder::Decimal(builder), _) => Decimal::append(builder, None),
        }
    }

    fn build(builder: CellBuilder) -> ArrayRef {
        match builder {
            CellBuilder::Whole(builder) => i64::build(builder),
            CellBuilder::Double(builder) => Double::build(builder),
            CellBuilder::Boolean(builder) => bool::build(builder),
            CellBuilder::Bytes(builder) => Bytes::build(builder),
            CellBuilder::Decimal(builder) => Decimal::build(builder),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Whole(value) => {
                out.push(0);
                value.encode(out);
            }
            Cell::Double(value) => {
                out.push(1);
                value.encode(out);
            }
            Cell::Boolean(value) => {
                out.push(2);
                value.encode(out);
            }
            Cell::Bytes(value) => {
                out.push(3);
                value.encode(out);
            }
            Cell::Decimal(value) => {
                out.push(4);
                value.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Cell> {
        Some(match reader.byte()? {
            0 => Cell::Whole(i64::decode(reader)?),
            1 => Cell::Double(Double::decode(reader)?),
            2 => Cell::Boolean(bool::decode(reader)?),
            3 => Cell::Bytes(Bytes::decode(reader)?),
            4 => Cell::Decimal(Decimal::decode(reader)?),
            _ => return None,
        })
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Cell::Bytes(value) => value.heap_bytes(),
            _ => 0,
        }
    }
}
