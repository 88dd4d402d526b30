//! Random numbers by which things are told apart that nobody else names.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that no two callers get, as good as surely; not for secrets.
///
/// ```
/// assert_ne!(weir_event::random_id(), weir_event::random_id());
/// ```
pub fn random_id() -> u64 {
    // Its keys come from the system's source of randomness, and differ from call to call.
    RandomState::new().build_hasher().finish()
}
