//! Definitions, checked: what the rest of weir reads instead of the user's text.

use crate::diagnostic::Diagnostic;
use crate::job_plan::{Bootstrap, Emit, Late};
use crate::masks::Masks;
use std::collections::BTreeMap;
use weir_event::{EventTime, Span, StreamSchema};

/// Where a stream's events physically come from; the settings are parsed by the connector.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamOrigin {
    /// Kind, such as `kafka`.
    pub kind: String,
    /// Its settings as they stand in the definition.
    pub settings: serde_json::Value,
}

/// How records are read; the options are parsed by the format.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatDefinition {
    /// Its name, such as `json`.
    pub name: String,
    /// Its options as they stand in the definition.
    pub options: serde_json::Value,
}

impl FormatDefinition {
    /// The plugin that decodes such records, `{plugin: NAME}`.
    pub fn decoding_plugin(&self) -> Option<&str> {
        (self.name == "plugin").then(|| self.options.as_str()).flatten()
    }
}

impl Default for FormatDefinition {
    fn default() -> Self {
        FormatDefinition { name: "json".to_owned(), options: serde_json::json!({}) }
    }
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

/// How repeated events are told: by an id, seen before within a span of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedup {
    /// Index of the column that holds an event's id; an event without one is never a repeated one.
    pub event_id: usize,
    /// How long an id is remembered.
    pub within: Span,
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
    /// Partitions further ahead of the slowest than this are paused; never if `None`.
    pub max_skew: Option<Span>,
    /// How repeated events are told; none are if `None`.
    pub dedup: Option<Dedup>,
    /// Index of the column that says when a row could first be known.
    pub known_time: Option<usize>,
    /// Format of its records.
    pub format: FormatDefinition,
    /// Where they come from; `None` where a job's file names it.
    pub origin: Option<StreamOrigin>,
    /// Where those of the past are kept.
    pub archive: Option<Archive>,
}

/// The past of a stream: its rows, kept elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// Format of its records.
    pub format: FormatDefinition,
    /// The stream's columns, where they stand in its records.
    pub schema: StreamSchema,
    /// Where it is.
    pub origin: StreamOrigin,
    /// Which rows come from it, and which from the stream's own source.
    pub cut: ArchiveCut,
    /// Whether a job begins also where the archive ends before the log does.
    pub allow_gap: bool,
}

/// How an archive is cut from the log that goes on behind it: every row comes from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveCut {
    /// At the newest known time that the archive has.
    Auto,
    /// Rows that were known before this time are the archive's, the others the log's.
    At(EventTime),
    /// Rows of the archive say which record of the log each of them is.
    ByOffset(OffsetColumns),
}

/// Columns of an archive's schema that say which record of the log a row is; the names of both are the archive's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetColumns {
    /// Index of the column of the partition's number.
    pub partition: usize,
    /// Index of the column of the record's offset.
    pub offset: usize,
}

impl Archive {
    /// The columns that are decoded of it for a reader of these columns of the stream; behind them what tells records of the
    /// log, where it is cut by that.
    pub fn columns(&self, of_stream: &[usize]) -> Vec<usize> {
        let mut columns = of_stream.to_vec();
        if let ArchiveCut::ByOffset(OffsetColumns { partition, offset }) = self.cut {
            columns.extend([partition, offset]);
        }
        columns
    }

    /// The columns by which the cut is found: the event time, the known time where the stream declares one, and what tells
    /// records of the log where the archive is cut by that.
    pub fn places(&self, stream: &StreamDefinition) -> Vec<usize> {
        let times: Vec<usize> = std::iter::once(self.schema.event_time).chain(stream.known_time).collect();
        self.columns(&times)
    }
}

impl StreamDefinition {
    /// Where a job reads this stream: the source that the job names, completed by the settings of the stream's own
    /// if that is of the same kind, else the stream's own. The error says what to do where neither is given.
    pub fn origin_for(&self, named_by_job: Option<&StreamOrigin>) -> Result<StreamOrigin, String> {
        match (named_by_job, &self.origin) {
            (Some(named), Some(own)) if own.kind == named.kind => {
                let mut settings = own.settings.clone();
                if let (Some(settings), Some(named)) = (settings.as_object_mut(), named.settings.as_object())
                {
                    settings.extend(named.clone());
                }
                Ok(StreamOrigin { kind: named.kind.clone(), settings })
            }
            (Some(named), _) => Ok(named.clone()),
            (None, Some(own)) => Ok(own.clone()),
            (None, None) => Err(format!(
                "stream `{}` has no source; give it `source: {{KIND: {{..}}}}`, or the job `stream: {{KIND: NAME}}`",
                self.name
            )),
        }
    }
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

/// A field that a request brings for derived features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: weir_event::DataType,
    /// Line and column of the declaration.
    pub place: (u32, u32),
}

/// A feature that is computed when it is asked for, as a job declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedDefinition {
    /// Its name.
    pub name: String,
    /// The SQL expression that makes its value.
    pub expression: Query,
    /// Line and column of its name.
    pub place: (u32, u32),
}

/// A version of a plugin that a job pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Its number.
    pub version: u32,
    /// Line and column of the plugin's name.
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
    /// The fields that requests bring.
    pub request: Vec<RequestField>,
    /// The features that are computed when they are asked for.
    pub transform: Vec<DerivedDefinition>,
    /// What to do with late rows.
    pub late: Late,
    /// When result rows are written.
    pub emit: Emit,
    /// How far back `as_of` reaches.
    pub history: Span,
    /// Upper bound on the life of state.
    pub retention: Option<Span>,
    /// The old end of an `OVER` moves in steps of this; exactly where it is not given.
    pub tail: Option<Span>,
    /// Lookups say `stale` when the source is further behind.
    pub stale_after: Option<Span>,
    /// How it begins with its streams' archives.
    pub bootstrap: Bootstrap,
    /// Where results go.
    pub sinks: Vec<crate::job_plan::SinkPlan>,
    /// The physical source of the query's only table, where the job names it (Dryft's `stream`).
    pub origin: Option<StreamOrigin>,
    /// Versions of plugins that it pins, by plugin; of the others it has the active ones.
    pub pins: BTreeMap<String, Pin>,
    /// By plugin that is not pinned, the sha256 of the component whose aggregates and keyed logic it has although another
    /// version is active, as its state was made by them. No text says it: whoever knows the state does.
    pub state_made_by: BTreeMap<String, String>,
    /// Values of the environment that are in it: what is said of its query shows them no more than the rest does.
    pub masks: Masks,
}

impl JobDefinition {
    /// Refuses a retention that would end state while a window of the query, the longest of which is `longest`,
    /// still needs it.
    pub fn check_retention(&self, longest: Span) -> Option<Diagnostic> {
        let retention = self.retention.filter(|retention| *retention < longest)?;
        let message = format!(
            "`retention`: {retention} is shorter than the longest window, {longest}; write at least {longest}, or \
             leave it out"
        );
        Some(Diagnostic::error(&*self.file, 1, 1, message))
    }
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

impl Query {
    /// The line and column in the file of a line and column in the text, all counted from 1. Exact for a file of its
    /// own, a block after `|` and a text in one line; for others (`>`, escapes) as near as can be told.
    ///
    /// ```
    /// use weir_plan::definition::Query;
    /// let query = Query { text: "SELECT a\nFROM b".into(), file: "jobs/a.yaml".into(), line: 3, indent: 2 };
    /// assert_eq!(query.place(2, 6), (4, 8));
    /// ```
    pub fn place(&self, line_in_text: u32, column_in_text: u32) -> (u32, u32) {
        let line = self.line.saturating_add(line_in_text.max(1) - 1);
        (line, self.indent.saturating_add(column_in_text.max(1)))
    }
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
    /// How the server's own words are written.
    pub log: Log,
    /// Who is told what, over HTTP.
    pub hooks: Hooks,
    /// Bounds.
    pub limits: Limits,
    /// Plugins that have bounds of their own, by name.
    pub plugins: BTreeMap<String, PluginBounds>,
    /// Whose feature packs are installed.
    pub packs: Packs,
}

/// Whose feature packs are installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packs {
    /// Public keys of minisign that packs may be signed with.
    pub trusted_keys: Vec<String>,
    /// Whether each has to be signed with one of them.
    pub require_signature: bool,
}

/// What one plugin may take, where that is not what all may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginBounds {
    /// Memory of one of its instances.
    pub memory_bytes: Option<u64>,
    /// Fuel of one call.
    pub fuel_per_call: Option<u64>,
    /// Bytes that one call may give back.
    pub output_bytes: Option<u64>,
    /// Bytes of a state of an aggregate or of keyed logic.
    pub state_bytes: Option<u64>,
    /// Lines that it may log in a second.
    pub log_lines: Option<u32>,
}

/// Addresses that are told of what has happened, each by a POST.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Told when a job has the past of its streams.
    pub bootstrapped: Option<String>,
}

/// How a server's own words are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One JSON object a line, in place of text.
    pub json: bool,
    /// How much is said: a level, or levels by part.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { json: false, level: "info".to_owned() }
    }
}

impl Default for ServerDefinition {
    fn default() -> Self {
        ServerDefinition {
            listen: (std::net::Ipv4Addr::LOCALHOST, 8080).into(),
            token: None,
            data_dir: ".weir".to_owned(),
            shards: None,
            checkpoint_every: Span::from_millis(10_000),
            checkpoints_kept: 3,
            log: Log::default(),
            hooks: Hooks::default(),
            limits: Limits::default(),
            plugins: BTreeMap::new(),
            packs: Packs::default(),
        }
    }
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
    /// The spine of a training set that is posted.
    pub train_body_bytes: u64,
    /// Dead letters kept per stream.
    pub dead_letters_bytes: u64,
    /// Rows kept for one sink that is behind.
    pub outbox_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            plugin_memory_bytes: 64 << 20,
            plugin_fuel_per_call: 20_000_000,
            body_bytes: 10 << 20,
            train_body_bytes: 1 << 30,
            dead_letters_bytes: 1 << 30,
            outbox_bytes: 1 << 30,
        }
    }
}
