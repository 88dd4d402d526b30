//! Panes of a stage in order of time, and how their tiles are stored: a tile is a pane's share of one key.

use crate::aggregate::AggregateError;
use crate::answer::{Block, BlockSink, Slot};
use crate::geometry::PaneStart;
use crate::pane::Pane;
use crate::slots::Slots;
use crate::spec::AggregateSpec;
use std::collections::BTreeMap;

/// Panes by start.
pub(crate) type Panes = BTreeMap<PaneStart, Pane>;

/// Shows the stored form of tiles that changed, as many as are `left` to be shown: the newest first, as that is where
/// they mostly are, so that a small share of them costs no walk over all panes.
pub(crate) fn encode_tiles(panes: &mut Panes, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
    let mut bytes = Vec::new();
    for (start, pane) in panes.iter_mut().rev() {
        if *left == 0 {
            return;
        }
        let dirty = pane.take_dirty(*left);
        *left -= dirty.len();
        for group in dirty {
            if pane.rows[group as usize] > 0 {
                encode_tile((*start, pane), group, slots, &mut bytes, out);
            }
        }
    }
}

/// Shows every tile.
pub(crate) fn encode_all_tiles(panes: &Panes, slots: &Slots, out: &mut BlockSink<'_>) {
    let mut bytes = Vec::new();
    for (start, pane) in panes {
        pane.live().for_each(|group| encode_tile((*start, pane), group, slots, &mut bytes, out));
    }
}

fn encode_tile(
    (start, pane): (PaneStart, &Pane),
    group: u32,
    slots: &Slots,
    bytes: &mut Vec<u8>,
    out: &mut BlockSink<'_>,
) {
    bytes.clear();
    pane.encode(group, bytes);
    let key = slots.key(Slot(pane.slots[group as usize]));
    out(key, Block { column: Block::TILES, level: 0, start: start.millis() }, Some(bytes));
}

/// Takes a stored tile of a key in.
pub(crate) fn decode_tile(
    panes: &mut Panes,
    aggregates: &[AggregateSpec],
    slots: &mut Slots,
    slot: Slot,
    start: PaneStart,
    stored: &[u8],
) -> Result<(), AggregateError> {
    let pane = panes.entry(start).or_insert_with(|| Pane::new(aggregates));
    let is_new = pane.group(slot.0).is_none();
    pane.decode(slot.0, stored)?;
    if is_new {
        slots.retain(slot.0);
    }
    Ok(())
}

/// Which of the slots have rows in a pane: their places among the slots, and their groups.
pub(crate) fn present(pane: &Pane, slots: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let found = slots.iter().enumerate().filter_map(|(place, slot)| Some((place as u32, pane.group(*slot)?)));
    found.unzip()
}
