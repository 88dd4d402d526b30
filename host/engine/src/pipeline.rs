//! The pipeline of a job: this function is the table of contents.
//!
//! sources -> decode -> intake -> keyed (one task per shard) -> deliver -> an outbox and a task for each sink, with
//! barriers in line and the checkpointer beside. What intake and the keyed stage do with rows is the core's.

use crate::ahead::Ahead;
use crate::apart::Apart;
use crate::bootstrap::Phase;
use crate::checkpoint::{Checkpointer, Committer, Part};
use crate::dead_letters::DeadLetters;
use crate::decode::Decoding;
use crate::deliver::{Delivery, Era, Outlet, Takes};
use crate::driver::{Driver, Mode, Next, ShardInbox};
use crate::error::EngineError;
use crate::inputs::Inputs;
use crate::keyed::{Hands, KeyedShard};
use crate::manifest::Body;
use crate::metered::Metered;
use crate::outbox::{LeftOutboxes, Outbox, Room, together};
use crate::progress::{Progress, Tally};
use crate::reading::DriverState;
use crate::shard::{Locked, Shards, groups_of};
use crate::sink_task::{MakeSink, SinkTask};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use weir_connect::CpuTime;
use weir_core::{Intake, Keyed, ResultRows};
use weir_event::{Clock, Message};
use weir_plan::{JobPlan, PastPace, PastWrites};

/// Batches that may wait between two stages: enough to keep both busy, few enough that a barrier passes soon.
const QUEUE: usize = 4;

/// The tasks of a job.
type Stages = JoinSet<Result<(), EngineError>>;

/// One attempt at running a job, from its last safe checkpoint.
pub(crate) struct Attempt {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) inputs: Inputs,
    /// What is read once the past is; the same where there is none to be read.
    pub(crate) logs: Inputs,
    /// Whether the attempt ends when the past is over.
    pub(crate) is_to_restart: bool,
    pub(crate) sinks: OpenSinks,
    pub(crate) mode: Mode,
    pub(crate) body: Body,
    /// The timelines, restored; `None` for a job without a stage.
    pub(crate) shards: Option<Arc<Shards>>,
    /// With the ids seen, restored.
    pub(crate) intake: Intake,
    pub(crate) committer: Committer,
    pub(crate) progress: Arc<Progress>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) checkpoint_every: Duration,
    pub(crate) decode_depth: usize,
    pub(crate) stop: watch::Receiver<bool>,
}

/// The sinks of a job.
pub(crate) struct OpenSinks {
    pub(crate) sinks: Vec<OpenSink>,
    /// Told whenever one of them has taken something.
    pub(crate) room: Arc<Notify>,
    /// What earlier sinks of the job have left, which goes once the next checkpoint is safe.
    pub(crate) left: LeftOutboxes,
}

/// A sink with what waits for it.
pub(crate) struct OpenSink {
    pub(crate) make: MakeSink,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) wants_meta: bool,
    pub(crate) refuses_older: bool,
}

impl OpenSink {
    /// What hands results to these sinks.
    fn delivery(
        sinks: &[OpenSink],
        (plan, mode): (&Arc<JobPlan>, Mode),
        body: &Body,
        parts: mpsc::UnboundedSender<Part>,
        progress: &Arc<Progress>,
    ) -> Delivery {
        let is_past_apart = mode == Mode::Live;
        let phase = body.bootstrap.as_ref().map(|bootstrap| bootstrap.phase);
        let takes = |sink: &OpenSink| match &plan.bootstrap.writes {
            _ if !is_past_apart || body.bootstrap.is_none() => Takes::Later,
            PastWrites::Separate(sinks) if sinks.iter().any(|name| name == sink.outbox.sink()) => Takes::Past,
            PastWrites::Separate(_) | PastWrites::Skip => Takes::Later,
            // What a job has written of the past before another state took its place is written.
            PastWrites::Smooth(_) if phase == Some(Phase::Owed) => Takes::Later,
            PastWrites::Smooth(PastPace { rate }) => {
                Takes::Smooth { together: together(*rate), refuses_older: sink.refuses_older }
            }
        };
        let outlet = |sink: &OpenSink| Outlet {
            outbox: sink.outbox.clone(),
            wants_meta: sink.wants_meta,
            takes: takes(sink),
        };
        let era = match phase {
            Some(Phase::Owed) => Era::Written,
            Some(Phase::Past | Phase::Log) if is_past_apart => Era::Past,
            _ => Era::Later,
        };
        Delivery {
            plan: plan.clone(),
            outlets: sinks.iter().map(outlet).collect(),
            parts,
            tally: Tally::new(progress.clone()),
            checkpoint: body.checkpoint,
            era,
        }
    }
}

/// Runs every stage until the job is stopped, has read its source to the end, or one of them fails.
pub(crate) async fn run(attempt: Attempt) -> Result<(), EngineError> {
    let Attempt { plan, body, shards, progress, dead_letters, clock, .. } = attempt;
    let OpenSinks { sinks, room, left } = attempt.sinks;
    let with_identity = sinks.iter().any(|sink| sink.wants_meta);
    let width = shards.as_ref().map_or(0, |shards| shards.len());
    progress.expect_shards(width);
    let (parts, parts_inbox) = mpsc::unbounded_channel();
    let (begun, begun_inbox) = mpsc::channel(1);
    let (done, done_inbox) = mpsc::unbounded_channel();
    let cpu = progress.cpu.clone();
    // Rows, states and results may each go through a guest.
    let apart = plan.calls_components().then(|| Apart::on_half_of(width));
    let mut stages = Stages::new();

    let outboxes: Vec<Arc<Outbox>> = sinks.iter().map(|sink| sink.outbox.clone()).collect();
    let delivery = OpenSink::delivery(&sinks, (&plan, attempt.mode), &body, parts.clone(), &progress);
    feed_sinks(sinks, &plan, attempt.mode, &clock, &cpu, &mut stages);
    let keyed = KeyedStages {
        plan: plan.clone(),
        with_identity,
        revised_up_to: body.revised_up_to(),
        parts,
        progress: progress.clone(),
        dead_letters: dead_letters.clone(),
        clock: clock.clone(),
        checkpoint_every: attempt.checkpoint_every,
        apart: apart.clone(),
    };
    let (next, results) = keyed.spawn(shards, &mut stages)?;
    stages.spawn(Metered::new(&cpu, delivery.run(results)).apart(apart.clone()));

    let checkpointer = Checkpointer {
        plan: plan.clone(),
        inputs: attempt.logs.clone(),
        shards: width,
        every: attempt.checkpoint_every,
        outboxes: outboxes.clone(),
        left,
        committer: attempt.committer,
        progress: progress.clone(),
        dead_letters: dead_letters.clone(),
        clock: clock.clone(),
        stop: attempt.stop.clone(),
    };
    stages.spawn(Metered::new(&cpu, checkpointer.run(begun_inbox, parts_inbox, done)));

    let intake = attempt.intake.with_identity(with_identity).revised_above(body.revised_up_to());
    let state = DriverState::resume(&plan, body, intake, clock.monotonic());
    let driver = Driver {
        state,
        plan: plan.clone(),
        decoding: Decoding::new(attempt.inputs.decoders(), attempt.decode_depth, &cpu),
        inputs: attempt.inputs,
        logs: attempt.logs,
        is_to_restart: attempt.is_to_restart,
        mode: attempt.mode,
        next,
        room: Room::new(outboxes, room),
        begun,
        done: done_inbox,
        stop: attempt.stop,
        tally: Tally::new(progress.clone()),
        progress,
        dead_letters,
        clock,
        checkpoint_every: attempt.checkpoint_every,
    };
    stages.spawn(Metered::new(&cpu, driver.run()).apart(apart));
    first_failure(stages, &plan.name).await
}

/// Starts the task of each sink.
fn feed_sinks(
    sinks: Vec<OpenSink>,
    plan: &JobPlan,
    mode: Mode,
    clock: &Arc<dyn Clock>,
    cpu: &CpuTime,
    stages: &mut Stages,
) {
    for OpenSink { make, outbox, .. } in sinks {
        let task = SinkTask { job: plan.name.clone(), make, outbox, mode, clock: clock.clone() };
        stages.spawn(Metered::new(cpu, task.run()));
    }
}

/// Where the driver hands rows on, and where delivery finds results.
type BehindDriver = (Next, Vec<mpsc::Receiver<Message<ResultRows>>>);

/// The keyed stage of every shard.
struct KeyedStages {
    plan: Arc<JobPlan>,
    with_identity: bool,
    revised_up_to: u64,
    parts: mpsc::UnboundedSender<Part>,
    progress: Arc<Progress>,
    dead_letters: Arc<DeadLetters>,
    clock: Arc<dyn Clock>,
    checkpoint_every: Duration,
    apart: Option<Apart>,
}

impl KeyedStages {
    /// Starts them; gives where they take rows, and where each puts its results. A job without any has its results go
    /// straight to delivery.
    fn spawn(self, shards: Option<Arc<Shards>>, stages: &mut Stages) -> Result<BehindDriver, EngineError> {
        let Some(shards) = shards else {
            let (sender, inbox) = mpsc::channel(QUEUE);
            return Ok((Next::Delivery(sender), vec![inbox]));
        };
        let (plan, width) = (self.plan, shards.len());
        let (mut inboxes, mut results) = (Vec::new(), Vec::new());
        for number in 0..width {
            let (sender, inbox) = mpsc::channel(QUEUE);
            let (result, result_inbox) = mpsc::channel(QUEUE);
            let keyed = Keyed::over(plan.clone(), Locked { shards: shards.clone(), number });
            let keyed = keyed.map_err(|error| EngineError::of_core(&plan.name, error))?;
            let hands = Hands {
                plan: plan.clone(),
                results: result,
                tally: Tally::new(self.progress.clone()),
                dead_letters: self.dead_letters.clone(),
            };
            let keyed = keyed.with_identity(self.with_identity).revised_above(self.revised_up_to);
            let ahead = Ahead::of_barriers_every(self.checkpoint_every, self.clock.clone());
            let (clock, parts) = (self.clock.clone(), self.parts.clone());
            let shard = KeyedShard { keyed, ahead, clock, number, hands, parts };
            stages.spawn(Metered::new(&self.progress.cpu, shard.run(inbox)).apart(self.apart.clone()));
            inboxes.push(ShardInbox { groups: groups_of(number, width), inbox: sender });
            results.push(result_inbox);
        }
        Ok((Next::Shards(inboxes), results))
    }
}

/// Waits for all stages; when one fails, the others are of no use. A stage that only noticed that another is gone
/// does not hide the reason.
async fn first_failure(mut stages: Stages, job: &str) -> Result<(), EngineError> {
    let mut failure = Ok(());
    while let Some(outcome) = stages.join_next().await {
        let outcome = outcome.unwrap_or_else(|panic| {
            tracing::error!(job, %panic, "a stage panicked: this is a fault of weir's own");
            Err(EngineError::Panicked { job: job.to_owned(), message: panic.to_string() })
        });
        match (outcome, &failure) {
            (Err(error), Ok(()) | Err(EngineError::Vanished { .. })) => failure = Err(error),
            _ if failure.is_err() => {}
            _ => continue,
        }
        // The stages behind a failed one end by themselves when their channels close; the driver may wait for
        // rows for ever, so it is not waited for once the reason is known.
        if !matches!(failure, Err(EngineError::Vanished { .. })) {
            stages.shutdown().await;
        }
    }
    failure
}
