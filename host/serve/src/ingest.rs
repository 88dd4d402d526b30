//! `POST /v1/streams/{stream}/events`: rows that are durable before the sender is answered.
//!
//! Has the rows judged, appends the good ones to the stream's ingest log and says what became of all. Must not know
//! the log's files or what jobs make of rows.

use crate::accept::{Judge, Rejected};
use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, answer, blocking, read_body};
use crate::routes::Parameter;
use crate::{Served, StreamEntry};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use weir_connectors::http::{AppendError, Appended, IdempotencyKey, IngestLog};
use weir_engine::{Job, JobState};
use weir_event::suggestion::{instead_of, shown};
use weir_event::{EventTime, PartitionId, within};

/// The name of the header that lets a sender try again without sending twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How long `?wait=visible` waits: rows are in lookups within a second unless a job is far behind.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);
/// How often it looks.
const VISIBLE_POLL: Duration = Duration::from_millis(2);
/// Checking a larger body takes longer than an async thread may be held up, about a millisecond.
const CHECKED_INLINE_BYTES: usize = 64 << 10;

/// What became of the rows.
#[derive(Debug, Serialize)]
struct Outcome {
    accepted: usize,
    rejected: Vec<Rejected>,
    /// With `?wait=visible`, whether lookups see the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    visible: Option<bool>,
}

/// What may follow `?`.
pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter { name: "wait", does: "`visible`: answer when lookups see the events, at most 5 s later" }];

/// Accepts rows.
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let stream = stream(&app.served, &name)?;
    let log = log_of(&stream)?;
    let wait = wait_for_visible(query.as_deref())?;
    let key = idempotency_key(request.headers())?;
    let body = read_body(request, app.served.limits.body_bytes, &app.room, &*app.served.clock).await?;

    let key = key.map(|key| IdempotencyKey::new(key, &body)).transpose().map_err(AppendError::Failed);
    let key = key.map_err(not_appended)?;
    let (rows, rejected) = judge(body.clone(), &stream, app.served.clock.now()).await?;
    app.metrics.count_rows(&name, rows.len(), rejected.len());
    let appended = log.append(rows, key).await.map_err(not_appended)?;
    // Until here its rows were in memory.
    drop(body);
    let visible = if wait { Some(become_visible(&app.served, &name, &appended).await) } else { None };
    Ok(answer(StatusCode::OK, &Outcome { accepted: appended.count, rejected, visible }))
}

/// A declared stream, or 404.
pub(crate) fn stream(served: &Served, name: &str) -> Result<Arc<StreamEntry>, Problem> {
    served.streams.get(name).ok_or_else(|| {
        let known = served.streams.all();
        let known = instead_of(name, known.iter().map(|stream| stream.definition.name.as_str()));
        Problem::not_found(format!("stream `{}` not found; {known}", shown(name)))
    })
}

fn log_of(stream: &StreamEntry) -> Result<&Arc<IngestLog>, Problem> {
    stream.log.as_ref().ok_or_else(|| {
        let name = &stream.definition.name;
        let source = stream
            .definition
            .origin
            .as_ref()
            .map_or("no source of its own".to_owned(), |origin| format!("the source `{}`", origin.kind));
        let detail = format!(
            "stream `{name}` has {source}; events are posted to streams with `source: {{http: {{}}}}`"
        );
        Problem::new(Kind::Conflict, detail)
    })
}

fn wait_for_visible(query: Option<&str>) -> Result<bool, Problem> {
    let mut query = Query::parse(query)?;
    let wait = query.take("wait");
    query.finish(PARAMETERS)?;
    match wait.as_deref() {
        None => Ok(false),
        Some("visible") => Ok(true),
        Some(other) => Err(Problem::malformed(format!("`wait` is `visible`, not `{}`", shown(other)))),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = given.next().map(|key| key.to_str().map(str::to_owned));
    match (key.transpose(), given.next()) {
        (Ok(key), None) => Ok(key),
        _ => Err(Problem::malformed("`Idempotency-Key` is given once, in visible ASCII")),
    }
}

fn not_appended(error: AppendError) -> Problem {
    match error {
        AppendError::KeyReused => Problem::new(Kind::Invalid, error.to_string()),
        AppendError::Failed(error) => {
            Problem::of_fault(error.fault, error.retry, Kind::Malformed, error.message)
        }
    }
}

async fn judge(
    body: Bytes,
    stream: &StreamEntry,
    now: EventTime,
) -> Result<(Vec<Bytes>, Vec<Rejected>), Problem> {
    let (decoder, definition) = (stream.checker.clone(), stream.definition.clone());
    let is_large = body.len() > CHECKED_INLINE_BYTES;
    let judge = move || Judge { decoder: &*decoder, stream: &definition, now }.judge(&body);
    let judged = if is_large { blocking(judge).await? } else { judge() };
    judged.map_err(Problem::malformed)
}

/// Waits until every job that reads the stream's log shows the rows, as far as it will soon; false if that takes too long.
async fn become_visible(served: &Served, stream: &str, appended: &Appended) -> bool {
    if appended.count == 0 {
        return true;
    }
    let last = appended.first_offset + appended.count as u64 - 1;
    let visible = async {
        while !served.engine.jobs().iter().all(|job| shows(job, stream, last)) {
            served.clock.sleep(VISIBLE_POLL).await;
        }
    };
    within(&*served.clock, VISIBLE_WITHIN, visible).await.is_some()
}

/// Whether lookups of a job see the row at this offset of the stream's log, as far as they ever will.
fn shows(job: &Job, stream: &str, offset: u64) -> bool {
    let inputs = job.plan().inputs.iter().enumerate();
    let mut reading = inputs.filter(|(_, input)| input.stream.name == stream && input.origin.kind == "http");
    reading.all(|(source, _)| {
        let partition = PartitionId { source: source as u16, partition: 0 };
        job.is_visible(partition, offset) || shows_nothing_new(job)
    })
}

/// Whether lookups of a job see nothing that comes now: it has ended, or comes to the log when it has read the past.
fn shows_nothing_new(job: &Job) -> bool {
    let status = job.status();
    let has_ended = matches!(status.state, JobState::Failed(_) | JobState::Stopped | JobState::Finished);
    has_ended || status.bootstrap.is_some_and(|bootstrap| !bootstrap.is_done())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_waited_for_is_being_visible() {
        assert!(wait_for_visible(Some("wait=visible")).unwrap());
        assert!(!wait_for_visible(None).unwrap());
        for bad in ["wait=durable", "wait", "wiat=visible"] {
            assert!(wait_for_visible(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_idempotency_key_is_given_once() {
        let header = |values: &[&[u8]]| {
            let name = axum::http::HeaderName::from_static(IDEMPOTENCY_KEY);
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, axum::http::HeaderValue::from_bytes(value).unwrap());
            }
            idempotency_key(&headers)
        };
        assert_eq!(header(&[]).unwrap(), None);
        assert_eq!(header(&[b"k-1"]).unwrap().as_deref(), Some("k-1"));
        assert!(header(&[b"k-1", b"k-2"]).is_err());
        assert!(header(&[b"\xFF"]).is_err());
    }
}
