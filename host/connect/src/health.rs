//! What a reader says of the way to its source, beside what it reads.
//!
//! Knows no source and no engine; it is said in one thread and read in another.

use std::sync::{Arc, Mutex, PoisonError};

/// Whether a source can be reached. A reader whose client connects again by itself says here what it waits for,
/// since there is no error to return: reading goes on where it was. Clones say the same.
///
/// ```
/// let health = weir_connect::Health::default();
/// let seen_elsewhere = health.clone();
/// health.waits_for("a broker at kafka:9092".to_owned());
/// assert_eq!(seen_elsewhere.trouble().as_deref(), Some("a broker at kafka:9092"));
/// health.recovered();
/// assert_eq!(seen_elsewhere.trouble(), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    /// The source cannot be reached for this reason, and is tried again.
    pub fn waits_for(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// The source is reached again.
    pub fn recovered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why the source cannot be reached; `None` while it can.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
