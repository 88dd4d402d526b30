//! `weir run DIR --until-end`: everything there is, once, then exit.

use super::{ProjectArgument, StateArguments, print};
use crate::failure::Failure;
use crate::wiring::{self, Opened, Opening, Running};
use crate::{plugins, process, progress, runtime};
use clap::Args;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use weir_engine::{Counts, Job, JobStatus, Mode, SinkState, SinkStatus, SystemClock};
use weir_event::Clock;
use weir_plugin::PluginRegistry;

/// Read every source to its end, write every open window, flush every sink, exit
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir run my-features --until-end\n  weir run my-features --until-end --stats\n  weir run my-features --until-end --reset user_day"
)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    project: ProjectArgument,
    /// Stop where the sources end (Kafka, HTTP log: the end seen at start)
    #[arg(long)]
    until_end: bool,
    /// Print what it took as one line of JSON, the last on stdout
    #[arg(long)]
    stats: bool,
    /// Shards per job (default: what weir.yaml says, or else the number of cores)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=128))]
    shards: Option<u16>,
    #[command(flatten)]
    state: StateArguments,
}

pub(super) fn run(arguments: RunArguments) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    if !arguments.until_end {
        let message = "`weir run` reads to the end and exits: say --until-end; `weir serve` stays up";
        return Err(Failure::user(message));
    }
    let opening = Opening {
        reset: arguments.state.reset,
        accept_older: arguments.state.accept_older,
        shards: arguments.shards,
        all_or_none: true,
        ..Opening::default()
    };
    let opened = wiring::open(&arguments.project.folder, &opening, clock.clone())?;
    if arguments.stats {
        refuse_beside_stdout(&opened)?;
    }
    let runtime = runtime::engine(opened.shards)?;
    let ended = runtime.block_on(async {
        let running = wiring::start(&opened, Mode::UntilEnd, None).await?;
        let before = running.engine.jobs().iter().map(|job| job.status().counts).collect::<Vec<_>>();
        until_end(&running, &opened.plugins, clock.clone()).await?;
        Ok::<_, Failure>((running, before))
    });
    let (running, before) = ended?;
    report(&running);
    let jobs = running.engine.jobs();
    if arguments.stats {
        print(&stats(&jobs, &before, clock.monotonic()).to_string())?;
    }
    let outcome = some_rows_were_used(&jobs, &before);
    process::leave((opened, runtime, running, jobs));
    outcome
}

/// The last line on stdout cannot be told from rows.
fn refuse_beside_stdout(opened: &Opened) -> Result<(), Failure> {
    let writes = |plan: &&weir_plan::JobPlan| plan.sinks.iter().any(|sink| sink.kind == "stdout");
    let refused = opened.plans.iter().filter(writes).map(|plan| {
        Failure::user(format!(
            "--stats: job `{}` has a stdout sink, whose rows it would be mixed with; leave one of them out",
            plan.name
        ))
    });
    Failure::all(refused.collect())
}

async fn until_end(
    running: &Running,
    plugins: &PluginRegistry,
    clock: Arc<dyn Clock>,
) -> Result<(), Failure> {
    let jobs = running.engine.jobs();
    let shown = progress::show(jobs.clone(), clock.clone());
    let all = async {
        let mut failures = Vec::new();
        for job in &jobs {
            failures.extend(job.outcome().await.err().map(|error| Failure::from(&*error)));
        }
        Failure::all(failures)
    };
    tokio::select! {
        ended = all => {
            progress::clear();
            return ended;
        }
        () = runtime::asked_to_stop() => {}
        () = shown => {}
    }
    progress::clear();
    tracing::info!("stopping: each job makes a last checkpoint");
    tokio::select! {
        stopped = running.engine.stop() => stopped.map_err(|error| Failure::from(&*error))?,
        never = plugins::halt_soon(plugins, &*clock) => match never {},
    }
    let waiting: String = jobs.iter().flat_map(|job| waiting(&job.status())).collect();
    Err(Failure::user(format!("stopped before the end; run it again to go on from here{waiting}")))
}

/// What waits for each sink of a job that does not take rows.
fn waiting(status: &JobStatus) -> Vec<String> {
    let told = |(name, sink): (&String, &SinkStatus)| {
        let reason = match &sink.state {
            SinkState::Running => return None,
            SinkState::Retrying(reason) | SinkState::Failed(reason) | SinkState::Suspended(reason) => reason,
        };
        let (job, rows) = (&status.job, sink.waiting_rows + sink.past_waiting_rows);
        Some(format!("; job `{job}`: sink `{name}`: {reason}; {rows} rows wait for it"))
    };
    status.sink_counts.iter().filter_map(told).collect()
}

fn report(running: &Running) {
    for job in running.engine.jobs() {
        let status = job.status();
        let counts = status.counts;
        tracing::info!(
            job = status.job,
            events = counts.events,
            results = counts.results,
            late = counts.late,
            dropped = counts.dropped,
            refused = counts.refused,
            dead_letters = counts.dead_letters,
            failed_results = counts.failed_results,
            "read to the end"
        );
        for (sink, SinkStatus { refused_rows, .. }) in &status.sink_counts {
            if *refused_rows > 0 {
                let why = "it refuses these rows for ever: they are set aside, each with its reason";
                tracing::warn!(job = status.job, sink, refused_rows, "{why}");
            }
        }
        for failure in job.failures() {
            let columns = failure.first.columns.join(", ");
            let outcome = if columns.is_empty() {
                "HAVING has no value for these results, so they have no row; the dead letters list each"
            } else {
                "these columns have no value, so they are null; the dead letters list each result"
            };
            let (results, first, reason) = (failure.results, &failure.first, &failure.reason);
            tracing::warn!(job = status.job, results, %first, columns, reason, "{outcome}");
        }
    }
}

/// A job that could use nothing of what there was to read has done nothing, whatever it was asked for.
fn some_rows_were_used(jobs: &[Arc<Job>], before: &[Counts]) -> Result<(), Failure> {
    let failures = jobs.iter().zip(before).filter_map(|(job, before)| {
        let status = job.status();
        let read = status.counts.events.saturating_sub(before.events);
        let refused = status.counts.refused.saturating_sub(before.refused);
        let (job, why) = (status.job, status.warning);
        if read == 0 {
            // What there was is not read, and why says what to do.
            return why.map(|why| Failure::user(format!("job `{job}`: {why}")));
        }
        (refused == read).then(|| {
            let why = why.unwrap_or_else(|| format!("all {read} rows were refused"));
            Failure::user(format!(
                "job `{job}`: {why}; mend the source, the stream's file or the query, then run it with `--reset {job}`"
            ))
        })
    });
    Failure::all(failures.collect())
}

/// What the run took. Counts of jobs are since their first start; `before` is what they began this run with.
fn stats(jobs: &[Arc<Job>], before: &[Counts], elapsed: Duration) -> Value {
    let mut of_jobs = Map::new();
    let (mut events, mut memory, mut keys, mut rows) = (0, 0, 0, 0);
    for (job, before) in jobs.iter().zip(before) {
        let (status, state) = (job.status(), job.stats());
        let of_run = status.counts.events.saturating_sub(before.events);
        events += of_run;
        memory += state.memory_bytes;
        keys += state.keys;
        rows += state.rows;
        let of_job = json!({
            "events": of_run,
            "results": status.counts.results,
            "late": status.counts.late,
            "dropped": status.counts.dropped,
            "refused": status.counts.refused,
            "dead_letters": status.counts.dead_letters,
            "failed_results": status.counts.failed_results,
            "keys": state.keys,
            "tiles": state.tiles,
            "rows": state.rows,
            "state_bytes": state.memory_bytes,
            "state_bytes_per_key": ratio(state.memory_bytes as f64, state.keys as f64),
            "state_bytes_per_row": ratio(state.memory_bytes as f64, state.rows as f64),
        });
        of_jobs.insert(status.job, of_job);
    }
    let cpu = process::cpu_time().map(|time| time.as_secs_f64());
    json!({
        "events": events,
        "seconds": elapsed.as_secs_f64(),
        "cpu_seconds": cpu,
        "events_per_cpu_second": cpu.and_then(|cpu| ratio(events as f64, cpu)),
        "peak_memory_bytes": process::peak_memory_bytes(),
        "state_bytes_per_key": ratio(memory as f64, keys as f64),
        "state_bytes_per_row": ratio(memory as f64, rows as f64),
        "jobs": of_jobs,
    })
}

/// `None`, which is null in JSON, where there is nothing to share out.
fn ratio(whole: f64, parts: f64) -> Option<f64> {
    (parts > 0.0).then(|| whole / parts)
}
