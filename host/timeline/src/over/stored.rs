//! What a checkpoint keeps of `OVER`: row logs, and tiles of what has left them.

use super::OverStage;
use crate::answer::{Block, BlockSink, DecodeError, Slot};
use crate::geometry::PaneStart;
use crate::marks::Marks;
use crate::slots::Slots;

impl OverStage {
    /// Shows what changed, as many blocks as are `left` to be shown, and counts them off.
    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        self.logs.encode_dirty(slots, left, out);
        if let Some(tail) = &mut self.tail {
            tail.encode_dirty(slots, left, out);
        }
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        self.logs.encode_all(slots, out);
        if let Some(tail) = &self.tail {
            tail.encode_all(slots, out);
        }
    }

    /// Whether a stored block is out of reach.
    pub(crate) fn is_gone(&self, block: Block) -> bool {
        let tail = self.tail.as_ref().filter(|_| block.column == Block::TILES);
        tail.is_some_and(|tail| tail.is_expired(PaneStart::from_millis(block.start)))
    }

    /// Takes a stored block of a key back.
    pub(crate) fn decode(
        &mut self,
        slots: &mut Slots,
        slot: Slot,
        block: Block,
        stored: &[u8],
    ) -> Result<(), DecodeError> {
        match (block.column, &mut self.tail) {
            (Block::ROWS, _) => self.logs.decode(slots, slot, block, stored),
            (Block::TILES, Some(tail)) => {
                let start = PaneStart::from_millis(block.start);
                let decoded = tail.decode(&self.spec, slots, slot, start, stored);
                decoded.map_err(|error| DecodeError::of_state(block, &error))
            }
            _ => Err(DecodeError::no_column(block)),
        }
    }

    pub(crate) fn restore_done(&mut self, settled: i64, oldest: i64) -> Vec<u32> {
        self.settled = settled;
        self.horizon = oldest;
        if oldest == i64::MIN {
            self.move_horizon();
        }
        let damaged = self.logs.restore_done(settled);
        for (slot, number, marks) in self.logs.marked(Marks::DUE.with(Marks::RETURNED)) {
            let time = self.logs.log(slot).time(number);
            if marks.has(Marks::DUE) {
                self.due.entry(slot).or_default().push(time);
            } else if time >= settled && marks.is_current() {
                self.returned_until = self.returned_until.max(time);
            }
        }
        if self.spec.emit_changes {
            for (slot, number, _) in self.logs.marked(Marks::LISTED) {
                let (block, row) = self.logs.log(slot).row(number);
                self.arrived.entry(slot).or_default().push(block.place(row));
            }
        }
        damaged
    }
}
