//! Jobs that share a stream: it takes rows by one definition, so all of them have to read it by that one.

use super::Live;
use weir_plan::JobPlan;

impl Live {
    /// What speaks against letting this plan run: other jobs that go on reading its stream by another definition.
    /// Those of `together` will be planned by the same definitions and are no hindrance.
    pub(super) fn check_streams(&self, plan: &JobPlan, together: &[&str]) -> Result<(), String> {
        let jobs = self.0.running.engine.jobs();
        for input in &plan.inputs {
            let reads_another = |other: &JobPlan| {
                other
                    .inputs
                    .iter()
                    .any(|read| read.stream.name == input.stream.name && *read.stream != *input.stream)
            };
            let others: Vec<String> = jobs
                .iter()
                .map(|job| job.plan())
                .filter(|other| other.name != plan.name && !together.contains(&other.name.as_str()))
                .filter(|other| reads_another(other) && self.runs(&other.name))
                .map(|other| format!("`{}`", other.name))
                .collect();
            if !others.is_empty() {
                return Err(changed(&input.stream.name, &others));
            }
        }
        Ok(())
    }
}

fn changed(stream: &str, others: &[String]) -> String {
    let (jobs, read) = if others.len() == 1 { ("the job", "reads") } else { ("the jobs", "read") };
    format!(
        "the definition of the stream `{stream}` has changed, and {jobs} {} {read} it by the earlier one; restart the \
         server, so that all of them read it by the new one, or take the change back",
        others.join(", ")
    )
}
