//! What the queries of a project can name: its streams, and the functions that were handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use weir_plan::{Catalog, FunctionCatalog, StreamDefinition};

/// The catalog of one project.
pub(crate) struct ProjectCatalog<'a> {
    streams: BTreeMap<&'a str, &'a Arc<StreamDefinition>>,
    jobs: BTreeSet<&'a str>,
    functions: &'a dyn FunctionCatalog,
    /// Functions that a query named and nothing has, as often as it named them.
    missing: Mutex<Vec<String>>,
}

impl<'a> ProjectCatalog<'a> {
    /// Over these streams, names of jobs and functions.
    pub(crate) fn new(
        streams: &'a [Arc<StreamDefinition>],
        jobs: &'a [String],
        functions: &'a dyn FunctionCatalog,
    ) -> Self {
        let streams = streams.iter().map(|stream| (stream.name.as_str(), stream)).collect();
        let jobs = jobs.iter().map(String::as_str).collect();
        ProjectCatalog { streams, jobs, functions, missing: Mutex::default() }
    }

    /// The functions that the queries planned so far named and nothing has.
    pub(crate) fn into_missing(self) -> Vec<String> {
        self.missing.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalog for ProjectCatalog<'_> {
    fn stream(&self, name: &str) -> Option<Arc<StreamDefinition>> {
        self.streams.get(name).map(|stream| Arc::clone(stream))
    }

    fn stream_names(&self) -> Vec<String> {
        self.streams.keys().map(ToString::to_string).collect()
    }

    fn has_job(&self, name: &str) -> bool {
        self.jobs.contains(name)
    }

    fn functions(&self) -> &dyn FunctionCatalog {
        self.functions
    }

    fn unseen(&self, name: &str) -> Option<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        self.functions.unseen(name)
    }
}
