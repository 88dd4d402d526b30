//! Routes of the contract that this version does not have: known, and refused by name.

use crate::app::App;
use crate::problem::{Kind, Problem};
use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, on};
use std::sync::Arc;

/// Every one of them, with the methods that the contract gives it.
const ROUTES: &[(&str, &[MethodFilter])] = &[
    ("/get-online-features", &[MethodFilter::POST]),
    ("/openapi.json", &[MethodFilter::GET]),
    ("/v1/streams/{stream}", &[MethodFilter::GET, MethodFilter::PUT, MethodFilter::DELETE]),
    ("/v1/jobs/{job}/definition", &[MethodFilter::GET, MethodFilter::PUT, MethodFilter::DELETE]),
    ("/v1/jobs/{job}/pause", &[MethodFilter::POST]),
    ("/v1/jobs/{job}/resume", &[MethodFilter::POST]),
    ("/v1/jobs/{job}/savepoint", &[MethodFilter::POST]),
];

/// Adds them to the others.
pub(crate) fn add(router: Router<Arc<App>>) -> Router<Arc<App>> {
    ROUTES.iter().fold(router, |router, (path, methods)| {
        methods.iter().fold(router, |router, method| router.route(path, on(*method, refuse)))
    })
}

async fn refuse(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(Kind::NotYet, format!("weir 0.1 does not have `{method} {path}` yet"))
}
