//! Documents put into an index.
//!
//! Where all rows of a key are kept one request does; where the newest is, documents are read before, and one that was
//! changed in between is read again. Must not know how a request is sent.

use super::Keep;
use super::bulk::{ActionOutcome, BulkAnswer, Condition, id_fault, id_of, push_action, push_own};
use super::mapping::IndexMapping;
use crate::upsert::{EncodedItems, Item, KeyedClient, Outcome};
use crate::web::{WebEndpoint, WebFailure, WebRequest};
use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_connect::{ConnectError, Op};

/// So often is read again what another writer changed in between; more often than not once is enough.
const ROUNDS: usize = 5;

/// An index that is reached.
pub(super) struct IndexClient {
    pub(super) endpoint: WebEndpoint,
    pub(super) index: String,
    pub(super) keep: Keep,
    pub(super) job: String,
}

/// The documents that were read.
#[derive(Debug, Deserialize)]
struct ReadAnswer {
    docs: Vec<ReadDocument>,
}

/// A document as far as it matters here, or why it was not read.
#[derive(Debug, Deserialize)]
struct ReadDocument {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_seq_no")]
    seq_no: Option<i64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<i64>,
    #[serde(rename = "_source", default)]
    source: ReadFence,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct ReadFence {
    #[serde(rename = "_fence")]
    fence: Option<String>,
}

/// What is to be done about a document, from what was read of it.
enum DocumentStep {
    Done(Outcome),
    Send(Condition),
}

impl ReadDocument {
    fn step(&self, item: &Item) -> Result<DocumentStep, String> {
        if let Some(error) = &self.error {
            return Err(error["reason"].as_str().map_or_else(|| error.to_string(), str::to_owned));
        }
        if !self.found {
            let is_gone = item.op() == Op::Delete;
            return Ok(if is_gone {
                DocumentStep::Done(Outcome::Written)
            } else {
                DocumentStep::Send(Condition::Absent)
            });
        }
        let fence = item.fence.text();
        Ok(match (&self.source.fence, self.seq_no, self.primary_term) {
            (Some(found), ..) if *found > fence => DocumentStep::Done(Outcome::Stale),
            // Its own, of which no answer came.
            (Some(found), ..) if *found == fence && item.op() == Op::Upsert => {
                DocumentStep::Done(Outcome::Written)
            }
            (_, Some(seq_no), Some(primary_term)) => {
                DocumentStep::Send(Condition::Unchanged { seq_no, primary_term })
            }
            _ => return Err("a document was read without its sequence number".to_owned()),
        })
    }
}

impl IndexClient {
    /// Whether the index is there and takes the documents; what was found, for a person.
    pub(super) async fn check(&self, mapping: Option<&IndexMapping>) -> Result<String, ConnectError> {
        let request = WebRequest { path: &[&self.index, "_mapping"], ..WebRequest::of(Method::GET) };
        let found: BTreeMap<String, Value> = self.ask(request).await?;
        for (name, index) in &found {
            let misfit =
                mapping.and_then(|mapping| mapping.misfit(index.get("mappings").unwrap_or(&Value::Null)));
            if let Some(misfit) = misfit {
                let help = format!("`weir sink ddl {}` prints a mapping that fits", self.job);
                return Err(self.error(&format!("`{name}` {misfit}; {help}")));
            }
        }
        let fields = mapping.map(|mapping| format!(", which takes all {} fields", mapping.len()));
        Ok(format!("index `{}`{}", self.index, fields.unwrap_or_default()))
    }

    fn error(&self, message: &str) -> ConnectError {
        let masked = self.endpoint.masked(message);
        ConnectError::external(format!("{}: index {masked}", self.endpoint.shown()))
    }

    async fn ask<T: DeserializeOwned>(&self, request: WebRequest<'_>) -> Result<T, ConnectError> {
        let answer = match self.endpoint.ask(request).await {
            Ok(answer) => answer,
            Err(WebFailure::Missing(_)) => {
                let help =
                    format!("make it with what `weir sink ddl {}` prints, or correct `index`", self.job);
                return Err(self.error(&format!("`{}` is not there; {help}", self.index)));
            }
            Err(WebFailure::Content(reason)) if reason.starts_with("413") => {
                return Err(self.error(&format!("`{}`: {reason}; lower `batch.bytes`", self.index)));
            }
            Err(failure) => return Err(failure.whole(&self.endpoint)),
        };
        serde_json::from_slice(&answer.body).map_err(|error| {
            let shown = self.endpoint.shown();
            ConnectError::external(format!(
                "{shown}: its answer is not one of OpenSearch ({error}); correct `url`"
            ))
        })
    }

    /// Does actions, and says what became of each.
    async fn bulk(&self, body: Vec<u8>, count: usize) -> Result<Vec<ActionOutcome>, ConnectError> {
        let answer: BulkAnswer = self
            .ask(WebRequest {
                path: &[&self.index, "_bulk"],
                query: &[("filter_path", "items.*.status,items.*.error")],
                content: "application/x-ndjson",
                body: body.into(),
                ..WebRequest::of(Method::POST)
            })
            .await?;
        let outcomes = answer.items.iter().flat_map(BTreeMap::values).map(|action| match action.outcome() {
            ActionOutcome::Whole(reason) => Err(self.error(&format!("`{}`: {reason}", self.index))),
            outcome => Ok(outcome),
        });
        let outcomes: Vec<ActionOutcome> = outcomes.collect::<Result<_, _>>()?;
        if outcomes.len() != count {
            let found = outcomes.len();
            return Err(self.error(&format!("`{}`: {count} actions were answered by {found}", self.index)));
        }
        Ok(outcomes)
    }

    async fn read(&self, ids: &[&String]) -> Result<Vec<ReadDocument>, ConnectError> {
        let request = WebRequest {
            path: &[&self.index, "_mget"],
            query: &[("_source_includes", "_fence")],
            content: "application/json",
            body: json!({"ids": ids}).to_string().into(),
            ..WebRequest::of(Method::POST)
        };
        let answer: ReadAnswer = self.ask(request).await?;
        if answer.docs.len() == ids.len() {
            return Ok(answer.docs);
        }
        let (asked, found) = (ids.len(), answer.docs.len());
        Err(self.error(&format!("`{}`: {asked} documents were asked for and {found} answered", self.index)))
    }

    /// Each document's version tells the index which is newer.
    async fn put_all(&self, work: &mut Work<'_>) -> Result<(), ConnectError> {
        let open = work.open();
        let mut body = Vec::new();
        for at in &open {
            work.push(*at, Condition::Version(work.items[*at].fence.revision), &mut body);
        }
        if open.is_empty() {
            return Ok(());
        }
        for (at, outcome) in open.iter().zip(self.bulk(body, open.len()).await?) {
            work.outcomes[*at] = Some(match outcome {
                ActionOutcome::Conflict => Outcome::Stale,
                other => settled(other),
            });
        }
        Ok(())
    }

    /// Reads, and replaces what is older than the items, as long as it is what was read.
    async fn put_newest(&self, work: &mut Work<'_>) -> Result<(), ConnectError> {
        for _ in 0..ROUNDS {
            let open = work.open();
            if open.is_empty() {
                return Ok(());
            }
            let ids: Vec<&String> = open.iter().map(|at| &work.ids[*at]).collect();
            let (mut body, mut sent) = (Vec::new(), Vec::new());
            for (at, document) in open.iter().zip(self.read(&ids).await?) {
                let step = document.step(&work.items[*at]);
                match step.map_err(|reason| self.error(&format!("`{}`: {reason}", self.index)))? {
                    DocumentStep::Done(outcome) => work.outcomes[*at] = Some(outcome),
                    DocumentStep::Send(condition) => {
                        work.push(*at, condition, &mut body);
                        sent.push(*at);
                    }
                }
            }
            if sent.is_empty() {
                continue;
            }
            for (at, outcome) in sent.iter().zip(self.bulk(body, sent.len()).await?) {
                work.outcomes[*at] = match outcome {
                    ActionOutcome::Conflict => None,
                    other => Some(settled(other)),
                };
            }
        }
        Ok(())
    }
}

/// What became of an action whose condition held.
fn settled(outcome: ActionOutcome) -> Outcome {
    match outcome {
        ActionOutcome::Done | ActionOutcome::Conflict => Outcome::Written,
        ActionOutcome::Later(reason) => Outcome::Later(reason),
        ActionOutcome::Refused(reason) | ActionOutcome::Whole(reason) => Outcome::Refused(reason),
    }
}

/// A batch on its way.
struct Work<'i> {
    items: &'i [Item],
    documents: EncodedItems,
    ids: Vec<String>,
    outcomes: Vec<Option<Outcome>>,
}

impl Work<'_> {
    /// Items of which is not known yet what becomes of them.
    fn open(&self) -> Vec<usize> {
        (0..self.items.len()).filter(|at| self.outcomes[*at].is_none()).collect()
    }

    fn push(&self, at: usize, condition: Condition, body: &mut Vec<u8>) {
        push_action(&self.items[at], &self.ids[at], condition, self.documents.object(at), body);
    }
}

#[async_trait]
impl KeyedClient for IndexClient {
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError> {
        let ids: Vec<String> = items.iter().map(id_of).collect();
        let documents = EncodedItems::json(items, false, |item, out| push_own(item, self.keep, out))?;
        let outcomes = ids.iter().map(|id| id_fault(id)).collect();
        let mut work = Work { items, documents, ids, outcomes };
        match self.keep {
            Keep::All => self.put_all(&mut work).await?,
            Keep::Newest => self.put_newest(&mut work).await?,
        }
        let changing = || Outcome::Later("another writer changes the document all the time".to_owned());
        Ok(work.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(changing)).collect())
    }
}
