//! What a checkpoint keeps of keyed logic: row logs, and of each key what it remembers and what was returned.
//!
//! Layout of what is kept of a key: version (1 byte); the base; whether what it is at the boundary follows (1 byte), and that;
//! whether a late event is due (1 byte), and its time; the rows that were returned: how many, and of each time, number and
//! hash. Numbers as `bytes.rs` writes them.

use super::memory::Memory;
use super::{Held, ProcessStage, Returned};
use crate::answer::{Block, BlockSink, DecodeError, Slot};
use crate::bytes::{self, Reader};
use crate::migration::Migrating;
use crate::slots::Slots;
use arrow_schema::DataType;

/// The version that this build writes, and the only one that it reads.
const VERSION: u8 = 1;

const NAME: Block = Block { column: Block::MEMORIES, level: 0, start: 0 };

/// What is stored of a key.
struct StoredMemory {
    base: Memory,
    ahead: Option<Box<Memory>>,
    due: Option<i64>,
    returned: Vec<Returned>,
}

impl ProcessStage {
    /// Shows what changed, as many blocks as are `left` to be shown, and counts them off.
    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        for key in self.graves.drain(..) {
            out(&key, NAME, None);
        }
        let rest = self.dirty.len().saturating_sub(*left);
        for slot in self.dirty.split_off(rest) {
            *left -= 1;
            let (due, held) = (self.due.get(&slot).copied(), &mut self.held[slot as usize]);
            held.is_dirty = false;
            if !held.is_blank() || due.is_some() {
                held.is_stored = true;
                out(slots.key(Slot(slot)), NAME, Some(&encode(held, due)));
            }
        }
        self.logs.encode_dirty(slots, left, out);
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        for (slot, held) in self.held.iter().enumerate() {
            let due = self.due.get(&(slot as u32)).copied();
            if !held.is_blank() || due.is_some() {
                out(slots.key(Slot(slot as u32)), NAME, Some(&encode(held, due)));
            }
        }
        self.logs.encode_all(slots, out);
    }

    /// Takes a stored block of a key back.
    pub(crate) fn decode(
        &mut self,
        slots: &mut Slots,
        slot: Slot,
        block: Block,
        stored: &[u8],
    ) -> Result<(), DecodeError> {
        match block.column {
            Block::ROWS => self.logs.decode(slots, slot, block, stored),
            Block::MEMORIES => {
                let damaged = || DecodeError::new(block, "what a key's logic remembers does not read");
                let StoredMemory { base, ahead, due, returned } =
                    decode(stored, &self.types).ok_or_else(damaged)?;
                self.make_room(slot.0 as usize + 1);
                self.due.extend(due.map(|due| (slot.0, due)));
                let held = &mut self.held[slot.0 as usize];
                *held = Held { base, ahead, returned, is_stored: true, ..Held::default() };
                if !held.is_blank() {
                    held.is_kept = true;
                    slots.retain(slot.0);
                }
                Ok(())
            }
            _ => Err(DecodeError::no_column(block)),
        }
    }

    /// Orders what was taken back. Gives the slots whose blocks contradict each other.
    pub(crate) fn restore_done(&mut self, slots: &Slots, settled: i64, oldest: i64) -> Vec<u32> {
        (self.settled, self.horizon) = (settled, oldest);
        if oldest == i64::MIN {
            self.move_horizon();
        }
        self.make_room(slots.bound());
        self.logs.make_room(slots.bound());
        let damaged = self.logs.restore_done(settled);
        for (slot, held) in self.held.iter().enumerate() {
            self.timers.extend(held.now().timer.map(|time| (time, slot as u32)));
            self.base_timers.extend(held.base.timer.map(|time| (time, slot as u32)));
        }
        for slot in 0..self.held.len() as u32 {
            self.watch(slot);
            self.note_returned_early(slot);
        }
        damaged
    }
}

fn encode(held: &Held, due: Option<i64>) -> Vec<u8> {
    written(&held.base, held.ahead.as_deref(), due, &held.returned)
}

/// A stored memory with states that another version of its logic makes of those in it.
pub(crate) fn restated(stored: &[u8], types: &[DataType], migrating: &mut Migrating) -> Option<Vec<u8>> {
    let StoredMemory { mut base, mut ahead, due, returned } = decode(stored, types)?;
    for memory in std::iter::once(&mut base).chain(ahead.as_deref_mut()) {
        // Of a key of which nothing has happened there is nothing to make.
        if !memory.state.is_empty() {
            let state = migrating.state(0, &memory.state)?.into_owned();
            memory.state = state.into();
        }
    }
    Some(written(&base, ahead.as_deref(), due, &returned))
}

fn written(base: &Memory, ahead: Option<&Memory>, due: Option<i64>, returned: &[Returned]) -> Vec<u8> {
    let mut out = vec![VERSION];
    base.encode(&mut out);
    out.push(u8::from(ahead.is_some()));
    if let Some(ahead) = ahead {
        ahead.encode(&mut out);
    }
    out.push(u8::from(due.is_some()));
    due.iter().for_each(|due| bytes::put_signed(*due, &mut out));
    bytes::put_unsigned(returned.len() as u64, &mut out);
    for Returned { time, number, hash } in returned {
        bytes::put_signed(*time, &mut out);
        bytes::put_unsigned(u64::from(*number), &mut out);
        out.extend_from_slice(&hash.to_le_bytes());
    }
    out
}

fn decode(stored: &[u8], types: &[DataType]) -> Option<StoredMemory> {
    let mut reader = Reader::new(stored);
    reader.byte().filter(|version| *version == VERSION)?;
    let base = Memory::decode(&mut reader, types)?;
    let ahead = match reader.byte()? {
        0 => None,
        1 => Some(Box::new(Memory::decode(&mut reader, types)?)),
        _ => return None,
    };
    let due = match reader.byte()? {
        0 => None,
        1 => Some(reader.signed()?),
        _ => return None,
    };
    let count = reader.count(10)?;
    let row = |_| {
        let (time, number) = (reader.signed()?, u32::try_from(reader.unsigned()?).ok()?);
        Some(Returned { time, number, hash: u64::from_le_bytes(*reader.take(8)?.first_chunk()?) })
    };
    let returned = (0..count).map(row).collect::<Option<Vec<Returned>>>()?;
    let is_sound = reader.is_empty() && returned.is_sorted_by(|a, b| (a.time, a.number) < (b.time, b.number));
    is_sound.then_some(StoredMemory { base, ahead, due, returned })
}
