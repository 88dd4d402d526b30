//! What a sink says to PostgreSQL between its start and its end: rows are staged in a transaction, and moved into the table
//! together with the number of their checkpoint.
//!
//! A session claims its job: one that was thought dead finds that another has, and writes nothing more.

use super::connection::{AskFailure, answered, connect, failure, is_of_rows};
use super::layout::Layout;
use super::merge::Merge;
use super::statements::Statements;
use crate::blocking::blocking;
use crate::upsert::{RefusedRows, pause};
use bytes::Bytes;
use futures_util::SinkExt;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use tokio_postgres::{Client, Config, Error, Statement};
use weir_connect::{ConnectError, RowIdentity};
use weir_event::{Clock, EventTime};

/// Everything that a job may have staged.
const ALL: i64 = i64::MAX;
/// A transaction that holds what others wait for is ended by the server where whoever began it stands still.
const SHORT: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// What sessions are opened with.
#[derive(Clone)]
pub(super) struct SessionOpening {
    pub(super) config: Config,
    pub(super) at: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) job: String,
    pub(super) layout: Arc<Layout>,
    pub(super) identity: RowIdentity,
    pub(super) clock: Arc<dyn Clock>,
    /// When this run of the job began: one that began before another that has claimed the job writes nothing.
    pub(super) began: EventTime,
    pub(super) refused: RefusedRows,
    /// How often a checkpoint is moved into the table again where another transaction stands in its way.
    pub(super) retry_count: u32,
}

/// What became of a checkpoint beside its rows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Moved {
    /// Rows that the table refuses for ever.
    pub(super) refused: u64,
    /// Times that it was tried again.
    pub(super) retries: u64,
}

/// Connections whose tables fit.
pub(super) struct Session {
    /// Stages rows, in a transaction from the first row after a checkpoint to the next checkpoint.
    writer: Client,
    /// Moves them into the table meanwhile.
    publisher: Client,
    opening: SessionOpening,
    statements: Statements,
    stage: Statement,
    run: String,
    /// The newest checkpoint that was prepared; later rows are staged as of the epoch after it.
    prepared: u64,
    /// The newest epoch of which rows are staged for good.
    staged: u64,
    /// The newest epoch that is in the table.
    published: u64,
    seq: u64,
    in_transaction: bool,
}

impl SessionOpening {
    /// Connects and checks the tables; writes nothing.
    pub(super) async fn open(&self) -> Result<Session, ConnectError> {
        let connect = || connect(&*self.clock, &self.config, &self.at, self.ca.as_deref());
        let (writer, publisher) = (connect().await?, connect().await?);
        let layout = &self.layout;
        for table in [layout.quoted(), layout.staging(), layout.epochs()] {
            let found = self.columns(&writer, &table).await?;
            let help = format!("`weir sink ddl {}` prints the statements that make it", self.job);
            if found.is_empty() {
                return Err(ConnectError::external(format!(
                    "postgres {}: there is no table {table}; {help}",
                    self.at
                )));
            }
            let mut misfit = layout.misfit(&found).filter(|_| table != layout.epochs());
            if table == layout.quoted() && misfit.is_none() {
                misfit = layout.lacks(&self.needed(&writer, &table).await?);
            }
            if let Some(misfit) = misfit {
                return Err(ConnectError::external(format!(
                    "postgres {}: table {table}: {misfit}; {help}",
                    self.at
                )));
            }
        }
        let statements = Statements::of(layout);
        for statement in statements.to_be_explained(layout) {
            self.ask(writer.batch_execute(&statement)).await?;
        }
        let stage = self.ask(writer.prepare(&statements.stage)).await?;
        let run = format!("{}-{:016x}", self.began, RandomState::new().build_hasher().finish());
        Ok(Session {
            writer,
            publisher,
            opening: self.clone(),
            statements,
            stage,
            run,
            prepared: 0,
            staged: 0,
            published: 0,
            seq: 0,
            in_transaction: false,
        })
    }

    pub(super) async fn ask<T>(
        &self,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, AskFailure> {
        answered(&*self.clock, &self.at, asked).await
    }

    /// The columns that every row of a table must have a value of: nothing gives them one.
    async fn needed(&self, client: &Client, table: &str) -> Result<Vec<String>, ConnectError> {
        let text = "SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = to_regclass($1::text)::oid \
                    AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' \
                    AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal)";
        let rows = self.ask(client.query(text, &[&table])).await?;
        Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
    }

    /// The columns of a table with their types.
    async fn columns(&self, client: &Client, table: &str) -> Result<BTreeMap<String, String>, ConnectError> {
        let text = "SELECT a.attname::text, t.typname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                    WHERE a.attrelid = to_regclass($1::text)::oid AND a.attnum > 0 AND NOT a.attisdropped";
        let rows = self.ask(client.query(text, &[&table])).await?;
        let column = |row: &tokio_postgres::Row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?));
        Ok(rows.iter().filter_map(column).collect())
    }
}

impl Session {
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, AskFailure> {
        self.opening.ask(asked).await
    }

    /// What was found, for a person.
    pub(super) fn found(&self) -> String {
        format!("table {}, {} columns", self.opening.layout.table, self.opening.layout.columns.len())
    }

    /// Claims the job, and brings the table to exactly this checkpoint; gives how many rows of it the table refuses.
    pub(super) async fn claim(&mut self, safe: Option<u64>) -> Result<u64, ConnectError> {
        let job = &self.opening.job;
        self.ask(self.publisher.batch_execute("BEGIN")).await?;
        self.ask(self.publisher.batch_execute(SHORT)).await?;
        self.ask(self.publisher.execute(&self.statements.introduce, &[job])).await?;
        let (reached, owner) = self.claimed().await?;
        self.check_age(&owner).await?;
        let safe = safe.unwrap_or(0);
        let refused = if reached < safe as i64 { self.publish(safe as i64).await? } else { 0 };
        self.ask(self.publisher.execute(&self.statements.clear, &[job, &ALL])).await?;
        self.ask(self.publisher.execute(&self.statements.advance, &[job, &(safe as i64), &self.run])).await?;
        self.ask(self.publisher.batch_execute("COMMIT")).await?;
        (self.prepared, self.staged, self.published) = (safe, safe, safe);
        Ok(refused)
    }

    /// Moves what is staged up to this epoch into the table; what that refuses is on this machine's disk when this returns.
    async fn publish(&self, epoch: i64) -> Result<u64, AskFailure> {
        let (client, opening, statements) = (&self.publisher, &self.opening, &self.statements);
        let refused = Merge { client, opening, statements }.publish(epoch).await?;
        if refused.count > 0 {
            let kept = opening.refused.clone();
            blocking(move || kept.append(&refused.lines)).await?;
        }
        Ok(refused.count)
    }

    /// How far the job has come, and who writes for it; held until the end of the transaction.
    async fn claimed(&self) -> Result<(i64, String), AskFailure> {
        let row = self.ask(self.publisher.query_one(&self.statements.claim, &[&self.opening.job])).await?;
        let read = || Ok::<_, Error>((row.try_get(0)?, row.try_get(1)?));
        read().map_err(|error| failure(&self.opening.at, &error).into())
    }

    /// One that was thought dead does not take the job back: what its successor has staged would be gone.
    async fn check_age(&self, owner: &str) -> Result<(), AskFailure> {
        // Times of this form sort as texts.
        let began = self.opening.began.to_string();
        let of_owner = owner.get(..began.len()).filter(|of_owner| **of_owner > *began);
        let Some(of_owner) = of_owner else { return Ok(()) };
        self.ask(self.publisher.batch_execute("ROLLBACK")).await?;
        let (at, job, epochs) = (&self.opening.at, &self.opening.job, self.opening.layout.epochs());
        Err(ConnectError::unavailable(format!(
            "postgres {at}: another process, which began at {of_owner}, after this one, writes the rows of the job {job}; stop \
             one of them, or, where that one is gone for good, set _run to '' in {epochs}"
        ))
        .into())
    }

    /// Where another has claimed the job since, nothing of the transaction stays, nor anything that it holds.
    async fn check_owner(&self, owner: &str, client: &Client) -> Result<(), AskFailure> {
        if owner == self.run {
            return Ok(());
        }
        self.ask(client.batch_execute("ROLLBACK")).await?;
        let (at, job) = (&self.opening.at, &self.opening.job);
        Err(ConnectError::unavailable(format!(
            "postgres {at}: another process writes the rows of the job {job} since"
        ))
        .into())
    }

    /// The numbers that the next row is staged with: its epoch, and its place among those of this session.
    pub(super) fn next_place(&mut self) -> (u64, u64) {
        self.seq += 1;
        (self.prepared + 1, self.seq)
    }

    /// Stages lines; gives those that PostgreSQL refuses, by number, with the reason.
    pub(super) async fn stage(
        &mut self,
        text: &str,
        ends: &[usize],
    ) -> Result<Vec<(usize, String)>, ConnectError> {
        if !self.in_transaction {
            self.ask(self.writer.batch_execute("BEGIN")).await?;
            self.in_transaction = true;
        }
        let (mut refused, mut parts) = (Vec::new(), vec![(0, ends.len())]);
        while let Some((first, end)) = parts.pop().filter(|(first, end)| first < end) {
            let start = first.checked_sub(1).map_or(0, |before| ends[before]);
            let lines = Bytes::copy_from_slice(&text.as_bytes()[start..ends[end - 1]]);
            self.ask(self.writer.batch_execute("SAVEPOINT part")).await?;
            let copied = self.ask(async { Ok(self.copy(lines).await) }).await?;
            let Err(error) = copied else {
                self.ask(self.writer.batch_execute("RELEASE SAVEPOINT part")).await?;
                continue;
            };
            let Some(reason) = is_of_rows(&error) else { return Err(failure(&self.opening.at, &error)) };
            self.ask(self.writer.batch_execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")).await?;
            if end - first == 1 {
                refused.push((first, reason));
                continue;
            }
            let middle = usize::midpoint(first, end);
            parts.extend([(middle, end), (first, middle)]);
        }
        Ok(refused)
    }

    async fn copy(&self, lines: Bytes) -> Result<u64, Error> {
        let mut copy = pin!(self.writer.copy_in(&self.stage).await?);
        copy.send(lines).await?;
        copy.as_mut().finish().await
    }

    /// What was staged is durable when this returns, as up to this epoch.
    pub(super) async fn prepare(&mut self, epoch: u64) -> Result<(), ConnectError> {
        if self.in_transaction {
            self.ask(self.writer.batch_execute(SHORT)).await?;
            let row = self.ask(self.writer.query_one(&self.statements.look, &[&self.opening.job])).await?;
            let owner: String = row.try_get(0).map_err(|error| failure(&self.opening.at, &error))?;
            self.check_owner(&owner, &self.writer).await?;
            self.ask(self.writer.batch_execute("COMMIT")).await?;
            self.in_transaction = false;
            self.staged = self.prepared + 1;
        }
        self.prepared = epoch;
        Ok(())
    }

    /// Moves what is staged up to this epoch into the table. Idempotent.
    pub(super) async fn commit(&mut self, epoch: u64) -> Result<Moved, ConnectError> {
        let mut moved = Moved::default();
        if self.staged <= self.published {
            return Ok(moved);
        }
        loop {
            let tries = moved.retries as u32;
            match self.try_commit(epoch as i64).await {
                Ok(refused) => {
                    self.published = self.published.max(epoch);
                    return Ok(Moved { refused, ..moved });
                }
                Err(failed) if failed.is_passing && tries < self.opening.retry_count => {
                    self.ask(self.publisher.batch_execute("ROLLBACK")).await?;
                    self.opening.clock.sleep(pause(tries, &self.run)).await;
                    moved.retries += 1;
                }
                Err(failed) => return Err(failed.into()),
            }
        }
    }

    async fn try_commit(&self, epoch: i64) -> Result<u64, AskFailure> {
        let job = &self.opening.job;
        self.ask(self.publisher.batch_execute("BEGIN")).await?;
        self.ask(self.publisher.batch_execute(SHORT)).await?;
        let (reached, owner) = self.claimed().await?;
        self.check_owner(&owner, &self.publisher).await?;
        let mut refused = 0;
        if reached < epoch {
            refused = self.publish(epoch).await?;
            self.ask(self.publisher.execute(&self.statements.clear, &[job, &epoch])).await?;
            self.ask(self.publisher.execute(&self.statements.advance, &[job, &epoch, &self.run])).await?;
        }
        self.ask(self.publisher.batch_execute("COMMIT")).await?;
        Ok(refused)
    }
}
