//! PostgreSQL as a sink: a row per key in a table, exactly once.
//!
//! The table has a column for each of the query's by name and two of weir's own, by which newer rows are told from older
//! ones. Beside it are a table where rows are staged and one that says how far each job has come; the user makes all three
//! with the statements that [`weir_connect::Sink::ddl`] gives.

mod connection;
mod layout;
mod lines;
mod merge;
mod session;
mod sink;
mod statements;

use crate::context::SinkContext;
use crate::settings::{SettingError, Settings};
use crate::upsert::{CA, KEEP, Keep, Pace, RETRY_COUNT, RefusedRows, UpsertSettings, WRITE_RATE};
use layout::Layout;
use serde_json::Value;
use sink::PostgresSink;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_postgres::Config;
use weir_connect::key::REQUIRED;
use weir_connect::{KeyDoc, Sink, SinkCounts};

/// The keys of the sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "url",
        "URL",
        REQUIRED,
        "`postgres://USER:PASSWORD@HOST:PORT/DATABASE`; with `?sslmode=require` by TLS only",
    ),
    KeyDoc::new(
        "table",
        "name",
        REQUIRED,
        "the table, or `SCHEMA.TABLE`; `weir sink ddl JOB` prints what makes it",
    ),
    CA,
    KEEP,
    WRITE_RATE,
    RETRY_COUNT,
];

/// A sink into a table.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let url: Option<String> = settings.required("url", "postgres://HOST/DATABASE");
    // The URL is never repeated, as it may hold a password.
    let config = url.and_then(|url| match url.parse::<Config>() {
        Ok(config) if !config.get_hosts().is_empty() => Some(config),
        _ => {
            settings.error("url", "not a URL of PostgreSQL; write postgres://USER@HOST:PORT/DATABASE");
            None
        }
    });
    let table: Option<String> = settings.required("table", "the name of a table");
    if table.as_ref().is_some_and(|table| table.is_empty() || table.split('.').any(str::is_empty)) {
        settings.error("table", "not a name; write TABLE or SCHEMA.TABLE");
    }
    let ca: Option<PathBuf> = settings.optional(CA.name);
    let ca = ca.map(|path| context.project.join(path));
    let keep: Keep = settings.optional(KEEP.name).unwrap_or_default();
    let layout = match (&table, &context.shape) {
        (Some(table), Some(shape)) => Some((Layout::of(table, keep, shape), shape.clone())),
        _ => None,
    };
    let layout = layout.and_then(|(layout, shape)| match layout {
        Ok(layout) => Some((Arc::new(layout), shape)),
        Err(fault) => {
            settings.error("", fault);
            None
        }
    });
    let upsert = UpsertSettings::default().with_rate(&mut settings);
    settings.finish()?;
    let (Some(config), Some(table)) = (config, table) else { return Err(Vec::new()) };
    Ok(Box::new(PostgresSink {
        at: connection::address(&config),
        ca,
        config,
        table,
        job: context.job.clone(),
        rows: layout,
        clock: context.clock.clone(),
        began: context.began,
        refused: RefusedRows::new(&context.data_dir, &context.job, &context.sink, context.refused_bytes),
        pace: Pace::new(upsert.write_rate),
        retry_count: upsert.retry_count,
        session: None,
        counts: SinkCounts::default(),
    }))
}

#[cfg(test)]
mod tests;
