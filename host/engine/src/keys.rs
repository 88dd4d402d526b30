//! The keys of a running job, a page at a time. No lock is held for long: slots are looked through in portions.

use crate::shard::Shards;
use weir_core::Page;

/// Slots that are looked through under one lock: some tens of microseconds.
const SLOTS_AT_ONCE: usize = 4096;

/// Up to `limit` encoded keys behind `after`, in the order of [`Page`].
pub(crate) fn page(shards: &Shards, after: Option<&[u8]>, limit: usize) -> Vec<Box<[u8]>> {
    let mut page = Page::new(after, limit);
    let first = shards.place_of(page.first_group());
    let all = (first.0..shards.len())
        .flat_map(|shard| (0..shards.segments(shard)).map(move |segment| (shard, segment)));
    for (shard, segment) in all.skip(first.1) {
        if page.is_full() {
            break;
        }
        let mut start = 0;
        while page.look_through(&shards.read(shard, segment), start..start + SLOTS_AT_ONCE) {
            start += SLOTS_AT_ONCE;
        }
    }
    page.finish()
}
