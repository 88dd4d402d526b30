//! Sessions and lifetime values on random histories: a plain list of rows says what must be returned, answered and
//! deleted.

use super::model::{Op, Row};
use super::oracle::{self, Cell};
use super::{cases, ops, testers};
use crate::aggregate::Algebra;
use crate::answer::{Block, Question, Results, Rows, Slot};
use crate::spec::{AggregateSpec, Frames, StageSpec};
use crate::timeline::Timelines;
use crate::windows::Session;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span, key_hash};

/// A key's rows without a long pause, in total order, and the operation that brought the newest.
#[derive(Debug, Clone)]
struct Run {
    rows: Vec<Row>,
    touched: usize,
}

impl Run {
    fn start(&self) -> i64 {
        self.rows[0].time
    }

    fn last(&self) -> i64 {
        self.rows[self.rows.len() - 1].time
    }
}

struct Model {
    spec: Arc<StageSpec>,
    gap: i64,
    is_session: bool,
    timelines: Timelines,
    stored: BTreeMap<(Vec<u8>, Block), Vec<u8>>,
    rows: Vec<(usize, Row)>,
    /// When each run was last returned, and the end that it had; by key and start.
    returned: BTreeMap<(u8, i64), (usize, i64)>,
    settled: i64,
    horizon: i64,
    clock: usize,
    /// How far the watermark of the rows' partition is ahead of the settled boundary.
    ahead: i64,
    /// What it was when rows last came.
    watermark: i64,
    /// Which of the testers' aggregates there are.
    aggregates: Vec<usize>,
}

/// What makes results be returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Settled,
    Flushed,
    Changed,
}

impl Model {
    fn new(frames: Frames, history: i64, retention: Option<i64>, emit_changes: bool) -> Model {
        let retention = retention.map(Span::from_millis);
        let (gap, is_session) = match &frames {
            Frames::Session(session) => (session.gap, true),
            _ => (retention.unwrap_or(Span::MAX), false),
        };
        let spec = Arc::new(StageSpec {
            frames,
            aggregates: testers::aggregates(1),
            inputs: testers::inputs(),
            carried: vec![],
            history: Span::from_millis(history),
            corrects: Some(Span::from_millis(history)),
            retention,
            tail: None,
            emit_changes,
            results_below: None,
            process: None,
        });
        let timelines = Timelines::new(spec.clone()).unwrap();
        let aggregates = (0..spec.aggregates.len()).collect();
        Model {
            spec,
            gap: gap.millis(),
            is_session,
            timelines,
            stored: BTreeMap::new(),
            rows: Vec::new(),
            returned: BTreeMap::new(),
            settled: i64::MIN,
            horizon: i64::MIN,
            clock: 0,
            ahead: 0,
            watermark: i64::MIN,
            aggregates,
        }
    }

    /// As it is, but late rows reach only so far back, and their partition's watermark is ahead.
    fn correcting(mut self, corrects: Option<i64>, ahead: i64) -> Model {
        let corrects = corrects.map(Span::from_millis);
        self.spec = Arc::new(StageSpec { corrects, ..(*self.spec).clone() });
        self.timelines = Timelines::new(self.spec.clone()).unwrap();
        self.ahead = ahead;
        self
    }

    /// As it is, with those aggregates alone that take rows in any order: then no row has to be kept for them.
    fn orderless(mut self) -> Model {
        let mut spec = (*self.spec).clone();
        let all: Vec<(usize, AggregateSpec)> = spec.aggregates.into_iter().enumerate().collect();
        let is_orderless =
            |it: &AggregateSpec| it.function.card().algebra == Algebra::Exact && !it.function.fallible();
        (self.aggregates, spec.aggregates) = all.into_iter().filter(|(_, it)| is_orderless(it)).unzip();
        self.spec = Arc::new(spec);
        self.timelines = Timelines::new(self.spec.clone()).unwrap();
        self
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        self.clock += 1;
        match op {
            Op::Insert(rows, behind) => self.insert(rows, behind),
            Op::Settle(to) => {
                self.settled = self.settled.max(to);
                let next = self.timelines.next_result_time();
                let results = self.timelines.settle(EventTime::from_millis(to)).unwrap();
                let is_early = next.is_none_or(|next| next.millis() > self.settled);
                prop_assert!(results.is_empty() || !is_early, "results before {:?}", next);
                self.check(&results, Why::Settled)?;
                self.horizon = self.horizon.max(self.settled.saturating_sub(self.spec.reach().millis()));
                prop_assert_eq!(self.timelines.oldest(), EventTime::from_millis(self.horizon));
                Ok(())
            }
            Op::Flush => {
                let results = self.timelines.flush().unwrap();
                self.check(&results, Why::Flushed)
            }
            Op::Changes => {
                let results = self.timelines.changes().unwrap();
                self.check(&results, Why::Changed)
            }
            Op::Expire => {
                self.timelines.expire();
                Ok(())
            }
            Op::Restart => self.restart(),
            Op::Look(time) => (0..4).try_for_each(|key| self.look(key, time, None)),
        }
    }

    fn insert(&mut self, mut rows: Vec<Row>, behind: i64) -> Result<(), TestCaseError> {
        self.watermark = self.settled.saturating_add(self.ahead).saturating_sub(behind);
        for (at, row) in rows.iter_mut().enumerate() {
            row.offset = (self.clock * 1000 + at) as u64;
        }
        let slot = |row: &Row| self.timelines.slot_or_insert(&[row.key], key_hash(&[row.key]));
        let slots: Vec<Slot> = rows.iter().map(slot).collect();
        let columns = testers::columns(&rows);
        let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
        let ranks: Vec<Rank> = rows.iter().map(Row::rank).collect();
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let watermark = EventTime::from_millis(self.watermark);
        let inserted = self
            .timelines
            .insert(&Rows {
                slots: &slots,
                rows: &all,
                times: &times,
                ranks: &ranks,
                columns: &columns,
                watermark,
            })
            .unwrap();
        let mut too_late = Vec::new();
        for (at, row) in rows.into_iter().enumerate() {
            match self.counts(&row) {
                true => self.rows.push((self.clock, row)),
                false => too_late.push(at as u32),
            }
        }
        prop_assert_eq!(inserted.too_late, too_late);
        Ok(())
    }

    /// Whether a row counts: of sessions, by all rows of its key that counted before it.
    fn counts(&self, row: &Row) -> bool {
        if !self.is_session {
            return row.time >= self.horizon;
        }
        let allow = self.spec.corrects.map_or(0, Span::millis);
        let floor = self.watermark.saturating_sub(allow).max(self.horizon);
        if row.time + self.gap >= floor {
            return true;
        }
        let is_near = |run: &Run| row.time + self.gap >= run.start() && row.time <= self.end(run);
        let joined: Vec<Run> = self.runs(row.key, i64::MAX).into_iter().filter(is_near).collect();
        let is_forgotten = self.spec.retention.is_some_and(|it| row.time + it.millis() <= floor);
        joined.iter().any(|run| self.end(run) >= floor)
            && joined.iter().all(|run| self.end(run) + self.gap >= floor)
            && !is_forgotten
    }

    /// A key's runs from rows up to a time, in order.
    fn runs(&self, key: u8, until: i64) -> Vec<Run> {
        let of_key = self.rows.iter().filter(|(_, row)| row.key == key && row.time <= until);
        let mut rows: Vec<&(usize, Row)> = of_key.collect();
        rows.sort_by_key(|(_, row)| row.place());
        let mut runs: Vec<Run> = Vec::new();
        for (clock, row) in rows {
            match runs.last_mut().filter(|run| row.time.saturating_sub(run.last()) <= self.gap) {
                Some(run) => {
                    run.rows.push(row.clone());
                    run.touched = run.touched.max(*clock);
                }
                None => runs.push(Run { rows: vec![row.clone()], touched: *clock }),
            }
        }
        runs
    }

    fn end(&self, run: &Run) -> i64 {
        run.last().saturating_add(self.gap)
    }

    /// Runs that are to be returned, by key and start.
    fn wanted(&self, why: Why) -> BTreeMap<(u8, i64), Run> {
        let mut wanted = BTreeMap::new();
        for key in 0..4 {
            let runs = self.runs(key, i64::MAX);
            let newest = runs.last().map(Run::start);
            for run in runs {
                let identity = (key, run.start());
                let is_new = self.returned.get(&identity).is_none_or(|(clock, _)| *clock < run.touched);
                let is_due = if self.is_session {
                    self.end(&run) >= self.horizon && (why != Why::Settled || self.end(&run) < self.settled)
                } else {
                    why != Why::Settled && newest == Some(run.start()) && self.end(&run) >= self.horizon
                };
                if is_new && is_due {
                    wanted.insert(identity, run);
                }
            }
        }
        wanted
    }

    /// Windows that were returned and are part of others now, with the time at which those end.
    fn gone(&self) -> BTreeMap<(u8, i64), i64> {
        let mut gone = BTreeMap::new();
        for (key, start) in self.returned.keys() {
            let runs = self.runs(*key, i64::MAX);
            let run = runs.iter().find(|run| run.start() <= *start && run.last() >= *start).unwrap();
            if run.start() != *start {
                gone.insert((*key, *start), self.end(run));
            }
        }
        gone
    }

    fn check(&mut self, results: &Results, why: Why) -> Result<(), TestCaseError> {
        prop_assert!(results.errors.is_empty() && results.refused.is_empty());
        let (wanted, gone) = (self.wanted(why), self.gone());
        let (mut seen, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        for at in 0..results.len() {
            let key = self.timelines.key(results.slots[at])[0];
            let cells: Vec<Cell> = results.values.iter().map(|values| Cell::of(values, at)).collect();
            if results.is_deleted(at) {
                let (start, end) = results.windows[at];
                prop_assert!(deleted.insert((key, start)), "{:?} deleted twice", start);
                prop_assert_eq!(self.returned.get(&(key, start)).map(|(_, end)| *end), Some(end));
                prop_assert!(results.revised[at]);
                continue;
            }
            let run = if self.is_session {
                wanted.get(&(key, results.windows[at].0))
            } else {
                wanted.values().find(|run| run.rows[0].key == key)
            };
            let Some(run) = run else { return Err(TestCaseError::fail(format!("{key} is not wanted"))) };
            if self.is_session {
                prop_assert_eq!(results.windows[at], (run.start(), self.end(run)));
                prop_assert_eq!(results.revised[at], self.returned.contains_key(&(key, run.start())));
            }
            prop_assert!(seen.insert((key, run.start())), "{:?} twice", run.start());
            let as_of = if self.is_session { self.end(run) } else { run.last() };
            self.compare(&cells, &run.rows, as_of, "returned")?;
            self.look(key, run.last(), Some(&cells))?;
        }
        prop_assert_eq!(seen.iter().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{:?}", why);
        if self.is_session {
            let in_reach = gone.iter().filter(|(_, end)| **end >= self.horizon).map(|(identity, _)| identity);
            prop_assert_eq!(deleted.iter().collect::<Vec<_>>(), in_reach.collect::<Vec<_>>(), "deleted");
        }
        self.returned.retain(|identity, _| !gone.contains_key(identity));
        for (identity, run) in wanted {
            self.returned.insert(identity, (self.clock, self.end(&run)));
        }
        Ok(())
    }

    fn compare(&self, cells: &[Cell], rows: &[Row], as_of: i64, what: &str) -> Result<(), TestCaseError> {
        let expected = oracle::values(&rows.iter().collect::<Vec<_>>(), as_of);
        for (aggregate, which) in self.aggregates.iter().enumerate() {
            if let Some(expected) = expected[*which].clone() {
                let name = &self.spec.aggregates[aggregate].function.card().identity;
                prop_assert_eq!(&cells[aggregate], &expected, "{}: {}", what, name);
            }
        }
        Ok(())
    }

    /// A lookup is what the list of rows says, and what was returned.
    fn look(&self, key: u8, time: i64, returned: Option<&[Cell]>) -> Result<(), TestCaseError> {
        if EventTime::from_millis(time) < self.timelines.oldest() {
            return Ok(());
        }
        let as_of = EventTime::from_millis(time);
        let question =
            if self.is_session { Question::Session { as_of } } else { Question::Lifetime { as_of } };
        let slot = self.timelines.slot(&[key], key_hash(&[key]));
        let snapshot =
            slot.map_or_else(|| self.timelines.absent(), |slot| self.timelines.snapshot(slot, &question));
        let values = snapshot.finish().unwrap();
        let is_forgotten = |run: &Run| match self.spec.retention {
            Some(retention) if self.is_session => self.end(run).saturating_add(retention.millis()) <= time,
            None if self.is_session => false,
            _ => self.end(run) < time,
        };
        let run = self.runs(key, time).pop().filter(|run| !is_forgotten(run));
        let rows = run.as_ref().map_or(&[][..], |run| &run.rows);
        let cells: Vec<Cell> = values.values.iter().map(|value| Cell::of(value, 0)).collect();
        let as_of = run.as_ref().filter(|_| self.is_session).map_or(time, |run| self.end(run));
        self.compare(&cells, rows, as_of, "looked up")?;
        if let Some(returned) = returned.filter(|_| run.is_some()) {
            prop_assert_eq!(&cells[..], returned);
        }
        prop_assert_eq!(values.rows, vec![rows.len() as u64]);
        prop_assert_eq!(values.newest, vec![rows.last().map(|row| EventTime::from_millis(row.time))]);
        let window = run.filter(|_| self.is_session).map(|run| (run.start(), self.end(&run)));
        let found = values.window.map(|(start, end)| (start.millis(), end.millis()));
        prop_assert_eq!(found, window);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), TestCaseError> {
        let stored = &mut self.stored;
        self.timelines.encode_dirty(&mut |key, block, bytes| {
            match bytes {
                Some(bytes) => stored.insert((key.to_vec(), block), bytes.to_vec()),
                None => stored.remove(&(key.to_vec(), block)),
            };
        });
        let mut fresh = Timelines::new(self.spec.clone()).unwrap();
        for ((key, block), bytes) in &self.stored {
            fresh.decode(key, key_hash(key), *block, bytes).unwrap();
            for cut in 0..bytes.len() {
                let mut broken = Timelines::new(self.spec.clone()).unwrap();
                prop_assert!(broken.decode(key, key_hash(key), *block, &bytes[..cut]).is_err());
            }
        }
        fresh.restore_done(EventTime::from_millis(self.settled), EventTime::MIN).unwrap();
        let (before, after) = (self.timelines.stats(), fresh.stats());
        prop_assert_eq!((before.tiles, before.rows), (after.tiles, after.rows));
        self.timelines = fresh;
        Ok(())
    }
}

fn session(gap: i64) -> Frames {
    Frames::Session(Session { gap: Span::from_millis(gap) })
}

fn with_changes(ops: Vec<(Vec<Op>, bool)>) -> impl Iterator<Item = Op> {
    ops.into_iter().flat_map(|(ops, are_asked)| ops.into_iter().chain(are_asked.then_some(Op::Changes)))
}

proptest! {
    #![proptest_config(cases(200, 3000))]

    #[test]
    fn sessions(
        gap in 1..30_i64,
        history in 0..60_i64,
        retention in prop::option::weighted(0.3, 1..80_i64),
        ops in ops(-60..120, 12, 20),
    ) {
        let mut model = Model::new(session(gap), history, retention, false);
        ops.into_iter().try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn late_rows_of_sessions(
        gap in 1..30_i64,
        history in 0..60_i64,
        allowed_percent in prop::option::of(0..100_i64),
        ahead in 0..30_i64,
        retention in prop::option::weighted(0.3, 1..80_i64),
        ops in ops(-60..120, 12, 20),
    ) {
        let allow = allowed_percent.map(|percent| history * percent / 100);
        let mut model = Model::new(session(gap), history, retention, false).correcting(allow, ahead);
        ops.into_iter().try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn late_rows_of_sessions_whose_rows_are_gone(
        gap in 1..30_i64,
        history in 0..30_i64,
        corrects in any::<bool>(),
        ops in ops(-60..120, 12, 20),
    ) {
        let allow = corrects.then_some(history);
        let mut model = Model::new(session(gap), history, None, false).correcting(allow, 0).orderless();
        ops.into_iter().try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn sessions_as_they_change(
        gap in 1..30_i64,
        history in 0..60_i64,
        ops in prop::collection::vec((ops(-60..120, 8, 3), any::<bool>()), 1..12),
    ) {
        let mut model = Model::new(session(gap), history, None, true);
        with_changes(ops).try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn lifetimes(
        history in 0..60_i64,
        retention in prop::option::of(1..60_i64),
        ops in prop::collection::vec((ops(-60..120, 8, 3), any::<bool>()), 1..12),
    ) {
        let mut model = Model::new(Frames::Lifetime, history, retention, true);
        with_changes(ops).try_for_each(|op| model.apply(op))?;
    }
}

proptest! {
    #![proptest_config(cases(10, 200))]

    #[test]
    fn long_sessions_lose_their_rows_but_not_their_values(gap in 5..60_i64, ops in ops(0..2000, 150, 10)) {
        let mut model = Model::new(session(gap), 100, None, false);
        ops.into_iter().try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn long_sessions_that_lost_their_rows_take_late_ones(gap in 5..60_i64, ops in ops(0..2000, 150, 10)) {
        let mut model = Model::new(session(gap), 40, None, false).orderless();
        ops.into_iter().try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn long_lives_lose_their_rows_but_not_their_values(ops in ops(0..2000, 150, 10)) {
        let mut model = Model::new(Frames::Lifetime, 100, None, true);
        for op in ops {
            model.apply(op)?;
            model.apply(Op::Changes)?;
        }
    }
}
