//! Writing columns row by row. Knows nothing of functions.

use std::fmt::Display;

use crate::{Column, DataType, LogicalType, Timestamp, Values};

/// A value as it is put into a column: what a cell or an entry of a list may be.
pub trait Element: Sized {
    /// What the element means in SQL.
    const LOGICAL: LogicalType;
    /// What the column's entries are kept as; its default fills the place of a null.
    type Stored: Default;
    /// The element as an entry.
    fn store(self) -> Self::Stored;
    /// A column's entries.
    fn values(entries: Vec<Self::Stored>) -> Values;
}

macro_rules! element {
    ($rust:ty, $logical:ident, $case:ident, $stored:ty, $element:ident => $store:expr) => {
        impl Element for $rust {
            const LOGICAL: LogicalType = LogicalType::$logical;
            type Stored = $stored;
            fn store(self) -> $stored {
                let $element = self;
                $store
            }
            fn values(entries: Vec<$stored>) -> Values {
                Values::$case(entries)
            }
        }
    };
}

element!(bool, Boolean, Booleans, u8, element => u8::from(element));
element!(i64, Bigint, Int64s, i64, element => element);
element!(f64, Double, Float64s, f64, element => element);
element!(Timestamp, Timestamp, Int64s, i64, element => element.0);
element!(String, Text, Texts, String, element => element);
element!(Vec<u8>, Bytes, Blobs, Vec<u8>, element => element);

/// What one row of a result may be, nulls aside: an element or a list of elements.
pub trait Cell: Sized {
    /// The result's type in SQL.
    const TYPE: DataType;
    /// What the entries are made of.
    type Element: Element;
    /// Adds the cell's entries.
    fn append(self, entries: &mut Vec<<Self::Element as Element>::Stored>);
}

impl<E: Element> Cell for E {
    const TYPE: DataType = DataType { logical: E::LOGICAL, list: false };
    type Element = E;
    fn append(self, entries: &mut Vec<E::Stored>) {
        entries.push(self.store());
    }
}

impl<E: Element> Cell for Vec<E> {
    const TYPE: DataType = DataType { logical: E::LOGICAL, list: true };
    type Element = E;
    fn append(self, entries: &mut Vec<E::Stored>) {
        entries.extend(self.into_iter().map(E::store));
    }
}

/// What a function may return for one row: a cell, an `Option` of one, or a `Result` of either.
pub trait Returned {
    /// The cell within.
    type Cell: Cell;
    /// The cell, nothing for a null, or why the row fails.
    fn into_cell(self) -> Result<Option<Self::Cell>, String>;
}

impl<C: Cell> Returned for C {
    type Cell = C;
    fn into_cell(self) -> Result<Option<C>, String> {
        Ok(Some(self))
    }
}

impl<C: Cell> Returned for Option<C> {
    type Cell = C;
    fn into_cell(self) -> Result<Option<C>, String> {
        Ok(self)
    }
}

impl<R: Returned, E: Display> Returned for Result<R, E> {
    type Cell = R::Cell;
    fn into_cell(self) -> Result<Option<R::Cell>, String> {
        self.map_err(|error| error.to_string())?.into_cell()
    }
}

/// Collects the rows of a column.
///
/// ```
/// let mut builder = weir::Builder::with_capacity(2);
/// builder.push(Some(1.5));
/// builder.push(None);
/// let column = builder.finish();
/// assert_eq!(column.values, weir::Values::Float64s(vec![1.5, 0.0]));
/// assert_eq!(column.validity, [1, 0]);
/// ```
pub struct Builder<C: Cell> {
    entries: Vec<<C::Element as Element>::Stored>,
    validity: Vec<u8>,
    offsets: Vec<u32>,
    has_nulls: bool,
}

impl<C: Cell> Builder<C> {
    /// A builder with room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        let offsets = if C::TYPE.list { vec![0] } else { Vec::new() };
        Builder {
            entries: Vec::with_capacity(rows),
            validity: Vec::with_capacity(rows),
            offsets,
            has_nulls: false,
        }
    }

    /// Adds a row; `None` is a null.
    pub fn push(&mut self, cell: Option<C>) {
        self.has_nulls |= cell.is_none();
        self.validity.push(u8::from(cell.is_some()));
        match cell {
            Some(cell) => cell.append(&mut self.entries),
            None if C::TYPE.list => {}
            None => self.entries.push(Default::default()),
        }
        if C::TYPE.list {
            // A guest's memory ends at 4 GiB, so more entries than a u32 counts cannot exist.
            self.offsets.push(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        }
    }

    /// The column of the rows so far.
    pub fn finish(self) -> Column {
        Column {
            values: C::Element::values(self.entries),
            validity: if self.has_nulls { self.validity } else { Vec::new() },
            offsets: self.offsets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column<C: Cell>(cells: Vec<Option<C>>) -> Column {
        let mut builder = Builder::with_capacity(cells.len());
        for cell in cells {
            builder.push(cell);
        }
        builder.finish()
    }

    #[test]
    fn without_nulls_there_is_no_validity() {
        let flags = column(vec![Some(true), Some(false)]);
        assert_eq!(flags, Column { values: Values::Booleans(vec![1, 0]), validity: vec![], offsets: vec![] });
    }

    #[test]
    fn a_null_list_is_an_empty_range() {
        let lists = column(vec![Some(vec!["a".to_owned(), "b".to_owned()]), None, Some(vec![])]);
        assert_eq!(lists.values, Values::Texts(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(lists.validity, [1, 0, 1]);
        assert_eq!(lists.offsets, [0, 2, 2, 2]);
        assert_eq!(column::<Vec<i64>>(vec![]).offsets, [0]);
    }

    #[test]
    fn bytes_are_a_cell_and_not_a_list() {
        const { assert!(!<Vec<u8> as Cell>::TYPE.list && <Vec<Vec<u8>> as Cell>::TYPE.list) };
        assert_eq!(column(vec![Some(vec![1_u8, 2])]).values, Values::Blobs(vec![vec![1, 2]]));
    }

    #[test]
    fn results_carry_values_nulls_and_errors() {
        assert_eq!(Ok::<_, String>(Some(4_i64)).into_cell(), Ok(Some(4)));
        assert_eq!(Ok::<Option<i64>, String>(None).into_cell(), Ok(None));
        assert_eq!(Err::<i64, _>("no such place").into_cell(), Err("no such place".to_owned()));
    }
}
