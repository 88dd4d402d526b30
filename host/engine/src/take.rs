//! Taking: a decoded block is handed to the core in the order of its partition's log, and what follows is done.
//!
//! Decides nothing; asks a clock for since when a partition is silent.

use crate::bootstrap::Phase;
use crate::decode::Arrival;
use crate::driver::{Driver, Mode, Next, ShardInbox};
use crate::error::EngineError;
use crate::status::PartitionStatus;
use weir_connect::{ConnectError, Decoded, RawBlock};
use weir_core::{Step, Steps};
use weir_event::{EventTime, Message, PartitionId, Position};

impl Driver {
    /// Takes what was read, in the order of its partition's log; what ran ahead waits until the others have come
    /// as far.
    pub(crate) async fn take_in_turn(&mut self, arrival: Arrival) -> Result<(), EngineError> {
        let partition = arrival.partition();
        let mut next = self.state.skew.offer(arrival);
        if next.is_none() {
            // There is more of it than was taken: it is neither at its end nor silent.
            self.state.idleness.heard(partition, self.clock.monotonic());
            self.leave_end(partition);
            next = self.state.skew.release(self.state.intake.watermarks());
        }
        while let Some(arrival) = next {
            self.take(arrival).await?;
            self.state.skew.judge(self.state.intake.watermarks(), &self.state.caught_up);
            next = self.state.skew.release(self.state.intake.watermarks());
        }
        Ok(())
    }

    /// Something is about to be taken that moves the watermark. A run to the end does not wait for silence.
    fn wake(&mut self) {
        if self.mode == Mode::Live {
            self.state.idleness.wake(self.clock.monotonic(), self.state.intake.watermark());
        }
    }

    fn leave_end(&mut self, partition: PartitionId) {
        if self.state.caught_up.remove(&partition) {
            self.progress.freshness.left_end(self.clock.monotonic());
        }
    }

    async fn take(&mut self, arrival: Arrival) -> Result<(), EngineError> {
        if self.is_before_handover() {
            return self.take_before_handover(arrival).await;
        }
        self.take_now(arrival).await
    }

    pub(crate) async fn take_now(&mut self, arrival: Arrival) -> Result<(), EngineError> {
        match arrival {
            Arrival::Block(taken) => {
                let (block, decoded) = *taken;
                let decoded = self.cut(&block, decoded)?;
                self.take_block(&block, &decoded).await
            }
            Arrival::Watermark(partition, time) => {
                self.wake();
                let watermark = self.state.intake.watermark_at_least(partition, time);
                let watermark = watermark.map_err(|error| EngineError::of_core(&self.plan.name, error))?;
                self.send_watermark(watermark).await
            }
            Arrival::CaughtUp(partition) | Arrival::Ended(partition) if partition.is_of_archive() => {
                let watermark = self.archive_ended(partition);
                self.send_watermark(watermark).await
            }
            Arrival::CaughtUp(partition) => {
                self.state.idleness.caught_up(partition, self.clock.monotonic());
                let watermark = self.state.intake.caught_up(partition, self.mode == Mode::UntilEnd);
                self.at_end(partition, watermark).await
            }
            Arrival::Ended(partition) => {
                self.state.idleness.ended(partition);
                let watermark = self.state.intake.ended(partition);
                self.at_end(partition, watermark).await
            }
            Arrival::Appeared(partition, at) => {
                self.progress.freshness.left_end(self.clock.monotonic());
                self.expect(partition, Some(&at));
                Ok(())
            }
        }
    }

    /// A partition is at its end, for now or for ever, which may have moved the watermark.
    async fn at_end(&mut self, partition: PartitionId, moved: Option<EventTime>) -> Result<(), EngineError> {
        self.state.caught_up.insert(partition);
        self.report(partition);
        if self.state.caught_up.len() == self.state.all.len() && self.state.phase() != Phase::Past {
            self.progress.caught_up(self.state.sequence);
        }
        self.send_watermark(moved).await
    }

    /// There is a partition, which begins at `from` if it was never read and something says so: that is on record from
    /// now on.
    pub(crate) fn expect(&mut self, partition: PartitionId, from: Option<&Position>) {
        self.state.all.insert(partition);
        self.state.intake.expect(partition);
        if let Some(from) = from.filter(|_| !self.state.positions.contains_key(&partition)) {
            self.state.intake.begin(partition, from.next);
            self.state.positions.insert(partition, from.clone());
        }
        self.report(partition);
    }

    async fn take_block(&mut self, block: &RawBlock, decoded: &Decoded) -> Result<(), EngineError> {
        let partition = block.partition;
        if block.holds_records() {
            self.wake();
        }
        self.refuse_damage(block, decoded)?;
        let taken = self.state.intake.block(block, decoded);
        let mut taken = taken.map_err(|error| EngineError::of_core(&self.plan.name, error))?;
        if let Some(newest) = taken.heard {
            self.state.idleness.heard(partition, self.clock.monotonic());
            self.progress.freshness.heard(newest, self.clock.now());
            self.progress.set_data_since(self.state.data_since());
        }
        self.tally.add(taken.counts);
        self.tell_places(partition, block, &mut taken);
        for step in taken.steps {
            self.step(step).await?;
        }
        if let Some(refusals) = self.state.refusals.get_mut(partition.input()) {
            refusals.add(taken.taken);
        }
        self.dead_letters.set_aside(&self.plan, taken.letters, &self.progress.cpu);
        self.leave_end(partition);
        self.state.positions.insert(partition, block.next.clone());
        self.report(partition);
        Ok(())
    }

    /// A file of an archive that is damaged may be restored, and values without its rows would be wrong for as long as they
    /// reach back: the job does not go on without them.
    fn refuse_damage(&self, block: &RawBlock, decoded: &Decoded) -> Result<(), EngineError> {
        let Some(damage) = decoded.damage(block).filter(|_| block.partition.is_of_archive()) else {
            return Ok(());
        };
        let place = self.inputs.place(block.partition, &block.next);
        let file = place.map_or_else(|| "a file of the archive".to_owned(), |place| format!("`{place}`"));
        let error = ConnectError::external(format!("{file}: {damage}; restore the file"));
        Err(EngineError::Source { job: self.plan.name.clone(), error })
    }

    /// Says where what was refused stands in its source.
    fn tell_places(&self, partition: PartitionId, block: &RawBlock, taken: &mut Steps) {
        let of_block = &mut taken.taken;
        let firsts = [&mut of_block.first, &mut of_block.first_like_seconds, &mut of_block.first_ahead];
        let mut firsts = firsts.into_iter().flatten().peekable();
        if firsts.peek().is_none() && taken.letters.is_empty() {
            return;
        }
        let place = self.inputs.place(partition, &block.next);
        firsts.for_each(|first| first.place.clone_from(&place));
        let from = self.state.positions.get(&partition).map_or(0, |position| position.next);
        for letter in &mut taken.letters {
            letter.stands_at(partition, from, &place);
        }
    }

    /// Hands rows on.
    async fn step(&mut self, step: Step) -> Result<(), EngineError> {
        match (step, &self.next) {
            (Step::Watermark(watermark), _) => self.send_watermark(Some(watermark)).await?,
            (Step::Rows(rows), Next::Shards(shards)) => {
                self.state.sequence += 1;
                self.state.body.extent.add(rows.times());
                let concerned = |(_, shard): &(usize, &ShardInbox)| !rows.of_groups(&shard.groups).is_empty();
                for (number, shard) in shards.iter().enumerate().filter(concerned) {
                    self.progress.sent(number, self.state.sequence);
                    let message = (self.state.sequence, Message::Batch(rows.clone()));
                    shard.inbox.send(message).await.map_err(|_| self.vanished("keyed"))?;
                }
            }
            (Step::Results(results), Next::Delivery(delivery)) => {
                self.state.sequence += 1;
                let message = Message::Batch(results);
                delivery.send(message).await.map_err(|_| self.vanished("deliver"))?;
            }
            // Both follow from whether the plan has a stage.
            (Step::Rows(_), Next::Delivery(_)) | (Step::Results(_), Next::Shards(_)) => {
                return Err(self.broken("the core and the pipeline disagree on whether the job has a stage"));
            }
        }
        Ok(())
    }

    pub(crate) fn report(&self, id: PartitionId) {
        let stream = self.plan.input_of(id).map(|input| input.stream.name.clone());
        let status = PartitionStatus {
            stream: stream.unwrap_or_default(),
            input: id.input() as u16,
            is_of_archive: id.is_of_archive(),
            partition: id.partition,
            position: self.state.positions.get(&id).cloned().unwrap_or_default(),
            newest: self.state.intake.standing(id).newest,
            caught_up: self.state.caught_up.contains(&id),
            idle: self.state.intake.is_idle(id),
        };
        self.progress.set_partition(status, id, self.state.sequence);
    }
}
