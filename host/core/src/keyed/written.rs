//! Which results sinks have, where results can be taken back: part of the state of their keys.
//!
//! Timelines say which results were returned; whether a returned one was written, HAVING says, and whether any row is left
//! where rows take others back. A result that is not to be there any more takes away what was written of it, and where
//! nothing was, nothing is said: in a store that keeps a row per key, a delete would take the row of an older window.
//!
//! Layout of what is stored of a key, integers little endian: version (1 byte); of each result what tells it from the
//! others of its key, and until when late rows may change it (8 bytes each). Knows no sink.

use crate::error::CoreError;
use crate::keyed::segment::StateSink;
use crate::stored::Name;
use std::collections::{BTreeMap, BTreeSet};
use weir_event::{EventTime, key_hash};
use weir_plan::KeyedStage;
use weir_timeline::{Block, Frames};

/// The version that this build writes, and the only one that it reads.
const VERSION: u8 = 1;

/// What becomes of a result on its way to the sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Written,
    Deleted,
    /// Nothing is said of it: there is no row of it, and none comes.
    Left,
}

/// Whether a result is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    There,
    Gone,
    /// HAVING has no value for it: what was written stays.
    Unknown,
}

/// The results of some keys that sinks have.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// By key what tells each result from the others, with the end of what it is over.
    keys: BTreeMap<Box<[u8]>, BTreeMap<i64, i64>>,
    /// Keys of which something changed since it was last shown.
    dirty: BTreeSet<Box<[u8]>>,
}

/// What tells a result of a stage from the others of its key, and the end of what it is over.
pub(crate) fn result_of(
    stage: &KeyedStage,
    window: Option<&(i64, i64)>,
    made: Option<&(i64, u32)>,
) -> (i64, i64) {
    if let Some((time, number)) = made {
        let name = [time.to_le_bytes().as_slice(), &number.to_le_bytes()].concat();
        return (key_hash(&name).cast_signed(), *time);
    }
    match (window, &stage.spec.frames) {
        // Its end grows.
        (Some((start, end)), Frames::Session(_)) => (*start, *end),
        (Some((_, end)), _) => (*end, *end),
        (None, _) => (0, i64::MAX),
    }
}

impl Written {
    /// What is done with a result of a key, which is known from then on.
    pub(crate) fn fate(&mut self, key: &[u8], (result, end): (i64, i64), verdict: Verdict) -> Fate {
        match verdict {
            Verdict::Unknown => return Fate::Left,
            Verdict::There => {
                let of_key = match self.keys.get_mut(key) {
                    Some(of_key) => of_key,
                    None => self.keys.entry(key.into()).or_default(),
                };
                if of_key.insert(result, end) != Some(end) {
                    self.dirty.insert(key.into());
                }
                return Fate::Written;
            }
            Verdict::Gone => {}
        }
        let Some(of_key) = self.keys.get_mut(key) else { return Fate::Left };
        if of_key.remove(&result).is_none() {
            return Fate::Left;
        }
        if of_key.is_empty() {
            self.keys.remove(key);
        }
        self.dirty.insert(key.into());
        Fate::Deleted
    }

    /// Forgets what no row changes any more: what ended before this, and what is of a key without state.
    pub(crate) fn expire(&mut self, before: EventTime, has_state: impl Fn(&[u8]) -> bool) {
        let dirty = &mut self.dirty;
        self.keys.retain(|key, results| {
            let count = results.len();
            results.retain(|_, end| *end >= before.millis());
            if results.values().any(|end| *end == i64::MAX) && !has_state(key) {
                results.clear();
            }
            if results.len() < count {
                dirty.insert(key.clone());
            }
            !results.is_empty()
        });
    }

    /// Shows of some keys what changed since this was last asked, of at most so many; of how many it did.
    pub(crate) fn show_dirty(&mut self, limit: usize, out: &mut StateSink<'_>) -> usize {
        let mut shown = 0;
        while shown < limit {
            let Some(key) = self.dirty.pop_first() else { break };
            let value = self.keys.get(&key).map(encode);
            out(name(&key), value.as_deref());
            shown += 1;
        }
        shown
    }

    /// Shows everything.
    pub(crate) fn show_all(&self, out: &mut StateSink<'_>) {
        self.keys.iter().for_each(|(key, results)| out(name(key), Some(&encode(results))));
    }

    /// Takes what is stored of a key back.
    pub(crate) fn restore(&mut self, key: &[u8], stored: &[u8]) -> Result<(), CoreError> {
        let damaged = || CoreError::Damaged("which results of a key were written does not read".to_owned());
        let (version, rest) = stored.split_first().ok_or_else(damaged)?;
        let (pairs, end) = rest.as_chunks::<16>();
        if *version != VERSION || !end.is_empty() {
            return Err(damaged());
        }
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).unwrap_or_default();
        let results = pairs.iter().map(|pair| (number(&pair[..8]), number(&pair[8..])));
        self.keys.insert(key.into(), results.collect());
        Ok(())
    }
}

fn name(key: &[u8]) -> Name<'_> {
    Name::Block { key, block: Block { column: Name::WRITTEN, level: 0, start: 0 } }
}

fn encode(results: &BTreeMap<i64, i64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 16 * results.len());
    bytes.push(VERSION);
    for (result, end) in results {
        bytes.extend_from_slice(&result.to_le_bytes());
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_away_once_and_what_was_not_never() {
        let mut written = Written::default();
        let mut fate = |result, verdict| written.fate(b"k", (result, result), verdict);
        assert_eq!(fate(10, Verdict::Gone), Fate::Left);
        assert_eq!(fate(10, Verdict::There), Fate::Written);
        assert_eq!(fate(10, Verdict::Unknown), Fate::Left);
        assert_eq!(fate(20, Verdict::Gone), Fate::Left);
        assert_eq!((fate(10, Verdict::Gone), fate(10, Verdict::Gone)), (Fate::Deleted, Fate::Left));
    }

    #[test]
    fn it_is_stored_by_key_and_goes_with_what_late_rows_reach() {
        let mut written = Written::default();
        written.fate(b"a", (10, 10), Verdict::There);
        written.fate(b"a", (20, 20), Verdict::There);
        written.fate(b"life", (0, i64::MAX), Verdict::There);
        let mut stored = BTreeMap::new();
        let mut keep = |written: &mut Written| {
            let mut sink = |name: Name<'_>, value: Option<&[u8]>| {
                let Name::Block { key, .. } = name else { panic!("{name:?}") };
                match value {
                    Some(value) => drop(stored.insert(key.to_vec(), value.to_vec())),
                    None => drop(stored.remove(key)),
                }
            };
            while written.show_dirty(1, &mut sink) > 0 {}
            stored.clone()
        };
        assert_eq!(keep(&mut written).len(), 2);
        written.expire(EventTime::from_millis(15), |_| true);
        let stored = keep(&mut written);
        let mut back = Written::default();
        stored.iter().for_each(|(key, value)| back.restore(key, value).unwrap());
        assert_eq!(back.fate(b"a", (10, 10), Verdict::Gone), Fate::Left);
        assert_eq!(back.fate(b"a", (20, 20), Verdict::Gone), Fate::Deleted);
        back.expire(EventTime::from_millis(15), |key| key != b"life");
        assert_eq!(back.fate(b"life", (0, i64::MAX), Verdict::Gone), Fate::Left);
        assert!(back.restore(b"a", &[2]).is_err() && back.restore(b"a", &[1, 0]).is_err());
        written.expire(EventTime::MAX, |_| false);
        assert!(keep(&mut written).is_empty());
    }
}
