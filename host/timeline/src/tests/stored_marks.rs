//! What a checkpoint writes of marks: the same bytes as ever, of a tile, of a note, of a kept window, of a run and of
//! the rows of a log.

use super::failures;
use super::{grid, over};
use crate::aggregate::Algebra;
use crate::spec::{AggregateSpec, Frames, StageSpec};
use crate::timeline::Timelines;
use crate::windows::Session;
use crate::{Block, DecodeError, Rows, builtin};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::DataType;
use std::fmt::Write;
use std::sync::Arc;
use weir_event::{EventTime, PartitionId, Rank, Span, key_hash};

/// One aggregate that takes rows as they come, and one that takes them in order; late rows and lookups reach 20 back.
fn timelines(frames: Frames, emit_changes: bool) -> Timelines {
    let of = |name: &str, arguments: Vec<usize>| {
        let types: Vec<DataType> = arguments.iter().map(|_| DataType::Boolean).collect();
        let function = builtin(name, false, &types, &[]).unwrap();
        AggregateSpec { function, arguments, filter: None, frame: 0, edits: None }
    };
    let reach = Span::from_millis(20);
    Timelines::new(Arc::new(StageSpec {
        frames,
        aggregates: vec![of("COUNT", vec![]), of("STREAK", vec![0])],
        inputs: vec![DataType::Boolean],
        carried: vec![],
        history: reach,
        corrects: Some(reach),
        retention: None,
        tail: None,
        emit_changes,
        results_below: None,
        process: None,
    }))
    .unwrap()
}

/// Inserts rows of one key at these times, of a partition whose watermark this is; none is too late.
fn insert(timelines: &mut Timelines, watermark: i64, times: &[i64]) {
    let slots = vec![timelines.slot_or_insert(b"k", key_hash(b"k")); times.len()];
    let rows: Vec<u32> = (0..times.len() as u32).collect();
    let rank = |time: &i64| Rank { partition: PartitionId::default(), offset: *time as u64 };
    let ranks: Vec<Rank> = times.iter().map(rank).collect();
    let column: ArrayRef = Arc::new(BooleanArray::from(vec![true; times.len()]));
    let inserted = timelines.insert(&Rows {
        slots: &slots,
        rows: &rows,
        times,
        ranks: &ranks,
        columns: &[column],
        watermark: EventTime::from_millis(watermark),
    });
    assert_eq!(inserted.unwrap().too_late, Vec::<u32>::new());
}

fn settle(timelines: &mut Timelines, to: i64) {
    timelines.settle(EventTime::from_millis(to)).unwrap();
}

/// Every block of one column: its start, and its bytes in hexadecimal.
fn stored(timelines: &Timelines, column: u16) -> Vec<String> {
    let mut found = Vec::new();
    timelines.encode_all(&mut |_, block, bytes| {
        if block.column == column {
            let mut line = format!("{}:", block.start);
            bytes.unwrap_or_default().iter().for_each(|byte| write!(line, " {byte:02x}").unwrap());
            found.push(line);
        }
    });
    found.sort();
    found
}

/// What is stored of one column after each of some steps.
struct Steps {
    timelines: Timelines,
    column: u16,
    stored: Vec<Vec<String>>,
}

impl Steps {
    fn of(timelines: Timelines, column: u16) -> Steps {
        Steps { timelines, column, stored: Vec::new() }
    }

    fn then(mut self, step: impl FnOnce(&mut Timelines)) -> Steps {
        step(&mut self.timelines);
        self.stored.push(stored(&self.timelines, self.column));
        self
    }

    /// After each step there is one block at most, and these are its bytes.
    fn are(self, expected: &[&str]) {
        let blocks: Vec<String> = self.stored.iter().map(|blocks| blocks.join(", ")).collect();
        assert_eq!(blocks, expected);
    }
}

fn change(timelines: &mut Timelines) {
    timelines.changes().unwrap();
}

fn flush(timelines: &mut Timelines) {
    timelines.flush().unwrap();
}

fn session() -> Frames {
    Frames::Session(Session { gap: Span::from_millis(5) })
}

#[test]
fn of_a_tile() {
    Steps::of(timelines(grid(10, 10, 0), true), Block::TILES)
        .then(|it| insert(it, 0, &[1, 2]))
        .then(change)
        .then(|it| insert(it, 0, &[3]))
        .then(flush)
        .then(|it| insert(it, 0, &[4]))
        .then(|it| {
            settle(it, 10);
            insert(it, 10, &[5]);
        })
        .are(&[
            "0: 01 11 02 04 00 01 04 01 00",
            "0: 01 01 02 04 00 01 04 01 00",
            "0: 01 11 03 06 00 01 06 01 00",
            "0: 01 02 03 06 00 01 06 01 00",
            "0: 01 13 04 08 00 01 08 01 00",
            "0: 01 17 05 0a 01 01 0a 09 01 02 01 02 01 08 08 08 08",
        ]);
}

#[test]
fn of_a_note_on_a_window() {
    Steps::of(timelines(grid(10, 10, 0), true), Block::EMITTED)
        .then(|it| insert(it, 0, &[1]))
        .then(change)
        .then(|it| insert(it, 0, &[2]))
        .then(flush)
        .are(&["", "0: 01", "0: 00", ""]);
}

#[test]
fn of_a_kept_window() {
    Steps::of(timelines(grid(20, 10, 0), true), Block::KEPT)
        .then(|it| insert(it, 0, &[1, 12]))
        .then(|it| insert(it, 45, &[13]))
        .then(|it| insert(it, 0, &[14]))
        .then(change)
        .then(|it| insert(it, 0, &[15]))
        .then(flush)
        .then(|it| insert(it, 0, &[16]))
        .are(&[
            "",
            "0: 03 02 18 01 04 09 01 02 01 02 01 04 04 04 04 02 01 00 00 0d 01",
            "0: 03 03 1c 01 06 09 01 02 01 02 01 06 06 06 06 03 01 00 00 0d 01",
            "0: 03 03 1c 01 06 09 01 02 01 02 01 06 06 06 06 03 01 00 00 0d 00",
            "0: 03 04 1e 01 08 09 01 02 01 02 01 08 08 08 08 04 01 00 00 0d 01",
            "0: 03 04 1e 01 08 09 01 02 01 02 01 08 08 08 08 00 01 00 00 0d 00",
            "0: 03 05 20 01 0a 09 01 02 01 02 01 0a 0a 0a 0a 01 01 00 00 0d 01",
        ]);
}

#[test]
fn of_a_run() {
    Steps::of(timelines(session(), true), Block::RUNS)
        .then(|it| insert(it, 0, &[1, 2]))
        .then(change)
        .then(|it| insert(it, 0, &[3]))
        .then(|it| settle(it, 9))
        .then(|it| insert(it, 9, &[4]))
        .are(&[
            "1: 01 01 02 04 00 01 04 01 00",
            "1: 01 40 02 04 0e 00 01 04 01 00",
            "1: 01 41 03 06 0e 00 01 06 01 00",
            "1: 01 40 03 06 10 00 01 06 09 01 02 01 02 01 06 06 06 06",
            "1: 01 43 04 08 10 00 01 08 09 01 02 01 02 01 06 06 06 06",
        ]);
}

#[test]
fn of_events_that_are_returned_as_they_come() {
    Steps::of(timelines(over(&[Some(4)]), true), Block::ROWS)
        .then(|it| insert(it, 0, &[10, 12]))
        .then(change)
        .then(|it| insert(it, 0, &[9, 11]))
        .then(change)
        .then(|it| insert(it, 0, &[8]))
        .then(|it| {
            settle(it, 12);
            insert(it, 12, &[7]);
        })
        .are(&[
            "1: 01 02 01 14 04 00 00 01 14 04 00 08 00 00 00 02",
            "1: 01 02 01 14 04 00 00 01 14 04 00 04 00 00 00 02",
            "1: 01 04 01 12 02 02 02 00 00 01 12 02 02 02 01 08 03 04 03 00 00 00 02",
            "1: 01 04 01 12 02 02 02 00 00 01 12 02 02 02 01 04 1c 1b 00 00 00 00 02",
            "1: 01 05 01 10 02 02 02 02 00 00 01 10 02 02 02 02 01 08 03 1c 1b 00 00 00 00 02",
            "1: 01 06 01 0e 02 02 02 02 02 00 00 01 0e 02 02 02 02 02 01 0a 01 03 1c 1b 00 00 00 00 02",
        ]);
}

#[test]
fn of_events_that_a_flush_returns() {
    Steps::of(timelines(over(&[Some(4)]), false), Block::ROWS)
        .then(|it| insert(it, 0, &[10, 12]))
        .then(flush)
        .then(|it| insert(it, 0, &[9, 13]))
        .then(|it| {
            settle(it, 10);
            insert(it, 10, &[8]);
        })
        .are(&[
            "1: 01 02 01 14 04 00 00 01 14 04 00 00 00 00 00 02",
            "1: 01 02 01 14 04 00 00 01 14 04 00 04 00 00 00 02",
            "1: 01 04 01 12 02 04 02 00 00 01 12 02 04 02 01 08 03 00 03 00 00 00 02",
            "1: 01 05 01 10 02 02 04 02 00 00 01 10 02 02 04 02 01 0a 01 03 00 03 00 00 00 02",
        ]);
}

#[test]
fn of_a_row_that_was_refused() {
    let mut timelines = failures::timelines(session(), Algebra::Ordered, None);
    failures::insert(&mut timelines, &[(3, 1), (1, 100), (4, 7)]).unwrap();
    Steps::of(timelines, Block::ROWS)
        .then(|it| settle(it, 5))
        .are(&["1: 01 03 01 02 04 02 00 00 01 98 11 da 1d dc 0f 01 00 10 0f 00 00 01 c8 01 c5 01 0c"]);
}

/// Takes a row block with one row back, whose marks are stored as this number.
fn restored(marks: u8) -> Result<Timelines, DecodeError> {
    let mut timelines = timelines(over(&[Some(4)]), true);
    let block = Block { column: Block::ROWS, level: 0, start: 1 };
    let bytes = [1, 1, 0, 0x14, 0, 0, 0, 0x14, 0, marks << 1, 0, 0, 0, 2];
    timelines.decode(b"k", key_hash(b"k"), block, &bytes)?;
    timelines.restore_done(EventTime::MIN, EventTime::MIN)?;
    Ok(timelines)
}

#[test]
fn an_event_that_was_stale_when_a_flush_returned_it_is_not_returned_again() {
    // An older weir stored that it had been stale, beside that it was returned.
    let mut flushed = restored(16 | 2).unwrap();
    assert_eq!(stored(&flushed, Block::ROWS), ["1: 01 01 00 14 00 00 00 14 00 04 00 00 00 02"]);
    assert_eq!(flushed.settle(EventTime::from_millis(20)).unwrap().len(), 0);
    let stale = restored(16).unwrap().settle(EventTime::from_millis(20)).unwrap();
    assert_eq!(stale.revised, [true]);
}

#[test]
fn marks_that_no_weir_has_stored_are_damage() {
    assert!(restored(32).is_err());
}
