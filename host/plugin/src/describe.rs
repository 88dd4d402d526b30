//! What a plugin says of its functions, checked: names, types, no name twice. Must not know wasmtime or how a
//! function is called.

use crate::failure::one_line;
use crate::limits::TakenNames;
use crate::wire::{DataType, Field, LogicalType};
use std::collections::BTreeSet;
use std::fmt;
use weir_timeline::Algebra;

/// Functions of one component: more is a mistake or an attack on the catalog.
const MAX_FUNCTIONS: usize = 256;
/// Parameters and arguments of one function.
const MAX_FIELDS: usize = 64;
/// Columns that a payload may have.
const MAX_COLUMNS: usize = 1000;
/// Longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1000;

/// A function of a plugin, as the plugin says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// What kind of function it is, such as `scalar`.
    pub kind: &'static str,
    /// Its name in queries.
    pub name: String,
    /// Constants that come before the arguments.
    pub parameters: Vec<Field>,
    /// Its arguments in order.
    pub arguments: Vec<Field>,
    /// Type of its result; of one that gives rows it says nothing.
    pub result: DataType,
    /// The columns of the rows that it gives; none of one that has a result.
    pub rows: Vec<Field>,
    /// Of an aggregate: how its result depends on order and tiles.
    pub algebra: Option<Algebra>,
    /// A sentence for people; may be empty.
    pub description: String,
}

impl Described {
    /// A function without parameters, whose result is for others to say.
    pub(crate) fn new(kind: &'static str, name: String, arguments: Vec<Field>, description: String) -> Self {
        let result = DataType { logical: LogicalType::Boolean, list: false };
        let (parameters, rows) = (Vec::new(), Vec::new());
        Described { kind, name, parameters, arguments, result, rows, algebra: None, description }
    }
}

/// `scalar distance(lat double, lon double) -> double`, `aggregate nth(n bigint, x double) -> double`
impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: [&[Field]; 2] = [&self.parameters, &self.arguments];
        write!(f, "{} {}({}) -> ", self.kind, self.name, Fields(&fields))?;
        match self.rows.as_slice() {
            [] => write!(f, "{}", self.result),
            rows => write!(f, "({})", Fields(&[rows])),
        }
    }
}

/// Names and types, as signatures have them.
pub(crate) struct Fields<'a>(pub(crate) &'a [&'a [Field]]);

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

/// Functions that no query could call, for their names.
pub(crate) fn check_names(functions: &[Described], taken: TakenNames) -> Vec<String> {
    let reason = |name: &str| taken(name).map(|reason| format!("`{name}` {reason}; rename the function"));
    functions.iter().filter_map(|function| reason(&function.name)).collect()
}

/// Everything that is wrong with what a component says of its functions, and of what it decodes payloads into.
pub(crate) fn check(functions: &[Described], columns: &[Field]) -> Vec<String> {
    let mut reasons = check_columns(columns);
    let count = functions.len();
    if count == 0 && columns.is_empty() {
        reasons.push("describes no function and no column; export at least one".to_owned());
    }
    if count > MAX_FUNCTIONS {
        reasons.push(format!("describes {count} functions, of which one component may have {MAX_FUNCTIONS}"));
        return reasons;
    }
    let mut names = BTreeSet::new();
    for function in functions {
        check_function(function, &mut names, &mut reasons);
        if has_rows(function.kind) {
            reasons.extend(check_rows(function));
        }
        if function.parameters.iter().any(|field| field.data_type.list) {
            let name = one_line(&function.name);
            reasons.push(format!("`{name}` has a list as a parameter; parameters are single constants"));
        }
    }
    reasons
}

/// The kind of functions that make rows of a key's events.
const PROCESS: &str = "process";

/// Whether functions of this kind give rows, of which each column has a name.
fn has_rows(kind: &str) -> bool {
    [PROCESS, "transform"].contains(&kind)
}

/// What the time of a row is called, in whatever a query makes of it.
const ROWTIME: &str = "rowtime";

fn check_rows(function: &Described) -> Vec<String> {
    let name = one_line(&function.name);
    if function.rows.is_empty() {
        return vec![format!("`{name}` makes rows without a column; give them at least one")];
    }
    let of_function = |reason: String| format!("`{name}`: {reason}");
    let mut reasons: Vec<String> = check_columns(&function.rows).into_iter().map(of_function).collect();
    if function.kind == PROCESS && function.rows.iter().any(|field| field.name == ROWTIME) {
        reasons.push(format!(
            "`{name}` makes a column `{ROWTIME}`, as which a query sees the time of each row; rename it"
        ));
    }
    reasons
}

fn check_columns(columns: &[Field]) -> Vec<String> {
    if columns.len() > MAX_COLUMNS {
        return vec![format!(
            "describes {} columns, of which a payload or a row may have {MAX_COLUMNS}",
            columns.len()
        )];
    }
    let (mut names, mut reasons) = (BTreeSet::new(), Vec::new());
    for Field { name, .. } in columns {
        let shown = one_line(name);
        if !is_name(name) {
            reasons.push(format!("`{shown}` is not a name for a column; write [a-z][a-z0-9_]{{0,63}}"));
        } else if !names.insert(name) {
            reasons.push(format!("describes the column `{shown}` twice"));
        }
    }
    reasons
}

fn check_function<'a>(function: &'a Described, names: &mut BTreeSet<&'a str>, reasons: &mut Vec<String>) {
    let Described { name, parameters, arguments, description, .. } = function;
    let shown = one_line(name);
    if !is_name(name) {
        reasons.push(format!("`{shown}` is not a name for a function; write [a-z][a-z0-9_]{{0,63}}"));
    } else if !names.insert(name.as_str()) {
        reasons.push(format!("describes `{name}` twice"));
    }
    let fields: Vec<&Field> = parameters.iter().chain(arguments).collect();
    if fields.len() > MAX_FIELDS {
        reasons.push(format!("`{shown}` has {} arguments, of which it may have {MAX_FIELDS}", fields.len()));
        return;
    }
    for field in fields {
        if !is_name(&field.name) {
            let argument = one_line(&field.name);
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

    const DOUBLE: DataType = DataType { logical: LogicalType::Double, list: false };

    fn scalar(name: &str, argument: &str) -> Described {
        let arguments = vec![Field { name: argument.to_owned(), data_type: DOUBLE }];
        Described { result: DOUBLE, ..Described::new("scalar", name.to_owned(), arguments, String::new()) }
    }

    #[test]
    fn every_fault_is_named() {
        let list = DataType { logical: LogicalType::Text, list: true };
        let aggregate = Described {
            kind: "aggregate",
            name: "good".to_owned(),
            parameters: vec![Field { name: "n".to_owned(), data_type: list }],
            arguments: Vec::new(),
            result: list,
            rows: Vec::new(),
            algebra: Some(Algebra::Ordered),
            description: "x".repeat(1001),
        };
        let reasons = check(&[scalar("good", "x"), scalar("Bad\n", "x"), scalar("odd", "1"), aggregate], &[]);
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
        let process = |rows: &[&str]| {
            let field = |name: &&str| Field { name: (*name).to_owned(), data_type: DOUBLE };
            let rows = rows.iter().map(field).collect();
            Described { rows, ..Described::new("process", "track".to_owned(), Vec::new(), String::new()) }
        };
        assert_eq!(check(&[process(&["a", "b"])], &[]), [""; 0]);
        assert_eq!(process(&["a", "b"]).to_string(), "process track() -> (a double, b double)");
        assert_eq!(
            [
                check(&[process(&[])], &[]),
                check(&[process(&["a", "a"])], &[]),
                check(&[process(&["rowtime"])], &[])
            ],
            [
                ["`track` makes rows without a column; give them at least one"],
                ["`track`: describes the column `a` twice"],
                ["`track` makes a column `rowtime`, as which a query sees the time of each row; rename it"],
            ]
        );
        assert_eq!(check(&[], &[]), ["describes no function and no column; export at least one"]);
        assert_eq!(check(&[scalar("good", "x")], &[]), [""; 0]);
        let column = |name: &str| Field { name: name.to_owned(), data_type: DOUBLE };
        assert_eq!(check(&[], &[column("fare")]), [""; 0]);
        assert_eq!(
            check(&[], &[column("fare"), column("fare"), column("Fare")]),
            [
                "describes the column `fare` twice",
                "`Fare` is not a name for a column; write [a-z][a-z0-9_]{0,63}"
            ]
        );
    }

    #[test]
    fn functions_that_nobody_could_call_are_named() {
        let taken: TakenNames = |name| (name == "abs").then_some("is a built-in function");
        let reasons = check_names(&[scalar("abs", "x"), scalar("abs2", "x")], taken);
        assert_eq!(reasons, ["`abs` is a built-in function; rename the function"]);
    }

    #[test]
    fn functions_are_shown_as_a_signature() {
        assert_eq!(scalar("f", "x").to_string(), "scalar f(x double) -> double");
    }
}
