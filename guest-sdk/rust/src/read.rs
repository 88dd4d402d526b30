//! Reading columns row by row. Checks a column's shape once, so that reading a row cannot fail. Knows
//! nothing of functions.

use crate::display::representation;
use crate::{Column, DataType, LogicalType, Timestamp, Values};

/// A value as it lies in a column, read without regard to nulls or lists.
pub trait Entry<'a>: Sized {
    /// What the entry means in SQL.
    const LOGICAL: LogicalType;
    /// What the column's entries are kept as.
    type Stored: 'a;
    /// The entries of a column, or nothing where the column carries another type.
    fn stored(values: &'a Values) -> Option<&'a [Self::Stored]>;
    /// One entry.
    fn read(stored: &'a Self::Stored) -> Self;
}

macro_rules! entry {
    ($rust:ty, $logical:ident, $case:ident, $stored:ty, $entry:ident => $read:expr) => {
        impl<'a> Entry<'a> for $rust {
            const LOGICAL: LogicalType = LogicalType::$logical;
            type Stored = $stored;
            fn stored(values: &'a Values) -> Option<&'a [$stored]> {
                match values {
                    Values::$case(entries) => Some(entries),
                    _ => None,
                }
            }
            fn read($entry: &'a $stored) -> Self {
                $read
            }
        }
    };
}

entry!(bool, Boolean, Booleans, u8, entry => *entry != 0);
entry!(i64, Bigint, Int64s, i64, entry => *entry);
entry!(f64, Double, Float64s, f64, entry => *entry);
entry!(Timestamp, Timestamp, Int64s, i64, entry => Timestamp(*entry));
entry!(String, Text, Texts, String, entry => entry.clone());
entry!(&'a str, Text, Texts, String, entry => entry);
entry!(Vec<u8>, Bytes, Blobs, Vec<u8>, entry => entry.clone());
entry!(&'a [u8], Bytes, Blobs, Vec<u8>, entry => entry);

/// What one argument of a function may be: an entry, a list of entries, or an `Option` of either.
pub trait Argument<'a>: Sized {
    /// The argument's type in SQL.
    const TYPE: DataType;
    /// The rows of a column of that type.
    type Rows: Copy;
    /// The rows of a column whose offsets are known to be sound, or nothing where it carries another type.
    fn rows(column: &'a Column) -> Option<Self::Rows>;
    /// One row that is not null.
    fn read(rows: Self::Rows, row: usize) -> Self;
    /// What stands for null, where the function wants to see nulls.
    fn null() -> Option<Self> {
        None
    }
}

impl<'a, T: Entry<'a>> Argument<'a> for T {
    const TYPE: DataType = DataType { logical: T::LOGICAL, list: false };
    type Rows = &'a [T::Stored];
    fn rows(column: &'a Column) -> Option<Self::Rows> {
        T::stored(&column.values)
    }
    fn read(rows: Self::Rows, row: usize) -> Self {
        <T as Entry>::read(&rows[row])
    }
}

/// The entries of a list column, and where each row's begin.
type Lists<'a, Stored> = (&'a [Stored], &'a [u32]);

fn list<Stored>((entries, offsets): Lists<'_, Stored>, row: usize) -> &[Stored] {
    &entries[offsets[row] as usize..offsets[row + 1] as usize]
}

impl<'a, T: Entry<'a>> Argument<'a> for Vec<T> {
    const TYPE: DataType = DataType { logical: T::LOGICAL, list: true };
    type Rows = Lists<'a, T::Stored>;
    fn rows(column: &'a Column) -> Option<Self::Rows> {
        Some((T::stored(&column.values)?, &column.offsets))
    }
    fn read(rows: Self::Rows, row: usize) -> Self {
        list(rows, row).iter().map(T::read).collect()
    }
}

macro_rules! borrowed_list {
    ($entry:ty) => {
        impl<'a> Argument<'a> for &'a [$entry] {
            const TYPE: DataType = DataType { logical: <$entry as Entry>::LOGICAL, list: true };
            type Rows = Lists<'a, $entry>;
            fn rows(column: &'a Column) -> Option<Self::Rows> {
                Some((<$entry as Entry>::stored(&column.values)?, &column.offsets))
            }
            fn read(rows: Self::Rows, row: usize) -> Self {
                list(rows, row)
            }
        }
    };
}

borrowed_list!(i64);
borrowed_list!(f64);

impl<'a, T: Argument<'a>> Argument<'a> for Option<T> {
    const TYPE: DataType = T::TYPE;
    type Rows = T::Rows;
    fn rows(column: &'a Column) -> Option<Self::Rows> {
        T::rows(column)
    }
    fn read(rows: Self::Rows, row: usize) -> Self {
        Some(T::read(rows, row))
    }
    fn null() -> Option<Self> {
        Some(None)
    }
}

/// A column whose type and shape were found right, read as rows of `T`.
///
/// ```
/// use weir::{Column, Reader, Values};
/// let column = Column { values: Values::Int64s(vec![3, 0]), validity: vec![1, 0], offsets: vec![] };
/// let reader = Reader::<i64>::new(&column, 2).unwrap();
/// assert_eq!([reader.get(0), reader.get(1)], [Some(3), None]);
/// let reader = Reader::<Option<i64>>::new(&column, 2).unwrap();
/// assert_eq!(reader.get(1), Some(None));
/// assert!(Reader::<f64>::new(&column, 2).is_err());
/// ```
pub struct Reader<'a, T: Argument<'a>> {
    rows: T::Rows,
    validity: &'a [u8],
}

impl<'a, T: Argument<'a>> Reader<'a, T> {
    /// Checks that the column has `rows` rows of the type of `T`. The error says what is wrong.
    pub fn new(column: &'a Column, rows: usize) -> Result<Self, String> {
        check_shape(column, rows, T::TYPE.list)?;
        let rows = T::rows(column).ok_or_else(|| {
            format!("expected {} values, got {}", T::TYPE.logical, representation(&column.values))
        })?;
        Ok(Reader { rows, validity: &column.validity })
    }

    /// The row's value; nothing where it is null and `T` has no place for a null.
    ///
    /// # Panics
    /// If the column has no such row.
    pub fn get(&self, row: usize) -> Option<T> {
        let valid = self.validity.is_empty() || self.validity[row] != 0;
        if valid { Some(T::read(self.rows, row)) } else { T::null() }
    }
}

fn check_shape(column: &Column, rows: usize, list: bool) -> Result<(), String> {
    let entries = length(&column.values);
    if list {
        let offsets = &column.offsets;
        if offsets.len() != rows + 1 {
            return Err(format!("expected {} offsets for {rows} lists, got {}", rows + 1, offsets.len()));
        }
        let sound = offsets[0] == 0 && offsets.is_sorted() && offsets[rows] as usize == entries;
        if !sound {
            return Err(format!("the offsets do not rise from 0 to the {entries} entries"));
        }
    } else if !column.offsets.is_empty() {
        return Err("expected a flat column, got lists".to_owned());
    } else if entries != rows {
        return Err(format!("expected {rows} rows, got {entries}"));
    }
    if !column.validity.is_empty() && column.validity.len() != rows {
        return Err(format!("expected {rows} validity bytes, got {}", column.validity.len()));
    }
    Ok(())
}

fn length(values: &Values) -> usize {
    match values {
        Values::Booleans(entries) => entries.len(),
        Values::Int64s(entries) => entries.len(),
        Values::Float64s(entries) => entries.len(),
        Values::Texts(entries) => entries.len(),
        Values::Blobs(entries) => entries.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(offsets: &[u32], entries: &[i64]) -> Column {
        Column { values: Values::Int64s(entries.to_vec()), validity: vec![], offsets: offsets.to_vec() }
    }

    #[test]
    fn lists_are_read_owned_and_borrowed() {
        let column = lists(&[0, 2, 2, 3], &[7, 8, 9]);
        let owned = Reader::<Vec<i64>>::new(&column, 3).unwrap();
        let borrowed = Reader::<&[i64]>::new(&column, 3).unwrap();
        for (row, expected) in [vec![7, 8], vec![], vec![9]].into_iter().enumerate() {
            assert_eq!(borrowed.get(row), Some(&expected[..]));
            assert_eq!(owned.get(row), Some(expected));
        }
        assert!(Reader::<Vec<i64>>::new(&lists(&[0], &[]), 0).is_ok());
    }

    #[test]
    fn unsound_columns_are_refused() {
        let wrong_validity = Column { validity: vec![1], ..lists(&[0, 1, 1], &[5]) };
        let cases = [
            (lists(&[0, 1], &[5]), 2),
            (lists(&[], &[]), 0),
            (lists(&[1, 1], &[5]), 1),
            (lists(&[0, 2, 1], &[5]), 2),
            (lists(&[0, 9], &[5]), 1),
            (wrong_validity, 2),
        ];
        for (column, rows) in &cases {
            assert!(Reader::<Vec<i64>>::new(column, *rows).is_err(), "{column:?}");
        }
        assert!(Reader::<i64>::new(&lists(&[0, 1], &[5]), 1).is_err(), "lists where a flat column is due");
        assert!(Reader::<i64>::new(&lists(&[], &[5]), 2).is_err(), "too few rows");
    }

    #[test]
    fn texts_are_not_copied_for_a_str() {
        let column =
            Column { values: Values::Texts(vec!["drive".to_owned()]), validity: vec![], offsets: vec![] };
        let Values::Texts(texts) = &column.values else { unreachable!() };
        let read = Reader::<&str>::new(&column, 1).unwrap().get(0).unwrap();
        assert!(std::ptr::eq(read, texts[0].as_str()));
    }
}
