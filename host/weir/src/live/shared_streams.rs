//! Jobs that share a stream: it takes rows by one definition, so all of them have to read it by that one.

use super::{Beside, Live};
use weir_engine::{EngineError, state_edit};
use weir_plan::JobPlan;
use weir_store::Commit;

impl Live {
    /// What speaks against letting this plan run: other jobs that go on reading its stream by another definition.
    /// Those that are planned together with it will read it by the same one and are no hindrance.
    pub(super) fn check_streams(
        &self,
        plan: &JobPlan,
        beside: Beside<'_>,
        head: Option<&Commit>,
    ) -> Result<(), String> {
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
                let unfit = beside.anew.iter().filter(reads);
                let unfit = unfit.filter_map(|new| Some((new.name.clone(), misfit(new, head?)?)));
                let unfit: Vec<(String, String)> = unfit.collect();
                return Err(changed(&input.stream.name, &others, &unfit));
            }
        }
        Ok(())
    }
}

/// What keeps a plan from going on from its job's state.
fn misfit(plan: &JobPlan, head: &Commit) -> Option<String> {
    match state_edit(plan, head).err()? {
        EngineError::PlanChanged { difference, .. } => Some(difference),
        other => Some(other.reason()),
    }
}

/// `unfit` are jobs whose state does not fit them any more, each with what differs.
fn changed(stream: &str, others: &[String], unfit: &[(String, String)]) -> String {
    let (jobs, read) = if others.len() == 1 { ("the job", "reads") } else { ("the jobs", "read") };
    let quoted =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let resets: Vec<String> = unfit.iter().map(|(name, _)| format!("--reset {name}")).collect();
    let reasons: Vec<String> = unfit.iter().map(|(name, differs)| format!("`{name}`: {differs}")).collect();
    let to_mend = if unfit.is_empty() {
        String::new()
    } else {
        format!(
            " (these fail then as they are: {}; where their state is not wanted, `weir serve DIR {}` drops it: they read \
             the stream anew and their sinks get their results again)",
            reasons.join("; "),
            resets.join(" ")
        )
    };
    format!(
        "the definition of the stream `{stream}` has changed, and {jobs} {} {read} it by the earlier one; restart the \
         server, so that all of them read it by the new one{to_mend}, or take the change back",
        quoted(others)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_changed_stream_comes_to_is_told_beforehand() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let differs = |name: &str| (name.to_owned(), "raise `version`".to_owned());
        let told = changed("buys", &names(&["a", "b"]), &[differs("a"), differs("c")]);
        assert!(
            told.contains("the jobs `a`, `b` read it") && told.contains("--reset a --reset c`"),
            "{told}"
        );
        assert!(told.contains("as they are: `a`: raise `version`; `c`: raise `version`;"), "{told}");
        assert!(!changed("buys", &names(&["a"]), &[]).contains("--reset"));
    }
}
