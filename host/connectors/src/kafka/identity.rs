//! What tells a topic's log from another one under its name: the record that was read last.
//!
//! A topic may be deleted and made anew, and a log cut off and filled again; offsets then go on in another log as if
//! nothing had happened. So a position carries the last record that was read: its offset, its time and a sum over what it
//! says. Reading goes on with that record, which must be the same and is not handed out again. librdkafka keeps the
//! topic's id and compares leaders' epochs by itself, but shows neither.
//!
//! Only compaction may take that record out of a log that is the same: a topic that is compacted goes on without it.

use super::queue::Record;
use rdkafka::Timestamp;
use std::fmt;
use std::str::FromStr;
use weir_event::Position;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The record that was read last in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastRead {
    pub(super) offset: i64,
    /// As the broker keeps it, milliseconds; -1 where it has none.
    time: i64,
    sum: u64,
}

impl LastRead {
    /// Of a record's parts; `None` for the payload of a tombstone.
    pub(super) fn new(offset: i64, time: Timestamp, payload: Option<&[u8]>) -> LastRead {
        // The seed tells a tombstone from an empty payload.
        let sum = xxh3_64_with_seed(payload.unwrap_or_default(), u64::from(payload.is_some()));
        LastRead { offset, time: time.to_millis().unwrap_or(-1), sum }
    }

    /// What a position says; `None` where it is of an older weir or nothing was read before it.
    pub(super) fn before(position: &Position) -> Option<LastRead> {
        // Where topics are read by a pattern, it stands behind the partition's name.
        position.place.rsplit(' ').next()?.parse().ok()
    }

    /// What a record says of the log that it comes from.
    pub(super) fn compare(&self, record: &Record<'_>) -> Likeness {
        match record.offset {
            offset if offset < self.offset => Likeness::Earlier,
            offset if offset > self.offset => Likeness::Gone,
            offset if LastRead::new(offset, record.time, record.payload) == *self => Likeness::Same,
            _ => Likeness::Other,
        }
    }
}

/// What a record is, compared with the one that was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It lies before it.
    Earlier,
    /// It is that record.
    Same,
    /// It is another one at its offset.
    Other,
    /// It lies behind it, and so the record is not there any more.
    Gone,
}

impl fmt::Display for LastRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{:016x}", self.offset, self.time, self.sum)
    }
}

impl FromStr for LastRead {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (offset, rest) = text.split_once('@').ok_or(())?;
        let (time, sum) = rest.split_once('#').ok_or(())?;
        Ok(LastRead {
            offset: offset.parse().map_err(|_| ())?,
            time: time.parse().map_err(|_| ())?,
            sum: u64::from_str_radix(sum, 16).map_err(|_| ())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_from_a_position() {
        let position = |place: &str| Position { next: 42, place: place.to_owned() };
        for time in [Timestamp::NotAvailable, Timestamp::CreateTime(-5), Timestamp::LogAppendTime(7)] {
            let last = LastRead::new(41, time, Some(b"x"));
            assert_eq!(LastRead::before(&position(&last.to_string())), Some(last));
        }
        for other in ["", "41", "41@7", "41@7#x", "@#"] {
            assert_eq!(LastRead::before(&position(other)), None, "{other}");
        }
    }

    #[test]
    fn records_that_differ_in_anything_differ() {
        let time = Timestamp::CreateTime(7);
        let all = [
            LastRead::new(41, time, Some(b"x")),
            LastRead::new(42, time, Some(b"x")),
            LastRead::new(41, Timestamp::CreateTime(8), Some(b"x")),
            LastRead::new(41, time, Some(b"y")),
            LastRead::new(41, time, Some(b"")),
            LastRead::new(41, time, None),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{one}");
        }
    }
}
