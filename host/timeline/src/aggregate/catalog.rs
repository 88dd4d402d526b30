//! The built-in aggregates by name: what SQL can call without a plugin.

use super::average::Average;
use super::count::Count;
use super::distinct::{Distinct, Identity};
use super::edge::Edge;
use super::extreme::Extreme;
use super::fold::{Builtin, Fold};
use super::sum::{DoubleSum, WholeSum};
use super::top::{self, Top};
use super::value::{Bytes, Double, Kind, Value, kind_of};
use super::{Aggregate, Algebra, Card, Selection};
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

/// A constant in an aggregate's call: what shapes it without being a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// A double.
    Double(f64),
    /// A boolean.
    Bool(bool),
}

/// A call that no built-in aggregate answers; the user's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuiltinError {
    /// There is no aggregate of this name.
    #[error("there is no aggregate `{name}`; built in are {}", builtin_names().join(", "))]
    UnknownName {
        /// The name as it was given.
        name: String,
    },
    /// It takes other arguments.
    #[error("{name} takes {takes}, not ({})", list(given))]
    Arguments {
        /// The aggregate.
        name: &'static str,
        /// What it takes.
        takes: &'static str,
        /// Types that it was given.
        given: Vec<DataType>,
    },
    /// Its constants make no sense.
    #[error("{name}: {problem}")]
    Parameters {
        /// The aggregate.
        name: &'static str,
        /// What is wrong and what to write.
        problem: String,
    },
    /// DISTINCT where it is not available.
    #[error(
        "{name}(DISTINCT ..) is not available; DISTINCT works with COUNT, and changes nothing in MIN and MAX"
    )]
    Distinct {
        /// The aggregate.
        name: &'static str,
    },
}

fn list(types: &[DataType]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The most values that `TOP` keeps: beyond, one result alone is too large for its readers.
pub const TOP_LIMIT_VALUES: i64 = 1_000_000;

/// Names of the built-in aggregates, in upper case.
pub fn builtin_names() -> &'static [&'static str] {
    &["COUNT", "SUM", "AVG", "MIN", "MAX", "TOP", "FIRST_VALUE", "LAST_VALUE"]
}

/// Binds a built-in aggregate to the types of its argument columns and to its constants.
///
/// The name's case does not matter. The constants of a call are no arguments: `TOP(5, action, 'desc')` has one
/// argument, of `action`'s type, and the parameters `5` and `'desc'`, in the order of the call.
///
/// ```
/// use arrow_schema::DataType;
/// use weir_timeline::{Parameter, builtin};
/// let last = builtin("top", false, &[DataType::Utf8View], &[Parameter::Int(5)]).unwrap();
/// assert_eq!(last.card().identity, "top(Utf8View, 5, asc)#1");
/// assert!(builtin("SUM", false, &[DataType::Utf8View], &[]).is_err());
/// ```
pub fn builtin(
    name: &str,
    distinct: bool,
    argument_types: &[DataType],
    parameters: &[Parameter],
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    let upper = name.to_ascii_uppercase();
    let Some(name) = builtin_names().iter().find(|known| **known == upper) else {
        return Err(BuiltinError::UnknownName { name: name.to_owned() });
    };
    if distinct && !matches!(*name, "COUNT" | "MIN" | "MAX") {
        return Err(BuiltinError::Distinct { name });
    }
    if *name != "TOP" && !parameters.is_empty() {
        let problem =
            "an aggregate of a constant is a constant; write a column or an expression over one".to_owned();
        return Err(BuiltinError::Parameters { name, problem });
    }
    let kind = argument_types.first().and_then(kind_of);
    let bound = match (*name, argument_types, kind) {
        ("COUNT", [], _) if !distinct => Some(count("*")),
        ("COUNT", [argument], _) if !distinct => Some(count(&argument.to_string())),
        ("COUNT", [argument], Some(kind)) => Some(count_distinct(argument, kind)),
        ("SUM", [argument @ (DataType::Int32 | DataType::Int64)], _) => {
            Some(invertible("sum", argument, DataType::Int64, WholeSum))
        }
        ("SUM", [argument], Some(Kind::Double)) => {
            Some(invertible("sum", argument, DataType::Float64, DoubleSum))
        }
        ("AVG", [argument @ (DataType::Int32 | DataType::Int64)], _) => {
            Some(invertible("avg", argument, DataType::Float64, Average(WholeSum)))
        }
        ("AVG", [argument], Some(Kind::Double)) => {
            Some(invertible("avg", argument, DataType::Float64, Average(DoubleSum)))
        }
        ("TOP", [argument], Some(kind)) => Some(top(argument, kind, parameters)?),
        (_, [argument], Some(kind)) => choice(name, argument, kind),
        _ => None,
    };
    bound.ok_or_else(|| BuiltinError::Arguments { name, takes: takes(name), given: argument_types.to_vec() })
}

fn takes(name: &str) -> &'static str {
    match name {
        "COUNT" => {
            "nothing, one column, or DISTINCT and one column of whole numbers, doubles, booleans, times, text or bytes"
        }
        "SUM" | "AVG" => "one column of int, bigint, float or double",
        "TOP" => {
            "a number of values, one column of whole numbers, doubles, booleans, times, text or bytes, and 'asc' or 'desc'"
        }
        _ => "one column of whole numbers, doubles, booleans, times, text or bytes",
    }
}

fn card(identity: String, result: DataType, inverse: bool, bounded: bool) -> Card {
    Card { algebra: Algebra::Exact, inverse, bounded, result, identity }
}

fn aggregate<F: Fold>(fold: F, card: Card, selection: Option<Selection>) -> Arc<dyn Aggregate> {
    Arc::new(Builtin { fold, card, selection })
}

fn count(of: &str) -> Arc<dyn Aggregate> {
    aggregate(Count, card(format!("count({of})#1"), DataType::Int64, true, true), None)
}

fn invertible<F: Fold>(name: &str, argument: &DataType, result: DataType, fold: F) -> Arc<dyn Aggregate> {
    aggregate(fold, card(format!("{name}({argument})#1"), result, true, true), None)
}

fn count_distinct(argument: &DataType, kind: Kind) -> Arc<dyn Aggregate> {
    fn of<V: Identity>(card: Card) -> Arc<dyn Aggregate> {
        aggregate(Distinct::<V>(PhantomData), card, None)
    }
    let card = card(format!("count(distinct {argument})#1"), DataType::Int64, true, false);
    match kind {
        Kind::Whole => of::<i64>(card),
        Kind::Double => of::<Double>(card),
        Kind::Boolean => of::<bool>(card),
        Kind::Bytes => of::<Bytes>(card),
    }
}

fn choice(name: &str, argument: &DataType, kind: Kind) -> Option<Arc<dyn Aggregate>> {
    fn of<V: Value>(name: &str, argument: &DataType) -> Option<Arc<dyn Aggregate>> {
        let (data_type, value) = (argument.clone(), PhantomData::<V>);
        let card =
            card(format!("{}({argument})#1", name.to_ascii_lowercase()), data_type.clone(), false, true);
        Some(match name {
            "MIN" => {
                aggregate(Extreme { wins: Ordering::Less, data_type, value }, card, Some(Selection::Least))
            }
            "MAX" => aggregate(
                Extreme { wins: Ordering::Greater, data_type, value },
                card,
                Some(Selection::Greatest),
            ),
            "FIRST_VALUE" => {
                aggregate(Edge { wins: Ordering::Less, data_type, value }, card, Some(Selection::Oldest))
            }
            "LAST_VALUE" => {
                aggregate(Edge { wins: Ordering::Greater, data_type, value }, card, Some(Selection::Newest))
            }
            _ => return None,
        })
    }
    match kind {
        Kind::Whole => of::<i64>(name, argument),
        Kind::Double => of::<Double>(name, argument),
        Kind::Boolean => of::<bool>(name, argument),
        Kind::Bytes => of::<Bytes>(name, argument),
    }
}

fn top(
    argument: &DataType,
    kind: Kind,
    parameters: &[Parameter],
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(item: &DataType, limit: usize, newest_first: bool) -> Arc<dyn Aggregate> {
        let order = if newest_first { "desc" } else { "asc" };
        let card = card(format!("top({item}, {limit}, {order})#1"), top::list_type(item), false, true);
        let fold = Top { limit, newest_first, item: item.clone(), value: PhantomData::<V> };
        aggregate(fold, card, Some(Selection::List { limit, newest_first }))
    }
    let refuse = |problem: String| Err(BuiltinError::Parameters { name: "TOP", problem });
    let (limit, order) = match parameters {
        [Parameter::Int(limit)] => (*limit, "asc"),
        [Parameter::Int(limit), Parameter::Text(order)] => (*limit, order.as_str()),
        _ => return refuse("write TOP(n, x) or TOP(n, x, 'asc' | 'desc') with a whole number n".to_owned()),
    };
    if !(1..=TOP_LIMIT_VALUES).contains(&limit) {
        return refuse(format!("the number of values is {limit}; it must be from 1 to {TOP_LIMIT_VALUES}"));
    }
    let newest_first = match order.to_ascii_lowercase().as_str() {
        "asc" => false,
        "desc" => true,
        _ => return refuse(format!("the order is '{order}'; it must be 'asc' (oldest first) or 'desc'")),
    };
    let limit = limit as usize;
    Ok(match kind {
        Kind::Whole => of::<i64>(argument, limit, newest_first),
        Kind::Double => of::<Double>(argument, limit, newest_first),
        Kind::Boolean => of::<bool>(argument, limit, newest_first),
        Kind::Bytes => of::<Bytes>(argument, limit, newest_first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_make_no_sense_are_refused() {
        let int = [DataType::Int64];
        for (name, distinct, types, parameters) in [
            ("MEDIAN", false, &int[..], vec![]),
            ("SUM", false, &[], vec![]),
            ("SUM", true, &int, vec![]),
            ("COUNT", true, &[], vec![]),
            ("AVG", false, &[DataType::Boolean], vec![]),
            ("TOP", false, &int, vec![]),
            ("TOP", false, &int, vec![Parameter::Int(0)]),
            ("TOP", false, &int, vec![Parameter::Int(5), Parameter::Text("up".into())]),
            ("MIN", false, &int, vec![Parameter::Int(5)]),
        ] {
            let error = builtin(name, distinct, types, &parameters).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
