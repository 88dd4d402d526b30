//! `GET /v1/deadletters/{stream}`: events that could not be used, and results that could not be computed.

use crate::app::App;
use crate::ingest::stream;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, answer, blocking};
use crate::routes::Parameter;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_engine::Subject;
use weir_engine::dead_letters::Listed;

/// Enough to see what is going on.
const DEFAULT_LIMIT: usize = 100;
/// At about 1 KiB each an answer stays within 10 MiB.
const MAX_LIMIT: usize = 10_000;

/// What may follow `?`.
pub(crate) const PARAMETERS: &[Parameter] =
    &[Parameter { name: "limit", does: "at most so many, the newest; 100 unless said, up to 10,000" }];

/// The newest letters of a stream, oldest first.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    stream(&app.served, &name)?;
    let limit = limit(query.as_deref())?;
    let (letters, of_stream) = (app.served.engine.dead_letters().clone(), name.clone());
    let listed = blocking(move || letters.list(&of_stream, limit)).await?.map_err(|error| {
        Problem::new(Kind::Internal, format!("cannot read the dead letters of stream `{name}`: {error}"))
    })?;
    let listed: Vec<Value> = listed.into_iter().map(shown).collect();
    Ok(answer(StatusCode::OK, &json!({ "stream": name, "dead_letters": listed })))
}

fn shown(letter: Listed) -> Value {
    let mut shown = json!({"reason": letter.reason, "jobs": letter.jobs});
    match letter.subject {
        Subject::Event { partition, offset, place, payload } => {
            shown["position"] = json!({"partition": partition.partition, "offset": offset});
            if let Some(place) = place {
                shown["place"] = json!(place);
            }
            shown["payload"] = json!(payload);
        }
        Subject::Unread { partition, before } => {
            shown["position"] = json!({"partition": partition.partition, "before": before});
        }
        Subject::Result { result } => {
            if let Some(event) = result.event {
                shown["position"] = json!({"partition": event.partition.partition, "offset": event.offset});
            }
            shown["result"] = json!({"key": result.key, "window": result.window, "columns": result.columns});
        }
    }
    shown
}

fn limit(query: Option<&str>) -> Result<usize, Problem> {
    let mut query = Query::parse(query)?;
    let limit = query.take_limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    query.finish(PARAMETERS)?;
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_within_bounds() {
        assert_eq!(limit(None).unwrap(), DEFAULT_LIMIT);
        assert_eq!(limit(Some("limit=7")).unwrap(), 7);
        for bad in ["limit=0", "limit=-1", "limit=x", "limit=10001", "limt=7"] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
    }
}
