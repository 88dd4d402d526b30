//! The arguments of one row, as a Rust value. Knows nothing of what is done with them.

use crate::{Argument, Column, DataType, Reader};

/// What a function takes of each row: one argument, a tuple of up to twenty-four, or `()`.
pub trait Input<'a>: Sized {
    /// The readers of the columns.
    type Readers;
    /// The arguments' types, in order.
    fn types() -> Vec<DataType>;
    /// Readers for columns of `rows` rows; the error says which argument is wrong and why.
    fn open(columns: &'a [Column], rows: usize) -> Result<Self::Readers, String>;
    /// One row; nothing where an argument is null that has no place for a null.
    fn read(readers: &Self::Readers, row: usize) -> Option<Self>;
}

fn exactly<const COUNT: usize>(columns: &[Column]) -> Result<&[Column; COUNT], String> {
    columns.try_into().map_err(|_| format!("expected {COUNT} arguments, got {}", columns.len()))
}

fn reader<'a, T: Argument<'a>>(
    position: usize,
    column: &'a Column,
    rows: usize,
) -> Result<Reader<'a, T>, String> {
    Reader::new(column, rows).map_err(|problem| format!("argument {}: {problem}", position + 1))
}

impl<'a, T: Argument<'a>> Input<'a> for T {
    type Readers = Reader<'a, T>;
    fn types() -> Vec<DataType> {
        vec![T::TYPE]
    }
    fn open(columns: &'a [Column], rows: usize) -> Result<Self::Readers, String> {
        let [column] = exactly(columns)?;
        reader(0, column, rows)
    }
    fn read(reader: &Self::Readers, row: usize) -> Option<Self> {
        reader.get(row)
    }
}

impl Input<'_> for () {
    type Readers = ();
    fn types() -> Vec<DataType> {
        Vec::new()
    }
    fn open(columns: &[Column], _rows: usize) -> Result<(), String> {
        exactly(columns).map(|[]| ())
    }
    fn read((): &(), _row: usize) -> Option<()> {
        Some(())
    }
}

macro_rules! tuple {
    ($($argument:ident $position:tt),+) => {
        impl<'a, $($argument: Argument<'a>),+> Input<'a> for ($($argument,)+) {
            type Readers = ($(Reader<'a, $argument>,)+);
            fn types() -> Vec<DataType> {
                vec![$($argument::TYPE),+]
            }
            fn open(columns: &'a [Column], rows: usize) -> Result<Self::Readers, String> {
                let columns = exactly::<{ [$($position),+].len() }>(columns)?;
                Ok(($(reader($position, &columns[$position], rows)?,)+))
            }
            fn read(readers: &Self::Readers, row: usize) -> Option<Self> {
                Some(($(readers.$position.get(row)?,)+))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17, S 18);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17, S 18, T 19);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17, S 18, T 19, U 20);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17, S 18, T 19, U 20, V 21);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17, S 18, T 19, U 20, V 21, W 22);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15, Q 16, R 17, S 18, T 19, U 20, V 21, W 22, X 23);
