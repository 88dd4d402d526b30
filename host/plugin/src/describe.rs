//! What a plugin says of its functions, checked: names, types, no name twice. Must not know wasmtime or how a
//! function is called.

use crate::wire::{self, AggregateFunctionInfo, DataType, Field, FunctionInfo};
use std::collections::BTreeSet;
use std::fmt;
use weir_timeline::Algebra;

/// Functions of one component: more is a mistake or an attack on the catalog.
const MAX_FUNCTIONS: usize = 256;
/// Parameters and arguments of one function.
const MAX_FIELDS: usize = 64;
/// Longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1000;

/// A scalar function of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalarInfo {
    /// Its name in queries.
    pub name: String,
    /// Its arguments in order.
    pub arguments: Vec<Field>,
    /// Type of its result.
    pub result: DataType,
    /// A sentence for people; may be empty.
    pub description: String,
}

/// An aggregate function of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateInfo {
    /// Its name in queries.
    pub name: String,
    /// Constants that come before the arguments.
    pub parameters: Vec<Field>,
    /// Its arguments in order.
    pub arguments: Vec<Field>,
    /// Type of its result.
    pub result: DataType,
    /// How its result depends on order and tiles, as it says.
    pub algebra: Algebra,
    /// A sentence for people; may be empty.
    pub description: String,
}

impl From<FunctionInfo> for ScalarInfo {
    fn from(info: FunctionInfo) -> Self {
        let FunctionInfo { name, arguments, result, description } = info;
        ScalarInfo { name, arguments, result, description }
    }
}

impl From<AggregateFunctionInfo> for AggregateInfo {
    fn from(info: AggregateFunctionInfo) -> Self {
        let AggregateFunctionInfo { name, parameters, arguments, result, algebra, description } = info;
        let algebra = match algebra {
            wire::Algebra::Exact => Algebra::Exact,
            wire::Algebra::Ordered => Algebra::Ordered,
            wire::Algebra::Approximate => Algebra::Approximate,
        };
        AggregateInfo { name, parameters, arguments, result, algebra, description }
    }
}

/// `scalar distance(lat double, lon double) -> double`
impl fmt::Display for ScalarInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scalar {}({}) -> {}", self.name, Fields(&[&self.arguments]), self.result)
    }
}

/// `aggregate nth(n bigint, x double) -> double`
impl fmt::Display for AggregateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: [&[Field]; 2] = [&self.parameters, &self.arguments];
        write!(f, "aggregate {}({}) -> {}", self.name, Fields(&fields), self.result)
    }
}

struct Fields<'a>(&'a [&'a [Field]]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.0.iter().copied().flatten().enumerate() {
            write!(f, "{}{} {}", if i == 0 { "" } else { ", " }, field.name, field.data_type)?;
        }
        Ok(())
    }
}

/// Whether a text is a name of weir's: a plugin's, a function's, a field's.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && text.len() <= 64
}

/// Everything that is wrong with what a component says of its functions.
pub(crate) fn check(scalars: &[ScalarInfo], aggregates: &[AggregateInfo]) -> Vec<String> {
    let mut reasons = Vec::new();
    let count = scalars.len() + aggregates.len();
    if count == 0 {
        reasons.push("describes no function; export at least one".to_owned());
    }
    if count > MAX_FUNCTIONS {
        reasons.push(format!("describes {count} functions, of which one component may have {MAX_FUNCTIONS}"));
        return reasons;
    }
    let mut names = BTreeSet::new();
    for info in scalars {
        check_function(&info.name, &[&info.arguments], &info.description, &mut names, &mut reasons);
    }
    for info in aggregates {
        let fields: [&[Field]; 2] = [&info.parameters, &info.arguments];
        check_function(&info.name, &fields, &info.description, &mut names, &mut reasons);
        if info.parameters.iter().any(|field| field.data_type.list) {
            reasons
                .push(format!("`{}` has a list as a parameter; parameters are single constants", info.name));
        }
    }
    reasons
}

fn check_function<'a>(
    name: &'a str,
    fields: &[&[Field]],
    description: &str,
    names: &mut BTreeSet<&'a str>,
    reasons: &mut Vec<String>,
) {
    let shown = crate::failure::one_line(name);
    if !is_name(name) {
        reasons.push(format!("`{shown}` is not a name for a function; write [a-z][a-z0-9_]{{0,63}}"));
    } else if !names.insert(name) {
        reasons.push(format!("describes `{name}` twice"));
    }
    let fields: Vec<&Field> = fields.iter().copied().flatten().collect();
    if fields.len() > MAX_FIELDS {
        reasons.push(format!("`{shown}` has {} arguments, of which it may have {MAX_FIELDS}", fields.len()));
        return;
    }
    for field in fields {
        if !is_name(&field.name) {
            let argument = crate::failure::one_line(&field.name);
            reasons.push(format!(
                "`{argument}` is not a name for an argument of `{shown}`; write [a-z][a-z0-9_]{{0,63}}"
            ));
        }
    }
    if description.chars().count() > MAX_DESCRIPTION_CHARS {
        reasons
            .push(format!("the description of `{shown}` is longer than {MAX_DESCRIPTION_CHARS} characters"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LogicalType;

    const DOUBLE: DataType = DataType { logical: LogicalType::Double, list: false };

    fn scalar(name: &str, argument: &str) -> ScalarInfo {
        let arguments = vec![Field { name: argument.to_owned(), data_type: DOUBLE }];
        ScalarInfo { name: name.to_owned(), arguments, result: DOUBLE, description: String::new() }
    }

    #[test]
    fn every_fault_is_named() {
        let list = DataType { logical: LogicalType::Text, list: true };
        let aggregate = AggregateInfo {
            name: "good".to_owned(),
            parameters: vec![Field { name: "n".to_owned(), data_type: list }],
            arguments: Vec::new(),
            result: list,
            algebra: Algebra::Ordered,
            description: "x".repeat(1001),
        };
        let reasons = check(&[scalar("good", "x"), scalar("Bad\n", "x"), scalar("odd", "1")], &[aggregate]);
        assert_eq!(
            reasons,
            [
                "`Bad ` is not a name for a function; write [a-z][a-z0-9_]{0,63}",
                "`1` is not a name for an argument of `odd`; write [a-z][a-z0-9_]{0,63}",
                "describes `good` twice",
                "the description of `good` is longer than 1000 characters",
                "`good` has a list as a parameter; parameters are single constants",
            ]
        );
        assert_eq!(check(&[], &[]), ["describes no function; export at least one"]);
        assert_eq!(check(&[scalar("good", "x")], &[]), [""; 0]);
    }

    #[test]
    fn functions_are_shown_as_a_signature() {
        assert_eq!(scalar("f", "x").to_string(), "scalar f(x double) -> double");
    }
}
