//! Versions of plugins that jobs run with while others are active: which, why, and what changes to the active ones.
//!
//! Must not know how a job came by them.

use serde::Serialize;
use weir_plan::{JobPlan, PluginVersion, UsedVersion};
use weir_plugin::PluginRegistry;

/// A version that a job runs with while another one is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OlderVersion {
    /// The plugin.
    pub plugin: String,
    /// The version that the job runs with.
    pub version: u32,
    /// The version that is active.
    pub active: Option<u32>,
    /// Whether the job's definition names its version.
    pub pinned: bool,
    /// All that in words, and what to do.
    pub told: String,
}

/// Those of a plan's job; nothing while a version is being activated, for which nobody who only looks is to wait.
pub fn older_versions(plan: &JobPlan, plugins: &PluginRegistry) -> Vec<OlderVersion> {
    // Most jobs call no plugin.
    let active = if plan.versions.is_empty() { None } else { plugins.active_versions() };
    let Some(active) = active else { return Vec::new() };
    let older = plan.versions.iter().filter_map(|used| {
        let UsedVersion { of: PluginVersion { plugin, version, .. }, is_pinned, .. } = used;
        let active = active.get(plugin).copied();
        (active != Some(*version)).then(|| OlderVersion {
            plugin: plugin.clone(),
            version: *version,
            active,
            pinned: *is_pinned,
            told: told(&plan.name, used, active),
        })
    });
    older.collect()
}

fn told(job: &str, used: &UsedVersion, active: Option<u32>) -> String {
    let PluginVersion { plugin, version, .. } = &used.of;
    let active =
        active.map_or_else(|| "none is active".to_owned(), |active| format!("version {active} is active"));
    if used.is_pinned {
        return format!(
            "runs with version {version} of plugin `{plugin}`, which it pins, while {active}; `plugins: {{{plugin}: active}}` of \
             the job follows that"
        );
    }
    if used.makes_state {
        return format!(
            "goes on with version {version} of plugin `{plugin}`, which alone can read the state that it has made, while {active}; \
             `weir restart {job} --upgrade` changes to that: what the plugin has made begins anew, and is filled from the archive \
             of the job's stream if there is one"
        );
    }
    format!(
        "runs with version {version} of plugin `{plugin}`, while {active}; `weir restart {job}` changes to that"
    )
}
