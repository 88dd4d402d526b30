//! A call of a built-in aggregate on its way to being bound: what families need to read its types and constants.
//!
//! Knows nothing of single aggregates.

use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Builtin, Fold};
use super::rows::row_type;
use super::value::{Kind, kind_of};
use super::{Aggregate, Card, Parameter, Selection};
use arrow_schema::DataType;
use std::sync::Arc;

/// The most values that a list may be asked for: beyond, one result alone is too large for its readers.
pub(crate) const LIST_LIMIT_VALUES: i64 = 1_000_000;

/// A built-in aggregate as the catalog lists it.
pub(crate) struct Descriptor {
    pub(crate) doc: BuiltinDoc,
    /// What it takes, for the message when it is given something else.
    pub(crate) takes: &'static str,
    /// Whether it is called with DISTINCT.
    pub(crate) distinct: Duplicates,
    pub(crate) bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
}

/// What DISTINCT is to an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// There is no such form.
    Counted,
    /// It is the form with DISTINCT of an aggregate that has both.
    Distinct,
    /// It changes nothing.
    Ignored,
}

/// A call of one aggregate.
pub(crate) struct Call<'a> {
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) arguments: &'a [DataType],
    /// Names of the arguments, for the fields of rows; none, or one for each.
    pub(crate) names: &'a [&'a str],
    pub(crate) parameters: &'a [Parameter],
}

/// How an argument is kept: one column's values, or rows of several columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One(Kind),
    Row,
}

/// Calls a function that is generic over how values are kept.
macro_rules! by_shape {
    ($shape:expr, $of:ident($($argument:expr),*)) => {
        match $shape {
            $crate::aggregate::call::Shape::One($crate::aggregate::value::Kind::Whole) => $of::<i64>($($argument),*),
            $crate::aggregate::call::Shape::One($crate::aggregate::value::Kind::Double) => {
                $of::<$crate::aggregate::value::Double>($($argument),*)
            }
            $crate::aggregate::call::Shape::One($crate::aggregate::value::Kind::Decimal) => {
                $of::<$crate::aggregate::decimal::Decimal>($($argument),*)
            }
            $crate::aggregate::call::Shape::One($crate::aggregate::value::Kind::Boolean) => $of::<bool>($($argument),*),
            $crate::aggregate::call::Shape::One($crate::aggregate::value::Kind::Bytes) => {
                $of::<$crate::aggregate::value::Bytes>($($argument),*)
            }
            $crate::aggregate::call::Shape::Row => $of::<$crate::aggregate::rows::Row>($($argument),*),
        }
    };
}
pub(crate) use by_shape;

/// Whether it can be added up: a whole number, a float, a double or a decimal.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..)
    )
}

impl Call<'_> {
    /// It takes other arguments.
    pub(crate) fn wrong_arguments(&self) -> BuiltinError {
        BuiltinError::Arguments {
            name: self.descriptor.doc.name,
            takes: self.descriptor.takes,
            given: self.arguments.to_vec(),
        }
    }

    /// Its constants make no sense.
    pub(crate) fn refuse<T>(&self, problem: impl Into<String>) -> Result<T, BuiltinError> {
        Err(BuiltinError::Parameters { name: self.descriptor.doc.name, problem: problem.into() })
    }

    pub(crate) fn no_parameters(&self) -> Result<(), BuiltinError> {
        if self.parameters.is_empty() {
            return Ok(());
        }
        self.refuse("an aggregate of a constant is a constant; write a column or an expression over one")
    }

    /// Its only argument, of a type whose values are kept.
    pub(crate) fn value(&self) -> Result<(&DataType, Kind), BuiltinError> {
        match self.arguments {
            [argument] => Ok((argument, kind_of(argument).ok_or_else(|| self.wrong_arguments())?)),
            _ => Err(self.wrong_arguments()),
        }
    }

    /// Its only argument, a number.
    pub(crate) fn number(&self) -> Result<&DataType, BuiltinError> {
        match self.arguments {
            [argument] if is_number(argument) => Ok(argument),
            _ => Err(self.wrong_arguments()),
        }
    }

    /// Its first arguments: one column, or several as a row.
    pub(crate) fn shaped(&self, arguments: &[DataType]) -> Result<(DataType, Shape), BuiltinError> {
        match arguments {
            [] => Err(self.wrong_arguments()),
            [argument] => {
                let kind = kind_of(argument).ok_or_else(|| self.wrong_arguments())?;
                Ok((argument.clone(), Shape::One(kind)))
            }
            several if several.iter().all(|argument| kind_of(argument).is_some()) => {
                Ok((row_type(several, self.names), Shape::Row))
            }
            _ => Err(self.wrong_arguments()),
        }
    }

    /// A parameter that says how many, from 1 to `most`.
    pub(crate) fn limit(&self, parameter: &Parameter, most: i64) -> Result<usize, BuiltinError> {
        match parameter {
            Parameter::Int(limit) if (1..=most).contains(limit) => Ok(*limit as usize),
            Parameter::Int(limit) => {
                self.refuse(format!("the number of values is {limit}; it must be from 1 to {most}"))
            }
            _ => self.refuse(format!("write {} with a whole number n", self.descriptor.doc.signature)),
        }
    }

    /// The limit, where it is the only parameter.
    pub(crate) fn only_limit(&self, most: i64) -> Result<usize, BuiltinError> {
        match self.parameters {
            [limit] => self.limit(limit, most),
            _ => self.refuse(format!("write {} with a whole number n", self.descriptor.doc.signature)),
        }
    }

    /// A card. What makes the value: the name, the argument types and, in their full spelling, the constants; where
    /// rows are shown, also their names.
    pub(crate) fn card(&self, result: DataType, constants: &[String]) -> Card {
        let doc = &self.descriptor.doc;
        let shows_rows = match &result {
            DataType::List(item) => matches!(item.data_type(), DataType::Struct(_)),
            other => matches!(other, DataType::Struct(_)),
        };
        let types = self.arguments.iter().enumerate().map(|(at, data_type)| match self.names.get(at) {
            Some(name) if shows_rows => format!("{name} {data_type}"),
            _ => data_type.to_string(),
        });
        let inside: Vec<String> = types.chain(constants.iter().cloned()).collect();
        let identity = format!("{}({})#1", doc.name.to_ascii_lowercase(), inside.join(", "));
        Card {
            algebra: doc.algebra,
            inverse: doc.inverse,
            bounded: doc.bounded,
            result,
            identity,
            nulls: doc.nulls,
        }
    }
}

/// A fold as an aggregate.
pub(crate) fn aggregate<F: Fold>(fold: F, card: Card) -> Arc<dyn Aggregate> {
    Arc::new(Builtin { fold, card, selection: None })
}

/// A fold whose value an `OVER` may choose from its row log.
pub(crate) fn selected<F: Fold>(fold: F, card: Card, selection: Selection) -> Arc<dyn Aggregate> {
    Arc::new(Builtin { fold, card, selection: Some(selection) })
}
