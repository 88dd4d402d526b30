//! A result row as an item of a table.
//!
//! Its key, an attribute for each of the query's columns, and what weir says of it: `_event_time`, `_window_end`,
//! `_version`, and `_fence`, by which no older row takes its place. A row that deletes leaves its key and its fence, with
//! `_deleted`: with the fence gone, an older row that comes late would be back.

use super::attribute::attribute;
use crate::feast;
use crate::upsert::Item;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use weir_connect::Op;
use weir_event::{EventTime, Span};

/// What tells a row from an older one, a text that sorts as it rises.
pub(super) const FENCE: &str = "_fence";
/// When DynamoDB may drop the item, seconds since the epoch.
pub(super) const EXPIRES: &str = "_expires";
/// What weir says of a row beside its columns.
pub(super) const OWN: [&str; 6] = ["_event_time", "_window_end", "_version", "_deleted", FENCE, EXPIRES];
/// What stands between the text of a key and what tells its rows apart, where all of them are kept.
const APART: char = '#';
/// A row that deletes keeps its key for so long, where the definition does not say how long items live.
const TOMBSTONE: Span = Span::from_millis(7 * 86_400_000);

/// Attributes of a table's item, by name.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// The key of a table that Feast reads.
pub(super) const ENTITY_ID: &str = "entity_id";

/// The item of a row, whose key has these attributes; or why it cannot be one.
pub(super) fn attributes(item: &Item, keys: &[String]) -> Result<Attributes, String> {
    let mut attributes = Attributes::new();
    if item.op() == Op::Upsert {
        for (index, (name, _)) in item.columns().enumerate() {
            let value = attribute(item.value(index)).map_err(|reason| of_column(name, &reason))?;
            attributes.insert(name.to_owned(), value);
        }
    } else {
        attributes.insert("_deleted".to_owned(), AttributeValue::Bool(true));
    }
    let text = |time: EventTime| AttributeValue::S(time.to_string());
    attributes.extend(item.event_time().map(|time| ("_event_time".to_owned(), text(time))));
    let end = item.window().map(|(_, end)| EventTime::from_millis(end));
    attributes.extend(end.map(|end| ("_window_end".to_owned(), text(end))));
    attributes.insert("_version".to_owned(), AttributeValue::N(item.meta().version.to_string()));
    // Last, so that a column of the same name does not take the key's place.
    for (index, (name, text)) in keys.iter().zip(&item.keys).enumerate() {
        if text.is_empty() {
            return Err(format!("its key `{name}` is empty, which no key may be there"));
        }
        // In the key that rows of one partition are sorted by, so that they sort by time.
        let identity = item.identity.as_ref().filter(|_| index + 1 == keys.len());
        let text = identity.map_or_else(|| text.clone(), |identity| format!("{text}{APART}{identity}"));
        attributes.insert(name.clone(), AttributeValue::S(text));
    }
    Ok(attributes)
}

/// The item of a row as Feast reads it; or why it cannot be one. A row that deletes leaves an entity without values.
pub(super) fn feast_attributes(item: &Item) -> Result<Attributes, String> {
    let features = if item.op() == Op::Upsert { feast::features(item)? } else { Vec::new() };
    let value = |(name, value): (&str, Vec<u8>)| (name.to_owned(), AttributeValue::B(Blob::new(value)));
    let time = feast::time(item.event_time().unwrap_or(EventTime::from_millis(0)));
    Ok(Attributes::from([
        (ENTITY_ID.to_owned(), AttributeValue::S(feast::entity_id(item)?)),
        ("event_ts".to_owned(), AttributeValue::S(time)),
        ("values".to_owned(), AttributeValue::M(features.into_iter().map(value).collect())),
    ]))
}

fn of_column(name: &str, reason: &str) -> String {
    format!("its column `{name}`: {reason}")
}

/// The same with what decides how long it stays, and what takes its place.
pub(super) fn kept(mut attributes: Attributes, item: &Item, ttl: Option<Span>, now: EventTime) -> Attributes {
    attributes.insert(FENCE.to_owned(), AttributeValue::S(item.fence.text()));
    let lives = if item.op() == Op::Upsert { ttl } else { ttl.or(Some(TOMBSTONE)) };
    if let Some(lives) = lives {
        let expires = (now + lives).millis().div_euclid(1000);
        attributes.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
    }
    attributes
}
