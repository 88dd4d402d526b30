//! The table of contents: a project's folder in, its running jobs out.
//!
//! definitions -> state -> plugins -> plans -> engine -> for each job: source, decoder (both shared with others that
//! read the same), sinks. Nothing here computes anything.

use crate::definitions::{self, Planned};
use crate::failure::Failure;
use crate::plugins;
use crate::project::Project;
use crate::suggestion;
use hubs::{Hubs, hubs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;
use weir_connectors::http::IngestLogs;
use weir_connectors::registry::{self, SinkContext, SourceContext};
use weir_connectors::settings::SettingError;
use weir_engine::{DeadLetters, Engine, JobSpec, MakeSinks, Mode, NamedSink, Settings};
use weir_event::Clock;
use weir_plan::{JobPlan, ServerDefinition, SinkPlan, StreamDefinition};
use weir_plugin::PluginRegistry;
use weir_serve::StreamEntry;
use weir_store::{CheckpointStore, SledStore, StoreOptions};

/// How a project is opened.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// Jobs whose state is dropped.
    pub(crate) reset: Vec<String>,
    /// Whether an older checkpoint will do where the newest is damaged.
    pub(crate) accept_older: bool,
    /// Shards per job, in place of what the project says.
    pub(crate) shards: Option<u16>,
}

/// A project whose state is open and whose jobs do not run yet.
pub(crate) struct Opened {
    pub(crate) server: ServerDefinition,
    pub(crate) streams: Vec<Arc<StreamDefinition>>,
    pub(crate) plans: Vec<JobPlan>,
    pub(crate) plugins: Arc<PluginRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shards: usize,
    pub(crate) data_dir: PathBuf,
    folder: PathBuf,
    store: Arc<dyn CheckpointStore>,
}

/// A project whose jobs run.
pub(crate) struct Running {
    pub(crate) engine: Arc<Engine>,
    pub(crate) logs: Arc<IngestLogs>,
}

/// Reads, checks and plans a project and opens its state; all errors of definitions come at once.
pub(crate) fn open(folder: &Path, opening: &Opening, clock: Arc<dyn Clock>) -> Result<Opened, Failure> {
    let project = Project::read(folder)?;
    let checked = definitions::check(&project, clock.clone());
    let Some(server) = checked.server.clone().filter(|_| !has_errors(&checked)) else {
        definitions::plan_copy(&project, &checked)?.errors()?;
        return Err(Failure::weir("the definitions have errors that nobody could name"));
    };
    let data_dir = project.folder().join(&server.data_dir);
    let store = open_store(&data_dir, &server, opening.accept_older)?;
    let (plugins, refused) = plugins::open(&project, &server, &data_dir)?;
    let planned = definitions::plan(&checked, &plugins, refused);
    planned.errors()?;
    for remark in planned.remarks() {
        tracing::info!("{remark}");
    }
    reset(&*store, &planned, &opening.reset)?;
    let shards = opening.shards.or(server.shards).map_or_else(crate::runtime::cores, usize::from);
    Ok(Opened {
        server,
        streams: checked.streams,
        plans: planned.jobs,
        plugins,
        clock,
        shards,
        data_dir,
        folder: project.folder().to_owned(),
        store,
    })
}

fn has_errors(checked: &weir_plan::Checked) -> bool {
    checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == weir_plan::Severity::Error)
}

fn open_store(
    data_dir: &Path,
    server: &ServerDefinition,
    accept_older: bool,
) -> Result<Arc<dyn CheckpointStore>, Failure> {
    let options =
        StoreOptions { keep: server.checkpoints_kept as usize, accept_older, ..StoreOptions::default() };
    Ok(Arc::new(SledStore::open(&data_dir.join("state"), options)?))
}

/// Drops the state of jobs by name; a name that neither a job nor any state has is refused before anything is.
fn reset(store: &dyn CheckpointStore, planned: &Planned, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let head = store.head()?;
    let with_state = head.iter().flat_map(|head| head.jobs.keys().map(String::as_str));
    let mut known: Vec<&str> = planned.jobs.iter().map(|job| job.name.as_str()).chain(with_state).collect();
    known.sort_unstable();
    known.dedup();
    let unknown = names.iter().filter(|name| !known.contains(&name.as_str()));
    let refused = unknown.map(|name| {
        Failure::user(format!(
            "--reset {name}: there is no such job; {}",
            suggestion::instead_of(name, &known)
        ))
    });
    Failure::all(refused.collect())?;
    for name in names {
        store.forget(name)?;
        tracing::info!(job = name, "its state was dropped: it starts anew");
    }
    Ok(())
}

/// Starts every job. To be called inside the engine's runtime; if any job cannot start, none goes on.
pub(crate) async fn start(opened: &Opened, mode: Mode) -> Result<Running, Failure> {
    let letters = opened.data_dir.join("dead_letters");
    let letters = Arc::new(DeadLetters::new(letters, opened.server.limits.dead_letters_bytes));
    let checkpoint_every = Duration::from_millis(opened.server.checkpoint_every.millis().max(1) as u64);
    let settings = Settings { shards: opened.shards, checkpoint_every };
    let engine = Engine::new(settings, opened.store.clone(), letters, opened.clock.clone())?;
    let logs = Arc::new(IngestLogs::new(&opened.data_dir, opened.clock.clone()));
    let running = Running { engine: Arc::new(engine), logs };

    for stream in &opened.streams {
        if let Some(origin) = &stream.origin {
            // Also a stream that no job reads takes rows: making its source declares its log.
            source(opened, &running.logs, &stream.name, origin)
                .map_err(|error| settings_failure(&stream.name, &error))?;
        }
    }
    let hubs = hubs(opened, &running.logs)?;
    let mut failures = Vec::new();
    for plan in &opened.plans {
        let started = job_spec(opened, &running.logs, &hubs, plan, mode)
            .and_then(|spec| running.engine.start(spec).map_err(|error| Failure::from(&error)));
        failures.extend(started.err());
    }
    if failures.is_empty() {
        forget_guests_at_barriers(opened.plugins.clone(), checkpoint_every);
        return Ok(running);
    }
    if let Err(error) = running.engine.stop().await {
        tracing::warn!(%error, "while stopping");
    }
    Failure::all(failures)?;
    Ok(running)
}

fn job_spec(
    opened: &Opened,
    logs: &Arc<IngestLogs>,
    hubs: &Hubs,
    plan: &JobPlan,
    mode: Mode,
) -> Result<JobSpec, Failure> {
    let [input] = plan.inputs.as_slice() else {
        return Err(Failure::weir(format!(
            "job `{}` reads {} streams, not one",
            plan.name,
            plan.inputs.len()
        )));
    };
    let stream = &input.stream;
    let source = source(opened, logs, &stream.name, &input.origin)
        .map_err(|errors| settings_failure(&plan.name, &errors))?;
    let decoder = registry::decoder(&stream.format, &stream.schema, &input.columns)
        .map_err(|error| settings_failure(&stream.name, &[error]))?;
    let (source, decoder) = match hubs.get(&plan.name) {
        Some(hub) => hub.for_job(decoder, &input.columns),
        None => (source, decoder),
    };
    Ok(JobSpec { plan: plan.clone(), source, decoder, sinks: make_sinks(opened, plan), mode })
}

fn source(
    opened: &Opened,
    logs: &Arc<IngestLogs>,
    stream: &str,
    origin: &weir_plan::StreamOrigin,
) -> Result<Arc<dyn weir_connect::Source>, Vec<SettingError>> {
    let context = SourceContext {
        project: opened.folder.clone(),
        data_dir: opened.data_dir.clone(),
        stream: stream.to_owned(),
        clock: opened.clock.clone(),
        logs: logs.clone(),
    };
    registry::source(&origin.kind, &origin.settings, &context)
}

fn make_sinks(opened: &Opened, plan: &JobPlan) -> MakeSinks {
    let context = SinkContext {
        project: opened.folder.clone(),
        data_dir: opened.data_dir.clone(),
        job: plan.name.clone(),
        clock: opened.clock.clone(),
    };
    let plans = plan.sinks.clone();
    Box::new(move || {
        let make = |plan: &SinkPlan| {
            let sink = registry::sink(&plan.kind, &plan.settings, &context)
                .map_err(|errors| ConnectError::user(in_words(&errors)))?;
            Ok(NamedSink { name: plan.name.clone(), sink })
        };
        plans.iter().map(make).collect()
    })
}

fn settings_failure(what: &str, errors: &[SettingError]) -> Failure {
    Failure::user(format!("`{what}`: {}", in_words(errors)))
}

fn in_words(errors: &[SettingError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The streams as HTTP sees them; opens the ingest logs of those that take rows.
pub(crate) fn entries(opened: &Opened, running: &Running) -> Result<BTreeMap<String, StreamEntry>, Failure> {
    let entry = |definition: &Arc<StreamDefinition>| {
        let name = &definition.name;
        let columns: Vec<usize> = (0..definition.schema.fields.len()).collect();
        let checker = registry::decoder(&definition.format, &definition.schema, &columns)
            .map_err(|error| settings_failure(name, &[error]))?;
        let log = running.logs.open(name)?;
        Ok((name.clone(), StreamEntry { definition: definition.clone(), log, checker }))
    };
    opened.streams.iter().map(entry).collect()
}

/// Drops the plugins' instances as often as barriers are sent, so that what a guest remembers behind the host's
/// back does not grow old.
fn forget_guests_at_barriers(plugins: Arc<PluginRegistry>, every: Duration) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            plugins.barrier();
        }
    });
}

mod hubs;
#[cfg(test)]
mod tests;
