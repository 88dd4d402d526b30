//! Tests of the whole core, and what tests share: plans made of SQL over a stream of `user`, `t`, `n` and `id`.

mod served;

use std::collections::BTreeMap;
use std::sync::Arc;
use weir_plan::check::{ConnectorKinds, ProjectFiles, SettingProblem, SourceFile, check_project};
use weir_plan::{Catalog, JobPlan, ScalarFunction, StreamDefinition};
use weir_timeline::Aggregate;
use weir_timeline::aggregate::Parameter;

const STREAM: &str = "stream: events
fields: {user: string, t: timestamp, n: bigint, id: string}
event_time: t
source: {test: {}}
";

/// The plan of a query over `events`; `stream` and `job` are further lines of the two definitions.
pub(crate) fn plan(query: &str, stream: &str, job: &str) -> JobPlan {
    let file = |path: &str, text: String| SourceFile { path: path.to_owned(), text };
    let files = ProjectFiles {
        server: None,
        streams: vec![file("streams/events.yaml", format!("{STREAM}{stream}"))],
        jobs: vec![file("jobs/j.yaml", format!("job: j\nquery: {query}\nsinks: [{{test: {{}}}}]\n{job}"))],
        queries: BTreeMap::new(),
    };
    let checked = check_project(&files, &|_: &str| None, &Anything);
    let jobs = &checked.jobs;
    let job = jobs.first().unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
    let planned = weir_sql::plan(job, &Streams(checked.streams.clone()));
    planned.unwrap_or_else(|errors| panic!("{errors:#?}")).plan
}

/// Judges nothing.
struct Anything;

impl ConnectorKinds for Anything {
    fn check_source(&self, _: &str, _: &str, _: &serde_json::Value) -> Vec<SettingProblem> {
        Vec::new()
    }
    fn check_sink(&self, _: &str, _: &str, _: &serde_json::Value) -> Vec<SettingProblem> {
        Vec::new()
    }
    fn check_format(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn name_setting(&self, _: &str) -> Result<Option<&'static str>, String> {
        Ok(None)
    }
}

/// A catalog of streams without plugins.
struct Streams(Vec<Arc<StreamDefinition>>);

impl Catalog for Streams {
    fn stream(&self, name: &str) -> Option<Arc<StreamDefinition>> {
        self.0.iter().find(|stream| stream.name == name).cloned()
    }
    fn stream_names(&self) -> Vec<String> {
        self.0.iter().map(|stream| stream.name.clone()).collect()
    }
    fn scalar(&self, _: &str) -> Option<Arc<dyn ScalarFunction>> {
        None
    }
    fn scalar_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn has_aggregate(&self, _: &str) -> bool {
        false
    }
    fn aggregate(
        &self,
        name: &str,
        _: &[arrow_schema::DataType],
        _: &[Parameter],
    ) -> Result<Arc<dyn Aggregate>, String> {
        Err(format!("`{name}` is not a plugin"))
    }
    fn aggregate_names(&self) -> Vec<String> {
        Vec::new()
    }
}
