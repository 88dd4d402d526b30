//! The table of routes: what is served, and what the reference says of it.
//!
//! Adding a route is adding a row. Must not know what any handler does.

use crate::app::App;
use crate::{dead_letters, features, health, ingest, jobs, keys, lookup, lookups, metrics, plugins, train};
use axum::Router;
use axum::routing::{MethodRouter, delete, get, post};
use std::sync::Arc;

/// What follows `?` in a target: one name and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does, and what belongs there.
    pub does: &'static str,
}

/// What is said of a route.
#[derive(Debug, Clone, Copy)]
pub struct RouteDoc {
    /// GET, POST, ..
    pub method: &'static str,
    /// The path, with `{name}` for what differs.
    pub path: &'static str,
    /// Everything that may follow `?`, except an entity's columns and the fields of a request.
    pub parameters: &'static [Parameter],
    /// What it is for.
    pub does: &'static str,
}

/// A row of the table.
struct Route {
    doc: RouteDoc,
    handler: fn() -> MethodRouter<Arc<App>>,
}

const fn route(
    method: &'static str,
    path: &'static str,
    parameters: &'static [Parameter],
    does: &'static str,
    handler: fn() -> MethodRouter<Arc<App>>,
) -> Route {
    Route { doc: RouteDoc { method, path, parameters, does }, handler }
}

const ROUTES: &[Route] = &[
    route(
        "POST",
        "/v1/streams/{stream}/events",
        ingest::PARAMETERS,
        "posts events: a JSON object, an array, or one object a line; answered when they are durable",
        || post(ingest::events),
    ),
    route(
        "GET",
        "/v1/jobs/{job}/values",
        lookup::PARAMETERS,
        "the features of one entity, as ?user_id=u1, and the fields of the request that they are derived of, as &amount=45",
        || get(lookup::values),
    ),
    route(
        "POST",
        "/v1/lookup",
        lookups::PARAMETERS,
        "features of several jobs for many entities, up to 10,000 of either; each may carry an `as_of` and a `request` with fields \
         that go before those of the whole request's",
        || post(lookups::lookup),
    ),
    route(
        "GET",
        "/v1/jobs/{job}/keys",
        keys::PARAMETERS,
        "the entities that a job has state of, a page at a time",
        || get(keys::list),
    ),
    route("GET", "/v1/streams", &[], "the streams", || get(jobs::streams)),
    route("GET", "/v1/jobs", &[], "the jobs and their state", || get(jobs::list)),
    route(
        "GET",
        "/v1/jobs/{job}",
        &[],
        "one job: state and reason, watermark, lag, counts, newest checkpoint, positions; each sink's state, reason and rows that wait",
        || get(jobs::one),
    ),
    route(
        "POST",
        "/v1/jobs/{job}/restart",
        jobs::RESTART_PARAMETERS,
        "one job anew, from its definition as it is now and its last commit",
        || post(jobs::restart),
    ),
    route(
        "POST",
        "/v1/jobs/{job}/sinks/{sink}/resume",
        &[],
        "a suspended sink goes on: it gets the rows that wait for it, then new ones",
        || post(jobs::resume_sink),
    ),
    route(
        "GET",
        "/v1/features",
        features::PARAMETERS,
        "the features of all jobs: type, version, owner, description, entity, streams, how fresh they are, and what plugins take for \
         a million events",
        || get(features::list),
    ),
    route("GET", "/v1/features/{job}/{feature}", &[], "one feature", || get(features::one)),
    route("GET", "/v1/plugins", &[], "the plugins and their versions", || get(plugins::list)),
    route(
        "POST",
        "/v1/plugins",
        plugins::PARAMETERS,
        "uploads a component as a plugin's next version",
        || post(plugins::push),
    ),
    route("GET", "/v1/plugins/{name}", &[], "one plugin", || get(plugins::one)),
    route(
        "GET",
        "/v1/plugins/{name}/logs",
        plugins::LOG_PARAMETERS,
        "what a plugin has logged last, up to 1,000 lines since the server started",
        || get(plugins::logs),
    ),
    route("DELETE", "/v1/plugins/{name}", &[], "deletes a plugin that no job calls", || {
        delete(plugins::remove)
    }),
    route(
        "POST",
        "/v1/plugins/{name}/activate",
        &[],
        "makes a version the one that queries see, running jobs too: {\"version\": 2}; not one without a function that such a job calls",
        || post(plugins::activate),
    ),
    route(
        "POST",
        "/v1/plugins/{name}/rollback",
        &[],
        "goes back to the version that was active before",
        || post(plugins::rollback),
    ),
    route(
        "GET",
        "/v1/deadletters/{stream}",
        dead_letters::PARAMETERS,
        "events set aside, with reason, jobs and position; results that failed, with reason, key and window",
        || get(dead_letters::list),
    ),
    route(
        "POST",
        "/v1/train",
        train::PARAMETERS,
        "a training set, as `weir train` makes it, of the spine in the body (CSV, one JSON object a line, or Parquet); answered \
         with 202 and where to ask for it, when the spine is there; what was not done when the server ended goes on with the next",
        || post(train::order),
    ),
    route(
        "GET",
        "/v1/train",
        &[],
        "the training sets that wait, are made, are done or have failed; the last two for a day",
        || get(train::list),
    ),
    route(
        "GET",
        "/v1/train/{id}",
        &[],
        "one training set: state and reason, progress, warnings, counts, what its values are made of",
        || get(train::one),
    ),
    route("GET", "/v1/train/{id}/result", &[], "its file, once it is done", || get(train::result)),
    route("DELETE", "/v1/train/{id}", &[], "stops it, and removes what there is of it", || {
        delete(train::remove)
    }),
    route("GET", "/metrics", &[], "counts and gauges for Prometheus", || get(metrics::page)),
    route("GET", "/healthz", &[], "200 while the server answers; needs no token", || get(health::healthz)),
    route(
        "GET",
        "/readyz",
        &[],
        "200 when every job that runs has applied what was durable at its start, else (or when none runs) 503 with reasons; needs no token",
        || get(health::readyz),
    ),
];

/// Every route and what it is for.
pub fn route_docs() -> impl Iterator<Item = &'static RouteDoc> {
    ROUTES.iter().map(|route| &route.doc)
}

/// The routes, with their handlers.
pub(crate) fn router() -> Router<Arc<App>> {
    ROUTES.iter().fold(Router::new(), |router, route| router.route(route.doc.path, (route.handler)()))
}
