//! What every request passes: the token, the counters, the room for its answer, and the answers to what no route takes.

use crate::app::App;
use crate::auth;
use crate::problem::{Kind, Problem};
use crate::request::in_room;
use crate::routes::route_docs;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use weir_event::suggestion::{instead_of, shown};

/// Lets a request through that carries the token, and counts the answer.
pub(crate) async fn pass(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = app.served.clock.monotonic();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let token = app.served.token.as_deref();
    let response = match auth::check(token, request.uri().path(), request.headers()) {
        Ok(()) => answer(next.run(request)).await,
        Err(problem) => problem.into_response(),
    };
    let response = in_room(response, &app.room).await.unwrap_or_else(IntoResponse::into_response);
    let took = app.served.clock.monotonic().saturating_sub(started);
    app.metrics.count_request(route.as_ref().map(MatchedPath::as_str), response.status().as_u16(), took);
    response
}

/// A handler that panics answers its own request badly, and no other.
async fn answer(handler: impl Future<Output = Response>) -> Response {
    // What handlers share is behind locks that do not mind a panic of whoever held them.
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| {
        Problem::new(Kind::Internal, "this is a fault of weir's own; its log says where").into_response()
    })
}

pub(crate) async fn no_route(request: Request) -> Problem {
    let path = request.uri().path();
    // Several methods of a path are several routes.
    let known: BTreeSet<&str> = route_docs().map(|route| route.path).collect();
    let known = instead_of(path, known);
    Problem::not_found(format!("route `{}` not found; {known}", shown(path)))
}

pub(crate) async fn wrong_method(request: Request) -> Problem {
    let (method, path) = (shown(request.method().as_str()), shown(request.uri().path()));
    Problem::new(Kind::MethodNotAllowed, format!("`{path}` does not take {method}; see the header `Allow`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_known_route_is_named_once() {
        let request = Request::builder().uri("/nowhere/at/all").body(axum::body::Body::empty()).unwrap();
        let problem = no_route(request).await;
        let (_, known) = problem.detail().split_once("known: ").unwrap();
        let mut routes: Vec<&str> = known.split(", ").collect();
        let all = routes.len();
        routes.dedup();
        assert!(routes.len() == all && routes.contains(&"/v1/plugins"), "{routes:?}");
    }

    #[tokio::test]
    async fn a_panic_is_answered() {
        let panics = async { panic!("a fault that a test made") };
        assert_eq!(answer(panics).await.status(), 500);
        let answers = async { "here".into_response() };
        assert_eq!(answer(answers).await.status(), 200);
    }
}
