//! Handing over: a state that was made beside a job goes on where the job stood, to the record. What the job has written is not
//! written again, and what it has not is.
//!
//! The state stands a little before the job, so that its log is read again up to there first, without results; a block that
//! goes beyond waits until every partition has come so far. Knows positions; must not know what is made of rows.

use super::Phase;
use crate::decode::Arrival;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::reading::DriverState;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use weir_connect::{Decoded, RawBlock};
use weir_core::{CoreError, split_at};
use weir_event::{EventTime, PartitionId, Signal};

/// Where a job stood whose place another state has taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Handover {
    /// Of each partition, the offset of the next record that it would have read.
    pub(crate) until: Vec<(PartitionId, u64)>,
    /// Its watermark: all results up to there are written.
    pub(crate) settled: Option<EventTime>,
}

impl DriverState {
    fn handover(&self) -> Option<&Handover> {
        self.body.bootstrap.as_ref()?.handover.as_ref()
    }

    /// Where a partition is to be read to before anything is written again.
    fn until(&self, partition: PartitionId) -> Option<u64> {
        self.handover()?.until.iter().find(|(id, _)| *id == partition).map(|(_, until)| *until)
    }

    /// Whether a partition is as far, except for a block that is held.
    fn is_as_far(&self, partition: PartitionId, until: u64) -> bool {
        let is_held = self.held.iter().any(|arrival| arrival.partition() == partition);
        is_held || self.positions.get(&partition).is_some_and(|position| position.next >= until)
    }

    /// Whether all partitions are.
    pub(crate) fn is_handed_over(&self) -> bool {
        let mut until = self.handover().into_iter().flat_map(|handover| &handover.until);
        until.all(|(partition, until)| self.is_as_far(*partition, *until))
    }
}

impl Driver {
    /// Takes what lies before the place where the job stood; the rest waits.
    pub(crate) async fn take_before_handover(&mut self, arrival: Arrival) -> Result<(), EngineError> {
        let partition = arrival.partition();
        let until = self.state.until(partition).unwrap_or_default();
        let goes_beyond = match &arrival {
            Arrival::Block(block) => block.0.next.next > until,
            _ => false,
        };
        if goes_beyond || self.state.is_as_far(partition, until) {
            self.state.held.push_back(arrival);
            return Ok(());
        }
        self.take_now(arrival).await
    }

    /// Everything is as far as the job was: what it had settled is settled, and each key's current result and what follows are
    /// written.
    pub(crate) async fn hand_over(&mut self) -> Result<(), EngineError> {
        let (mut later, mut begun) = (VecDeque::new(), Vec::new());
        for arrival in std::mem::take(&mut self.state.held) {
            let partition = arrival.partition();
            match arrival {
                Arrival::Block(block) if !begun.contains(&partition) => {
                    begun.push(partition);
                    let until = self.state.until(partition).unwrap_or_default();
                    let parts = split(*block, until);
                    let [before, after] =
                        parts.map_err(|error| EngineError::of_core(&self.plan.name, error))?;
                    self.take_now(Arrival::Block(Box::new(before))).await?;
                    later.push_back(Arrival::Block(Box::new(after)));
                }
                other => later.push_back(other),
            }
        }
        let settled = self.state.handover().and_then(|handover| handover.settled);
        if let Some(settled) = settled.filter(|settled| self.state.intake.promised() < Some(*settled)) {
            self.state.intake.watermark().advance_to(settled);
            self.progress.set_watermark(settled);
            self.send_signal(Signal::Watermark(settled)).await?;
        }
        if let Some(bootstrap) = &mut self.state.body.bootstrap {
            bootstrap.handover = None;
        }
        self.past_is_over().await?;
        for arrival in later {
            self.take_now(arrival).await?;
        }
        Ok(())
    }

    /// Whether what is read is before the place where the job stood.
    pub(crate) fn is_before_handover(&self) -> bool {
        self.state.phase() == Phase::Owed
    }
}

/// The records of a block before an offset, and the others. Its bytes stay whole: rows say which record of it they are.
fn split((block, decoded): (RawBlock, Decoded), until: u64) -> Result<[(RawBlock, Decoded); 2], CoreError> {
    let (before, after) = split_at(decoded, until)?;
    let (refused_before, refused_after) = block.refused.iter().cloned().partition(|it| it.offset < until);
    Ok([
        (RawBlock { refused: refused_before, ..block.clone() }, before),
        (RawBlock { refused: refused_after, ..block }, after),
    ])
}
