//! Training, wired: a project's definitions, the logs of its streams and a spine in, a file out.
//!
//! Nothing here computes a value. A server may have the project open: its state is not touched, and the log of events that
//! were posted is read from a copy.

mod asked;
mod output;
mod requested;
mod scratch;
mod sources;
mod spine;

use crate::failure::Failure;
use crate::project::Project;
use crate::versions::{self, StateOf, Versioned};
use crate::wiring::kept::KeptDefinitions;
use crate::{definitions, plugins, runtime};
pub(crate) use asked::Judge;
use asked::{Unasked, asked_for};
use output::Output;
use scratch::Scratch;
use serde_json::{Map, Value, json};
use sources::Sources;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;
use weir_engine::SystemClock;
use weir_event::suggestion::shown;
use weir_event::{Clock, Fault, Span};
use weir_plan::{JobPlan, PluginVersion, UsedVersion};
use weir_train::{
    Answers, AsOfRule, Checkpoints, Column, Job, JobReport, Listener, Pace, Settings, Spine, Table, Told,
    TrainError, Underived, WantedFeature, answers,
};

/// So much of what has to be sorted is held in memory, each time that something has.
const SORTED_BYTES: usize = 64 << 20;

/// A training set, as it is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) folder: PathBuf,
    pub(crate) spine: PathBuf,
    pub(crate) features: Vec<String>,
    pub(crate) output: PathBuf,
    pub(crate) rule: AsOfRule,
    pub(crate) serving_delay: Span,
    /// The spine's column of the moment.
    pub(crate) time: String,
    pub(crate) with_status: bool,
    /// Whether logs are read behind archives.
    pub(crate) with_log: bool,
    /// How often it is kept how far it is.
    pub(crate) pace: Pace,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct TrainingSet {
    pub(crate) rows: u64,
    /// What its values are made of.
    pub(crate) about: Value,
    /// In words.
    pub(crate) summary: String,
}

/// The folder beside a training set that is made there.
pub(crate) fn beside(output: &Path) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!(".weir-train-{name}"))
}

/// Who is told how far so many jobs are, by this clock.
pub(crate) type Tells<'a> = &'a dyn Fn(Arc<dyn Clock>, usize) -> Listener;

/// Makes it.
pub(crate) fn run(request: &Request, tells: Tells<'_>) -> Result<TrainingSet, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let output = Output::at(&request.output)?;
    output.refuse_to_replace(&request.spine)?;
    if request.rule == AsOfRule::Event && request.serving_delay != Span::ZERO {
        let message = "--serving-delay is about when events were known, which `--as-of event` does not look at; leave one out";
        return Err(Failure::user(message));
    }
    let project = Project::read(&request.folder)?;
    let checked = definitions::check(&project, clock.clone());
    let server = checked.server.clone().unwrap_or_default();
    let (copy, functions, refused) = plugins::open_copy(&project, &server)?;
    let data_dir = project.folder().join(&server.data_dir);
    // A job's values are made by the versions that it runs with.
    let kept = KeptDefinitions::of(&data_dir);
    let made = StateOf::Kept(&kept);
    let Versioned { planned, .. } = versions::plan(project.folder(), &checked, &functions, &clock, made);
    for plugin in &refused {
        tracing::warn!("{plugin}");
    }
    output.refuse_among_definitions(project.folder())?;
    let asked = asked_for(&planned, &request.features).map_err(Unasked::failure)?;
    let scratch = Scratch::open(&output, &requested::mark(request, &asked))?;
    let cores = runtime::cores();
    let threads = runtime::engine(cores)?;
    threads.spawn(leave_when_asked(copy.path().to_owned()));
    let sources =
        Sources::new([project.folder(), &data_dir, &scratch.copies()], clock.clone(), functions.clone());
    let made = make(request, (&output, &scratch), (asked, &sources), (clock, cores, threads.handle()), tells);
    // What was away may be there again for the next run.
    if made.as_ref().is_err_and(|failure| failure.fault() == Fault::External) {
        scratch.stay();
    }
    made
}

/// Makes it of these jobs.
fn make(
    request: &Request,
    (output, scratch): (&Output, &Scratch),
    (asked, sources): (Vec<(&JobPlan, Vec<WantedFeature>)>, &Sources),
    (clock, cores, threads): (Arc<dyn Clock>, usize, &Handle),
    tells: Tells<'_>,
) -> Result<TrainingSet, Failure> {
    let mut jobs = Vec::new();
    for (plan, wanted) in asked {
        let inputs = threads.block_on(sources.inputs(plan, request.with_log.then_some(cores)))?;
        jobs.push(Job::new(Arc::new(plan.clone()), wanted, inputs));
    }
    for (path, stream) in Sources::files(&jobs) {
        output.refuse_to_write_into(&*path, &stream)?;
    }
    let spine = threads.block_on(spine::open(&request.spine, &request.time, &jobs, sources))?;
    let columns: Vec<Vec<Column>> = jobs.iter().map(|job| columns(job, request.with_status)).collect();
    refuse_twice(&spine, columns.iter().flatten())?;
    let at_once = cores.min(jobs.len());
    let settings = Settings {
        rule: request.rule,
        serving_delay: request.serving_delay,
        workers: cores.div_ceil(at_once),
        scratch: scratch.work(),
        now: clock.now(),
        checkpoints: Some(Checkpoints {
            folder: scratch.jobs(),
            pace: request.pace,
            clock: clock.clone(),
            teller: Arc::new(tell_of_checkpoint),
        }),
        sorted_bytes: SORTED_BYTES,
        listener: tells(clock, jobs.len()),
    };
    let answered = side_by_side(&jobs, &spine, &settings, (at_once, threads))?;
    let reports: Vec<JobReport> = answered.iter().map(|(_, report)| report.clone()).collect();
    let answered = jobs.iter().zip(answered).zip(columns);
    let answered = answered.map(|((job, (answers, _)), columns)| (job, answers, columns));
    tell(&jobs, &reports, request.with_log)?;
    let mut table = threads.block_on(Table::of(&spine, answered.collect())).map_err(failure)?;
    let about = about(request, &jobs, &reports);
    let rows = threads.block_on(output.write(&mut table, &about, &scratch.work()))?;
    table.underived().for_each(tell_of_underived);
    Ok(TrainingSet { rows, about, summary: summary(request, &jobs, &reports, rows) })
}

/// Ends the process when somebody asks for that, and leaves nothing behind except what the next run goes on from.
async fn leave_when_asked(plugins: PathBuf) {
    runtime::asked_to_stop().await;
    // Who writes there is in the middle of it.
    let _ = std::fs::remove_dir_all(plugins);
    tracing::error!("stopped before the training set was written; type the same again to go on from here");
    std::process::exit(1);
}

/// Says what becomes of what an earlier run has kept of a job.
fn tell_of_checkpoint(job: &str, told: Told<'_>) {
    match told {
        Told::Finished => tracing::info!(job, "an earlier run has its answers: nothing is read again"),
        Told::GoesOn { events, answered } => {
            tracing::info!(job, events, answered, "goes on where an earlier run was ended");
        }
        Told::Anew(reason) => {
            tracing::warn!(job, reason, "cannot go on where an earlier run was ended: it begins anew")
        }
    }
}

/// Says of how many rows a derived feature could not be computed.
fn tell_of_underived(Underived { column, rows, reason }: &Underived) {
    tracing::warn!(
        column,
        rows,
        reason,
        "rows of the spine for which a derived feature cannot be computed are null"
    );
}

/// The columns of a job's features.
fn columns(job: &Job, with_status: bool) -> Vec<Column> {
    let name = |wanted: &WantedFeature| format!("{}__{}", job.plan.name, name_of(job, *wanted));
    let status = |name: &String| with_status.then(|| format!("{name}__status"));
    job.wanted.iter().map(name).map(|name| Column { status: status(&name), name }).collect()
}

fn name_of(job: &Job, wanted: WantedFeature) -> &str {
    match wanted {
        WantedFeature::Stored(at) => &job.plan.features[at].name,
        WantedFeature::Derived(at) => &job.plan.transform.features[at].name,
    }
}

/// Refuses a spine with a column that would be a feature's too, as a training set has that is taken for a spine.
fn refuse_twice<'c>(spine: &Spine, columns: impl Iterator<Item = &'c Column>) -> Result<(), Failure> {
    let mut names: HashSet<&str> = spine.schema.fields.iter().map(|field| &*field.name).collect();
    for name in columns.flat_map(|column| std::iter::once(&column.name).chain(&column.status)) {
        if !names.insert(name) {
            return Err(Failure::user(format!(
                "two columns would be called `{}`; leave it out of the spine, or its feature out of --features",
                shown(name)
            )));
        }
    }
    Ok(())
}

type Answered = (Answers, JobReport);

/// Asks all jobs, so many at once.
fn side_by_side(
    jobs: &[Job],
    spine: &Spine,
    settings: &Settings,
    (at_once, threads): (usize, &Handle),
) -> Result<Vec<Answered>, Failure> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut own = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return own };
            tracing::info!(job = job.plan.name, "reading its history");
            own.push((at, threads.block_on(answers(job, spine, settings))));
        }
    };
    let ended = std::thread::scope(|scope| {
        let started: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        started.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut all = BTreeMap::new();
    // What is wrong with the spine is wrong for several jobs.
    let mut failures = BTreeMap::new();
    for ended in ended {
        let own = ended.map_err(|_| Failure::weir("a thread panicked while it replayed a job"))?;
        for (at, answered) in own {
            match answered {
                Ok(answered) => drop(all.insert(at, answered)),
                Err(error) => drop(failures.insert(error.message.clone(), failure(error))),
            }
        }
    }
    Failure::all(failures.into_values().collect())?;
    Ok(all.into_values().collect())
}

/// Says what could not be used. A job of which nothing could be has no history, whatever its answers are.
fn tell(jobs: &[Job], reports: &[JobReport], with_log: bool) -> Result<(), Failure> {
    let mut failures = Vec::new();
    for (Job { plan, .. }, report) in jobs.iter().zip(reports) {
        let JobReport { counts, refused, unordered, before_any: (before, asked), failed, reason, .. } =
            report;
        let job = &plan.name;
        tell_of_cut_off(plan, report);
        if !with_log {
            tell_of_archive_s_end(plan, report);
        }
        let first = refused.as_deref().unwrap_or_default();
        if counts.refused > 0 && counts.refused == counts.events {
            let all = counts.events;
            failures.push(Failure::user(format!(
                "job `{job}`: all {all} rows of its history were refused{first}; mend the stream's file or its source"
            )));
        } else if counts.refused > 0 {
            tracing::warn!(job, rows = counts.refused, "rows of its history were refused{first}");
        }
        if *unordered > 0 {
            tracing::warn!(
                job,
                rows = unordered,
                "rows of its history say that they were known before rows that stand before them in their file; each counts \
                 from when those were known: sort files by `known_time`, or have each be one of `partitions: files`"
            );
        }
        if counts.events == 0 {
            tracing::warn!(job, "its history has no events, so that every value is that of no rows");
        } else if 2 * before > *asked {
            tracing::warn!(
                job,
                rows = before,
                "most rows of the spine ask for times before any event was known; is the time right? `--as-of event` counts \
                 events by when they happened"
            );
        }
        if let Some(reason) = reason {
            tracing::warn!(job, rows = failed, reason, "rows of the spine have no answer");
        }
    }
    Failure::all(failures)
}

/// Says of how many rows the labels are not complete: without a column of their status nothing else does.
fn tell_of_cut_off(plan: &JobPlan, report: &JobReport) {
    if let Some(ahead) = plan.looks_ahead.filter(|_| report.cut_off > 0) {
        tracing::warn!(
            job = plan.name,
            rows = report.cut_off,
            "the history ends less than {ahead} after these rows of the spine, so that their labels are not complete; `--status` \
             calls them `partial`: leave them out"
        );
    }
}

/// Says of how many rows the archive does not have all that was known by then: their values are those of its end.
fn tell_of_archive_s_end(plan: &JobPlan, report: &JobReport) {
    if plan.has_archives() && plan.looks_ahead.is_none() && report.beyond > 0 {
        tracing::warn!(
            job = plan.name,
            rows = report.beyond,
            "rows of the spine ask for times behind the end of an archive, and have the values of that end; with `--with-log` the \
             stream's log is read from there on"
        );
    }
}

fn failure(error: TrainError) -> Failure {
    match error.fault {
        Fault::User => Failure::user(error),
        Fault::External => Failure::external(error),
        Fault::Weir => Failure::weir(error),
    }
}

/// What the training set is made of, beside its rows.
fn about(request: &Request, jobs: &[Job], reports: &[JobReport]) -> Value {
    let of_job = |(job, report): (&Job, &JobReport)| {
        let made = |wanted: &WantedFeature| {
            let (version, definition) = match *wanted {
                WantedFeature::Stored(at) => {
                    let feature = &job.plan.features[at];
                    (feature.version, &feature.definition)
                }
                WantedFeature::Derived(at) => {
                    let feature = &job.plan.transform.features[at];
                    (feature.version, &feature.definition)
                }
            };
            (name_of(job, *wanted).to_owned(), json!({"version": version, "definition": definition}))
        };
        let features: Map<String, Value> = job.wanted.iter().map(made).collect();
        let about = json!({
            "version": job.plan.version,
            "definition": job.plan.definition,
            "features": features,
            "components": job.plan.components(),
            "plugins": job.plan.versions.iter().map(plugin).collect::<Vec<_>>(),
            "events": report.counts.events,
            "late": report.counts.late,
            "dropped": report.counts.dropped,
            "duplicates": report.counts.duplicates,
            "refused": report.counts.refused,
            "since": report.since.map(|time| time.to_string()),
            "newest": report.newest.map(|time| time.to_string()),
            "looks_ahead": job.plan.looks_ahead.map(|ahead| ahead.to_string()),
            "cut_off": report.cut_off,
            "cut": cuts(job),
        });
        (job.plan.name.clone(), about)
    };
    json!({
        "weir": env!("CARGO_PKG_VERSION"),
        "as_of": match request.rule { AsOfRule::Known => "known", AsOfRule::Event => "event" },
        "serving_delay": request.serving_delay.to_string(),
        "jobs": jobs.iter().zip(reports).map(of_job).collect::<Map<String, Value>>(),
    })
}

/// A version of a plugin that values are made by.
fn plugin(used: &UsedVersion) -> Value {
    let PluginVersion { plugin, version, component } = &used.of;
    json!({"plugin": plugin, "version": version, "sha256": component})
}

/// Of each stream that was read from its archive and its log, which rows are from which.
fn cuts(job: &Job) -> Map<String, Value> {
    let of_streams = job.inputs.iter().zip(&job.plan.inputs);
    let cuts = of_streams.filter_map(|(input, of_plan)| {
        let cut = input.archive.as_ref()?.cut.to_string();
        Some((of_plan.stream.name.clone(), format!("{cut}; the rest: log").into()))
    });
    cuts.collect()
}

fn summary(request: &Request, jobs: &[Job], reports: &[JobReport], rows: u64) -> String {
    let features: usize = jobs.iter().map(|job| job.wanted.len()).sum();
    let of_job = |(job, report): (&Job, &JobReport)| {
        let counts = &report.counts;
        let parts = [("late", counts.late), ("dropped", counts.dropped), ("refused", counts.refused)];
        let parts =
            parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!(", {count} {what}"));
        format!("\n  {}: {} events read{}", job.plan.name, counts.events, parts.collect::<String>())
    };
    let of_jobs: String = jobs.iter().zip(reports).map(of_job).collect();
    format!("{}: {rows} rows with {features} features{of_jobs}", shown_path(&request.output))
}

fn shown_path(path: &Path) -> String {
    path.display().to_string()
}
