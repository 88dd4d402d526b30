//! `/healthz`: the server answers. `/readyz`: its answers are as good as before it was stopped.

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::request::answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_engine::{Behind, JobState, JobStatus};

/// Alive.
pub(crate) async fn healthz() -> Response {
    answer(StatusCode::OK, &json!({"status": "ok"}))
}

/// 200 when each job that runs has applied everything that was durable when it started, unless none runs.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let readiness = Readiness::of(app.served.engine.statuses());
    readiness.answer().map(|body| answer(StatusCode::OK, &body))
}

/// Who is waited for, and who is not.
#[derive(Debug, Default)]
struct Readiness {
    jobs: usize,
    waiting: Vec<Value>,
    not_running: Vec<Value>,
}

/// How far a job is, in words.
fn still_catching_up(behind: Option<Behind>) -> String {
    match behind {
        Some(Behind { records: Some(records), .. }) => {
            format!("is still catching up: {records} records are left")
        }
        Some(Behind { bytes: Some(bytes), .. }) => format!("is still catching up: {bytes} bytes are left"),
        _ => "is still catching up".to_owned(),
    }
}

impl Readiness {
    fn of(jobs: Vec<JobStatus>) -> Readiness {
        let mut readiness = Readiness { jobs: jobs.len(), ..Readiness::default() };
        for status in jobs {
            let (job, lag_ms) = (status.job, status.lag_ms);
            match status.state {
                JobState::Failed(reason) => {
                    let mut failed = json!({"job": job, "state": "failed", "detail": reason});
                    if let Some(next_try) = status.next_try {
                        failed["next_try"] = next_try.to_string().into();
                    }
                    readiness.not_running.push(failed);
                }
                JobState::Paused(reason) => {
                    readiness.not_running.push(json!({"job": job, "state": "paused", "detail": reason}));
                }
                // Nobody waits for it.
                JobState::TrainingOnly(_) => readiness.jobs -= 1,
                JobState::Stopped => readiness.not_running.push(json!({"job": job, "state": "stopped"})),
                _ if status.ready => {}
                JobState::Retrying(reason) => {
                    readiness.waiting.push(json!({"job": job, "state": "retrying", "detail": reason}));
                }
                JobState::Starting => {
                    let is_looking = status.bootstrap.is_some_and(|bootstrap| bootstrap.state == "looking");
                    let is_starting =
                        if is_looking { "looks for where its archive ends" } else { "is starting" };
                    let detail = status.restore.map_or_else(
                        || is_starting.to_owned(),
                        |restore| format!("is reading its state: {} of {} entries", restore.read, restore.of),
                    );
                    readiness.waiting.push(json!({"job": job, "state": "starting", "detail": detail}));
                }
                JobState::Running | JobState::Finished => {
                    let detail = still_catching_up(status.behind);
                    let waiting = json!({"job": job, "state": "running", "detail": detail, "lag_ms": lag_ms});
                    readiness.waiting.push(waiting);
                }
            }
        }
        readiness
    }

    fn answer(self) -> Result<Value, Problem> {
        let none_runs = self.jobs > 0 && self.not_running.len() == self.jobs;
        if self.waiting.is_empty() && !none_runs {
            return Ok(json!({"status": "ready", "not_running": self.not_running}));
        }
        let detail = if none_runs {
            "no job runs".to_owned()
        } else {
            format!("{} of {} jobs are not ready", self.waiting.len(), self.jobs)
        };
        let errors = self.waiting.into_iter().chain(self.not_running).collect();
        Err(Problem::new(Kind::Unavailable, detail).with_errors(errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use weir_engine::Counts;

    fn status(state: JobState, ready: bool) -> JobStatus {
        JobStatus {
            job: "rides".to_owned(),
            version: Some(1),
            not_taken_over: None,
            definition: None,
            state,
            warning: None,
            next_try: None,
            ready,
            watermark: None,
            as_of: None,
            data_since: None,
            lag_ms: 0,
            behind: None,
            counts: Counts::default(),
            cpu_seconds: 0.0,
            restore: None,
            bootstrap: None,
            filling: None,
            last_checkpoint: None,
            partitions: Vec::new(),
            sink_counts: BTreeMap::new(),
        }
    }

    fn errors(answer: Result<Value, Problem>) -> String {
        let problem = answer.unwrap_err();
        format!("{problem:?}")
    }

    #[test]
    fn failed_jobs_are_listed_and_not_waited_for() {
        let failed = status(JobState::Failed("topic missing".to_owned()), false);
        let ready = Readiness::of(vec![failed.clone(), status(JobState::Running, true)]).answer().unwrap();
        assert_eq!(ready["not_running"][0]["detail"], "topic missing");
        for waiting in [JobState::Starting, JobState::Running, JobState::Retrying("broker down".to_owned())] {
            let answer = Readiness::of(vec![failed.clone(), status(waiting, false)]).answer();
            assert!(
                errors(answer).contains("topic missing"),
                "failed jobs are listed beside those waited for"
            );
        }
        assert!(Readiness::of(Vec::new()).answer().is_ok(), "a server without jobs waits for nothing");
    }

    #[test]
    fn a_job_that_waits_for_a_sink_is_listed_and_not_waited_for() {
        let paused = status(JobState::Paused("sink `file` is full".to_owned()), false);
        let ready = Readiness::of(vec![paused, status(JobState::Running, true)]).answer().unwrap();
        assert_eq!(ready["not_running"][0]["state"], "paused");
    }

    #[test]
    fn a_job_for_training_only_is_nobody_s_concern() {
        let for_training = status(JobState::TrainingOnly("it looks ahead".to_owned()), false);
        let ready = Readiness::of(vec![for_training.clone(), status(JobState::Running, true)]).answer();
        assert_eq!(ready, Ok(json!({"status": "ready", "not_running": []})));
        assert!(Readiness::of(vec![for_training.clone()]).answer().is_ok());
        let failed = status(JobState::Failed("topic missing".to_owned()), true);
        assert!(errors(Readiness::of(vec![for_training, failed]).answer()).contains("no job runs"));
    }

    #[test]
    fn a_server_none_of_whose_jobs_runs_is_not_ready() {
        let failed = status(JobState::Failed("topic missing".to_owned()), true);
        let stopped = status(JobState::Stopped, true);
        let problem = errors(Readiness::of(vec![failed, stopped]).answer());
        assert!(problem.contains("no job runs") && problem.contains("topic missing"), "{problem}");
    }
}
