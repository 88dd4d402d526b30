//! What a timeline must do, kept as a plain list of rows, and the random operations on both.

use super::oracle::{self, Cell};
use super::windows_model::windows_over;
use super::{over_frames, testers};
use crate::answer::{Block, Inserted, Question, Results, Rows, Slot, list_view_type, to_lists};
use crate::spec::{Frames, StageSpec};
use crate::timeline::Timelines;
use arrow_array::{Array, ArrayRef};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_event::{EventTime, PartitionId, Rank, Span, key_hash};

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: u8,
    pub(super) time: i64,
    pub(super) partition: u16,
    pub(super) offset: u64,
    pub(super) whole: Option<i64>,
    pub(super) double: Option<f64>,
    pub(super) text: Option<String>,
    pub(super) flag: Option<bool>,
}

impl Row {
    /// A row of which nothing but its time matters.
    pub(super) fn at(time: i64) -> Row {
        let (whole, double, text, flag) = (Some(1), None, None, None);
        Row { key: 0, time, partition: 0, offset: time as u64, whole, double, text, flag }
    }

    pub(super) fn rank(&self) -> Rank {
        Rank { partition: PartitionId { source: 0, partition: self.partition }, offset: self.offset }
    }

    pub(super) fn place(&self) -> (i64, Rank) {
        (self.time, self.rank())
    }
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Rows, and how far the watermark of their partition is behind the settled boundary; ahead, if it is negative.
    Insert(Vec<Row>, i64),
    Settle(i64),
    Flush,
    Changes,
    Expire,
    Restart,
    /// Asks everything about this time.
    Look(i64),
}

/// Whose result it is: key, and window or event.
type Identity = (u8, i64, i64, Rank);

pub(super) struct Model {
    spec: Arc<StageSpec>,
    timelines: Timelines,
    stored: BTreeMap<(Vec<u8>, Block), Vec<u8>>,
    /// With the number of the operation that brought them.
    rows: Vec<(usize, Row)>,
    /// When each result was last returned.
    returned: BTreeMap<Identity, usize>,
    /// Keys, times and ranks of rows since changes were last asked for.
    listed: BTreeSet<(u8, i64, Rank)>,
    /// What each row came too late for: windows that ended before.
    arrivals: BTreeMap<Rank, i64>,
    /// `OVER` only: the rows of each result's frames as they were when it was last returned.
    framed: BTreeMap<Identity, Vec<over_frames::Places>>,
    settled: i64,
    /// That of the partition of the rows that came last.
    watermark: i64,
    horizon: i64,
    clock: usize,
    list_views: bool,
    is_quiet: bool,
    is_asked_in_order: bool,
}

impl Model {
    pub(super) fn new(frames: Frames, history: i64) -> Model {
        let (count, carried) = match &frames {
            Frames::Over(frames) => (frames.len(), vec![2, 0]),
            _ => (1, vec![]),
        };
        let spec = Arc::new(StageSpec {
            frames,
            aggregates: testers::aggregates(count),
            inputs: testers::inputs(),
            carried,
            history: Span::from_millis(history),
            corrects: Some(Span::from_millis(history)),
            retention: None,
            tail: None,
            emit_changes: false,
            results_below: None,
            process: None,
        });
        let timelines = Timelines::new(spec.clone()).unwrap();
        let (stored, rows) = (BTreeMap::new(), Vec::new());
        let (returned, framed, arrivals) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (settled, horizon) = (i64::MIN, i64::MIN);
        let (listed, clock, list_views) = (BTreeSet::new(), 0, false);
        let (is_quiet, is_asked_in_order) = (false, false);
        Model {
            spec,
            timelines,
            stored,
            rows,
            returned,
            listed,
            arrivals,
            framed,
            settled,
            watermark: i64::MIN,
            horizon,
            clock,
            list_views,
            is_quiet,
            is_asked_in_order,
        }
    }

    /// As it is, but late rows reach only so far back.
    pub(super) fn correcting(mut self, allow: i64) -> Model {
        let corrects = Some(Span::from_millis(allow));
        self.spec = Arc::new(StageSpec { corrects, ..(*self.spec).clone() });
        self.timelines = self.fresh();
        self
    }

    /// As it is, with a retention.
    pub(super) fn retaining(mut self, retention: Option<i64>) -> Model {
        let retention = retention.map(Span::from_millis);
        self.spec = Arc::new(StageSpec { retention, ..(*self.spec).clone() });
        self.timelines = self.fresh();
        self
    }

    /// As it is, with frames that begin at a multiple of a step.
    pub(super) fn tailing(mut self, step: i64) -> Model {
        self.spec = Arc::new(StageSpec { tail: Some(Span::from_millis(step)), ..(*self.spec).clone() });
        self.timelines = self.fresh();
        self
    }

    /// As it is, asked for changes or not.
    pub(super) fn changing(mut self, emit_changes: bool) -> Model {
        self.spec = Arc::new(StageSpec { emit_changes, ..(*self.spec).clone() });
        self.timelines = self.fresh();
        self
    }

    /// As it is, with lists as views or not.
    pub(super) fn viewing(mut self, list_views: bool) -> Model {
        self.list_views = list_views;
        self.timelines = self.fresh();
        self
    }

    /// As it is, but nobody wants results; or nobody asks but who inserts.
    pub(super) fn unheard(mut self, is_asked_in_order: bool) -> Model {
        (self.is_quiet, self.is_asked_in_order) = (true, is_asked_in_order);
        self.timelines = self.fresh();
        self
    }

    fn fresh(&self) -> Timelines {
        let timelines = Timelines::new(self.spec.clone()).unwrap();
        let timelines = match (self.is_asked_in_order, self.is_quiet) {
            (true, _) => timelines.asked_in_order(),
            (false, true) => timelines.without_results(),
            (false, false) => timelines,
        };
        if self.list_views { timelines.with_list_views() } else { timelines }
    }

    /// Columns with every list on its own, once their types are what they must be.
    fn plain(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>, TestCaseError> {
        for (values, aggregate) in values.iter().zip(&self.spec.aggregates) {
            let result = &aggregate.function.card().result;
            let expected = if self.list_views { list_view_type(result) } else { result.clone() };
            prop_assert_eq!(values.data_type(), &expected);
        }
        Ok(values.iter().map(|values| to_lists(values).unwrap()).collect())
    }

    pub(super) fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        self.clock += 1;
        match op {
            Op::Insert(rows, behind) => self.insert(rows, behind),
            Op::Settle(to) => {
                self.settled = self.settled.max(to);
                let next = self.timelines.next_result_time();
                let results = self.timelines.settle(EventTime::from_millis(to)).unwrap();
                let has_missed = next.is_none_or(|next| next.millis() > self.settled);
                prop_assert!(results.is_empty() || !has_missed, "results before {:?}", next);
                self.check(&results, false)?;
                self.horizon = self.horizon.max(self.settled.saturating_sub(self.spec.reach().millis()));
                prop_assert_eq!(self.timelines.oldest(), EventTime::from_millis(self.horizon));
                Ok(())
            }
            Op::Flush => {
                let results = self.timelines.flush().unwrap();
                self.listed.clear();
                self.check(&results, true)
            }
            Op::Changes => {
                let results = self.timelines.changes().unwrap();
                self.check_changes(&results)
            }
            Op::Expire => {
                self.timelines.expire();
                Ok(())
            }
            Op::Restart => self.restart(),
            Op::Look(time) => self.look(time),
        }
    }

    fn insert(&mut self, mut rows: Vec<Row>, behind: i64) -> Result<(), TestCaseError> {
        self.watermark = self.settled.saturating_sub(behind);
        for (at, row) in rows.iter_mut().enumerate() {
            row.offset = (self.clock * 1000 + at) as u64;
        }
        let inserted = insert_rows_of(&mut self.timelines, &rows, EventTime::from_millis(self.watermark));
        let before = rows.len();
        rows.retain(|row| !self.windows(row.time).is_empty());
        prop_assert_eq!(inserted.between as usize, before - rows.len());
        let before = rows.len();
        rows.retain(|row| self.is_in_reach(row.time));
        prop_assert_eq!(inserted.too_late.len(), before - rows.len());
        self.listed.extend(rows.iter().map(|row| (row.key, row.time, row.rank())));
        let floor = self.floor();
        self.arrivals.extend(rows.iter().map(|row| (row.rank(), floor)));
        self.rows.extend(rows.into_iter().map(|row| (self.clock, row)));
        Ok(())
    }

    /// Windows over a time; of `OVER`, what stands for the event's own.
    fn windows(&self, time: i64) -> Vec<(i64, i64)> {
        if matches!(self.spec.frames, Frames::Over(_)) {
            return vec![(time, time)];
        }
        windows_over(&self.spec.frames, time)
    }

    fn is_in_reach(&self, time: i64) -> bool {
        match &self.spec.frames {
            Frames::Over(_) => time >= self.floor(),
            _ => self.windows(time).iter().any(|(_, end)| *end > self.floor()),
        }
    }

    /// The rows that came last change nothing that ended before.
    fn floor(&self) -> i64 {
        let allow = self.spec.corrects.map_or(0, Span::millis);
        self.watermark.saturating_sub(allow).max(self.horizon)
    }

    /// A key's rows with `from <= time < to`, in total order.
    fn rows_of(&self, key: u8, from: i64, to: i64) -> Vec<&(usize, Row)> {
        let is_in = |row: &&(usize, Row)| row.1.key == key && (from..to).contains(&row.1.time);
        let mut rows: Vec<&(usize, Row)> = self.rows.iter().filter(is_in).collect();
        rows.sort_by_key(|(_, row)| row.place());
        rows
    }

    /// Rows of each frame of a window, of an event or, without one, at a time.
    fn frames(&self, key: u8, window: (i64, i64), event: Option<Rank>) -> Vec<Vec<&(usize, Row)>> {
        match &self.spec.frames {
            Frames::Over(frames) => {
                let all = self.rows_of(key, i64::MIN, i64::MAX);
                let of = |frame| over_frames::rows(frame, &self.spec, &all, window.0, event);
                frames.iter().map(of).collect()
            }
            // A row does not change a window that is not returned again.
            _ => {
                let mut rows = self.rows_of(key, window.0, window.1);
                rows.retain(|(_, row)| self.arrivals[&row.rank()] < window.1);
                vec![rows]
            }
        }
    }

    fn expected(&self, key: u8, window: (i64, i64), event: Option<Rank>) -> Vec<Option<Cell>> {
        let of_frame = |rows: &Vec<&(usize, Row)>| {
            oracle::values(&rows.iter().map(|(_, row)| row).collect::<Vec<_>>(), window.1)
        };
        let by_frame: Vec<Vec<Option<Cell>>> = self.frames(key, window, event).iter().map(of_frame).collect();
        let aggregates = self.spec.aggregates.iter().enumerate();
        aggregates.map(|(at, aggregate)| by_frame[aggregate.frame][at].clone()).collect()
    }

    /// The results that there are, each with the operation that last brought a row into its window.
    fn identities(&self) -> BTreeMap<Identity, usize> {
        let mut found: BTreeMap<Identity, usize> = BTreeMap::new();
        let is_over = matches!(self.spec.frames, Frames::Over(_));
        for (clock, row) in &self.rows {
            let arrived = self.arrivals[&row.rank()];
            for (start, end) in
                self.windows(row.time).into_iter().filter(|(_, end)| is_over || *end > arrived)
            {
                let rank = if is_over { row.rank() } else { Rank::default() };
                let touched = found.entry((row.key, start, end, rank)).or_default();
                *touched = (*touched).max(*clock);
            }
        }
        found
    }

    fn check(&mut self, results: &Results, is_flush: bool) -> Result<(), TestCaseError> {
        if self.is_quiet {
            prop_assert!(results.is_empty());
            return Ok(());
        }
        let is_over = matches!(self.spec.frames, Frames::Over(_));
        let seen = self.check_values(results)?;
        for (identity, touched) in self.identities() {
            let is_final = if is_over { identity.1 < self.settled } else { identity.2 <= self.settled };
            let is_new = self.is_new(identity, touched);
            let is_in_reach = if is_over { identity.1 >= self.horizon } else { identity.2 > self.horizon };
            let is_wanted = (is_final || is_flush) && is_new && is_in_reach;
            prop_assert_eq!(seen.contains_key(&identity), is_wanted, "{:?} (flush: {})", identity, is_flush);
        }
        self.note_returned(seen)
    }

    /// Whether a result is another one than when it was last returned.
    fn is_new(&self, identity: Identity, touched: usize) -> bool {
        if matches!(self.spec.frames, Frames::Over(_)) {
            self.framed.get(&identity) != Some(&self.places(identity))
        } else {
            self.returned.get(&identity).is_none_or(|returned| *returned < touched)
        }
    }

    fn check_changes(&mut self, results: &Results) -> Result<(), TestCaseError> {
        if self.is_quiet {
            prop_assert!(results.is_empty());
            return Ok(());
        }
        let seen = self.check_values(results)?;
        let listed = std::mem::take(&mut self.listed);
        let expected = if matches!(self.spec.frames, Frames::Over(_)) {
            self.changed_events(&listed)
        } else {
            self.changed_windows(&listed)
        };
        let found: Vec<Identity> = seen.keys().copied().collect();
        prop_assert_eq!(found, expected, "changes");
        self.note_returned(seen)
    }

    /// Of each key, the open window that ends first of those that hold rows since the last time.
    fn changed_windows(&self, listed: &BTreeSet<(u8, i64, Rank)>) -> Vec<Identity> {
        let mut next: BTreeMap<u8, (i64, i64)> = BTreeMap::new();
        for (key, time, rank) in listed {
            let is_open = |end: i64| end > self.settled && end > self.arrivals[rank];
            for (start, end) in self.windows(*time).into_iter().filter(|(_, end)| is_open(*end)) {
                let window = next.entry(*key).or_insert((end, start));
                *window = (*window).min((end, start));
            }
        }
        next.into_iter().map(|(key, (end, start))| (key, start, end, Rank::default())).collect()
    }

    /// Events since the last time, and the newest event of their keys if it is another one than it was.
    fn changed_events(&self, listed: &BTreeSet<(u8, i64, Rank)>) -> Vec<Identity> {
        let own = listed.iter().map(|(key, time, rank)| (*key, *time, *time, *rank));
        let newest = listed.iter().filter_map(|(key, _, _)| {
            let rows = self.rows_of(*key, i64::MIN, i64::MAX);
            rows.last().map(|(_, row)| (*key, row.time, row.time, row.rank()))
        });
        let events: BTreeSet<Identity> = own.chain(newest).collect();
        events.into_iter().filter(|event| event.1 >= self.settled && self.is_new(*event, 0)).collect()
    }

    fn note_returned(&mut self, seen: BTreeMap<Identity, Vec<Cell>>) -> Result<(), TestCaseError> {
        let is_over = matches!(self.spec.frames, Frames::Over(_));
        for (identity, values) in seen {
            let (key, window) = (identity.0, (identity.1, identity.2));
            self.returned.insert(identity, self.clock);
            let mut is_same = true;
            if is_over {
                let places = self.places(identity);
                is_same = over_frames::places(&self.frames(key, window, None)) == places;
                self.framed.insert(identity, places);
            }
            self.compare_snapshot(key, window, is_same.then_some(&values))?;
        }
        Ok(())
    }

    /// Each result is what the oracle says, and there once.
    fn check_values(&self, results: &Results) -> Result<BTreeMap<Identity, Vec<Cell>>, TestCaseError> {
        let is_over = matches!(self.spec.frames, Frames::Over(_));
        let mut seen = BTreeMap::new();
        prop_assert!(results.errors.is_empty() && results.refused.is_empty());
        let columns = self.plain(&results.values)?;
        for at in 0..results.len() {
            let key = self.timelines.key(results.slots[at])[0];
            let (window, rank) = if is_over {
                let (time, rank) = results.events[at];
                ((time, time), rank)
            } else {
                (results.windows[at], Rank::default())
            };
            let identity = (key, window.0, window.1, rank);
            prop_assert_eq!(results.revised[at], self.returned.contains_key(&identity), "{:?}", identity);
            let values: Vec<Cell> = columns.iter().map(|values| Cell::of(values, at)).collect();
            let event = is_over.then_some(rank);
            for (aggregate, expected) in self.expected(key, window, event).into_iter().enumerate() {
                if let Some(expected) = expected {
                    let name = &self.spec.aggregates[aggregate].function.card().identity;
                    prop_assert_eq!(&values[aggregate], &expected, "{} of {:?}", name, identity);
                }
            }
            if is_over {
                let rows = self.rows_of(key, window.0, window.0 + 1);
                let event = rows.iter().map(|(_, row)| row).find(|row| row.rank() == rank).unwrap();
                let carried: Vec<Cell> = results.carried.iter().map(|column| Cell::of(column, at)).collect();
                prop_assert_eq!(carried, carried_of(Some(event)));
            }
            prop_assert!(seen.insert(identity, values).is_none(), "{:?} twice", identity);
        }
        Ok(seen)
    }

    /// The rows of an event's frames.
    fn places(&self, (key, start, end, rank): Identity) -> Vec<over_frames::Places> {
        over_frames::places(&self.frames(key, (start, end), Some(rank)))
    }

    /// A snapshot is what the oracle says, and what was returned (which the oracle does not know of inexact ones).
    fn compare_snapshot(
        &self,
        key: u8,
        window: (i64, i64),
        returned: Option<&Vec<Cell>>,
    ) -> Result<(), TestCaseError> {
        let [start, end] = [window.0, window.1].map(EventTime::from_millis);
        let question = match self.spec.frames {
            Frames::Over(_) => Question::Over { as_of: start },
            _ => Question::Window { start, end },
        };
        let slot = self.timelines.slot(&[key], key_hash(&[key]));
        let snapshot =
            slot.map_or_else(|| self.timelines.absent(), |slot| self.timelines.snapshot(slot, &question));
        let values = snapshot.finish().unwrap();
        let cells: Vec<Cell> = self.plain(&values.values)?.iter().map(|value| Cell::of(value, 0)).collect();
        for (aggregate, expected) in self.expected(key, window, None).into_iter().enumerate() {
            let name = &self.spec.aggregates[aggregate].function.card().identity;
            let expected = expected.or_else(|| returned.map(|cells| cells[aggregate].clone()));
            if let Some(expected) = expected {
                prop_assert_eq!(
                    &cells[aggregate],
                    &expected,
                    "snapshot: {} of {:?} at {:?}",
                    name,
                    key,
                    window
                );
            }
        }
        let frames = self.frames(key, window, None);
        let counts: Vec<u64> = frames.iter().map(|rows| rows.len() as u64).collect();
        prop_assert_eq!(values.rows, counts);
        let newest = frames.iter().map(|rows| rows.last().map(|(_, row)| EventTime::from_millis(row.time)));
        prop_assert_eq!(values.newest, newest.collect::<Vec<_>>());
        if let Frames::Over(frames) = &self.spec.frames {
            let all = self.rows_of(key, i64::MIN, i64::MAX);
            let shown = over_frames::shown(frames, &self.spec, &all, window.0);
            let carried: Vec<Cell> = values.carried.iter().map(|column| Cell::of(column, 0)).collect();
            prop_assert_eq!(carried, carried_of(shown.map(|(_, row)| row)), "of {:?} at {:?}", key, window);
        }
        Ok(())
    }

    fn look(&mut self, time: i64) -> Result<(), TestCaseError> {
        let windows = self.spec.frames.windows();
        let by = EventTime::from_millis(self.horizon.saturating_add(1).min(self.settled));
        let oldest = windows.and_then(|windows| windows.complete_at(by));
        for key in 0..4 {
            if let Some(slot) = self.timelines.slot(&[key], key_hash(&[key])) {
                self.timelines.follow(slot).unwrap();
            }
            for window in self.windows(time) {
                let is_in_reach = match self.spec.frames {
                    Frames::Over(_) => time >= self.horizon,
                    _ => oldest.is_none_or(|(_, end)| window.1 >= end.millis()),
                };
                if is_in_reach {
                    self.compare_snapshot(key, window, None)?;
                }
            }
        }
        Ok(())
    }

    /// Stores what is dirty, forgets everything else and goes on from what is stored.
    fn restart(&mut self) -> Result<(), TestCaseError> {
        let stored = &mut self.stored;
        self.timelines.encode_dirty(&mut |key, block, bytes| {
            match bytes {
                Some(bytes) => stored.insert((key.to_vec(), block), bytes.to_vec()),
                None => stored.remove(&(key.to_vec(), block)),
            };
        });
        self.stored.retain(|(_, block), _| !self.timelines.is_expired(*block));
        let mut fresh = self.fresh();
        for ((key, block), bytes) in &self.stored {
            fresh.decode(key, key_hash(key), *block, bytes).unwrap();
            for cut in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut broken = Timelines::new(self.spec.clone()).unwrap();
                prop_assert!(broken.decode(key, key_hash(key), *block, &bytes[..cut]).is_err());
            }
        }
        fresh.restore_done(EventTime::from_millis(self.settled), EventTime::MIN).unwrap();
        self.timelines = fresh;
        Ok(())
    }
}

/// The plain columns of a row: those that the model's stage carries.
fn carried_of(row: Option<&Row>) -> Vec<Cell> {
    let text = row.and_then(|row| row.text.clone());
    let whole = row.and_then(|row| row.whole);
    vec![text.map_or(Cell::Null, Cell::Text), whole.map_or(Cell::Null, Cell::Whole)]
}

/// Inserts rows as one batch, of a partition that the boundary follows.
pub(super) fn insert_rows(timelines: &mut Timelines, rows: &[Row]) -> Inserted {
    let watermark = timelines.settled();
    insert_rows_of(timelines, rows, watermark)
}

/// Inserts rows as one batch, of a partition with a watermark.
fn insert_rows_of(timelines: &mut Timelines, rows: &[Row], watermark: EventTime) -> Inserted {
    let keys: Vec<[u8; 1]> = rows.iter().map(|row| [row.key]).collect();
    let slots: Vec<Slot> = keys.iter().map(|key| timelines.slot_or_insert(key, key_hash(key))).collect();
    let columns = testers::columns(rows);
    let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
    let ranks: Vec<Rank> = rows.iter().map(Row::rank).collect();
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    timelines
        .insert(&Rows {
            slots: &slots,
            rows: &all,
            times: &times,
            ranks: &ranks,
            columns: &columns,
            watermark,
        })
        .unwrap()
}
