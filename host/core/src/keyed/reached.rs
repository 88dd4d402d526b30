//! How far a key group has come: stored beside its blocks, so that it goes on alike wherever they are moved.
//!
//! Layout, integers little endian: version (1 byte); settled boundary, oldest time that may be asked for, revision, and
//! what was counted (8 bytes each). Knows nothing of what the blocks hold.

use crate::counts::{COUNTS, Counts};
use crate::error::CoreError;
use weir_event::EventTime;

/// The version that this build writes, and the only one that it reads.
const VERSION: u8 = 1;

/// How far a key group has come, or several that are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The boundary up to which it is settled; [`EventTime::MIN`] before the first watermark.
    pub settled: EventTime,
    /// The oldest time that it may be asked for; [`EventTime::MIN`] for as far back as its plan reaches.
    pub oldest: EventTime,
    /// The highest revision that a result of its keys may have.
    pub revision: u64,
    /// What was counted. Rows are counted by many groups together: one of them has the sum, and the others nothing.
    pub counts: Counts,
}

impl Reached {
    /// Of a group that is held together with others. Where they differ, the boundary is the lower one: results in
    /// between are returned again, which whoever takes the last row of an identity does not see, and none is missing.
    #[must_use]
    pub(crate) fn together_with(self, other: Reached) -> Reached {
        let mut counts = self.counts;
        counts.add(other.counts);
        Reached {
            counts,
            settled: self.settled.min(other.settled),
            oldest: self.oldest.max(other.oldest),
            revision: self.revision.max(other.revision),
        }
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.settled.millis() as u64, self.oldest.millis() as u64, self.revision];
        let mut bytes = vec![VERSION];
        numbers
            .iter()
            .chain(&self.counts.to_numbers())
            .for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes
    }

    /// What [`Reached::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Reached, CoreError> {
        let damaged = || CoreError::Damaged("how far a key group had come does not read".to_owned());
        let (version, rest) = bytes.split_first().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(CoreError::Damaged(format!(
                "how far a key group had come is written in version {version}, and this weir reads {VERSION}"
            )));
        }
        let (numbers, rest) = rest.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let Some((&[settled, oldest, revision], counts)) = numbers.split_first_chunk() else {
            return Err(damaged());
        };
        let counts = <[u64; COUNTS]>::try_from(counts).ok().filter(|_| rest.is_empty());
        Ok(Reached {
            settled: EventTime::from_millis(settled as i64),
            oldest: EventTime::from_millis(oldest as i64),
            revision,
            counts: Counts::of_numbers(counts.ok_or_else(damaged)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(settled: i64, oldest: i64, revision: u64) -> Reached {
        let [settled, oldest] = [settled, oldest].map(EventTime::from_millis);
        let counts = Counts { late: revision, ..Counts::default() };
        Reached { settled, oldest, revision, counts }
    }

    #[test]
    fn it_reads_back_and_nothing_else_reads() {
        let reached = reached(-5, i64::MIN, 1 << 40);
        let bytes = reached.encode();
        assert_eq!(Reached::decode(&bytes), Ok(reached));
        assert!((0..bytes.len()).all(|length| Reached::decode(&bytes[..length]).is_err()));
        assert!(Reached::decode(&[&bytes[..], &[0]].concat()).is_err());
        let error = Reached::decode(&[&[9], &bytes[1..]].concat()).unwrap_err().to_string();
        assert!(error.ends_with("is written in version 9, and this weir reads 1"), "{error}");
    }

    #[test]
    fn of_groups_that_differ_none_loses_a_result_or_takes_a_revision_again() {
        let together = |one: Reached, other: Reached| {
            let Reached { settled, oldest, revision, counts } = one.together_with(other);
            (settled.millis(), oldest.millis(), revision, counts.late)
        };
        assert_eq!(together(reached(7, 1, 3), reached(5, 2, 9)), (5, 2, 9, 12));
        assert_eq!(together(reached(5, 2, 3), reached(7, 1, 2)), (5, 2, 3, 5));
    }
}
