//! What a plugin changes in what runs: another version reaches it, and what lacked a function starts.

use super::in_words;
use super::{Beside, Live};
use std::time::Duration;
use weir_event::Ticks;
use weir_serve::PluginEffect;

/// What waits is looked at so often.
const TICK: Duration = Duration::from_millis(200);

impl Live {
    /// Another version of a plugin is active: jobs whose values it makes use it from here on, and those that waited
    /// for it start. Definitions are as they were when the jobs were last planned.
    pub(crate) async fn plugins_changed(&self) -> Vec<PluginEffect> {
        let mut known = self.0.turn.lock().await;
        let mut effects = Vec::new();
        for (name, definition) in known.definitions.clone() {
            let running = self.0.running.engine.job(&name);
            let plan = match self.plan(&known, definition).await {
                Ok(plan) if running.as_ref().is_some_and(|job| job.plan().serves_as(&plan)) => {
                    continue;
                }
                Ok(plan) => plan,
                Err(refused) => {
                    if running.is_none() {
                        self.refuse(&mut known, &refused);
                    }
                    // Whoever lacked a function before and does now is not affected, nor is who does not run anyhow.
                    if running.is_some() || (refused.lacks.is_empty() && !refused.for_training) {
                        let reason = Some(refused.reasons.join("; "));
                        effects.push(PluginEffect { job: name, applied: false, reason });
                    }
                    continue;
                }
            };
            let outcome = self.put(&mut known, &plan, false, Beside::default()).await;
            let reason = outcome.err().map(|error| in_words(&error));
            effects.push(PluginEffect { job: name, applied: reason.is_none(), reason });
        }
        effects
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
                    Ok(plan) => match self.put(&mut known, &plan, false, Beside::default()).await {
                        Ok(()) => {
                            tracing::info!(job = name, "the plugin that it waited for is there: it runs")
                        }
                        Err(error) => tracing::error!(job = name, "job failed: {}", in_words(&error)),
                    },
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
