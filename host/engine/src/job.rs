//! A running job: its supervisor, and the handle through which others see it.
//!
//! The supervisor restores the job's last safe checkpoint, runs the pipeline, and starts again from the next safe
//! checkpoint when an outside system failed in a way that may pass. A job that fails stops alone.

use crate::back_off::BackOff;
use crate::beside::job_of;
use crate::bootstrap::Phase;
use crate::bootstrap::ends::Look;
use crate::checkpoint::Committer;
use crate::dead_letters::DeadLetters;
use crate::decode;
use crate::driver::Mode;
use crate::error::EngineError;
use crate::failures::FailureSample;
use crate::fit::check_state;
use crate::inputs::{InputSource, Inputs};
use crate::keys;
use crate::lookup::lookup;
use crate::manifest::Body;
use crate::migrating::NotTakenOver;
use crate::outbox::{LeftOutboxes, Outbox, OutboxOpening, SinkPart};
use crate::pipeline::{self, Attempt, OpenSink, OpenSinks};
use crate::progress::Progress;
use crate::revisions::Revisions;
use crate::shard::Shards;
use crate::sink_names::keep_names;
use crate::sink_task::{AboutSink, SinkSpec};
use crate::state::{self, Restored};
use crate::status::{Behind, JobState, JobStatus};
use crate::stop::stopped;
use arrow_array::ArrayRef;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use weir_connect::{ConnectError, CpuTime};
use weir_core::{Answer, AsOf, LookupError, prefer_views};
use weir_event::key::decode_keys;
use weir_event::{Clock, EventTime, PartitionId, Position, Span};
use weir_plan::{JobPlan, PastPace, PastWrites};
use weir_store::CheckpointStore;
use weir_timeline::Stats;

/// Everything that a job needs from outside the engine.
pub struct JobSpec {
    /// The plan.
    pub plan: JobPlan,
    /// What each of the plan's inputs is read through, in their order.
    pub inputs: Vec<InputSource>,
    /// Those of the plan. A plan without sinks makes no results: its job is only looked up.
    pub sinks: Vec<SinkSpec>,
    /// How long it reads.
    pub mode: Mode,
    /// On which the processor time is counted that is spent for it.
    pub cpu: CpuTime,
}

/// Some keys of a job.
#[derive(Debug)]
pub struct KeyPage {
    /// The key columns.
    pub columns: Vec<ArrayRef>,
    /// How many keys they hold.
    pub rows: usize,
    /// The last key, encoded, behind which there may be more.
    pub next: Option<Box<[u8]>>,
}

/// What the engine lends to each of its jobs.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) committer: Committer,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shards: usize,
    pub(crate) checkpoint_every: Duration,
    pub(crate) outbox: PathBuf,
    pub(crate) outbox_bytes: u64,
    pub(crate) revisions: Revisions,
    /// Where jobs run while they read the past; `None`: where all do.
    pub(crate) background: Option<Handle>,
}

/// A job, seen from outside.
#[derive(Debug)]
pub struct Job {
    plan: Arc<JobPlan>,
    progress: Arc<Progress>,
    shards: RwLock<Option<Arc<Shards>>>,
    /// By result column, since when it has all rows, where an edit has made that later than for the job.
    begun: RwLock<Arc<[Option<EventTime>]>>,
    outboxes: RwLock<Vec<Arc<Outbox>>>,
    not_taken_over: RwLock<Option<NotTakenOver>>,
    clock: Arc<dyn Clock>,
    stop: watch::Sender<bool>,
    outcome: watch::Sender<Option<Result<(), Arc<EngineError>>>>,
}

impl Job {
    /// Checks that the job can go on from its state, and starts it. Where it `goes_on` at once in the place of one that
    /// had read its log, nobody need wait for it.
    pub(crate) fn start(
        mut spec: JobSpec,
        surroundings: Surroundings,
        goes_on: bool,
    ) -> Result<Arc<Job>, EngineError> {
        let mut plan = prefer_views(spec.plan.clone());
        let body = last_body(&plan, &*surroundings.store)?.unwrap_or_else(|| Body::first(&plan));
        keep_names(&mut spec.sinks, &mut plan.sinks, &body);
        let plan = Arc::new(plan);
        let job = Arc::new(Job {
            progress: Arc::new(Progress::started(surroundings.clock.now(), spec.cpu.clone())),
            plan,
            shards: RwLock::new(None),
            begun: RwLock::new(Arc::from([])),
            outboxes: RwLock::default(),
            not_taken_over: RwLock::default(),
            clock: surroundings.clock.clone(),
            stop: watch::Sender::new(false),
            outcome: watch::Sender::new(None),
        });
        job.progress.restart(&body, job.clock.now());
        if goes_on {
            job.progress.goes_on();
        }
        surroundings.dead_letters.resume_lost(&job.plan.name, &body.lost_letters);
        tokio::spawn(supervise(job.clone(), spec, surroundings));
        Ok(job)
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Arc<JobPlan> {
        &self.plan
    }

    /// Its state now.
    pub fn status(&self) -> JobStatus {
        let status =
            self.progress.status(&self.plan.name, self.plan.version, &self.plan.definition, &*self.clock);
        let not_taken_over = self.not_taken_over().map(|it| it.reason);
        JobStatus { as_of: self.time(), not_taken_over, ..status }
    }

    /// That newer versions of its plugins have not taken over its state, if they were to.
    pub fn not_taken_over(&self) -> Option<NotTakenOver> {
        self.not_taken_over.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It goes on with older versions of its plugins, as newer ones have not taken over its state.
    pub fn keeps_older(&self, why: NotTakenOver) {
        *self.not_taken_over.write().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Results of which some value was an error since the process began, by reason.
    pub fn failures(&self) -> Vec<FailureSample> {
        self.progress.failures()
    }

    /// Its watermark; `None` before the first.
    pub fn watermark(&self) -> Option<EventTime> {
        self.progress.watermark()
    }

    /// How far its newest event is behind the wall while it has not read to the end, milliseconds.
    pub fn lag_ms(&self) -> u64 {
        self.progress.lag_ms(self.clock.now())
    }

    /// Whether it does not read: its source cannot be reached, or something has ended it. Values of a job that stands
    /// still are stale however small its lag was when it stopped; one that is starting has not come to a stop.
    pub fn stands_still(&self) -> bool {
        self.progress.stands_still()
    }

    /// The event time from which on it has every event of its stream: what lies before was in the log before its
    /// source's start, or had been deleted. `None` where it has read its source from the beginning of the log.
    /// Over several partitions it is the latest one's; a partition that has no row yet does not count.
    pub fn data_since(&self) -> Option<EventTime> {
        self.progress.data_since()
    }

    /// By result column, the event time from which on it has every event that the job has, where the column was added or
    /// changed later; nothing of a column that is as old as the job's state.
    pub fn begun(&self) -> Arc<[Option<EventTime>]> {
        self.begun.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has applied everything that was durable when it started.
    pub fn is_ready(&self) -> bool {
        self.progress.ready()
    }

    /// Whether lookups see the record at `offset` of a partition of its source.
    pub fn is_visible(&self, partition: PartitionId, offset: u64) -> bool {
        self.progress.is_visible(partition, offset)
    }

    /// Sizes of its state; zeros while it is being restored. Walks over none of it.
    pub fn stats(&self) -> Stats {
        self.current_shards().map_or_else(Stats::default, |shards| shards.stats())
    }

    /// The time that its lookups are as of where they name none: that of the newest event read, going on at the
    /// wall's pace, and never later than now, unless events of the near future have moved the watermark so far that
    /// now is out of reach. There is none before any event.
    pub fn time(&self) -> Option<EventTime> {
        let time = self.progress.freshness.time(self.clock.now())?;
        let reach = self.plan.stage.as_ref().map(|stage| stage.spec.reach());
        let oldest = self.watermark().zip(reach).map(|(watermark, reach)| watermark - reach);
        Some(oldest.map_or(time, |oldest| time.max(oldest)))
    }

    /// Whether lookups lack much of what is in its log: it has not yet applied what was there when it started, or has
    /// fallen far behind since.
    pub fn is_catching_up(&self) -> bool {
        self.progress.is_catching_up(self.clock.now(), self.clock.monotonic())
    }

    /// How far behind the end of its log it is; `None` where that is not known, as long as its source has not said it.
    pub fn behind(&self) -> Option<Behind> {
        self.progress.behind(self.clock.now())
    }

    /// Why it has failed, if it has, and when it is tried again by itself, wall time.
    pub fn failure(&self) -> Option<(String, Option<EventTime>)> {
        self.progress.failure()
    }

    /// One entity's results. `key` holds one row per key column, of the stage's key types.
    pub fn lookup(&self, key: &[ArrayRef], as_of: AsOf) -> Result<Answer, LookupError> {
        if self.plan.stage.is_none() {
            return Err(LookupError::NoEntity(self.plan.name.clone()));
        }
        let shards = self.current_shards().ok_or_else(|| LookupError::Starting(self.plan.name.clone()))?;
        self.progress.cpu.measure(|| lookup(&self.plan, &shards, key, as_of))
    }

    /// Up to `limit` of its keys behind the one that `after` is, or the first ones. Works for milliseconds: not for an
    /// async thread.
    pub fn keys(&self, after: Option<&[u8]>, limit: usize) -> Result<KeyPage, LookupError> {
        let name = || self.plan.name.clone();
        let stage = self.plan.stage.as_ref().ok_or_else(|| LookupError::NoEntity(name()))?;
        let shards = self.current_shards().ok_or_else(|| LookupError::Starting(name()))?;
        let page = self.progress.cpu.measure(|| keys::page(&shards, after, limit));
        let columns = decode_keys(page.iter().map(|key| &**key), &stage.key_types)
            .map_err(|error| LookupError::Failed(error.to_string()))?;
        let next = page.last().filter(|_| page.len() == limit).cloned();
        Ok(KeyPage { columns, rows: page.len(), next })
    }

    /// Lets a sink that is suspended go on; whether it was. `None` where the job has no sink of this name.
    pub fn resume_sink(&self, sink: &str) -> Option<bool> {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        outboxes.iter().find(|outbox| outbox.sink() == sink).map(|outbox| outbox.resume())
    }

    /// Asks it to make a last checkpoint and stop.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Whether it has stopped, finished or failed for good.
    pub(crate) fn has_ended(&self) -> bool {
        self.outcome.borrow().is_some()
    }

    /// Waits until it has stopped, finished or failed.
    pub async fn outcome(&self) -> Result<(), Arc<EngineError>> {
        let mut outcome = self.outcome.subscribe();
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Ok(()),
        }
    }

    /// Where each of its partitions is read next.
    pub(crate) fn positions(&self) -> BTreeMap<PartitionId, Position> {
        self.progress.positions()
    }

    /// Whether it has read its state back, or has ended before that.
    pub fn has_state(&self) -> bool {
        self.current_shards().is_some() || self.plan.stage.is_none() || self.has_ended()
    }

    fn current_shards(&self) -> Option<Arc<Shards>> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The body of the job's newest safe checkpoint, checked against the plan.
fn last_body(plan: &JobPlan, store: &dyn CheckpointStore) -> Result<Option<Body>, EngineError> {
    let head = store.head().map_err(|error| EngineError::store(&plan.name, &error))?;
    check_state(plan, head.as_ref())
}

async fn supervise(job: Arc<Job>, spec: JobSpec, surroundings: Surroundings) {
    let spec = Arc::new(spec);
    let mut back_off = BackOff::default();
    let mut stop = job.stop.subscribe();
    let clock = &surroundings.clock;
    let outcome = loop {
        let began = clock.monotonic();
        let error = match attempt(&job, &spec, &surroundings).await {
            Ok(Ended::Over) => break Ok(()),
            Ok(Ended::Bootstrapped) => continue,
            Err(error) => error,
        };
        let may_pass = error.may_pass() || (spec.mode == Mode::Live && error.may_be_mended_elsewhere());
        // Guests are not called any more, or fail as they did before: whoever asked for the end waits for neither. And one that
        // has not begun to run, and would have tried again, has nothing to lose.
        let has_not_run = may_pass && spec.mode == Mode::Live && job.progress.is_starting();
        if *stop.borrow() && (has_not_run || matches!(error, EngineError::Broken { .. })) {
            tracing::warn!(job = job.plan.name, %error, "stopped; the next start goes on from the last checkpoint");
            job.progress.set_state(JobState::Stopped);
            break Ok(());
        }
        if !may_pass || *stop.borrow() {
            // Whoever runs jobs to their end waits for the outcome of each and says it; of a live job nobody does.
            if spec.mode == Mode::Live {
                tracing::error!(job = job.plan.name, fault = %error.fault(), %error, "job failed");
            }
            job.progress.set_state(JobState::Failed(error.reason()));
            break Err(Arc::new(error));
        }
        let pause = back_off.after(clock.monotonic().saturating_sub(began));
        let next_try = clock.now() + Span::from_millis(pause.as_millis() as i64);
        tracing::warn!(job = job.plan.name, %error, "starting again from the last checkpoint in {pause:.1?}");
        let reason = error.reason();
        let state = if error.may_pass() { JobState::Retrying(reason) } else { JobState::Failed(reason) };
        job.progress.wait_until(state, next_try);
        tokio::select! {
            () = clock.sleep(pause) => {}
            _ = stop.changed() => break Err(Arc::new(error)),
        }
    };
    job.outcome.send_replace(Some(outcome));
}

/// How an attempt ended that did not fail.
enum Ended {
    /// It was stopped, or has read everything.
    Over,
    /// The past is over, and the job goes on with its usual shards, where all jobs run.
    Bootstrapped,
}

/// Runs the job once, from its last safe checkpoint; while it reads the past, where that takes nothing from others.
async fn attempt(
    job: &Arc<Job>,
    spec: &Arc<JobSpec>,
    surroundings: &Surroundings,
) -> Result<Ended, EngineError> {
    surroundings.committer.settle().await;
    let body = last_body(&job.plan, &*surroundings.store)?;
    let has_past = match &body {
        Some(body) => body.phase().is_before_end(),
        None => spec.inputs.iter().any(|input| input.archive.is_some()),
    };
    let attempt = attempt_from(body, job.clone(), spec.clone(), surroundings.clone());
    match surroundings.background.as_ref().filter(|_| has_past && spec.mode == Mode::Live) {
        Some(background) => {
            let vanished = |_| EngineError::Vanished { job: job.plan.name.clone(), stage: "attempt" };
            background.spawn(attempt).await.map_err(vanished)?
        }
        None => attempt.await,
    }
}

async fn attempt_from(
    body: Option<Body>,
    job: Arc<Job>,
    spec: Arc<JobSpec>,
    surroundings: Surroundings,
) -> Result<Ended, EngineError> {
    let (job, spec, plan) = (&job, &*spec, job.plan.clone());
    let mut body = match body {
        Some(body) => body,
        None => match first_body(job, spec, &surroundings).await? {
            Some(body) => body,
            None => return Ok(Ended::Over),
        },
    };
    let phase = body.phase();
    if phase == Phase::Past {
        check_archives(job, spec, &body).await?;
    }
    let is_live = spec.mode == Mode::Live;
    let reads_past = is_live && phase.is_before_end();
    let (shards, is_to_restart) = shards_of(&plan, &surroundings, reads_past);
    let surroundings = &Surroundings { shards, ..surroundings };
    let Restored { shards, intake, unsaid, shape, is_edited } =
        restore(&plan, &body, surroundings, &job.progress).await?;
    job.progress.freshness.left_end(job.clock.monotonic());
    job.progress.restart(&body, job.clock.now());
    *job.shards.write().unwrap_or_else(PoisonError::into_inner) = shards.clone();
    let columns = 0..plan.output.columns.len();
    let begun = columns.map(|column| shape.since(&plan, column)).collect();
    *job.begun.write().unwrap_or_else(PoisonError::into_inner) = begun;

    // The attempt is stored before its first effect, so that revisions rise also across crashes.
    body.revised = surroundings.revisions.next(&plan.name, body.revised_up_to(), job.clock.now());
    body.attempt += 1;
    body.keep_gone(&plan.name, &spec.sinks, &surroundings.outbox.join(&plan.name));
    body.adopt(&plan);
    body.shape = Some(shape);
    let (cpu, entries) = (&job.progress.cpu, unsaid.into_iter());
    if is_edited {
        // Until this is safe, the earlier plan could still go on from what it left.
        surroundings.committer.replace(&plan, body.clone(), entries, cpu).await?;
    } else {
        surroundings.committer.commit(&plan, body.clone(), entries, cpu).await?;
    }

    let sinks = open_sinks(job, spec, surroundings, &body);
    let inputs = Inputs::of(&job.plan, &spec.inputs, phase == Phase::Past);
    pipeline::run(Attempt {
        plan,
        inputs,
        logs: Inputs::of(&job.plan, &spec.inputs, false),
        is_to_restart,
        sinks,
        mode: spec.mode,
        body,
        shards,
        intake,
        committer: surroundings.committer.clone(),
        progress: job.progress.clone(),
        dead_letters: surroundings.dead_letters.clone(),
        clock: surroundings.clock.clone(),
        checkpoint_every: surroundings.checkpoint_every,
        decode_depth: decode::depth(surroundings.shards),
        stop: job.stop.subscribe(),
    })
    .await?;
    let is_over = !is_to_restart || *job.stop.borrow();
    Ok(if is_over { Ended::Over } else { Ended::Bootstrapped })
}

/// How many shards an attempt has, and whether the job starts again when it has read the past: with other shards, or where
/// all jobs run.
fn shards_of(plan: &JobPlan, surroundings: &Surroundings, reads_past: bool) -> (usize, bool) {
    let usual = surroundings.shards;
    if !reads_past {
        return (usual, false);
    }
    let shards = plan.bootstrap.shards.map_or(usual, usize::from);
    // What is made beside a job is over when it is made.
    let is_to_come_forward = surroundings.background.is_some() && job_of(&plan.name) == plan.name;
    (shards, shards != usual || is_to_come_forward)
}

/// What a job has begun to read of the past is to be there until it has read it.
async fn check_archives(job: &Job, spec: &JobSpec, body: &Body) -> Result<(), EngineError> {
    let source = |error| EngineError::Source { job: job.plan.name.clone(), error };
    let Some(bootstrap) = &body.bootstrap else { return Ok(()) };
    let has_archive = |input: &usize| spec.inputs.get(*input).is_some_and(|input| input.archive.is_some());
    if let Some((_, cut)) = bootstrap.cuts.iter().find(|(input, _)| !has_archive(input)) {
        let message = format!(
            "stream `{}`: the job has begun to read its `archive`, which its definition does not have any more; put it \
             back, or have the job begin anew with --reset {}",
            cut.stream,
            job_of(&job.plan.name)
        );
        return Err(source(ConnectError::user(message)));
    }
    let now = Inputs::of(&job.plan, &spec.inputs, true).archive_parts().await.map_err(source)?;
    let missing = bootstrap.missing(&job.plan.name, &now);
    missing.map_or(Ok(()), |message| Err(source(ConnectError::user(message))))
}

/// The body of a job that starts anew; where its streams have archives, with where these are cut. `None` if it was stopped
/// before that was known.
async fn first_body(
    job: &Job,
    spec: &JobSpec,
    surroundings: &Surroundings,
) -> Result<Option<Body>, EngineError> {
    let body = Body::first(&job.plan);
    if spec.inputs.iter().all(|input| input.archive.is_none()) {
        return Ok(Some(body));
    }
    let look = Look {
        depth: decode::depth(surroundings.shards),
        cpu: &job.progress.cpu,
        now: job.clock.now(),
        clock: &job.clock,
    };
    let mut stop = job.stop.subscribe();
    job.progress.set_looking(true);
    let looked = tokio::select! {
        bootstrap = look.bootstrap(&job.plan, &spec.inputs) => {
            let of_source = |error| EngineError::Source { job: job.plan.name.clone(), error };
            bootstrap.map_err(of_source).map(|bootstrap| Some(Body { bootstrap: Some(bootstrap), ..body }))
        }
        () = stopped(&mut stop) => {
            job.progress.set_state(JobState::Stopped);
            Ok(None)
        }
    };
    job.progress.set_looking(false);
    looked
}

/// The outbox of every sink as the last checkpoint left it.
fn open_sinks(job: &Job, spec: &JobSpec, surroundings: &Surroundings, body: &Body) -> OpenSinks {
    let name = &job.plan.name;
    let folder = surroundings.outbox.join(name);
    let room = Arc::new(Notify::new());
    let open = |spec_of_sink: &SinkSpec| {
        let SinkSpec { name: sink, on_full, make, .. } = spec_of_sink;
        // It does no I/O; one that cannot be made says so when it is to be opened.
        let about = make().map_or_else(|_| AboutSink::default(), |sink| AboutSink::of(&*sink));
        let identity = spec_of_sink.identity();
        let part = body.of_sink(sink, identity.as_deref()).unwrap_or_else(|| body.in_place_of(sink));
        let SinkPart { token, covered, kept } = part;
        let known = token.map(|token| (token, covered));
        let known = known.or_else(|| body.of_returned(identity.as_deref(), about.goes_on));
        let (token, covered) = known.unzip();
        let past_rate = match job.plan.bootstrap.writes {
            PastWrites::Smooth(PastPace { rate }) if body.bootstrap.is_some() => Some(rate),
            _ => None,
        };
        let outbox = Outbox::open(OutboxOpening {
            job: name.clone(),
            sink: sink.clone(),
            identity,
            folder: folder.join(sink),
            limit_bytes: surroundings.outbox_bytes,
            on_full: *on_full,
            is_kept: about.is_kept,
            shows_when_safe: about.shows_when_safe,
            goes_on: about.goes_on,
            is_bounded: spec.mode == Mode::UntilEnd,
            attempt: body.attempt,
            token,
            kept,
            covered: covered.unwrap_or_default(),
            past_rate,
            progress: job.progress.clone(),
            clock: surroundings.clock.clone(),
            stop: job.stop.subscribe(),
            room: room.clone(),
        });
        let AboutSink { wants_meta, refuses_older, .. } = about;
        OpenSink { make: make.clone(), outbox: Arc::new(outbox), wants_meta, refuses_older }
    };
    let sinks: Vec<OpenSink> = spec.sinks.iter().map(open).collect();
    body.tell_gone_sinks(name, &spec.sinks);
    let all = sinks.iter().map(|sink| sink.outbox.clone()).collect();
    *job.outboxes.write().unwrap_or_else(PoisonError::into_inner) = all;
    let names = spec.sinks.iter().map(|sink| sink.name.clone()).collect();
    OpenSinks { sinks, room, left: LeftOutboxes::of(name, folder, names) }
}

/// The job's state as its last safe checkpoint has it, read off the async threads.
async fn restore(
    plan: &Arc<JobPlan>,
    body: &Body,
    surroundings: &Surroundings,
    progress: &Arc<Progress>,
) -> Result<Restored, EngineError> {
    let (job, body, store, shards) =
        (plan.clone(), body.clone(), surroundings.store.clone(), surroundings.shards);
    let progress = progress.clone();
    let read = move || progress.cpu.measure(|| state::restore(&job, &body, &*store, shards, &progress));
    let vanished = |_| EngineError::Vanished { job: plan.name.clone(), stage: "restore" };
    tokio::task::spawn_blocking(read).await.map_err(vanished)?
}
