//! Training sets over HTTP: ordered with a spine, asked for, fetched and removed.
//!
//! Knows what an order looks like as a request. Must not know how a training set is made, or where it is kept.

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, answer, blocking};
use crate::routes::Parameter;
use crate::spool::{Spooled, drain, spool};
use crate::training::{
    FeaturesRefused, TableFormat, TrainingOrder, TrainingPlace, TrainingRefused, TrainingRule, TrainingState,
    TrainingStatus,
};
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use serde_json::json;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use weir_event::Span;
use weir_event::suggestion::{instead_of, shown};

/// A result is read in pieces of so much, of which one is written while the next is read.
const PIECE_BYTES: usize = 64 << 10;

/// What may follow `?` of an order.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "features",
        does: "what to ask for: JOB:FEATURE, or JOB for all of its features, with commas between",
    },
    Parameter {
        name: "as_of",
        does: "`known` (the default): events count that were known by then; `event`: all that happened by then",
    },
    Parameter {
        name: "serving_delay",
        does: "how long after it was known an event is in lookups, such as 200ms",
    },
    Parameter { name: "time", does: "the spine's column of the moment, if it is not `event_time`" },
    Parameter { name: "status", does: "`true`: beside each feature a column of its status" },
    Parameter {
        name: "with_log",
        does: "`true`: of streams with an archive, what their logs have behind it is read too",
    },
    Parameter { name: "format", does: "what to make: `parquet` (the default), `csv` or `jsonl`" },
    Parameter {
        name: "spine_format",
        does: "what the body is, likewise, in place of what its content type or its first bytes say",
    },
];

/// `POST /v1/train`: keeps the spine and has the training set made in its turn.
pub(crate) async fn order(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let declared = declared_format(request.headers());
    let taken = match read_order(query.as_deref()) {
        Ok(order) => reserve(&app, &order.0.features).await.map(|place| (order, place)),
        Err(problem) => Err(problem),
    };
    let ((mut order, given), place) = match taken {
        Ok(taken) => taken,
        Err(problem) => {
            drain(request, &*app.served.clock).await;
            return Err(problem);
        }
    };
    let limit = ("limits.train_body", app.served.limits.train_body_bytes);
    let spine = spool(request, place.spine(), limit, &*app.served.clock).await?;
    order.spine_format = match given.or(declared) {
        Some(format) => format,
        None => format_by_start(&spine)?,
    };
    if spine.bytes == 0 {
        return Err(Problem::malformed(
            "the body is empty; send the spine in it: rows with the columns of the jobs' keys and `event_time`",
        ));
    }
    let status = blocking(move || place.start(order)).await?.map_err(refused)?;
    let mut response = answer(StatusCode::ACCEPTED, &status);
    // Its letters and digits stand in any header.
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/train/{}", status.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// A place for features that there are.
async fn reserve(app: &App, features: &[String]) -> Result<Box<dyn TrainingPlace>, Problem> {
    let (training, features) = (app.served.training.clone(), features.to_vec());
    let reserved = blocking(move || training.judge(&features).map(|()| training.reserve())).await?;
    let reserved = reserved.map_err(|refused| match refused {
        FeaturesRefused::Unknown(message) => Problem::not_found(format!("`features`: {message}")),
        FeaturesRefused::Unusable(message) => Problem::malformed(format!("`features`: {message}")),
    })?;
    reserved.map_err(refused)
}

/// The order as far as parameters say it, and the format of the spine where they do.
fn read_order(query: Option<&str>) -> Result<(TrainingOrder, Option<TableFormat>), Problem> {
    let mut query = Query::parse(query)?;
    let features = query.take("features").unwrap_or_default();
    let features: Vec<String> =
        features.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let as_of = match query.take("as_of").as_deref() {
        None | Some("known") => TrainingRule::Known,
        Some("event") => TrainingRule::Event,
        Some(other) => {
            return Err(Problem::malformed(format!("`as_of` is known or event, not `{}`", shown(other))));
        }
    };
    let delay = query.take("serving_delay").map(|delay| read_delay(&delay)).transpose()?;
    let time = query.take("time").map_or_else(|| "event_time".to_owned(), String::from);
    let status = query.take_flag("status", false)?;
    let with_log = query.take_flag("with_log", false)?;
    let mut take_format = |name: &str| query.take(name).map(|format| named_format(name, &format)).transpose();
    let (format, spine_format) = (take_format("format")?, take_format("spine_format")?);
    query.finish(PARAMETERS)?;
    if features.is_empty() {
        return Err(Problem::malformed(
            "the parameter `features` is missing; post to /v1/train?features=JOB or /v1/train?features=JOB:FEATURE,JOB",
        ));
    }
    if as_of == TrainingRule::Event && delay.is_some_and(|delay| delay != Span::ZERO) {
        return Err(Problem::malformed(
            "`serving_delay` is about when events were known, which `as_of=event` does not look at; leave one out",
        ));
    }
    let order = TrainingOrder {
        features,
        as_of,
        serving_delay: delay.unwrap_or(Span::ZERO).to_string(),
        time,
        status,
        with_log,
        spine_format: TableFormat::Csv,
        format: format.unwrap_or(TableFormat::Parquet),
    };
    Ok((order, spine_format))
}

fn read_delay(text: &str) -> Result<Span, Problem> {
    let wrong = |_| {
        Problem::malformed(format!(
            "`serving_delay` is a duration such as 200ms or 2s, not `{}`",
            shown(text)
        ))
    };
    text.parse().map_err(wrong)
}

fn named_format(parameter: &str, text: &str) -> Result<TableFormat, Problem> {
    TableFormat::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
        Problem::malformed(format!("`{parameter}` is parquet, csv or jsonl, not `{}`", shown(text)))
    })
}

/// What the sender says that the spine is. Types that programs give to any body, and wrong ones, say nothing.
fn declared_format(headers: &HeaderMap) -> Option<TableFormat> {
    const OTHER_NAMES: [(&str, TableFormat); 5] = [
        ("application/csv", TableFormat::Csv),
        ("application/jsonl", TableFormat::Jsonl),
        ("application/x-jsonlines", TableFormat::Jsonl),
        ("application/ndjson", TableFormat::Jsonl),
        ("application/x-parquet", TableFormat::Parquet),
    ];
    let given = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let given = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let usual = TableFormat::ALL.into_iter().find(|format| format.content_type() == given);
    usual.or_else(|| OTHER_NAMES.iter().find(|(name, _)| *name == given).map(|(_, format)| *format))
}

/// What the spine is by its first bytes.
fn format_by_start(spine: &Spooled) -> Result<TableFormat, Problem> {
    let text = spine.start.trim_ascii_start();
    if spine.start.starts_with(b"PAR1") {
        return Ok(TableFormat::Parquet);
    }
    match text.first() {
        Some(b'{') => Ok(TableFormat::Jsonl),
        Some(b'[') => Err(Problem::malformed("the spine is a JSON array; send one JSON object a line")),
        Some(b'\x1f') => Err(Problem::malformed("the spine is compressed; send it as it is, or as Parquet")),
        _ => Ok(TableFormat::Csv),
    }
}

fn refused(refused: TrainingRefused) -> Problem {
    Problem::later(refused.message, refused.retry_after_seconds)
}

/// `GET /v1/train`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let training = app.served.training.clone();
    let mut all = blocking(move || training.list()).await?;
    // Each of them says it by itself.
    all.iter_mut().for_each(|status| status.made_of = None);
    Ok(answer(StatusCode::OK, &json!({ "training_sets": all })))
}

/// `GET /v1/train/{id}`.
pub(crate) async fn one(State(app): State<Arc<App>>, Name(id): Name) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, &find(&app, id).await?))
}

/// `GET /v1/train/{id}/result`: the file, a piece at a time.
pub(crate) async fn result(State(app): State<Arc<App>>, Name(id): Name) -> Result<Response, Problem> {
    let status = find(&app, id).await?;
    refuse_unless_done(&status)?;
    let (training, id) = (app.served.training.clone(), status.id.clone());
    let path = blocking(move || training.result(&id)).await?;
    let gone = || Problem::not_found(format!("training set `{}` was removed; post it again", status.id));
    let file = File::open(path.ok_or_else(gone)?).await.map_err(|_| gone())?;
    let read = |error| Problem::new(Kind::Internal, format!("the training set cannot be read: {error}"));
    let bytes = file.metadata().await.map_err(read)?.len();
    let mut held = app.room.hold();
    held.grow_to(2 * PIECE_BYTES)?;
    let pieces = futures_util::stream::try_unfold((file, held), |(mut file, held)| async move {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let is_more = file.read_buf(&mut piece).await? > 0;
        Ok::<_, std::io::Error>(is_more.then(|| (Bytes::from(piece), (file, held))))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let format = status.order.format;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    let name = format!("attachment; filename=\"{}.{}\"", status.id, format.name());
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn refuse_unless_done(status: &TrainingStatus) -> Result<(), Problem> {
    let id = &status.id;
    let detail = match status.state {
        TrainingState::Done => return Ok(()),
        TrainingState::Failed => {
            let reason = status.reason.as_deref().unwrap_or_default();
            format!("training set `{id}` has failed: {reason}")
        }
        TrainingState::Waiting => {
            format!("training set `{id}` waits for its turn; ask GET /v1/train/{id} until it is `done`")
        }
        TrainingState::Running => {
            format!("training set `{id}` is being made; ask GET /v1/train/{id} until it is `done`")
        }
    };
    Err(Problem::new(Kind::Conflict, detail))
}

/// `DELETE /v1/train/{id}`.
pub(crate) async fn remove(State(app): State<Arc<App>>, Name(id): Name) -> Result<Response, Problem> {
    let (training, of) = (app.served.training.clone(), id.clone());
    if blocking(move || training.remove(&of)).await? {
        return Ok(answer(StatusCode::OK, &json!({ "id": id, "removed": true })));
    }
    Err(not_found(&app, id).await)
}

async fn find(app: &App, id: String) -> Result<TrainingStatus, Problem> {
    let (training, of) = (app.served.training.clone(), id.clone());
    match blocking(move || training.one(&of)).await? {
        Some(status) => Ok(status),
        None => Err(not_found(app, id).await),
    }
}

async fn not_found(app: &App, id: String) -> Problem {
    let training = app.served.training.clone();
    let all = match blocking(move || training.list()).await {
        Ok(all) => all,
        Err(problem) => return problem,
    };
    let known = instead_of(&id, all.iter().map(|status| status.id.as_str()));
    Problem::not_found(format!("training set `{}` not found; {known}", shown(&id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_from_parameters() {
        let (order, spine) = read_order(Some("features=a:x,+b&status=true&format=csv")).unwrap();
        assert_eq!(
            (order.features, order.status, order.format),
            (vec!["a:x".into(), "b".into()], true, TableFormat::Csv)
        );
        assert_eq!((order.as_of, order.time.as_str(), spine), (TrainingRule::Known, "event_time", None));
        for (bad, said) in [
            ("", "features=JOB"),
            ("features=,", "features=JOB"),
            ("features=a&as_of=now", "`as_of` is known or event"),
            ("features=a&serving_delay=soon", "such as 200ms"),
            ("features=a&as_of=event&serving_delay=1s", "leave one out"),
            ("features=a&format=xlsx", "`format` is parquet, csv or jsonl"),
            ("features=a&spine_format=json", "`spine_format` is parquet, csv or jsonl"),
            ("features=a&status=yes", "`status` is true or false"),
            ("features=a&feature=b", "did you mean `features`?"),
        ] {
            let problem = read_order(Some(bad)).unwrap_err();
            assert!(problem.detail().contains(said), "{bad}: {}", problem.detail());
        }
    }

    #[test]
    fn a_spine_is_what_it_is_called_or_looks_like() {
        let declared = |text: &'static str| {
            declared_format(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]))
        };
        assert_eq!(declared("Text/CSV; charset=utf-8"), Some(TableFormat::Csv));
        assert_eq!(declared("application/x-ndjson"), Some(TableFormat::Jsonl));
        assert_eq!(declared("application/vnd.apache.parquet"), Some(TableFormat::Parquet));
        assert_eq!(declared("application/x-www-form-urlencoded"), None);
        let looks = |start: &[u8]| format_by_start(&Spooled { bytes: 1, start: start.to_vec() });
        assert_eq!(looks(b"PAR1.."), Ok(TableFormat::Parquet));
        assert_eq!(looks(b" {\"a\": 1}"), Ok(TableFormat::Jsonl));
        assert_eq!(looks(b"user_id,event_time\n"), Ok(TableFormat::Csv));
        assert!(looks(b"[{}]").unwrap_err().detail().contains("one JSON object a line"));
        assert!(looks(b"\x1f\x8b").unwrap_err().detail().contains("compressed"));
    }
}
