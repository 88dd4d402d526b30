//! What the queries of one job see: the active versions of plugins, except where the job pins another one, or where the
//! job's state was made by another one, whose aggregates and keyed logic alone can read it. Must not know where that is
//! said.

use crate::aggregate::AggregateWorld;
use crate::describe::Described;
use crate::plugin::Plugin;
use crate::process::ProcessWorld;
use crate::registry::PluginRegistry;
use crate::world::World;
use std::sync::Arc;
use weir_plan::{JobDefinition, NoVersion, PluginVersion};

/// The functions that one job sees.
pub(crate) struct Seen<'r> {
    pub(crate) registry: &'r PluginRegistry,
    /// Of these plugins it sees nothing but these versions.
    pinned: Vec<Arc<Plugin>>,
    /// Of these it sees aggregates and keyed logic before those of the active versions.
    making_state: Vec<Arc<Plugin>>,
}

impl<'r> Seen<'r> {
    /// What a job sees by its definition.
    pub(crate) fn by(registry: &'r PluginRegistry, job: &JobDefinition) -> Result<Self, Vec<NoVersion>> {
        let pinned = job.pins.iter().map(|(name, pin)| {
            registry.version(name, |record| {
                let has_it = record.version(pin.version).is_some();
                has_it.then_some(pin.version).ok_or_else(|| {
                    let (version, last) = (pin.version, record.versions.len());
                    format!("`plugins.{name}`: plugin `{name}` has no version {version}; it has 1 to {last}")
                })
            })
        });
        let followed = job.state_made_by.iter().filter(|(name, _)| !job.pins.contains_key(*name));
        let making_state = followed.map(|(name, sha256)| {
            let version = registry.version(name, |record| {
                let known = record.by_hash(sha256).map(|known| known.version);
                known.ok_or_else(|| format!("plugin `{name}` has no version of the hash {sha256}"))
            });
            version.map_err(|NoVersion { plugin, reason }| NoVersion { reason: only_reader(&reason), plugin })
        });
        let (pinned, making_state) = (sorted(pinned), sorted(making_state));
        match (pinned, making_state) {
            (Ok(pinned), Ok(making_state)) => Ok(Seen { registry, pinned, making_state }),
            (pinned, making_state) => {
                Err([pinned, making_state].into_iter().filter_map(Result::err).flatten().collect())
            }
        }
    }

    /// What a job sees that names no version.
    pub(crate) fn active(registry: &'r PluginRegistry) -> Self {
        Seen { registry, pinned: Vec::new(), making_state: Vec::new() }
    }

    /// A function of this kind and name.
    pub(crate) fn find(&self, world: &dyn World, name: &str) -> Option<(Arc<Plugin>, Described)> {
        let before_active = self.pinned.iter().chain(self.making_state.iter().filter(|_| makes_state(world)));
        let own = before_active.into_iter().find_map(|plugin| {
            let mut functions = plugin.functions().iter();
            let function = functions.find(|it| it.name == name && it.kind == world.kind())?;
            Some((Arc::clone(plugin), function.clone()))
        });
        own.or_else(|| self.registry.find(world, name).filter(|(plugin, _)| !self.pins(plugin.name())))
    }

    /// Names of the functions of a kind.
    pub(crate) fn names(&self, world: &dyn World) -> Vec<String> {
        let own = self.pinned.iter().chain(self.making_state.iter().filter(|_| makes_state(world)));
        let own = own.flat_map(|plugin| plugin.functions()).filter(|it| it.kind == world.kind());
        let active = self.registry.names(world).into_iter().filter(|name| self.find(world, name).is_some());
        let mut names: Vec<String> = own.map(|function| function.name.clone()).chain(active).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The version of a plugin that the job pins.
    pub(crate) fn pinned_version(&self, name: &str) -> Option<u32> {
        let plugin = self.pinned.iter().find(|plugin| plugin.name() == name)?;
        Some(self.registry.change().plugins.get(name)?.by_hash(plugin.sha256())?.version)
    }

    pub(crate) fn version_of_component(&self, sha256: &str) -> Option<PluginVersion> {
        let own = self.pinned.iter().chain(&self.making_state);
        let own =
            own.filter(|plugin| plugin.sha256() == sha256).map(|plugin| plugin.name().to_owned()).next();
        let ledger = self.registry.change();
        let is_active = |(_, record): &(&String, &crate::ledger::Record)| {
            let active = record.active().and_then(|version| record.version(version));
            active.is_some_and(|active| active.sha256 == sha256)
        };
        let plugin = own.or_else(|| Some(ledger.plugins.iter().find(is_active)?.0.clone()))?;
        let version = ledger.plugins.get(&plugin)?.by_hash(sha256)?.version;
        Some(PluginVersion { plugin, version, component: sha256.to_owned() })
    }

    fn pins(&self, name: &str) -> bool {
        self.pinned.iter().any(|plugin| plugin.name() == name)
    }
}

/// Whether functions of a kind have states.
fn makes_state(world: &dyn World) -> bool {
    [AggregateWorld.kind(), ProcessWorld.kind()].contains(&world.kind())
}

/// Why a version has to be there that is not active.
fn only_reader(reason: &str) -> String {
    format!(
        "its state was made by a version of a plugin that alone can read it, and that is not there: {reason}"
    )
}

/// All of them, or whatever is wrong with any.
fn sorted(
    versions: impl Iterator<Item = Result<Arc<Plugin>, NoVersion>>,
) -> Result<Vec<Arc<Plugin>>, Vec<NoVersion>> {
    let (found, missing): (Vec<_>, Vec<_>) = versions.partition(Result::is_ok);
    if missing.is_empty() {
        return Ok(found.into_iter().filter_map(Result::ok).collect());
    }
    Err(missing.into_iter().filter_map(Result::err).collect())
}
