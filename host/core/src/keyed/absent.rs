//! Which results sinks do not have, as far as is known.
//!
//! A result of which HAVING is not true any more takes away what was written of it. Most of which it is not true were never
//! written: to take them away at each of their changes would cost sinks a delete for nearly every event, and in a store that
//! keeps a row per key, the row of an older window. What is known is in memory alone and bounded: where it is lost, as in a
//! restart, a result that is corrected is taken away once more. Knows no sink.

use hashbrown::HashSet;

/// So many are known; where they become more, all are forgotten.
const MOST_KNOWN: usize = 1 << 20;

/// Results that sinks do not have, by the hash of their key and window.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    known: HashSet<u64>,
}

impl Absent {
    /// Whether sinks do not have it.
    pub(crate) fn has(&self, result: u64) -> bool {
        self.known.contains(&result)
    }

    /// It is taken away, or was never written.
    pub(crate) fn note(&mut self, result: u64) {
        if self.known.len() == MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(result);
    }

    /// It is written.
    pub(crate) fn is_written(&mut self, result: u64) {
        self.known.remove(&result);
    }
}
