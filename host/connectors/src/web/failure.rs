//! What an answer that is not of success means to a sink.
//!
//! Must not know any store: each says itself which of its answers are about rows.

use super::endpoint::{WebAnswer, WebEndpoint};
use reqwest::StatusCode;
use weir_connect::ConnectError;

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WebFailure {
    /// It is about whoever sends or the address: no row is taken while that is so.
    Whole(ConnectError),
    /// It may be about what was sent, for this reason.
    Content(String),
    /// What is asked for is not there.
    Missing(String),
}

impl WebFailure {
    /// Of an answer that is neither of success nor of a busy server.
    pub(crate) fn of(endpoint: &WebEndpoint, answer: &WebAnswer) -> WebFailure {
        let reason = endpoint.reason(answer);
        let whole = |help: &str| {
            WebFailure::Whole(ConnectError::external(format!("{}: {reason}; {help}", endpoint.shown())))
        };
        match answer.status {
            StatusCode::UNAUTHORIZED => {
                whole("it does not accept who writes: correct `user` and `password`, or `headers`")
            }
            StatusCode::FORBIDDEN => {
                whole("whoever writes there lacks the right to: grant it, or correct `user` or `headers`")
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => whole("a proxy on the way asks for credentials"),
            StatusCode::NOT_FOUND | StatusCode::GONE => WebFailure::Missing(reason),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                whole("that address does not take this: correct `url`")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => whole("that address takes another format"),
            status if status.is_redirection() => whole("it is elsewhere: give that address as `url`"),
            status if status.is_client_error() => WebFailure::Content(reason),
            _ => whole("is that the right address?"),
        }
    }

    /// The same where nothing but the whole can be wrong.
    pub(crate) fn whole(self, endpoint: &WebEndpoint) -> ConnectError {
        match self {
            WebFailure::Whole(error) => error,
            WebFailure::Content(reason) => ConnectError::external(format!("{}: {reason}", endpoint.shown())),
            WebFailure::Missing(reason) => {
                ConnectError::external(format!("{}: {reason}; correct `url`", endpoint.shown()))
            }
        }
    }
}
