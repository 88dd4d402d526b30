//! Which segments to merge: a pure choice over their sizes.
//!
//! Segments are kept so that each is more than [`RATIO`] times smaller than what is older. A run of the newest that breaks this is
//! merged once it is [`MERGE_AT`] long. So their number grows with the logarithm of the state, every byte is rewritten about that
//! often, and old versions of keys never take much more than half of what is live.

use std::ops::Range;

/// Fewer than this are read as quickly as they are merged.
const MERGE_AT: usize = 4;
/// An older segment joins the run when it is at most this many times as big as all that is newer in it.
const RATIO: u64 = 2;
/// Below this size segments count as equal: opening one costs more than reading it.
const SMALL_BYTES: u64 = 64 * 1024;

/// The segments to merge, given sizes in bytes from the oldest to the newest.
pub(crate) fn choose(sizes: &[u64]) -> Option<Range<usize>> {
    let mut start = sizes.len();
    let mut run_bytes = 0_u64;
    while let Some(older) = start.checked_sub(1) {
        let bytes = sizes[older].max(SMALL_BYTES);
        if start < sizes.len() && bytes > run_bytes.saturating_mul(RATIO) {
            break;
        }
        run_bytes = run_bytes.saturating_add(bytes);
        start = older;
    }
    (sizes.len() - start >= MERGE_AT).then_some(start..sizes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_big_old_segment_is_left_alone_until_the_young_ones_weigh_enough() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[1, 1, 1]), None);
        assert_eq!(choose(&[1, 1, 1, 1]), Some(0..4));
        assert_eq!(choose(&[100 * MIB, MIB, MIB, MIB]), None);
        assert_eq!(choose(&[100 * MIB, MIB, MIB, MIB, MIB]), Some(1..5));
        assert_eq!(choose(&[100 * MIB, 40 * MIB, 15 * MIB, 6 * MIB]), None);
        assert_eq!(choose(&[100 * MIB, 30 * MIB, 15 * MIB, 8 * MIB]), Some(0..4));
    }

    #[test]
    fn their_number_stays_small_and_bytes_are_rewritten_seldom() {
        let mut sizes: Vec<u64> = Vec::new();
        let mut written = 0;
        for _ in 0..2000 {
            sizes.push(MIB);
            written += MIB;
            while let Some(run) = choose(&sizes) {
                let merged: u64 = sizes[run.clone()].iter().sum();
                written += merged;
                sizes.splice(run, [merged]);
            }
            assert!(sizes.len() < 16, "{sizes:?}");
        }
        let live: u64 = sizes.iter().sum();
        assert_eq!(live, 2000 * MIB);
        assert!(written / live < 12, "rewritten {} times", written / live);
    }
}
