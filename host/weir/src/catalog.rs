//! What a query can name: the project's streams, and the functions of its active plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use weir_plan::{Catalog, ScalarFunction, StreamDefinition};
use weir_plugin::PluginRegistry;
use weir_timeline::Aggregate;
use weir_timeline::aggregate::Parameter;

/// The catalog of one project.
#[derive(Debug)]
pub(crate) struct ProjectCatalog {
    streams: BTreeMap<String, Arc<StreamDefinition>>,
    jobs: BTreeSet<String>,
    plugins: Arc<PluginRegistry>,
    /// Functions that a query named and nothing has, as often as it named them.
    missing: Mutex<Vec<String>>,
}

impl ProjectCatalog {
    /// Over these streams, jobs and plugins.
    pub(crate) fn new(
        streams: &[Arc<StreamDefinition>],
        jobs: impl IntoIterator<Item = String>,
        plugins: Arc<PluginRegistry>,
    ) -> Self {
        let streams = streams.iter().map(|stream| (stream.name.clone(), stream.clone())).collect();
        ProjectCatalog { streams, jobs: jobs.into_iter().collect(), plugins, missing: Mutex::default() }
    }

    /// The functions that the queries planned since the last call named and nothing has.
    pub(crate) fn take_missing(&self) -> Vec<String> {
        std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Catalog for ProjectCatalog {
    fn stream(&self, name: &str) -> Option<Arc<StreamDefinition>> {
        self.streams.get(name).cloned()
    }

    fn stream_names(&self) -> Vec<String> {
        self.streams.keys().cloned().collect()
    }

    fn has_job(&self, name: &str) -> bool {
        self.jobs.contains(name)
    }

    fn scalar(&self, name: &str) -> Option<Arc<dyn ScalarFunction>> {
        self.plugins.scalar(name)
    }

    fn scalar_names(&self) -> Vec<String> {
        self.plugins.scalar_names()
    }

    fn has_aggregate(&self, name: &str) -> bool {
        self.plugins.has_aggregate(name)
    }

    fn aggregate(
        &self,
        name: &str,
        arguments: &[arrow_schema::DataType],
        parameters: &[Parameter],
    ) -> Result<Arc<dyn Aggregate>, String> {
        self.plugins.aggregate(name, arguments, parameters)
    }

    fn aggregate_names(&self) -> Vec<String> {
        self.plugins.aggregate_names()
    }

    fn unseen(&self, name: &str) -> Option<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        // An export is written as `scalar name(..) -> ..`.
        let is_it = |export: &String| {
            export.split_once(' ').is_some_and(|(_, rest)| rest.split('(').next() == Some(name))
        };
        self.plugins.list().into_iter().find_map(|plugin| {
            let version = plugin.versions.iter().rfind(|version| version.exports.iter().any(is_it))?.version;
            let plugin = plugin.name;
            Some(format!(
                "plugin `{plugin}` version {version} has it, but is not active; run `weir plugin activate {plugin} {version}`"
            ))
        })
    }
}
