//! `/metrics`: what jobs, ingest and HTTP itself count, in Prometheus' text format.
//!
//! Only what happens here is counted here; the rest is [`collected`](crate::collected) when the page is made.

use crate::Served;
use crate::app::App;
use crate::collected::{Collected, METRICS};
use crate::problem::Problem;
use crate::request::blocking;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

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
        register(&mut registry, "weir_http_requests_total", requests.clone());
        register(&mut registry, "weir_http_request_duration_seconds", latency.clone());
        register(&mut registry, "weir_ingest_rows_total", rows.clone());
        registry.register_collector(Box::new(Collected { served }));
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

/// Registers a series under what the table says of it.
fn register(registry: &mut Registry, name: &str, metric: impl Metric) {
    let help = METRICS.iter().find(|doc| doc.name == name).map_or("", |doc| doc.help);
    // The encoder adds `_total` itself.
    registry.register(name.strip_suffix("_total").unwrap_or(name), help, metric);
}

/// The page.
pub(crate) async fn page(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    // The sizes of a job's state are read when whoever works on it lets go of it.
    let page = blocking(move || app.metrics.page().unwrap_or_default()).await?;
    let mut response = Response::new(Body::from(page));
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_that_they_have() {
        let page = "# HELP weir_events Events read.\n# TYPE weir_events counter\nweir_events_total{job_name=\"a\"} 3\n\
                    # HELP weir_lag_seconds Lag.\n# TYPE weir_lag_seconds gauge\nweir_lag_seconds{job_name=\"a\"} 0.5\n";
        let wanted = page.replace("HELP weir_events ", "HELP weir_events_total ");
        assert_eq!(as_prometheus_text(page), wanted.replace("TYPE weir_events ", "TYPE weir_events_total "));
    }
}
