//! What a format gives: how a stream's records are read by it, and what a sink's rows are written with.
//!
//! Must not know any format.

use crate::registry::Surroundings;
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use weir_connect::settings::SettingError;
use weir_connect::{ConnectError, Decoder, Encoder, FileLayout};

/// How the records of a stream are read: its format with the options that its definition gives.
#[async_trait]
pub trait StreamFormat: Send + Sync + Debug {
    /// How files of it fall into records.
    fn layout(&self) -> FileLayout;

    /// A decoder for the columns of these indexes, in this order. Callers include the event time's column whenever
    /// they want it required.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    fn decoder(&self, columns: &[usize]) -> Arc<dyn Decoder>;

    /// Looks whether what records need to be decoded can be had where it is; what was found, for a person, if anything had to
    /// be asked. Has no effect.
    async fn probe(&self) -> Result<Option<String>, ConnectError> {
        Ok(None)
    }
}

/// Something that is wrong with a stream's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatProblem {
    /// With one of its options, or with it as a whole.
    Option(SettingError),
    /// With what the stream declares of the field of this index.
    Field(usize, String),
}

/// Errors of options, as problems of the format.
pub(crate) fn of_options(errors: Vec<SettingError>) -> Vec<FormatProblem> {
    errors.into_iter().map(FormatProblem::Option).collect()
}

impl std::fmt::Display for FormatProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FormatProblem::Option(error) => std::fmt::Display::fmt(error, f),
            FormatProblem::Field(_, message) => f.write_str(message),
        }
    }
}

/// Where rows are written that a format is to encode.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// Whether a record also says what weir knows of its row.
    pub meta: bool,
    /// Whether records stand in files one behind the other, or each is a message of its own.
    pub in_files: bool,
    /// Under which subject schemas are registered that the options give no subject for.
    pub subject: &'a str,
    /// What it may need.
    pub around: &'a dyn Surroundings,
}

impl Writing<'_> {
    /// Refuses `meta` for a format that has no place for it.
    pub(crate) fn without_meta(&self, format: &str) -> Result<(), Vec<SettingError>> {
        if !self.meta {
            return Ok(());
        }
        let message =
            format!("{format} has no place for what weir says of a row; use jsonl, or leave `meta` out");
        Err(vec![SettingError::new("", message)])
    }
}

/// What a sink writes with.
#[derive(Debug, Clone)]
pub struct SinkFormat {
    /// How the names of files end.
    pub ending: &'static str,
    /// Makes records of rows.
    pub encoder: Arc<dyn Encoder>,
}
