//! Every error of the HTTP interface, as RFC 9457 has them.
//!
//! Knows status codes and how a problem looks. Must not know what any route does.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use weir_event::{EventTime, Fault};

/// What sort of problem it is: its type, title and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request cannot be understood, or asks for what cannot be.
    Malformed,
    /// The bearer token is missing or wrong.
    Unauthorized,
    /// It comes from a page of somebody else's.
    Foreign,
    /// The route, job, feature, stream or plugin was not found.
    NotFound,
    /// The route does not take this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    TooSlow,
    /// The thing is of a sort that does not take this request.
    Conflict,
    /// The body is larger than its limit, or more is asked for than one request may.
    TooLarge,
    /// The body is compressed in a way that is not understood.
    Encoding,
    /// The definition or the plugin is refused.
    Invalid,
    /// weir is at fault.
    Internal,
    /// Part of the contract that this version does not have.
    NotYet,
    /// Try again in a moment.
    Unavailable,
    /// A job has failed.
    Failed,
}

impl Kind {
    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::Malformed => (StatusCode::BAD_REQUEST, "malformed", "the request cannot be used"),
            Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "a bearer token is required"),
            Kind::Foreign => (StatusCode::FORBIDDEN, "foreign", "the request comes from elsewhere"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "not found"),
            Kind::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the route does not take this method")
            }
            Kind::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow", "the body did not arrive in time"),
            Kind::Conflict => (StatusCode::CONFLICT, "conflict", "it does not take this request"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the request is too large"),
            Kind::Encoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", "the body's encoding is not understood")
            }
            Kind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "it is refused"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "weir failed"),
            Kind::NotYet => (StatusCode::NOT_IMPLEMENTED, "not-yet", "weir does not have this yet"),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not now"),
            Kind::Failed => (StatusCode::SERVICE_UNAVAILABLE, "job-failed", "the job has failed"),
        }
    }
}

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<Value>,
    /// After how long it is worth to ask again, where it is.
    retry_after_seconds: Option<u32>,
}

impl Problem {
    /// A problem of this kind; `detail` says what is wrong here and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        // A second is enough for a commit, a queue or a restart of a job to have moved on.
        let retry_after_seconds = (kind == Kind::Unavailable).then_some(1);
        Problem { kind, detail: detail.into(), errors: Vec::new(), retry_after_seconds }
    }

    /// Worth to ask again after so long.
    pub(crate) fn later(detail: impl Into<String>, seconds: u32) -> Self {
        Problem { retry_after_seconds: Some(seconds), ..Problem::new(Kind::Unavailable, detail) }
    }

    /// A job that has failed, and is tried again by itself at `next_try`, if ever.
    pub(crate) fn job_failed(job: &str, reason: &str, next_try: Option<EventTime>, now: EventTime) -> Self {
        let detail = format!("job `{job}` has failed: {reason}");
        let seconds =
            |next: EventTime| u32::try_from(next.since(now).millis().max(0) / 1000 + 1).unwrap_or(1);
        Problem { retry_after_seconds: next_try.map(seconds), ..Problem::new(Kind::Failed, detail) }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Problem::new(Kind::Malformed, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(Kind::NotFound, detail)
    }

    /// What the contract has and this version does not; `instead` is what to do meanwhile.
    pub(crate) fn not_yet(what: &str, instead: &str) -> Self {
        Problem::new(Kind::NotYet, format!("weir 0.1 does not have {what} yet; {instead}"))
    }

    /// Several problems of one kind as one: the only one itself, or all of them as `errors`.
    pub(crate) fn of_all(problems: Vec<Problem>) -> Self {
        let kind = problems.first().map_or(Kind::Internal, |problem| problem.kind);
        let retry_after_seconds = problems.iter().filter_map(|problem| problem.retry_after_seconds).min();
        let reasons: Vec<String> = problems.into_iter().map(|problem| problem.detail).collect();
        let together = Problem::of_reasons(kind, "none of the jobs can answer", &reasons);
        Problem { retry_after_seconds, ..together }
    }

    /// A problem of what another part of weir said, by whose fault it is.
    pub(crate) fn of_fault(fault: Fault, retry: bool, of_user: Kind, detail: impl Into<String>) -> Self {
        let kind = match fault {
            Fault::User => of_user,
            _ if retry => Kind::Unavailable,
            Fault::External | Fault::Weir => Kind::Internal,
        };
        Problem::new(kind, detail)
    }

    /// With every single error.
    pub(crate) fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.errors = errors;
        self
    }

    /// One problem for these reasons: the only one itself, or all of them as `errors`.
    pub(crate) fn of_reasons(kind: Kind, summary: &str, reasons: &[String]) -> Self {
        if let [reason] = reasons {
            return Problem::new(kind, reason);
        }
        let errors = reasons.iter().map(|reason| json!({ "detail": reason })).collect();
        Problem::new(kind, format!("{summary}: {} errors", reasons.len())).with_errors(errors)
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    fn body(&self) -> Vec<u8> {
        let (status, slug, title) = self.kind.words();
        let mut members = Map::new();
        members.insert("type".to_owned(), format!("urn:weir:problem:{slug}").into());
        members.insert("title".to_owned(), title.into());
        members.insert("status".to_owned(), status.as_u16().into());
        members.insert("detail".to_owned(), self.detail.as_str().into());
        if !self.errors.is_empty() {
            members.insert("errors".to_owned(), self.errors.clone().into());
        }
        Value::Object(members).to_string().into_bytes()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let (status, ..) = self.kind.words();
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_standard() {
        let problem = Problem::of_reasons(Kind::Invalid, "plugin", &["one".to_owned(), "two".to_owned()]);
        let body: Value = serde_json::from_slice(&problem.body()).unwrap();
        assert_eq!(
            body,
            json!({
                "type": "urn:weir:problem:invalid", "title": "it is refused", "status": 422,
                "detail": "plugin: 2 errors", "errors": [{"detail": "one"}, {"detail": "two"}]
            })
        );
        let response = Problem::new(Kind::Unavailable, "busy").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(
            Problem::new(Kind::Unauthorized, "").into_response().headers().contains_key(WWW_AUTHENTICATE)
        );
    }

    #[test]
    fn a_failed_job_is_named_once_and_says_when_it_is_worth_to_ask_again() {
        let at = EventTime::from_millis;
        let again = Problem::job_failed("rides", "topic missing", Some(at(7500)), at(5000));
        assert_eq!(again.detail(), "job `rides` has failed: topic missing");
        let both = Problem::of_all(vec![again.clone(), Problem::job_failed("a", "gone", None, at(5000))]);
        for (problem, after) in
            [(again, Some("3")), (Problem::job_failed("a", "gone", None, at(0)), None), (both, Some("3"))]
        {
            let response = problem.into_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()), after);
        }
    }
}
