//! Rows put into a table over HTTP.
//!
//! Knows the server's interface and which of its errors are about rows. Must not know how a request is sent.

use super::table::{FoundColumn, ReplacingTable};
use crate::upsert::{EncodedItems, Item, KeyedClient, Outcome};
use crate::web::{PartAnswer, WebAnswer, WebEndpoint, WebFailure, WebRequest, by_halves};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_connect::ConnectError;
use xxhash_rust::xxh3::xxh3_128;

/// Errors of values: of what cannot be read, converted or kept, as the server numbers them.
const OF_ROWS: [u16; 20] =
    [6, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 131, 130, 321, 349, 376, 407, 469, 675, 691];
/// Errors of whoever writes, or of the table: who it is, what is allowed, what there is.
const OF_PLACE: [u16; 12] = [16, 60, 62, 81, 115, 164, 192, 193, 194, 291, 497, 516];
/// The table is not there.
const NO_TABLE: [u16; 2] = [60, 81];
/// How the server says that the table has lost a column.
const UNKNOWN_FIELD: &str = "Unknown field found";

/// How rows are inserted: what is not understood is an error and never passed over, and an answer comes when they are kept.
const INSERT_SETTINGS: [(&str, &str); 4] = [
    ("input_format_skip_unknown_fields", "0"),
    ("input_format_null_as_default", "0"),
    ("date_time_input_format", "best_effort"),
    ("async_insert", "0"),
];

/// A table that is reached.
pub(super) struct TableClient {
    pub(super) endpoint: WebEndpoint,
    pub(super) database: String,
    pub(super) table: String,
    pub(super) rows: ReplacingTable,
    pub(super) job: String,
}

#[derive(Debug, Deserialize)]
struct FoundTable {
    engine: String,
    engine_full: String,
    sorting_key: String,
}

impl TableClient {
    /// Whether the table is there and takes the rows; what was found, for a person.
    pub(super) async fn check(&self) -> Result<String, ConnectError> {
        let here = |table: &str| {
            format!("database = {} AND {table} = {}", literal(&self.database), literal(&self.table))
        };
        let about = format!(
            "SELECT engine, engine_full, sorting_key FROM system.tables WHERE {} FORMAT JSONEachRow",
            here("name")
        );
        let found: Vec<FoundTable> = self.ask(&about).await?;
        let Some(table) = found.first() else { return Err(self.missing()) };
        let columns =
            format!("SELECT name, type FROM system.columns WHERE {} FORMAT JSONEachRow", here("table"));
        let columns: Vec<FoundColumn> = self.ask(&columns).await?;
        let engine = || self.rows.engine_misfit(&table.engine, &table.engine_full, &table.sorting_key);
        match self.rows.misfit(&columns).or_else(engine) {
            Some(misfit) => {
                Err(self.error(&format!("{misfit}; `weir sink ddl {}` prints one that fits", self.job)))
            }
            None => Ok(format!(
                "table {}.{}, which takes all {} columns",
                self.database,
                self.table,
                self.rows.len()
            )),
        }
    }

    fn missing(&self) -> ConnectError {
        self.error(&format!(
            "is not there; make it with what `weir sink ddl {}` prints, or correct `table`",
            self.job
        ))
    }

    fn error(&self, message: &str) -> ConnectError {
        let text = format!("{}: table {}.{} {message}", self.endpoint.shown(), self.database, self.table);
        ConnectError::external(self.endpoint.masked(&text))
    }

    /// The lines of the answer to a question.
    async fn ask<T: DeserializeOwned>(&self, question: &str) -> Result<Vec<T>, ConnectError> {
        let content = "text/plain; charset=utf-8";
        let body = Bytes::copy_from_slice(question.as_bytes());
        let request = WebRequest { content, body, ..WebRequest::of(Method::POST) };
        let answer = match self.judge(self.endpoint.receive(request).await?).await {
            Ok(answer) => answer,
            Err(failure) => return Err(failure.whole(&self.endpoint)),
        };
        let lines = answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(|error| {
            let shown = self.endpoint.shown();
            ConnectError::external(format!(
                "{shown}: its answer is not one of ClickHouse ({error}); correct `url`"
            ))
        })
    }

    /// What an answer means: the server gives an error a number, which says more than the status.
    async fn judge(&self, answer: WebAnswer) -> Result<WebAnswer, WebFailure> {
        let code = answer.headers.get("x-clickhouse-exception-code");
        let code: Option<u16> = code.and_then(|code| code.to_str().ok()?.parse().ok());
        let whole = |error: ConnectError| Err(WebFailure::Whole(error));
        match code {
            Some(code) if NO_TABLE.contains(&code) => whole(self.missing()),
            Some(code) if OF_PLACE.contains(&code) => whole(
                self.error(&format!("does not take rows of this sink: {}", self.endpoint.reason(&answer))),
            ),
            Some(code) if OF_ROWS.contains(&code) => {
                let reason = self.endpoint.reason(&answer);
                if reason.contains(UNKNOWN_FIELD) {
                    return whole(self.error(&format!("has lost a column: {reason}")));
                }
                Err(WebFailure::Content(reason))
            }
            // Anything else that the server has a number for is about how it is.
            Some(_) if answer.status.is_client_error() => {
                let reason = self.endpoint.reason(&answer);
                whole(ConnectError::unavailable(format!("{}: {reason}", self.endpoint.shown())))
            }
            _ => {
                let answer = self.endpoint.unless_busy(answer).await.map_err(WebFailure::Whole)?;
                if answer.status.is_success() {
                    Ok(answer)
                } else {
                    Err(WebFailure::of(&self.endpoint, &answer))
                }
            }
        }
    }

    async fn insert(&self, lines: Bytes) -> Result<PartAnswer, ConnectError> {
        let name = |name: &str| format!("`{name}`");
        let statement =
            format!("INSERT INTO {}.{} FORMAT JSONEachRow", name(&self.database), name(&self.table));
        let token = format!("{:032x}", xxh3_128(&lines));
        let mut query = vec![("query", statement.as_str()), ("insert_deduplication_token", &token)];
        query.extend(INSERT_SETTINGS);
        let request = WebRequest {
            query: &query,
            content: "application/x-ndjson",
            body: lines,
            ..WebRequest::of(Method::POST)
        };
        match self.judge(self.endpoint.receive(request).await?).await {
            Ok(_) => Ok(PartAnswer::Taken),
            Err(WebFailure::Content(reason)) => Ok(PartAnswer::Rejected(reason)),
            Err(failure) => Err(failure.whole(&self.endpoint)),
        }
    }
}

/// A text as a statement has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[async_trait]
impl KeyedClient for TableClient {
    /// The table itself tells newer rows from older ones, so that none is stale.
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError> {
        let rows = EncodedItems::objects(items, |item, out| self.rows.push_row(item, out));
        by_halves(items.len(), |part| self.insert(rows.lines(part))).await
    }
}
