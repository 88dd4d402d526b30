//! What a job's calls into one version of a plugin took, for figures alone: nothing decides by it.

use crate::breaker::BreakerStatus;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that a job's instances of one version share.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    calls: AtomicU64,
    fuel: AtomicU64,
    traps: AtomicU64,
}

/// What a job's calls into a version of a plugin took since the job was first planned in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginUsage {
    /// The job.
    pub job: String,
    /// The plugin.
    pub plugin: String,
    /// The version.
    pub version: u32,
    /// Calls.
    pub calls: u64,
    /// Units of fuel that they used.
    pub fuel: u64,
    /// Calls that trapped or went beyond a limit.
    pub traps: u64,
    /// Whether calls are made.
    pub breaker: BreakerStatus,
    /// Why they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Usage {
    /// A call has ended.
    pub(crate) fn count(&self, fuel: u64, trapped: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.traps.fetch_add(u64::from(trapped), Ordering::Relaxed);
    }

    /// Calls, fuel and traps.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.calls, &self.fuel, &self.traps].map(|counter| counter.load(Ordering::Relaxed))
    }
}
