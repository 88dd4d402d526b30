//! From the texts of a project's definitions to checked plans.
//!
//! Every process that runs jobs plans for itself, since a plan holds bound expressions and cannot be sent: our own
//! server, and a host that embeds weir. So planning is a function of texts: no file is read, no thread is made, no
//! plugin is looked for. What connectors and formats there are is judged by a [`ConnectorKinds`], functions beside
//! weir's own come from [`JobCatalogs`]; both are handed in. [`ProjectFolder`] reads the texts of a folder.
//!
//! Must not know: any connector, what runs a plugin, state, what becomes of a plan, the process's environment.
//!
//! ```
//! use weir_project::{AnyConnectors, BuiltIns, ProjectFiles, plan};
//! let texts: ProjectFiles = [
//!     ("streams/rides.yaml", "
//! fields: {user_id: string, fare: double, at: timestamp}
//! event_time: at
//! disorder: 30s
//! source: {kafka: {topic: rides}}
//! "),
//!     ("jobs/user_day.yaml", "
//! query: |
//!   SELECT user_id, SUM(fare) AS spent FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '1' DAY)
//! "),
//! ]
//! .into_iter()
//! .collect();
//! let no_variable = |_: &str| None;
//! let planned = plan(&texts, &no_variable, &AnyConnectors, &BuiltIns);
//! let [job] = planned.jobs.as_slice() else { panic!("{:?}", planned.diagnostics) };
//! assert_eq!((job.name.as_str(), job.features[0].name.as_str()), ("user_day", "spent"));
//! assert_eq!(job.inputs[0].columns, [0, 1, 2]);
//! ```

mod catalog;
mod connectors;
mod folder;
mod plans;

pub use connectors::AnyConnectors;
pub use folder::{FolderError, ProjectFolder};
pub use plans::{Lacks, Planned, Refusal, RefusedJob, plan, plan_checked, plan_job};
pub use weir_plan::check::Environment;
pub use weir_plan::{
    BuiltIns, Checked, ConnectorKinds, FunctionCatalog, JobCatalogs, ProjectFiles, SourceFile,
};
