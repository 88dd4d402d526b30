//! Newer versions of plugins that take over the state of a job: it starts with these, or else with the versions that it has.
//!
//! Must not know how a state is brought over, or when a job is started.

use super::{Opened, Running, Unstarted, job_spec, tell_of_versions};
use weir_engine::{Mode, NotTakenOver, takes_over};
use weir_plan::JobPlan;

/// How a job is started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Succession {
    /// Nothing is looked up of it until it has its state.
    Anew(Mode),
    /// In the place of one that has stopped, which is looked up until then.
    After,
}

/// Starts a job that does not run: with the newer plan, if that takes over its state. To be called inside the engine's
/// runtime.
pub(crate) async fn start_newest(
    opened: &Opened,
    running: &Running,
    (plan, newer): (&JobPlan, Option<&JobPlan>),
    how: Succession,
) -> Result<(), Unstarted> {
    let (mut plan, mut refusal) = (plan, None);
    if let Some(newer) = newer.filter(|newer| takes_over(newer, plan)) {
        match running.engine.migrate(plan, newer).await {
            Ok(()) => {
                tracing::info!(
                    job = plan.name,
                    definition = newer.definition,
                    "the active versions of its plugins have taken over its state"
                );
                plan = newer;
            }
            Err(error) => {
                let reason = error.reason();
                tracing::warn!(
                    job = plan.name,
                    "the active versions of its plugins do not take over its state: {reason}"
                );
                refusal = Some(NotTakenOver { definition: newer.definition.clone(), reason });
            }
        }
    }
    let mode = match how {
        Succession::Anew(mode) => mode,
        Succession::After => Mode::Live,
    };
    let spec = job_spec(opened, running, plan, mode).map_err(Unstarted::Parts)?;
    let job = match how {
        Succession::Anew(_) => running.engine.start(spec),
        Succession::After => running.engine.succeed(spec),
    };
    let job = job.map_err(Unstarted::Engine)?;
    refusal.into_iter().for_each(|refusal| job.keeps_older(refusal));
    tell_of_versions(opened, plan);
    Ok(())
}
