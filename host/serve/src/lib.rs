//! HTTP: lookups, ingest and the control plane, over the engine.
//!
//! [`routes`] is the table of contents; each route's handler is named in it. Every request passes [`gate`] (the token,
//! the counters), every error is a [`problem`].
//!
//! Knows: HTTP, what is asked and how answers look. Must not know: SQL, the timelines' inside, how state is stored,
//! wasmtime; it lets the engine, the ingest logs and the plugin registry do the work.

mod accept;
mod app;
mod asked_jobs;
mod asks;
mod auth;
mod batch;
mod collected;
mod control;
mod dead_letters;
mod deadline;
mod derived;
mod entity;
mod face;
mod features;
mod foreign;
mod gate;
mod health;
mod ingest;
mod jobs;
mod keys;
mod lookup;
mod lookups;
mod lost;
mod metrics;
mod not_yet;
mod one_job;
mod places;
mod plugins;
mod pool;
mod problem;
mod query;
mod request;
mod request_fields;
mod room;
mod routes;
mod scalar;
mod server;
mod spool;
mod status;
mod streams;
#[cfg(test)]
mod tests;
mod train;
mod training;
mod value;
mod versions;

pub use auth::check_listen;
pub use collected::{METRICS, MetricDoc, ProcessFigures};
pub use control::{Control, ControlError, PluginEffect, Restart};
pub use routes::{Parameter, RouteDoc, route_docs};
pub use status::{StatusDoc, status_docs};
pub use streams::Streams;
pub use training::{
    FeaturesRefused, TableFormat, Training, TrainingOrder, TrainingPlace, TrainingProgress, TrainingRefused,
    TrainingRule, TrainingState, TrainingStatus,
};
pub use versions::{OlderVersion, older_versions};

use app::App;
use axum::Router;
use axum::middleware::from_fn_with_state;
use std::sync::Arc;
use std::{fmt, io};
use tokio::net::TcpListener;
use weir_connect::Decoder;
use weir_connectors::http::IngestLog;
use weir_engine::Engine;
use weir_event::Clock;
use weir_plan::StreamDefinition;
use weir_plan::definition::Limits;
use weir_plugin::PluginRegistry;

/// What a server serves. Made by whoever wires weir together.
pub struct Served {
    /// The running jobs.
    pub engine: Arc<Engine>,
    /// The declared streams.
    pub streams: Arc<Streams>,
    /// Starts and stops jobs.
    pub control: Arc<dyn Control>,
    /// Makes training sets.
    pub training: Arc<dyn Training>,
    /// The plugins of the data folder.
    pub plugins: Arc<PluginRegistry>,
    /// What every request but those for health must carry; `None` or empty lets everybody in.
    pub token: Option<String>,
    /// Bounds on requests.
    pub limits: Limits,
    /// The largest component that is read, in bytes.
    pub component_bytes: u64,
    /// Where time is taken from.
    pub clock: Arc<dyn Clock>,
    /// What the system says of this process.
    pub process: fn() -> ProcessFigures,
}

impl fmt::Debug for Served {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// A declared stream, as HTTP sees it.
#[derive(Debug)]
pub struct StreamEntry {
    /// Its definition.
    pub definition: Arc<StreamDefinition>,
    /// Its ingest log; `None` for a stream whose source is not `http`.
    pub log: Option<Arc<IngestLog>>,
    /// Checks posted rows: a decoder of all the stream's columns, in the order of its schema.
    pub checker: Arc<dyn Decoder>,
}

/// Serves HTTP on `listener` until `shutdown` completes; requests that are being answered then may finish.
///
/// # Errors
/// The listener is no longer one. A connection that fails ends alone, and an `accept` that may succeed later is
/// tried again.
pub async fn serve(
    listener: TcpListener,
    served: Arc<Served>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let clock = served.clock.clone();
    server::run(listener, routes(served), clock, shutdown).await
}

fn routes(served: Arc<Served>) -> Router {
    let app = Arc::new(App::new(served));
    not_yet::add(routes::router())
        .fallback(gate::no_route)
        .method_not_allowed_fallback(gate::wrong_method)
        .layer(from_fn_with_state(app.clone(), gate::pass))
        .with_state(app)
}
