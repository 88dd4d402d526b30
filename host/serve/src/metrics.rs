//! `/metrics`: what jobs, ingest and HTTP itself count, in Prometheus' text format.
//!
//! What jobs count is asked of the engine when the page is made; only what happens here is counted here.

use crate::Served;
use crate::app::App;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use weir_engine::{Job, JobState, JobStatus};
use weir_event::EventTime;

/// Bounds of the latency histogram in seconds: lookups are to be answered below a millisecond, and a group commit
/// takes some.
const LATENCY_SECONDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The label of requests that no route takes.
const NO_ROUTE: &str = "none";

type Labels = Vec<(&'static str, String)>;

/// What is counted here, and how to ask the engine for the rest.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    latency: Family<Labels, Histogram, fn() -> Histogram>,
    rows: Family<Labels, Counter>,
    /// Counters by matched route, so that a request costs no label.
    routes: RwLock<HashMap<String, Arc<RouteMetrics>>>,
}

/// Counters of one route.
#[derive(Debug)]
struct RouteMetrics {
    /// By the hundreds of the status, from 100.
    by_class: [Counter; 5],
    latency: Histogram,
}

impl Metrics {
    pub(crate) fn new(served: Arc<Served>) -> Metrics {
        let mut registry = Registry::default();
        let requests = Family::default();
        let latency: Family<Labels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS));
        let rows = Family::default();
        registry.register(
            "weir_http_requests",
            "HTTP requests by route and class of status",
            requests.clone(),
        );
        registry.register("weir_http_request_duration_seconds", "Time to answer by route", latency.clone());
        registry.register("weir_ingest_rows", "Rows posted by stream and outcome", rows.clone());
        registry.register_collector(Box::new(Jobs { served }));
        Metrics { registry, requests, latency, rows, routes: RwLock::default() }
    }

    /// Counts one answer.
    pub(crate) fn count_request(&self, route: Option<&str>, status: u16, took: Duration) {
        let route = self.route(route.unwrap_or(NO_ROUTE));
        route.by_class[usize::from(status / 100).clamp(1, 5) - 1].inc();
        route.latency.observe(took.as_secs_f64());
    }

    /// Counts rows that were posted to a stream.
    pub(crate) fn count_rows(&self, stream: &str, accepted: usize, rejected: usize) {
        for (outcome, count) in [("accepted", accepted), ("rejected", rejected)] {
            let labels = vec![("stream", stream.to_owned()), ("outcome", outcome.to_owned())];
            self.rows.get_or_create(&labels).inc_by(count as u64);
        }
    }

    fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let label = || ("route", name.to_owned());
            let by_class = std::array::from_fn(|class| {
                self.requests.get_or_create_owned(&vec![label(), ("status", format!("{}xx", class + 1))])
            });
            let latency = self.latency.get_or_create_owned(&vec![label()]);
            let made = Arc::new(RouteMetrics { by_class, latency });
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.entry(name.to_owned()).or_insert(made).clone()
        })
    }

    fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        encode_registry(&mut page, &self.registry)?;
        Ok(as_prometheus_text(&page))
    }
}

/// The page.
pub(crate) async fn page(State(app): State<Arc<App>>) -> Response {
    let page = app.metrics.page().unwrap_or_default();
    let mut response = Response::new(Body::from(page));
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// OpenMetrics describes a counter without its `_total`, Prometheus' own text format with it.
fn as_prometheus_text(page: &str) -> String {
    let counter = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: BTreeSet<String> = page.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(page.len() + 16 * counters.len());
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

/// Asks every job for its counters when the page is made.
#[derive(Debug)]
struct Jobs {
    served: Arc<Served>,
}

/// A job, looked at once for the whole page.
struct Seen {
    status: JobStatus,
    keys: u64,
    bytes: u64,
}

type Column<T> = (&'static str, &'static str, fn(&Seen) -> T);

const COUNTERS: [Column<u64>; 8] = [
    ("weir_events", "Events read", |job| job.status.counts.events),
    ("weir_late_events", "Events that came after a result they belong to was final", |job| {
        job.status.counts.late
    }),
    ("weir_dropped_events", "Late events that no longer counted", |job| job.status.counts.dropped),
    ("weir_duplicate_events", "Events whose id was seen before", |job| job.status.counts.duplicates),
    ("weir_dead_letters", "Events set aside", |job| job.status.counts.dead_letters),
    ("weir_skipped_records", "Records passed over without fault", |job| job.status.counts.skipped),
    ("weir_results", "Result rows handed to the sinks", |job| job.status.counts.results),
    ("weir_failed_results", "Results that could not be computed", |job| job.status.counts.failed_results),
];

type Reading = (&'static str, &'static str, fn(&Seen, EventTime) -> Option<f64>);

const GAUGES: [Reading; 7] = [
    ("weir_job_running", "1 while the job runs", |job, _| {
        Some(if job.status.state == JobState::Running { 1.0 } else { 0.0 })
    }),
    ("weir_watermark_timestamp_seconds", "The job's watermark", |job, _| job.status.watermark.map(seconds)),
    ("weir_lag_seconds", "How far the newest event is behind the wall; 0 when all was read", |job, _| {
        Some(job.status.lag_ms as f64 / 1e3)
    }),
    ("weir_state_keys", "Keys with state", |job, _| Some(job.keys as f64)),
    ("weir_state_bytes", "Memory that the state takes, roughly", |job, _| Some(job.bytes as f64)),
    ("weir_checkpoint_age_seconds", "Time since the newest safe checkpoint", |job, now| {
        let checkpoint = job.status.last_checkpoint.as_ref();
        checkpoint.map(|checkpoint| now.since(checkpoint.at).millis().max(0) as f64 / 1e3)
    }),
    (
        "weir_checkpoint_duration_seconds",
        "From the barrier of the newest checkpoint to its safety",
        |job, _| job.status.last_checkpoint.as_ref().map(|checkpoint| checkpoint.took_ms as f64 / 1e3),
    ),
];

fn seconds(time: EventTime) -> f64 {
    time.millis() as f64 / 1e3
}

impl Collector for Jobs {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.served.clock.now();
        let seen: Vec<Seen> = self.served.engine.jobs().iter().map(|job| Seen::of(job)).collect();
        for (name, help, read) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for job in &seen {
                let counter = ConstCounter::new(read(job));
                counter.encode(metric.encode_family(&job.labels())?)?;
            }
        }
        for (name, help, read) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for job in &seen {
                if let Some(value) = read(job, now) {
                    ConstGauge::new(value).encode(metric.encode_family(&job.labels())?)?;
                }
            }
        }
        Ok(())
    }
}

impl Seen {
    fn of(job: &Job) -> Seen {
        let stats = job.stats();
        Seen { status: job.status(), keys: stats.keys, bytes: stats.memory_bytes }
    }

    fn labels(&self) -> [(&'static str, String); 1] {
        [("job", self.status.job.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_that_they_have() {
        let page = "# HELP weir_events Events read.\n# TYPE weir_events counter\nweir_events_total{job=\"a\"} 3\n\
                    # HELP weir_lag_seconds Lag.\n# TYPE weir_lag_seconds gauge\nweir_lag_seconds{job=\"a\"} 0.5\n";
        let wanted = page.replace("HELP weir_events ", "HELP weir_events_total ");
        assert_eq!(as_prometheus_text(page), wanted.replace("TYPE weir_events ", "TYPE weir_events_total "));
    }
}
