//! What changed in a shard, on its way to the store: all keys and values end to end in one stretch of memory.
//!
//! A checkpoint may hold millions of small blocks, and two allocations for each would be most of its memory. Knows
//! nothing of what keys and values mean.

use weir_store::Entry;

/// Entries; [`Entries::sort`] puts them in order of key.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// One entry's place in the bytes: its key, behind it its value.
#[derive(Debug, Clone, Copy)]
struct Span {
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
        let key = (self.bytes.len() - start) as u32;
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.spans.push(Span { start, key, value: value.map(|value| value.len() as u32) });
    }

    /// Puts them in order of key; no key is there twice, so that there is one order.
    pub(crate) fn sort(&mut self) {
        let Entries { bytes, spans } = self;
        let key = |span: &Span| &bytes[span.start..span.start + span.key as usize];
        spans.sort_by(|one, other| key(one).cmp(key(other)));
    }
}

impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = Box<dyn Iterator<Item = Entry> + Send>;

    fn into_iter(self) -> Self::IntoIter {
        let Entries { bytes, spans } = self;
        Box::new(spans.into_iter().map(move |Span { start, key, value }| {
            let end = start + key as usize;
            let value = value.map(|value| bytes[end..end + value as usize].to_vec());
            Entry { key: bytes[start..end].to_vec(), value }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_in_order_with_their_values() {
        let mut entries = Entries::default();
        let key = |text: &'static str| move |out: &mut Vec<u8>| out.extend_from_slice(text.as_bytes());
        entries.push(key("b"), Some(b"two"));
        entries.push(key("c"), None);
        entries.push(key("a"), Some(b""));
        entries.sort();
        let found: Vec<_> = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let expected = [("a", Some(&b""[..])), ("b", Some(b"two")), ("c", None)];
        let expected = expected.map(|(key, value)| (key.as_bytes().to_vec(), value.map(<[u8]>::to_vec)));
        assert_eq!(found, expected);
    }
}
