//! Training sets as requests see them: what is asked for, how far it is, and who makes it. Whoever wires weir together does
//! that.
//!
//! Must not know HTTP, nor how a training set is made.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Makes training sets, a few at a time; others wait for their turn. All of it blocks for as long as a disk takes.
pub trait Training: Send + Sync {
    /// Whether there are such features to ask for, JOB:FEATURE or JOB.
    fn judge(&self, features: &[String]) -> Result<(), FeaturesRefused>;

    /// Takes a place among those that wait, for a spine that is about to come.
    fn reserve(&self) -> Result<Box<dyn TrainingPlace>, TrainingRefused>;

    /// All that are known, the newest last.
    fn list(&self) -> Vec<TrainingStatus>;

    /// One of them.
    fn one(&self, id: &str) -> Option<TrainingStatus>;

    /// The file of one that is done.
    fn result(&self, id: &str) -> Option<PathBuf>;

    /// Stops one and removes what there is of it; whether it was known.
    fn remove(&self, id: &str) -> bool;
}

/// A place for a training set whose spine is not there yet. Dropped, it is free again, and what came of the spine is gone.
pub trait TrainingPlace: Send + Sync {
    /// Where the spine is to be written.
    fn spine(&self) -> &Path;

    /// Lets it be made, in its turn.
    fn start(self: Box<Self>, order: TrainingOrder) -> Result<TrainingStatus, TrainingRefused>;
}

/// Why features cannot be asked for, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeaturesRefused {
    /// There is nothing of the name.
    Unknown(String),
    /// There is, and it has no values that anybody can ask for.
    Unusable(String),
}

/// Why a training set is not taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingRefused {
    /// What is in the way, and what to do.
    pub message: String,
    /// After how long it is worth to ask again.
    pub retry_after_seconds: u32,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingOrder {
    /// JOB:FEATURE, or JOB for all of its features.
    pub features: Vec<String>,
    /// Which events count.
    pub as_of: TrainingRule,
    /// How long after it was known an event is in lookups, such as 200ms.
    pub serving_delay: String,
    /// The spine's column of the moment.
    pub time: String,
    /// Whether each feature has a column of its status beside it.
    pub status: bool,
    /// Whether logs are read behind archives.
    #[serde(default)]
    pub with_log: bool,
    /// What the spine is.
    pub spine_format: TableFormat,
    /// What the training set is to be.
    pub format: TableFormat,
}

/// Which events count for a row of the spine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingRule {
    /// Those that were known by then.
    Known,
    /// All that happened by then.
    Event,
}

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// With a line of names.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl TableFormat {
    /// Each of them.
    pub const ALL: [TableFormat; 3] = [TableFormat::Csv, TableFormat::Jsonl, TableFormat::Parquet];

    /// Its name, and the end of the names of such files.
    pub fn name(self) -> &'static str {
        match self {
            TableFormat::Csv => "csv",
            TableFormat::Jsonl => "jsonl",
            TableFormat::Parquet => "parquet",
        }
    }

    /// What a header calls it.
    pub fn content_type(self) -> &'static str {
        match self {
            TableFormat::Csv => "text/csv",
            TableFormat::Jsonl => "application/x-ndjson",
            TableFormat::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// How a training set stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingState {
    /// For its turn.
    Waiting,
    /// It is made.
    Running,
    /// Its file is there.
    Done,
    /// For a reason.
    Failed,
}

/// How far a training set is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Events that were read of the history, of all jobs.
    pub events: u64,
    /// Rows of the spine that have all answers of a job, summed over jobs, and how many there will be.
    pub answered: u64,
    /// See there.
    pub of: u64,
    /// From 0 to 1, once it is known how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// One training set, as it is answered and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingStatus {
    /// What it is asked for by.
    pub id: String,
    /// How it stands.
    pub state: TrainingState,
    /// Why it failed, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many are made before it, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<usize>,
    /// How far it is.
    #[serde(default)]
    pub progress: TrainingProgress,
    /// What was asked for.
    #[serde(flatten)]
    pub order: TrainingOrder,
    /// How large the spine is.
    pub spine_bytes: u64,
    /// When the spine was there.
    pub posted_at: String,
    /// When its turn came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it was done, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Until when it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<String>,
    /// What could not be used of its history or spine.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How many rows it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How large its file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Definitions, versions, plugins and counts of what its values are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_of: Option<Value>,
}

impl TrainingStatus {
    /// Of one whose spine was there at `posted_at`, and whose turn has not come.
    pub fn waiting(id: String, order: TrainingOrder, spine_bytes: u64, posted_at: String) -> TrainingStatus {
        TrainingStatus {
            id,
            state: TrainingState::Waiting,
            reason: None,
            ahead: None,
            progress: TrainingProgress::default(),
            order,
            spine_bytes,
            posted_at,
            started_at: None,
            ended_at: None,
            kept_until: None,
            warnings: Vec::new(),
            rows: None,
            bytes: None,
            made_of: None,
        }
    }
}
