//! `/healthz`: the server answers. `/readyz`: its answers are as good as before it was stopped.

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::request::answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_engine::{JobState, JobStatus};

/// Alive.
pub(crate) async fn healthz() -> Response {
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

/// 200 when each job that runs has applied everything that was durable when it started.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let jobs = app.served.engine.jobs();
    let readiness = Readiness::of(jobs.iter().map(|job| job.status()));
    readiness.answer().map(|body| answer(StatusCode::OK, &body))
}

/// Who is waited for, and who is not.
#[derive(Debug, Default)]
struct Readiness {
    waiting: Vec<Value>,
    not_running: Vec<Value>,
}

impl Readiness {
    fn of(jobs: impl Iterator<Item = JobStatus>) -> Readiness {
        let mut readiness = Readiness::default();
        for status in jobs {
            let job = status.job;
            match status.state {
                JobState::Failed(reason) => {
                    readiness.not_running.push(json!({"job": job, "state": "failed", "reason": reason}));
                }
                JobState::Stopped => readiness.not_running.push(json!({"job": job, "state": "stopped"})),
                _ if status.ready => {}
                JobState::Retrying(reason) => readiness.waiting.push(json!({"job": job, "detail": reason})),
                JobState::Starting => {
                    readiness.waiting.push(json!({"job": job, "detail": "reads its state"}));
                }
                JobState::Running | JobState::Finished => {
                    let detail = "has not yet applied everything that was durable at its start";
                    readiness.waiting.push(json!({"job": job, "detail": detail, "lag_ms": status.lag_ms}));
                }
            }
        }
        readiness
    }

    fn answer(self) -> Result<Value, Problem> {
        if self.waiting.is_empty() {
            return Ok(json!({"status": "ready", "not_running": self.not_running}));
        }
        let detail = format!("{} jobs are not ready", self.waiting.len());
        Err(Problem::new(Kind::Unavailable, detail).with_errors(self.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_engine::Counts;

    fn status(state: JobState, ready: bool) -> JobStatus {
        JobStatus {
            job: "rides".to_owned(),
            version: 1,
            definition: String::new(),
            state,
            warning: None,
            ready,
            watermark: None,
            as_of: None,
            data_since: None,
            lag_ms: 0,
            behind: None,
            counts: Counts::default(),
            last_checkpoint: None,
            partitions: Vec::new(),
        }
    }

    #[test]
    fn failed_jobs_are_listed_and_not_waited_for() {
        let failed = status(JobState::Failed("topic missing".to_owned()), false);
        let ready =
            Readiness::of([failed.clone(), status(JobState::Running, true)].into_iter()).answer().unwrap();
        assert_eq!(ready["not_running"][0]["reason"], "topic missing");
        for waiting in [JobState::Starting, JobState::Running, JobState::Retrying("broker down".to_owned())] {
            assert!(Readiness::of([failed.clone(), status(waiting, false)].into_iter()).answer().is_err());
        }
        assert!(Readiness::of([].into_iter()).answer().is_ok());
    }
}
