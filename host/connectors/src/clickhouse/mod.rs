//! ClickHouse as a sink: a table whose engine keeps the newest row of each key.
//!
//! Every row is inserted, with `_version`, which rises as its place in the order of its key's rows does, and with
//! `_deleted`: `ReplacingMergeTree(_version, _deleted)` keeps the greatest of each key, so that whoever reads with `FINAL` sees
//! each key once, whatever was inserted twice or late. Batches that come again because no answer came are known to the
//! server by a token made of their content. The table is made before, with what [`weir_connect::Sink::ddl`] gives. Must not
//! know how rows are batched, paced or tried again.

mod client;
mod table;
mod types;

use crate::context::SinkContext;
use crate::settings::{SettingError, Settings};
use crate::upsert::{
    BATCH, CA, CONCURRENCY, KEEP, KeyedStore, Opened, RETRY_COUNT, UpsertSettings, UpsertSink, WRITE_RATE,
    key_columns,
};
use crate::web::{HEADERS, PASSWORD, TIMEOUT, URL, USER, WebEndpoint, WebSettings};
use async_trait::async_trait;
use client::TableClient;
use serde_json::Value;
use std::sync::Arc;
use table::ReplacingTable;
use weir_connect::key::REQUIRED;
use weir_connect::{ConnectError, KeyDoc, Sink};

/// The keys of the sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    URL,
    KeyDoc::new("database", "name", "default", "the database of the table"),
    KeyDoc::new("table", "name", REQUIRED, "the table; `weir sink ddl JOB` prints what makes it"),
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

/// A sink into a table.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let web = WebSettings::read(&mut settings, context);
    let database: String = settings.optional("database").unwrap_or_else(|| "default".to_owned());
    let table: String = settings.required("table", "the table's name").unwrap_or_default();
    for (key, name) in [("database", &database), ("table", &table)] {
        if name.is_empty() || name.contains(['`', '\\', '.', '\0']) {
            settings.error(key, "not a name: it has letters, digits and `_`");
        }
    }
    let mut upsert = UpsertSettings::read(&mut settings);
    upsert.keep = settings.optional(KEEP.name).unwrap_or_default();
    let rows = context.shape.as_ref().map(|shape| ReplacingTable::of(shape, upsert.keep)).transpose();
    let rows = rows.map_err(|fault| settings.error("", fault)).ok().flatten();
    settings.finish()?;
    let store = TableStore { web, database, table, rows, job: context.job.clone() };
    Ok(Box::new(UpsertSink::new(Box::new(store), key_columns(context), upsert, context)))
}

/// A table and how it is reached.
struct TableStore {
    web: WebSettings,
    database: String,
    table: String,
    /// What its rows look like; `None` while the query is not planned.
    rows: Option<ReplacingTable>,
    job: String,
}

#[async_trait]
impl KeyedStore for TableStore {
    fn place(&self) -> String {
        format!("{}.{} at {}", self.database, self.table, self.web.shown())
    }

    fn ddl(&self) -> Option<String> {
        Some(self.rows.as_ref()?.statement(&self.database, &self.table))
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        let rows = self.rows.clone();
        let rows =
            rows.ok_or_else(|| ConnectError::internal("a table's sink was opened without its rows"))?;
        let client = TableClient {
            endpoint: WebEndpoint::open(&self.web).await?,
            database: self.database.clone(),
            table: self.table.clone(),
            rows,
            job: self.job.clone(),
        };
        let found = client.check().await?;
        Ok(Opened { found, client: Arc::new(client) })
    }
}

#[cfg(test)]
mod tests;
