//! Contiguous ranges of key groups: what a shard holds, and what a segment of it does. As even as can be, and the same
//! in every host: part `p` of `n` holds the groups `g` with `g * n / groups == p`, which is also Flink's rule.

use std::ops::Range;
use weir_event::KeyGroup;
use weir_event::key::KEY_GROUPS;

/// All key groups of a job.
pub const ALL_GROUPS: Range<u16> = 0..KEY_GROUPS;

/// The groups of part `part` of `parts` of a range.
///
/// ```
/// use weir_core::groups::{ALL_GROUPS, part_of, range_of};
/// assert_eq!(range_of(1, 3, &ALL_GROUPS), 43..86);
/// assert_eq!(part_of(weir_event::KeyGroup(85), 3, &ALL_GROUPS), 1);
/// ```
pub fn range_of(part: usize, parts: usize, of: &Range<u16>) -> Range<u16> {
    let start = |part: usize| of.start + (part * of.len()).div_ceil(parts) as u16;
    start(part)..start(part + 1)
}

/// Which of `parts` parts of a range holds one of its groups.
pub fn part_of(group: KeyGroup, parts: usize, of: &Range<u16>) -> usize {
    usize::from(group.0 - of.start) * parts / of.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_in_one_part_and_in_the_one_that_is_said() {
        for of in [ALL_GROUPS, 43..86, 5..6] {
            for parts in [1, 2, 3, 7, 16, 128] {
                let mut at = of.start;
                for part in 0..parts {
                    let range = range_of(part, parts, &of);
                    assert_eq!(range.start, at);
                    for group in range.clone() {
                        assert_eq!(part_of(KeyGroup(group), parts, &of), part);
                    }
                    at = range.end;
                }
                assert_eq!(at, of.end);
            }
        }
    }
}
