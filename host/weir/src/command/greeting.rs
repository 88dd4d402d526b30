//! What `weir serve` says at its start: which project and jobs, how far they have read, and what to try next.

use super::check::count;
use crate::live::Live;
use crate::progress;
use std::net::SocketAddr;
use std::time::Duration;
use weir_engine::{Job, JobState, JobStatus};
use weir_plan::JobPlan;

/// How often it looks whether all jobs are ready.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Says what was started.
pub(super) fn say(live: &Live, address: SocketAddr) {
    let opened = live.opened();
    let statuses = live.running().engine.statuses();
    let failed = statuses.iter().filter(|status| matches!(status.state, JobState::Failed(_))).count();
    let cannot_run = if failed == 0 { String::new() } else { format!(", of which {failed} cannot run") };
    let (streams, jobs) = (count(opened.checked.streams.len(), "stream"), count(statuses.len(), "job"));
    tracing::info!("project {}: {streams}, {jobs}{cannot_run}", opened.folder.display());
    for job in live.running().engine.jobs() {
        tracing::info!(job = job.plan().name, "{}", beginning(job.plan(), &job.status()));
    }
    tracing::info!("listening on http://{address}");
    let example = live.running().engine.jobs().first().and_then(|job| lookup(job.plan()));
    let server = if address.port() == 8080 { String::new() } else { format!(" --server http://{address}") };
    let lookup = example.map_or_else(String::new, |lookup| format!(", or `{lookup}{server}`"));
    tracing::info!("next, in another shell: `weir status{server}`{lookup}");
}

/// Where a job begins.
fn beginning(plan: &JobPlan, status: &JobStatus) -> String {
    match status.counts.events {
        0 if plan.has_archives() => "begins with the archive of its stream".to_owned(),
        0 => "begins at its source's start".to_owned(),
        events => format!("goes on after {events} events"),
    }
}

/// A lookup to be tried, of a job that has an entity.
fn lookup(plan: &JobPlan) -> Option<String> {
    let stage = plan.stage.as_ref().filter(|stage| !stage.key_names.is_empty())?;
    let keys = stage.key_names.iter().map(|name| format!("{name}=.."));
    Some(format!("weir lookup {} {}", plan.name, keys.collect::<Vec<_>>().join(" ")))
}

/// Shows how far jobs are until every one that runs has read all that was there at its start, and says that.
pub(super) async fn say_when_ready(live: Live) {
    let engine = live.running().engine.clone();
    let is_waited_for = |job: &Job| !job.is_ready() && !matches!(job.status().state, JobState::Failed(_));
    let ready = async {
        let mut waited = false;
        while engine.jobs().iter().any(|job| is_waited_for(job)) {
            waited = true;
            live.opened().clock.sleep(LOOK_EVERY).await;
        }
        waited
    };
    let waited = tokio::select! {
        waited = ready => waited,
        () = progress::show(engine.jobs(), live.opened().clock.clone()) => true,
    };
    progress::clear();
    if waited {
        tracing::info!("ready: every job that runs has read what was there at its start");
    }
}
