//! Tests of the whole core, and what tests share: plans made of SQL over a stream of `user`, `t`, `n` and `id`.

mod exchange;
mod history;
mod intake;
mod lagging;
mod last_join;
mod served;
mod shape;
mod silences;
mod two_logs;

use proptest::prelude::ProptestConfig;
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

/// So many cases of a property, times `WEIR_CASES` if that is set.
pub(crate) fn cases(cases: u32, max_shrink_iters: u32) -> ProptestConfig {
    let factor = std::env::var("WEIR_CASES").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: cases.saturating_mul(factor), max_shrink_iters, ..ProptestConfig::default() }
}
