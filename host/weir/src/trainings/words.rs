//! What a server and the process that makes a training set for it say to each other: the order is a line of JSON on the
//! process's standard input, which then stays open for as long as the server lives; a line each on its standard output is
//! how far it is and what became of it; its log, as JSON, has its warnings.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_serve::{TableFormat, TrainingProgress};

/// The word behind `weir`.
pub(crate) const COMMAND: &str = "make-training-set";
/// The spine, in the folder that the process is started in.
pub(crate) const SPINE: &str = "spine";
/// What is made of it, likewise.
pub(crate) const RESULT: &str = "result";

/// What the process says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Said {
    /// How far it is.
    Progress(TrainingProgress),
    /// It is done.
    Done(Made),
    /// It is not, for this reason.
    Failed(String),
}

/// What was made.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// How many rows it has.
    pub(crate) rows: u64,
    /// What its values are made of.
    pub(crate) made_of: Value,
}

/// The file of such a name in this format.
pub(crate) fn named(name: &str, format: TableFormat) -> String {
    format!("{name}.{}", format.name())
}
