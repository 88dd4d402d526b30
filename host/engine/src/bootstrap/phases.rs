//! The driver's way through the past: archives to their end, then the logs until the watermark is beyond them, then as any
//! other job.
//!
//! Decides nothing about rows. What follows from a phase for sinks, delivery does.

use super::{Phase, Side};
use crate::beside::job_of;
use crate::driver::{Driver, Mode};
use crate::error::EngineError;
use crate::inputs::Readers;
use crate::reading::DriverState;
use crate::status::BootstrapStatus;
use weir_connect::{ConnectError, Decoded, RawBlock};
use weir_core::{first_offset, known_times};
use weir_event::{EventTime, PartitionId, Signal, Span};

impl DriverState {
    /// The phase that the job is in.
    pub(crate) fn phase(&self) -> Phase {
        self.body.phase()
    }

    /// Since when the job has all data.
    pub(crate) fn data_since(&self) -> Option<EventTime> {
        let Some(bootstrap) = &self.body.bootstrap else { return self.intake.data_since(|_| true) };
        self.intake.data_since(|partition| !bootstrap.covers(partition)).max(bootstrap.data_since())
    }

    /// Where the past ends, if a watermark is the first beyond it: results up to there are of the past.
    pub(crate) fn past_ends_before(&self, watermark: EventTime) -> Option<EventTime> {
        let bootstrap = self.body.bootstrap.as_ref().filter(|bootstrap| bootstrap.phase == Phase::Log)?;
        let end = bootstrap.newest.unwrap_or(EventTime::MIN) + Span::from_millis(1);
        (watermark >= end).then_some(end)
    }

    /// Whether every partition was read to where it ends now.
    fn is_all_read(&self) -> bool {
        self.caught_up.len() == self.all.len()
    }

    /// Whether every archive was read to its end.
    fn is_past_read(&self) -> bool {
        self.all.iter().filter(|it| it.is_of_archive()).all(|it| self.caught_up.contains(it))
    }
}

impl Driver {
    /// The part of a block that is of its own side of the cut.
    pub(crate) fn cut(&mut self, block: &RawBlock, decoded: Decoded) -> Result<Decoded, EngineError> {
        let partition = block.partition;
        let Some(bootstrap) = &self.state.body.bootstrap else { return Ok(decoded) };
        let cut = bootstrap.cuts.get(&partition.input());
        let (Some(cut), Some(input)) = (cut, self.plan.input_of(partition)) else { return Ok(decoded) };
        if block.holds_records() && !self.state.positions.contains_key(&partition) {
            self.begins_where_it_did(block)?;
        }
        let sided = cut.cut.part(input, partition, decoded);
        let sided = sided.map_err(|error| EngineError::of_core(&self.plan.name, error))?;
        let rows = Side { rows: sided.decoded.offsets.len() as u64, refused: sided.of_other };
        if let Some(bootstrap) = self.state.body.bootstrap.as_mut().filter(|it| it.phase.is_before_end()) {
            bootstrap.count(partition, rows);
            if let Some(cut) =
                bootstrap.cuts.get_mut(&partition.input()).filter(|_| partition.is_of_archive())
            {
                let now = self.clock.now();
                let known = known_times(input, &sided.decoded.columns).filter(|known| *known <= now);
                cut.newest_known = cut.newest_known.max(known.max());
            }
        }
        Ok(sided.decoded)
    }

    /// The log may have lost records while the archive was read: those that the cut has left to it.
    fn begins_where_it_did(&self, block: &RawBlock) -> Result<(), EngineError> {
        let (partition, offset) = (block.partition, first_offset(block));
        let cut = self.state.body.bootstrap.as_ref().and_then(|it| it.cuts.get(&partition.input()));
        let Some(cut) = cut.filter(|_| !partition.is_of_archive()) else { return Ok(()) };
        let start = cut.starts.iter().find(|(number, _)| *number == partition.partition);
        let Some((_, start)) = start.filter(|(_, start)| offset > start.next) else { return Ok(()) };
        let (stream, number, before) = (&cut.stream, partition.partition, start.next);
        let message = format!(
            "stream `{stream}`: while its archive was read, partition {number} of its log has lost the records from \
             offset {before} to {offset}; let the log keep its records for longer, then start the job anew with \
             --reset {}",
            job_of(&self.plan.name)
        );
        Err(EngineError::Source { job: self.plan.name.clone(), error: ConnectError::user(message) })
    }

    /// A partition of an archive is at its end, which is for ever. The last one goes on holding the watermark back until the
    /// logs do.
    pub(crate) fn archive_ended(&mut self, partition: PartitionId) -> Option<EventTime> {
        self.state.idleness.ended(partition);
        self.state.caught_up.insert(partition);
        self.report(partition);
        if self.state.is_past_read() { None } else { self.state.intake.ended(partition) }
    }

    /// Goes on to the next phase where this one is over; gives the reader to go on with, and whether the job was bootstrapped.
    pub(crate) async fn next_phase(
        &mut self,
        reader: Option<Readers>,
    ) -> Result<(Option<Readers>, bool), EngineError> {
        match self.state.phase() {
            Phase::Past if self.decoding.is_empty() && reader.is_some() && self.state.is_past_read() => {
                drop(reader);
                self.refuse_changed_archives().await?;
                return Ok((self.begin_with_logs().await?, false));
            }
            Phase::Log if self.decoding.is_empty() && self.state.is_all_read() => self.past_is_over().await?,
            // A log that was cut meanwhile has nothing up to where the job stood.
            Phase::Owed
                if self.state.is_handed_over() || self.decoding.is_empty() && self.state.is_all_read() =>
            {
                self.hand_over().await?;
                self.commit_now(false).await?;
                self.state.is_just_over = false;
            }
            _ => {}
        }
        let is_bootstrapped = std::mem::take(&mut self.state.is_just_over);
        if is_bootstrapped {
            self.commit_now(false).await?;
            if self.is_to_restart {
                self.progress.goes_on();
            }
            self.tell_bootstrapped();
        }
        Ok((reader, is_bootstrapped))
    }

    /// What was not read of an archive as it was not there any more is in nobody's log either.
    async fn refuse_changed_archives(&mut self) -> Result<(), EngineError> {
        let job = self.plan.name.clone();
        let source = |error| EngineError::Source { job: job.clone(), error };
        let now = self.inputs.archive_parts().await.map_err(source)?;
        let missing = self.state.body.bootstrap.as_ref().and_then(|it| it.missing(&job, &now));
        missing.map_or(Ok(()), |message| Err(source(ConnectError::user(message))))
    }

    async fn begin_with_logs(&mut self) -> Result<Option<Readers>, EngineError> {
        let newest = self.state.intake.watermarks().iter().filter(|(id, _)| id.is_of_archive());
        let newest = newest.map(|(_, watermark)| watermark.newest()).max();
        let Some(bootstrap) = &mut self.state.body.bootstrap else { return self.open().await };
        bootstrap.phase = Phase::Log;
        bootstrap.end_archives();
        bootstrap.newest = newest.max(bootstrap.newest);
        let rows = bootstrap.archive.rows;
        tracing::info!(job = self.plan.name, rows, "the archive is read; going on with the log");
        let ended: Vec<PartitionId> =
            self.state.all.iter().copied().filter(|it| it.is_of_archive()).collect();
        self.state.all.retain(|it| !it.is_of_archive());
        self.state.caught_up.clear();
        self.state.positions.retain(|it, _| !it.is_of_archive());
        self.progress.forget_partitions(PartitionId::is_of_archive);
        self.inputs = self.logs.clone();
        self.decoding.decode_with(self.inputs.decoders());
        self.state.skew.forget();
        self.watch_backlog();
        let reader = self.open().await?;
        for partition in ended {
            self.state.intake.ended(partition);
        }
        self.state.intake.forget_archives();
        let watermark = self.state.intake.promised();
        self.send_watermark(watermark).await?;
        Ok(reader)
    }

    /// Nothing of the past is missing any more: what follows is written, each key's current result first.
    pub(crate) async fn past_is_over(&mut self) -> Result<(), EngineError> {
        let was_owed = self.state.phase() == Phase::Owed;
        if let Some(bootstrap) = &mut self.state.body.bootstrap {
            bootstrap.phase = Phase::Done;
        }
        self.state.is_just_over = true;
        self.progress.set_data_since(self.state.data_since());
        if self.mode == Mode::Live || was_owed {
            self.send_signal(Signal::Current).await?;
            self.send_signal(Signal::Later).await?;
        }
        Ok(())
    }

    /// A checkpoint holds that the past is over.
    fn tell_bootstrapped(&mut self) {
        let Some(bootstrap) = &self.state.body.bootstrap else { return };
        self.progress.set_bootstrap(BootstrapStatus { is_new: true, ..bootstrap.status(&self.plan, None) });
        let (archive, of_log) = (bootstrap.archive, bootstrap.log.iter().map(|(_, side)| side));
        let (rows, refused) =
            of_log.fold((0, 0), |(rows, refused), side| (rows + side.rows, refused + side.refused));
        tracing::info!(
            job = self.plan.name,
            archive_rows = archive.rows,
            archive_refused = archive.refused,
            log_rows = rows,
            log_refused = refused,
            "bootstrapped: the job has the past of its streams"
        );
    }

    /// Shows how far the job is with the past, until it has that: it stays so.
    pub(crate) fn show_past(&mut self) {
        if self.state.phase().is_before_end() {
            self.show_bootstrap();
        }
    }

    /// Shows how far the job is with the past, or that it has it.
    pub(crate) fn show_bootstrap(&mut self) {
        let Some(bootstrap) = &self.state.body.bootstrap else { return };
        let left = self.progress.left_bytes();
        let mut status = bootstrap.status(&self.plan, left);
        if let Some(left) = status.left_bytes.filter(|left| *left > 0) {
            let now = self.clock.monotonic();
            let (since, first) = *self.state.pace.get_or_insert((now, left));
            let read = first.saturating_sub(left);
            let seconds = now.saturating_sub(since).as_secs_f64();
            status.seconds_left = (read > 0).then(|| (left as f64 * seconds / read as f64).ceil() as u64);
        }
        self.progress.set_bootstrap(status);
    }
}
