//! What a planner may look up by name: streams, and the functions that others bring.

use crate::definition::{JobDefinition, StreamDefinition};
use crate::expression::ExpressionError;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use weir_timeline::aggregate::Parameter;
use weir_timeline::{Aggregate, KeyedLogic};

/// A scalar function that a plugin brings.
pub trait ScalarFunction: Debug + Send + Sync {
    /// Its name in queries.
    fn name(&self) -> &str;
    /// Types of its arguments.
    fn arguments(&self) -> &[DataType];
    /// Type of its result.
    fn result(&self) -> &DataType;
    /// What makes its values: name and the sha256 of the component.
    fn identity(&self) -> &str;
    /// One value per row.
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef, ExpressionError>;
}

/// A plugin's function of what a lookup has: its values are rows, of which each column has a name.
#[derive(Debug, Clone)]
pub struct TransformFunction {
    /// The names of its arguments, in their order.
    pub arguments: Vec<String>,
    /// What computes it; its result is a struct.
    pub function: Arc<dyn ScalarFunction>,
}

/// What a plugin decodes payloads into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedColumns {
    /// The sha256 of the component.
    pub component: String,
    /// Names and types.
    pub columns: Vec<(String, DataType)>,
}

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PluginVersion {
    /// The plugin's name.
    pub plugin: String,
    /// The number of the version.
    pub version: u32,
    /// The sha256 of its component.
    pub component: String,
}

/// A version of a plugin that a job is to have and cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoVersion {
    /// The plugin.
    pub plugin: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Functions that a query can name beside those that weir brings itself.
pub trait FunctionCatalog: Send + Sync {
    /// A scalar function, to be called for a job: what its rows make a plugin do is that job's affair alone.
    fn scalar(&self, _job: &str, _name: &str) -> Option<Arc<dyn ScalarFunction>> {
        None
    }
    /// Names of all scalar functions.
    fn scalar_names(&self) -> Vec<String> {
        Vec::new()
    }
    /// A function of what a lookup has, likewise.
    fn transform(&self, _job: &str, _name: &str) -> Option<TransformFunction> {
        None
    }
    /// Names of all functions of what a lookup has.
    fn transform_names(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether there is an aggregate of this name.
    fn has_aggregate(&self, name: &str) -> bool {
        self.aggregate_names().iter().any(|known| known == name)
    }
    /// An aggregate, likewise, bound to argument types and constant parameters; the error says what does not fit.
    fn aggregate(
        &self,
        _job: &str,
        name: &str,
        _arguments: &[DataType],
        _parameters: &[Parameter],
    ) -> Result<Arc<dyn Aggregate>, String> {
        Err(format!("aggregate `{name}` not found"))
    }
    /// Names of all aggregates.
    fn aggregate_names(&self) -> Vec<String> {
        Vec::new()
    }
    /// The columns that keyed logic of this name reads of its table, by their names; `None` if there is no such logic.
    fn logic_arguments(&self, _name: &str) -> Option<Vec<String>> {
        None
    }
    /// Keyed logic, to be called for a job, bound to the types of these columns and to constants; the error says what does not
    /// fit.
    fn logic(
        &self,
        _job: &str,
        name: &str,
        _arguments: &[DataType],
        _parameters: &[Parameter],
    ) -> Result<Arc<dyn KeyedLogic>, String> {
        Err(format!("table function `{name}` not found"))
    }
    /// Names of all keyed logic.
    fn logic_names(&self) -> Vec<String> {
        Vec::new()
    }
    /// What a plugin decodes payloads into; `None` if no active plugin of this name does.
    fn decoded(&self, _plugin: &str) -> Option<DecodedColumns> {
        None
    }
    /// How to get a function of this name that is there but not for queries, if there is one.
    fn unseen(&self, _name: &str) -> Option<String> {
        None
    }
    /// The version whose component has this sha256, of those that have the functions of this catalog.
    fn version_of(&self, _component: &str) -> Option<PluginVersion> {
        None
    }
}

/// The functions of plugins, as each job sees them: another version than the active one may be a job's.
pub trait JobCatalogs: Send + Sync {
    /// What a job sees.
    ///
    /// # Errors
    /// Versions that it is to have and cannot.
    fn of_job(&self, job: &JobDefinition) -> Result<JobCatalog<'_>, Vec<NoVersion>>;
}

/// The functions that one job sees.
pub enum JobCatalog<'c> {
    /// Those that all jobs see.
    Shared(&'c dyn FunctionCatalog),
    /// Its own.
    Own(Box<dyn FunctionCatalog + 'c>),
}

impl<'c> Deref for JobCatalog<'c> {
    type Target = dyn FunctionCatalog + 'c;

    fn deref(&self) -> &Self::Target {
        match self {
            JobCatalog::Shared(shared) => *shared,
            JobCatalog::Own(own) => &**own,
        }
    }
}

/// All jobs see the same where there are no versions.
impl<C: FunctionCatalog> JobCatalogs for C {
    fn of_job(&self, _: &JobDefinition) -> Result<JobCatalog<'_>, Vec<NoVersion>> {
        Ok(JobCatalog::Shared(self))
    }
}

/// No function but those that weir brings itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltIns;

impl FunctionCatalog for BuiltIns {}

/// Everything that a query can name.
pub trait Catalog: Send + Sync {
    /// A stream.
    fn stream(&self, name: &str) -> Option<Arc<StreamDefinition>>;
    /// Names of all streams, for suggestions.
    fn stream_names(&self) -> Vec<String>;
    /// Whether a job has this name, which is not a stream's.
    fn has_job(&self, _name: &str) -> bool {
        false
    }
    /// The functions that plugins bring.
    fn functions(&self) -> &dyn FunctionCatalog;
    /// A query names a function that nothing has; see [`FunctionCatalog::unseen`].
    fn unseen(&self, name: &str) -> Option<String> {
        self.functions().unseen(name)
    }
}
