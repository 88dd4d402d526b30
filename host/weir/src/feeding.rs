//! Sinks that write what their own job reads, or into the folder of the server's own data: their jobs are refused.
//!
//! Knows plans; the connectors say what reads what.

use crate::kinds::RegisteredKinds;
use std::path::{Path, PathBuf};
use weir_plan::{Checked, ConnectorKinds, JobPlan, StreamInput};

/// What is wrong with each job: it would be fed its own results, or it writes into the data folder.
pub(crate) fn faults(
    jobs: &[JobPlan],
    checked: &Checked,
    kinds: &RegisteredKinds,
    project: &Path,
) -> Vec<Vec<String>> {
    let data = checked.server.as_ref().and_then(|server| data_folder(project, &server.data_dir));
    faults_beside(jobs, kinds, data.as_deref())
}

/// Where the server's data really is; `None` where the whole project is in it.
fn data_folder(project: &Path, data_dir: &str) -> Option<PathBuf> {
    let project = std::fs::canonicalize(project).ok()?;
    let data = project.join(data_dir);
    let data = std::fs::canonicalize(&data).unwrap_or(data);
    (!project.starts_with(&data)).then_some(data)
}

fn faults_beside(jobs: &[JobPlan], kinds: &RegisteredKinds, data: Option<&Path>) -> Vec<Vec<String>> {
    let fed: Vec<Vec<Fed>> = jobs.iter().map(|job| fed_by(job, jobs, kinds)).collect();
    let fault = |(at, job): (usize, &JobPlan)| {
        let in_data = |place: &String| data.is_some_and(|data| Path::new(place).starts_with(data));
        if let Some(place) = places(job, kinds).into_iter().find(in_data) {
            return Some(format!(
                "`sinks`: {place} is in `data_dir`, where the server keeps its own data; write to another folder"
            ));
        }
        let back = fed[at].iter().find(|fed_job| leads_to(&fed, fed_job.job, at))?;
        Some(format!(
            "`sinks`: {} is read by the stream `{}`, so that the job's results would be its events again, without end; \
             write to a folder that the stream's `path` does not match, or let that `path` match less",
            back.place, back.stream
        ))
    };
    jobs.iter().enumerate().map(|job| fault(job).into_iter().collect()).collect()
}

/// That a job reads what another writes.
struct Fed {
    /// The job that reads it.
    job: usize,
    place: String,
    stream: String,
}

fn places(job: &JobPlan, kinds: &RegisteredKinds) -> Vec<String> {
    let sinks = job.sinks.iter();
    sinks.filter_map(|sink| kinds.sink_place(&job.name, &sink.kind, &sink.settings)).collect()
}

/// Who reads what this job writes.
fn fed_by(job: &JobPlan, jobs: &[JobPlan], kinds: &RegisteredKinds) -> Vec<Fed> {
    let mut fed = Vec::new();
    for place in places(job, kinds) {
        let reads = |input: &&StreamInput| kinds.reads(&input.stream, &input.origin, &place);
        for (at, other) in jobs.iter().enumerate() {
            fed.extend(other.inputs.iter().find(reads).map(|input| Fed {
                job: at,
                place: place.clone(),
                stream: input.stream.name.clone(),
            }));
        }
    }
    fed
}

/// Whether what a job writes comes to another at last.
fn leads_to(fed: &[Vec<Fed>], from: usize, to: usize) -> bool {
    let (mut seen, mut left) = (vec![false; fed.len()], vec![from]);
    while let Some(job) = left.pop() {
        if job == to {
            return true;
        }
        if !std::mem::replace(&mut seen[job], true) {
            left.extend(fed[job].iter().map(|fed| fed.job));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::definitions;
    use crate::project::Project;
    use std::path::Path;
    use std::sync::Arc;
    use weir_engine::SystemClock;

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The jobs that are planned and the errors of a project of one job per (name, what it reads, where it writes).
    fn planned(jobs: &[(&str, &str, &str)]) -> (Vec<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, reads, writes) in jobs {
            let stream = format!(
                "fields: {{n: bigint, t: timestamp}}\nevent_time: t\nsource: {{file: {{path: \"{reads}\", follow: true}}}}\n"
            );
            write(folder.path(), &format!("streams/of_{name}.yaml"), &stream);
            let job = format!("query: SELECT n, t FROM of_{name}\nsinks: [{{file: {{path: {writes}}}}}]\n");
            write(folder.path(), &format!("jobs/{name}.yaml"), &job);
        }
        let project = Project::read(folder.path()).unwrap();
        let checked = definitions::check(&project, Arc::new(SystemClock::new()));
        let (planned, _) = definitions::plan_copy(&project, &checked).unwrap();
        let errors: Vec<String> = planned.errors().map(ToString::to_string).collect();
        (planned.jobs.iter().map(|job| job.name.clone()).collect(), errors.join("\n"))
    }

    #[test]
    fn a_job_that_its_own_results_come_to_is_refused_and_one_behind_another_is_not() {
        let (jobs, errors) = planned(&[("a", "data/**/*.jsonl", "data/sub"), ("b", "in/*.jsonl", "out")]);
        assert_eq!(jobs, ["b"]);
        assert!(errors.contains("jobs/a.yaml:1:1") && errors.contains("the stream `of_a`"), "{errors}");

        let (jobs, errors) = planned(&[("a", "in/*.jsonl", "mid"), ("b", "mid/*.jsonl", "out")]);
        assert_eq!((jobs.len(), &*errors), (2, ""));
        // In a circle, and one that reads from it.
        let (jobs, errors) =
            planned(&[("a", "x/*.jsonl", "y"), ("b", "y/*.jsonl", "x"), ("c", "x/b-*.jsonl", "out")]);
        assert_eq!((jobs, errors.lines().count()), (vec!["c".to_owned()], 2), "{errors}");
    }

    #[test]
    fn a_job_that_writes_into_the_servers_data_is_refused() {
        let (jobs, errors) = planned(&[("a", "in/*.jsonl", "out/../.weir/a"), ("b", "in/*.jsonl", "weir")]);
        assert_eq!(jobs, ["b"]);
        assert!(errors.contains(".weir/a/a-*.jsonl is in `data_dir`"), "{errors}");
    }
}
