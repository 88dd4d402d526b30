//! Shards of timelines as a job has them, with rows put in, results taken out, blocks stored and read back, and asked
//! as lookups ask them.

use super::oracle::{self, Expected, Oracle};
use crate::Segment;
use crate::counts::Counts;
use crate::expiry::Expiry;
use crate::groups::{ALL_GROUPS, part_of, range_of};
use crate::keyed::lookup::{AsOf, Entity, Looked, LookupError};
use crate::keyed::together::{Entities, finish_together};
use crate::shape::StoredShape;
use crate::stored::Name;
use crate::tests::plan;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_select::concat::concat;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_event::key::EncodedKeys;
use weir_event::{EventTime, Rank, Span, key_group, key_hash};
use weir_plan::{AggregateShape, Column, ColumnRole, Expression, ExpressionError, JobPlan, Output};
use weir_timeline::{
    AggregateSpec, Bounds, Exclude, Frames, OverFrame, Parameter, Results, Rows, Slot, StageSpec, builtin,
    series,
};

/// Keys that rows have; one more is looked up.
pub(super) const KEYS: u8 = 4;

/// Key; start and end of a window, start of a session, or time and offset of an event.
type Identity = (u8, i64, i64);

pub(super) struct World {
    pub(super) spec: Arc<StageSpec>,
    pub(super) plan: JobPlan,
    /// Of as many ranges of key groups.
    pub(super) segments: Vec<Segment>,
    pub(super) stored: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) oracle: Oracle,
    /// What the state consists of.
    pub(super) shape: StoredShape,
    /// The aggregates of the moment.
    pub(super) asked: Vec<Asked>,
    /// The columns that rows are kept with, since which row each is there.
    pub(super) columns: BTreeMap<usize, i64>,
    /// The newest event time of any row.
    pub(super) newest: Option<EventTime>,
    /// What was written before the last edit has other columns.
    pub(super) is_edited: bool,
    /// The values written last; of sessions with their end.
    pub(super) written: BTreeMap<Identity, (i64, Vec<String>)>,
    pub(super) offset: i64,
    /// Rows have come since results were last written.
    has_news: bool,
    /// Rows have come of a partition that was behind.
    has_stragglers: bool,
}

/// The aggregates, in the order that the oracle knows them in.
pub(super) fn aggregates(frames: &Frames) -> Vec<AggregateSpec> {
    let int = DataType::Int64;
    let of = |name: &str, types: &[DataType], parameters: &[Parameter]| {
        builtin(name, false, types, parameters).unwrap()
    };
    let mut calls = vec![
        (of("COUNT", &[], &[]), vec![], None),
        (of("SUM", std::slice::from_ref(&int), &[]), vec![0], None),
        (of("MAX", std::slice::from_ref(&int), &[]), vec![0], None),
        (of("TOP", std::slice::from_ref(&int), &[Parameter::Int(1000)]), vec![0], None),
        (of("LONGEST_STREAK", std::slice::from_ref(&int), &[]), vec![1], None),
        (of("COUNT", &[], &[]), vec![], Some(2)),
    ];
    if let Some(step) = steps_of(frames)
        && let Frames::Grid(grid) = frames
    {
        let (last, count) = (of("LAST_VALUE", &[int], &[]), grid.size.millis() / step);
        calls.push((series(last, grid.slide, grid.offset, count as u32).unwrap(), vec![0], None));
    }
    let count = if let Frames::Over(frames) = frames { frames.len() } else { 1 };
    let spec = |(at, (function, arguments, filter))| AggregateSpec {
        function,
        arguments,
        filter,
        frame: at % count,
        edits: None,
    };
    calls.into_iter().enumerate().map(spec).collect()
}

/// The number of the aggregate that is a series, where there is one.
const SERIES: usize = 6;

/// The step of a series, where the windows have one.
fn steps_of(frames: &Frames) -> Option<i64> {
    match frames {
        Frames::Grid(grid) if grid.size.millis() % grid.slide.millis() == 0 => Some(grid.slide.millis()),
        _ => None,
    }
}

/// An aggregate that the world has at the moment.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Its number, as the oracle knows it.
    pub(super) number: usize,
    /// The first row that is its own; `None` where only the timelines know.
    pub(super) since: Option<i64>,
}

/// All aggregates, each with all rows.
fn all(spec: &StageSpec) -> Vec<Asked> {
    (0..spec.aggregates.len()).map(|number| Asked { number, since: Some(0) }).collect()
}

pub(super) fn plan_of(spec: &Arc<StageSpec>, asked: &[Asked]) -> JobPlan {
    let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND)";
    let mut plan = plan(query, "", "");
    let has_bounds = !matches!(spec.frames, Frames::Over(_) | Frames::Lifetime);
    let mut names: Vec<(String, DataType)> = vec![("user".to_owned(), DataType::Utf8View)];
    let results = spec.aggregates.iter().map(|aggregate| aggregate.function.card().result.clone());
    names.extend(results.enumerate().map(|(at, result)| (format!("a{at}"), result)));
    names.extend(["s", "e"].iter().filter(|_| has_bounds).map(|name| ((*name).to_owned(), MILLIS)));
    let fields: Vec<(&str, DataType)> =
        names.iter().map(|(name, data_type)| (name.as_str(), data_type.clone())).collect();
    let columns = fields.iter().enumerate().map(|(index, (name, data_type))| Column {
        name: (*name).to_owned(),
        role: if index == 0 { ColumnRole::Key(0) } else { ColumnRole::Feature },
        expression: Arc::new(At([index], data_type.clone())),
    });
    plan.output = Output { filter: None, columns: columns.collect(), schema: schema(&fields) };
    if let Some(stage) = &mut plan.stage {
        (stage.spec, stage.results) = (spec.clone(), schema(&fields));
    }
    let aggregate = |asked: &Asked| AggregateShape { name: asked.number.to_string(), frame: String::new() };
    plan.state_shape.aggregates = asked.iter().map(aggregate).collect();
    plan.state_shape.inputs = (0..spec.inputs.len()).map(|input| input.to_string()).collect();
    plan
}

fn name_of(key: u8) -> ArrayRef {
    Arc::new(StringViewArray::from(vec![format!("k{key}")]))
}

fn encoded(key: u8) -> Vec<u8> {
    EncodedKeys::encode(&[name_of(key)], 1).unwrap().key(0).to_vec()
}

fn show(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            oracle::list(items.as_primitive::<Int64Type>().iter())
        }
        other => array
            .as_primitive_opt::<TimestampMillisecondType>()
            .map_or_else(|| panic!("no text of {other}"), |times| times.value(row).to_string()),
    }
}

impl World {
    pub(super) fn new(spec: StageSpec) -> World {
        let spec = Arc::new(spec);
        let asked = all(&spec);
        let plan = plan_of(&spec, &asked);
        let shape = StoredShape::of(&plan);
        let segments = segments_of(&plan, &shape, 1);
        let (stored, written) = (BTreeMap::new(), BTreeMap::new());
        World {
            columns: spec.kept_columns().into_iter().map(|column| (column, 0)).collect(),
            shape,
            asked,
            newest: None,
            is_edited: false,
            spec,
            plan,
            segments,
            stored,
            oracle: Oracle::new(),
            written,
            offset: 0,
            has_news: false,
            has_stragglers: false,
        }
    }

    /// Rows come as one batch, in any order, from a partition whose watermark is ahead of the boundary or behind it.
    pub(super) fn insert(&mut self, rows: &[(u8, i64, i64, bool)], ahead: i64) -> Result<(), TestCaseError> {
        let watermark = self.oracle.settled.saturating_add(ahead);
        self.has_stragglers |= ahead < 0;
        let offsets: Vec<i64> = (0..rows.len() as i64).map(|at| self.offset + at).collect();
        self.offset += rows.len() as i64;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(offsets.clone())),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3)).collect::<BooleanArray>()),
        ];
        let times: Vec<i64> = rows.iter().map(|row| row.1).collect();
        self.newest = times.iter().map(|time| EventTime::from_millis(*time)).chain(self.newest).max();
        let ranks: Vec<Rank> =
            offsets.iter().map(|offset| Rank { offset: *offset as u64, ..Rank::default() }).collect();
        let mut left_out = 0;
        for key in 0..KEYS {
            let own: Vec<u32> = (0..rows.len() as u32).filter(|at| rows[*at as usize].0 == key).collect();
            let bytes = encoded(key);
            let hash = key_hash(&bytes);
            let at = part_of(key_group(hash), self.segments.len(), &ALL_GROUPS);
            let timelines = &mut self.segments[at].timelines;
            let slot = timelines.slot_or_insert(&bytes, hash);
            let slots: Vec<Slot> = own.iter().map(|_| slot).collect();
            let inserted = timelines
                .insert(&Rows {
                    slots: &slots,
                    rows: &own,
                    times: &times,
                    ranks: &ranks,
                    columns: &columns,
                    watermark: EventTime::from_millis(watermark),
                })
                .unwrap();
            left_out += inserted.too_late.len() + inserted.between as usize;
        }
        let taken = rows
            .iter()
            .zip(&offsets)
            .filter(|(row, offset)| self.oracle.insert(&self.spec, **row, **offset, watermark));
        prop_assert_eq!(rows.len() - taken.count(), left_out, "rows that do not count");
        self.has_news |= !rows.is_empty();
        Ok(())
    }

    pub(super) fn settle(&mut self, to: i64) -> Result<(), TestCaseError> {
        let before = self.oracle.settled;
        self.oracle.settle(&self.spec, to);
        self.take_results(Some(before), |timelines| timelines.settle(EventTime::from_millis(to)).unwrap())?;
        self.has_news = false;
        Ok(())
    }

    /// Settles so that the oldest time that may be asked for is as far after some row as a frame, a window, a pause or
    /// the retention is long, or a moment beside, and asks then.
    pub(super) fn settle_at_edge(&mut self, which: usize, beside: i64) -> Result<(), TestCaseError> {
        let mut spans: Vec<i64> = self.spec.retention.into_iter().map(Span::millis).collect();
        match &self.spec.frames {
            Frames::Over(frames) => {
                spans.extend(frames.iter().filter_map(OverFrame::reach).map(Span::millis))
            }
            Frames::Session(session) => {
                let gap = session.gap.millis();
                spans.extend(self.spec.retention.map(|retention| retention.millis() + gap));
                spans.extend([gap, 2 * gap]);
            }
            frames => spans.extend(frames.longest().map(Span::millis)),
        }
        let (rows, spans) = (&self.oracle.rows, if spans.is_empty() { vec![0] } else { spans });
        let Some(row) = rows.get(which % rows.len().max(1)) else { return Ok(()) };
        let edge = row.time + spans[which / rows.len() % spans.len()] + beside;
        let to = edge.saturating_add(self.spec.reach().millis());
        if !oracle::TIMES.contains(&(to + 100)) {
            return Ok(());
        }
        self.settle(to)?;
        self.expire();
        self.look(self.oracle.oldest)
    }

    pub(super) fn flush(&mut self) -> Result<(), TestCaseError> {
        self.take_results(None, |timelines| timelines.flush().unwrap())
    }

    pub(super) fn changes(&mut self) -> Result<(), TestCaseError> {
        self.take_results(None, |timelines| timelines.changes().unwrap())
    }

    pub(super) fn expire(&mut self) {
        self.segments.iter_mut().for_each(Segment::expire);
    }

    /// Takes what is written; `settled` is where the boundary was if it moves.
    fn take_results(
        &mut self,
        settled: Option<i64>,
        ask: impl Fn(&mut weir_timeline::Timelines) -> Results,
    ) -> Result<(), TestCaseError> {
        let keys: BTreeMap<Vec<u8>, u8> = (0..KEYS).map(|key| (encoded(key), key)).collect();
        for segment in 0..self.segments.len() {
            let results = ask(&mut self.segments[segment].timelines);
            prop_assert!(results.errors.is_empty() && results.refused.is_empty());
            for at in 0..results.len() {
                let key = keys[self.segments[segment].timelines.key(results.slots[at])];
                let (identity, end) = self.identity(key, &results, at);
                let values = results.values.iter().map(|values| show(values, at)).collect();
                if results.is_deleted(at) {
                    self.written.remove(&identity);
                    continue;
                }
                let is_again = self.written.insert(identity, (end, values)).is_some();
                let was_final = settled.is_some_and(|settled| self.is_final(end, settled));
                let is_fixed = self.spec.corrects.is_none() && !self.has_stragglers && !self.is_edited;
                let stays = is_again && was_final && is_fixed;
                prop_assert!(!stays, "{:?} is written again", identity);
            }
        }
        Ok(())
    }

    /// What tells a result from others, and its end or time.
    fn identity(&self, key: u8, results: &Results, at: usize) -> (Identity, i64) {
        match (&self.spec.frames, results.windows.get(at), results.events.get(at)) {
            (Frames::Session(_), Some((start, end)), _) => ((key, *start, 0), *end),
            (_, Some((start, end)), _) => ((key, *start, *end), *end),
            (_, None, Some((time, rank))) => ((key, *time, rank.offset as i64), *time),
            (_, None, None) => ((key, 0, 0), i64::MAX),
        }
    }

    /// Whether a result that ends then is final.
    fn is_final(&self, end: i64, settled: i64) -> bool {
        match self.spec.frames {
            Frames::Over(_) | Frames::Session(_) => end < settled,
            _ => end <= settled,
        }
    }

    /// Goes on from what is stored, in another number of segments and perhaps with another history.
    pub(super) fn restart(&mut self, segments: usize, history: Option<i64>) -> Result<(), TestCaseError> {
        self.store()?;
        if let Some(history) = history {
            let history = Span::from_millis(history).max(self.spec.corrects.unwrap_or(Span::ZERO));
            self.spec = Arc::new(StageSpec { history, ..(*self.spec).clone() });
            self.plan = plan_of(&self.spec, &self.asked);
        }
        self.segments = segments_of(&self.plan, &self.shape, segments);
        self.restore();
        Ok(())
    }

    /// Takes everything back that is stored.
    pub(super) fn restore(&mut self) {
        let segments = self.segments.len();
        for (entry, value) in &self.stored {
            let name = Name::parse_with_group(entry).unwrap();
            self.segments[part_of(name.group(), segments, &ALL_GROUPS)].restore(name, value).unwrap();
        }
        self.segments.iter_mut().for_each(|segment| segment.restore_done().unwrap());
    }

    /// Stores what is dirty and drops what has expired: then what is stored is all that there is.
    pub(super) fn store(&mut self) -> Result<(), TestCaseError> {
        for segment in &mut self.segments {
            let mut show = |name: Name<'_>, value: Option<&[u8]>| {
                let mut entry = Vec::new();
                name.put_with_group(&mut entry);
                match value {
                    Some(value) => self.stored.insert(entry, value.to_vec()),
                    None => self.stored.remove(&entry),
                };
            };
            // A few blocks at a time.
            while !segment.dirty(0, Counts::default(), 2, &mut show) {}
        }
        let [settled, oldest] = [self.oracle.settled, self.oracle.oldest].map(EventTime::from_millis);
        let expiry = Expiry::at(&self.plan, settled, oldest, []).unwrap();
        let mut all = BTreeMap::new();
        for segment in &self.segments {
            segment.all(0, Counts::default(), &mut |name, value| {
                let mut entry = Vec::new();
                name.put_with_group(&mut entry);
                all.insert(entry, value.unwrap().to_vec());
            });
        }
        let lacks = |entry: &&Vec<u8>| !all.contains_key(*entry) && !expiry.is_expired(entry);
        prop_assert_eq!(self.stored.keys().find(lacks), None, "of what is stored, not among all");
        for (entry, value) in &all {
            prop_assert_eq!(self.stored.get(entry), Some(value), "all of it is stored");
        }
        self.stored.retain(|entry, _| !expiry.is_expired(entry));
        Ok(())
    }

    /// Every key is looked up at a time, and at that of the oldest that may be asked for if it is earlier.
    pub(super) fn look(&self, as_of: i64) -> Result<(), TestCaseError> {
        if as_of < self.oracle.oldest {
            let refused = self.ask(0, as_of);
            prop_assert!(
                matches!(refused, Err(LookupError::OutOfReach { .. } | LookupError::NotKeptYet { .. })),
                "at {}: {:?}",
                as_of,
                refused
            );
        }
        let as_of = as_of.max(self.oracle.oldest);
        let together =
            self.ask_together(as_of).map_err(|error| TestCaseError::fail(format!("{as_of}: {error}")))?;
        (0..=KEYS).zip(&together).try_for_each(|(key, together)| self.look_at(key, as_of, together))
    }

    /// What each key has where all are asked at once.
    fn ask_together(&self, as_of: i64) -> Result<Vec<Looked>, LookupError> {
        let names: Vec<ArrayRef> = (0..=KEYS).map(name_of).collect();
        let names: Vec<&dyn Array> = names.iter().map(|name| &**name).collect();
        let entities = Entities::of(vec![concat(&names).unwrap()], names.len())?;
        let pending = (0..names.len()).map(|row| {
            let segment = &self.segments[part_of(entities.group(row), self.segments.len(), &ALL_GROUPS)];
            let as_of = AsOf::Asked(EventTime::from_millis(as_of));
            segment.ask_for(&self.plan, entities.key(row).unwrap(), as_of)
        });
        let pending = pending.collect::<Result<_, _>>()?;
        Ok(finish_together(&self.plan, entities.columns(), pending)?.each)
    }

    fn ask(&self, key: u8, as_of: i64) -> Result<Looked, LookupError> {
        let as_of = EventTime::from_millis(as_of);
        let entity = Entity::of(&[name_of(key)])?;
        let segment = &self.segments[part_of(entity.group(), self.segments.len(), &ALL_GROUPS)];
        let copies = segment.look(&self.plan, &entity, AsOf::Asked(as_of))?;
        copies.finish(&self.plan, &entity).map(|answer| answer.settled)
    }

    fn look_at(&self, key: u8, as_of: i64, together: &Looked) -> Result<(), TestCaseError> {
        let Expected { frames, window } = self.oracle.expected(&self.spec, key, as_of);
        let looked =
            self.ask(key, as_of).map_err(|error| TestCaseError::fail(format!("{as_of}: {error}")))?;
        let of_window = looked.window.map(|(start, end)| (start.millis(), end.millis()));
        prop_assert_eq!(of_window, window, "window of {} at {}", key, as_of);
        let found = self.values(&looked);
        prop_assert_eq!(&self.values(together), &found, "{} among others at {}", key, as_of);
        let about = |looked: &Looked| (looked.window, looked.complete, looked.frames.clone());
        prop_assert_eq!(about(together), about(&looked), "{} among others at {}", key, as_of);
        for (at, asked) in self.asked.iter().enumerate() {
            // A window that nobody is in has no series.
            if asked.number == SERIES && window.is_none() {
                continue;
            }
            let frame = self.spec.aggregates[at].frame;
            let (rows, step) = (&frames[frame], steps_of(&self.spec.frames));
            if let Some(first) = asked.since {
                let own: Vec<&oracle::Row> = rows.iter().copied().filter(|row| row.offset >= first).collect();
                let expected = oracle::value(asked.number, &own, window, step);
                prop_assert_eq!(&found[at], &expected, "{} of {} at {}", asked.number, key, as_of);
            }
            if self.has_all(at, frame, window, as_of) {
                let expected = oracle::value(asked.number, rows, window, step);
                prop_assert_eq!(&found[at], &expected, "all of {} of {} at {}", asked.number, key, as_of);
            }
        }
        for (at, frame) in frames.iter().enumerate() {
            let found = looked.frames[at];
            prop_assert_eq!(found.rows as usize, frame.len(), "rows of {} at {}", key, as_of);
            let newest = frame.iter().map(|row| row.time).max();
            prop_assert_eq!(found.newest.map(EventTime::millis), newest, "newest of {} at {}", key, as_of);
        }
        let rows = frames.iter().map(Vec::len).max().unwrap_or(0);
        self.look_up_written(key, as_of, window, rows, &found)
    }

    fn values(&self, looked: &Looked) -> Vec<String> {
        let columns = &looked.columns.columns()[1..=self.spec.aggregates.len()];
        columns.iter().map(|column| show(column, 0)).collect()
    }

    /// What was written last is what is served, and nothing is served that was not written.
    fn look_up_written(
        &self,
        key: u8,
        as_of: i64,
        window: Option<(i64, i64)>,
        rows: usize,
        found: &[String],
    ) -> Result<(), TestCaseError> {
        let identity = match (&self.spec.frames, window) {
            _ if self.has_news || self.is_edited => return Ok(()),
            (Frames::Lifetime, _) | (_, None) if !matches!(self.spec.frames, Frames::Over(_)) => {
                return Ok(());
            }
            (Frames::Session(_), Some((start, end))) => {
                // As of a time within it, it is not the one that is written when it is over.
                let goes_on = |row: &oracle::Row| row.key == key && row.time > as_of && row.time <= end;
                if self.oracle.rows.iter().any(goes_on) {
                    return Ok(());
                }
                (key, start, 0)
            }
            (_, Some((start, end))) => (key, start, end),
            (_, None) => {
                let last = self.oracle.rows.iter().filter(|row| row.key == key && row.time == as_of);
                let Some(last) = last.map(|row| row.offset).max() else { return Ok(()) };
                if self.leaves_the_event_out() {
                    return Ok(());
                }
                (key, as_of, last)
            }
        };
        let end = window.map_or(as_of, |(_, end)| end);
        if !self.is_final(end, self.oracle.settled) {
            return Ok(());
        }
        let written = self.written.get(&identity).map(|(end, values)| (*end, &values[..]));
        let served = (rows > 0 || window.is_none()).then_some((end, found));
        prop_assert_eq!(written, served, "{:?} as written and as served", identity);
        Ok(())
    }

    /// Whether a frame of time leaves out its event, which a lookup does not have.
    fn leaves_the_event_out(&self) -> bool {
        let Frames::Over(frames) = &self.spec.frames else { return false };
        let is_range = |bounds| matches!(bounds, Bounds::Range { .. });
        frames.iter().any(|frame| is_range(frame.bounds) && frame.exclude != Exclude::None)
    }

    /// Writes what is due and asks at every time at which an answer may change, and beside it.
    pub(super) fn look_everywhere(&mut self) -> Result<(), TestCaseError> {
        self.settle(self.oracle.settled)?;
        let (settled, oldest) = (self.oracle.settled, self.oracle.oldest);
        let mut times = BTreeSet::from([settled, oldest]);
        times.extend(self.oracle.rows.iter().map(|row| row.time));
        times.extend(self.written.values().map(|(end, _)| *end));
        let beside = times.iter().flat_map(|time| [time.saturating_sub(1), *time, time.saturating_add(1)]);
        let beside: BTreeSet<i64> = beside.filter(|time| oracle::TIMES.contains(time)).collect();
        beside.into_iter().filter(|time| *time >= oldest).try_for_each(|time| self.look(time))
    }
}

pub(super) fn segments_of(plan: &JobPlan, shape: &StoredShape, segments: usize) -> Vec<Segment> {
    let stage = shape.stage(plan.stage.as_ref().unwrap());
    let segment = |segment| Segment::open(&stage, range_of(segment, segments, &ALL_GROUPS), true).unwrap();
    (0..segments).map(segment).collect()
}

const MILLIS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The column at an index.
#[derive(Debug)]
struct At([usize; 1], DataType);

impl Expression for At {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        Ok(batch.column(self.0[0]).clone())
    }

    fn data_type(&self) -> &DataType {
        &self.1
    }

    fn canonical(&self) -> &'static str {
        "column"
    }

    fn reads(&self) -> &[usize] {
        &self.0
    }
}
