//! What a plugin changes in what runs: another version reaches it, and what lacked a function starts.

use super::in_words;
use super::{Beside, Definition, Known, Live};
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_engine::takes_over;
use weir_event::Ticks;
use weir_plan::JobPlan;
use weir_serve::{PluginEffect, older_versions};

/// What waits is looked at so often.
const TICK: Duration = Duration::from_millis(200);

impl Live {
    /// Another version of a plugin is active: jobs whose values it makes use it from here on, unless another one has made
    /// their state, and those that waited for it start. Definitions are as they were when the jobs were last planned.
    pub(crate) async fn plugin_changed(&self, plugin: &str) -> Vec<PluginEffect> {
        let mut known = self.0.turn.lock().await;
        let mut effects = Vec::new();
        for (job, definition) in known.definitions.clone() {
            effects.extend(self.apply(&mut known, job, definition, plugin).await);
        }
        effects
    }

    /// Lets a job use the active version of a plugin; nothing where that makes no difference.
    async fn apply(
        &self,
        known: &mut Known,
        job: String,
        definition: Definition,
        plugin: &str,
    ) -> Option<PluginEffect> {
        let running = self.0.running.engine.job(&job);
        let (plan, newer) = match self.plan(known, definition).await {
            Ok(planned) => planned,
            Err(refused) => {
                if running.is_none() {
                    self.refuse(known, &refused);
                }
                // Whoever lacked a function before and does now is not affected, nor is who does not run anyhow.
                let is_affected = running.is_some() || (refused.lacks.is_empty() && !refused.for_training);
                let reason = Some(refused.reasons.join("; "));
                return is_affected.then_some(PluginEffect { job, applied: false, reason });
            }
        };
        let is_to_take_over = newer.as_ref().is_some_and(|newer| {
            let not_taken_over = running.as_ref().and_then(|job| job.not_taken_over());
            takes_over(newer, &plan) && not_taken_over.is_none_or(|it| it.definition != newer.definition)
        });
        let is_as_it_runs = running.is_some_and(|job| job.plan().serves_as(&plan));
        if is_as_it_runs && !is_to_take_over {
            let reason = Some(newer.and_then(|_| self.goes_on_with(&plan, plugin))?);
            return Some(PluginEffect { job, applied: false, reason });
        }
        let beside = Beside { is_as_it_was: true, ..Beside::default() };
        let outcome = self.put(known, (&plan, newer.as_ref()), false, beside).await;
        if outcome.is_ok() {
            self.until_it_is_looked_up(&job).await;
        }
        let told = |error| in_words(&error);
        let reason = outcome.err().map(told).or_else(|| newer.and_then(|_| self.goes_on_with(&plan, plugin)));
        Some(PluginEffect { job, applied: reason.is_none(), reason })
    }

    /// Whoever asks behind an activation is to see what it has changed, unless that takes long: until a job has its state, lookups
    /// are answered as of where the one before it stood.
    async fn until_it_is_looked_up(&self, job: &str) {
        const LOOKS: usize = 400;
        let Some(job) = self.0.running.engine.job(job) else { return };
        let mut ticks = Ticks::from_now(&self.0.opened.clock, Duration::from_millis(5));
        for _ in 0..LOOKS {
            if job.has_state() {
                return;
            }
            ticks.tick().await;
        }
    }

    /// That a job goes on with an older version of a plugin, why, and what changes that; nothing where it does not.
    fn goes_on_with(&self, plan: &JobPlan, plugin: &str) -> Option<String> {
        let running = self.0.running.engine.job(&plan.name).filter(|job| job.plan().serves_as(plan))?;
        let older = older_versions(plan, &self.0.opened.plugins);
        let of_it = older.into_iter().filter(|older| older.plugin == plugin);
        let told: Vec<String> = of_it.map(|older| older.told).collect();
        let why =
            running.not_taken_over().map(|it| format!("; that does not take over its state: {}", it.reason));
        (!told.is_empty()).then(|| told.join("; ") + &why.unwrap_or_default())
    }

    /// Why jobs need a plugin whether they run or not: they pin a version of it, or one alone can read their state.
    pub(crate) async fn needs(&self, plugin: &str) -> Result<BTreeMap<String, String>, Failure> {
        let known = self.0.turn.lock().await;
        let head = self.head().await?;
        let why = |(name, definition): (&String, &Definition)| {
            if let Some(pin) = definition.job.pins.get(plugin) {
                return Some((name.clone(), format!("pins version {} of it", pin.version)));
            }
            let made = weir_engine::state_made_by(name, head.as_ref()?).remove(plugin)?;
            let why =
                format!("has state that version {} of it has made, which alone can read that", made.version);
            Some((name.clone(), why))
        };
        Ok(known.definitions.iter().filter_map(why).collect())
    }

    /// Starts what waits for a plugin once there is one, also where somebody has put its file into the project.
    pub(super) async fn try_again_and_again(self) {
        let mut ticks = Ticks::from_now(&self.0.opened.clock, TICK);
        loop {
            ticks.tick().await;
            let mut known = self.0.turn.lock().await;
            if known.closed {
                return;
            }
            let now = self.0.opened.clock.now();
            let due: Vec<String> = known
                .waiting
                .iter()
                .filter(|(_, (_, at))| *at <= now)
                .map(|(name, _)| name.clone())
                .collect();
            if due.is_empty() {
                continue;
            }
            self.take_plugins_of_the_project().await;
            for name in due {
                let Some(definition) = known.definitions.get(&name).cloned() else { continue };
                match self.plan(&known, definition).await {
                    Err(refused) => self.refuse(&mut known, &refused),
                    Ok((plan, newer)) => {
                        match self.put(&mut known, (&plan, newer.as_ref()), false, Beside::default()).await {
                            Ok(()) => {
                                tracing::info!(job = name, "the plugin that it waited for is there: it runs")
                            }
                            Err(error) => tracing::error!(job = name, "job failed: {}", in_words(&error)),
                        }
                    }
                }
            }
        }
    }

    async fn take_plugins_of_the_project(&self) {
        let opened = &self.0.opened;
        let (folder, plugins) = (opened.folder.join("plugins"), opened.plugins.clone());
        let taken = tokio::task::spawn_blocking(move || plugins.load_project_plugins(&folder)).await;
        for error in taken.ok().and_then(Result::err).unwrap_or_default() {
            tracing::warn!("{error}");
        }
    }
}
