//! What is remembered of a state that is made beside a job's: its name, and why it was dropped. Knows nothing else.

use serde::{Deserialize, Serialize};

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

/// What was made beside a job knew less than the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeclinedFilling {
    /// The hash of the definition that it was made by.
    pub(crate) definition: String,
    /// What it lacks, and what to do.
    pub(crate) reason: String,
}
