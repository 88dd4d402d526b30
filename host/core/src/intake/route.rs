//! Routing: key -> key group. Every key is encoded and hashed once per batch, and the batch's rows are put in order of
//! key group, by index: whoever holds a range of groups finds its rows in one stretch, and no row is copied.

use crate::error::CoreError;
use crate::project::Projected;
use std::ops::Range;
use weir_event::key::{EncodedKeys, KEY_GROUPS};
use weir_event::{PartitionId, Rank, key_group, key_hash};

/// Rows of one partition with their keys.
#[derive(Debug)]
pub struct KeyedRows {
    pub(crate) rows: Projected,
    pub(crate) ranks: Vec<Rank>,
    pub(crate) keys: EncodedKeys,
    pub(crate) hashes: Vec<u64>,
    /// Row indices, ordered by key group and within one by row.
    order: Vec<u32>,
    /// Where each group's rows begin in `order`; the last is where the last group's end.
    starts: Vec<u32>,
}

impl KeyedRows {
    /// Encodes the keys of a batch, whose key columns are these.
    pub(crate) fn of(rows: Projected, key_columns: &[usize]) -> Result<KeyedRows, CoreError> {
        let columns: Vec<_> = key_columns.iter().map(|column| rows.columns[*column].clone()).collect();
        let keys = EncodedKeys::encode(&columns, rows.rows())?;
        let hashes: Vec<u64> = (0..keys.len()).map(|row| key_hash(keys.key(row))).collect();
        let partition = rows.partition;
        let ranks = rows.offsets.iter().map(|offset| Rank { partition, offset: *offset }).collect();
        let (order, starts) = by_group(&hashes);
        Ok(KeyedRows { rows, ranks, keys, hashes, order, starts })
    }

    /// Where each group's rows begin among those in order; the last is where the last group's end.
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The partition that they came from.
    pub fn partition(&self) -> PartitionId {
        self.rows.partition
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The event time of each row, in order, milliseconds.
    pub fn times(&self) -> &[i64] {
        &self.rows.times
    }

    /// The offset of each row's record, in order.
    pub fn records(&self) -> impl Iterator<Item = u64> {
        self.ranks.iter().map(Rank::record)
    }

    /// The indices of a range's rows, ordered by key group and within one by row.
    pub fn of_groups(&self, groups: &Range<u16>) -> &[u32] {
        let at = |group: u16| self.starts[usize::from(group)] as usize;
        &self.order[at(groups.start)..at(groups.end)]
    }
}

/// A counting sort keeps rows of one key in order.
fn by_group(hashes: &[u64]) -> (Vec<u32>, Vec<u32>) {
    let group = |hash: &u64| usize::from(key_group(*hash).0);
    let mut starts = vec![0_u32; usize::from(KEY_GROUPS) + 1];
    for hash in hashes {
        starts[group(hash) + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut next = starts.clone();
    let mut order = vec![0_u32; hashes.len()];
    for (row, hash) in hashes.iter().enumerate() {
        let at = &mut next[group(hash)];
        order[*at as usize] = row as u32;
        *at += 1;
    }
    (order, starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{ALL_GROUPS, range_of};
    use crate::rows::Arrival;
    use arrow_array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn every_row_is_in_one_range_in_order() {
        let users: ArrayRef = Arc::new((0..1000).map(|i| Some(i % 37)).collect::<Int64Array>());
        let rows = Projected {
            partition: PartitionId::default(),
            columns: vec![users],
            times: vec![0; 1000],
            offsets: (0..1000).collect(),
            records: (0..1000).collect(),
            arrival: Arrival::default(),
        };
        let keyed = KeyedRows::of(rows, &[0]).unwrap();
        let mut seen = vec![0; 1000];
        for part in 0..3 {
            let groups = range_of(part, 3, &ALL_GROUPS);
            let rows = keyed.of_groups(&groups);
            let group = |row: &u32| key_group(keyed.hashes[*row as usize]).0;
            assert!(rows.is_sorted_by_key(|row| (group(row), *row)));
            for row in rows {
                assert!(groups.contains(&group(row)));
                seen[*row as usize] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count == 1));
    }
}
