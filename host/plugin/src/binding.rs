//! A plugin's function bound to the constants of a query: the constants as it takes them, and the name of what makes its
//! values. Must not know what kind of function it is.

use crate::describe::Described;
use crate::plugin::Plugin;
use crate::wire::{DataType, Literal, LogicalType};
use arrow_array::ArrayRef;
use std::fmt::Write;
use weir_timeline::aggregate::Parameter;

/// What a query's constants are called, and where they stand.
pub(crate) struct Wording {
    pub(crate) one: &'static str,
    pub(crate) place: &'static str,
}

/// The constants of a query as the function takes them; the error says what does not fit.
pub(crate) fn literals(
    info: &Described,
    given: &[Parameter],
    wording: &Wording,
) -> Result<Vec<Literal>, String> {
    let Wording { one, place } = wording;
    if given.len() != info.parameters.len() {
        let (name, wanted, found) = (&info.name, info.parameters.len(), given.len());
        return Err(format!("`{name}` takes {wanted} {one}s {place}, and is given {found}: {info}"));
    }
    let literals = given.iter().zip(&info.parameters).map(|(given, field)| {
        literal(given, field.data_type)
            .ok_or_else(|| format!("{one} `{}` of `{}` is a {}", field.name, info.name, field.data_type))
    });
    literals.collect()
}

fn literal(given: &Parameter, wanted: DataType) -> Option<Literal> {
    Some(match (given, wanted.logical) {
        (Parameter::Int(value), LogicalType::Bigint | LogicalType::Timestamp) => Literal::Int64(*value),
        (Parameter::Int(value), LogicalType::Double) => Literal::Float64(*value as f64),
        (Parameter::Double(value), LogicalType::Double) => Literal::Float64(*value),
        (Parameter::Text(value), LogicalType::Text) => Literal::Text(value.clone()),
        (Parameter::Text(value), LogicalType::Bytes) => Literal::Blob(value.clone().into_bytes()),
        (Parameter::Bool(value), LogicalType::Boolean) => Literal::Boolean(*value),
        _ => return None,
    })
}

/// What makes the values: function, constants and component, whatever the plugin is called.
pub(crate) fn identity(plugin: &Plugin, info: &Described, given: &[Parameter]) -> String {
    let mut identity = format!("{}(", info.name);
    for parameter in given {
        // Debug output quotes texts, so that no two lists of parameters look the same.
        write!(identity, "{parameter:?},").expect("a text takes whatever is written to it");
    }
    for (i, field) in info.arguments.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(identity, "{comma}{}", field.data_type).expect("a text takes whatever is written to it");
    }
    write!(identity, ")@sha256:{}", plugin.sha256).expect("a text takes whatever is written to it");
    identity
}

/// Arguments without a row.
pub(crate) fn no_arguments(info: &Described) -> Vec<ArrayRef> {
    let types = info.arguments.iter().map(|field| field.data_type.to_arrow());
    types.map(|data_type| arrow_array::new_empty_array(&data_type)).collect()
}
