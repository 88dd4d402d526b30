//! Keys and their dense numbers. A key lives as long as something refers to it.

use crate::answer::Slot;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::ops::Range;

/// Values by slot or another number of ours: nobody can choose numbers that collide.
pub(crate) type ByNumber<V> = hashbrown::HashMap<u32, V, foldhash::fast::FixedState>;

/// The keys of one segment.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    table: HashTable<u32>,
    keys: Vec<Box<[u8]>>,
    hashes: Vec<u64>,
    /// Panes and logs that hold something of the key.
    references: Vec<u32>,
    /// Slots that nothing refers to, to be looked at when state expires.
    idle: Vec<u32>,
    free: Vec<u32>,
}

impl Slots {
    pub(crate) fn find(&self, key: &[u8], hash: u64) -> Option<Slot> {
        self.table.find(hash, |slot| *self.keys[*slot as usize] == *key).map(|slot| Slot(*slot))
    }

    pub(crate) fn find_or_insert(&mut self, key: &[u8], hash: u64) -> Slot {
        let (keys, hashes) = (&mut self.keys, &mut self.hashes);
        let is_same = |slot: &u32| *keys[*slot as usize] == *key;
        let vacant = match self.table.entry(hash, is_same, |slot| hashes[*slot as usize]) {
            Entry::Occupied(occupied) => return Slot(*occupied.get()),
            Entry::Vacant(vacant) => vacant,
        };
        let slot = if let Some(slot) = self.free.pop() {
            (keys[slot as usize], hashes[slot as usize]) = (key.into(), hash);
            slot
        } else {
            keys.push(key.into());
            hashes.push(hash);
            self.references.push(0);
            keys.len() as u32 - 1
        };
        vacant.insert(slot);
        self.idle.push(slot);
        Slot(slot)
    }

    pub(crate) fn key(&self, slot: Slot) -> &[u8] {
        &self.keys[slot.0 as usize]
    }

    /// The keys among these slots of which something is held, with their hashes.
    pub(crate) fn keys(&self, slots: Range<usize>) -> impl Iterator<Item = (&[u8], u64)> {
        let end = slots.end.min(self.keys.len());
        let is_held = |slot: &usize| self.references[*slot] > 0;
        (slots.start.min(end)..end).filter(is_held).map(|slot| (&*self.keys[slot], self.hashes[slot]))
    }

    /// Whether keys that came since idle ones were last freed are more than those from before, and more than a few.
    pub(crate) fn are_many_idle(&self) -> bool {
        const FEW: usize = 1024;
        self.idle.len() > FEW.max(self.table.len() / 2)
    }

    /// Whether anything of the key is held.
    pub(crate) fn is_held(&self, slot: Slot) -> bool {
        self.references[slot.0 as usize] > 0
    }

    /// One more than the highest slot in use.
    pub(crate) fn bound(&self) -> usize {
        self.keys.len()
    }

    /// Keys that there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn retain(&mut self, slot: u32) {
        self.references[slot as usize] += 1;
    }

    pub(crate) fn release(&mut self, slot: u32) {
        self.references[slot as usize] -= 1;
        if self.references[slot as usize] == 0 {
            self.idle.push(slot);
        }
    }

    /// Forgets the keys that nothing refers to; returns their slots, sorted.
    pub(crate) fn free_idle(&mut self) -> Vec<u32> {
        let mut idle = std::mem::take(&mut self.idle);
        idle.sort_unstable();
        idle.dedup();
        idle.retain(|slot| {
            let at = *slot as usize;
            let is_idle = self.references[at] == 0;
            if is_idle && let Ok(entry) = self.table.find_entry(self.hashes[at], |other| other == slot) {
                entry.remove();
                self.keys[at] = Box::default();
                self.free.push(*slot);
            }
            is_idle
        });
        idle
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.len()).sum();
        self.table.allocation_size() + keys + self.keys.capacity() * (size_of::<Box<[u8]>>() + 12)
    }
}

/// The numbers below `count`.
pub(crate) fn counted(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lives_as_long_as_something_refers_to_it() {
        let mut slots = Slots::default();
        let (a, b) = (slots.find_or_insert(b"a", 1), slots.find_or_insert(b"b", 1));
        slots.retain(a.0);
        assert_eq!(slots.free_idle(), vec![b.0]);
        assert_eq!((slots.find(b"a", 1), slots.find(b"b", 1)), (Some(a), None));
        slots.release(a.0);
        slots.retain(a.0);
        assert!(slots.free_idle().is_empty());
        assert_eq!(slots.keys(0..9).collect::<Vec<_>>(), [(&b"a"[..], 1)]);
        assert_eq!(slots.find_or_insert(b"c", 2), b);
        assert_eq!(slots.key(b), b"c");
    }
}
