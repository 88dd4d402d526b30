//! The built-in aggregates by name: what SQL can call without a plugin.
//!
//! A table of tables: each family's file lists its own, and nothing here knows a single one of them.

use super::call::{Call, Descriptor, Duplicates};
use super::{Aggregate, Algebra, Parameter};
use super::{
    average, by_category, chosen_row, comoments, count, decay, distinct, edge, extreme, frequent, gaps, hll,
    last_distinct, logic, moments, percentile, ranked, since, spectrum, streak, sum, top,
};
use arrow_schema::DataType;
use std::sync::{Arc, LazyLock};

/// The families, in the order in which they are documented.
const FAMILIES: [&[Descriptor]; 22] = [
    count::BUILTINS,
    distinct::BUILTINS,
    hll::BUILTINS,
    sum::BUILTINS,
    average::BUILTINS,
    moments::BUILTINS,
    comoments::BUILTINS,
    extreme::BUILTINS,
    percentile::BUILTINS,
    edge::BUILTINS,
    top::BUILTINS,
    last_distinct::BUILTINS,
    ranked::BUILTINS,
    chosen_row::BUILTINS,
    spectrum::BUILTINS,
    frequent::BUILTINS,
    by_category::BUILTINS,
    logic::BUILTINS,
    decay::BUILTINS,
    since::BUILTINS,
    gaps::BUILTINS,
    streak::BUILTINS,
];

/// What people are told of a built-in aggregate. One with several forms has an entry for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltinDoc {
    /// Its name, in upper case.
    pub name: &'static str,
    /// Other names for the same.
    pub aliases: &'static [&'static str],
    /// How it is written.
    pub signature: &'static str,
    /// What its value is.
    pub does: &'static str,
    /// How its value depends on order and tiles.
    pub algebra: Algebra,
    /// Whether rows can be taken out again: sliding windows then cost the same whatever their length.
    pub inverse: bool,
    /// Whether a state's size has a bound that does not grow with its rows.
    pub bounded: bool,
    /// What becomes of nulls.
    pub nulls: &'static str,
}

/// A call that no built-in aggregate answers; the user's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuiltinError {
    /// There is no aggregate of this name.
    #[error("the aggregate `{name}` was not found; built in are {}", canonical_names().join(", "))]
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

fn descriptors() -> impl Iterator<Item = &'static Descriptor> {
    FAMILIES.into_iter().flatten()
}

fn canonical_names() -> Vec<&'static str> {
    let mut names: Vec<_> = descriptors().map(|it| it.doc.name).collect();
    names.dedup();
    names
}

/// Names of the built-in aggregates and their aliases, in upper case.
pub fn builtin_names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let docs = builtin_docs().iter();
        let mut names: Vec<_> =
            docs.flat_map(|doc| [doc.name].into_iter().chain(doc.aliases.iter().copied())).collect();
        names.dedup();
        names
    });
    &NAMES
}

/// All built-in aggregates, in the order of their documentation.
///
/// ```
/// use weir_timeline::builtin_docs;
/// assert!(builtin_docs().iter().any(|doc| doc.signature == "TOP(n, x [, 'asc' | 'desc'])"));
/// ```
pub fn builtin_docs() -> &'static [BuiltinDoc] {
    static DOCS: LazyLock<Vec<BuiltinDoc>> = LazyLock::new(|| descriptors().map(|it| it.doc).collect());
    &DOCS
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
    builtin_named(name, distinct, argument_types, &[], parameters)
}

/// As [`builtin`], with names of the arguments: where several make up rows, their fields are called so, and not f0,
/// f1, ... There are none, or one for each argument.
///
/// ```
/// use arrow_schema::DataType;
/// use weir_timeline::{Parameter, builtin_named};
/// let types = [DataType::Utf8View, DataType::Int64];
/// let rows = builtin_named("LAST_N", false, &types, &["action", "price"], &[Parameter::Int(5)]).unwrap();
/// assert_eq!(rows.card().identity, "last_n(action Utf8View, price Int64, 5, asc)#1");
/// ```
pub fn builtin_named(
    name: &str,
    distinct: bool,
    argument_types: &[DataType],
    names: &[&str],
    parameters: &[Parameter],
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    let upper = name.to_ascii_uppercase();
    let is_named = |it: &&Descriptor| it.doc.name == upper || it.doc.aliases.contains(&upper.as_str());
    let Some(known) = descriptors().find(is_named) else {
        return Err(BuiltinError::UnknownName { name: name.to_owned() });
    };
    let fits = |it: &&Descriptor| match it.distinct {
        Duplicates::Counted => !distinct,
        Duplicates::Distinct => distinct,
        Duplicates::Ignored => true,
    };
    let Some(descriptor) = descriptors().filter(is_named).find(fits) else {
        return Err(BuiltinError::Distinct { name: known.doc.name });
    };
    (descriptor.bind)(&Call { descriptor, arguments: argument_types, names, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn calls_that_make_no_sense_are_refused() {
        let int = [DataType::Int64];
        let text = |text: &str| Parameter::Text(text.to_owned());
        for (name, distinct, types, parameters) in [
            ("MEDIAN", false, &int[..], vec![]),
            ("SUM", false, &[], vec![]),
            ("SUM", true, &int, vec![]),
            ("COUNT", true, &[], vec![]),
            ("AVG", false, &[DataType::Boolean], vec![]),
            ("TOP", false, &int, vec![]),
            ("TOP", false, &int, vec![Parameter::Int(0)]),
            ("TOP", false, &int, vec![Parameter::Int(5), text("up")]),
            ("MIN", false, &int, vec![Parameter::Int(5)]),
            ("CORR", false, &int, vec![]),
            ("VAR_POP", false, &[DataType::Utf8View], vec![]),
            ("LAST_N", false, &int, vec![text("5")]),
            ("APPROX_PERCENTILE", false, &int, vec![Parameter::Double(1.5)]),
            ("MAP_AGG_BY", false, &int, vec![text("median")]),
            ("MAP_AGG_BY", false, &int, vec![text("sum")]),
            ("DECAY_SUM", false, &int, vec![text("7 parsecs")]),
            ("DECAY_COUNT", false, &[], vec![Parameter::Int(0)]),
            ("BIT_AND", false, &[DataType::Float64], vec![]),
        ] {
            let error = builtin(name, distinct, types, &parameters).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn names_are_unique_and_documented() {
        let mut seen = BTreeSet::new();
        let mut last = "";
        for doc in builtin_docs() {
            assert!(doc.name == last || seen.insert(doc.name), "{} stands in two places", doc.name);
            last = doc.name;
            assert!(doc.aliases.iter().all(|alias| seen.insert(alias)), "{}", doc.name);
            assert!(doc.signature.starts_with(doc.name), "{}", doc.signature);
            assert!(!doc.does.is_empty() && !doc.nulls.is_empty(), "{}", doc.name);
            assert!(!doc.inverse || doc.algebra != Algebra::Ordered, "{}", doc.name);
        }
        assert_eq!(builtin_names().len(), seen.len());
    }
}
