//! A project that is served, while it changes: one job is restarted, definitions are read again, another version of a
//! plugin is active, what waited for a plugin is tried again.
//!
//! Knows definitions and which of them run. Must not know HTTP or how a job works. One change at a time.

use crate::definitions;
use crate::failure::Failure;
use crate::project::Project;
use crate::versions::{self, StateOf, Versioned};
use crate::wiring::kept::Texts;
use crate::wiring::taking_over::{Succession, start_newest};
use crate::wiring::{self, Opened, Running, spec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use weir_engine::{BackOff, Holdings, JobState, Mode, Refusal, lacks_past, state_edit};
use weir_event::{EventTime, Span};
use weir_plan::{Checked, JobDefinition, JobPlan, StreamDefinition};
use weir_project::{Lacks, Planned, RefusedJob};
use weir_serve::{ControlError, PluginEffect, Restart, Streams};
use weir_store::Commit;

mod filling;
#[cfg(feature = "web")]
mod hooks;
mod left_sinks;
mod plugins;
mod reload;
mod shared_streams;

/// A project that is served. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Live(Arc<Inner>);

struct Inner {
    opened: Opened,
    running: Running,
    streams: Arc<Streams>,
    /// Jobs whose features lacked some of the past before they were started.
    lacking: BTreeSet<String>,
    /// The engine's threads: jobs must be started there.
    threads: Handle,
    turn: Mutex<Known>,
}

/// What runs, or would.
struct Known {
    /// By job: its definition and the streams beside it, as they were when it was last planned.
    definitions: BTreeMap<String, Definition>,
    /// By job, the texts of that.
    texts: BTreeMap<String, Texts>,
    /// Jobs that wait for a plugin.
    waiting: BTreeMap<String, (BackOff, EventTime)>,
    /// Jobs beside which that is made which their features lack.
    filling: BTreeMap<String, Filling>,
    /// The server stops: nothing is started any more.
    closed: bool,
}

/// What is made beside a job.
#[derive(Clone)]
struct Filling {
    /// The plan that is changed to.
    plan: JobPlan,
    /// What the job had when that was begun, where it goes on with it.
    had: Option<Holdings>,
}

#[derive(Clone, PartialEq)]
struct Definition {
    job: JobDefinition,
    streams: Vec<Arc<StreamDefinition>>,
}

/// The project's definitions, and the texts of each job's.
struct Definitions {
    checked: Checked,
    texts: BTreeMap<String, Texts>,
    /// Of jobs that go on with versions of plugins that are not active, plans with these.
    newer: BTreeMap<String, JobPlan>,
}

/// Other jobs, when one is planned anew.
#[derive(Clone, Copy, Default)]
struct Beside<'a> {
    /// By name, those that will run by the same definitions.
    together: &'a [&'a str],
    /// Plans of all by the definitions as they are now, as far as these were read.
    anew: &'a [JobPlan],
    /// Whether its own definition is as it was, so that lookups may go on meanwhile as of before.
    is_as_it_was: bool,
}

impl Live {
    /// Of a project whose jobs run on these threads.
    pub(crate) fn new(opened: Opened, running: Running, streams: Arc<Streams>, threads: Handle) -> Live {
        let mut known = Known {
            definitions: definitions_of(&opened.checked),
            texts: opened.texts.clone(),
            waiting: BTreeMap::new(),
            filling: BTreeMap::new(),
            closed: false,
        };
        for job in opened.refused.iter().filter(|job| !job.lacks.is_empty()) {
            known.waiting.insert(job.name.clone(), (BackOff::default(), opened.clock.now()));
        }
        let lacking = running.lacking.clone();
        let live =
            Live(Arc::new(Inner { opened, running, streams, lacking, threads, turn: Mutex::new(known) }));
        live.0.threads.spawn(live.clone().try_again_and_again());
        live.0.threads.spawn(live.clone().begin());
        live.0.threads.spawn(live.clone().change_when_filled());
        #[cfg(feature = "web")]
        live.0.threads.spawn(live.clone().tell_bootstrapped());
        #[cfg(not(feature = "web"))]
        if live.0.opened.server.hooks.bootstrapped.is_some() {
            tracing::warn!("`hooks.bootstrapped`: {}", weir_connect::settings::left_out("hooks"));
        }
        live
    }

    /// The project as it was opened.
    pub(crate) fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// What runs.
    pub(crate) fn running(&self) -> &Running {
        &self.0.running
    }

    /// Starts nothing any more.
    pub(crate) async fn close(&self) {
        self.0.turn.lock().await.closed = true;
    }

    /// Plans one job anew from the project's files and starts it from its last commit.
    pub(crate) async fn restart(&self, name: &str, how: Restart) -> Result<(), ControlError> {
        let mut known = self.0.turn.lock().await;
        // Then its state says nothing of the versions that it is planned with.
        let by_active = (how.reset || how.upgrade).then(|| name.to_owned());
        let (definitions, planned) =
            self.read(by_active.into_iter().collect()).await.map_err(|failure| failed(&failure))?;
        if let Some(plan) = planned.jobs.iter().find(|plan| plan.name == name) {
            let plan = JobPlan { leaves_older_states: how.upgrade, ..plan.clone() };
            let beside = Beside { anew: &planned.jobs, ..Beside::default() };
            return self.put_anew(&mut known, &definitions, &plan, how.reset, beside).await;
        }
        if let Some(refused) = planned.refused.iter().find(|job| job.name == name) {
            if !self.runs(name) {
                known.learn(name, &definitions);
                self.refuse(&mut known, refused);
            }
            return Err(ControlError::Refused(refused.reasons.clone()));
        }
        let names = planned.jobs.iter().map(|plan| plan.name.clone());
        Err(ControlError::Unknown(names.chain(planned.refused.iter().map(|job| job.name.clone())).collect()))
    }

    /// Plans one job as it is known; with that, where it goes on with versions of plugins that are not active, the plan with
    /// these.
    async fn plan(
        &self,
        known: &Known,
        definition: Definition,
    ) -> Result<(JobPlan, Option<JobPlan>), RefusedJob> {
        let (plugins, store) = (self.0.opened.plugins.clone(), self.0.opened.store.clone());
        let names: Vec<String> = known.definitions.keys().cloned().collect();
        let name = definition.job.name.clone();
        let refused = |name: &str, reason: String| RefusedJob {
            name: name.to_owned(),
            reasons: vec![reason],
            lacks: Lacks::default(),
            for_training: false,
        };
        let planned = tokio::task::spawn_blocking(move || {
            let head = store.head().map_err(|error| refused(&definition.job.name, error.to_string()))?;
            let made = StateOf::Commit(head.as_ref(), &[]);
            versions::plan_one(&definition.job, &definition.streams, &names, &plugins, made)
        });
        planned.await.unwrap_or_else(|panic| {
            Err(refused(&name, format!("planning it panicked: {panic}; this is a fault of weir's own")))
        })
    }

    /// Reads and plans the project's files as they are now; what the state of these jobs says counts for nothing.
    async fn read(&self, dropped: Vec<String>) -> Result<(Definitions, Planned), Failure> {
        let opened = &self.0.opened;
        let (folder, clock, plugins) = (opened.folder.clone(), opened.clock.clone(), opened.plugins.clone());
        let store = opened.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let project = Project::read(&folder)?;
            let checked = definitions::check(&project, clock.clone());
            for error in plugins.load_project_plugins(&project.plugins()).err().unwrap_or_default() {
                tracing::error!("{error}");
            }
            let head = store.head()?;
            let made = StateOf::Commit(head.as_ref(), &dropped);
            let Versioned { planned, newer } = versions::plan(&folder, &checked, &plugins, &clock, made);
            let texts = project.texts(&checked);
            Ok((Definitions { checked, texts, newer }, definitions::all_to_run(planned)))
        });
        read.await.map_err(|panic| Failure::weir(format!("reading the definitions panicked: {panic}")))?
    }

    /// Lets a plan by a definition that was just read run; what runs by an older one where it cannot is not forgotten.
    async fn put_anew(
        &self,
        known: &mut Known,
        definitions: &Definitions,
        plan: &JobPlan,
        reset: bool,
        beside: Beside<'_>,
    ) -> Result<(), ControlError> {
        let (older, texts) =
            (known.definitions.get(&plan.name).cloned(), known.texts.get(&plan.name).cloned());
        known.learn(&plan.name, definitions);
        let newer = definitions.newer.get(&plan.name);
        let outcome = self.put(known, (plan, newer), reset, beside).await;
        if outcome.is_err()
            && self.runs(&plan.name)
            && let Some(older) = older
        {
            known.definitions.insert(plan.name.clone(), older);
            known.texts.extend(texts.map(|texts| (plan.name.clone(), texts)));
        }
        outcome
    }

    /// Lets a plan run in place of what runs under its name, unless the state does not fit it, or other jobs than
    /// those that are planned anew together with it read its stream by another definition. Where it goes on with versions of
    /// plugins that are not active, the newer plan has these, and runs if they take over the state.
    async fn put(
        &self,
        known: &mut Known,
        (plan, newer): (&JobPlan, Option<&JobPlan>),
        reset: bool,
        beside: Beside<'_>,
    ) -> Result<(), ControlError> {
        let (opened, running) = (&self.0.opened, &self.0.running);
        if known.closed {
            let message = "the server is stopping".to_owned();
            return Err(ControlError::Failed { fault: weir_event::Fault::User, message });
        }
        // The streams first: dropping the state is no way around them.
        let head = self.head().await.map_err(|failure| failed(&failure))?;
        let head = head.as_ref();
        let of_state = || check_state(plan, head).and_then(|()| self.check_sinks(plan, head));
        let fits =
            self.check_streams(plan, beside, head).and_then(|()| if reset { Ok(()) } else { of_state() });
        if let Err(reason) = fits {
            if !self.runs(&plan.name) {
                self.list(known, &plan.name, reason.clone(), (None, false));
            }
            return Err(ControlError::Refused(vec![reason]));
        }
        // One that did not run goes on at once, by its new definition.
        let lacks = !reset && lacks_past(plan, head);
        if reset {
            self.give_up_filling(known, &plan.name).await;
        } else if self.waits_to_be_filled(known, plan, head).await.map_err(|failure| failed(&failure))? {
            return Ok(());
        }
        self.stop_for(plan, reset).await?;
        let started = async {
            if reset {
                running.engine.forget(&plan.name).await.map_err(|error| Failure::from(&error))?;
                running.logs.release(&plan.name);
            }
            wiring::claim(self.head().await?.as_ref(), &running.logs, &plan.name, Some(plan));
            for input in &plan.inputs {
                self.0.streams.put(spec::entry(opened, &input.stream, &running.logs)?);
            }
            let is_as_it_was = beside.is_as_it_was && !reset;
            let how = if is_as_it_was { Succession::After } else { Succession::Anew(Mode::Live) };
            start_newest(opened, running, (plan, newer), how).await.map_err(wiring::Unstarted::failure)
        };
        match started.await {
            Ok(()) => {
                self.keep_definition(known, &plan.name).await;
                if lacks {
                    self.fill(known, plan, head);
                }
                known.waiting.remove(&plan.name);
                let started = self.0.running.engine.job(&plan.name);
                let definition = started.map(|job| job.plan().definition.clone());
                tracing::info!(job = plan.name, definition, "job started");
                Ok(())
            }
            Err(failure) => {
                self.list(known, &plan.name, failure.to_string(), (None, false));
                Err(failed(&failure))
            }
        }
    }

    /// Whether a job was started and goes on, or will by itself.
    fn runs(&self, name: &str) -> bool {
        let job = self.0.running.engine.job(name);
        job.map(|job| job.status()).is_some_and(|status| match status.state {
            JobState::Failed(_) => status.next_try.is_some(),
            JobState::Stopped => false,
            _ => true,
        })
    }

    /// Stops what runs under a plan's name. What came to wait for its sinks since its newest checkpoint is in the last one:
    /// if that would be lost, it goes on.
    async fn stop_for(&self, plan: &JobPlan, reset: bool) -> Result<(), ControlError> {
        let (opened, running) = (&self.0.opened, &self.0.running);
        let before = running.engine.job(&plan.name).filter(|_| self.runs(&plan.name));
        running.engine.stop_job(&plan.name).await;
        let Some(before) = before.filter(|_| !reset) else { return Ok(()) };
        let head = self.head().await.map_err(|failure| failed(&failure))?;
        let Err(reason) = self.check_sinks(plan, head.as_ref()) else { return Ok(()) };
        let again = wiring::start_job(opened, running, before.plan(), Mode::Live);
        again.map_err(|unstarted| failed(&unstarted.failure()))?;
        Err(ControlError::Refused(vec![reason]))
    }

    /// The newest commit. Where the disk had failed, the store is opened again for it.
    async fn head(&self) -> Result<Option<Commit>, Failure> {
        let store = self.0.opened.store.clone();
        let head = tokio::task::spawn_blocking(move || store.head()).await;
        Ok(head.map_err(|panic| Failure::weir(format!("reading the newest commit panicked: {panic}")))??)
    }

    /// Lists a job that has no plan, with the time of the next try where it waits for a plugin.
    fn refuse(&self, known: &mut Known, refused: &RefusedJob) {
        let next_try = if refused.lacks.is_empty() {
            known.waiting.remove(&refused.name);
            None
        } else {
            let (mut back_off, _) = known.waiting.remove(&refused.name).unwrap_or_default();
            let pause = back_off.after(Duration::ZERO).as_millis() as i64;
            let next_try = self.0.opened.clock.now() + Span::from_millis(pause);
            known.waiting.insert(refused.name.clone(), (back_off, next_try));
            Some(next_try)
        };
        let of = (next_try, refused.for_training);
        self.list(known, &refused.name, definitions::reason(refused), of);
    }

    fn list(
        &self,
        known: &mut Known,
        name: &str,
        reason: String,
        (next_try, for_training): (Option<EventTime>, bool),
    ) {
        if next_try.is_none() {
            known.waiting.remove(name);
        }
        let engine = &self.0.running.engine;
        let since = engine.refusal(name).map_or_else(|| self.0.opened.clock.now(), |earlier| earlier.since);
        engine.refuse(name, Refusal { reason, since, next_try, for_training });
    }
}

impl Known {
    /// Takes over how a job is defined now.
    fn learn(&mut self, name: &str, Definitions { checked, texts, .. }: &Definitions) {
        self.texts.extend(texts.get(name).map(|texts| (name.to_owned(), texts.clone())));
        match definitions_of(checked).remove(name) {
            Some(definition) => self.definitions.insert(name.to_owned(), definition),
            None => self.definitions.remove(name),
        };
    }
}

/// Each job with the streams that it reads.
fn definitions_of(checked: &Checked) -> BTreeMap<String, Definition> {
    let definition = |job: &JobDefinition| {
        let tables = weir_sql::tables(&job.query).unwrap_or_default();
        let is_read = |stream: &&Arc<StreamDefinition>| tables.iter().any(|table| *table == stream.name);
        let streams = checked.streams.iter().filter(is_read).cloned().collect();
        (job.name.clone(), Definition { job: job.clone(), streams })
    };
    checked.jobs.iter().map(definition).collect()
}

fn check_state(plan: &JobPlan, head: Option<&Commit>) -> Result<(), String> {
    head.map_or(Ok(()), |head| state_edit(plan, head).map(drop).map_err(|error| error.reason()))
}

fn failed(failure: &Failure) -> ControlError {
    ControlError::Failed { fault: failure.fault(), message: failure.to_string() }
}

fn in_words(error: &ControlError) -> String {
    match error {
        ControlError::Unknown(_) => "job not found".to_owned(),
        ControlError::Refused(reasons) => reasons.join("; "),
        ControlError::Failed { message, .. } => message.clone(),
    }
}

/// Requests come on other threads than those that jobs must be started on.
#[async_trait::async_trait]
impl weir_serve::Control for Live {
    async fn restart(&self, job: &str, how: Restart) -> Result<(), ControlError> {
        let (live, job) = (self.clone(), job.to_owned());
        let done = self.0.threads.spawn(async move { Live::restart(&live, &job, how).await }).await;
        done.unwrap_or_else(|panic| Err(failed(&Failure::weir(format!("restarting panicked: {panic}")))))
    }

    async fn needs(&self, plugin: &str) -> Result<BTreeMap<String, String>, ControlError> {
        Live::needs(self, plugin).await.map_err(|failure| failed(&failure))
    }

    async fn plugin_changed(&self, plugin: &str) -> Vec<PluginEffect> {
        let (live, plugin) = (self.clone(), plugin.to_owned());
        let done = self.0.threads.spawn(async move { Live::plugin_changed(&live, &plugin).await }).await;
        done.unwrap_or_else(|panic| {
            tracing::error!(%panic, "applying a plugin panicked: this is a fault of weir's own");
            Vec::new()
        })
    }
}
