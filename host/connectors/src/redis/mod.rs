//! Redis (and what speaks its protocol) as a sink: a hash per entity, its newest values.
//!
//! A hash has a field for each of the query's columns, `_event_time`, `_window_end` where rows have windows, `_version`, and
//! `_fence`, by which a script on the server tells newer rows from older ones. A null is a field that is absent. A row that
//! takes another away leaves a hash with `_fence` alone for a day. Or hashes are as Feast has them. Must not know how rows are batched, paced or tried again.

mod client;
mod row;

use crate::context::SinkContext;
use crate::feast::{self, LAYOUT, StoreLayout};
use crate::settings::{SettingError, Settings};
use crate::upsert::{
    BATCH, CA, CONCURRENCY, KeyedStore, Opened, RETRY_COUNT, Template, UpsertSettings, UpsertSink, WRITE_RATE,
};
use async_trait::async_trait;
use client::{Servers, open};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use row::{HashLayout, OWN_FIELDS};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{ConnectError, KeyDoc, RowShape, Sink};
use weir_event::Span;

/// The keys of the sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "url",
        "URL, or a list of URLs of a cluster",
        REQUIRED,
        "`redis://USER:PASSWORD@HOST:PORT/DATABASE`, or `rediss://` for TLS",
    ),
    KeyDoc::new(
        "cluster",
        "true or false",
        "false",
        "whether one URL stands for a cluster; several always do",
    ),
    KeyDoc::new(
        "key",
        "text with {column}",
        "{job}:{KEY}:..",
        "the key of an entity's hash, such as `{job}:{user_id}`",
    ),
    CA,
    LAYOUT,
    KeyDoc::new("project", "text", NONE, "with `layout: feast`, which needs it: the project of Feast"),
    KeyDoc::new(
        "feature_view",
        "text",
        "{job}",
        "with `layout: feast`: the feature view, whose features are the query's columns beside its key",
    ),
    KeyDoc::new("ttl", "duration", NONE, "a hash goes so long after it was last written"),
    BATCH,
    CONCURRENCY,
    WRITE_RATE,
    RETRY_COUNT,
];

/// A sink into Redis.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let nodes = nodes(&mut settings);
    let is_cluster = settings.optional::<bool>("cluster").unwrap_or(nodes.len() > 1);
    if !is_cluster && nodes.len() > 1 {
        settings.error("cluster", "several URLs are those of a cluster; leave it out, or give one URL");
    }
    let ca: Option<PathBuf> = settings.optional(CA.name);
    if ca.is_some() && !nodes.iter().all(is_tls) {
        settings.error(CA.name, "without TLS nothing is signed; write rediss://, or leave it out");
    }
    let ca = ca.map(|path| context.project.join(path));
    let ttl = settings.parsed::<Span>("ttl");
    if ttl.is_some_and(|ttl| ttl.millis() <= 0) {
        settings.error("ttl", "every row would be gone at once; give 1s or more");
    }
    let (layout, keys, place) = layout(&mut settings, context);
    let upsert = UpsertSettings::read(&mut settings);
    settings.finish()?;
    let ttl = ttl.map(|ttl| Duration::from_millis(ttl.millis() as u64));
    let store = RedisStore { servers: Servers { nodes, is_cluster, ca }, layout, place, ttl };
    Ok(Box::new(UpsertSink::new(Box::new(store), keys, upsert, context)))
}

/// What hashes look like, what tells their rows apart, and which they are.
fn layout(settings: &mut Settings<'_>, context: &SinkContext) -> (HashLayout, Vec<Template>, String) {
    let shape = context.shape.as_deref();
    let given = settings.parsed::<Template>("key");
    let (project, view): (Option<String>, Option<String>) =
        (settings.optional("project"), settings.optional("feature_view"));
    if settings.optional(LAYOUT.name) == Some(StoreLayout::Feast) {
        feast::check(settings, shape, given.is_some());
        if project.is_none() {
            settings.error("project", "missing; give the project of Feast");
        }
        let (project, view) = (project.unwrap_or_default(), view.unwrap_or_else(|| context.job.clone()));
        let place = format!("{project}/{view}");
        return (HashLayout::Feast { project, view }, feast::keys(shape), place);
    }
    for (key, _) in [("project", project.is_some()), ("feature_view", view.is_some())]
        .into_iter()
        .filter(|(_, is_given)| *is_given)
    {
        settings.error(key, "only Feast has those; leave it out, or write `layout: feast`");
    }
    let key = given.unwrap_or_else(|| default_key(shape));
    if let Some(shape) = shape {
        for fault in Template::key_faults(std::slice::from_ref(&key), shape) {
            settings.error("key", fault);
        }
        for name in shape.columns.fields().iter().map(|field| field.name()) {
            if OWN_FIELDS.contains(&name.as_str()) {
                settings
                    .error("", format!("the field `{name}` is weir's own; give that column another name"));
            }
        }
    }
    let place = key.written();
    (HashLayout::Weir, vec![key], place)
}

/// The servers that the URLs name; a URL is never repeated, as it may hold a password.
fn nodes(settings: &mut Settings<'_>) -> Vec<ConnectionInfo> {
    let urls = match settings.required::<Value>("url", "redis://HOST:PORT") {
        Some(Value::Array(urls)) => urls,
        Some(url) => vec![url],
        None => return Vec::new(),
    };
    let node = |url: &Value| url.as_str().and_then(|url| url.into_connection_info().ok());
    let nodes: Vec<ConnectionInfo> = urls.iter().filter_map(node).collect();
    if nodes.len() < urls.len() || urls.is_empty() {
        settings.error("url", "not a URL of Redis; write redis://HOST:PORT, or rediss://HOST:PORT for TLS");
    }
    nodes
}

/// The job and every column of the entity's key.
fn default_key(shape: Option<&RowShape>) -> Template {
    let keys = shape.into_iter().flat_map(|shape| shape.keys.fields().iter());
    let text: String = keys.map(|key| format!(":{{{}}}", key.name())).collect();
    format!("{{job}}{text}").parse().unwrap_or_else(|_| Template::column("job"))
}

/// Hashes in Redis.
struct RedisStore {
    servers: Servers,
    layout: HashLayout,
    /// Which hashes they are.
    place: String,
    ttl: Option<Duration>,
}

/// A server as messages name it.
fn address(node: &ConnectionInfo) -> String {
    let database = node.redis_settings().db();
    let at = match node.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}")
        }
        other => other.to_string(),
    };
    if database == 0 { at } else { format!("{at}/{database}") }
}

/// Whether a server is spoken to by TLS.
fn is_tls(node: &ConnectionInfo) -> bool {
    matches!(node.addr(), ConnectionAddr::TcpTls { .. })
}

#[async_trait]
impl KeyedStore for RedisStore {
    fn place(&self) -> String {
        format!("{} at {}", self.place, self.servers)
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        open(&self.servers, self.layout.clone(), self.ttl).await
    }
}

#[cfg(test)]
mod tests;
