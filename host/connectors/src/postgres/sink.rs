//! The sink: result rows in a table of PostgreSQL, exactly once.
//!
//! Rows are staged durably before their checkpoint is safe, and moved into the table once it is, in the transaction that
//! says how far the job has come. What the tables refuse is one row's fault alone: that row is set aside.

use super::layout::Layout;
use super::lines::Lines;
use super::session::{Session, SessionOpening};
use crate::blocking::blocking;
use crate::upsert::{Pace, RefusedRows, refused_line};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_postgres::Config;
use weir_connect::{ConnectError, Delivery, Probe, RowShape, Sink, SinkCounts, SinkRows, Token};
use weir_event::{Clock, EventTime};

/// Lines are sent once they are so many bytes.
const PART_BYTES: usize = 1 << 20;

/// The token: everything up to here is staged, or was moved into the table.
#[derive(Debug, Serialize, Deserialize)]
struct Staged {
    epoch: u64,
}

/// Writes a job's rows into a table.
pub(super) struct PostgresSink {
    pub(super) config: Config,
    pub(super) at: String,
    pub(super) ca: Option<PathBuf>,
    pub(super) table: String,
    pub(super) job: String,
    /// `None` while the job's query is not planned.
    pub(super) rows: Option<(Arc<Layout>, Arc<RowShape>)>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) began: EventTime,
    pub(super) refused: RefusedRows,
    pub(super) pace: Pace,
    pub(super) retry_count: u32,
    pub(super) session: Option<Session>,
    pub(super) counts: SinkCounts,
}

impl PostgresSink {
    fn opening(&self) -> Result<SessionOpening, ConnectError> {
        let Some((layout, shape)) = &self.rows else {
            return Err(ConnectError::internal("a postgres sink was started without knowing its rows"));
        };
        Ok(SessionOpening {
            config: self.config.clone(),
            at: self.at.clone(),
            ca: self.ca.clone(),
            job: self.job.clone(),
            layout: layout.clone(),
            identity: shape.identity,
            clock: self.clock.clone(),
            began: self.began,
            refused: self.refused.clone(),
            retry_count: self.retry_count,
        })
    }

    fn session(&mut self) -> Result<&mut Session, ConnectError> {
        self.session
            .as_mut()
            .ok_or_else(|| ConnectError::internal("a postgres sink was used before its start"))
    }

    /// Sends lines, of the rows with these numbers, and sets aside what the server refuses of them.
    async fn send(
        &mut self,
        rows: &SinkRows,
        lines: &Lines<'_>,
        part: &LinesPart,
    ) -> Result<(), ConnectError> {
        let (free_at, now) = (self.pace.free_at(), self.clock.monotonic());
        if free_at > now {
            self.clock.sleep(free_at.saturating_sub(now)).await;
        }
        self.pace.let_through(part.rows.len(), self.clock.monotonic());
        let refused = self.session()?.stage(&part.text, &part.ends).await?;
        self.counts.bytes += part.text.len() as u64;
        let refused = refused.into_iter().map(|(at, reason)| (part.rows[at], reason)).collect();
        self.set_aside(rows, lines, refused).await
    }

    async fn set_aside(
        &mut self,
        rows: &SinkRows,
        lines: &Lines<'_>,
        refused: Vec<(usize, String)>,
    ) -> Result<(), ConnectError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.counts.refused += refused.len() as u64;
        let kept = self.refused.clone();
        let line = |(row, reason): &(usize, String)| refused_line(rows, *row, &lines.key(*row), reason);
        let text: Vec<u8> = refused.iter().flat_map(line).collect();
        blocking(move || kept.append(&text)).await
    }
}

/// Lines that go together, and the rows that they are of.
#[derive(Default)]
struct LinesPart {
    text: String,
    ends: Vec<usize>,
    rows: Vec<usize>,
}

#[async_trait]
impl Sink for PostgresSink {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn wants_meta(&self) -> bool {
        true
    }

    fn refuses_older(&self) -> bool {
        true
    }

    fn counts(&self) -> SinkCounts {
        self.counts
    }

    fn own_place(&self) -> Option<String> {
        Some(self.place())
    }

    fn place(&self) -> String {
        format!("{} at {}", self.table, self.at)
    }

    fn ddl(&self) -> Option<String> {
        self.rows.as_ref().map(|(layout, _)| layout.ddl())
    }

    async fn probe(&mut self) -> Result<Probe, ConnectError> {
        Ok(Probe::Ready(self.opening()?.open().await?.found()))
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        let safe = last.map(|token| serde_json::from_value::<Staged>(token.0.clone())).transpose().map_err(
            |error| ConnectError::internal(format!("a token is not one of a postgres sink: {error}")),
        )?;
        let mut session = self.opening()?.open().await?;
        self.counts.refused += session.claim(safe.map(|staged| staged.epoch)).await?;
        self.session = Some(session);
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let Some((layout, shape)) = self.rows.clone() else { return Ok(()) };
        let lines = Lines::new(&layout, shape.identity, rows).map_err(ConnectError::internal)?;
        let (mut part, mut refused) = (LinesPart::default(), Vec::new());
        for row in 0..rows.columns.num_rows() {
            let (epoch, seq) = self.session()?.next_place();
            let start = part.text.len();
            if let Err(column) = lines.push(row, (&rows.meta.job, epoch, seq), &mut part.text) {
                part.text.truncate(start);
                refused.push((row, format!("its column `{column}` is null, and is of the table's key")));
                continue;
            }
            part.ends.push(part.text.len());
            part.rows.push(row);
            if part.text.len() >= PART_BYTES || part.rows.len() >= self.pace.most_rows() {
                self.send(rows, &lines, &std::mem::take(&mut part)).await?;
            }
        }
        self.set_aside(rows, &lines, refused).await?;
        if part.rows.is_empty() { Ok(()) } else { self.send(rows, &lines, &part).await }
    }

    async fn prepare(&mut self, epoch: u64) -> Result<Token, ConnectError> {
        self.session()?.prepare(epoch).await?;
        let token = serde_json::to_value(Staged { epoch });
        token.map(Token).map_err(|error| ConnectError::internal(format!("a postgres sink's token: {error}")))
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        let staged: Staged = serde_json::from_value(token.0.clone()).map_err(|error| {
            ConnectError::internal(format!("a token is not one of a postgres sink: {error}"))
        })?;
        let moved = self.session()?.commit(staged.epoch).await?;
        self.counts.refused += moved.refused;
        self.counts.retries += moved.retries;
        Ok(())
    }
}
