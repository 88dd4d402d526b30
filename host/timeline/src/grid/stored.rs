//! What a checkpoint keeps of windows on a grid: tiles, kept windows, rows in order, notes of what was returned.

use super::{GridStage, change};
use crate::answer::{Block, BlockSink, DecodeError, Slot};
use crate::geometry::{PaneStart, WindowName};
use crate::slots::Slots;
use crate::tiles::{decode_tile, encode_all_tiles, encode_tiles};

impl GridStage {
    /// Shows what changed, as many blocks as are `left` to be shown, and counts them off.
    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        encode_tiles(&mut self.panes, slots, left, out);
        self.kept.encode_dirty(slots, left, out);
        if let Some(ordered) = &mut self.ordered {
            ordered.logs.encode_dirty(slots, left, out);
        }
        if let Some(changes) = &mut self.changes {
            changes.encode_dirty(slots, left, out);
        }
        self.bury_unread(out);
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        encode_all_tiles(&self.panes, slots, out);
        self.kept.encode_all(slots, out);
        if let Some(ordered) = &self.ordered {
            ordered.logs.encode_all(slots, out);
        }
        if let Some(changes) = &self.changes {
            changes.encode_all(slots, out);
        }
    }

    /// Whether a stored block is out of reach.
    pub(crate) fn is_gone(&self, block: Block) -> bool {
        let window = WindowName::from_millis(block.start);
        match block.column {
            Block::TILES => self.is_expired(PaneStart::from_millis(block.start)),
            Block::KEPT => self.oldest_kept().is_some_and(|oldest| window < oldest),
            Block::EMITTED => self.closed().is_some_and(|closed| window <= closed),
            _ => false,
        }
    }

    /// Takes a stored block of a key back.
    pub(crate) fn decode(
        &mut self,
        slots: &mut Slots,
        slot: Slot,
        block: Block,
        stored: &[u8],
    ) -> Result<(), DecodeError> {
        let (aggregates, window) = (&self.spec.aggregates, WindowName::from_millis(block.start));
        let decoded = match block.column {
            Block::TILES => {
                let start = PaneStart::from_millis(block.start);
                decode_tile(&mut self.panes, aggregates, slots, slot, start, stored)
            }
            Block::KEPT => self.kept.decode(aggregates, slots, (slot.0, window), stored),
            Block::EMITTED => match &mut self.changes {
                Some(changes) => changes.decode(slot.0, window, stored),
                None => {
                    self.unread.push((slots.key(slot).into(), window));
                    Ok(())
                }
            },
            _ => {
                let ordered = self.ordered.as_mut().filter(|_| block.column == Block::ROWS);
                let no_column = || Err(DecodeError::no_column(block));
                return ordered.map_or_else(no_column, |it| it.logs.decode(slots, slot, block, stored));
            }
        };
        decoded.map_err(|error| DecodeError::of_state(block, &error))
    }

    pub(crate) fn restore_done(&mut self, settled: i64, oldest: i64) -> Vec<u32> {
        (self.settled, self.closed) = (settled, self.geometry.last_complete(settled));
        self.horizon = oldest;
        if oldest == i64::MIN {
            self.move_horizon();
        }
        for (start, pane) in &self.panes {
            let due = pane.live().filter(|group| pane.due(*group) > 0);
            self.due.extend(due.map(|group| (*start, pane.slots[group as usize])));
        }
        if let Some(changes) = &mut self.changes {
            changes.restore_done(&self.panes, self.closed);
        }
        let Some(ordered) = &mut self.ordered else { return Vec::new() };
        ordered.restore_done(&self.panes, settled)
    }

    /// Shows that notes of a time when changes were asked for are gone.
    pub(crate) fn bury_unread(&mut self, out: &mut BlockSink<'_>) {
        for (key, window) in self.unread.drain(..) {
            out(&key, change::name(window), None);
        }
    }
}
