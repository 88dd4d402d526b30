//! What all handlers share: the server's parts, and the faces of the jobs that were asked for.
//!
//! Must not know any route.

use crate::Served;
use crate::face::Face;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::problem::Problem;
use crate::room::Room;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;
use weir_engine::Job;
use weir_event::suggestion::{instead_of, shown};

/// Uploads of plugins at once, each with its component in memory.
const UPLOADS: usize = 8;

/// The state of the router.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) served: Arc<Served>,
    pub(crate) metrics: Metrics,
    /// For bodies and answers.
    pub(crate) room: Room,
    /// For lookups that take long.
    pub(crate) pool: Pool,
    /// Places for uploads, of which one is admitted at a time.
    pub(crate) uploads: Semaphore,
    pub(crate) admitting: Semaphore,
    faces: RwLock<HashMap<String, Arc<Face>>>,
}

impl App {
    pub(crate) fn new(served: Arc<Served>) -> App {
        let largest_bytes = served.limits.body_bytes.max(served.component_bytes);
        App {
            metrics: Metrics::new(served.clone()),
            room: Room::for_bodies_of(largest_bytes),
            pool: Pool::new(served.clock.clone()),
            uploads: Semaphore::new(UPLOADS),
            admitting: Semaphore::new(1),
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
        Problem::not_found(format!("job `{}` not found; {known}", shown(name)))
    }

    /// A job and its face; 404, or 503 where it could not be started.
    pub(crate) fn job(&self, name: &str) -> Result<(Arc<Job>, Arc<Face>), Problem> {
        let job = self
            .served
            .engine
            .serving(name)
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
