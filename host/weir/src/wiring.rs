//! The table of contents: a project's folder in, its running jobs out.
//!
//! definitions -> state -> plugins -> plans -> engine -> for each job: source, decoder (both shared with others that
//! read the same), sinks. Nothing here computes anything.

use crate::definitions;
use crate::failure::Failure;
use crate::project::Project;
use crate::versions::{self, StateOf, Versioned};
use crate::{log, plugins, state};
use hubs::Hubs;
use kept::{KeptDefinitions, Texts};
use spec::job_spec;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use taking_over::{Succession, start_newest};
use tokio::runtime::Handle;
use weir_connect::StateMark;
use weir_connectors::http::IngestLogs;
use weir_engine::{
    DeadLetters, Engine, EngineError, Listing, Mode, Refusal, Settings, begins_with_past, filling_name,
    is_declined, lacks_past, revised_up_to, runs_by,
};
use weir_event::suggestion::instead_of;
use weir_event::{Clock, Ticks};
use weir_plan::{Checked, JobPlan, ServerDefinition};
use weir_plugin::{PluginError, PluginRegistry};
use weir_project::{Planned, RefusedJob};
use weir_serve::{Streams, older_versions};
use weir_store::{CheckpointStore, Commit, LastingStore, StoreOptions};

/// How a project is opened.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// Jobs whose state is dropped.
    pub(crate) reset: Vec<String>,
    /// Whether an older checkpoint will do where the newest is damaged.
    pub(crate) accept_older: bool,
    /// Shards per job, in place of what the project says.
    pub(crate) shards: Option<u16>,
    /// Values of variables that come before the environment's.
    pub(crate) overrides: BTreeMap<String, String>,
    /// Whether one job that cannot run keeps all from running; else the others run.
    pub(crate) all_or_none: bool,
}

/// A project whose state is open and whose jobs do not run yet.
pub(crate) struct Opened {
    pub(crate) server: ServerDefinition,
    /// The definitions, as they were read.
    pub(crate) checked: Checked,
    pub(crate) plans: Vec<JobPlan>,
    /// Of jobs that go on with versions of plugins that are not active, plans with these.
    pub(crate) newer: BTreeMap<String, JobPlan>,
    /// Of jobs that go on by their earlier definitions, the plans that are changed to when they have the past.
    pub(crate) awaited: BTreeMap<String, JobPlan>,
    /// The texts of each job's definition, as they were read, and where those are kept by which jobs run.
    pub(crate) texts: BTreeMap<String, Texts>,
    pub(crate) kept: KeptDefinitions,
    /// Jobs that cannot run; where all have to, those that are for training only.
    pub(crate) refused: Vec<RefusedJob>,
    pub(crate) plugins: Arc<PluginRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shards: usize,
    pub(crate) data_dir: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) store: Arc<dyn CheckpointStore>,
    /// Marks what is made with the state as that.
    pub(crate) mark: Arc<dyn StateMark>,
    /// Jobs whose state was dropped, and where the revisions of its newest attempt began.
    dropped: BTreeMap<String, u64>,
    all_or_none: bool,
}

/// A project whose jobs run.
#[derive(Clone)]
pub(crate) struct Running {
    /// Jobs whose features lacked some of the past when they were started.
    pub(crate) lacking: BTreeSet<String>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) logs: Arc<IngestLogs>,
    pub(crate) hubs: Hubs,
}

/// Reads, checks and plans a project and opens its state; all errors of definitions come at once.
pub(crate) fn open(folder: &Path, opening: &Opening, clock: Arc<dyn Clock>) -> Result<Opened, Failure> {
    let project = Project::read_with(folder, opening.overrides.clone())?;
    let checked = definitions::check(&project, clock.clone());
    if let Some(server) = &checked.server {
        log::start_as(&server.log);
    }
    let Some(server) = checked.server.clone().filter(|_| may_open(&checked, opening)) else {
        let (planned, refused_plugins) = definitions::plan_copy(&project, &checked)?;
        definitions::errors(&planned, &refused_plugins)?;
        return Err(Failure::weir("the definitions have errors that nobody could name"));
    };
    let data_dir = project.folder().join(&server.data_dir);
    let marks = state::marks(project.folder(), &data_dir, &checked, clock.clone());
    let store = open_store(&data_dir, &server, opening.accept_older, marks)?;
    let (plugins, refused_plugins) = plugins::open(&project, &server, &data_dir, clock.clone())?;
    let head = store.head()?;
    let made = StateOf::Commit(head.as_ref(), &opening.reset);
    let Versioned { planned, mut newer } = versions::plan(project.folder(), &checked, &plugins, &clock, made);
    if opening.all_or_none || is_hopeless(&planned) {
        definitions::errors(&planned, &refused_plugins)?;
    }
    let mut planned = definitions::all_to_run(planned);
    if opening.all_or_none && planned.jobs.is_empty() {
        let for_training = planned.refused.iter().filter(|job| job.for_training);
        Failure::all(
            for_training
                .map(|job| Failure::user(format!("job `{}`: {}", job.name, definitions::reason(job))))
                .collect(),
        )?;
    }
    tell(&planned, &refused_plugins);
    let dropped = reset(&*store, &planned, &opening.reset)?;
    let (kept, mut awaited) = (KeptDefinitions::of(&data_dir), BTreeMap::new());
    if !opening.all_or_none {
        let head = head.as_ref();
        for plan in planned.jobs.iter_mut().filter(|plan| is_to_fill(plan, head)) {
            if let Some(earlier) = earlier(&project, &kept, plan, &plugins, (&clock, head))
                && runs_by(&earlier, head)
            {
                tracing::info!(
                    job = plan.name,
                    "features of its new definition lack some of the past: it goes on by the earlier one until they have it"
                );
                awaited.insert(plan.name.clone(), std::mem::replace(plan, earlier));
            }
        }
        awaited.extend(newer.values().filter_map(|plan| upgrade(plan, &kept)));
        newer.retain(|job, _| !awaited.contains_key(job));
    }
    let shards = opening.shards.or(server.shards).map_or_else(crate::runtime::cores, usize::from);
    Ok(Opened {
        server,
        texts: project.texts(&checked),
        kept,
        checked,
        plans: planned.jobs,
        newer,
        awaited,
        refused: planned.refused,
        plugins,
        clock,
        shards,
        data_dir,
        folder: project.folder().to_owned(),
        mark: Arc::new(state::Marking(store.clone())),
        store,
        dropped,
        all_or_none: opening.all_or_none,
    })
}

/// Whether what a job lacks of the past is made beside it: unless that was found to lack more.
fn is_to_fill(plan: &JobPlan, head: Option<&Commit>) -> bool {
    lacks_past(plan, head) && !is_declined(plan, head)
}

/// The plan with newer versions of plugins that is made beside a job, where somebody had asked for that.
fn upgrade(plan: &JobPlan, kept: &KeptDefinitions) -> Option<(String, JobPlan)> {
    let asked_for = kept.versions(&plan.name)?.upgrading?;
    let plan = JobPlan { leaves_older_states: true, ..plan.clone() };
    (asked_for == plan.definition).then(|| (plan.name.clone(), plan))
}

/// A job's plan by the definition that it ran by, where that is kept and is another one.
fn earlier(
    project: &Project,
    kept: &KeptDefinitions,
    plan: &JobPlan,
    plugins: &PluginRegistry,
    (clock, head): (&Arc<dyn Clock>, Option<&Commit>),
) -> Option<JobPlan> {
    let project = project.with_files(kept.texts(&plan.name)?);
    let checked = definitions::check(&project, clock.clone());
    let made = StateOf::Commit(head, &[]);
    let Versioned { planned, .. } = versions::plan(project.folder(), &checked, plugins, clock, made);
    let planned = definitions::all_to_run(planned);
    let earlier = planned.jobs.into_iter().find(|earlier| earlier.name == plan.name);
    earlier.filter(|earlier| earlier.definition != plan.definition)
}

/// Whether the state is worth opening: before that, errors cost nothing.
fn may_open(checked: &Checked, opening: &Opening) -> bool {
    !has_errors(checked) || (!opening.all_or_none && may_serve(checked))
}

/// Whether a server starts with these definitions, if its jobs can be planned: some may be wrong, but not all.
pub(crate) fn may_serve(checked: &Checked) -> bool {
    let is_sound =
        !checked.jobs.is_empty() || (checked.refused_jobs.is_empty() && !checked.streams.is_empty());
    checked.server.is_some() && (is_sound || !has_errors(checked))
}

fn has_errors(checked: &Checked) -> bool {
    checked.diagnostics.iter().any(|found| found.severity == weir_plan::Severity::Error)
}

/// Whether there are jobs and none of them can run, now or once a plugin is there.
fn is_hopeless(planned: &Planned) -> bool {
    planned.jobs.is_empty()
        && !planned.refused.is_empty()
        && planned.refused.iter().all(|job| job.lacks.is_empty())
}

/// Says everything that is worth knowing of the definitions.
fn tell(planned: &Planned, refused_plugins: &[PluginError]) {
    for remark in planned.remarks() {
        match remark.severity {
            weir_plan::Severity::Warning => tracing::warn!("{remark}"),
            _ => tracing::info!("{remark}"),
        }
    }
    for plugin in refused_plugins {
        tracing::error!("{plugin}");
    }
    let of_jobs: Vec<&String> = planned.refused.iter().flat_map(|job| &job.reasons).collect();
    for error in planned.errors().map(ToString::to_string) {
        // Errors of jobs are told with the jobs.
        if !of_jobs.contains(&&error) {
            tracing::error!("{error}");
        }
    }
}

fn open_store(
    data_dir: &Path,
    server: &ServerDefinition,
    accept_older: bool,
    marks: Vec<PathBuf>,
) -> Result<Arc<LastingStore>, Failure> {
    let keep = server.checkpoints_kept as usize;
    let options = StoreOptions { keep, accept_older, marks, ..StoreOptions::default() };
    Ok(Arc::new(LastingStore::open(&data_dir.join("state"), options)?))
}

/// Drops the state of jobs by name and gives where the revisions of its newest attempt began; a name that neither a job nor any state has is
/// refused before anything is.
fn reset(
    store: &dyn CheckpointStore,
    planned: &Planned,
    names: &[String],
) -> Result<BTreeMap<String, u64>, Failure> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let head = store.head()?;
    let with_state = head.iter().flat_map(|head| head.jobs.keys().map(String::as_str));
    let refused = planned.refused.iter().map(|job| job.name.as_str());
    let sound = planned.jobs.iter().map(|job| job.name.as_str());
    let mut known: Vec<&str> = sound.chain(refused).chain(with_state).collect();
    known.sort_unstable();
    known.dedup();
    let unknown = names.iter().filter(|name| !known.contains(&name.as_str()));
    let refused = unknown.map(|name| {
        Failure::user(format!("--reset {name}: job not found; {}", instead_of(name, known.iter().copied())))
    });
    Failure::all(refused.collect())?;
    for name in names {
        store.forget(name)?;
        let has_sinks = planned.jobs.iter().any(|plan| plan.name == *name && !plan.sinks.is_empty());
        let again = if has_sinks {
            "; its sinks keep the rows that they have, and get its results again"
        } else {
            ""
        };
        tracing::info!(job = name, "its state was dropped: it starts anew{again}");
    }
    let revised = |name: &String| head.as_ref().map_or(0, |head| revised_up_to(head, name));
    Ok(names.iter().map(|name| (name.clone(), revised(name))).collect())
}

fn settings(opened: &Opened, background: Option<Handle>) -> Settings {
    Settings {
        shards: opened.shards,
        checkpoint_every: Duration::from_millis(opened.server.checkpoint_every.millis().max(1) as u64),
        outbox: state::outboxes(&opened.data_dir),
        outbox_bytes: opened.server.limits.outbox_bytes,
        background,
    }
}

/// Starts every job. To be called inside the engine's runtime. Where all have to run, one that cannot start ends the
/// others; else it is listed with its reason, unless none of them could start. Jobs read the past on the threads in the
/// background, if there are such.
pub(crate) async fn start(
    opened: &Opened,
    mode: Mode,
    background: Option<Handle>,
) -> Result<Running, Failure> {
    let letters = opened.data_dir.join("dead_letters");
    let limit_bytes = opened.server.limits.dead_letters_bytes;
    let listing = if mode == Mode::Live { Listing::Route } else { Listing::File };
    let letters = DeadLetters::told_in_log(letters, limit_bytes, opened.clock.clone(), listing);
    let settings = settings(opened, background);
    let checkpoint_every = settings.checkpoint_every;
    let engine = Engine::new(settings, opened.store.clone(), Arc::new(letters), opened.clock.clone())?;
    for (name, revision) in &opened.dropped {
        engine.starts_above(name, *revision);
    }
    let logs = Arc::new(IngestLogs::new(&opened.data_dir, opened.clock.clone(), opened.mark.clone()));
    // Before any log is opened: where one begins that is not there depends on it.
    let head = opened.store.head()?;
    let lacks = |plan: &&JobPlan| opened.awaited.contains_key(&plan.name) || is_to_fill(plan, head.as_ref());
    let lacking = opened.plans.iter().filter(lacks).map(|plan| plan.name.clone()).collect();
    let running = Running { lacking, engine: Arc::new(engine), logs, hubs: Hubs::default() };
    for (job, plan) in defined(opened) {
        claim(head.as_ref(), &running.logs, job, plan);
        claim(head.as_ref(), &running.logs, &filling_name(job), None);
    }

    // Those that begin with the past come to the logs later.
    let begins_with_log = |plan: &&JobPlan| !begins_with_past(plan, head.as_ref());
    for plan in opened.plans.iter().filter(begins_with_log) {
        running.hubs.expect(opened, &running.logs, &plan.inputs);
    }
    let mut failures = Vec::new();
    for plan in &opened.plans {
        let both = (plan, opened.newer.get(&plan.name));
        if let Err(unstarted) = start_newest(opened, &running, both, Succession::Anew(mode)).await {
            failures.push((plan.name.clone(), unstarted));
        }
    }
    let none_started =
        running.engine.jobs().is_empty() && opened.refused.iter().all(|job| job.lacks.is_empty());
    if !failures.is_empty() && (opened.all_or_none || none_started) {
        if let Err(error) = running.engine.stop().await {
            tracing::warn!(%error, "while stopping");
        }
        let failures = failures.into_iter().map(|(_, unstarted)| unstarted.failure());
        Failure::all(failures.collect())?;
        return Ok(running);
    }
    let unstarted = failures.into_iter().map(|(name, unstarted)| (name, unstarted.reason()));
    let (for_training, refused): (Vec<_>, Vec<_>) = opened.refused.iter().partition(|job| job.for_training);
    let with_reason = |job: &RefusedJob| (job.name.clone(), definitions::reason(job));
    let refuse = |name: &str, reason: String, for_training: bool| {
        let since = opened.clock.now();
        running.engine.refuse(name, Refusal { reason, since, next_try: None, for_training });
    };
    for (name, reason) in unstarted.chain(refused.into_iter().map(with_reason)) {
        tracing::error!(job = name, "job failed: {reason}");
        refuse(&name, reason, false);
    }
    for (name, reason) in for_training.into_iter().map(with_reason) {
        tracing::warn!(job = name, "job does not run: {reason}");
        refuse(&name, reason, true);
    }
    forget_guests_at_barriers(opened.plugins.clone(), checkpoint_every, &opened.clock);
    Ok(running)
}

/// Every job that has a definition, and its plan if it has one: one that is refused goes on when it is mended, from where
/// it was.
fn defined(opened: &Opened) -> impl Iterator<Item = (&str, Option<&JobPlan>)> {
    let planned = opened.plans.iter().map(|plan| (plan.name.as_str(), Some(plan)));
    planned.chain(opened.refused.iter().map(|job| (job.name.as_str(), None)))
}

/// Tells the ingest logs how far a job has read them, as the newest commit says.
pub(crate) fn claim(head: Option<&Commit>, logs: &IngestLogs, job: &str, plan: Option<&JobPlan>) {
    for (stream, position) in head.into_iter().flat_map(|head| weir_engine::positions(job, plan, head)) {
        logs.claim(&stream, job, &position);
    }
}

/// Why a job that has a plan did not start.
#[derive(Debug)]
pub(crate) enum Unstarted {
    /// Its parts could not be made.
    Parts(Failure),
    /// The engine refuses it.
    Engine(EngineError),
}

impl Unstarted {
    /// As a failure of the whole command.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Unstarted::Parts(failure) => failure,
            Unstarted::Engine(error) => Failure::from(&error),
        }
    }

    /// What is wrong and what to do.
    pub(crate) fn reason(&self) -> String {
        match self {
            Unstarted::Parts(failure) => failure.to_string(),
            Unstarted::Engine(error) => error.reason(),
        }
    }
}

/// Starts one job as it is planned. To be called inside the engine's runtime.
pub(crate) fn start_job(
    opened: &Opened,
    running: &Running,
    plan: &JobPlan,
    mode: Mode,
) -> Result<(), Unstarted> {
    let spec = job_spec(opened, running, plan, mode).map_err(Unstarted::Parts)?;
    running.engine.start(spec).map(drop).map_err(Unstarted::Engine)?;
    tell_of_versions(opened, plan);
    Ok(())
}

/// Starts one job in the place of one that has stopped; lookups go on meanwhile.
pub(crate) fn succeed(opened: &Opened, running: &Running, plan: &JobPlan) -> Result<(), Unstarted> {
    let spec = job_spec(opened, running, plan, Mode::Live).map_err(Unstarted::Parts)?;
    running.engine.succeed(spec).map(drop).map_err(Unstarted::Engine)?;
    tell_of_versions(opened, plan);
    Ok(())
}

/// Says with which versions of plugins a job runs that are not the active ones, and keeps it for whoever cannot look.
fn tell_of_versions(opened: &Opened, plan: &JobPlan) {
    for older in older_versions(plan, &opened.plugins) {
        tracing::info!(job = plan.name, plugin = older.plugin, "{}", older.told);
    }
    if let Err(failure) = opened.kept.keep_versions(plan) {
        tracing::warn!(job = plan.name, "with which versions of plugins it runs is not kept: {failure}");
    }
}

/// The streams as HTTP sees them.
pub(crate) fn streams(opened: &Opened, running: &Running) -> Result<Streams, Failure> {
    opened.checked.streams.iter().map(|definition| spec::entry(opened, definition, &running.logs)).collect()
}

/// Drops the plugins' instances as often as barriers are sent, so that what a guest remembers behind the host's
/// back does not grow old.
fn forget_guests_at_barriers(plugins: Arc<PluginRegistry>, every: Duration, clock: &Arc<dyn Clock>) {
    let mut ticks = Ticks::every(clock, every);
    tokio::spawn(async move {
        loop {
            ticks.tick().await;
            plugins.barrier();
        }
    });
}

pub(crate) mod hubs;
pub(crate) mod kept;
pub(crate) mod spec;
pub(crate) mod taking_over;
#[cfg(test)]
mod tests;
