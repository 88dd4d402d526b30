//! What the state is called that is made beside a job. Knows names alone.

/// Behind the job's name; no definition can have such a name.
const ENDING: &str = ".filling";

/// Under what name the state is kept that is made beside a job's.
pub fn filling_name(job: &str) -> String {
    format!("{job}{ENDING}")
}

/// The job that a state of this name is made beside; the name itself of any other.
pub(crate) fn job_of(name: &str) -> &str {
    name.strip_suffix(ENDING).unwrap_or(name)
}
