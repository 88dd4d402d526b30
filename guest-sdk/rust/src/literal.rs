//! Constants that a query gives to an aggregate or to keyed logic, as Rust values.

use crate::display::kind;
use crate::{DataType, Element, Literal, Timestamp};

/// One constant. An `Option` takes a null.
pub trait Parameter: Sized {
    /// The constant's type in SQL.
    const TYPE: DataType;
    /// The constant, or nothing where the literal is of another type.
    fn from_literal(literal: &Literal) -> Option<Self>;
}

macro_rules! parameter {
    ($rust:ty, $case:ident, $value:ident => $read:expr) => {
        impl Parameter for $rust {
            const TYPE: DataType = DataType { logical: <$rust as Element>::LOGICAL, list: false };
            fn from_literal(literal: &Literal) -> Option<Self> {
                match literal {
                    Literal::$case($value) => Some($read),
                    _ => None,
                }
            }
        }
    };
}

parameter!(bool, Boolean, value => *value);
parameter!(i64, Int64, value => *value);
parameter!(f64, Float64, value => *value);
parameter!(Timestamp, Int64, value => Timestamp(*value));
parameter!(String, Text, value => value.clone());
parameter!(Vec<u8>, Blob, value => value.clone());

impl<T: Parameter> Parameter for Option<T> {
    const TYPE: DataType = T::TYPE;
    fn from_literal(literal: &Literal) -> Option<Self> {
        match literal {
            Literal::Null => Some(None),
            _ => T::from_literal(literal).map(Some),
        }
    }
}

/// The constants of a function: `()`, one, or a tuple of up to four.
///
/// ```
/// use weir::{Literal, Parameters};
/// let given = [Literal::Int64(3), Literal::Text("km".to_owned())];
/// assert_eq!(<(i64, String)>::from_literals(&given), Ok((3, "km".to_owned())));
/// assert!(i64::from_literals(&given).is_err());
/// ```
pub trait Parameters: Sized {
    /// The constants' types, in order.
    fn types() -> Vec<DataType>;
    /// The constants; the error says which literal is wrong.
    fn from_literals(literals: &[Literal]) -> Result<Self, String>;
}

fn parameter<T: Parameter>(position: usize, literal: &Literal) -> Result<T, String> {
    T::from_literal(literal).ok_or_else(|| {
        format!("parameter {}: expected {}, got {}", position + 1, T::TYPE.logical, kind(literal))
    })
}

fn wrong_count(expected: usize, literals: &[Literal]) -> String {
    format!("expected {expected} parameters, got {}", literals.len())
}

impl Parameters for () {
    fn types() -> Vec<DataType> {
        Vec::new()
    }
    fn from_literals(literals: &[Literal]) -> Result<(), String> {
        if literals.is_empty() { Ok(()) } else { Err(wrong_count(0, literals)) }
    }
}

impl<T: Parameter> Parameters for T {
    fn types() -> Vec<DataType> {
        vec![T::TYPE]
    }
    fn from_literals(literals: &[Literal]) -> Result<T, String> {
        let [literal] = literals else { return Err(wrong_count(1, literals)) };
        parameter(0, literal)
    }
}

macro_rules! tuple {
    ($count:literal: $($parameter:ident $position:tt $literal:ident),+) => {
        impl<$($parameter: Parameter),+> Parameters for ($($parameter,)+) {
            fn types() -> Vec<DataType> {
                vec![$($parameter::TYPE),+]
            }
            fn from_literals(literals: &[Literal]) -> Result<Self, String> {
                let [$($literal),+] = literals else { return Err(wrong_count($count, literals)) };
                Ok(($(parameter($position, $literal)?,)+))
            }
        }
    };
}

tuple!(1: A 0 first);
tuple!(2: A 0 first, B 1 second);
tuple!(3: A 0 first, B 1 second, C 2 third);
tuple!(4: A 0 first, B 1 second, C 2 third, D 3 fourth);
