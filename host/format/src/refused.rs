//! Schemas by whose numbers no record can be decoded, and those that the registry does not have yet.
//!
//! A number stands in front of a record, so anybody who writes one can name any: one whose schema is not there or cannot be
//! read must neither stop whoever reads nor hold it for ever. (One that can be read and does not fit stops it: see whoever
//! plans.) A schema of another language or that cannot be read is refused at once, and so are its records. A
//! number that the registry does not have may still come, since a log and a registry are copied each at its own pace: it is
//! waited for, then refused too, and asked for again now and then. Whoever names ever other numbers does not gain more time by it:
//! after one was waited for in vain, others are refused at once for ten times as long.
//!
//! Knows numbers, reasons and time. Must not know any schema's language.

use crate::registry::{Registered, SchemaAnswer, SchemaRegistry};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weir_connect::settings::Settings;
use weir_connect::{ConnectError, KeyDoc};
use weir_event::{Clock, Span};

/// A number that was refused as it was not there is asked for again so much later, if a record still names it.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// So many times as long as a number is waited for no other one is, once that was in vain.
const WITHOUT_WAIT: u32 = 10;

/// So many numbers are asked for at the same time: a block may name thousands that nobody registered.
const ASKED_AT_ONCE: usize = 16;

/// So many refused numbers are remembered: of more the oldest is asked for again.
const REFUSED_KEPT: usize = 1 << 14;

/// How long a number is waited for.
pub(crate) const WAIT: KeyDoc = KeyDoc::new(
    "schema_wait",
    "duration",
    "1m",
    "of a stream: so long a number that the registry does not have is waited for, before records that carry it are dead \
     letters",
);

const DEFAULT_WAIT: Span = Span::from_millis(60_000);

/// Reads [`WAIT`], which is for streams that ask a registry.
pub(crate) fn schema_wait(settings: &mut Settings<'_>, has_registry: bool) -> Span {
    let wait: Option<Span> = settings.parsed(WAIT.name);
    if wait.is_some() && !has_registry {
        settings.error(WAIT.name, "`registry` is missing; give its address, or leave this out");
    }
    wait.unwrap_or(DEFAULT_WAIT)
}

/// Why a schema cannot be used.
#[derive(Debug)]
pub(crate) enum SchemaFault {
    /// It is of another language, or cannot be read: it will stay so, since a number means the same schema for ever.
    Broken(String),
    /// The registry does not have it, or one that it names.
    Absent(String),
    /// The registry could not be asked.
    Unanswered(ConnectError),
}

impl From<ConnectError> for SchemaFault {
    fn from(error: ConnectError) -> SchemaFault {
        SchemaFault::Unanswered(error)
    }
}

impl SchemaFault {
    /// As what is wrong with a schema that a definition names.
    pub(crate) fn of_definition(self) -> ConnectError {
        match self {
            SchemaFault::Broken(why) => {
                ConnectError::external(format!("{why}; register one that can be read, or correct `subject`"))
            }
            SchemaFault::Absent(why) => ConnectError::unavailable(format!("{why}; register it")),
            SchemaFault::Unanswered(error) => error,
        }
    }
}

/// What is known of numbers whose schemas cannot be used.
#[derive(Debug)]
pub(crate) struct RefusedNumbers {
    clock: Arc<dyn Clock>,
    wait: Duration,
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    refused: HashMap<u32, Refused>,
    /// The refused ones, oldest first.
    order: VecDeque<u32>,
    /// Those that are waited for, and since when.
    awaited: HashMap<u32, Duration>,
    /// When one was last waited for in vain.
    in_vain: Option<Duration>,
    /// No refused number is asked for before.
    quiet_until: Duration,
}

#[derive(Debug)]
struct Refused {
    why: String,
    /// When to ask for it again; never where it will stay so.
    ask_again: Option<Duration>,
}

impl RefusedNumbers {
    /// None yet; a number that the registry does not have is waited for so long.
    pub(crate) fn new(clock: Arc<dyn Clock>, wait: Span) -> RefusedNumbers {
        let wait = Duration::from_millis(wait.millis().unsigned_abs());
        RefusedNumbers { clock, wait, state: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why records of this number are refused, if they are.
    pub(crate) fn why(&self, number: u32) -> Option<String> {
        self.known().refused.get(&number).map(|refused| refused.why.clone())
    }

    /// Whether to ask the registry for a number whose schema is not at hand.
    pub(crate) fn is_to_be_asked(&self, number: u32) -> bool {
        let (known, now) = (self.known(), self.clock.monotonic());
        known.refused.get(&number).is_none_or(|refused| {
            refused.ask_again.is_some_and(|again| again <= now) && known.quiet_until <= now
        })
    }

    /// Asks for the schemas of these numbers. Gives those that there are, and what is waited for if that is anything; the
    /// error is that the registry cannot be asked.
    pub(crate) async fn ask(
        &self,
        registry: &dyn SchemaRegistry,
        numbers: BTreeSet<u32>,
    ) -> Result<(Vec<Registered>, Option<ConnectError>), ConnectError> {
        let (mut found, mut awaited) = (Vec::new(), None);
        // Those that hold nobody up come last.
        let (refused, unknown): (Vec<u32>, Vec<u32>) = {
            let known = self.known();
            numbers.into_iter().partition(|number| known.refused.contains_key(number))
        };
        let asked = unknown.into_iter().chain(refused);
        let asked = asked.map(|number| async move { (number, registry.by_id(number).await) });
        let mut answers = stream::iter(asked).buffered(ASKED_AT_ONCE);
        while let Some((number, answer)) = answers.next().await {
            match answer {
                Ok(SchemaAnswer::Found(schema)) => found.push(schema),
                Ok(SchemaAnswer::Absent(why)) => {
                    awaited = awaited.or(self.judge(number, SchemaFault::Absent(why))?);
                }
                Err(error) => {
                    self.judge(number, SchemaFault::Unanswered(error))?;
                    break;
                }
            }
        }
        Ok((found, awaited))
    }

    /// Takes in what is wrong with the schema of a number. Gives what is waited for, if it is; the error is that the registry
    /// cannot be asked about one that was not refused before, which stays as it was.
    pub(crate) fn judge(
        &self,
        number: u32,
        fault: SchemaFault,
    ) -> Result<Option<ConnectError>, ConnectError> {
        let now = self.clock.monotonic();
        let mut known = self.known();
        let (why, ask_again) = match fault {
            SchemaFault::Unanswered(error) if error.retry && known.refused.contains_key(&number) => {
                known.quiet_until = now + ASK_AGAIN;
                return Ok(None);
            }
            SchemaFault::Unanswered(error) => return Err(error),
            SchemaFault::Broken(why) => (why, None),
            SchemaFault::Absent(why) => {
                let since = *known.awaited.entry(number).or_insert(now);
                let is_refused = known.refused.contains_key(&number);
                let waits = !is_refused && !known.is_impatient(since, now, self.wait);
                if waits && now < since + self.wait {
                    return Ok(Some(ConnectError::unavailable(format!(
                        "{why}; it is waited for up to {}, then its records are dead letters: register it, or correct \
                         `registry`",
                        in_words(self.wait)
                    ))));
                }
                if waits {
                    known.in_vain = Some(now);
                }
                (why, Some(now + ASK_AGAIN))
            }
        };
        known.refuse(number, Refused { why, ask_again });
        Ok(None)
    }

    /// The schema of a number is at hand.
    pub(crate) fn found(&self, number: u32) {
        let mut known = self.known();
        known.awaited.remove(&number);
        known.refused.remove(&number);
    }
}

impl Known {
    /// Whether a number that is waited for since then is not to be, as another one was in vain.
    fn is_impatient(&self, since: Duration, now: Duration, wait: Duration) -> bool {
        self.in_vain.is_some_and(|in_vain| since >= in_vain && now < in_vain + wait * WITHOUT_WAIT)
    }

    fn refuse(&mut self, number: u32, refused: Refused) {
        self.awaited.remove(&number);
        if self.refused.insert(number, refused).is_some() {
            return;
        }
        self.order.push_back(number);
        if self.order.len() > REFUSED_KEPT {
            self.order.pop_front().map(|oldest| self.refused.remove(&oldest));
        }
    }
}

fn in_words(wait: Duration) -> Span {
    Span::from_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
