//! `weir sink`: what belongs to a job's sinks.

use super::print;
use crate::definitions;
use crate::failure::Failure;
use crate::kinds::RegisteredKinds;
use crate::project::Project;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_event::Clock;
use weir_event::suggestion::{instead_of, unknown};

#[derive(Debug, Subcommand)]
pub(crate) enum SinkCommand {
    Ddl(DdlArguments),
}

/// The statements that make what a job's sinks write to, such as tables with the columns of its query
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir sink ddl user_day\n  weir sink ddl user_day my-features --sink postgres | psql"
)]
pub(crate) struct DdlArguments {
    /// The job
    job: String,
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Only those of this sink, with nothing else printed: its name in `weir status`, such as postgres or kafka-2
    #[arg(long)]
    sink: Option<String>,
}

pub(super) fn run(command: &SinkCommand) -> Result<(), Failure> {
    let SinkCommand::Ddl(arguments) = command;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let project = Project::read(&arguments.folder)?;
    let checked = definitions::check(&project, clock.clone());
    let (planned, _) = definitions::plan_copy(&project, &checked)?;
    let name = &arguments.job;
    if let Some(refused) = planned.refused.iter().find(|job| job.name == *name) {
        return Err(Failure::user(refused.reasons.join("\n")));
    }
    let plans = || planned.jobs.iter().chain(&planned.for_training);
    let Some(plan) = plans().find(|job| job.name == *name) else {
        let known = plans().map(|job| job.name.as_str());
        return Err(Failure::user(format!("{name}: job not found; {}", instead_of(name, known))));
    };
    let kinds = RegisteredKinds::new(project.folder(), clock);
    if let Some(wanted) = &arguments.sink {
        let Some(sink) = plan.sinks.iter().find(|sink| sink.name == *wanted) else {
            let known = plan.sinks.iter().map(|sink| sink.name.as_str());
            return Err(Failure::user(format!("{name}: {}", unknown("sink", wanted, known))));
        };
        let Some(statements) = kinds.sink(plan, sink)?.ddl() else {
            let what = format!("{name}: nothing has to be made before its sink `{wanted}` can write");
            return Err(Failure::user(what));
        };
        return print(statements.trim_end());
    }
    let mut has_any = false;
    for sink in &plan.sinks {
        if let Some(statements) = kinds.sink(plan, sink)?.ddl() {
            has_any = true;
            print(&format!("-- sink {} of job {name}\n{}", sink.name, statements.trim_end()))?;
        }
    }
    if has_any {
        return Ok(());
    }
    Err(Failure::user(format!("{name}: none of its sinks writes to something that has to be made before")))
}
