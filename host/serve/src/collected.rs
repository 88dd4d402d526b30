//! The series that are read off the server's parts when the page is made: jobs, their sinks and partitions, plugins,
//! the process. The tables are what there is; the reference page prints them.
//!
//! Must not know how any of it is counted.

use crate::Served;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use weir_engine::status::{PartitionStatus, SinkStatus};
use weir_engine::{JobState, JobStatus, SinkState};
use weir_event::EventTime;
use weir_plugin::{BreakerStatus, PluginUsage};
use weir_timeline::Stats;

/// What the system says of this process; what it does not say is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessFigures {
    /// Processor time of all threads, user and system.
    pub cpu_seconds: Option<f64>,
    /// Memory that is resident now.
    pub resident_bytes: Option<u64>,
    /// Addresses that are mapped.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// How many may be open.
    pub max_fds: Option<u64>,
    /// When it started, seconds since 1970.
    pub start_time_seconds: Option<f64>,
}

/// A series on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricDoc {
    /// Its name on the page.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn doc(
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricDoc {
    MetricDoc { name, kind, labels, help }
}

/// The label of every series of a job. Not `job`: that is what a scraper calls the target itself.
const JOB_NAME: &str = "job_name";
const JOB: &[&str] = &[JOB_NAME];
const SINK: &[&str] = &[JOB_NAME, "sink"];
const PARTITION: &[&str] = &[JOB_NAME, "partition"];
const PLUGIN: &[&str] = &[JOB_NAME, "plugin", "version"];
const LOST_LETTERS: &str = "weir_dead_letters_lost_total";
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// Every series of the page.
pub const METRICS: &[MetricDoc] = &[
    doc("weir_build_info", GAUGE, &["version"], "1, with the version of this weir"),
    doc("weir_job_running", GAUGE, JOB, "1 while the job runs"),
    doc("weir_job_failed", GAUGE, JOB, "1 while the job has failed"),
    doc("weir_job_ready", GAUGE, JOB, "1 once the job has applied everything that was durable at its start"),
    doc(
        "weir_job_bootstrapped",
        GAUGE,
        JOB,
        "1 once the job has the past of its streams; only of jobs that began with an archive, as the next four",
    ),
    doc("weir_bootstrap_left_bytes", GAUGE, JOB, "Bytes of the archives that are still to be read"),
    doc("weir_bootstrap_archive_rows_total", COUNTER, JOB, "Rows that were read of the archives and count"),
    doc(
        "weir_bootstrap_log_rows_total",
        COUNTER,
        JOB,
        "Rows that were read of the logs until then and count",
    ),
    doc(
        "weir_bootstrap_refused_rows_total",
        COUNTER,
        JOB,
        "Rows of archives and logs that the cut leaves to the other side",
    ),
    doc("weir_watermark_timestamp_seconds", GAUGE, JOB, "The job's watermark"),
    doc(
        "weir_lag_seconds",
        GAUGE,
        JOB,
        "How far the job is behind: 0 while everything is read; grows while nothing can be",
    ),
    doc(
        "weir_job_cpu_seconds_total",
        COUNTER,
        JOB,
        "Processor time spent for the job: its tasks, its share of common reading, its lookups",
    ),
    doc("weir_state_keys", GAUGE, JOB, "Keys with state"),
    doc("weir_state_rows", GAUGE, JOB, "Rows that the state keeps one by one"),
    doc("weir_state_bytes", GAUGE, JOB, "Memory that the state takes, roughly"),
    doc("weir_checkpoint_age_seconds", GAUGE, JOB, "Time since the newest safe checkpoint"),
    doc(
        "weir_checkpoint_duration_seconds",
        GAUGE,
        JOB,
        "From the barrier of the newest checkpoint to its safety",
    ),
    doc("weir_events_total", COUNTER, JOB, "Events read"),
    doc("weir_late_events_total", COUNTER, JOB, "Events that came after a result they belong to was final"),
    doc("weir_dropped_events_total", COUNTER, JOB, "Late events that no longer counted"),
    doc("weir_duplicate_events_total", COUNTER, JOB, "Events whose id was seen before"),
    doc("weir_dead_letters_total", COUNTER, JOB, "Events set aside"),
    doc("weir_skipped_records_total", COUNTER, JOB, "Records passed over without fault"),
    doc("weir_results_total", COUNTER, JOB, "Result rows handed to the sinks"),
    doc("weir_failed_results_total", COUNTER, JOB, "Results that could not be computed"),
    doc("weir_sink_rows_total", COUNTER, SINK, "Rows that were handed to the sink"),
    doc("weir_sink_bytes_total", COUNTER, SINK, "Bytes that the sink wrote"),
    doc("weir_sink_errors_total", COUNTER, SINK, "Times that the sink failed"),
    doc(
        "weir_sink_retries_total",
        COUNTER,
        SINK,
        "Times that the sink tried again what the other side did not take at once",
    ),
    doc(
        "weir_sink_refused_rows_total",
        COUNTER,
        SINK,
        "Rows that the other side refuses for ever, each set aside",
    ),
    doc("weir_sink_stale_rows_total", COUNTER, SINK, "Rows that the other side had newer ones for"),
    doc(
        "weir_sink_running",
        GAUGE,
        SINK,
        "1 while the sink takes rows; 0 while it is tried again, failed or suspended",
    ),
    doc("weir_sink_waiting_rows", GAUGE, SINK, "Rows that wait for the sink"),
    doc("weir_sink_waiting_bytes", GAUGE, SINK, "What they take; `limits.outbox` bounds it"),
    doc(
        "weir_sink_behind_seconds",
        GAUGE,
        SINK,
        "How long the oldest row that waits for the sink has waited",
    ),
    doc(
        "weir_sink_past_waiting_rows",
        GAUGE,
        SINK,
        "Rows of the past that wait for the sink, which has them at a pace",
    ),
    doc(
        "weir_sink_past_waiting_bytes",
        GAUGE,
        SINK,
        "What they take on disk; `limits.outbox` does not bound it",
    ),
    doc(
        "weir_sink_missed_rows_total",
        COUNTER,
        SINK,
        "Rows that the sink did not get while it was suspended, or that waited for the sink whose name it has taken",
    ),
    doc("weir_partition_offset", GAUGE, PARTITION, "Where reading of the partition goes on"),
    doc(
        "weir_partition_lag_seconds",
        GAUGE,
        PARTITION,
        "How far the partition's newest event is behind the wall; 0 while everything in it is read",
    ),
    doc("weir_plugin_calls_total", COUNTER, PLUGIN, "Calls into the plugin for the job"),
    doc("weir_plugin_rows_total", COUNTER, PLUGIN, "Rows that the job gave to the plugin"),
    doc("weir_plugin_fuel_total", COUNTER, PLUGIN, "Fuel that calls into the plugin for the job used"),
    doc("weir_plugin_seconds_total", COUNTER, PLUGIN, "How long calls into the plugin for the job ran"),
    doc(
        "weir_plugin_memory_bytes",
        GAUGE,
        PLUGIN,
        "The most memory that one instance of the plugin held for the job",
    ),
    doc("weir_plugin_traps_total", COUNTER, PLUGIN, "Calls that trapped or went beyond a limit"),
    doc(
        "weir_plugin_breaker_open",
        GAUGE,
        PLUGIN,
        "1 while the plugin is not called for the job, many of whose rows made it misbehave",
    ),
    doc(
        LOST_LETTERS,
        COUNTER,
        &["stream"],
        "Dead letters that were lost, because they came faster than the disk took them",
    ),
    doc("process_cpu_seconds_total", COUNTER, &[], "Processor time of all threads, user and system"),
    doc("process_resident_memory_bytes", GAUGE, &[], "Memory that is resident"),
    doc("process_virtual_memory_bytes", GAUGE, &[], "Addresses that are mapped"),
    doc("process_open_fds", GAUGE, &[], "Open file descriptors"),
    doc("process_max_fds", GAUGE, &[], "File descriptors that may be open"),
    doc("process_start_time_seconds", GAUGE, &[], "When the process started, seconds since 1970"),
    doc(
        "weir_http_requests_total",
        COUNTER,
        &["route", "status"],
        "HTTP requests by route and class of status",
    ),
    doc("weir_http_request_duration_seconds", "histogram", &["route"], "Time to answer by route"),
    doc("weir_ingest_rows_total", COUNTER, &["stream", "outcome"], "Rows posted by stream and outcome"),
];

/// A series' value with its labels.
type Sample = (Vec<(&'static str, String)>, f64);

/// Reads everything off the server's parts when the page is made.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) served: Arc<Served>,
}

/// What the page is made of, looked at once.
struct Seen {
    now: EventTime,
    jobs: Vec<JobSeen>,
    plugins: Vec<PluginUsage>,
    /// By stream.
    lost_letters: BTreeMap<String, u64>,
    process: ProcessFigures,
}

struct JobSeen {
    status: JobStatus,
    /// Of a job that was started.
    state: Option<Stats>,
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let seen = Seen::of(&self.served);
        for metric in METRICS {
            let Some(samples) = seen.samples(metric.name) else { continue };
            // The encoder adds `_total` itself.
            let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            let is_counter = metric.kind == COUNTER;
            let kind = if is_counter { MetricType::Counter } else { MetricType::Gauge };
            let mut described = encoder.encode_descriptor(name, metric.help, None, kind)?;
            if metric.labels.is_empty() {
                // One sample at most, and no braces behind its name.
                if let Some((_, value)) = samples.first() {
                    encode(*value, is_counter, described)?;
                }
                continue;
            }
            for (labels, value) in samples {
                encode(value, is_counter, described.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode(value: f64, is_counter: bool, to: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match (is_counter, value.fract() == 0.0) {
        (false, _) => ConstGauge::new(value).encode(to),
        // A whole number is written as one, whatever its size.
        (true, true) => ConstCounter::new(value as u64).encode(to),
        (true, false) => ConstCounter::new(value).encode(to),
    }
}

impl Seen {
    fn of(served: &Served) -> Seen {
        let job = |status: JobStatus| {
            let job = served.engine.job(&status.job);
            let state = job.map(|job| job.stats());
            JobSeen { status, state }
        };
        Seen {
            now: served.clock.now(),
            jobs: served.engine.statuses().into_iter().map(job).collect(),
            plugins: served.plugins.usage(),
            lost_letters: served.engine.dead_letters().lost(),
            process: (served.process)(),
        }
    }

    /// All samples of a series; `None` for one that is counted elsewhere.
    fn samples(&self, name: &str) -> Option<Vec<Sample>> {
        Some(match name {
            "weir_build_info" => vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
            _ if name.starts_with("process_") => {
                self.process(name).map(|value| (Vec::new(), value)).into_iter().collect()
            }
            LOST_LETTERS => self.of_lost_letters(),
            _ if name.starts_with("weir_plugin_") => self.of_plugins(plugin_figure(name)?),
            _ if name.starts_with("weir_sink_") => self.of_sinks(sink_figure(name)?),
            _ if name.starts_with("weir_partition_") => self.of_partitions(name),
            _ => self.of_jobs(job_figure(name)?),
        })
    }

    fn process(&self, name: &str) -> Option<f64> {
        let process = &self.process;
        match name {
            "process_cpu_seconds_total" => process.cpu_seconds,
            "process_resident_memory_bytes" => process.resident_bytes.map(|bytes| bytes as f64),
            "process_virtual_memory_bytes" => process.virtual_bytes.map(|bytes| bytes as f64),
            "process_open_fds" => process.open_fds.map(|fds| fds as f64),
            "process_max_fds" => process.max_fds.map(|fds| fds as f64),
            "process_start_time_seconds" => process.start_time_seconds,
            _ => None,
        }
    }

    fn of_jobs(&self, figure: JobFigure) -> Vec<Sample> {
        let sample = |job: &JobSeen| Some((job.labels(), figure(job, self.now)?));
        self.jobs.iter().filter_map(sample).collect()
    }

    fn of_sinks(&self, figure: fn(&SinkStatus) -> u64) -> Vec<Sample> {
        let of_job = |job: &JobSeen| {
            let sample = |(name, sink): (&String, &SinkStatus)| {
                let labels = [job.labels(), vec![("sink", name.clone())]].concat();
                (labels, figure(sink) as f64)
            };
            job.status.sink_counts.iter().map(sample).collect::<Vec<_>>()
        };
        self.jobs.iter().flat_map(of_job).collect()
    }

    fn of_partitions(&self, name: &str) -> Vec<Sample> {
        let figure = |partition: &PartitionStatus| match (name, partition.newest) {
            ("weir_partition_offset", _) => Some(partition.position.next as f64),
            _ if partition.caught_up => Some(0.0),
            (_, newest) => newest.map(|newest| since(newest, self.now)),
        };
        let of_job = |job: &JobSeen| {
            let sample = |partition: &PartitionStatus| {
                let of_partition = [
                    ("partition", partition.partition.to_string()),
                    ("stream", partition.stream.clone()),
                    ("input", partition.input.to_string()),
                ];
                let labels = [job.labels(), of_partition.to_vec()].concat();
                Some((labels, figure(partition)?))
            };
            job.status.partitions.iter().filter_map(sample).collect::<Vec<_>>()
        };
        self.jobs.iter().flat_map(of_job).collect()
    }

    fn of_lost_letters(&self) -> Vec<Sample> {
        let sample = |(stream, count): (&String, &u64)| (vec![("stream", stream.clone())], *count as f64);
        self.lost_letters.iter().map(sample).collect()
    }

    fn of_plugins(&self, figure: fn(&PluginUsage) -> f64) -> Vec<Sample> {
        let sample = |plugin: &PluginUsage| {
            let version = plugin.version.to_string();
            let job = (JOB_NAME, plugin.job.clone());
            (vec![job, ("plugin", plugin.plugin.clone()), ("version", version)], figure(plugin))
        };
        self.plugins.iter().map(sample).collect()
    }
}

impl JobSeen {
    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![(JOB_NAME, self.status.job.clone())]
    }
}

/// Seconds from a time to another, 0 where that is not later.
fn since(time: EventTime, now: EventTime) -> f64 {
    now.millis().saturating_sub(time.millis()).max(0) as f64 / 1e3
}

type JobFigure = fn(&JobSeen, EventTime) -> Option<f64>;

fn job_figure(name: &str) -> Option<JobFigure> {
    Some(match name {
        "weir_job_running" => |job, _| Some(f64::from(job.status.state == JobState::Running)),
        "weir_job_failed" => |job, _| Some(f64::from(matches!(job.status.state, JobState::Failed(_)))),
        "weir_job_ready" => |job, _| {
            let is_to_run = !matches!(job.status.state, JobState::TrainingOnly(_));
            is_to_run.then(|| f64::from(job.status.ready))
        },
        "weir_job_bootstrapped" => {
            |job, _| job.status.bootstrap.as_ref().map(|bootstrap| f64::from(bootstrap.is_done()))
        }
        "weir_bootstrap_left_bytes" => |job, _| Some(job.status.bootstrap.as_ref()?.left_bytes? as f64),
        "weir_bootstrap_archive_rows_total" => {
            |job, _| job.status.bootstrap.as_ref().map(|bootstrap| bootstrap.archive.rows as f64)
        }
        "weir_bootstrap_log_rows_total" => {
            |job, _| job.status.bootstrap.as_ref().map(|bootstrap| bootstrap.of_logs().rows as f64)
        }
        "weir_bootstrap_refused_rows_total" => {
            |job, _| job.status.bootstrap.as_ref().map(|bootstrap| bootstrap.refused() as f64)
        }
        "weir_watermark_timestamp_seconds" => {
            |job, _| job.status.watermark.map(|watermark| watermark.millis() as f64 / 1e3)
        }
        "weir_lag_seconds" => |job, _| Some(job.status.lag_ms as f64 / 1e3),
        "weir_state_keys" => |job, _| job.state.as_ref().map(|state| state.keys as f64),
        "weir_state_rows" => |job, _| job.state.as_ref().map(|state| state.rows as f64),
        "weir_state_bytes" => |job, _| job.state.as_ref().map(|state| state.memory_bytes as f64),
        "weir_job_cpu_seconds_total" => |job, _| Some(job.status.cpu_seconds),
        "weir_checkpoint_age_seconds" => {
            |job, now| job.status.last_checkpoint.as_ref().map(|checkpoint| since(checkpoint.at, now))
        }
        "weir_checkpoint_duration_seconds" => {
            |job, _| job.status.last_checkpoint.as_ref().map(|checkpoint| checkpoint.took_ms as f64 / 1e3)
        }
        "weir_events_total" => |job, _| Some(job.status.counts.events as f64),
        "weir_late_events_total" => |job, _| Some(job.status.counts.late as f64),
        "weir_dropped_events_total" => |job, _| Some(job.status.counts.dropped as f64),
        "weir_duplicate_events_total" => |job, _| Some(job.status.counts.duplicates as f64),
        "weir_dead_letters_total" => |job, _| Some(job.status.counts.dead_letters as f64),
        "weir_skipped_records_total" => |job, _| Some(job.status.counts.skipped as f64),
        "weir_results_total" => |job, _| Some(job.status.counts.results as f64),
        "weir_failed_results_total" => |job, _| Some(job.status.counts.failed_results as f64),
        _ => return None,
    })
}

fn sink_figure(name: &str) -> Option<fn(&SinkStatus) -> u64> {
    Some(match name {
        "weir_sink_rows_total" => |sink| sink.rows,
        "weir_sink_bytes_total" => |sink| sink.bytes,
        "weir_sink_errors_total" => |sink| sink.errors,
        "weir_sink_retries_total" => |sink| sink.retries,
        "weir_sink_refused_rows_total" => |sink| sink.refused_rows,
        "weir_sink_stale_rows_total" => |sink| sink.stale_rows,
        "weir_sink_running" => |sink| u64::from(sink.state == SinkState::Running),
        "weir_sink_waiting_rows" => |sink| sink.waiting_rows,
        "weir_sink_waiting_bytes" => |sink| sink.waiting_bytes,
        "weir_sink_behind_seconds" => |sink| sink.behind_seconds,
        "weir_sink_past_waiting_rows" => |sink| sink.past_waiting_rows,
        "weir_sink_past_waiting_bytes" => |sink| sink.past_waiting_bytes,
        "weir_sink_missed_rows_total" => |sink| sink.missed_rows,
        _ => return None,
    })
}

fn plugin_figure(name: &str) -> Option<fn(&PluginUsage) -> f64> {
    Some(match name {
        "weir_plugin_calls_total" => |plugin| plugin.calls as f64,
        "weir_plugin_rows_total" => |plugin| plugin.rows as f64,
        "weir_plugin_fuel_total" => |plugin| plugin.fuel as f64,
        "weir_plugin_seconds_total" => |plugin| plugin.seconds,
        "weir_plugin_memory_bytes" => |plugin| plugin.memory_bytes as f64,
        "weir_plugin_traps_total" => |plugin| plugin.traps as f64,
        "weir_plugin_breaker_open" => |plugin| f64::from(u8::from(plugin.breaker == BreakerStatus::Open)),
        _ => return None,
    })
}
