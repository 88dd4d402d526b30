//! `POST /v1/lookup`: features of several jobs for many entities.
//!
//! Knows how it is asked for, and that what takes long is done off the async threads. Must not know how a value is computed.

use crate::app::App;
use crate::asked_jobs::{asked_jobs, take_request};
use crate::asks::Asks;
use crate::batch::{Batch, json_time};
use crate::lookup::META;
use crate::pool::Budget;
use crate::problem::Problem;
use crate::query::Query;
use crate::request::{json_response, read_body};
use crate::room::Held;
use crate::routes::Parameter;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;

/// A body of so many bytes is read in some 100 us.
const READ_INLINE_BYTES: usize = 32 << 10;

/// What may follow `?`.
pub(crate) const PARAMETERS: &[Parameter] = &[META];

/// Many entities, features of several jobs.
pub(crate) async fn lookup(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::parse(request.uri().query())?;
    let with_meta = query.take_flag("meta", true)?;
    query.finish(PARAMETERS)?;
    let body = read_body(request, app.served.limits.body_bytes, &app.room, &*app.served.clock).await?;
    let (body, asks, read) = read_asks(&app, body).await?;
    let (mut jobs, refused) = asked_jobs(&app, &asks.features, with_meta)?;
    if let Some(request) = &asks.request {
        take_request(&mut jobs, request, refused.is_empty())?;
    }
    let as_of = asks.as_of.as_ref().map(json_time).transpose().map_err(Problem::malformed)?.flatten();
    // Where some jobs can answer they do, and the features of the others say why they do not.
    let failures = jobs.iter().filter_map(|asked| asked.one.failure());
    let failures: Vec<Problem> =
        failures.chain(refused.iter().map(|refused| &refused.problem)).cloned().collect();
    if failures.len() == jobs.len() + refused.len() {
        return Err(Problem::of_all(failures));
    }
    let batch = Batch::new(jobs, refused, as_of, !with_meta);
    let held = app.room.hold();
    let answer = if batch.is_short(asks.entities.len()) {
        batch.answer(&asks.entities, with_meta, held, || Ok(()))?
    } else {
        let work = move |budget: &Budget| {
            let answer = batch.answer(&asks.entities, with_meta, held, || budget.check());
            drop((body, read));
            answer
        };
        app.pool.run(work).await?
    };
    Ok(json_response(answer))
}

/// What a body asks for, with the room that it takes beside the body; of a large one it is read off the async threads.
async fn read_asks(app: &App, body: Bytes) -> Result<(Bytes, Asks, Held), Problem> {
    let mut held = app.room.hold();
    if body.len() <= READ_INLINE_BYTES {
        let asks = Asks::read(&body)?;
        return Ok((body, asks, held));
    }
    held.grow_to(Asks::most_bytes(&body))?;
    app.pool.run(move |_| Asks::read(&body).map(|asks| (body, asks, held))).await
}
