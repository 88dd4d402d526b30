//! Tries what every source and sink of a project talks to, without any effect there.
//!
//! Knows connectors by their traits. Must not run a job.

use crate::failure::Failure;
use crate::kinds::{RegisteredKinds, named_by_job};
use crate::runtime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weir_connect::{ConnectError, Probe};
use weir_event::{Clock, Fault, within};
use weir_plan::{Checked, JobPlan};

/// So long one may take to answer: whoever waits for a person's terminal has said what is wrong by then.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of one source or sink.
#[derive(Debug)]
pub(crate) struct Tried {
    /// Which: `stream rides: kafka`.
    pub(crate) connector: String,
    pub(crate) outcome: Result<Probe, ConnectError>,
}

impl Tried {
    /// In a line.
    pub(crate) fn line(&self) -> String {
        let connector = &self.connector;
        match &self.outcome {
            Ok(Probe::Ready(found)) => format!("{connector}: ready, {found}"),
            Ok(Probe::NotTried(reason)) => format!("{connector}: not tried, {reason}"),
            Err(error) => format!("{connector}: {error}"),
        }
    }

    /// As JSON.
    pub(crate) fn as_json(&self) -> Value {
        let (state, reason) = match &self.outcome {
            Ok(Probe::Ready(found)) => ("ready", found.clone()),
            Ok(Probe::NotTried(reason)) => ("not_tried", (*reason).to_owned()),
            Err(error) => ("failed", error.to_string()),
        };
        json!({"connector": self.connector, "state": state, "reason": reason})
    }

    /// Why it could not start, if so: another system's fault unless it is the definition's.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let error = self.outcome.as_ref().err()?;
        let line = self.line();
        Some(if error.fault == Fault::User { Failure::user(line) } else { Failure::external(line) })
    }
}

/// Tries all of them, at the same time.
pub(crate) fn try_all(
    checked: &Checked,
    plans: &[JobPlan],
    kinds: &Arc<RegisteredKinds>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Tried>, Failure> {
    let threads = runtime::engine(1)?;
    let mut asked = JoinSet::new();
    let mut connectors = Vec::new();
    for stream in &checked.streams {
        if let Some(archive) = stream.archive.clone() {
            connectors.push(format!("archive of stream {}: {}", stream.name, archive.origin.kind));
            let (kinds, name) = (kinds.clone(), stream.name.clone());
            let probe = async move { kinds.probe_archive(&name, &archive).await };
            asked.spawn_on(tried(connectors.len() - 1, clock.clone(), probe), threads.handle());
        }
        let Some(origin) = stream.origin.clone() else { continue };
        connectors.push(format!("stream {}: {}", stream.name, origin.kind));
        let (kinds, stream) = (kinds.clone(), stream.clone());
        let probe = async move { kinds.probe_source(&stream, &origin).await };
        asked.spawn_on(tried(connectors.len() - 1, clock.clone(), probe), threads.handle());
    }
    for plan in plans {
        for input in named_by_job(plan) {
            connectors.push(format!("job {}: {}", plan.name, input.origin.kind));
            let (kinds, input) = (kinds.clone(), input.clone());
            let probe = async move { kinds.probe_source(&input.stream, &input.origin).await };
            asked.spawn_on(tried(connectors.len() - 1, clock.clone(), probe), threads.handle());
        }
        for sink in &plan.sinks {
            connectors.push(format!("job {}: {}", plan.name, sink.name));
            let (kinds, plan, sink) = (kinds.clone(), plan.clone(), sink.clone());
            let probe = async move { kinds.sink(&plan, &sink)?.probe().await };
            asked.spawn_on(tried(connectors.len() - 1, clock.clone(), probe), threads.handle());
        }
    }
    let mut answers = threads.block_on(asked.join_all());
    answers.sort_unstable_by_key(|(at, _)| *at);
    let answers = answers.into_iter().map(|(_, outcome)| outcome);
    Ok(connectors.into_iter().zip(answers).map(|(connector, outcome)| Tried { connector, outcome }).collect())
}

async fn tried(
    at: usize,
    clock: Arc<dyn Clock>,
    probe: impl Future<Output = Result<Probe, ConnectError>>,
) -> (usize, Result<Probe, ConnectError>) {
    let silent = || ConnectError::unavailable(format!("it has not answered for {PATIENCE:?}"));
    (at, within(&*clock, PATIENCE, probe).await.unwrap_or_else(|| Err(silent())))
}
