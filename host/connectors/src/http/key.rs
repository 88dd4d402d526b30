//! Idempotency keys: by which a sender says that a batch is one that it may have sent before.
//!
//! A key stands for one body. Used again with another, it is refused rather than answered with what became of the
//! first: those rows would be lost without a word.

use weir_connect::ConnectError;
use xxhash_rust::xxh3::xxh3_64;

/// The longest idempotency key: as long as a header of that kind ever is.
pub const MAX_KEY_BYTES: usize = 255;

/// A key and what tells its body from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub(super) text: String,
    /// A hash of the body; `None` for a key that a log of the first format holds, which has no hashes.
    pub(super) body: Option<u64>,
}

impl IdempotencyKey {
    /// The key of a body, as it was sent.
    ///
    /// # Errors
    /// A key that is empty or too long.
    pub fn new(text: String, body: &[u8]) -> Result<IdempotencyKey, ConnectError> {
        if text.is_empty() || text.len() > MAX_KEY_BYTES {
            return Err(ConnectError::user(format!(
                "an idempotency key has 1 to {MAX_KEY_BYTES} bytes, not {}",
                text.len()
            )));
        }
        Ok(IdempotencyKey { text, body: Some(xxh3_64(body)) })
    }

    /// Whether a key of the same text was, as far as is known, sent with the same body.
    pub(super) fn is_of_body(&self, body: Option<u64>) -> bool {
        match (self.body, body) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        }
    }
}
