//! Anything that takes rows over HTTP as a sink: batches are posted to one address.
//!
//! A row is an object with the query's columns and a `_weir` member, which says its key, window, revision and whether it
//! takes another away: of two of the same key and window, the one with the greater revision holds. A batch has an
//! `Idempotency-Key`, made of its content, which is the same whenever the same batch is sent again because no answer came.
//! After a crash rows come again in other batches: whoever takes them keeps the greatest revision. Must not know who listens,
//! nor how rows are batched, paced or tried again.

use crate::context::SinkContext;
use crate::settings::{SettingError, Settings};
use crate::upsert::{
    BATCH, CA, CONCURRENCY, EncodedItems, Item, KEEP, KeyedClient, KeyedStore, Opened, Outcome, RETRY_COUNT,
    UpsertSettings, UpsertSink, WRITE_RATE, key_columns,
};
use crate::web::{
    HEADERS, PASSWORD, PartAnswer, TIMEOUT, URL, USER, WebEndpoint, WebFailure, WebRequest, WebSettings,
    by_halves,
};
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::ops::Range;
use std::sync::Arc;
use weir_connect::{ConnectError, Delivery, KeyDoc, Sink};
use xxhash_rust::xxh3::Xxh3;

/// The keys of the sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    URL,
    KeyDoc::new("method", "POST, PUT or PATCH", "POST", "what is done there with each batch"),
    KeyDoc::new(
        "format",
        "ndjson or json",
        "ndjson",
        "a batch as an object a line, or as one list of objects",
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

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PostFormat {
    /// An object a line.
    #[default]
    Ndjson,
    /// One list.
    Json,
}

/// What is done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum PostMethod {
    #[default]
    Post,
    Put,
    Patch,
}

/// A sink that posts.
pub(crate) fn sink(value: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SINK_KEYS);
    let web = WebSettings::read(&mut settings, context);
    let method: PostMethod = settings.optional("method").unwrap_or_default();
    let format = settings.optional("format").unwrap_or_default();
    let mut upsert = UpsertSettings::read(&mut settings);
    upsert.keep = settings.optional(KEEP.name).unwrap_or_default();
    settings.finish()?;
    let method = match method {
        PostMethod::Post => Method::POST,
        PostMethod::Put => Method::PUT,
        PostMethod::Patch => Method::PATCH,
    };
    let sender = format!("{}\0{}\0", context.job, context.sink);
    let store = PostStore { web, method, format, sender };
    Ok(Box::new(UpsertSink::new(Box::new(store), key_columns(context), upsert, context)))
}

/// An address that takes rows.
#[derive(Clone)]
struct PostStore {
    web: WebSettings,
    method: Method,
    format: PostFormat,
    /// What tells the keys of this sink's batches from those of others.
    sender: String,
}

#[async_trait]
impl KeyedStore for PostStore {
    fn place(&self) -> String {
        self.web.shown()
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    /// Any answer to a question that changes nothing says that it can be reached; few that take rows have a page there.
    async fn open(&self) -> Result<Opened, ConnectError> {
        let endpoint = WebEndpoint::open(&self.web).await?;
        let answer = endpoint.send(WebRequest::of(Method::HEAD)).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(WebFailure::of(&endpoint, &answer).whole(&endpoint));
        }
        let found = format!(
            "it answers; what it takes is seen when rows are sent ({} to HEAD)",
            answer.status.as_u16()
        );
        Ok(Opened { found, client: Arc::new(PostClient { endpoint, store: self.clone() }) })
    }
}

/// Posts to the address.
struct PostClient {
    endpoint: WebEndpoint,
    store: PostStore,
}

impl PostClient {
    /// Some rows as a body.
    fn body(&self, rows: &EncodedItems, part: Range<usize>) -> Bytes {
        if self.store.format == PostFormat::Ndjson {
            return rows.lines(part);
        }
        let mut body = BytesMut::new();
        for row in part.clone() {
            body.put_u8(if row == part.start { b'[' } else { b',' });
            body.put_slice(rows.object(row));
        }
        body.put_u8(b']');
        body.freeze()
    }

    async fn post(&self, body: Bytes) -> Result<PartAnswer, ConnectError> {
        let mut hash = Xxh3::new();
        hash.update(self.store.sender.as_bytes());
        hash.update(&body);
        let key = format!("{:032x}", hash.digest128());
        let content = match self.store.format {
            PostFormat::Ndjson => "application/x-ndjson",
            PostFormat::Json => "application/json",
        };
        let headers = [("idempotency-key", key.as_str())];
        let method = self.store.method.clone();
        let request = WebRequest { headers: &headers, content, body, ..WebRequest::of(method) };
        match self.endpoint.ask(request).await {
            Ok(_) => Ok(PartAnswer::Taken),
            Err(WebFailure::Content(reason)) => Ok(PartAnswer::Rejected(reason)),
            Err(failure) => Err(failure.whole(&self.endpoint)),
        }
    }
}

#[async_trait]
impl KeyedClient for PostClient {
    /// What is rejected as a whole is posted in halves, until the rows are alone that are why.
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError> {
        let rows = EncodedItems::json(items, true, |_, _| {})?;
        by_halves(items.len(), |part| self.post(self.body(&rows, part))).await
    }
}

#[cfg(test)]
mod tests;
