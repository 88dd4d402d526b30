//! Jobs that share a stream: it takes rows by one definition, so all of them have to read it by that one.

use super::{Beside, Live};
use weir_plan::JobPlan;

impl Live {
    /// What speaks against letting this plan run: other jobs that go on reading its stream by another definition.
    /// Those that are planned together with it will read it by the same one and are no hindrance.
    pub(super) fn check_streams(&self, plan: &JobPlan, beside: Beside<'_>) -> Result<(), String> {
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
                .filter(|other| other.name != plan.name && !beside.together.contains(&other.name.as_str()))
                .filter(|other| reads_another(other) && self.runs(&other.name))
                .map(|other| other.name.clone())
                .collect();
            if !others.is_empty() {
                let reads = |new: &&JobPlan| new.name == plan.name || others.contains(&new.name);
                let unfit = beside.anew.iter().filter(reads).filter(|new| self.check_state(new).is_err());
                let unfit: Vec<String> = unfit.map(|new| new.name.clone()).collect();
                return Err(changed(&input.stream.name, &others, &unfit));
            }
        }
        Ok(())
    }
}

fn changed(stream: &str, others: &[String], unfit: &[String]) -> String {
    let (jobs, read) = if others.len() == 1 { ("the job", "reads") } else { ("the jobs", "read") };
    let quoted =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let resets: Vec<String> = unfit.iter().map(|name| format!("--reset {name}")).collect();
    let dropped = if unfit.is_empty() {
        String::new()
    } else {
        format!(
            " (the state of {} does not fit it, so these fail then unless their state is dropped, with `weir serve DIR \
             {}`: they read the stream anew and their sinks get their results again)",
            quoted(unfit),
            resets.join(" ")
        )
    };
    format!(
        "the definition of the stream `{stream}` has changed, and {jobs} {} {read} it by the earlier one; restart the \
         server, so that all of them read it by the new one{dropped}, or take the change back",
        quoted(others)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_changed_stream_comes_to_is_told_beforehand() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let told = changed("buys", &names(&["a", "b"]), &names(&["a", "c"]));
        assert!(
            told.contains("the jobs `a`, `b` read it") && told.contains("--reset a --reset c`"),
            "{told}"
        );
        assert!(!changed("buys", &names(&["a"]), &[]).contains("--reset"));
    }
}
