//! The idempotency keys of the last day and what was answered to them.
//!
//! Keeps hashes and not keys, and no more than a bound, so that senders cannot take all memory with them. Knows no file
//! and no clock.

use super::key::IdempotencyKey;
use super::log::{AppendError, Appended};
use std::collections::{HashMap, VecDeque};
use xxhash_rust::xxh3::xxh3_128;

/// A key is remembered for a day, as the contract of ingest says, unless rows are kept for less: it is in their log.
pub(super) const KEY_MEMORY_MILLIS: i64 = 86_400_000;
/// As many as are remembered, of about 100 bytes: 23 a second all day long.
pub(super) const MOST_KEYS: usize = 2_000_000;

/// Keys are told apart by it: by chance two are the same only among far more than there are.
type KeyHash = [u8; 16];

/// What was answered, and for which body, where that is known.
#[derive(Debug, Clone, Copy)]
struct Answer {
    body: Option<u64>,
    first_offset: u64,
    count: u32,
}

/// The keys that are remembered.
#[derive(Debug, Default)]
pub(super) struct KeyMemory {
    answers: HashMap<KeyHash, Answer>,
    /// With the stamps of their rows, oldest first.
    by_age: VecDeque<(i64, KeyHash)>,
}

fn hash(key: &IdempotencyKey) -> KeyHash {
    xxh3_128(key.text.as_bytes()).to_le_bytes()
}

impl KeyMemory {
    /// Takes a key in that was accepted at `stamp`.
    pub(super) fn remember(&mut self, stamp: i64, key: &IdempotencyKey, first_offset: u64, count: u32) {
        let hash = hash(key);
        self.by_age.push_back((stamp, hash));
        self.answers.insert(hash, Answer { body: key.body, first_offset, count });
    }

    /// What a key was answered with before, or that it was for another body; `None` for a new one.
    pub(super) fn answer(&self, key: &IdempotencyKey) -> Option<Result<Appended, AppendError>> {
        let Answer { body, first_offset, count } = *self.answers.get(&hash(key))?;
        let answer = Appended { first_offset, count: count as usize, repeated: true };
        Some(if key.is_of_body(body) { Ok(answer) } else { Err(AppendError::KeyReused) })
    }

    /// Whether so many more keys find room.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.by_age.len() + more <= MOST_KEYS
    }

    /// Forgets the keys that were accepted at this stamp or before.
    pub(super) fn forget_before(&mut self, stamp: i64) {
        while let Some((_, key)) = self.by_age.pop_front_if(|(of, _)| *of <= stamp) {
            self.answers.remove(&key);
        }
    }

    /// Takes stamps that are ahead of `now` for `now`: the clock was wrong, and those keys would never be forgotten.
    pub(super) fn none_later_than(&mut self, now: i64) {
        self.by_age.iter_mut().for_each(|(stamp, _)| *stamp = now.min(*stamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        IdempotencyKey::new(text.to_owned(), b"").unwrap()
    }

    #[test]
    fn keys_of_a_clock_that_was_wrong_are_forgotten_a_day_after_it_was_mended() {
        let mut keys = KeyMemory::default();
        keys.remember(1_000, &key("before"), 0, 1);
        keys.remember(9_000_000, &key("wrong"), 1, 1);
        keys.none_later_than(1_500);
        keys.remember(1_500, &key("after"), 2, 1);
        keys.forget_before(1_000);
        assert!(keys.answer(&key("before")).is_none());
        assert_eq!(keys.answer(&key("wrong")).unwrap().unwrap().first_offset, 1);
        keys.forget_before(1_500);
        assert!(keys.answer(&key("wrong")).is_none() && keys.answer(&key("after")).is_none());
    }

    #[test]
    fn a_flood_of_keys_has_a_bound() {
        let mut keys = KeyMemory::default();
        for number in 0..MOST_KEYS {
            keys.remember(number as i64, &key(&number.to_string()), 0, 1);
        }
        assert!(!keys.has_room(1) && keys.has_room(0));
        keys.forget_before(9);
        assert!(keys.has_room(10) && !keys.has_room(11));
    }
}
