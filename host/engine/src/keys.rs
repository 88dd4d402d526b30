//! The keys of a job, a page at a time, in an order that neither a restart nor another number of shards changes.
//!
//! That order is of the keys' hashes: their own would have all of them sorted for each page, and a page of hashes is a
//! fair sample besides. A shard holds a range of hashes, so that a page is found by looking through one or two. No lock
//! is held for long: slots are looked through in portions, and a key that comes or goes meanwhile is in the page or not.

use crate::shard::Shards;
use std::collections::BinaryHeap;
use weir_event::{key_group, key_hash};

/// Slots that are looked through under one lock: some tens of microseconds.
const SLOTS_AT_ONCE: usize = 4096;

/// A key's place in the order.
type Place = (u64, Box<[u8]>);

/// Up to `limit` encoded keys behind `after`, in order.
pub(crate) fn page(shards: &Shards, after: Option<&[u8]>, limit: usize) -> Vec<Box<[u8]>> {
    let after = after.map(|key| (key_hash(key), Box::from(key)));
    let first = after.as_ref().map_or(0, |(hash, _)| shards.place_of(key_group(*hash)).0);
    let mut found = BinaryHeap::new();
    for shard in first..shards.len() {
        if found.len() >= limit {
            break;
        }
        for segment in 0..shards.segments(shard) {
            look_through(shards, (shard, segment), after.as_ref(), limit, &mut found);
        }
    }
    found.into_sorted_vec().into_iter().map(|(_, key)| key).collect()
}

/// Takes the first keys of one segment into `found`, which keeps the `limit` that come first.
fn look_through(
    shards: &Shards,
    (shard, segment): (usize, usize),
    after: Option<&Place>,
    limit: usize,
    found: &mut BinaryHeap<Place>,
) {
    let mut start = 0;
    loop {
        let held = shards.read(shard, segment);
        if start >= held.slots() {
            return;
        }
        for (key, hash) in held.keys(start..start + SLOTS_AT_ONCE) {
            let is_behind = |(of, other): &Place| (hash, key) > (*of, &**other);
            if after.is_some_and(|after| !is_behind(after)) {
                continue;
            }
            if found.len() >= limit {
                if found.peek().is_none_or(is_behind) {
                    continue;
                }
                found.pop();
            }
            found.push((hash, key.into()));
        }
        start += SLOTS_AT_ONCE;
    }
}
