//! What an object store's errors mean: whose fault they are, and whether trying again may help.
//!
//! What a store answers can repeat the request with its credentials, so none of its text is shown: only its code, and
//! what a disk or a line said.

use object_store::Error;
use std::error::Error as _;
use std::fmt;
use weir_connect::ConnectError;

/// What was being done where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doing<'a> {
    pub(crate) what: &'a str,
    pub(crate) place: &'a str,
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} `{}`", self.what, self.place)
    }
}

/// The address that clients ask for the credentials of the machine that they run on.
const MACHINE_CREDENTIALS: &str = "169.254.169.254";

/// Puts an object store's error into words.
pub(crate) fn failed(error: &Error, doing: &Doing) -> ConnectError {
    let whole = format!("{error} {}", causes(error).join(" "));
    let code = code(&whole);
    if let Some(said) = code.as_deref().and_then(|code| by_code(code, doing)) {
        return said;
    }
    if whole.contains(MACHINE_CREDENTIALS) || whole.contains("metadata.google.internal") {
        return ConnectError::unavailable(format!(
            "{doing}: there are no credentials: neither in the environment, such as AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, nor in `options`, and this machine has no role"
        ));
    }
    if whole.contains("URL scheme is not allowed") {
        return ConnectError::user(format!(
            "{doing}: its endpoint is plain http; set ALLOW_HTTP=true in the environment if that is meant"
        ));
    }
    let coded = code.map(|code| format!(" ({code})")).unwrap_or_default();
    match error {
        Error::NotFound { .. } => ConnectError::external(format!("{doing}: it is not there{coded}")),
        Error::PermissionDenied { .. } => no_permission(doing, &coded),
        Error::Unauthenticated { .. } => wrong_credentials(doing, &coded),
        Error::AlreadyExists { .. } | Error::Precondition { .. } => {
            ConnectError::external(format!("{doing}: another one is there already{coded}"))
        }
        Error::NotSupported { .. } | Error::NotImplemented { .. } => ConnectError::external(format!(
            "{doing}: the store does not do what is asked of it{coded}; weir needs conditional writes \
             (`If-None-Match`) and uploads in parts"
        )),
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => {
            ConnectError::user(format!("{doing}: {error}"))
        }
        _ => ConnectError::unavailable(format!("{doing}: {}{coded}", last_cause(error))),
    }
}

fn by_code(code: &str, doing: &Doing) -> Option<ConnectError> {
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" => ConnectError::external(format!(
            "{doing}: the bucket does not exist ({code}); make it, or correct the `path`"
        )),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthenticationFailed"
        | "InvalidToken"
        | "ExpiredToken"
        | "AuthorizationHeaderMalformed"
        | "InvalidSecurity" => wrong_credentials(doing, &format!(" ({code})")),
        "AccessDenied" | "AllAccessDisabled" | "AuthorizationPermissionMismatch" | "AuthorizationFailure" => {
            no_permission(doing, &format!(" ({code})"))
        }
        "RequestTimeTooSkewed" | "RequestExpired" => ConnectError::unavailable(format!(
            "{doing}: this machine's clock and the store's differ too much ({code}); set the clock"
        )),
        "SlowDown"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "Throttling" => {
            ConnectError::unavailable(format!("{doing}: the store asks for fewer requests ({code})"))
        }
        _ => return None,
    })
}

fn wrong_credentials(doing: &Doing, coded: &str) -> ConnectError {
    ConnectError::external(format!(
        "{doing}: the store does not accept the credentials{coded}; correct them in the environment or in `options`"
    ))
}

fn no_permission(doing: &Doing, coded: &str) -> ConnectError {
    ConnectError::external(format!("{doing}: the credentials do not permit it{coded}; grant it to them"))
}

/// The code in a store's answer, which is XML.
fn code(text: &str) -> Option<String> {
    let (_, behind) = text.split_once("<Code>")?;
    let (code, _) = behind.split_once("</Code>")?;
    let is_code = code.len() <= 64 && code.chars().all(|letter| letter.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes
}

/// What was wrong in the first place, if it is not an answer of the store's.
fn last_cause(error: &Error) -> String {
    let last = causes(error).pop().unwrap_or_default();
    // An answer has a status, and behind it whatever the store wrote.
    match last.split_once("status code: ") {
        Some((_, behind)) => {
            let status = behind.split(':').next().unwrap_or_default();
            format!("the store answers {status}")
        }
        None if last.contains("http") || last.contains('<') => "the store does not answer".to_owned(),
        None => last,
    }
}
