//! States as bytes, and back. Knows nothing of what they are the states of.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Turns states into bytes and back. A state that is written as a fresh one is, is written as no bytes instead.
pub(crate) struct Codec<F> {
    /// Makes the state of which nothing has happened.
    fresh: F,
    /// What that would be written as.
    start: Vec<u8>,
}

impl<S: Serialize + DeserializeOwned, F: Fn() -> S> Codec<F> {
    pub(crate) fn new(fresh: F) -> Result<Self, String> {
        let start = to_bytes(&fresh())?;
        Ok(Codec { fresh, start })
    }

    pub(crate) fn decode(&self, state: &[u8]) -> Result<S, String> {
        if state.is_empty() {
            return Ok((self.fresh)());
        }
        postcard::from_bytes(state).map_err(|error| format!("a state cannot be read: {error}"))
    }

    pub(crate) fn encode(&self, state: &S) -> Result<Vec<u8>, String> {
        let bytes = to_bytes(state)?;
        Ok(if bytes == self.start { Vec::new() } else { bytes })
    }
}

fn to_bytes<S: Serialize>(state: &S) -> Result<Vec<u8>, String> {
    postcard::to_allocvec(state).map_err(|error| format!("a state cannot be written: {error}"))
}
