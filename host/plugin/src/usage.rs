//! What a job's calls into one version of a plugin took, for figures alone: nothing decides by it.

use crate::breaker::BreakerStatus;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters that a job's instances of one version share.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    calls: AtomicU64,
    rows: AtomicU64,
    fuel: AtomicU64,
    nanoseconds: AtomicU64,
    traps: AtomicU64,
    memory_bytes: AtomicU64,
}

/// What one call took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallCost {
    pub(crate) fuel: u64,
    pub(crate) time: Duration,
    /// Memory and tables that the instance holds afterwards.
    pub(crate) memory_bytes: u64,
    pub(crate) trapped: bool,
}

/// What a job's calls into a version of a plugin took since the job was first planned in this process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginUsage {
    /// The job.
    pub job: String,
    /// The plugin.
    pub plugin: String,
    /// The version.
    pub version: u32,
    /// Calls.
    pub calls: u64,
    /// Rows that they were given; a row whose call failed and was tried again counts once.
    pub rows: u64,
    /// Units of fuel that they used.
    pub fuel: u64,
    /// How long they ran, in seconds.
    pub seconds: f64,
    /// The most memory that one instance held, in bytes.
    pub memory_bytes: u64,
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
    pub(crate) fn count(&self, cost: CallCost) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.fuel.fetch_add(cost.fuel, Ordering::Relaxed);
        self.nanoseconds.fetch_add(cost.time.as_nanos() as u64, Ordering::Relaxed);
        self.traps.fetch_add(u64::from(cost.trapped), Ordering::Relaxed);
        self.memory_bytes.fetch_max(cost.memory_bytes, Ordering::Relaxed);
    }

    /// So many rows have their results.
    pub(crate) fn count_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// What it comes to for a job and a version of a plugin.
    pub(crate) fn shown(
        &self,
        [job, plugin]: [&str; 2],
        version: u32,
        (breaker, reason): (BreakerStatus, Option<String>),
    ) -> PluginUsage {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PluginUsage {
            job: job.to_owned(),
            plugin: plugin.to_owned(),
            version,
            calls: read(&self.calls),
            rows: read(&self.rows),
            fuel: read(&self.fuel),
            seconds: Duration::from_nanos(read(&self.nanoseconds)).as_secs_f64(),
            memory_bytes: read(&self.memory_bytes),
            traps: read(&self.traps),
            breaker,
            reason,
        }
    }
}
