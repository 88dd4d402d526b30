//! Everything of one stage for one segment of its keys.
//!
//! The engine keeps many of these, each behind a lock of its own; here nothing knows of locks. Per batch it inserts,
//! settles and expires; at a barrier it takes the dirty blocks. A lookup takes a [`Snapshot`] and finishes it outside
//! the lock.

use crate::aggregate::AggregateError;
use crate::answer::{
    Block, BlockSink, DecodeError, Inserted, Question, Results, Rows, Slot, Stats, shape_lists,
};
use crate::geometry::Geometry;
use crate::grid::GridStage;
use crate::measured::Measured;
use crate::over::OverStage;
use crate::process::ProcessStage;
use crate::runs::RunStage;
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::spec::{Frames, SpecError, StageSpec};
use std::ops::Range;
use std::sync::Arc;
use weir_event::EventTime;

/// The timelines of one segment's keys.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{ArrayRef, Int64Array, cast::AsArray, types::Int64Type};
/// use arrow_schema::DataType;
/// use weir_event::{EventTime, Rank, Span, key_hash};
/// use weir_timeline::{AggregateSpec, Frames, Grid, Rows, StageSpec, Timelines, builtin};
///
/// let hour = Span::from_millis(3_600_000);
/// let spec = StageSpec {
///     frames: Frames::Grid(Grid { size: hour, slide: hour, offset: Span::ZERO }),
///     aggregates: vec![AggregateSpec {
///         function: builtin("SUM", false, &[DataType::Int64], &[]).unwrap(),
///         arguments: vec![0],
///         filter: None,
///         frame: 0,
///         edits: None,
///     }],
///     inputs: vec![DataType::Int64],
///     carried: vec![],
///     history: Span::ZERO,
///     corrects: Some(Span::ZERO),
///     retention: None,
///     tail: None,
///     emit_changes: false,
///     results_below: None,
///     process: None,
/// };
/// let mut timelines = Timelines::new(Arc::new(spec)).unwrap();
/// let slot = timelines.slot_or_insert(b"u1", key_hash(b"u1"));
/// let fares: ArrayRef = Arc::new(Int64Array::from(vec![7, 5]));
/// timelines
///     .insert(&Rows {
///         slots: &[slot, slot],
///         rows: &[0, 1],
///         times: &[10, 20],
///         ranks: &[Rank { offset: 0, ..Rank::default() }, Rank { offset: 1, ..Rank::default() }],
///         columns: &[fares],
///         watermark: EventTime::MIN,
///     })
///     .unwrap();
/// assert!(timelines.settle(EventTime::from_millis(3_599_999)).unwrap().is_empty());
/// let results = timelines.settle(EventTime::from_millis(3_600_000)).unwrap();
/// assert_eq!(results.windows, vec![(0, 3_600_000)]);
/// assert_eq!(results.values[0].as_primitive::<Int64Type>().value(0), 12);
/// ```
pub struct Timelines {
    slots: Slots,
    pub(crate) stage: Stage,
    list_views: bool,
    wanted: Wanted,
    measured: Measured,
}

/// What is asked of timelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Results, and lookups by anybody.
    Results,
    /// Lookups by anybody.
    Lookups,
    /// Lookups one after the other, by whoever inserts rows: what makes the next one fast is done when it is asked.
    LookupsInOrder,
}

pub(crate) enum Stage {
    Grid(Box<GridStage>),
    Runs(Box<RunStage>),
    Over(Box<OverStage>),
    Process(Box<ProcessStage>),
}

impl Timelines {
    /// Empty ones, that follow `spec`.
    pub fn new(spec: Arc<StageSpec>) -> Result<Timelines, SpecError> {
        spec.check()?;
        let stage = match &spec.frames {
            Frames::Over(frames) => {
                OverStage::new(spec.clone(), frames).map(|stage| Stage::Over(Box::new(stage)))
            }
            Frames::Process => ProcessStage::new(spec.clone()).map(|stage| Stage::Process(Box::new(stage))),
            frames => match Geometry::new(frames) {
                Some(geometry) => Some(Stage::Grid(Box::new(GridStage::new(spec.clone(), geometry)))),
                None => RunStage::new(spec.clone()).map(|stage| Stage::Runs(Box::new(stage))),
            },
        };
        // The check has refused every other reason.
        let stage = stage.ok_or(SpecError::NoSuchInput(spec.inputs.len()))?;
        let (slots, measured) = (Slots::default(), Measured::default());
        Ok(Timelines { slots, stage, list_views: false, wanted: Wanted::Results, measured })
    }

    /// From now on lists are returned as views: a column whose aggregate's type is [`DataType::List`] is one of
    /// [`DataType::ListView`], in results and in values, as [`crate::list_view_type`] says. Lists of an `OVER` then
    /// share their items, and hardly anything is copied for one more list; as [`DataType::List`] each has its own.
    ///
    /// [`DataType::List`]: arrow_schema::DataType::List
    /// [`DataType::ListView`]: arrow_schema::DataType::ListView
    #[must_use]
    pub fn with_list_views(self) -> Timelines {
        Timelines { list_views: true, ..self }
    }

    /// From now on nobody wants results, as where a job has no sink: `settle`, `changes` and `flush` return none but
    /// the rows that were refused. What a lookup finds is the same.
    #[must_use]
    pub fn without_results(self) -> Timelines {
        Timelines { wanted: Wanted::Lookups, ..self }
    }

    /// As [`Timelines::without_results`], where whoever inserts rows asks as well: [`Timelines::follow`] before a lookup
    /// makes it fast, and nothing is done for keys that nobody asks for.
    #[must_use]
    pub fn asked_in_order(self) -> Timelines {
        Timelines { wanted: Wanted::LookupsInOrder, ..self }
    }

    /// Does of a key what makes the next lookup fast. What it finds is the same.
    pub fn follow(&mut self, slot: Slot) -> Result<(), AggregateError> {
        match &mut self.stage {
            Stage::Over(over) if self.wanted == Wanted::LookupsInOrder => over.follow_key(slot.0),
            _ => Ok(()),
        }
    }

    /// What is computed.
    pub fn spec(&self) -> &Arc<StageSpec> {
        match &self.stage {
            Stage::Grid(grid) => &grid.spec,
            Stage::Runs(runs) => &runs.spec,
            Stage::Over(over) => &over.spec,
            Stage::Process(process) => &process.spec,
        }
    }

    /// The slot of a key that has state. `hash` is [`weir_event::key_hash`] of the key.
    pub fn slot(&self, key: &[u8], hash: u64) -> Option<Slot> {
        self.slots.find(key, hash).filter(|slot| self.slots.is_held(*slot))
    }

    /// The slot of a key, made if need be. The next `insert` or `expire` may free it if no row has come for it: take
    /// slots anew for each `insert`.
    pub fn slot_or_insert(&mut self, key: &[u8], hash: u64) -> Slot {
        self.slots.find_or_insert(key, hash)
    }

    /// The key of a slot.
    pub fn key(&self, slot: Slot) -> &[u8] {
        self.slots.key(slot)
    }

    /// Whether a slot is of a key that has state.
    pub(crate) fn is_held(&self, slot: Slot) -> bool {
        (slot.0 as usize) < self.slots.bound() && self.slots.is_held(slot)
    }

    /// The keys with state among these slots, in no order, and the hash of each; [`Timelines::slots`] bounds them.
    pub fn keys(&self, slots: Range<usize>) -> impl Iterator<Item = (&[u8], u64)> {
        self.slots.keys(slots)
    }

    /// One more than the highest slot that was ever given.
    pub fn slots(&self) -> usize {
        self.slots.bound()
    }

    /// Inserts rows, in any order. Late ones count where results that they belong to may still change;
    /// [`Inserted::too_late`] names the others.
    ///
    /// On an error no row was inserted; [`AggregateError::Rows`] asks to try again with fewer rows.
    pub fn insert(&mut self, rows: &Rows<'_>) -> Result<Inserted, AggregateError> {
        let gives_results = self.wanted == Wanted::Results;
        let inserted = match &mut self.stage {
            Stage::Grid(grid) => grid.insert(&mut self.slots, rows),
            Stage::Runs(runs) => runs.insert(&mut self.slots, rows),
            Stage::Over(over) => over.insert(&mut self.slots, rows, gives_results),
            Stage::Process(process) => process.insert(&mut self.slots, rows),
        }?;
        if !inserted.too_late.is_empty() && self.slots.are_many_idle() {
            // A flood of rows that do not count, each of another key, must not fill the memory.
            self.expire();
        }
        if self.measured.is_due_after(rows.rows.len()) {
            self.measure();
        }
        Ok(inserted)
    }

    /// Moves the settled boundary to `to` (never back) and returns every result that became final, each once, and
    /// corrections of results that rows inserted since the last call have changed.
    pub fn settle(&mut self, to: EventTime) -> Result<Results, AggregateError> {
        let results = match &mut self.stage {
            Stage::Grid(grid) => grid.settle(&mut self.slots, to.millis()),
            Stage::Runs(runs) => runs.settle(to.millis()),
            Stage::Over(over) => over.settle(to.millis(), self.wanted),
            Stage::Process(process) => process.settle(&mut self.slots, to.millis(), self.wanted),
        };
        if let Stage::Process(process) = &mut self.stage
            && self.measured.is_due_after_bytes(process.written_bytes())
        {
            self.measure();
        }
        self.shaped(results?)
    }

    /// Returns what rows have changed since the last call, as it stands, from all rows that are known; only with
    /// [`StageSpec::emit_changes`], else nothing. Of windows: for each key the one that ends next of those that hold
    /// the changed rows. Of sessions and lifetime aggregates: each as it stands. Of `OVER`: each event that is not
    /// settled yet, as of its time, and a key's newest one again if a row that came out of order has altered it.
    ///
    /// What was returned here is returned again, by `settle` when it is final, by `flush`, or here, only when another
    /// row has come into it since; it is then `revised`. Windows that hold changed rows but end later are returned
    /// when they are next, or when they are final.
    pub fn changes(&mut self) -> Result<Results, AggregateError> {
        let results = match &mut self.stage {
            Stage::Grid(grid) => grid.changes(&mut self.slots),
            Stage::Runs(runs) => runs.changes(),
            Stage::Over(over) if self.wanted == Wanted::Results => over.changes(),
            Stage::Over(_) | Stage::Process(_) => Ok(Results::default()),
        };
        self.shaped(results?)
    }

    /// Returns corrections, and the results of everything that is open as it stands, without moving the boundary.
    /// They are not returned again, here or by `settle`, unless a later row changes them. Of lifetime values, which
    /// are never final, it returns what `changes` would.
    pub fn flush(&mut self) -> Result<Results, AggregateError> {
        self.flush_some(usize::MAX)
    }

    /// As [`Timelines::flush`], but where more than about `limit` results are due it returns a part of them and says
    /// so in [`Results::more`]: call it again until it does not, before anything else. Long windows that overlap have
    /// very many.
    pub fn flush_some(&mut self, limit: usize) -> Result<Results, AggregateError> {
        let results = match &mut self.stage {
            Stage::Grid(grid) => grid.flush(&mut self.slots, limit),
            Stage::Runs(runs) => runs.flush(),
            Stage::Over(over) if self.wanted == Wanted::Results => over.flush(),
            Stage::Process(process) if self.wanted == Wanted::Results => process.flush(&mut self.slots),
            Stage::Over(_) | Stage::Process(_) => Ok(Results::default()),
        };
        self.shaped(results?)
    }

    /// Results as they are wanted.
    pub(crate) fn shaped(&self, mut results: Results) -> Result<Results, AggregateError> {
        if self.wanted != Wanted::Results {
            let Results { refused, more, .. } = results;
            return Ok(Results { refused, more, ..Results::default() });
        }
        for values in &mut results.values {
            *values = shape_lists(values, self.list_views)?;
        }
        Ok(results)
    }

    /// The least boundary at which `settle` has something to return; `None` if nothing is open. It may be the past.
    pub fn next_result_time(&self) -> Option<EventTime> {
        let next = match &self.stage {
            Stage::Grid(grid) => grid.next_result(),
            Stage::Runs(runs) => runs.next_result(),
            Stage::Over(over) => over.next_result(),
            Stage::Process(process) => process.next_result(),
        };
        next.map(EventTime::from_millis)
    }

    /// The truth of one key, copied out; finish it outside the lock. A question that is not of the stage's kind gets
    /// the values of an unknown key.
    pub fn snapshot(&self, slot: Slot, question: &Question) -> Snapshot {
        self.plain_snapshot(slot, question).with_list_views(self.list_views)
    }

    /// The same, with lists that are none of views.
    pub(crate) fn plain_snapshot(&self, slot: Slot, question: &Question) -> Snapshot {
        match (&self.stage, question) {
            (Stage::Grid(grid), Question::Window { start, end }) => {
                grid.snapshot(slot.0, start.millis()..end.millis())
            }
            (Stage::Runs(runs), Question::Session { as_of } | Question::Lifetime { as_of }) => {
                runs.snapshot(slot.0, as_of.millis())
            }
            (Stage::Over(over), Question::Over { as_of }) => over.snapshot(slot.0, as_of.millis()),
            (Stage::Process(process), Question::Process { as_of }) => {
                process.snapshot(slot.0, as_of.millis())
            }
            _ => self.plain_absent(),
        }
    }

    /// The values of a key that has no state: every aggregate's identity.
    pub fn absent(&self) -> Snapshot {
        self.plain_absent().with_list_views(self.list_views)
    }

    fn plain_absent(&self) -> Snapshot {
        match &self.stage {
            Stage::Over(over) => Snapshot::absent(&over.spec, over.frames.len()),
            Stage::Grid(_) | Stage::Runs(_) | Stage::Process(_) => Snapshot::absent(self.spec(), 1),
        }
    }

    /// Drops state that no lookup at or after [`Timelines::oldest`] and no correction can need, and keys without any.
    /// What a lookup finds is the same. Slots may be given to other keys afterwards.
    pub fn expire(&mut self) {
        match &mut self.stage {
            Stage::Runs(runs) => {
                runs.expire(&mut self.slots);
                runs.forget(&self.slots.free_idle());
            }
            Stage::Grid(grid) => {
                grid.expire(&mut self.slots);
                grid.forget(&self.slots.free_idle());
            }
            Stage::Over(over) => {
                over.expire(&mut self.slots);
                over.forget(&self.slots.free_idle());
            }
            Stage::Process(process) => {
                process.expire(&mut self.slots);
                process.forget(&self.slots.free_idle());
            }
        }
    }

    /// The oldest `as_of` that can be answered: as far behind the settled boundary as [`StageSpec::reach`] says, or,
    /// where stored state did not reach so far, as it did.
    pub fn oldest(&self) -> EventTime {
        EventTime::from_millis(match &self.stage {
            Stage::Grid(grid) => grid.horizon(),
            Stage::Runs(runs) => runs.horizon(),
            Stage::Over(over) => over.horizon(),
            Stage::Process(process) => process.horizon(),
        })
    }

    /// Shows every block that changed since the last call: key, name, and its bytes or `None` if it is gone. Tiles
    /// that are gone by time are not shown: [`Timelines::is_expired`] tells them.
    pub fn encode_dirty(&mut self, out: &mut BlockSink<'_>) {
        self.encode_some(usize::MAX, out);
    }

    /// As [`Timelines::encode_dirty`], but about `limit` blocks at the most, and the others with the next calls. Whether
    /// none is left.
    pub fn encode_some(&mut self, limit: usize, out: &mut BlockSink<'_>) -> bool {
        let mut left = limit;
        match &mut self.stage {
            Stage::Grid(grid) => grid.encode_dirty(&self.slots, &mut left, out),
            Stage::Runs(runs) => runs.encode_dirty(&self.slots, &mut left, out),
            Stage::Over(over) => over.encode_dirty(&self.slots, &mut left, out),
            Stage::Process(process) => process.encode_dirty(&self.slots, &mut left, out),
        }
        left > 0
    }

    /// Shows every block: key, name and bytes. What [`Timelines::encode_dirty`] has still to show stays so.
    pub fn encode_all(&self, out: &mut BlockSink<'_>) {
        match &self.stage {
            Stage::Grid(grid) => grid.encode_all(&self.slots, out),
            Stage::Runs(runs) => runs.encode_all(&self.slots, out),
            Stage::Over(over) => over.encode_all(&self.slots, out),
            Stage::Process(process) => process.encode_all(&self.slots, out),
        }
    }

    /// Whether a stored block is out of reach since the last `expire`, and need not be kept.
    pub fn is_expired(&self, block: Block) -> bool {
        match &self.stage {
            Stage::Grid(grid) => grid.is_gone(block),
            Stage::Over(over) => over.is_gone(block),
            Stage::Runs(_) | Stage::Process(_) => false,
        }
    }

    /// Takes a stored block back. All are to be taken back, then `restore_done` called, before anything else.
    pub fn decode(&mut self, key: &[u8], hash: u64, block: Block, bytes: &[u8]) -> Result<(), DecodeError> {
        let slot = self.slots.find_or_insert(key, hash);
        match &mut self.stage {
            Stage::Grid(grid) => grid.decode(&mut self.slots, slot, block, bytes),
            Stage::Runs(runs) => runs.decode(&mut self.slots, slot, block, bytes),
            Stage::Over(over) => over.decode(&mut self.slots, slot, block, bytes),
            Stage::Process(process) => process.decode(&mut self.slots, slot, block, bytes),
        }
    }

    /// All stored blocks are back; `settled` is the boundary as it was when they were stored, and `oldest` the oldest time
    /// that could be asked for then, [`EventTime::MIN`] for as far back as this specification reaches: the one that
    /// stored them may have reached less far, or farther, and then corrections may be due.
    pub fn restore_done(&mut self, settled: EventTime, oldest: EventTime) -> Result<(), DecodeError> {
        let (settled, oldest) = (settled.millis(), oldest.millis());
        let damaged = match &mut self.stage {
            Stage::Grid(grid) => grid.restore_done(settled, oldest),
            Stage::Runs(runs) => runs.restore_done(&self.slots, settled, oldest),
            Stage::Over(over) => over.restore_done(settled, oldest),
            Stage::Process(process) => process.restore_done(&self.slots, settled, oldest),
        };
        if damaged.is_empty() {
            self.measure();
            return Ok(());
        }
        let block = Block { column: Block::ROWS, level: 0, start: 0 };
        Err(DecodeError::new(block, "a key's blocks overlap"))
    }

    /// The boundary that `settle` has reached; [`EventTime::MIN`] before.
    pub fn settled(&self) -> EventTime {
        EventTime::from_millis(match &self.stage {
            Stage::Grid(grid) => grid.settled(),
            Stage::Runs(runs) => runs.settled(),
            Stage::Over(over) => over.settled(),
            Stage::Process(process) => process.settled(),
        })
    }

    /// How much is held; the memory by what it was when [`Timelines::measure`] was last called, here or by whoever wants
    /// it anew.
    pub fn stats(&self) -> Stats {
        let (tiles, rows) = match &self.stage {
            Stage::Grid(grid) => {
                (grid.tiles(), grid.ordered.as_ref().map_or(0, |ordered| ordered.logs.rows()))
            }
            Stage::Runs(runs) => (runs.runs(), runs.logs.rows()),
            Stage::Over(over) => (over.tiles(), over.logs.rows()),
            Stage::Process(process) => (process.memories(), process.logs.rows()),
        };
        let keys = self.slots.len() as u64;
        Stats { keys, tiles, rows, memory_bytes: self.measured.bytes_of(keys + tiles + rows) }
    }

    /// Walks over everything to find how much memory it takes.
    pub fn measure(&mut self) {
        let of_stage = match &self.stage {
            Stage::Grid(grid) => grid.memory_bytes(),
            Stage::Runs(runs) => runs.memory_bytes(),
            Stage::Over(over) => over.memory_bytes(),
            Stage::Process(process) => process.memory_bytes(),
        };
        let Stats { keys, tiles, rows, .. } = self.stats();
        self.measured.set((of_stage + self.slots.memory_bytes()) as u64, keys + tiles + rows);
    }
}
