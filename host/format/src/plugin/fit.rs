//! Which of a plugin's columns a stream's columns are.
//!
//! Knows names and types. Must not know how a plugin is called.

use arrow_schema::DataType as ArrowType;
use weir_event::suggestion::instead_of;
use weir_event::{DataType, StreamSchema, TimeForm};

/// A column of a stream that a plugin does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The column's name.
    pub column: String,
    /// What is wrong with it.
    pub reason: String,
}

/// How the values of a column come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// As they are wanted.
    AsWanted,
    /// As text, to be read as a field of CSV is.
    AsText,
}

/// The columns of a stream that a plugin with these columns does not give.
pub fn unfit(stream: &StreamSchema, columns: &[(String, ArrowType)]) -> Vec<Unfit> {
    stream
        .fields
        .iter()
        .filter_map(|field| {
            let reason = place(&field.path.join("."), (&field.data_type, &field.form), columns).err()?;
            Some(Unfit { column: field.name.clone(), reason })
        })
        .collect()
}

/// Where a stream's column of this name and type is among a plugin's.
pub(super) fn place(
    member: &str,
    (data_type, form): (&DataType, &TimeForm),
    columns: &[(String, ArrowType)],
) -> Result<(usize, Given), String> {
    let Some(place) = columns.iter().position(|(name, _)| name == member) else {
        let known = instead_of(member, columns.iter().map(|(name, _)| name.as_str()));
        return Err(format!("the plugin gives no column `{member}`; {known}"));
    };
    let (given, wanted) = (&columns[place].1, data_type.to_arrow());
    if *given == wanted && *form != TimeForm::Standard {
        Err(format!(
            "the plugin gives `{member}` as a timestamp, so that it is not written in any unit or pattern; leave that out, or \
             have the plugin give text"
        ))
    } else if *given == wanted {
        Ok((place, Given::AsWanted))
    } else if *given == ArrowType::Utf8View {
        Ok((place, Given::AsText))
    } else {
        let given = DataType::from_arrow(given).map_or_else(|| given.to_string(), |given| given.to_string());
        Err(format!(
            "the plugin gives `{member}` as {given}, and it is declared as {data_type}; declare it as {given}, or have the \
             plugin give text"
        ))
    }
}
