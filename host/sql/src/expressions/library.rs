//! The scalar functions that a query can call: the expression library's and the plugins'.
//!
//! Knows names and which functions have no place in a stream. Must not know a query.

use super::functions::{self, ContainerPlanner};
use super::plugin;
use arrow_schema::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_nested::planner::NestedFunctionPlanner;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use weir_plan::{FunctionCatalog, ScalarFunction, TransformFunction};

/// What a name is among the scalar functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A function of the library.
    Library,
    /// A function of a plugin.
    Plugin,
    /// A function whose values differ from call to call, so that a replay would make other features.
    Volatile,
    /// No function.
    Unknown,
}

/// The library's functions by every name they have, in lower case.
static LIBRARY: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions = datafusion_functions::all_default_functions()
        .into_iter()
        .chain(datafusion_functions_nested::all_default_nested_functions());
    let mut by_name = HashMap::new();
    for function in functions {
        for alias in function.aliases() {
            by_name.insert(alias.to_lowercase(), function.clone());
        }
        by_name.insert(function.name().to_lowercase(), function);
    }
    for function in functions::all() {
        by_name.insert(function.name().to_owned(), function.clone());
    }
    by_name
});

/// What a function of the library is, called by this name.
fn of_library(name: &str, function: &ScalarUDF) -> Found {
    // The library's own version: a new one would change a feature without a trace.
    if name == "version" || function.signature().volatility != Volatility::Immutable {
        return Found::Volatile;
    }
    Found::Library
}

/// Whether the library has a function of this name, in lower case.
pub(crate) fn is_of_library(name: &str) -> bool {
    LIBRARY.contains_key(name)
}

/// Every function that [`Functions::find`] finds in the library, in the order of their names.
pub(crate) fn documented() -> Vec<Arc<ScalarUDF>> {
    let callable = |(name, function): &(&String, &Arc<ScalarUDF>)| {
        **name == function.name().to_lowercase() && of_library(name, function) == Found::Library
    };
    let mut found: Vec<_> = LIBRARY.iter().filter(callable).collect();
    found.sort_unstable_by_key(|(name, _)| *name);
    found.into_iter().map(|(_, function)| function.clone()).collect()
}

/// The scalar functions of one project, as one job calls them.
pub(crate) struct Functions<'a> {
    catalog: &'a dyn FunctionCatalog,
    /// The job that is planned.
    job: &'a str,
    /// Whether expressions are computed at lookups, and may call what is for those.
    at_lookups: bool,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: ConfigOptions,
}

impl<'a> Functions<'a> {
    pub(crate) fn new(catalog: &'a dyn FunctionCatalog, job: &'a str) -> Self {
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(CoreFunctionPlanner::default()),
            Arc::new(UnicodeFunctionPlanner),
            Arc::new(NestedFunctionPlanner),
            Arc::new(ContainerPlanner),
        ];
        Functions { catalog, job, at_lookups: false, planners, options: ConfigOptions::default() }
    }

    /// Those that may be called for what is computed at lookups.
    pub(crate) fn at_lookups(catalog: &'a dyn FunctionCatalog, caller: &'a str) -> Self {
        Functions { at_lookups: true, ..Functions::new(catalog, caller) }
    }

    fn of_plugins(&self, name: &str) -> Option<Arc<dyn ScalarFunction>> {
        let scalar = self.catalog.scalar(self.job, name);
        scalar.or_else(|| Some(self.transform(name)?.function))
    }

    fn transform(&self, name: &str) -> Option<TransformFunction> {
        self.catalog.transform(self.job, name).filter(|_| self.at_lookups)
    }

    /// The names by which the arguments of a function may be found.
    pub(crate) fn named_arguments(&self, name: &str) -> Option<Vec<String>> {
        Some(self.transform(name)?.arguments)
    }

    /// What a name, in lower case, is. The library's functions hide a plugin's of the same name: a plugin that is
    /// added must not change what a running query means.
    pub(crate) fn find(&self, name: &str) -> Found {
        match LIBRARY.get(name) {
            Some(function) => of_library(name, function),
            None if self.of_plugins(name).is_some() => Found::Plugin,
            None => Found::Unknown,
        }
    }

    /// Names of all functions, for suggestions.
    pub(crate) fn names(&self) -> Vec<String> {
        let transforms = if self.at_lookups { self.catalog.transform_names() } else { Vec::new() };
        self.catalog.scalar_names().into_iter().chain(transforms).chain(LIBRARY.keys().cloned()).collect()
    }
}

impl ContextProvider for Functions<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        Err(DataFusionError::Plan(format!("`{name}` is not available inside an expression")))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let library = LIBRARY.get(name).cloned();
        library.or_else(|| self.of_plugins(name).map(|function| Arc::new(plugin::function(function))))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
