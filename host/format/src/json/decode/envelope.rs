//! Debezium's envelope: changes of a table, each with the row before and after it, in a `payload` beside its schema or bare.
//!
//! A row that was updated or deleted is taken back as it was before, where that is asked for. Of a row that had no event
//! time then, nothing has come that could be.
//!
//! Knows where the rows stand and which changes have them. Must not know columns.

use super::scan::{Kind, Token};
use crate::rows::Wanted;
use weir_event::schema::TAKEN_BACK;

/// What is read of each change.
#[derive(Debug)]
pub(super) struct Images {
    /// How many columns are read of a row.
    columns: usize,
    event_time: Option<usize>,
    /// Whether the row before the change is read, to be taken back.
    before: bool,
    /// Which of the columns says whether a row is.
    taken_back: Option<usize>,
}

/// Where among the tokens those of a change's rows begin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Of the row that is taken back.
    pub(super) before: Option<usize>,
    pub(super) after: Option<usize>,
}

const NO_BEFORE: &str = "the row before the change is missing, so it cannot be taken back: let the database log whole \
                         rows (PostgreSQL: `ALTER TABLE .. REPLICA IDENTITY FULL`, MySQL: `binlog_row_image = FULL`), \
                         or write `deletes: ignore`";

impl Images {
    pub(super) fn new(of: &Wanted, before: bool) -> Images {
        let taken_back = of.columns.iter().position(|column| column.member == TAKEN_BACK);
        Images { columns: of.columns.len(), event_time: of.event_time, before, taken_back }
    }

    /// Where members are looked for: the columns in a bare envelope and in a payload, after the change and before it, and
    /// what kind of change it is in both.
    pub(super) fn paths(&self, of: &Wanted) -> Vec<Vec<String>> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut rows = vec![owned(&["after"]), owned(&["payload", "after"])];
        if self.before {
            rows.extend([owned(&["before"]), owned(&["payload", "before"])]);
        }
        let below = |row: Vec<String>| {
            of.columns.iter().map(move |column| row.iter().chain(&column.path).cloned().collect())
        };
        rows.into_iter().flat_map(below).chain([owned(&["op"]), owned(&["payload", "op"])]).collect()
    }

    /// How many those are.
    pub(super) fn width(&self) -> usize {
        self.columns * if self.before { 4 } else { 2 } + 2
    }

    /// The rows of a change, or why it has none.
    pub(super) fn open(&self, bytes: &[u8], tokens: &[Token]) -> Result<Change, String> {
        let [.., bare, wrapped] = tokens else { return Err(NO_CHANGE.to_owned()) };
        let is_wrapped = wrapped.kind != Kind::Absent;
        let kind = if is_wrapped { wrapped } else { bare };
        let row = |at: usize| self.columns * (at + usize::from(is_wrapped));
        let after = Some(row(0));
        match (kind.kind, &bytes[kind.range()]) {
            (Kind::Text, b"c" | b"r") => Ok(Change { before: None, after }),
            (Kind::Text, b"u" | b"d") if self.before => {
                let is_update = bytes[kind.range()] == *b"u";
                let before = self.before(&tokens[row(2)..][..self.columns], is_update)?.then(|| row(2));
                Ok(Change { before, after: after.filter(|_| is_update) })
            }
            (Kind::Text, b"u") => Ok(Change { before: None, after }),
            (Kind::Text, b"d") => Err("a row was deleted, which `deletes: ignore` passes over".to_owned()),
            (Kind::Text, b"t") => Err(TRUNCATED.to_owned()),
            (Kind::Text, other) => {
                Err(format!("a change of kind `{}` is not a row", String::from_utf8_lossy(other)))
            }
            _ => Err(NO_CHANGE.to_owned()),
        }
    }

    /// Whether the row before a change is one that may have counted.
    fn before(&self, row: &[Token], is_update: bool) -> Result<bool, String> {
        let is_absent = |token: &Token| token.kind == Kind::Absent;
        match self.event_time.map(|at| row[at].kind) {
            // It came as a dead letter.
            Some(Kind::Null) if is_update => Ok(false),
            Some(Kind::Absent | Kind::Null) => Err(NO_BEFORE.to_owned()),
            None if !row.is_empty() && row.iter().all(is_absent) => Err(NO_BEFORE.to_owned()),
            _ => Ok(true),
        }
    }

    /// Says in a row's tokens whether it is taken back.
    pub(super) fn mark(&self, row: &mut [Token], taken_back: bool) {
        if let Some(at) = self.taken_back {
            let kind = if taken_back { Kind::True } else { Kind::False };
            row[at] = Token { kind, ..Token::ABSENT };
        }
    }
}

const NO_CHANGE: &str = "not an event of Debezium: it does not say its kind in `op`";

const TRUNCATED: &str = "the table was truncated, and which rows it had is not told, so results keep them: delete rows with \
                         DELETE, or let the stream begin behind this record and its jobs anew";
