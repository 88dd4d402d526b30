//! Taking: a decoded block in, its rows handed on in the order of its partition's log.
//!
//! The part of intake that decides what counts; nothing here asks a clock but for since when a partition is
//! silent.

use crate::decode::Intake;
use crate::deliver::Outgoing;
use crate::error::EngineError;
use crate::intake::{Driver, Mode, Next};
use crate::status::PartitionStatus;
use weir_connect::{Decoded, Framing, Op, RawBlock};
use weir_core::DeadLetter;
use weir_core::filter::Filtered;
use weir_core::intake::admit::{Payloads, Rows, Step, admit, letter};
use weir_core::intake::refusals::{FirstRefused, Taken};
use weir_core::intake::route::route;
use weir_core::keyed::emit::emit_projected;
use weir_core::project::project;
use weir_core::{Beginning, Counts};
use weir_event::key::KeyTypeError;
use weir_event::{Message, PartitionId, PartitionWatermark};

impl Driver {
    /// Takes what was read, in the order of its partition's log; what ran ahead waits until the others have come
    /// as far.
    pub(crate) async fn take_in_turn(&mut self, intake: Intake) -> Result<(), EngineError> {
        let partition = intake.partition();
        let mut next = self.state.skew.offer(intake);
        if next.is_none() {
            // There is more of it than was taken: it is neither at its end nor silent.
            self.state.idleness.heard(partition, self.clock.monotonic());
            self.leave_end(partition);
            next = self.state.skew.release(&self.state.watermarks);
        }
        while let Some(intake) = next {
            self.take(intake).await?;
            self.state.skew.judge(&self.state.watermarks, &self.state.caught_up);
            next = self.state.skew.release(&self.state.watermarks);
        }
        Ok(())
    }

    fn leave_end(&mut self, partition: PartitionId) {
        if self.state.caught_up.remove(&partition) {
            self.progress.freshness.left_end(self.clock.monotonic());
        }
    }

    async fn take(&mut self, intake: Intake) -> Result<(), EngineError> {
        match intake {
            Intake::Block(taken) => {
                let (block, decoded) = *taken;
                self.take_block(&block, decoded).await
            }
            Intake::CaughtUp(partition) => {
                self.state.caught_up.insert(partition);
                self.state.idleness.caught_up(partition, self.clock.monotonic());
                // A run until the end waits for no partition that was empty at its start.
                if self.mode == Mode::UntilEnd && !self.state.watermarks.contains_key(&partition) {
                    self.state.watermark.set_idle(partition, true);
                }
                self.report(partition);
                if self.state.caught_up.len() == self.state.all.len() {
                    self.progress.caught_up(self.state.sequence);
                }
                self.send_watermark().await
            }
        }
    }

    async fn take_block(&mut self, block: &RawBlock, decoded: Decoded) -> Result<(), EngineError> {
        let partition = block.partition;
        let filter = self.plan.projection.filter.as_ref();
        let filtered = Filtered::of(filter, &decoded.columns).map_err(|error| self.expression(&error))?;
        let state = &mut self.state;
        let disorder = state.rules.disorder;
        let beginning = state.beginnings.entry(partition);
        let beginning = beginning.or_insert_with(|| Beginning::at(first_offset(block)));
        let watermark =
            state.watermarks.entry(partition).or_insert_with(|| PartitionWatermark::new(disorder));
        let repeats = match (&mut state.seen, state.rules.event_id) {
            (Some(seen), Some(column)) => Some(seen.block(partition, decoded.columns.column(column))),
            _ => None,
        };
        let broken = |error: KeyTypeError| EngineError::Plan {
            job: self.plan.name.clone(),
            message: error.to_string(),
        };
        let repeats = repeats.transpose().map_err(broken)?;
        let admission = admit(&state.rules, watermark, &filtered, repeats, block, &decoded);
        if let Some(first) = admission.first {
            beginning.heard(first, disorder);
            state.idleness.heard(partition, self.clock.monotonic());
            self.progress.freshness.heard(watermark.newest(), self.clock.now());
            self.progress.set_data_since(state.data_since());
        }
        let (skipped, mut letters) = self.refused(block);
        let rows = (decoded.offsets.len() + decoded.bad.len() + letters.len()) as u64;
        let (too_late, like_seconds) = (admission.dropped, admission.like_seconds);
        self.tally.add(Counts {
            events: rows,
            late: admission.late,
            dropped: admission.dropped,
            duplicates: admission.duplicates,
            skipped,
            ..Counts::default()
        });
        letters.extend(admission.dead);
        for step in admission.steps {
            match step {
                Step::Rows(rows) => letters.extend(self.forward(rows, block).await?),
                Step::Watermark(watermark) => {
                    self.state.watermark.update(partition, watermark);
                    self.send_watermark().await?;
                }
            }
        }
        let refused = letters.len() as u64;
        self.tally.add(Counts { refused, ..Counts::default() });
        let first = self.first_refused(&letters, block);
        self.state.refusals.add(Taken { rows, refused, too_late, like_seconds, first });
        letters.extend(admission.diverted);
        self.set_aside(&letters)?;
        self.leave_end(partition);
        self.state.positions.insert(partition, block.next.clone());
        self.report(partition);
        Ok(())
    }

    fn first_refused(&self, letters: &[DeadLetter], block: &RawBlock) -> Option<FirstRefused> {
        let events = letters.iter().filter_map(|letter| Some((letter.offset()?, letter)));
        let (offset, first) = events.min_by_key(|(offset, _)| *offset)?;
        let place = self.source.place(&block.next);
        Some(FirstRefused { offset, place, reason: first.reason.clone() })
    }

    /// Of the records that the source passed over: how many without fault, and letters of the others.
    fn refused(&self, block: &RawBlock) -> (u64, Vec<DeadLetter>) {
        let (skipped, refused): (Vec<_>, Vec<_>) = block.refused.iter().partition(|record| record.skip);
        let rules = &self.state.rules;
        let letters = refused.iter().map(|record| {
            letter(rules, block.partition, record.offset, record.reason.clone(), &record.payload)
        });
        (skipped.len() as u64, letters.collect())
    }

    /// Projects admitted rows and hands them on; returns those that an expression failed on.
    async fn forward(&mut self, rows: Rows, block: &RawBlock) -> Result<Vec<DeadLetter>, EngineError> {
        let partition = rows.partition;
        let projection = &self.plan.projection;
        let (projected, mut failed) =
            project(&projection.columns, &rows).map_err(|error| self.expression(&error))?;
        self.state.sequence += 1;
        match &self.next {
            Next::Shards(shards) => {
                let keys = self.plan.stage.as_ref().map_or(&[][..], |stage| &stage.keys);
                let routed =
                    route(projected, keys, shards.len()).map_err(|error| self.broken(&error.to_string()))?;
                for (shard, routed) in shards.iter().zip(routed) {
                    if let Some(routed) = routed {
                        let message = (self.state.sequence, Message::Batch(routed));
                        shard.send(message).await.map_err(|_| self.vanished("keyed"))?;
                    }
                }
            }
            Next::Delivery(delivery) => {
                let rows =
                    projected.into_rows(&projection.schema).map_err(|error| self.expression(&error))?;
                let emitted = emit_projected(&self.plan.output, &rows, self.with_identity);
                let (results, failing) = emitted.map_err(|error| self.expression(&error))?;
                failed.extend(failing);
                if results.columns.num_rows() > 0 {
                    let message = Message::Batch(Outgoing { rows: results, op: Op::Upsert });
                    delivery.send(message).await.map_err(|_| self.vanished("deliver"))?;
                }
            }
        }
        let payloads = Payloads::of(block);
        let rules = &self.state.rules;
        Ok(failed
            .into_iter()
            .map(|row| letter(rules, partition, row.offset, row.reason, payloads.get(row.record)))
            .collect())
    }

    fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), EngineError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.tally.add(Counts { dead_letters: letters.len() as u64, ..Counts::default() });
        self.dead_letters.append(&self.plan.inputs[0].stream.name, letters).map_err(|error| {
            EngineError::DeadLetters { job: self.plan.name.clone(), message: error.to_string() }
        })
    }

    pub(crate) fn report(&self, id: PartitionId) {
        let status = PartitionStatus {
            partition: id.partition,
            position: self.state.positions.get(&id).cloned().unwrap_or_default(),
            newest: self.state.watermarks.get(&id).map(PartitionWatermark::newest),
            caught_up: self.state.caught_up.contains(&id),
            idle: false,
        };
        self.progress.set_partition(status, id, self.state.sequence);
    }
}

/// The offset of a block's first record, or of the next one where it holds none.
pub(crate) fn first_offset(block: &RawBlock) -> u64 {
    let framed = match &block.framing {
        Framing::Lines { first } => (!block.data.is_empty()).then_some(*first),
        Framing::Records { offsets, .. } => offsets.first().copied(),
    };
    let refused = block.refused.iter().map(|record| record.offset);
    framed.into_iter().chain(refused).min().unwrap_or(block.next.next)
}
