//! Hooks: addresses of `weir.yaml` that are told of what has happened to jobs, each by a POST of JSON.
//!
//! Told is what happens while the server runs; a hook that does not take it is tried a few times and then left, with a line
//! in the log. Nothing waits for one.

use super::Live;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use weir_engine::BootstrapStatus;
use weir_event::Ticks;

/// Jobs are looked at so often.
const EVERY: Duration = Duration::from_secs(1);
/// A hook takes what it is told within so long, or has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is left alone before each further try.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

impl Live {
    /// Tells of every job that gets the past of its streams while this is polled.
    pub(crate) async fn tell_bootstrapped(self) {
        let Some(url) = self.0.opened.server.hooks.bootstrapped.clone() else { return };
        let client = match reqwest::Client::builder().timeout(PATIENCE).user_agent("weir").build() {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "`hooks.bootstrapped` cannot be told of anything"),
        };
        let mut ticks = Ticks::every(&self.0.opened.clock, EVERY);
        let mut told: BTreeSet<String> = BTreeSet::new();
        loop {
            for job in self.0.running.engine.jobs() {
                let status = job.status();
                let Some(bootstrap) = status.bootstrap else { continue };
                if !bootstrap.is_done() {
                    told.remove(&status.job);
                } else if bootstrap.is_new && told.insert(status.job.clone()) {
                    tokio::spawn(self.clone().tell(client.clone(), url.clone(), status.job, bootstrap));
                }
            }
            ticks.tick().await;
        }
    }

    async fn tell(self, client: reqwest::Client, url: String, job: String, bootstrap: BootstrapStatus) {
        let body = json!({"event": "bootstrapped", "job": job, "bootstrap": bootstrap}).to_string();
        let clock = &self.0.opened.clock;
        let mut pauses = PAUSES.into_iter();
        loop {
            let request = client.post(&url).header("content-type", "application/json").body(body.clone());
            let outcome = request.send().await.and_then(reqwest::Response::error_for_status);
            // The address may hold a secret.
            let Err(error) = outcome.map_err(reqwest::Error::without_url) else { return };
            let Some(pause) = pauses.next() else {
                return tracing::warn!(job, %error, "`hooks.bootstrapped` was not told of the job: it did not take it");
            };
            clock.sleep(pause).await;
        }
    }
}
