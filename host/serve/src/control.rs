//! What requests can ask to be done to jobs. Whoever wires weir together does it: it knows definitions.

use async_trait::async_trait;
use serde::Serialize;
use std::collections::BTreeMap;
use weir_event::Fault;

/// Starts and stops jobs.
#[async_trait]
pub trait Control: Send + Sync {
    /// Plans a job anew from the project's files and starts it from its last commit, or as it is asked for. Where it cannot
    /// be planned, what runs goes on.
    async fn restart(&self, job: &str, how: Restart) -> Result<(), ControlError>;

    /// Another version of this plugin is active: jobs that use it, or waited for it, are planned anew.
    async fn plugin_changed(&self, plugin: &str) -> Vec<PluginEffect>;

    /// Why jobs need this plugin whether they run or not, each job with its reason.
    async fn needs(&self, plugin: &str) -> Result<BTreeMap<String, String>, ControlError>;
}

/// How a job is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restart {
    /// Without its state.
    pub reset: bool,
    /// With the active versions of its plugins, also where others have made its state: what these have made begins anew.
    pub upgrade: bool,
}

/// Why a request to do something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// The project has no job of this name; it has these.
    Unknown(Vec<String>),
    /// The definition is refused, for these reasons.
    Refused(Vec<String>),
    /// It was tried and did not succeed.
    Failed {
        /// Whose fault it is.
        fault: Fault,
        /// What is wrong and what to do.
        message: String,
    },
}

/// What an activation did to one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginEffect {
    /// The job.
    pub job: String,
    /// Whether it runs with the new version.
    pub applied: bool,
    /// Why not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
