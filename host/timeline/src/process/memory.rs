//! What is known of one key's logic at a moment: its state, its timer, and the newest row that it made.
//!
//! Knows when it is forgotten and how it is stored. Must not know how it got there.

use super::row;
use crate::bytes::{self, Reader};
use arrow_schema::DataType;
use weir_event::Rank;

/// What one key's logic is at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Memory {
    /// What it remembers; no bytes where nothing has happened.
    pub(super) state: Box<[u8]>,
    pub(super) timer: Option<i64>,
    /// How many timers have fired since its last event.
    pub(super) fired: u32,
    /// The time of its last event or timer.
    pub(super) last: Option<i64>,
    /// The rank of its last event.
    pub(super) rank: Rank,
    pub(super) newest: Option<NewestRow>,
}

/// The newest row of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewestRow {
    pub(super) time: i64,
    /// How many rows the key had made before at this time.
    pub(super) number: u32,
    /// As [`row::encode`] writes them.
    pub(super) values: Box<[u8]>,
}

impl Memory {
    /// Whether there is nothing to remember.
    pub(super) fn is_blank(&self) -> bool {
        self.state.is_empty() && self.timer.is_none() && self.newest.is_none()
    }

    /// Whether a pause up to `time` is longer than memories are kept.
    pub(super) fn is_forgotten(&self, time: i64, retention: Option<i64>) -> bool {
        let kept_until = self.last.zip(retention).map(|(last, retention)| last.saturating_add(retention));
        kept_until.is_some_and(|until| time > until)
    }

    /// The number of the next row that it makes at a time.
    pub(super) fn next_number(&self, time: i64) -> u32 {
        let of_time = self.newest.as_ref().filter(|newest| newest.time == time);
        of_time.map_or(0, |newest| newest.number.saturating_add(1))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.state.len() + self.newest.as_ref().map_or(0, |newest| newest.values.len())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flags = [self.timer.is_some(), self.last.is_some(), self.newest.is_some()];
        out.push(flags.iter().enumerate().map(|(bit, flag)| u8::from(*flag) << bit).sum());
        bytes::put_bytes(&self.state, out);
        self.timer.iter().chain(&self.last).for_each(|time| bytes::put_signed(*time, out));
        bytes::put_unsigned(u64::from(self.fired), out);
        bytes::put_rank(self.rank, out);
        if let Some(newest) = &self.newest {
            bytes::put_signed(newest.time, out);
            bytes::put_unsigned(u64::from(newest.number), out);
            bytes::put_bytes(&newest.values, out);
        }
    }

    /// `None` if the bytes make no sense, or those of the row are not of these types.
    pub(super) fn decode(reader: &mut Reader<'_>, types: &[DataType]) -> Option<Memory> {
        let flags = reader.byte().filter(|flags| *flags < 8)?;
        let has = |bit: u8| flags & (1 << bit) != 0;
        let state = reader.bytes()?.into();
        let timer = if has(0) { Some(reader.signed()?) } else { None };
        let last = if has(1) { Some(reader.signed()?) } else { None };
        let fired = u32::try_from(reader.unsigned()?).ok()?;
        let rank = reader.rank()?;
        let newest = if has(2) {
            let time = reader.signed()?;
            let number = u32::try_from(reader.unsigned()?).ok()?;
            let values = reader.bytes().filter(|values| row::reads(values, types))?;
            Some(NewestRow { time, number, values: values.into() })
        } else {
            None
        };
        Some(Memory { state, timer, fired, last, rank, newest })
    }
}
