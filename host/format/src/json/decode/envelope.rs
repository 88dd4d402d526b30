//! Debezium's envelope: changes of a table, each with the row before and after it, in a `payload` beside its schema or bare.
//!
//! Knows where the row stands and which changes are rows. Must not know columns.

use super::scan::{Kind, Token};
use crate::rows::Wanted;

/// Where members are looked for: the columns in a bare envelope, those in a payload, and what kind of change it is in both.
pub(super) fn paths(of: &Wanted) -> Vec<Vec<String>> {
    let below = |names: &'static [&str]| {
        let names = names.iter().map(|name| (*name).to_owned());
        of.columns.iter().map(move |column| names.clone().chain(column.path.iter().cloned()).collect())
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let kinds = [owned(&["op"]), owned(&["payload", "op"])];
    below(&["after"]).chain(below(&["payload", "after"])).chain(kinds).collect()
}

/// How many those are.
pub(super) fn width(of: &Wanted) -> usize {
    2 * of.columns.len() + 2
}

/// Puts the columns' tokens first; the error is a change that is not a row, or no change at all.
pub(super) fn open(bytes: &[u8], tokens: &mut [Token]) -> Result<(), String> {
    let columns = (tokens.len() - 2) / 2;
    let (bare, wrapped) = (tokens[2 * columns], tokens[2 * columns + 1]);
    let is_wrapped = wrapped.kind != Kind::Absent;
    if is_wrapped {
        tokens.copy_within(columns..2 * columns, 0);
    }
    let kind = if is_wrapped { wrapped } else { bare };
    match (kind.kind, &bytes[kind.range()]) {
        (Kind::Text, b"c" | b"r" | b"u") => Ok(()),
        (Kind::Text, b"d") => {
            Err("a row was deleted, which results do not take back: `deletes: ignore` passes over it"
                .to_owned())
        }
        (Kind::Text, other) => {
            Err(format!("a change of kind `{}` is not a row", String::from_utf8_lossy(other)))
        }
        _ => Err("not an event of Debezium: it does not say its kind in `op`".to_owned()),
    }
}
