//! Definitions, checked: what the rest of weir reads instead of the user's text.

use crate::job_plan::Late;
use weir_event::{Span, StreamSchema};

/// Where a stream's events physically come from; the settings are parsed by the connector.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOrigin {
    /// Kind, such as `kafka`.
    pub kind: String,
    /// Its settings as they stand in the definition.
    pub settings: serde_json::Value,
}

/// What happens when every partition is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenIdle {
    /// The watermark goes on at the wall's pace.
    #[default]
    Advance,
    /// It stays.
    Hold,
    /// Everything open is written.
    Flush,
}

/// A stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamDefinition {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: StreamSchema,
    /// Watermark = newest event time - disorder, per partition.
    pub disorder: Span,
    /// Read to its end and silent so long: does not hold the watermark back.
    pub idle_after: Span,
    /// What happens when all are idle.
    pub when_idle: WhenIdle,
    /// Further ahead of known time than this is a dead letter.
    pub max_future: Span,
    /// Index of the column that says when a row could first be known.
    pub known_time: Option<usize>,
    /// Format of its records, such as `json`.
    pub format: String,
    /// Where they come from; `None` where a job's file names it.
    pub origin: Option<StreamOrigin>,
}

/// A feature as a job declares it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureDefinition {
    /// Its name: a column of the query (or any name, where the query has a single feature).
    pub name: String,
    /// Declared type; the query's if `None`.
    pub data_type: Option<weir_event::DataType>,
    /// Its version; the job's if `None`.
    pub version: Option<u32>,
    /// What it means.
    pub description: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Given when no row is in the window.
    pub default: Option<serde_json::Value>,
    /// Line and column of the declaration.
    pub place: (u32, u32),
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDefinition {
    /// Its name.
    pub name: String,
    /// Version of the whole definition.
    pub version: u32,
    /// The file of the definition, relative to the project.
    pub file: String,
    /// The query.
    pub query: Query,
    /// Declared features.
    pub features: Vec<FeatureDefinition>,
    /// What to do with late rows.
    pub late: Late,
    /// How far back `as_of` reaches.
    pub history: Span,
    /// Upper bound on the life of state.
    pub retention: Option<Span>,
    /// Lookups say `stale` when the source is further behind.
    pub stale_after: Option<Span>,
    /// Where results go.
    pub sinks: Vec<crate::job_plan::SinkPlan>,
    /// The physical source of the query's only table, where the job names it (Dryft's `stream`).
    pub origin: Option<StreamOrigin>,
}

/// The text of a query and where it stands, so that a place in it can be told as a place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The text.
    pub text: String,
    /// The file that holds it.
    pub file: String,
    /// Line of its first character in that file, counted from 1.
    pub line: u32,
    /// Columns to add on every line (the indentation of a YAML block) plus 1 is where its lines begin.
    pub indent: u32,
}

/// Settings of the server, `weir.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerDefinition {
    /// Where HTTP listens.
    pub listen: std::net::SocketAddr,
    /// The bearer token; required beyond loopback.
    pub token: Option<String>,
    /// Where state lives, relative to the project folder.
    pub data_dir: String,
    /// Shards per job; the number of cores if `None`.
    pub shards: Option<u16>,
    /// How often a checkpoint is made, wall time.
    pub checkpoint_every: Span,
    /// How many checkpoints are kept.
    pub checkpoints_kept: u32,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds on what one request, plugin or folder may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one plugin instance.
    pub plugin_memory_bytes: u64,
    /// Fuel of one guest call.
    pub plugin_fuel_per_call: u64,
    /// A request's body.
    pub body_bytes: u64,
    /// Dead letters kept per stream.
    pub dead_letters_bytes: u64,
}
