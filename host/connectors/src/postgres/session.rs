//! What a sink says to PostgreSQL between its start and its end: rows are staged in a transaction, and moved into the table
//! together with the number of their checkpoint.
//!
//! A session claims its job: one that was thought dead finds that another has, and writes nothing more.

use super::connection::{answered, connect, failure, is_of_rows};
use super::layout::Layout;
use super::statements::Statements;
use bytes::Bytes;
use futures_util::SinkExt;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::sync::Arc;
use tokio_postgres::{Client, Config, Error, Statement};
use weir_connect::ConnectError;
use weir_event::Clock;

/// Everything that a job may have staged.
const ALL: i64 = i64::MAX;
/// A transaction that holds what others wait for is ended by the server where whoever began it stands still.
const SHORT: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// What sessions are opened with.
#[derive(Clone)]
pub(super) struct SessionOpening {
    pub(super) config: Config,
    pub(super) at: String,
    pub(super) job: String,
    pub(super) layout: Arc<Layout>,
    pub(super) clock: Arc<dyn Clock>,
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
        let writer = connect(&self.config, &self.at).await?;
        let publisher = connect(&self.config, &self.at).await?;
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
            if table != layout.epochs()
                && let Some(misfit) = layout.misfit(&found)
            {
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
        let run = format!("{}-{:016x}", self.clock.now(), RandomState::new().build_hasher().finish());
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

    async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, ConnectError> {
        answered(&*self.clock, &self.at, asked).await
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
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, ConnectError> {
        self.opening.ask(asked).await
    }

    /// What was found, for a person.
    pub(super) fn found(&self) -> String {
        format!("table {}, {} columns", self.opening.layout.table, self.opening.layout.columns.len())
    }

    /// Claims the job, and brings the table to exactly this checkpoint.
    pub(super) async fn claim(&mut self, safe: Option<u64>) -> Result<(), ConnectError> {
        let job = &self.opening.job;
        self.ask(self.publisher.batch_execute("BEGIN")).await?;
        self.ask(self.publisher.batch_execute(SHORT)).await?;
        self.ask(self.publisher.execute(&self.statements.introduce, &[job])).await?;
        let (reached, _) = self.claimed().await?;
        let safe = safe.unwrap_or(0);
        if reached < safe as i64 {
            self.ask(self.publisher.execute(&self.statements.publish, &[job, &(safe as i64)])).await?;
        }
        self.ask(self.publisher.execute(&self.statements.clear, &[job, &ALL])).await?;
        self.ask(self.publisher.execute(&self.statements.advance, &[job, &(safe as i64), &self.run])).await?;
        self.ask(self.publisher.batch_execute("COMMIT")).await?;
        (self.prepared, self.staged, self.published) = (safe, safe, safe);
        Ok(())
    }

    /// How far the job has come, and who writes for it; held until the end of the transaction.
    async fn claimed(&self) -> Result<(i64, String), ConnectError> {
        let row = self.ask(self.publisher.query_one(&self.statements.claim, &[&self.opening.job])).await?;
        let read = || Ok::<_, Error>((row.try_get(0)?, row.try_get(1)?));
        read().map_err(|error| failure(&self.opening.at, &error))
    }

    /// Where another has claimed the job since, nothing of the transaction stays, nor anything that it holds.
    async fn check_owner(&self, owner: &str, client: &Client) -> Result<(), ConnectError> {
        if owner == self.run {
            return Ok(());
        }
        self.ask(client.batch_execute("ROLLBACK")).await?;
        let (at, job) = (&self.opening.at, &self.opening.job);
        Err(ConnectError::unavailable(format!(
            "postgres {at}: another process writes the rows of the job {job} since"
        )))
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
    pub(super) async fn commit(&mut self, epoch: u64) -> Result<(), ConnectError> {
        if self.staged <= self.published {
            return Ok(());
        }
        let (published, job, epoch) = (epoch, &self.opening.job, epoch as i64);
        self.ask(self.publisher.batch_execute("BEGIN")).await?;
        self.ask(self.publisher.batch_execute(SHORT)).await?;
        let (reached, owner) = self.claimed().await?;
        self.check_owner(&owner, &self.publisher).await?;
        if reached < epoch {
            self.ask(self.publisher.execute(&self.statements.publish, &[job, &epoch])).await?;
            self.ask(self.publisher.execute(&self.statements.clear, &[job, &epoch])).await?;
            self.ask(self.publisher.execute(&self.statements.advance, &[job, &epoch, &self.run])).await?;
        }
        self.ask(self.publisher.batch_execute("COMMIT")).await?;
        self.published = self.published.max(published);
        Ok(())
    }
}
