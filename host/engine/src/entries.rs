//! What changed in a shard, on its way to the store: all keys and values end to end in one stretch of memory.
//!
//! A checkpoint may hold millions of small blocks, and two allocations for each would be most of its memory. Knows
//! nothing of what keys and values mean.

use bytes::Bytes;
use weir_store::Entry;

/// Entries in any order. They come out in order of key; of those with the same key the last counts.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// One entry's place in the bytes: its key, behind it its value.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The key's first bytes as a number that orders like them: most comparisons need not look further, for which
    /// they would have to wait for memory.
    prefix: [u64; 2],
    start: usize,
    key: u32,
    /// `None` where the entry takes its key away.
    value: Option<u32>,
}

impl Entries {
    /// Adds an entry; `key` appends its key to what it is given.
    pub(crate) fn push(&mut self, key: impl FnOnce(&mut Vec<u8>), value: Option<&[u8]>) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let prefix = prefix_of(&self.bytes[start..]);
        let key = (self.bytes.len() - start) as u32;
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.spans.push(Span { prefix, start, key, value: value.map(|value| value.len() as u32) });
    }

    /// How many were added.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    fn sort(&mut self) {
        let Entries { bytes, spans } = self;
        let key = |span: &Span| &bytes[span.start..span.start + span.key as usize];
        // Entries of one prefix mostly come in order already: the second sort then only makes sure. Neither changes the
        // order of those with the same key.
        spans.sort_by_key(|span| span.prefix);
        spans.sort_by(|one, other| one.prefix.cmp(&other.prefix).then_with(|| key(one).cmp(key(other))));
        // Backwards, so that the last of the same key is met first.
        spans.reverse();
        spans.dedup_by(|earlier, later| earlier.prefix == later.prefix && key(earlier) == key(later));
        spans.reverse();
    }
}

fn prefix_of(key: &[u8]) -> [u64; 2] {
    let mut first = [0; 16];
    let length = key.len().min(first.len());
    first[..length].copy_from_slice(&key[..length]);
    let [high, low] = [first[..8].try_into(), first[8..].try_into()];
    [high, low].map(|half| u64::from_be_bytes(half.unwrap_or_default()))
}

/// So many entries are brought together at once: in order of key each lies somewhere else, and the processor waits for
/// many of them at a time where nothing is done in between.
const TOGETHER: usize = 256;

impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = Box<dyn Iterator<Item = Entry> + Send>;

    /// Puts them in order, which takes a while: for whoever writes them, not for who collects them.
    fn into_iter(mut self) -> Self::IntoIter {
        self.sort();
        let Entries { bytes, spans } = self;
        let starts = (0..spans.len()).step_by(TOGETHER);
        Box::new(
            starts.flat_map(move |start| together(&bytes, &spans[start..spans.len().min(start + TOGETHER)])),
        )
    }
}

fn together(bytes: &[u8], spans: &[Span]) -> Vec<Entry> {
    let length = |span: &Span| span.key as usize + span.value.unwrap_or_default() as usize;
    let mut all = Vec::with_capacity(spans.iter().map(length).sum());
    for span in spans {
        all.extend_from_slice(&bytes[span.start..span.start + length(span)]);
    }
    let mut rest = Bytes::from(all);
    let entry = |span: &Span| Entry {
        key: rest.split_to(span.key as usize),
        value: span.value.map(|value| rest.split_to(value as usize)),
    };
    spans.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        // Few different bytes and a length around the prefix's: many keys share it, are part of another, end in zeros.
        prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255)], 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn they_come_in_order_and_the_last_of_a_key_counts(
            entries in prop::collection::vec((any_key(), prop::option::of(prop::collection::vec(any::<u8>(), 0..3))), 0..3 * TOGETHER),
        ) {
            let mut found = Entries::default();
            for (key, value) in &entries {
                found.push(|out| out.extend_from_slice(key), value.as_deref());
            }
            // The last of each key.
            let expected: BTreeMap<_, _> = entries.into_iter().collect();
            let found: Vec<_> = found.into_iter().map(|it| (it.key.to_vec(), it.value.map(Vec::from))).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
