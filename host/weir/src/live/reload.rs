//! All definitions read again while the server runs.

use super::{Beside, Known, Live, check_state, definitions_of, in_words};
use crate::definitions::reason;
use crate::wiring::spec;
use weir_plan::Checked;
use weir_project::Planned;

impl Live {
    /// Reads all definitions again: what changed is planned anew, what is new starts, what is gone stops.
    pub(crate) async fn reload(&self) {
        let live = self.clone();
        let done = self.0.threads.spawn(async move { live.reload_here().await }).await;
        if let Err(panic) = done {
            tracing::error!(%panic, "reading the definitions again panicked: this is a fault of weir's own");
        }
    }

    /// As [`Live::reload`], on the engine's threads.
    async fn reload_here(&self) {
        let mut known = self.0.turn.lock().await;
        let (definitions, planned) = match self.read(Vec::new()).await {
            Ok(read) => read,
            Err(failure) => return tracing::error!("definitions are not read again: {failure}"),
        };
        let checked = &definitions.checked;
        self.serve_new_streams(checked);
        let now = definitions_of(checked);
        for refused in &planned.refused {
            let runs = if self.runs(&refused.name) { "; what runs goes on" } else { "" };
            if refused.for_training && runs.is_empty() {
                tracing::info!(job = refused.name, "does not run: {}", reason(refused));
            } else {
                tracing::error!(job = refused.name, "not reloaded: {}{runs}", reason(refused));
            }
            if runs.is_empty() {
                known.learn(&refused.name, &definitions);
                self.refuse(&mut known, refused);
            }
        }
        self.stop_what_is_gone(&mut known, &planned).await;
        // A job that its state keeps from its new definition goes on by the earlier one.
        let head = match self.head().await {
            Ok(head) => head,
            Err(failure) => return tracing::error!("definitions are not read again: {failure}"),
        };
        let fitting = planned.jobs.iter().filter(|plan| check_state(plan, head.as_ref()).is_ok());
        let together: Vec<&str> = fitting.map(|plan| plan.name.as_str()).collect();
        let beside = Beside { together: &together, anew: &planned.jobs, ..Beside::default() };
        for plan in &planned.jobs {
            let is_same = known.definitions.get(&plan.name) == now.get(&plan.name);
            if is_same && self.runs(&plan.name) {
                continue;
            }
            match self.put_anew(&mut known, &definitions, plan, false, beside).await {
                Ok(()) if known.filling.contains_key(&plan.name) => {}
                Ok(()) => tracing::info!(job = plan.name, "runs by its new definition"),
                Err(error) => tracing::error!(job = plan.name, "not reloaded: {}", in_words(&error)),
            }
        }
        tracing::info!("definitions were read again; weir.yaml counts from the next start of the server");
    }

    /// Streams that nobody reads yet take rows all the same.
    fn serve_new_streams(&self, checked: &Checked) {
        for stream in checked.streams.iter().filter(|stream| self.0.streams.get(&stream.name).is_none()) {
            match spec::entry(&self.0.opened, stream, &self.0.running.logs) {
                Ok(entry) => self.0.streams.put(entry),
                Err(failure) => tracing::error!(stream = stream.name, "not served: {failure}"),
            }
        }
    }

    async fn stop_what_is_gone(&self, known: &mut Known, planned: &Planned) {
        for status in self.0.running.engine.statuses() {
            let name = &status.job;
            let is_there = planned.jobs.iter().any(|plan| plan.name == *name)
                || planned.refused.iter().any(|job| job.name == *name);
            if !is_there {
                self.give_up_filling(known, name).await;
                self.0.running.engine.remove(name).await;
                self.0.running.logs.release(name);
                known.definitions.remove(name);
                known.waiting.remove(name);
                tracing::info!(job = name, "its definition is gone, so it was stopped; its state stays");
            }
        }
    }
}
