//! Definitions and plans: what the user wrote, checked, and what the engine runs.
//!
//! The way in: texts of files -> [`check`] (all errors at once, no I/O) -> [`definition`] -> a planner that
//! turns a job's query into a [`JobPlan`] with the help of a [`Catalog`] -> the engine. Others implement the
//! traits here: `sql` makes plans and [`Expression`]s, `plugin` makes [`ScalarFunction`]s.
//!
//! Must not know: SQL text, DataFusion, WASM, any connector's settings, HTTP, threads.

pub mod catalog;
pub mod check;
pub mod definition;
pub mod diagnostic;
pub mod expression;
pub mod hash;
pub mod job_plan;
mod listing;
pub mod masks;
mod row_shape;
pub mod state_shape;
pub mod transform;
pub mod values;

pub use catalog::{
    BuiltIns, Catalog, DecodedColumns, FunctionCatalog, JobCatalog, JobCatalogs, NoVersion, PluginVersion,
    ScalarFunction, TransformFunction,
};
pub use check::{
    Checked, ConnectorKinds, Context, FormatProblem, LOOKUP_PARAMETERS, Outcome, ProjectFiles, RecordKind,
    SettingProblem, SourceFile, Survey, check_job, check_project, check_server, check_stream, is_name,
    needed_query_files, place_of_variable, server_variables, survey,
};
pub use definition::{
    Dedup, DerivedDefinition, FormatDefinition, JobDefinition, Pin, RequestField, ServerDefinition,
    StreamDefinition, StreamOrigin,
};
pub use diagnostic::{Diagnostic, Severity};
pub use expression::{COMPONENT_MARK, Expression, ExpressionError, plugin_calls};
pub use job_plan::{
    Bootstrap, Column, ColumnRole, Emit, Feature, JobPlan, KeyedStage, Late, LatePolicy, OnFull, Output,
    PastPace, PastWrites, Projection, SinkPlan, StreamInput, Unnest, UsedVersion,
};
pub use masks::Masks;
pub use state_shape::{AggregateShape, Ground, StateShape};
pub use transform::{DerivedFeature, DerivedInput, Transform};
pub use values::fits;
