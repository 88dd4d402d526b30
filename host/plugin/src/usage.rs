//! What calls into one version of a plugin took, for figures alone: nothing decides by it.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that instances of one version share.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    calls: AtomicU64,
    fuel: AtomicU64,
    traps: AtomicU64,
}

/// What calls into a version of a plugin took since this process loaded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginUsage {
    /// The plugin.
    pub name: String,
    /// The version.
    pub version: u32,
    /// Calls.
    pub calls: u64,
    /// Units of fuel that they used.
    pub fuel: u64,
    /// Calls that trapped or went beyond a limit.
    pub traps: u64,
}

impl Usage {
    /// A call has ended.
    pub(crate) fn count(&self, fuel: u64, trapped: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.traps.fetch_add(u64::from(trapped), Ordering::Relaxed);
    }

    pub(crate) fn shown(&self, name: &str, version: u32) -> PluginUsage {
        let [calls, fuel, traps] =
            [&self.calls, &self.fuel, &self.traps].map(|counter| counter.load(Ordering::Relaxed));
        PluginUsage { name: name.to_owned(), version, calls, fuel, traps }
    }
}
