//! Tests of the whole core, and what tests share: plans made of SQL over a stream of `user`, `t`, `n` and `id`.

mod exchange;
mod intake;
mod lagging;
mod last_join;
mod served;
mod shape;
mod two_logs;

use weir_plan::JobPlan;
use weir_project::{AnyConnectors, BuiltIns, ProjectFiles};

const STREAM: &str = "stream: events
fields: {user: string, t: timestamp, n: bigint, id: string}
event_time: t
source: {test: {}}
";

/// The plan of a query over `events`; `stream` and `job` are further lines of the two definitions.
pub(crate) fn plan(query: &str, stream: &str, job: &str) -> JobPlan {
    let texts: ProjectFiles = [
        ("streams/events.yaml", format!("{STREAM}{stream}")),
        ("jobs/j.yaml", format!("job: j\nquery: {query}\nsinks: [{{test: {{}}}}]\n{job}")),
    ]
    .into_iter()
    .collect();
    let mut planned = weir_project::plan(&texts, &|_: &str| None, &AnyConnectors, &BuiltIns);
    planned.jobs.pop().unwrap_or_else(|| panic!("{:#?}", planned.diagnostics))
}
