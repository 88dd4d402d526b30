//! Sinks that are taken out of a job while rows wait for them: whoever mends a sink's place in its definition would lose
//! what the mended one was to get.
//!
//! Knows what waits for which sink. Must not know how it is kept.

use super::Live;
use crate::kinds::RegisteredKinds;
use weir_engine::{LeftRows, SinkState, left_rows};
use weir_plan::JobPlan;
use weir_store::Commit;

impl Live {
    /// What speaks against letting this plan run: rows wait for a sink that it does not have, which is in trouble. One
    /// that works is given what waits for it before the job stops.
    pub(super) fn check_sinks(&self, plan: &JobPlan, head: Option<&Commit>) -> Result<(), String> {
        let opened = &self.0.opened;
        let Some(head) = head else { return Ok(()) };
        let kinds = RegisteredKinds::new(&opened.folder, opened.clock.clone());
        let left = left_rows(plan, head, &kinds.sink_identities(plan)).map_err(|error| error.reason())?;
        let told: Vec<String> = left.into_iter().filter_map(|rows| self.stuck(plan, rows)).collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }

    /// The rows as they are now, in words, unless their sink takes them.
    fn stuck(&self, plan: &JobPlan, left: LeftRows) -> Option<String> {
        let status = self.0.running.engine.job(&plan.name).map(|job| job.status());
        match status.as_ref().and_then(|status| status.sink_counts.get(&left.name)) {
            Some(sink) if sink.state == SinkState::Running && self.runs(&plan.name) => None,
            Some(sink) => Some(LeftRows { rows: sink.waiting_rows, ..left }.to_string()),
            None => Some(left.to_string()),
        }
    }
}
