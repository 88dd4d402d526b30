//! Which rows of a batch the other side refuses, where it refuses a batch as a whole: found by halves.
//!
//! Must not know how anything is sent.

use crate::upsert::Outcome;
use std::ops::Range;
use weir_connect::ConnectError;

/// What the other side says of a part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PartAnswer {
    /// It took all of it.
    Taken,
    /// It took nothing of it, for this reason.
    Rejected(String),
}

/// Sends a batch of so many rows; one that is rejected is sent again in halves until the rows are found that are why. All
/// others are sent in their order.
pub(crate) async fn by_halves<F, Sent>(count: usize, send: F) -> Result<Vec<Outcome>, ConnectError>
where
    F: Fn(Range<usize>) -> Sent,
    Sent: Future<Output = Result<PartAnswer, ConnectError>>,
{
    let mut outcomes = vec![Outcome::Written; count];
    let whole = 0..count;
    let mut parts = Vec::from([whole]);
    while let Some(part) = parts.pop() {
        match send(part.clone()).await? {
            PartAnswer::Taken => {}
            PartAnswer::Rejected(reason) if part.len() <= 1 => {
                outcomes[part].fill(Outcome::Refused(reason));
            }
            PartAnswer::Rejected(_) => {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
    }
    Ok(outcomes)
}
