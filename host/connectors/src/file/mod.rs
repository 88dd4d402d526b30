//! Files: a source that reads them line by line and a sink that writes them, whole and exactly once.
//!
//! Knows names, bytes and line ends. Must not know what a line means, nor when a checkpoint is safe.

mod cut;
mod family;
mod finished;
mod input;
mod moved;
mod names;
mod open;
mod place;
mod read;
mod real;
mod sink;
mod source;
mod trace;
mod whereabouts;
mod written;

pub use self::sink::{FileSink, FileSinkSettings};
pub use self::source::{FileSource, FileSourceSettings};

use crate::context::{SinkContext, SourceContext};
use crate::settings::{SettingError, Settings};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{KeyDoc, Sink, Source};
use weir_event::Span;

/// The keys of a `file` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "path",
        "file or glob",
        REQUIRED,
        "the files by name (part-9 before part-10; a rotated log by age), from the project's folder; also .gz",
    ),
    KeyDoc::new("follow", "true or false", "false", "whether to wait for more lines and files"),
];

/// The keys of a `file` sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    KeyDoc::new("path", "folder", REQUIRED, "where finished files appear, from the project's folder"),
    KeyDoc::new("format", "jsonl", "jsonl", "how a row is written"),
    KeyDoc::new(
        "meta",
        "true or false",
        "false",
        "whether each row says its job, version, key, window, revision and op in `_weir`",
    ),
    KeyDoc::new(
        "roll",
        "duration",
        NONE,
        "how long a file collects rows; without it each checkpoint finishes its own",
    ),
];

/// The source `file: {path, follow}`; `path` starts at the project folder and may be a glob.
pub fn source(settings: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(settings, SOURCE_KEYS);
    let path: Option<String> = settings.required("path", "a file or a glob, such as data/*.jsonl");
    let follow: bool = settings.optional("follow").unwrap_or_default();
    refuse_nul(path.as_deref(), &mut settings);
    if let Some(Err(error)) = path.as_deref().map(glob::Pattern::new) {
        settings.error("path", format!("not a glob: {error}"));
    }
    settings.finish()?;
    let path = path.unwrap_or_default();
    let settings = FileSourceSettings { follow, ..FileSourceSettings::new(&context.project, path) };
    Ok(Arc::new(FileSource::new(settings, context.clock.clone())))
}

/// The sink `file: {path, format, meta, roll}`; `path` is a folder and starts at the project folder.
pub fn sink(settings: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(settings, SINK_KEYS);
    let path: Option<String> = settings.required("path", "a folder, such as out/user_activity");
    refuse_nul(path.as_deref(), &mut settings);
    let meta: bool = settings.optional("meta").unwrap_or_default();
    let roll: Option<Span> = settings.parsed("roll");
    let ending: Option<String> = settings.optional("format");
    let format = weir_format::by_ending(ending.as_deref().unwrap_or("jsonl"));
    if let Err(error) = &format {
        settings.error("format", error.to_string());
    }
    if roll.is_some_and(|roll| roll <= Span::ZERO) {
        settings.error("roll", "must be longer than nothing; leave it out to finish a file per checkpoint");
    }
    settings.finish()?;
    let format = format.map_err(|error| vec![SettingError::new("format", error.to_string())])?;
    let folder = context.project.join(path.unwrap_or_default());
    let place = place_in(&context.project, &folder);
    let settings = FileSinkSettings { folder, place, format, meta, roll, mark: context.mark.clone() };
    Ok(Box::new(FileSink::new(&context.job, settings, context.clock.clone())))
}

/// A folder as it is seen from the project's, if it is in that.
fn place_in(project: &Path, folder: &Path) -> PathBuf {
    let (project, folder) = (real::cleaned(project), real::cleaned(folder));
    folder.strip_prefix(&project).map(Path::to_owned).unwrap_or(folder)
}

fn refuse_nul(path: Option<&str>, settings: &mut Settings) {
    if path.is_some_and(|path| path.contains('\0')) {
        settings.error("path", "holds a NUL character, which no path can; leave it out");
    }
}

#[cfg(test)]
mod tests;
