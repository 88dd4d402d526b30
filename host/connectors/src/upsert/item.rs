//! A result row on its way into a store of keys.
//!
//! Knows rows and what weir says of them. Must not know any store.

use super::cells::{self, CellValue};
use super::held::HeldRows;
use super::settings::Keep;
use arrow_array::ArrayRef;
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{Op, RowIdentity};
use weir_event::EventTime;
use weir_format::json::push_cell;

/// The place of a row in the order of all rows of its key: of two, the one with the greater fence holds. It rises also
/// across restarts of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// Where a store keeps the newest row of a key: the end of the row's window, or its event's time, milliseconds; a late
    /// correction of an older window does not take the place of a newer one. 0 where each row has an identity of its own,
    /// and where a key has one row over all time.
    pub time: i64,
    /// Which of two rows for the same time was made later. Below 2^53.
    pub revision: u64,
}

impl Fence {
    /// That of a row in a store that keeps so much of its key.
    pub fn of(meta: &RowMeta, row: usize, keep: Keep) -> Fence {
        let end = meta.windows.get(row).map(|(_, end)| *end);
        let time = match keep {
            Keep::Newest => end.or(meta.times.get(row).copied()).unwrap_or(0),
            Keep::All => 0,
        };
        Fence { time, revision: meta.revision }
    }

    /// A text of 32 letters that sorts as the fence does, byte by byte.
    pub fn text(&self) -> String {
        format!("{:016x}{:016x}", self.time as u64 ^ (1 << 63), self.revision)
    }
}

/// What tells a row from the others of its key, as a text that sorts by time where it is a time.
pub fn identity_text(meta: &RowMeta, row: usize, identity: RowIdentity) -> Option<String> {
    let time = |millis: i64| EventTime::from_millis(millis).to_string();
    match identity {
        RowIdentity::WindowEnd => meta.windows.get(row).map(|(_, end)| time(*end)),
        RowIdentity::WindowStart => meta.windows.get(row).map(|(start, _)| time(*start)),
        RowIdentity::Event => meta.identities.get(row).cloned(),
        RowIdentity::Key => None,
    }
}

/// What tells rows apart that may overwrite each other: their keys and identities, as one text.
pub(super) type RowKey = Arc<str>;

/// A row, its key's texts and its fence.
#[derive(Debug, Clone)]
pub struct Item {
    pub(super) rows: Arc<HeldRows>,
    pub(super) row: usize,
    /// What it takes in memory, roughly.
    bytes: u64,
    pub(super) key: RowKey,
    /// What the store's texts for keys come to, in their order.
    pub keys: Vec<String>,
    /// Where the store keeps all rows of a key: what tells this one from the others of its key, which sorts by time where
    /// it is one (a bound of its window), else the position of its event. `None` where the newest is kept.
    pub identity: Option<String>,
    /// Its place in the order of the rows of its key (and identity).
    pub fence: Fence,
}

impl Item {
    /// A row with what its keys come to; `share` is what each of the rows takes in memory.
    pub(super) fn new(
        (rows, row): (Arc<HeldRows>, usize),
        keys: Vec<String>,
        identity: Option<String>,
        fence: Fence,
        share: usize,
    ) -> Item {
        let texts = keys.iter().chain(&identity);
        // No two lists of texts come to the same: each is preceded by its length.
        let key: String = texts.map(|text| format!("{}:{text}", text.len())).collect();
        let bytes = (share + keys.iter().map(String::len).sum::<usize>()) as u64;
        Item { rows, row, bytes, key: key.into(), keys, identity, fence }
    }

    /// Whether it writes, or takes away what was written: of such a row only the key and the window mean anything.
    pub fn op(&self) -> Op {
        self.rows.meta.op
    }

    /// What weir says of it and of those beside it.
    pub fn meta(&self) -> &RowMeta {
        &self.rows.meta
    }

    /// The query's columns by name, each with all its values, of which [`Item::row`] is this item's.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &ArrayRef)> {
        let schema = self.rows.columns.schema_ref();
        schema.fields().iter().map(|field| field.name().as_str()).zip(self.rows.columns.columns())
    }

    /// Its number among the values of a column.
    pub fn row(&self) -> usize {
        self.row
    }

    /// The value of one of the query's columns.
    pub fn value(&self, column: usize) -> CellValue {
        CellValue::of(self.rows.columns.column(column), self.row)
    }

    /// The same as a text; `None` of a null.
    pub fn text(&self, column: usize) -> Option<String> {
        cells::text(self.rows.columns.column(column), self.row)
    }

    /// Appends the same as JSON.
    pub fn push_json(&self, column: usize, out: &mut Vec<u8>) {
        push_cell(self.rows.columns.column(column), self.row, out);
    }

    /// Its window, `[start, end)` in milliseconds.
    pub fn window(&self) -> Option<(i64, i64)> {
        self.rows.meta.windows.get(self.row).copied()
    }

    /// The time of its event, or where it has a window, the newest that may be in that.
    pub fn event_time(&self) -> Option<EventTime> {
        let of_window = self.window().map(|(_, end)| end - 1);
        let time = self.rows.meta.times.get(self.row).copied().or(of_window);
        time.map(EventTime::from_millis)
    }

    /// What it takes in memory, roughly: its share of the rows that came with it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
