//! How far a key group has come: stored beside its blocks, so that it goes on alike wherever they are moved.
//!
//! Layout, integers little endian: version (1 byte); settled boundary, oldest time that may be asked for, and revision
//! (8 bytes each). Knows nothing of what the blocks hold.

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
}

impl Reached {
    /// Of a group that is held together with others. Where they differ, the boundary is the lower one: results in
    /// between are returned again, which whoever takes the last row of an identity does not see, and none is missing.
    #[must_use]
    pub(crate) fn together_with(self, other: Reached) -> Reached {
        Reached {
            settled: self.settled.min(other.settled),
            oldest: self.oldest.max(other.oldest),
            revision: self.revision.max(other.revision),
        }
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [self.settled.millis() as u64, self.oldest.millis() as u64, self.revision];
        let mut bytes = vec![VERSION];
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
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
        let ([settled, oldest, revision], []) = (numbers, rest) else { return Err(damaged()) };
        let time = |bytes: &[u8; 8]| EventTime::from_millis(i64::from_le_bytes(*bytes));
        Ok(Reached { settled: time(settled), oldest: time(oldest), revision: u64::from_le_bytes(*revision) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(settled: i64, oldest: i64, revision: u64) -> Reached {
        let [settled, oldest] = [settled, oldest].map(EventTime::from_millis);
        Reached { settled, oldest, revision }
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
        assert_eq!(reached(7, 1, 3).together_with(reached(5, 2, 9)), reached(5, 2, 9));
        assert_eq!(reached(5, 2, 3).together_with(reached(7, 1, 2)), reached(5, 2, 3));
    }
}
