//! Every golden case through the core alone, by a host that is a loop: no task, no store, no clock. Rows cross the
//! exchange as bytes, at 1, 3 and 128 ranges of key groups; and between any two blocks everything may move to a new
//! core at another number of ranges. The output is the server's.

use crate::golden::{cases, check_rows, logs, longest, planned};
use crate::replay::{Logs, Replay, block, decoder, has_sessions, partitions_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{Decoder, Encoder, SinkRows};
use weir_core::groups::{ALL_GROUPS, range_of};
use weir_core::wire::Sorted;
use weir_core::{
    CoreError, Counts, DeadLetter, Effects, Intake, Keyed, KeyedRows, ResultRows, Step, Subject,
};
use weir_event::{EventTime, KeyGroup, PartitionId};
use weir_plan::JobPlan;

/// Blocks of state by key group and name.
type Stored = BTreeMap<(u16, Vec<u8>), Vec<u8>>;

/// What a host does.
struct Host {
    plan: Arc<JobPlan>,
    /// For each input.
    decoders: Vec<Arc<dyn Decoder>>,
    encoder: Arc<dyn Encoder>,
    partitions: Vec<PartitionId>,
    intake: Intake,
    /// Of as many ranges of key groups; none for a job without a stage.
    keyed: Vec<Keyed>,
    /// What was dirty so far.
    stored: Stored,
    lines: Vec<u8>,
    /// What dead letters are about, as JSON.
    letters: BTreeSet<String>,
}

impl Host {
    fn new(plan: &JobPlan, partitions: Vec<PartitionId>, ranges: usize) -> Host {
        let plan = Arc::new(plan.clone());
        Host {
            decoders: plan.inputs.iter().map(decoder).collect(),
            encoder: Arc::new(weir_format::json::JsonEncoder::new(true)),
            intake: intake(&plan, &partitions),
            keyed: keyed(&plan, ranges),
            partitions,
            stored: Stored::new(),
            lines: Vec::new(),
            letters: BTreeSet::new(),
            plan,
        }
    }

    /// The next rows of a partition.
    fn read(&mut self, partition: PartitionId, first: usize, lines: &[String]) {
        let block = block(partition, first, lines);
        let decoded = self.decoders[usize::from(partition.source)].decode(&block);
        let steps = self.intake.block(&block, &decoded).expect("the job goes on");
        self.set_aside(&steps.letters);
        for step in steps.steps {
            match step {
                Step::Results(rows) => self.write(rows),
                Step::Rows(rows) => self.exchange(&rows),
                Step::Watermark(watermark) => self.settle(watermark),
            }
        }
    }

    fn exchange(&mut self, rows: &KeyedRows) {
        let sorted = Sorted::of(rows).expect("rows can be put in order");
        let ranges = self.keyed.len();
        for range in 0..ranges {
            let groups = range_of(range, ranges, &ALL_GROUPS);
            let Some(bytes) = sorted.block(&groups).expect("rows can be sent") else { continue };
            let rows = KeyedRows::from_block(&self.plan, &bytes).expect("a block reads back");
            let effects: Vec<_> = self.keyed[range].rows(&rows).expect("rows go in").collect();
            self.perform(effects);
        }
    }

    fn settle(&mut self, watermark: EventTime) {
        let effects: Vec<_> = self.keyed.iter_mut().flat_map(|keyed| keyed.settle(watermark)).collect();
        self.perform(effects);
    }

    /// Every partition was read to its end.
    fn end(&mut self) {
        for partition in self.partitions.clone() {
            if let Some(watermark) = self.intake.caught_up(partition, true) {
                self.settle(watermark);
            }
        }
        let effects: Vec<_> = self.keyed.iter_mut().flat_map(Keyed::end).collect();
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Result<Effects, CoreError>>) {
        for effects in effects {
            let effects = effects.expect("the job goes on");
            self.set_aside(&effects.letters);
            effects.results.into_iter().for_each(|rows| self.write(rows));
        }
    }

    fn set_aside(&mut self, letters: &[DeadLetter]) {
        self.letters.extend(letters.iter().map(|letter| about(&letter.subject, &letter.reason)));
    }

    fn write(&mut self, rows: ResultRows) {
        let meta = RowMeta {
            job: self.plan.name.as_str().into(),
            version: self.plan.version,
            definition: self.plan.definition.as_str().into(),
            epoch: 1,
            identities: rows.identities,
            windows: rows.windows,
            times: rows.times,
            op: rows.op,
            revision: rows.revision,
            keys: rows.keys,
        };
        let rows = SinkRows { columns: rows.columns, meta };
        self.encoder.encode(&rows, &mut self.lines).expect("results can be written");
    }

    /// Everything moves to another core, of so many ranges: what was dirty, block by block, is all that there is.
    fn move_to(&mut self, ranges: usize) {
        let mut next = intake(&self.plan, &self.partitions).from_watermark(self.intake.promised());
        for partition in &self.partitions {
            let snapshot = self.intake.snapshot(*partition);
            next.restore(*partition, &snapshot).expect("a snapshot reads back");
        }
        self.intake = next;
        if self.keyed.is_empty() {
            return;
        }
        let stored = &mut self.stored;
        for keyed in &mut self.keyed {
            keyed.dirty(&mut |name, value| {
                let mut bytes = Vec::new();
                name.put(&mut bytes);
                match value {
                    Some(value) => stored.insert((name.group().0, bytes), value.to_vec()),
                    None => stored.remove(&(name.group().0, bytes)),
                };
            });
        }
        let mut moved = keyed(&self.plan, ranges);
        for group in ALL_GROUPS.map(KeyGroup) {
            let from = of_group(&mut self.keyed, group);
            let is_kept = |name: &[u8]| !from.is_expired(group, name).expect("the group is here");
            self.stored.retain(|(of, name), _| *of != group.0 || is_kept(name));
            let mut all = Stored::new();
            let mut keep = |name: weir_core::stored::Name<'_>, value: Option<&[u8]>| {
                let mut bytes = Vec::new();
                name.put(&mut bytes);
                all.insert((group.0, bytes), value.expect("a block has bytes").to_vec());
            };
            from.all(group, &mut keep).expect("the group is here");
            all.retain(|(_, name), _| is_kept(name));
            let of_stored = self.stored.range((group.0, Vec::new())..(group.0 + 1, Vec::new()));
            assert!(all.iter().eq(of_stored), "what was dirty so far is all");
            let to = of_group(&mut moved, group);
            for ((_, name), value) in &all {
                to.restore(group, name, value).expect("a block reads back");
            }
            to.restore_done(group).expect("all of it reads back");
        }
        self.keyed = moved;
    }

    /// What was counted, wherever the partitions and key groups have been.
    fn counts(&self) -> Counts {
        let mut counts = self.intake.counts();
        self.keyed.iter().for_each(|keyed| counts.add(keyed.counts()));
        counts
    }

    /// The rows written.
    fn rows(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.lines).expect("results are text");
        text.lines().map(|line| serde_json::from_str(line).expect("a result is JSON")).collect()
    }
}

fn about(subject: &Subject, reason: &str) -> String {
    let subject = serde_json::to_string(subject).expect("a subject is JSON");
    format!("{subject}: {reason}")
}

fn intake(plan: &Arc<JobPlan>, partitions: &[PartitionId]) -> Intake {
    let mut intake = Intake::open(plan.clone()).with_identity(true);
    partitions.iter().for_each(|partition| intake.expect(*partition));
    intake
}

fn keyed(plan: &Arc<JobPlan>, ranges: usize) -> Vec<Keyed> {
    let open = |range| {
        let keyed = Keyed::open(plan.clone(), range_of(range, ranges, &ALL_GROUPS));
        keyed.expect("the stage opens").with_identity(true)
    };
    (0..ranges).filter(|_| plan.stage.is_some()).map(open).collect()
}

fn of_group(keyed: &mut [Keyed], group: KeyGroup) -> &mut Keyed {
    let at = weir_core::groups::part_of(group, keyed.len(), &ALL_GROUPS);
    &mut keyed[at]
}

/// Runs a plan over the lines of its partitions, read in turns; `then` is asked after each turn.
fn run(plan: &JobPlan, logs: &Logs, ranges: usize, block: usize, then: impl Fn(&mut Host, usize)) -> Host {
    let mut host = Host::new(plan, partitions_of(logs).map(|(id, _)| id).collect(), ranges);
    for (turn, first) in (0..longest(logs)).step_by(block).enumerate() {
        for (partition, lines) in partitions_of(logs).filter(|(_, lines)| first < lines.len()) {
            host.read(partition, first, &lines[first..lines.len().min(first + block)]);
        }
        then(&mut host, turn);
    }
    host.end();
    host
}

#[test]
fn at_one_three_and_as_many_ranges_as_key_groups() {
    for case in cases() {
        let Some(plan) = planned(&case) else { continue };
        let logs = logs(&case, &plan);
        for (ranges, block) in [(1, 1000), (3, 1), (128, 3)] {
            let host = run(&plan, &logs, ranges, block, |_, _| ());
            let how = format!("by the core at {ranges} ranges in blocks of {block}");
            check_rows(&case, &how, has_sessions(&plan), host.rows());
        }
    }
}

#[test]
fn moved_to_other_ranges_after_every_block() {
    for case in cases() {
        let Some(plan) = planned(&case) else { continue };
        let logs = logs(&case, &plan);
        let host = run(&plan, &logs, 2, longest(&logs).div_ceil(6).max(1), |host, turn| {
            host.move_to([5, 1, 3][turn % 3])
        });
        check_rows(&case, "by the core, moved after every block", has_sessions(&plan), host.rows());
        let stayed = run(&plan, &logs, 2, longest(&logs).div_ceil(6).max(1), |_, _| ());
        assert_eq!(host.counts(), stayed.counts(), "{}", case.display());
    }
}

#[test]
fn dead_letters_are_the_server_s() {
    let mut compared = 0;
    for case in cases() {
        let Some(plan) = planned(&case) else { continue };
        let logs = logs(&case, &plan);
        let host = run(&plan, &logs, 3, 2, |_, _| ());
        if host.letters.is_empty() {
            continue;
        }
        compared += 1;
        let replay = Replay::new(plan, logs);
        replay.to_the_end(2, 2);
        let listed = replay.dead_letters();
        let listed: BTreeSet<String> =
            listed.iter().map(|letter| about(&letter.subject, &letter.reason)).collect();
        assert_eq!(host.letters, listed, "{}", case.display());
    }
    assert!(compared > 3, "hardly any case has dead letters");
}
