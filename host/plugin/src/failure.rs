//! A guest call that gave no result, and why. Knows what wasmtime's errors mean; must not know what the caller
//! does about them (bisect, refuse a row, stop).

use wasmtime::{PoolConcurrencyLimitError, Trap};

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The call burnt its whole budget; fewer rows may fit.
    Fuel,
    /// It asked for more memory than it may have; fewer rows may fit.
    Memory,
    /// It gave more, or otherwise, than its description promises.
    Output,
    /// It trapped.
    Trap,
    /// It answered with an error of its own, or its arguments cannot be handed over.
    Refused,
    /// The host had no place for an instance.
    Host,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The kind.
    pub(crate) cause: Cause,
    /// What to tell a person; lower case, no full stop.
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Failure { cause, reason: reason.into() }
    }

    /// The guest's own error: its words, on one line and not too long.
    pub(crate) fn refused(message: &str) -> Self {
        Failure::new(Cause::Refused, one_line(message))
    }

    /// What wasmtime reported. `refused_memory` is what the limiter last turned down, if it did, with the limit.
    pub(crate) fn from_runtime(
        error: &wasmtime::Error,
        fuel_budget: u64,
        refused_memory: Option<(u64, u64)>,
    ) -> Self {
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Failure::new(Cause::Host, format!("no place is left for a plugin instance: {error:#}"));
        }
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::OutOfFuel) {
            return Failure::new(
                Cause::Fuel,
                format!(
                    "used up its budget of {fuel_budget} units of fuel; it may loop for ever, or need more \
                     (`fuel_per_call` of the plugin in weir.yaml)"
                ),
            );
        }
        if let Some((asked_bytes, limit_bytes)) = refused_memory {
            return Failure::new(
                Cause::Memory,
                format!(
                    "asked for {asked_bytes} bytes of memory, of which it may have {limit_bytes} (`memory` of the plugin in \
                     weir.yaml)"
                ),
            );
        }
        match trap {
            Some(trap) => {
                let text = trap.to_string();
                let hint = if *trap == Trap::UnreachableCodeReached { UNREACHABLE } else { "" };
                let text = text.trim_start_matches("wasm trap: ");
                Failure::new(Cause::Trap, format!("trapped: {text}{hint}"))
            }
            None => Failure::new(Cause::Output, one_line(&format!("{:#}", error.root_cause()))),
        }
    }

    /// Whether the guest did something that it must not do, as opposed to answering with an error.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        !matches!(self.cause, Cause::Refused | Cause::Host)
    }
}

/// What this trap comes from, which no guest says in words.
const UNREACHABLE: &str =
    " (it panicked, or asked for a clock, randomness, a file or a late import, of which a plugin has none)";

/// The longest message of a guest that is passed on, in characters: enough to tell what is wrong, too little to
/// fill a log.
const MAX_MESSAGE_CHARS: usize = 400;

/// A guest's text made safe for a log line or an error: no control characters, cut when long.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String =
        text.chars().take(MAX_MESSAGE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_MESSAGE_CHARS).is_some() {
        line.push('…');
    }
    line
}
