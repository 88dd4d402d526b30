//! Keyed logic on random histories: what was returned, less what was taken away, and what lookups find are what the events
//! make when they go through the logic one by one, as if all had come in order.

use super::cases;
use super::model::{Op, Row};
use super::ops;
use crate::aggregate::AggregateError;
use crate::answer::{Block, Question, Results, Rows};
use crate::process::logic::{Events, FailedKey, KeyedLogic, LogicCard, Progress, Turn};
use crate::spec::{Frames, ProcessSpec, StageSpec};
use crate::timeline::Timelines;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int64Array, StringViewArray};
use arrow_schema::DataType;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use weir_event::{EventTime, Rank, Span, key_hash};

/// A row that was made: how many events there were, and a word.
type Made = (i64, Option<String>);

/// Counts a key's events until none has come for a while.
#[derive(Debug)]
struct Counting {
    card: LogicCard,
    /// How often something counted against it.
    misbehaved: AtomicUsize,
}

/// What it remembers: since when, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    since: i64,
    count: i64,
    timer: Option<i64>,
}

/// An event that it fails on.
const BAD: i64 = -5;

impl Counted {
    /// What an event does; `None` where it fails.
    fn event(&mut self, time: i64, whole: Option<i64>, word: Option<&str>) -> Option<Vec<Made>> {
        let whole = match whole {
            None => return Some(Vec::new()),
            Some(BAD) => return None,
            Some(whole) => whole,
        };
        if self.count == 0 {
            self.since = time;
        }
        self.count += 1;
        // One before the event counts as at it.
        self.timer = if whole == 4 { None } else { Some(time + if whole == 3 { -3 } else { 7 }) };
        let row = (self.count, word.map(str::to_owned));
        Some(match whole {
            5 => vec![row.clone(), row],
            whole if whole % 3 == 0 => vec![row],
            _ => Vec::new(),
        })
    }

    fn timer(&mut self, time: i64) -> Vec<Made> {
        let row = (self.count, None);
        if self.since % 2 == 0 && self.count > 1 {
            self.count -= 1;
            self.timer = Some(time + 5);
        } else {
            *self = Counted::default();
        }
        vec![row]
    }

    fn read(state: &[u8], timer: Option<i64>) -> Counted {
        let number = |at: usize| state[at..at + 8].try_into().map(i64::from_le_bytes).unwrap();
        if state.is_empty() {
            return Counted { timer, ..Counted::default() };
        }
        Counted { since: number(0), count: number(8), timer }
    }

    fn write(self) -> Box<[u8]> {
        if self.count == 0 {
            return Box::default();
        }
        [self.since.to_le_bytes(), self.count.to_le_bytes()].concat().into()
    }
}

fn columns_of(made: &[Made]) -> Vec<ArrayRef> {
    vec![
        Arc::new(made.iter().map(|(count, _)| Some(*count)).collect::<Int64Array>()),
        Arc::new(made.iter().map(|(_, word)| word.clone()).collect::<StringViewArray>()),
    ]
}

impl KeyedLogic for Counting {
    fn card(&self) -> &LogicCard {
        &self.card
    }

    fn on_events(&self, keys: Turn<'_>, events: Events<'_>) -> Result<Progress, AggregateError> {
        let (wholes, words) =
            (events.arguments[0].as_primitive::<Int64Type>(), events.arguments[1].as_string_view());
        let (mut progress, mut made, mut first) = (Progress::default(), Vec::new(), 0);
        for (key, count) in events.counts.iter().enumerate() {
            let mut memory = Counted::read(keys.states[key], keys.timers[key]);
            let own = first..first + *count as usize;
            let mut taken = 0;
            for at in own.clone() {
                if taken > 0 && memory.timer.is_some_and(|timer| timer < events.times[at]) {
                    break;
                }
                let whole = wholes.is_valid(at).then(|| wholes.value(at));
                let word = words.is_valid(at).then(|| words.value(at));
                let Some(rows) = memory.event(events.times[at], whole, word) else {
                    if taken == 0 {
                        let (key, reason) = (key as u32, "is bad".to_owned());
                        progress.failed.push(FailedKey { key, reason, misbehaved: true });
                        taken = 1;
                    }
                    break;
                };
                taken += 1;
                progress.made_by.extend(vec![at as u32; rows.len()]);
                made.extend(rows);
            }
            progress.states.push(memory.write());
            progress.timers.push(memory.timer);
            progress.taken.push(taken);
            first = own.end;
        }
        progress.rows = columns_of(&made);
        Ok(progress)
    }

    fn misbehaved(&self, _: &str) {
        self.misbehaved.fetch_add(1, Ordering::Relaxed);
    }

    fn on_timers(&self, keys: Turn<'_>) -> Result<Progress, AggregateError> {
        let (mut progress, mut made) = (Progress::default(), Vec::new());
        for (key, (state, timer)) in keys.states.iter().zip(keys.timers).enumerate() {
            let mut memory = Counted::read(state, None);
            let rows = memory.timer(timer.unwrap());
            progress.made_by.extend(vec![key as u32; rows.len()]);
            made.extend(rows);
            progress.states.push(memory.write());
            progress.timers.push(memory.timer);
            progress.taken.push(0);
        }
        progress.rows = columns_of(&made);
        Ok(progress)
    }
}

/// Everything that a key's events make, one after the other, with the timers before `until` behind the last.
fn oracle(rows: &[Row], retention: Option<i64>, until: i64) -> (BTreeMap<(i64, u32), Made>, Option<i64>) {
    let (mut memory, mut last): (Counted, Option<i64>) = (Counted::default(), None);
    let mut all: Vec<(i64, Made)> = Vec::new();
    let is_forgotten =
        |last: Option<i64>, time: i64| last.zip(retention).is_some_and(|(last, most)| time > last + most);
    let mut begun = 0;
    let mut rows = rows.iter().peekable();
    loop {
        let next = rows.peek().map(|row| row.time);
        let timer = memory.timer.filter(|timer| next.map_or(*timer < until, |next| *timer < next));
        let Some(time) = timer.or(next) else { break };
        if is_forgotten(last, time) {
            (memory, last, begun) = (Counted::default(), None, all.len());
            continue;
        }
        match (timer, rows.peek()) {
            (Some(time), _) => {
                memory.timer = None;
                all.extend(memory.timer(time).into_iter().map(|row| (time, row)));
                last = Some(time);
            }
            (None, Some(row)) => {
                let mut after = memory;
                if let Some(made) = after.event(row.time, row.whole, row.text.as_deref()) {
                    after.timer = after.timer.map(|timer| timer.max(row.time));
                    memory = after;
                    last = Some(row.time);
                    all.extend(made.into_iter().map(|made| (row.time, made)));
                }
                rows.next();
            }
            (None, None) => break,
        }
    }
    let mut numbered = BTreeMap::new();
    for (time, made) in &all {
        let number = numbered.range((*time, 0)..=(*time, u32::MAX)).count() as u32;
        numbered.insert((*time, number), made.clone());
    }
    let newest = (begun < all.len()).then(|| all[all.len() - 1].0);
    (numbered, newest.filter(|_| !is_forgotten(last, until.saturating_sub(1))))
}

struct Model {
    spec: Arc<StageSpec>,
    logic: Arc<Counting>,
    timelines: Timelines,
    stored: BTreeMap<(Vec<u8>, Block), Vec<u8>>,
    rows: Vec<Row>,
    returned: BTreeMap<(u8, i64, u32), Made>,
    refused: Vec<(u8, i64, Rank)>,
    settled: i64,
}

impl Model {
    fn new(history: i64, corrects: Option<i64>, retention: Option<i64>) -> Model {
        let results = vec![("n".to_owned(), DataType::Int64), ("word".to_owned(), DataType::Utf8View)];
        let card = LogicCard { results, identity: "counting".to_owned() };
        let logic = Arc::new(Counting { card, misbehaved: AtomicUsize::new(0) });
        let spec = Arc::new(StageSpec {
            frames: Frames::Process,
            aggregates: vec![],
            inputs: vec![DataType::Int64, DataType::Utf8View],
            carried: vec![],
            history: Span::from_millis(history),
            corrects: corrects.map(|corrects| Span::from_millis(corrects.min(history))),
            retention: retention.map(Span::from_millis),
            tail: None,
            emit_changes: false,
            results_below: None,
            process: Some(ProcessSpec { logic: logic.clone(), arguments: vec![0, 1] }),
        });
        let timelines = Timelines::new(spec.clone()).unwrap();
        let (stored, rows, returned) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Model { spec, logic, timelines, stored, rows, returned, refused: Vec::new(), settled: i64::MIN }
    }

    fn retention(&self) -> Option<i64> {
        self.spec.retention.map(Span::millis)
    }

    fn of_key(&self, key: u8, until: i64) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.rows.iter().filter(|row| row.key == key && row.time < until).cloned().collect();
        rows.sort_by_key(|row| (row.time, rank(row)));
        rows
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Insert(rows, _) => self.insert(rows),
            Op::Settle(to) => {
                self.settled = self.settled.max(to);
                let results = self.timelines.settle(EventTime::from_millis(to)).unwrap();
                self.take(&results)?;
                self.check_returned(self.settled, self.settled)?;
            }
            Op::Flush => {
                let results = self.timelines.flush().unwrap();
                self.take(&results)?;
                self.check_returned(i64::MAX, self.settled)?;
            }
            Op::Changes => prop_assert!(self.timelines.changes().unwrap().is_empty()),
            Op::Expire => self.timelines.expire(),
            Op::Restart => self.restart(),
            Op::Look(as_of) => self.look(as_of)?,
        }
        Ok(())
    }

    fn insert(&mut self, mut rows: Vec<Row>) {
        for row in &mut rows {
            row.offset = self.rows.len() as u64;
            let slot = self.timelines.slot_or_insert(&[row.key], key_hash(&[row.key]));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(vec![row.whole])),
                Arc::new(StringViewArray::from(vec![row.text.as_deref()])),
            ];
            let inserted = self.timelines.insert(&Rows {
                slots: &[slot],
                rows: &[0],
                times: &[row.time],
                ranks: &[rank(row)],
                columns: &columns,
                watermark: EventTime::from_millis(self.settled),
            });
            let inserted = inserted.unwrap();
            let reach = self.spec.corrects.map_or(0, Span::millis);
            if row.time < self.settled.saturating_sub(reach) {
                assert_eq!(inserted.too_late, [0]);
            }
            if inserted.too_late.is_empty() {
                self.rows.push(row.clone());
            }
        }
    }

    fn take(&mut self, results: &Results) -> Result<(), TestCaseError> {
        for refused in &results.refused {
            let of = (self.timelines.key(refused.slot)[0], refused.time, refused.rank);
            prop_assert!(!self.refused.contains(&of), "told twice: {of:?}");
            self.refused.push(of);
        }
        // Whatever lookups and late events have it go through again.
        prop_assert_eq!(self.logic.misbehaved.load(Ordering::Relaxed), self.refused.len());
        if results.is_empty() {
            return Ok(());
        }
        let times = results.carried[0].as_primitive::<TimestampMillisecondType>();
        for row in 0..results.len() {
            let (time, number) = results.made[row];
            prop_assert_eq!(times.value(row), time);
            let of = (self.timelines.key(results.slots[row])[0], time, number);
            if results.is_deleted(row) {
                prop_assert!(self.returned.remove(&of).is_some(), "{:?} was never returned", of);
                continue;
            }
            let made = made_at(&results.values, row);
            let before = self.returned.insert(of, made.clone());
            prop_assert_eq!(before.is_some(), results.revised[row], "{:?}", of);
            prop_assert_ne!(before, Some(made), "{:?} is returned as it was", of);
        }
        Ok(())
    }

    /// What was returned of times before `to` is what the events before it make, with the timers before `timers`.
    fn check_returned(&self, to: i64, timers: i64) -> Result<(), TestCaseError> {
        for key in 0..3 {
            let rows = self.of_key(key, to);
            let has_pending = rows.last().is_some_and(|row| row.time >= self.settled);
            // At a flush the timers behind the last event do not fire.
            let until = if has_pending { i64::MIN } else { timers };
            let (expected, _) = oracle(&rows, self.retention(), until);
            let returned = self.returned.range((key, i64::MIN, 0)..(key + 1, i64::MIN, 0));
            let returned: BTreeMap<(i64, u32), Made> = returned
                .filter(|((_, time, _), _)| *time < to)
                .map(|((_, time, number), made)| ((*time, *number), made.clone()))
                .collect();
            prop_assert_eq!(returned, expected, "key {}", key);
        }
        Ok(())
    }

    fn look(&mut self, as_of: i64) -> Result<(), TestCaseError> {
        if as_of < self.timelines.oldest().millis() {
            return Ok(());
        }
        for key in 0..3 {
            let question = Question::Process { as_of: EventTime::from_millis(as_of) };
            let values = match self.timelines.slot(&[key], key_hash(&[key])) {
                Some(slot) => self.timelines.snapshot(slot, &question).finish().unwrap(),
                None => self.timelines.absent().finish().unwrap(),
            };
            let (all, newest) = oracle(&self.of_key(key, as_of + 1), self.retention(), as_of + 1);
            let expected = newest.and_then(|time| all.range(..=(time, u32::MAX)).next_back());
            let found = (values.rows == [1]).then(|| made_at(&values.values, 0));
            prop_assert_eq!(found, expected.map(|(_, made)| made.clone()), "key {} as of {}", key, as_of);
            prop_assert_eq!(values.newest[0].map(EventTime::millis), expected.map(|((time, _), _)| *time));
        }
        Ok(())
    }

    fn restart(&mut self) {
        let stored = &mut self.stored;
        self.timelines.encode_dirty(&mut |key, block, bytes| {
            match bytes {
                Some(bytes) => stored.insert((key.to_vec(), block), bytes.to_vec()),
                None => stored.remove(&(key.to_vec(), block)),
            };
        });
        let mut all = BTreeMap::new();
        self.timelines.encode_all(&mut |key, block, bytes| {
            all.insert((key.to_vec(), block), bytes.unwrap().to_vec());
        });
        assert_eq!(*stored, all, "what is stored bit by bit is what there is");
        let mut timelines = Timelines::new(self.spec.clone()).unwrap();
        for ((key, block), bytes) in stored.iter() {
            timelines.decode(key, key_hash(key), *block, bytes).unwrap();
        }
        timelines.restore_done(self.timelines.settled(), self.timelines.oldest()).unwrap();
        self.timelines = timelines;
        self.stored.clear();
        self.timelines.encode_all(&mut |key, block, bytes| {
            self.stored.insert((key.to_vec(), block), bytes.unwrap().to_vec());
        });
    }
}

fn rank(row: &Row) -> Rank {
    Rank { offset: row.offset, ..Rank::default() }
}

fn made_at(values: &[ArrayRef], row: usize) -> Made {
    let word = values[1].as_string_view();
    (values[0].as_primitive::<Int64Type>().value(row), word.is_valid(row).then(|| word.value(row).to_owned()))
}

proptest! {
    #![proptest_config(cases(300, 3000))]

    #[test]
    fn rows_are_those_of_events_in_order(
        history in 0..60_i64,
        corrects in prop::option::of(0..60_i64),
        retention in prop::option::weighted(0.4, 1..60_i64),
        ops in ops(-60..120, 12, 20),
    ) {
        let mut model = Model::new(history, corrects, retention);
        for op in ops {
            model.apply(op)?;
        }
    }
}

#[test]
fn timers_without_end_end() {
    #[derive(Debug)]
    struct Restless(LogicCard);
    impl KeyedLogic for Restless {
        fn card(&self) -> &LogicCard {
            &self.0
        }
        fn on_events(&self, _: Turn<'_>, events: Events<'_>) -> Result<Progress, AggregateError> {
            let timers = vec![Some(events.times[0] + 1)];
            let (states, taken) = (vec![Box::from([1])], vec![1]);
            Ok(Progress {
                states,
                timers,
                taken,
                rows: vec![Arc::new(Int64Array::from(vec![0; 0]))],
                ..Progress::default()
            })
        }
        fn on_timers(&self, keys: Turn<'_>) -> Result<Progress, AggregateError> {
            let timers = keys.timers.iter().map(|timer| timer.map(|timer| timer + 1)).collect();
            let rows: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![0; 0]))];
            Ok(Progress { states: vec![Box::from([1])], timers, taken: vec![0], rows, ..Progress::default() })
        }
    }
    let card = LogicCard { results: vec![("n".to_owned(), DataType::Int64)], identity: String::new() };
    let process = Some(ProcessSpec { logic: Arc::new(Restless(card)), arguments: vec![] });
    let model = Model::new(0, None, None);
    let spec = StageSpec { process, ..(*model.spec).clone() };
    let mut timelines = Timelines::new(Arc::new(spec)).unwrap();
    let slot = timelines.slot_or_insert(b"a", key_hash(b"a"));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringViewArray::from(vec!["a"]))];
    let (rank, watermark) = (Rank { offset: 7, ..Rank::default() }, EventTime::MIN);
    let rows = Rows { slots: &[slot], rows: &[0], times: &[0], ranks: &[rank], columns: &columns, watermark };
    timelines.insert(&rows).unwrap();
    let results = timelines.settle(EventTime::from_millis(1 << 40)).unwrap();
    let [refused] = &results.refused[..] else { panic!("{:?}", results.refused) };
    assert_eq!((refused.time, refused.rank), (10_001, rank));
    assert!(refused.reason.contains("has fired 10000 times without an event"), "{}", refused.reason);
    assert_eq!(timelines.next_result_time(), None);
}

#[test]
fn many_events_in_a_row_that_are_left_out_are_no_obstacle() {
    let row = |time: i64, whole: i64| Row { key: 1, whole: Some(whole), ..Row::at(time) };
    let bad = (1..=40).map(|time| row(time, BAD));
    let first = std::iter::once(row(0, 3)).chain(bad).chain([row(50, 3), row(90, 3)]).collect();
    let mut model = Model::new(200, Some(200), None);
    for op in [Op::Insert(first, 0), Op::Settle(100), Op::Insert(vec![row(0, 6)], 0), Op::Settle(101)] {
        model.apply(op).unwrap();
    }
    assert_eq!(model.refused.len(), 40);
    for as_of in [0, 3, 45, 50, 95, 101] {
        model.apply(Op::Look(as_of)).unwrap();
    }
    model.apply(Op::Restart).unwrap();
    model.apply(Op::Insert(vec![row(2, 3)], 0)).unwrap();
    model.apply(Op::Settle(102)).unwrap();
}

#[test]
fn what_was_returned_goes_with_what_late_events_reach_however_long_a_key_is_remembered() {
    let mut model = Model::new(50, Some(50), Some(1_000_000));
    // The first event makes no row, so that the key is watched for its retention before anything is returned of it.
    model.insert(vec![Row { key: 1, whole: Some(1), ..Row::at(0) }]);
    model.apply(Op::Settle(5)).unwrap();
    let mut longest = 0;
    for time in 1..600 {
        model.insert(vec![Row { key: 1, whole: Some(3), ..Row::at(time * 10) }]);
        model.apply(Op::Settle(time * 10 + 5)).unwrap();
        model.apply(Op::Expire).unwrap();
        model.timelines.encode_all(&mut |_, block, bytes| {
            let is_memory = block.column == Block::MEMORIES;
            longest = longest.max(bytes.filter(|_| is_memory).map_or(0, <[u8]>::len));
        });
    }
    assert!(longest < 1000, "{longest} bytes are stored of a key");
}
