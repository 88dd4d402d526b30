//! Features that lack some of the past: what runs goes on while they are made beside it, from the archives of their streams,
//! and is changed to when they have everything.
//!
//! Knows when that is begun, given up and over. Must not know how a state is made or changed.

use super::{Filling, Known, Live};
use crate::failure::Failure;
use crate::wiring::{self, spec};
use std::time::Duration;
use weir_engine::{Comparison, Holdings, Mode, filling_name, fills, lacks_past};
use weir_event::Ticks;
use weir_plan::JobPlan;
use weir_store::Commit;

/// What is made is looked at so often.
const EVERY: Duration = Duration::from_millis(500);
/// A job reads its log within milliseconds, and one that cannot be waited for has written nothing meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

impl Live {
    /// Of jobs that have just been started: what they run by is kept; and what they lack is begun to be made, or goes on to be.
    pub(super) async fn begin(self) {
        let mut known = self.0.turn.lock().await;
        let by_their_own = |plan: &&JobPlan| !self.0.opened.awaited.contains_key(&plan.name);
        for plan in self.0.opened.plans.iter().filter(by_their_own).filter(|plan| self.runs(&plan.name)) {
            self.keep_definition(&known, &plan.name).await;
        }
        let head = match self.head().await {
            Ok(head) => head,
            Err(failure) => return tracing::error!("what features lack of the past is not made: {failure}"),
        };
        for plan in &self.0.opened.plans {
            let awaited = self.0.opened.awaited.get(&plan.name);
            let plan = awaited.unwrap_or(plan);
            if self.0.lacking.contains(&plan.name) {
                // What was begun by another definition yet has not all that this one lacks.
                if !fills(plan, head.as_ref()) {
                    self.give_up_filling(&mut known, &plan.name).await;
                }
                self.fill(&mut known, plan, head.as_ref());
            } else if head.as_ref().is_some_and(|head| head.jobs.contains_key(&filling_name(&plan.name))) {
                self.give_up_filling(&mut known, &plan.name).await;
            }
        }
    }

    /// What a job runs by is what it goes on by where another definition lacks some of the past.
    pub(super) async fn keep_definition(&self, known: &Known, name: &str) {
        let Some(texts) = known.texts.get(name).cloned() else { return };
        let (kept, job) = (self.0.opened.kept.clone(), name.to_owned());
        let done = tokio::task::spawn_blocking(move || kept.keep(&job, &texts)).await;
        // A job runs without it all the same.
        match done {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::warn!(job = name, "what it runs by is not kept: {failure}"),
            Err(panic) => tracing::error!(job = name, %panic, "keeping what it runs by panicked"),
        }
    }

    /// Whether a plan that takes the place of what runs has to wait for what it lacks: that is made from here on.
    pub(super) async fn waits_to_be_filled(
        &self,
        known: &mut Known,
        plan: &JobPlan,
        head: Option<&Commit>,
    ) -> Result<bool, Failure> {
        let lacks = self.runs(&plan.name) && lacks_past(plan, head);
        let is_same = known.filling.get(&plan.name).is_some_and(|other| other.plan.serves_as(plan));
        if lacks && is_same && self.0.running.engine.filling(&plan.name).is_some() {
            return Ok(true);
        }
        self.give_up_filling(known, &plan.name).await;
        if lacks {
            self.fill(known, plan, head);
        }
        Ok(lacks)
    }

    pub(super) fn fill(&self, known: &mut Known, plan: &JobPlan, head: Option<&Commit>) {
        let had = Holdings::of(plan, head);
        let (opened, running) = (&self.0.opened, &self.0.running);
        wiring::claim(head, &running.logs, &filling_name(&plan.name), None);
        let begun = spec::job_spec(opened, running, plan, Mode::Live)
            .and_then(|spec| running.engine.fill(spec).map_err(|error| Failure::from(&error)));
        match begun {
            Ok(()) => {
                self.keep_upgrade(&plan.name, plan.leaves_older_states.then(|| plan.definition.clone()));
                known.filling.insert(plan.name.clone(), Filling { plan: plan.clone(), had });
                tracing::info!(
                    job = plan.name,
                    definition = plan.definition,
                    "features lack some of the past: they are made beside the job, and lookups change to them when they have it"
                );
            }
            Err(failure) => {
                tracing::error!(job = plan.name, "what features lack of the past is not made: {failure}");
            }
        }
    }

    /// That somebody has asked for newer versions of plugins is kept until a job has them.
    fn keep_upgrade(&self, name: &str, upgrading: Option<String>) {
        if let Err(failure) = self.0.opened.kept.keep_upgrade(name, upgrading) {
            tracing::warn!(job = name, "that it changes to newer versions of plugins is not kept: {failure}");
        }
    }

    /// What is made beside a job is not wanted any more.
    pub(super) async fn give_up_filling(&self, known: &mut Known, name: &str) {
        known.filling.remove(name);
        self.keep_upgrade(name, None);
        let running = &self.0.running;
        if let Err(error) = running.engine.drop_filling(name).await {
            tracing::warn!(job = name, %error, "what was made beside the job is not dropped");
        }
        running.logs.release(&filling_name(name));
    }

    /// Changes to what has everything, again and again.
    pub(super) async fn change_when_filled(self) {
        let mut ticks = Ticks::from_now(&self.0.opened.clock, EVERY);
        loop {
            ticks.tick().await;
            let mut known = self.0.turn.lock().await;
            if known.closed {
                return;
            }
            let is_filled = |name: &&String| {
                let filling = self.0.running.engine.filling(name);
                filling.is_some_and(|job| {
                    let is_done = job.status().bootstrap.is_some_and(|bootstrap| bootstrap.is_done());
                    is_done && !job.is_catching_up()
                })
            };
            let filled: Vec<String> = known.filling.keys().filter(is_filled).cloned().collect();
            for name in filled {
                if let Err(failure) = self.end_filling(&mut known, &name).await {
                    tracing::error!(
                        job = name,
                        "lookups do not change to what was made beside it: {failure}"
                    );
                }
            }
        }
    }

    /// What was made beside a job goes on in its place, unless it knows less than the job.
    async fn end_filling(&self, known: &mut Known, name: &str) -> Result<(), Failure> {
        let Some(Filling { plan, had }) = known.filling.get(name).cloned() else { return Ok(()) };
        let compared = had.map(|had| {
            let (engine, name) = (self.0.running.engine.clone(), name.to_owned());
            tokio::task::spawn_blocking(move || engine.compare(&name, &had))
        });
        let compared = match compared {
            Some(compared) => compared
                .await
                .map_err(|panic| Failure::weir(format!("comparing two states panicked: {panic}")))?
                .map_err(|error| Failure::from(&error))?,
            None => Comparison::Whole,
        };
        match compared {
            Comparison::NotYet => Ok(()),
            Comparison::Whole => {
                known.filling.remove(name);
                self.change_to(known, &plan).await
            }
            Comparison::Exceeds(reason) => {
                tracing::warn!(job = name, "{reason}");
                known.filling.remove(name);
                self.change_to(known, &plan).await
            }
            Comparison::Lacks(reason) => {
                known.filling.remove(name);
                self.decline(known, &plan, reason).await
            }
        }
    }

    /// What was made beside a job is dropped; the job goes on with what it has, by its new definition.
    async fn decline(&self, known: &mut Known, plan: &JobPlan, reason: String) -> Result<(), Failure> {
        let (opened, running, name) = (&self.0.opened, &self.0.running, &plan.name);
        if plan.leaves_older_states {
            tracing::warn!(job = name, "it goes on with the versions of its plugins that it has: {reason}");
            self.give_up_filling(known, name).await;
            return Ok(());
        }
        tracing::warn!(
            job = name,
            definition = plan.definition,
            "what was made beside the job does not take its place: {reason}"
        );
        running.engine.stop_filling(name).await;
        running.engine.stop_job(name).await;
        let declined = running.engine.decline(plan, reason).await.map_err(|error| Failure::from(&error));
        running.logs.release(&filling_name(name));
        wiring::succeed(opened, running, plan).map_err(wiring::Unstarted::failure)?;
        declined?;
        self.keep_definition(known, name).await;
        Ok(())
    }

    async fn change_to(&self, known: &Known, plan: &JobPlan) -> Result<(), Failure> {
        let name = &plan.name;
        let (opened, running) = (&self.0.opened, &self.0.running);
        // First what was made: the job goes on beyond it, so that it is known to the record what was written.
        running.engine.stop_filling(name).await;
        let mut ticks = Ticks::from_now(&opened.clock, LOOK_EVERY);
        for _ in 0..LOOKS {
            if !self.runs(name)
                || running.engine.has_passed_filling(name).map_err(|error| Failure::from(&error))?
            {
                break;
            }
            ticks.tick().await;
        }
        running.engine.stop_job(name).await;
        let taken = running.engine.take_over(name).await.map_err(|error| Failure::from(&error));
        let head = self.head().await?;
        wiring::claim(head.as_ref(), &running.logs, name, Some(plan));
        running.logs.release(&filling_name(name));
        wiring::succeed(opened, running, plan).map_err(wiring::Unstarted::failure)?;
        taken?;
        self.keep_definition(known, name).await;
        tracing::info!(
            job = name,
            definition = plan.definition,
            "its features have the past: lookups are by the new definition"
        );
        Ok(())
    }
}
