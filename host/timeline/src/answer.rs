//! What goes into [`crate::Timelines`] and what comes out: rows, results, questions, values, stored blocks.
//!
//! Values only. Knows nothing of how they are found.

use crate::aggregate::AggregateError;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, ListViewArray, UInt32Array};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};
use std::sync::Arc;
use weir_event::{EventTime, Rank};

/// Dense number of a key in one [`crate::Timelines`]. Valid until the next `expire`, which may free it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Rows on their way in: row `rows[i]` of the columns belongs to the key of `slots[i]`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// For each row its key; as long as `rows`.
    pub slots: &'a [Slot],
    /// For each row its index into `times`, `ranks` and the columns.
    pub rows: &'a [u32],
    /// Event times of the batch, milliseconds.
    pub times: &'a [i64],
    /// Ranks of the batch.
    pub ranks: &'a [Rank],
    /// The batch's columns, of the types of [`crate::StageSpec::inputs`].
    pub columns: &'a [ArrayRef],
    /// The watermark of the rows' own partition, which the late ones among them are behind; [`EventTime::MIN`] before it
    /// has one. Rows are judged by it and not by the settled boundary, so that what counts does not depend on how far
    /// other partitions were read.
    pub watermark: EventTime,
}

/// What became of rows that were inserted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inserted {
    /// Rows that count though a result that they belong to was final: it will be corrected.
    pub late: u64,
    /// Rows that were left out because every result that they belong to stays as it is, as their indices in the batch.
    pub too_late: Vec<u32>,
    /// Rows that fall between two windows (slide longer than size) and count nowhere.
    pub between: u64,
}

/// Results that became final or were corrected, in columns: entry `i` of each is one result.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// Whose result.
    pub slots: Vec<Slot>,
    /// One array per aggregate of the stage; of keyed logic one per column of its rows.
    pub values: Vec<ArrayRef>,
    /// Of windows and sessions: `[start, end)`, milliseconds. A session is told from others by its start.
    pub windows: Vec<(i64, i64)>,
    /// `OVER` only: the event, by time in milliseconds and rank.
    pub events: Vec<(i64, Rank)>,
    /// Keyed logic only: what tells each row from the others of its key, its time in milliseconds and its number among
    /// those that were made at that time.
    pub made: Vec<(i64, u32)>,
    /// `OVER`: one array per carried column. Keyed logic: one of the rows' times.
    pub carried: Vec<ArrayRef>,
    /// Whether a result of the same identity may have been returned before; the last one counts.
    pub revised: Vec<bool>,
    /// Sessions and keyed logic only, else empty: whether a result that was returned before is no more, as a late row joined
    /// a session to an older one or moved its start, or logic makes another row of it. Its values are those of no row. See [`Results::is_deleted`].
    pub deleted: Vec<bool>,
    /// Values that could not be computed: each is null.
    pub errors: Vec<ResultError>,
    /// Rows that an ordered aggregate failed on, alone: taken out of it, to be dead-lettered.
    pub refused: Vec<RefusedRow>,
    /// Whether the same call has more to return; see [`crate::Timelines::flush_some`].
    pub more: bool,
}

impl Results {
    /// How many results there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether result `row` says that what was returned under its identity is to be taken away.
    pub fn is_deleted(&self, row: usize) -> bool {
        self.deleted.get(row).copied().unwrap_or(false)
    }
}

/// A value of a result that is an error, such as an overflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultError {
    /// Index of the result.
    pub row: usize,
    /// Index of the aggregate.
    pub aggregate: usize,
    /// What went wrong.
    pub reason: String,
}

/// A row that an ordered aggregate failed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its key.
    pub slot: Slot,
    /// Its event time, milliseconds.
    pub time: i64,
    /// Its rank: partition and offset.
    pub rank: Rank,
    /// Index of the aggregate that failed.
    pub aggregate: usize,
    /// What went wrong.
    pub reason: String,
}

/// A question to one key's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// For windows on a grid, cumulating ones and those of a table: the values of the window `[start, end)`, which
    /// must be one of them, complete or not.
    Window {
        /// First time in it.
        start: EventTime,
        /// First time after it.
        end: EventTime,
    },
    /// For sessions: the newest one at this time, from rows up to it, however long ago it ended. With a retention, a
    /// session is forgotten so long after its end.
    Session {
        /// Newest time that counts.
        as_of: EventTime,
    },
    /// For lifetime aggregates: the values of all rows up to this time, rows at it included.
    Lifetime {
        /// Newest time that counts.
        as_of: EventTime,
    },
    /// For `OVER`: the values of all frames at this time, rows at it included. A frame of rows takes the newest one
    /// at or before it as the current row; of a range nothing is excluded, for there is no current row.
    Over {
        /// Where the frames end.
        as_of: EventTime,
    },
    /// For keyed logic: the newest row that it has made at this time, of events and timers at it too.
    Process {
        /// How far the logic goes.
        as_of: EventTime,
    },
}

/// The answer to a [`Question`].
#[derive(Debug, Clone)]
pub struct Values {
    /// One array of length 1 per aggregate; null where there is an error.
    pub values: Vec<ArrayRef>,
    /// Rows in the frame, one count per frame of the stage (a grid has one). Filters are not looked at. With
    /// [`crate::StageSpec::results_below`], whether a row is in it that is joined: 1 or 0.
    pub rows: Vec<u64>,
    /// Newest event time of those rows, per frame as `rows`.
    pub newest: Vec<Option<EventTime>>,
    /// `OVER` only: oldest event time in the frame of rows that are still kept as such, per frame as `rows`.
    pub oldest: Vec<Option<EventTime>>,
    /// `OVER` only: the carried columns of the key's newest row at or before the time asked for, each of length
    /// 1; null if there is no such row, or if it is older than every frame reaches back. With
    /// [`crate::StageSpec::results_below`], of the newest one that has a result, which is found as far back as lookups
    /// reach also where frames do not.
    pub carried: Vec<ArrayRef>,
    /// `OVER` only: the event time of that row.
    pub event: Option<EventTime>,
    /// Sessions only: the session's window, as of the time asked for.
    pub window: Option<(EventTime, EventTime)>,
    /// Aggregates whose value is an error, and the reason.
    pub errors: Vec<(usize, String)>,
}

/// The answers to several questions: entry `i` of each column is one.
#[derive(Debug, Clone)]
pub struct ManyValues {
    /// One array per aggregate; null where there is an error.
    pub values: Vec<ArrayRef>,
    /// As [`Values::carried`].
    pub carried: Vec<ArrayRef>,
    /// What is known of each answer beside its values.
    pub about: Vec<AboutValues>,
    /// Values that are an error.
    pub errors: Vec<ResultError>,
}

/// What is known of an answer beside its values, as [`Values`] has it.
#[derive(Debug, Clone, Default)]
pub struct AboutValues {
    /// Rows in each frame.
    pub rows: Vec<u64>,
    /// The newest event time of them.
    pub newest: Vec<Option<EventTime>>,
    /// The oldest event time of those that are still kept as rows.
    pub oldest: Vec<Option<EventTime>>,
    /// The event time of the row that is carried.
    pub event: Option<EventTime>,
    /// The session's window.
    pub window: Option<(EventTime, EventTime)>,
}

/// Names one stored block of a key; with the key it is unique in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// What kind of block it is: [`Block::TILES`], [`Block::ROWS`], [`Block::RUNS`], [`Block::EMITTED`],
    /// [`Block::KEPT`] or [`Block::MEMORIES`].
    pub column: u16,
    /// Level of the tile; 0 is the finest.
    pub level: u8,
    /// Of a tile, a run or a window: its start, milliseconds. Of a block of rows: a number that is never used again
    /// for the key.
    pub start: i64,
}

impl Block {
    /// The column of tiles.
    pub const TILES: u16 = 0;
    /// The column of row log blocks.
    pub const ROWS: u16 = 1;
    /// The column of sessions and lifetime values.
    pub const RUNS: u16 = 2;
    /// The column of notes on open windows that were returned as changes.
    pub const EMITTED: u16 = 3;
    /// The column of windows that stay as they were before a late row came into their panes.
    pub const KEPT: u16 = 4;
    /// The column of what keyed logic remembers.
    pub const MEMORIES: u16 = 5;
}

/// Takes stored blocks: key, name, and the bytes or `None` if the block is gone.
pub type BlockSink<'a> = dyn FnMut(&[u8], Block, Option<&[u8]>) + 'a;

/// Stored bytes that do not decode: the state is damaged, or is another definition's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored state of block {block:?} is damaged or belongs to another definition: {what}")]
pub struct DecodeError {
    /// Which block.
    pub block: Block,
    /// What is wrong with it.
    pub what: String,
}

impl DecodeError {
    pub(crate) fn new(block: Block, what: impl Into<String>) -> Self {
        DecodeError { block, what: what.into() }
    }

    /// Of a block that the stage keeps no column for.
    pub(crate) fn no_column(block: Block) -> DecodeError {
        DecodeError::new(block, "the stage has no such column")
    }

    pub(crate) fn of_state(block: Block, error: &AggregateError) -> Self {
        DecodeError { block, what: error.to_string() }
    }
}

/// How much a [`crate::Timelines`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Keys with state.
    pub keys: u64,
    /// (key, tile) pairs; of sessions and lifetime aggregates, how many there are; of keyed logic, keys that it remembers.
    pub tiles: u64,
    /// Rows in row logs.
    pub rows: u64,
    /// Memory held, in bytes, roughly.
    pub memory_bytes: u64,
}

/// The type of views of lists, where `data_type` is one of lists; else `data_type` itself.
pub fn list_view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::ListView(item.clone()),
        other => other.clone(),
    }
}

/// Views of lists as lists, each with items of its own; a column of anything else as it is.
///
/// ```
/// use arrow_array::builder::{Int64Builder, ListViewBuilder};
/// use arrow_array::{Array, ArrayRef, cast::AsArray};
/// use std::sync::Arc;
/// let mut views = ListViewBuilder::new(Int64Builder::new());
/// views.append_value([Some(1), None]);
/// let views: ArrayRef = Arc::new(views.finish());
/// let lists = weir_timeline::to_lists(&views).unwrap();
/// assert_eq!(lists.as_list::<i32>().value(0).len(), 2);
/// ```
///
/// # Errors
/// If they have more than 2^31 items.
pub fn to_lists(values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let DataType::ListView(item) = values.data_type() else { return Ok(values.clone()) };
    let views = values.as_list_view::<i32>();
    let (starts, lengths) = (views.offsets(), views.sizes());
    let mut ends = Vec::with_capacity(views.len() + 1);
    let first = starts.first().copied().unwrap_or(0);
    ends.push(first);
    let mut is_dense = true;
    for (start, length) in starts.iter().zip(lengths) {
        let end = ends[ends.len() - 1];
        is_dense &= *start == end || *length == 0;
        let too_many = || ArrowError::OffsetOverflowError(end as usize + *length as usize);
        ends.push(end.checked_add(*length).ok_or_else(too_many)?);
    }
    let items = if is_dense {
        views.values().clone()
    } else {
        let mut taken = Vec::with_capacity((ends[ends.len() - 1] - first) as usize);
        for (start, length) in starts.iter().zip(lengths) {
            taken.extend(*start as u32..(*start + *length) as u32);
        }
        ends.iter_mut().for_each(|end| *end -= first);
        arrow_select::take::take(views.values(), &UInt32Array::from(taken), None)?
    };
    let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
    Ok(Arc::new(ListArray::try_new(item.clone(), ends, items, views.nulls().cloned())?))
}

/// Lists as views of them; a column of anything else as it is. Nothing is copied.
///
/// # Errors
/// None that a list can lead to.
pub fn to_list_views(values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let DataType::List(item) = values.data_type() else { return Ok(values.clone()) };
    let lists = values.as_list::<i32>();
    let starts: Vec<i32> = lists.offsets().iter().take(lists.len()).copied().collect();
    let lengths: Vec<i32> = lists.offsets().lengths().map(|length| length as i32).collect();
    let (items, nulls) = (lists.values().clone(), lists.nulls().cloned());
    Ok(Arc::new(ListViewArray::try_new(item.clone(), starts.into(), lengths.into(), items, nulls)?))
}

/// Lists as views or each on its own.
pub(crate) fn shape_lists(values: &ArrayRef, as_views: bool) -> Result<ArrayRef, AggregateError> {
    let shaped = if as_views { to_list_views(values) } else { to_lists(values) };
    shaped.map_err(|error| AggregateError::Broken(error.to_string()))
}
