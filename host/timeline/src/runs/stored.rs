//! How runs are stored, and how they come back.

use super::RunStage;
use super::table::Run;
use crate::aggregate::AggregateError;
use crate::answer::{Block, BlockSink, DecodeError, Slot};
use crate::bytes::{self, Reader};
use crate::marks::{Marks, StoredMarks};
use crate::migration::Migrating;
use crate::slots::Slots;
use crate::state_origins::StateOrigins;
use std::cmp::Reverse;

/// Version of a stored run's bytes.
const FORMAT: u8 = 1;

/// What of a run's marks is stored. Of one that was returned, the window's end follows.
const STORED_MARKS: StoredMarks =
    StoredMarks(&[(Marks::CHANGED, 1), (Marks::REFOLD, 2), (Marks::RETURNED, 64)]);
/// Beside the marks: rows are gone from the log; the newest one's time and their states follow.
const BASED: u8 = 128;

fn name(start: i64) -> Block {
    Block { column: Block::RUNS, level: 0, start }
}

fn damaged() -> AggregateError {
    AggregateError::Damaged("a run's head does not read".to_owned())
}

/// A stored run that was read.
struct Stored<'a> {
    run: Run,
    gone: Vec<(i64, i64)>,
    states: Vec<&'a [u8]>,
    base: Option<(i64, Vec<&'a [u8]>)>,
}

/// What stands before a stored run's states.
struct Head {
    marks: Marks,
    rows: u64,
    last: i64,
    returned: Option<i64>,
    /// Time of the newest row that is gone from the log, if one is.
    base_last: Option<i64>,
}

impl RunStage {
    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        let mut bytes = Vec::new();
        for run in self.table.live() {
            let Run { slot, start, .. } = *self.table.run(run);
            bytes.clear();
            self.encode(run, &mut bytes);
            out(slots.key(Slot(slot)), name(start), Some(&bytes));
        }
        self.logs.encode_all(slots, out);
    }

    /// Shows what changed, as many blocks as are `left` to be shown, and counts them off.
    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        for (key, start) in self.graves.drain(..) {
            out(&key, name(start), None);
        }
        let mut bytes = Vec::new();
        let rest = self.dirty.len().saturating_sub(*left);
        for run in self.dirty.split_off(rest) {
            *left -= 1;
            let run_now = self.table.run_mut(run);
            if !run_now.marks.has(Marks::DIRTY) || run_now.rows == 0 {
                continue;
            }
            run_now.marks = run_now.marks.without(Marks::DIRTY).with(Marks::STORED);
            let (slot, start) = (run_now.slot, run_now.start);
            bytes.clear();
            self.encode(run, &mut bytes);
            out(slots.key(Slot(slot)), name(start), Some(&bytes));
        }
        self.logs.encode_dirty(slots, left, out);
    }

    fn encode(&self, run: u32, out: &mut Vec<u8>) {
        let run_now = self.table.run(run);
        let base = self.bases.last(run);
        let marks = run_now.marks.with_if(Marks::RETURNED, run_now.returned.is_some());
        out.push(FORMAT);
        out.push(STORED_MARKS.write(marks) | if base.is_some() { BASED } else { 0 });
        bytes::put_unsigned(run_now.rows, out);
        bytes::put_signed(run_now.last, out);
        run_now.returned.into_iter().chain(base).for_each(|time| bytes::put_signed(time, out));
        let gone = self.gone.get(&run).map_or(&[][..], Vec::as_slice);
        bytes::put_unsigned(gone.len() as u64, out);
        for (start, end) in gone {
            bytes::put_signed(*start, out);
            bytes::put_signed(*end, out);
        }
        let mut state = Vec::new();
        for (at, states) in self.states.iter().enumerate() {
            state.clear();
            states.encode(run, &mut state);
            bytes::put_bytes(&state, out);
            if base.is_some() {
                state.clear();
                self.bases.encode(at, run, &mut state);
                bytes::put_bytes(&state, out);
            }
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
        match block.column {
            Block::ROWS => self.logs.decode(slots, slot, block, stored),
            Block::RUNS => {
                let decoded = self.decode_run(slots, slot, block.start, stored);
                decoded.map_err(|error| DecodeError::of_state(block, &error))
            }
            _ => Err(DecodeError::no_column(block)),
        }
    }

    fn decode_run(
        &mut self,
        slots: &mut Slots,
        slot: Slot,
        start: i64,
        stored: &[u8],
    ) -> Result<(), AggregateError> {
        let Stored { run, gone, states, base } =
            read(stored, slot.0, start, self.states.len()).ok_or_else(damaged)?;
        let number = self.table.restore(run);
        slots.retain(slot.0);
        for (own, bytes) in self.states.iter_mut().zip(states) {
            own.resize(self.table.bound());
            own.decode(number, bytes)?;
        }
        if let Some((last, states)) = base {
            self.bases.decode(number, last, &states)?;
        }
        if !gone.is_empty() {
            self.gone.insert(number, gone);
        }
        Ok(())
    }

    /// Orders what was taken back. Gives the slots whose blocks contradict each other.
    pub(crate) fn restore_done(&mut self, slots: &Slots, settled: i64, oldest: i64) -> Vec<u32> {
        self.settled = settled;
        self.horizon = oldest;
        if oldest == i64::MIN {
            self.move_horizon();
        }
        self.logs.make_room(slots.bound());
        let mut damaged = self.logs.restore_done(if self.defers { settled } else { i64::MAX });
        damaged.extend(self.table.restore_done());
        for run in self.table.live().collect::<Vec<u32>>() {
            let Run { slot, start, last, rows, marks, .. } = *self.table.run(run);
            let log = self.logs.log(slot);
            let logged = log.first_after(last) - log.first_at(start);
            if logged > rows {
                damaged.push(slot);
            }
            self.table.run_mut(run).logged = logged;
            if marks.has(Marks::REFOLD) {
                self.refold.push(run);
            }
            if marks.has(Marks::CHANGED) {
                self.list(run);
            }
            let end = self.table.end(run);
            if self.closes && (end >= settled || marks.has(Marks::CHANGED)) {
                self.table.run_mut(run).queued = end;
                self.closing.push(Reverse((end, run)));
            } else {
                self.table.run_mut(run).is_closed = true;
                self.await_expiry(run);
            }
        }
        damaged
    }
}

/// A stored run with the states of other aggregates.
pub(crate) fn restated(stored: &[u8], states: &StateOrigins, migrating: &mut Migrating) -> Option<Vec<u8>> {
    let mut reader = Reader::new(stored);
    let (head, _) = Head::read(&mut reader)?;
    let mut out = reader.read_of(stored).to_vec();
    // Where rows are gone, each state is followed by that of those.
    let each = if head.base_last.is_some() { 2 } else { 1 };
    states.copy(&mut reader, each, migrating, &mut out)?;
    reader.is_empty().then_some(out)
}

fn read(stored: &[u8], slot: u32, start: i64, aggregates: usize) -> Option<Stored<'_>> {
    let mut reader = Reader::new(stored);
    let (head, gone) = Head::read(&mut reader)?;
    let Head { marks, rows, last, returned, base_last } = head;
    let (mut states, mut base_states) = (Vec::new(), Vec::new());
    for _ in 0..aggregates {
        states.push(reader.bytes()?);
        if base_last.is_some() {
            base_states.push(reader.bytes()?);
        }
    }
    let marks = marks.without(Marks::RETURNED).with(Marks::STORED);
    let run = Run { slot, start, last, rows, marks, returned, ..Run::default() };
    let is_sound = reader.is_empty() && last >= start;
    is_sound.then_some(Stored { run, gone, states, base: base_last.map(|last| (last, base_states)) })
}

impl Head {
    /// Reads what stands before the states, and the windows that are no more.
    fn read(reader: &mut Reader<'_>) -> Option<(Head, Vec<(i64, i64)>)> {
        reader.byte().filter(|format| *format == FORMAT)?;
        let head = reader.byte()?;
        let marks = STORED_MARKS.read(head & !BASED)?;
        let rows = reader.unsigned().filter(|rows| *rows > 0)?;
        let last = reader.signed()?;
        let returned = if marks.has(Marks::RETURNED) { Some(reader.signed()?) } else { None };
        let base_last = if head & BASED != 0 { Some(reader.signed()?) } else { None };
        let windows = reader.count(2)?;
        let mut gone = Vec::with_capacity(windows);
        for _ in 0..windows {
            gone.push((reader.signed()?, reader.signed()?));
        }
        Some((Head { marks, rows, last, returned, base_last }, gone))
    }
}
