//! What went wrong between weir and a service of AWS, by name: each kind with what to do about it.

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use weir_connect::ConnectError;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// More is asked than was paid for; to be asked again, later.
    Throttled,
    /// What is asked for is not there.
    Missing,
    /// Who asks may not do this.
    Denied,
    /// Who asks is not known, or nobody is.
    Credentials,
    /// The clocks of both sides differ by minutes.
    ClockSkew,
    /// The service cannot be reached, or did not answer in time: it may have done what it was asked.
    Unreachable,
    /// The service failed; it may have done what it was asked.
    Faulty,
    /// What is asked for is refused for what it is.
    Refused,
}

/// A failure of one call.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) trouble: Trouble,
    /// Its name at AWS; empty where there was no answer.
    pub(crate) code: String,
    /// What the service says, or why there was no answer.
    pub(crate) message: String,
}

impl Failure {
    /// What a client's error means.
    pub(crate) fn of<E>(error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let service = match error {
            SdkError::ServiceError(service) => service,
            other => return Failure::without_answer(other),
        };
        let code = service.err().code().unwrap_or_default().to_owned();
        let message = service.err().message().unwrap_or("without a reason").to_owned();
        let status = service.raw().status().as_u16();
        Failure { trouble: meaning(&code, &message, status), code, message }
    }

    /// What an error means that came in the middle of an answer.
    pub(crate) fn of_event(error: &impl ProvideErrorMetadata) -> Failure {
        let code = error.code().unwrap_or_default().to_owned();
        let message = error.message().unwrap_or("without a reason").to_owned();
        Failure { trouble: meaning(&code, &message, 0), code, message }
    }

    fn without_answer<E: Error + 'static>(error: &SdkError<E>) -> Failure {
        let mut reasons = Vec::new();
        let mut next: Option<&dyn Error> = Some(error);
        while let Some(reason) = next {
            reasons.push(reason.to_string());
            next = reason.source();
        }
        let said = reasons.join(": ").to_lowercase();
        let is_about_credentials = said.contains("credential") || said.contains("identity");
        let trouble = if is_about_credentials { Trouble::Credentials } else { Trouble::Unreachable };
        let is_late = matches!(error, SdkError::TimeoutError(_)) || said.contains("timed out");
        let last = reasons.pop().unwrap_or_default();
        let message = if is_late { "no answer in time".to_owned() } else { last };
        Failure { trouble, code: String::new(), message }
    }

    /// The error to hand on; `what` names the thing and what was tried, such as ``kinesis stream `x`: cannot list its
    /// shards``.
    pub(crate) fn into_error(self, what: &str) -> ConnectError {
        let Failure { trouble, code, message } = self;
        let named = if code.is_empty() { message } else { format!("{code}: {message}") };
        match trouble {
            Trouble::Throttled => ConnectError::unavailable(format!("{what}: throttled ({named})")),
            Trouble::Unreachable => ConnectError::unavailable(format!("{what}: cannot be reached: {named}")),
            Trouble::Faulty => ConnectError::unavailable(format!("{what}: the service failed ({named})")),
            Trouble::Missing => ConnectError::external(format!(
                "{what}: does not exist ({named}); create it, or correct its name"
            )),
            Trouble::Denied => ConnectError::external(format!(
                "{what}: not allowed ({named}); give the role or user of these credentials the permission"
            )),
            Trouble::Credentials => ConnectError::external(format!(
                "{what}: the credentials are missing, wrong or have expired ({named}); set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role for this machine"
            )),
            Trouble::ClockSkew => ConnectError::external(format!(
                "{what}: this machine's clock is more than five minutes off that of AWS ({named}); set it right"
            )),
            Trouble::Refused => ConnectError::external(format!("{what}: refused ({named})")),
        }
    }
}

/// What a service's answer means.
fn meaning(code: &str, message: &str, status: u16) -> Trouble {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "KMSThrottlingException"
        | "TransactionInProgressException"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException"
        | "ResourceInUseException" => Trouble::Throttled,
        "ResourceNotFoundException" | "TableNotFoundException" => Trouble::Missing,
        "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Trouble::ClockSkew,
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure" if is_about_time(message) => {
            Trouble::ClockSkew
        }
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken" => Trouble::Credentials,
        "AccessDeniedException" | "AccessDenied" | "KMSAccessDeniedException" | "OptInRequired" => {
            Trouble::Denied
        }
        "InternalFailureException" | "InternalFailure" | "InternalServerError" => Trouble::Faulty,
        _ if status == 429 => Trouble::Throttled,
        // A process that was killed holds its subscription for some seconds; not every server gives this a code.
        _ if message.contains("active subscription") => Trouble::Throttled,
        _ if status >= 500 => Trouble::Faulty,
        _ => Trouble::Refused,
    }
}

fn is_about_time(message: &str) -> bool {
    ["expired", "not yet current", "earlier than", "later than"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_name() {
        let cases = [
            ("ProvisionedThroughputExceededException", "", 400, Trouble::Throttled),
            ("", "slow down", 429, Trouble::Throttled),
            ("ResourceNotFoundException", "", 400, Trouble::Missing),
            ("AccessDeniedException", "", 400, Trouble::Denied),
            ("UnrecognizedClientException", "", 400, Trouble::Credentials),
            ("InvalidSignatureException", "Signature expired: 20260101T000000Z", 403, Trouble::ClockSkew),
            ("InvalidSignatureException", "Signature not yet current: ..", 403, Trouble::ClockSkew),
            ("InvalidSignatureException", "The request signature does not match", 403, Trouble::Credentials),
            ("InternalFailure", "", 500, Trouble::Faulty),
            ("ValidationException", "", 400, Trouble::Refused),
        ];
        for (code, message, status, expected) in cases {
            assert_eq!(meaning(code, message, status), expected, "{code} {message}");
        }
    }

    #[test]
    fn an_error_says_whether_to_retry_and_what_to_do() {
        let error = |trouble| {
            let failure = Failure { trouble, code: "Code".to_owned(), message: "because".to_owned() };
            failure.into_error("kinesis stream `x`: cannot list its shards")
        };
        for trouble in [Trouble::Throttled, Trouble::Unreachable, Trouble::Faulty] {
            assert!(error(trouble).retry, "{trouble:?}");
        }
        for (trouble, words) in [
            (Trouble::Missing, "create it"),
            (Trouble::Denied, "permission"),
            (Trouble::Credentials, "AWS_ACCESS_KEY_ID"),
            (Trouble::ClockSkew, "clock"),
            (Trouble::Refused, "Code: because"),
        ] {
            let error = error(trouble);
            assert!(!error.retry && error.message.contains(words), "{error}");
        }
    }
}
