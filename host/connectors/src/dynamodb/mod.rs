//! Amazon DynamoDB as a sink: an item per entity, its newest values.
//!
//! An item has its key, an attribute for each of the query's columns, `_event_time`, `_window_end` where rows have windows,
//! `_version`, and `_fence`, by which no older row takes the place of a newer one. Must not know how rows are batched, paced
//! or tried again.

mod attribute;
mod row;
mod store;
mod table;

use crate::aws::{Account, ENDPOINT, REGION};
use crate::context::SinkContext;
use crate::feast::{self, LAYOUT, StoreLayout};
use crate::settings::{SettingError, Settings};
use crate::upsert::{
    BATCH, CONCURRENCY, KEEP, Keep, RETRY_COUNT, Template, UpsertSettings, UpsertSink, WRITE_RATE,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::DynamoStore;
use table::Table;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{KeyDoc, RowShape, Sink};
use weir_event::Span;

const TTL: KeyDoc = KeyDoc::new("ttl", "duration", NONE, "an item goes so long after it was last written");

/// The keys of a `dynamodb` sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    KeyDoc::new("table", "text", REQUIRED, "the table's name"),
    REGION,
    ENDPOINT,
    KeyDoc::new(
        "key",
        "{ATTRIBUTE: text with {column}, ..}",
        "{pk: \"{KEY}:..\", sk: \"{job}\"}",
        "the text of each attribute that is a key of the table, such as `{pk: \"{user_id}\", sk: \"{job}\"}`",
    ),
    LAYOUT,
    TTL,
    KEEP,
    BATCH,
    CONCURRENCY,
    WRITE_RATE,
    RETRY_COUNT,
];

/// The keys of a `feature_service_dynamodb` sink.
pub(crate) const FEATURE_SERVICE_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "table",
        "text",
        FEATURES,
        "the table's name; its only key is `pk`, the query's first column",
    ),
    REGION,
    ENDPOINT,
    TTL,
    KEEP,
    BATCH,
    CONCURRENCY,
    WRITE_RATE,
    RETRY_COUNT,
];

/// The table of a feature service that names none.
const FEATURES: &str = "features";
/// The attribute that rows are spread by, where nothing says otherwise.
const PARTITION_KEY: &str = "pk";
/// The most attributes that are keys of a table.
const MOST_KEYS: usize = 2;

/// The sink `dynamodb: {table, region, endpoint, key, layout, ttl, ..}`.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let name: String = settings.required("table", "the table's name").unwrap_or_default();
    let shape = context.shape.as_deref();
    let given = keys(&mut settings);
    let layout = settings.optional(LAYOUT.name).unwrap_or_default();
    if layout == StoreLayout::Weir {
        return made(settings, name, given.unwrap_or_else(|| default_key(shape)), layout, context);
    }
    feast::check(&mut settings, shape, given.is_some());
    let key = feast::keys(shape).into_iter().map(|text| (row::ENTITY_ID.to_owned(), text)).collect();
    made(settings, name, key, layout, context)
}

/// The sink `feature_service_dynamodb: {write_rate, retry_count, ..}`, as Dryft's definitions have it.
pub(crate) fn feature_service(
    value: &Value,
    context: &SinkContext,
) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, FEATURE_SERVICE_KEYS);
    let name: Option<String> = settings.optional("table");
    let first = context.shape.as_ref().and_then(|shape| shape.columns.fields().first().cloned());
    let key = first.map_or_else(|| Template::column("job"), |field| Template::column(field.name()));
    let name = name.unwrap_or_else(|| FEATURES.to_owned());
    made(settings, name, vec![(PARTITION_KEY.to_owned(), key)], StoreLayout::Weir, context)
}

fn made(
    mut settings: Settings<'_>,
    name: String,
    key: Vec<(String, Template)>,
    layout: StoreLayout,
    context: &SinkContext,
) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let account = Account::from_settings(&mut settings);
    let ttl = settings.parsed::<Span>("ttl");
    if ttl.is_some_and(|ttl| ttl.millis() < 1000) {
        settings.error("ttl", "every row would be gone at once; give 1s or more");
    }
    let (names, texts): (Vec<String>, Vec<Template>) = key.into_iter().unzip();
    if let Some(shape) = context.shape.as_ref().filter(|_| layout == StoreLayout::Weir) {
        check(&mut settings, shape, &names, &texts);
    }
    let keep = settings.optional(KEEP.name).unwrap_or_default();
    let upsert = UpsertSettings { keep, ..UpsertSettings::read(&mut settings) };
    if layout == StoreLayout::Feast && upsert.keep == Keep::All {
        settings.error("keep", "Feast keeps an entity's newest row alone; leave it out");
    }
    settings.finish()?;
    let names = if layout == StoreLayout::Feast { vec![row::ENTITY_ID.to_owned()] } else { names };
    // What a row that deletes leaves goes by itself too.
    let expires = ttl.is_some() || context.shape.as_ref().is_some_and(|shape| shape.deletes);
    let table = Arc::new(Table { account, name, keys: names, expires });
    let store = DynamoStore { table, layout, ttl, clock: context.clock.clone() };
    Ok(Box::new(UpsertSink::new(Box::new(store), texts, upsert, context)))
}

/// What is wrong with keys and columns of rows.
fn check(settings: &mut Settings<'_>, shape: &RowShape, names: &[String], texts: &[Template]) {
    for fault in Template::key_faults(texts, shape) {
        settings.error("", format!("the key: {fault}"));
    }
    for name in shape.columns.fields().iter().map(|field| field.name()) {
        if row::OWN.contains(&name.as_str()) {
            settings
                .error("", format!("the attribute `{name}` is weir's own; give that column another name"));
        } else if names.contains(name) && !texts.contains(&Template::column(name)) {
            settings.error("", format!("the attribute `{name}` is a key; give that column another name"));
        }
    }
}

/// The texts of `key` with their attributes, in the order of the definition.
fn keys(settings: &mut Settings<'_>) -> Option<Vec<(String, Template)>> {
    let given: Map<String, Value> = settings.optional("key")?;
    if given.is_empty() || given.len() > MOST_KEYS {
        settings.error("key", "a table has one or two keys; write {pk: \"{column}\"} or {pk: .., sk: ..}");
    }
    let mut keys = Vec::new();
    for (name, text) in given {
        let text = text.as_str().ok_or_else(|| "not a text".to_owned());
        match text.and_then(str::parse::<Template>) {
            Ok(text) => keys.push((name, text)),
            Err(error) => settings.error("key", format!("{name}: {error}")),
        }
    }
    Some(keys)
}

/// Every column of the entity's key, and the job.
fn default_key(shape: Option<&RowShape>) -> Vec<(String, Template)> {
    let keys = shape.into_iter().flat_map(|shape| shape.keys.fields().iter());
    let text: Vec<String> = keys.map(|key| format!("{{{}}}", key.name())).collect();
    let text = text.join(":").parse().unwrap_or_else(|_| Template::column("job"));
    vec![(PARTITION_KEY.to_owned(), text), ("sk".to_owned(), Template::column("job"))]
}

#[cfg(test)]
mod tests;
