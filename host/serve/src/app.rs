//! What all handlers share: the server's parts, and the faces of the jobs that were asked for.
//!
//! Must not know any route.

use crate::Served;
use crate::face::Face;
use crate::metrics::Metrics;
use crate::problem::Problem;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;
use weir_engine::Job;
use weir_event::suggestion::instead_of;

/// Unit of [`App::ingest_room`], so that its permits fit 32 bits.
pub(crate) const ROOM_UNIT_BYTES: u64 = 1024;
/// Bodies of events that may be in memory at once, unless a few of the largest take more: enough to keep the
/// log's group commit busy, little beside the state.
const INGEST_ROOM_BYTES: u64 = 64 << 20;
/// However large `limits.body` is, so many of the largest bodies fit.
const INGEST_ROOM_BODIES: u64 = 4;

/// The state of the router.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) served: Arc<Served>,
    pub(crate) metrics: Metrics,
    /// Room for bodies of events, in units of [`ROOM_UNIT_BYTES`].
    pub(crate) ingest_room: Arc<Semaphore>,
    faces: RwLock<HashMap<String, Arc<Face>>>,
}

impl App {
    pub(crate) fn new(served: Arc<Served>) -> App {
        let bodies = served.limits.body_bytes.saturating_mul(INGEST_ROOM_BODIES);
        let units = INGEST_ROOM_BYTES.max(bodies).div_ceil(ROOM_UNIT_BYTES);
        App {
            metrics: Metrics::new(served.clone()),
            ingest_room: Arc::new(Semaphore::new((units as usize).min(Semaphore::MAX_PERMITS))),
            faces: RwLock::default(),
            served,
        }
    }

    /// What to answer of a job that could not be started.
    pub(crate) fn refusal(&self, name: &str) -> Option<Problem> {
        let refusal = self.served.engine.refusal(name)?;
        Some(Problem::job_failed(name, &refusal.reason, refusal.next_try, self.served.clock.now()))
    }

    /// 404 for a job.
    pub(crate) fn no_job(&self, name: &str) -> Problem {
        let jobs = self.served.engine.statuses();
        let known = instead_of(name, jobs.iter().map(|status| status.job.as_str()));
        Problem::not_found(format!("job `{name}` not found; {known}"))
    }

    /// A job and its face; 404, or 503 where it could not be started.
    pub(crate) fn job(&self, name: &str) -> Result<(Arc<Job>, Arc<Face>), Problem> {
        let job = self
            .served
            .engine
            .job(name)
            .ok_or_else(|| self.refusal(name).unwrap_or_else(|| self.no_job(name)))?;
        let known = self.faces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let face = match known {
            Some(face) if Arc::ptr_eq(&face.plan, job.plan()) => face,
            _ => {
                let face = Arc::new(Face::new(job.plan()));
                let mut faces = self.faces.write().unwrap_or_else(PoisonError::into_inner);
                faces.insert(name.to_owned(), face.clone());
                face
            }
        };
        Ok((job, face))
    }
}
