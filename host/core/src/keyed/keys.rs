//! The keys of a job, a page at a time, in an order that neither a restart nor other ranges of key groups change.
//!
//! That order is of the keys' hashes: their own would have all of them sorted for each page, and a page of hashes is a
//! fair sample besides. A segment holds a range of hashes, so that a page is found by looking through one or two.

use crate::keyed::segment::Segment;
use std::collections::BinaryHeap;
use std::ops::Range;
use weir_event::{KeyGroup, key_group, key_hash};

/// A key's place in the order.
type Place = (u64, Box<[u8]>);

/// The keys that come first behind one.
#[derive(Debug)]
pub struct Page {
    after: Option<Place>,
    limit: usize,
    found: BinaryHeap<Place>,
}

impl Page {
    /// Up to `limit` encoded keys behind `after`.
    pub fn new(after: Option<&[u8]>, limit: usize) -> Page {
        let after = after.map(|key| (key_hash(key), Box::from(key)));
        Page { after, limit, found: BinaryHeap::new() }
    }

    /// The first key group that may hold some of them: segments are looked through from its on, in order.
    pub fn first_group(&self) -> KeyGroup {
        KeyGroup(self.after.as_ref().map_or(0, |(hash, _)| key_group(*hash).0))
    }

    /// Whether no segment behind those that were looked through has any of them.
    pub fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// Looks through some slots of a segment; whether it has more behind them. A key that comes or goes between two
    /// calls is in the page or not.
    pub fn look_through(&mut self, segment: &Segment, slots: Range<usize>) -> bool {
        let has_more = slots.end < segment.slots();
        for (key, hash) in segment.keys(slots) {
            let is_behind = |(of, other): &Place| (hash, key) > (*of, &**other);
            if self.after.as_ref().is_some_and(|after| !is_behind(after)) {
                continue;
            }
            if self.is_full() {
                if self.found.peek().is_none_or(is_behind) {
                    continue;
                }
                self.found.pop();
            }
            self.found.push((hash, key.into()));
        }
        has_more
    }

    /// The keys, in order.
    pub fn finish(self) -> Vec<Box<[u8]>> {
        self.found.into_sorted_vec().into_iter().map(|(_, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::groups::ALL_GROUPS;
    use crate::tests::plan;
    use crate::{Intake, Keyed, Step};
    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use weir_connect::KnownTimes;
    use weir_event::{PartitionId, key_hash};

    #[test]
    fn pages_of_any_length_hold_every_key_once_in_order() {
        let query = "SELECT user, SUM(n) AS s FROM events GROUP BY user, TUMBLE(t, INTERVAL '1' HOUR)";
        let plan = Arc::new(plan(query, "", ""));
        let users: ArrayRef =
            Arc::new((0..500).map(|user| Some(format!("u{user}"))).collect::<StringViewArray>());
        let zeros = || (0..500).map(|_| Some(0));
        let (times, numbers): (ArrayRef, ArrayRef) = (
            Arc::new(zeros().collect::<TimestampMillisecondArray>()),
            Arc::new(zeros().collect::<Int64Array>()),
        );
        let batch = RecordBatch::try_from_iter([("user", users), ("t", times), ("n", numbers)]).unwrap();
        let offsets: Vec<u64> = (0..500).collect();
        let mut intake = Intake::open(plan.clone());
        let mut keyed = Keyed::open(plan, ALL_GROUPS).unwrap();
        let steps = intake.columns(PartitionId::default(), &offsets, KnownTimes::Unknown, &batch).unwrap();
        for step in steps.steps {
            if let Step::Rows(rows) = step {
                assert_eq!(keyed.rows(&rows).unwrap().count(), 0);
            }
        }
        for limit in [1, 7, 499, 500, 1000] {
            let mut found: Vec<Box<[u8]>> = Vec::new();
            loop {
                let page = keyed.keys(found.last().map(|last| &**last), limit);
                let is_last = page.len() < limit;
                found.extend(page);
                if is_last {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 500);
            assert_eq!(found.len(), 500, "by pages of {limit}");
            assert!(found.is_sorted_by_key(|key| key_hash(key)));
        }
        assert!(keyed.keys(None, 0).is_empty());
    }
}
