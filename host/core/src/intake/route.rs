//! Routing: key -> key group -> shard -> segment. Every key is encoded and hashed once per batch; what travels is
//! the shared batch and a selection of its rows, never a copy.

use crate::project::Projected;
use std::sync::Arc;
use weir_event::key::{EncodedKeys, KEY_GROUPS, KeyTypeError, segment};
use weir_event::{Rank, key_group, key_hash};

/// Segments of a shard, as a power of two: each has a lock of its own, so that a reader waits for a sixteenth of
/// a batch at most while batches stay long enough for columnar work.
pub const SEGMENT_BITS: u32 = 4;
pub const SEGMENTS: usize = 1 << SEGMENT_BITS;

/// A batch with its keys.
#[derive(Debug)]
pub struct Keyed {
    pub rows: Projected,
    pub ranks: Vec<Rank>,
    pub keys: EncodedKeys,
    pub hashes: Vec<u64>,
}

/// The rows of a batch that belong to one shard, segment after segment.
#[derive(Debug)]
pub struct Routed {
    pub batch: Arc<Keyed>,
    /// Row indices, ordered by segment and within one by row.
    pub rows: Vec<u32>,
    /// For each segment, where its rows end in `rows`.
    pub ends: [u32; SEGMENTS],
}

/// The shard that holds a hash's key group: contiguous ranges of groups, as even as can be.
pub fn shard_of(hash: u64, shards: usize) -> usize {
    key_group(hash).0 as usize * shards / KEY_GROUPS as usize
}

pub fn segment_of(hash: u64) -> usize {
    segment(hash, SEGMENT_BITS)
}

/// Encodes the keys of a batch and deals its rows to `shards` shards; shards without rows get `None`.
pub fn route(
    rows: Projected,
    key_columns: &[usize],
    shards: usize,
) -> Result<Vec<Option<Routed>>, KeyTypeError> {
    let columns: Vec<_> = key_columns.iter().map(|column| rows.columns[*column].clone()).collect();
    let keys = EncodedKeys::encode(&columns, rows.rows())?;
    let hashes: Vec<u64> = (0..keys.len()).map(|row| key_hash(keys.key(row))).collect();
    let partition = rows.partition;
    let ranks = rows.offsets.iter().map(|offset| Rank { partition, offset: *offset }).collect();

    // A counting sort over (shard, segment) keeps rows of one key in order.
    let bucket = |hash: u64| shard_of(hash, shards) * SEGMENTS + segment_of(hash);
    let mut starts = vec![0_u32; shards * SEGMENTS + 1];
    for hash in &hashes {
        starts[bucket(*hash) + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let bounds = starts.clone();
    let mut sorted = vec![0_u32; hashes.len()];
    for (row, hash) in hashes.iter().enumerate() {
        let at = &mut starts[bucket(*hash)];
        sorted[*at as usize] = row as u32;
        *at += 1;
    }
    let batch = Arc::new(Keyed { rows, ranks, keys, hashes });
    let deal = |shard: usize| {
        let (from, to) = (bounds[shard * SEGMENTS], bounds[(shard + 1) * SEGMENTS]);
        let mut ends = [0; SEGMENTS];
        for (segment, end) in ends.iter_mut().enumerate() {
            *end = bounds[shard * SEGMENTS + segment + 1] - from;
        }
        let rows = sorted[from as usize..to as usize].to_vec();
        (from < to).then(|| Routed { batch: batch.clone(), rows, ends })
    };
    Ok((0..shards).map(deal).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array};
    use weir_event::PartitionId;

    #[test]
    fn every_row_goes_to_one_segment_in_order() {
        let users: ArrayRef = Arc::new((0..1000).map(|i| Some(i % 37)).collect::<Int64Array>());
        let rows = Projected {
            partition: PartitionId::default(),
            columns: vec![users],
            times: vec![0; 1000],
            offsets: (0..1000).collect(),
            records: (0..1000).collect(),
        };
        let mut seen = vec![0; 1000];
        for (shard, routed) in route(rows, &[0], 3).unwrap().into_iter().enumerate() {
            let routed = routed.unwrap();
            let mut start = 0;
            for (segment, end) in routed.ends.iter().enumerate() {
                let rows = &routed.rows[start as usize..*end as usize];
                assert!(rows.is_sorted());
                for row in rows {
                    let hash = routed.batch.hashes[*row as usize];
                    assert_eq!((shard_of(hash, 3), segment_of(hash)), (shard, segment));
                    seen[*row as usize] += 1;
                }
                start = *end;
            }
        }
        assert!(seen.iter().all(|count| *count == 1));
    }
}
