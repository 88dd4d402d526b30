//! Moves staged rows into the user's table, and finds those that the table refuses for ever.
//!
//! All go at once where the table takes all. Where it does not, they are halved until each that is refused stands alone; the
//! newest row of its key that the table takes goes in its place. Works within the transaction of whoever calls. Must not
//! know what a checkpoint is.

use super::connection::{AskFailure, failure, is_of_rows};
use super::session::SessionOpening;
use super::statements::Statements;
use crate::upsert::{Keep, line_of};
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement, ToStatement};
use weir_connect::{ConnectError, RowIdentity};
use weir_event::EventTime;

/// The table may be of a kind that judges rows only at the end of the transaction: it is to say so where rows can be told
/// apart.
const JUDGE_AT_ONCE: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// So many rows that are refused one by one, and none taken, make the table itself suspect.
const REFUSED_IN_A_ROW: usize = 256;
/// So many others are tried then; where there are fewer, each row is judged for itself.
const TRIED: usize = 64;

/// The move of what a job has staged.
pub(super) struct Merge<'a> {
    pub(super) client: &'a Client,
    pub(super) opening: &'a SessionOpening,
    pub(super) statements: &'a Statements,
}

/// Rows that the table refuses.
#[derive(Debug, Default)]
pub(super) struct RefusedStaged {
    pub(super) count: u64,
    /// A line of each, as they are set aside.
    pub(super) lines: Vec<u8>,
}

/// Where a staged row is, as the server says it.
type StagedPlace = String;

impl Merge<'_> {
    /// Moves what is staged up to this epoch.
    pub(super) async fn publish(&self, epoch: i64) -> Result<RefusedStaged, AskFailure> {
        self.batch(JUDGE_AT_ONCE).await?;
        let job = &self.opening.job;
        if self.is_refused(self.statements.publish.as_str(), &[job, &epoch]).await?.is_none() {
            return Ok(RefusedStaged::default());
        }
        // Of each key the rows that may yet be taken, the newest last.
        let mut keys = self.keys(epoch).await?;
        let (mut refused, mut is_any_taken) = (Vec::new(), false);
        while !keys.is_empty() {
            let newest: Vec<StagedPlace> = keys.iter_mut().filter_map(Vec::pop).collect();
            let refused_now = self.publish_in_halves(&newest, &mut is_any_taken).await?;
            let older = refused_now.iter().map(|(at, _)| std::mem::take(&mut keys[*at]));
            keys = older.filter(|older| !older.is_empty()).collect();
            refused.extend(refused_now.into_iter().map(|(at, reason)| (newest[at].clone(), reason)));
        }
        self.described(refused).await
    }

    /// The places of staged rows by key, the oldest first.
    async fn keys(&self, epoch: i64) -> Result<Vec<Vec<StagedPlace>>, AskFailure> {
        let job = &self.opening.job;
        let rows = self.opening.ask(self.client.query(&self.statements.places, &[job, &epoch])).await?;
        let mut keys: Vec<Vec<StagedPlace>> = Vec::new();
        for row in rows {
            let (place, is_first): (StagedPlace, bool) = (self.of(&row, 0)?, self.of(&row, 1)?);
            match keys.last_mut().filter(|_| !is_first) {
                Some(key) => key.push(place),
                None => keys.push(vec![place]),
            }
        }
        keys.iter_mut().for_each(|key| key.reverse());
        Ok(keys)
    }

    /// Moves the rows at these places, no two of one key; gives those that are refused, by number, with the reason. Before
    /// any was taken, of these or of those before, many refusals make the table suspect.
    async fn publish_in_halves(
        &self,
        places: &[StagedPlace],
        is_any_taken: &mut bool,
    ) -> Result<Vec<(usize, String)>, AskFailure> {
        let publish = self.opening.ask(self.client.prepare(&self.statements.publish_at)).await?;
        let (mut refused, mut parts) = (Vec::new(), vec![(0, places.len())]);
        while let Some((first, end)) = parts.pop().filter(|(first, end)| first < end) {
            let part = &places[first..end];
            match self.is_refused(&publish, &[&part]).await? {
                None => *is_any_taken = true,
                Some(reason) if part.len() == 1 => {
                    refused.push((first, reason));
                    if refused.len() == REFUSED_IN_A_ROW && !*is_any_taken {
                        self.expect_some_taken(&publish, &places[end..], &refused).await?;
                        *is_any_taken = true;
                    }
                }
                Some(_) => {
                    let middle = usize::midpoint(first, end);
                    parts.extend([(middle, end), (first, middle)]);
                }
            }
        }
        Ok(refused)
    }

    /// Tries some of the rows that were not, from all over them: that none is taken is the table's fault and not that of rows,
    /// as where what its trigger writes to is gone.
    async fn expect_some_taken(
        &self,
        publish: &Statement,
        places: &[StagedPlace],
        refused: &[(usize, String)],
    ) -> Result<(), AskFailure> {
        let tried = places.iter().step_by(places.len().div_ceil(TRIED).max(1));
        let count = refused.len() + tried.len();
        for place in tried {
            if self.is_refused(publish, &[&std::slice::from_ref(place)]).await?.is_none() {
                return Ok(());
            }
        }
        if places.len() < TRIED {
            return Ok(());
        }
        let reason = refused.last().map_or("", |(_, reason)| reason);
        Err(ConnectError::external(format!(
            "{}: the table takes none of {count} rows that were tried one by one ({reason}); mend what refuses them: the rows \
             wait",
            self.opening.at
        ))
        .into())
    }

    /// Does what a statement says, or nothing of it and gives the reason where some row is to blame.
    async fn is_refused(
        &self,
        statement: &(impl ToStatement + ?Sized),
        with: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<String>, AskFailure> {
        self.batch("SAVEPOINT part").await?;
        let asked = self.opening.ask(async {
            match self.client.execute(statement, with).await {
                Err(error) => is_of_rows(&error).map(Some).ok_or(error),
                Ok(_) => Ok(None),
            }
        });
        let reason = asked.await?;
        let end = if reason.is_some() {
            "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part"
        } else {
            "RELEASE SAVEPOINT part"
        };
        self.batch(end).await?;
        Ok(reason)
    }

    async fn described(&self, refused: Vec<(StagedPlace, String)>) -> Result<RefusedStaged, AskFailure> {
        let (places, reasons): (Vec<StagedPlace>, Vec<String>) = refused.into_iter().unzip();
        let rows = self.opening.ask(self.client.query(&self.statements.describe, &[&places])).await?;
        let mut told = RefusedStaged { count: places.len() as u64, lines: Vec::new() };
        for (row, reason) in rows.iter().zip(&reasons) {
            told.lines.extend(self.line(row, reason)?);
        }
        Ok(told)
    }

    fn line(&self, row: &Row, reason: &str) -> Result<Vec<u8>, AskFailure> {
        let key: Vec<String> = self.of(row, 0)?;
        let (time, revision, deletes): (i64, i64, bool) =
            (self.of(row, 1)?, self.of(row, 2)?, self.of(row, 3)?);
        let (identity, columns): (Option<String>, String) = (self.of(row, 4)?, self.of(row, 5)?);
        let identity: Option<Value> = identity.and_then(|text| serde_json::from_str(&text).ok());
        let (mut window, mut position) = (None, None);
        match (self.opening.identity, self.opening.layout.keep) {
            (RowIdentity::WindowStart | RowIdentity::WindowEnd, Keep::Newest) => {
                window = Some(json!({"end": EventTime::from_millis(time).to_string()}));
            }
            (RowIdentity::WindowStart, Keep::All) => window = Some(json!({"start": identity})),
            (RowIdentity::WindowEnd, Keep::All) => window = Some(json!({"end": identity})),
            (RowIdentity::Event, Keep::All) => position = identity,
            (RowIdentity::Event | RowIdentity::Key, _) => {}
        }
        let op = if deletes { "delete" } else { "upsert" };
        let about = json!({
            "reason": reason, "key": key, "window": window, "position": position, "revision": revision, "op": op,
        });
        Ok(line_of(&about, columns.as_bytes()))
    }

    async fn batch(&self, statements: &str) -> Result<(), AskFailure> {
        self.opening.ask(self.client.batch_execute(statements)).await
    }

    fn of<'r, T: tokio_postgres::types::FromSql<'r>>(
        &self,
        row: &'r Row,
        at: usize,
    ) -> Result<T, AskFailure> {
        row.try_get(at).map_err(|error| failure(&self.opening.at, &error).into())
    }
}
