//! OpenSearch, and Elasticsearch, which speaks the same: a document per key.
//!
//! A document has a field for each of the query's columns, `_window_start` and `_window_end` or `_event_time`, and
//! `_revision`. Where all rows of a key are kept, a document's version is its revision, and the index itself tells older
//! from newer; where the newest is kept, `_fence` does, by which a document is replaced only if it is what was read before.
//! What is deleted leaves nothing behind. The index is made before, with what [`weir_connect::Sink::ddl`] gives. Must not
//! know how rows are batched, paced or tried again.

mod bulk;
mod client;
mod mapping;

use crate::context::SinkContext;
use crate::settings::{SettingError, Settings};
use crate::upsert::{
    BATCH, CA, CONCURRENCY, KEEP, Keep, KeyedStore, Opened, RETRY_COUNT, Template, UpsertSettings,
    UpsertSink, WRITE_RATE,
};
use crate::web::{HEADERS, PASSWORD, TIMEOUT, URL, USER, WebEndpoint, WebSettings};
use async_trait::async_trait;
use client::IndexClient;
use mapping::IndexMapping;
use serde_json::Value;
use std::sync::Arc;
use weir_connect::key::REQUIRED;
use weir_connect::{ConnectError, KeyDoc, Sink};

/// The keys of the sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    URL,
    KeyDoc::new(
        "index",
        "name",
        REQUIRED,
        "the index, or an alias of one; `weir sink ddl JOB` prints what makes it",
    ),
    KeyDoc::new(
        "id",
        "text with {column}",
        "{KEY}:..",
        "a document's id, such as `{user_id}`; of each row of `keep: all` with its window or event behind it",
    ),
    USER,
    PASSWORD,
    HEADERS,
    TIMEOUT,
    CA,
    KEEP,
    BATCH,
    CONCURRENCY,
    WRITE_RATE,
    RETRY_COUNT,
];

/// A sink into an index.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let web = WebSettings::read(&mut settings, context);
    let index: String = settings.required("index", "the index's name").unwrap_or_default();
    if let Some(fault) = name_fault(&index) {
        settings.error("index", fault);
    }
    let id: Option<Template> = settings.parsed("id");
    let id = id.unwrap_or_else(|| Template::of_key(context.shape.as_deref()));
    let mut upsert = UpsertSettings::read(&mut settings);
    upsert.keep = settings.optional(KEEP.name).unwrap_or_default();
    let mut mapping = None;
    if let Some(shape) = &context.shape {
        for fault in Template::key_faults(std::slice::from_ref(&id), shape) {
            settings.error("id", fault);
        }
        match IndexMapping::of(shape, upsert.keep) {
            Ok(made) => mapping = Some(made),
            Err(fault) => settings.error("", fault),
        }
    }
    settings.finish()?;
    let store = IndexStore { web, index, keep: upsert.keep, mapping, job: context.job.clone() };
    Ok(Box::new(UpsertSink::new(Box::new(store), vec![id], upsert, context)))
}

/// What is wrong with the name of an index, as the server would say at the first request.
fn name_fault(name: &str) -> Option<String> {
    const FORBIDDEN: &str = "\\/*?\"<>| ,#:";
    let reason = if name.chars().any(|letter| FORBIDDEN.contains(letter)) {
        format!("a name has none of {FORBIDDEN}")
    } else if name.chars().any(char::is_uppercase) {
        "a name has no capital letters".to_owned()
    } else if name.starts_with(['-', '_', '+']) {
        "a name does not begin with -, _ or +".to_owned()
    } else {
        return None;
    };
    Some(format!("`{name}` cannot be an index: {reason}"))
}

/// An index and how it is reached.
struct IndexStore {
    web: WebSettings,
    index: String,
    keep: Keep,
    /// What its documents look like; `None` while the query is not planned.
    mapping: Option<IndexMapping>,
    job: String,
}

#[async_trait]
impl KeyedStore for IndexStore {
    fn place(&self) -> String {
        format!("{} at {}", self.index, self.web.shown())
    }

    fn ddl(&self) -> Option<String> {
        let mapping = self.mapping.as_ref()?;
        Some(format!("PUT /{}\n{}\n", self.index, mapping.statement()))
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        let endpoint = WebEndpoint::open(&self.web).await?;
        let client =
            IndexClient { endpoint, index: self.index.clone(), keep: self.keep, job: self.job.clone() };
        let found = client.check(self.mapping.as_ref()).await?;
        Ok(Opened { found, client: Arc::new(client) })
    }
}

#[cfg(test)]
mod tests;
