//! Made-up events: a live source of ride-share actions, and the same as a file for measuring.
//!
//! Two shapes of one world. The *source* is a replayable log: event `i` is a function of the seed and `i` alone,
//! so that it goes on from any position at once, and it is in order. The *file* of [`write_rides`] is made from front
//! to back: a new ride begins at each `ride_requested`, and a tenth of it is out of order. Both have the same fields,
//! and users that are text or numbers as they are asked to. Knows no time but what it is told.

mod random;
mod rides;
mod source;
mod world;

pub use self::rides::write_rides;
pub use self::source::{GeneratorSettings, GeneratorSource};
pub use self::world::Users;

use crate::context::SourceContext;
use crate::settings::{SettingError, Settings};
use serde_json::Value;
use std::sync::Arc;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{KeyDoc, Source};
use weir_event::suggestion::unknown;

/// More users than this would only cost memory: no table of theirs would fit into a cache.
const MAX_KEYS: u32 = 10_000_000;

const KINDS: &[&str] = &["rides"];

/// The keys of a `generator` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    KeyDoc::new("kind", "rides", REQUIRED, "what happens in the events"),
    KeyDoc::new("rate", "events a second", "1000", "how far apart event times are, and how fast events come"),
    KeyDoc::new("seed", "whole number", "0", "the same seed makes the same events"),
    KeyDoc::new("keys", "1 to 10000000", "1000", "how many users there are"),
    KeyDoc::new(
        "users",
        "text or numbers",
        "text",
        "what `user_id` is: \"u42\", or 42 as in the files of `weir generate`",
    ),
    KeyDoc::new("until", "whole number", NONE, "how many events there are"),
    KeyDoc::new(
        "start",
        "time",
        "the job's first start",
        "the first event's time; a past one is a backlog, read at full speed",
    ),
];

/// The source `generator: {kind: rides, rate, seed, keys, users, until, start}`.
pub fn source(settings: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(settings, SOURCE_KEYS);
    let defaults = GeneratorSettings::default();
    let kind: Option<String> = settings.required("kind", "rides");
    if let Some(kind) = kind.filter(|kind| !KINDS.contains(&kind.as_str())) {
        settings.error("kind", format!("`{kind}`: {}", unknown("kind", &kind, KINDS.iter().copied())));
    }
    let read = GeneratorSettings {
        rate: settings.optional("rate").unwrap_or(defaults.rate),
        seed: settings.optional("seed").unwrap_or(defaults.seed),
        keys: settings.optional("keys").unwrap_or(defaults.keys),
        users: settings.optional("users").unwrap_or(defaults.users),
        until: settings.optional("until"),
        start: settings.parsed("start"),
    };
    if read.rate == 0 {
        settings.error("rate", "must be at least one event per second");
    }
    if !(1..=MAX_KEYS).contains(&read.keys) {
        settings.error("keys", format!("must be 1 to {MAX_KEYS} users"));
    }
    context.needs_lines(&mut settings);
    settings.finish()?;
    Ok(Arc::new(GeneratorSource::new(read, context.clock.clone())))
}

#[cfg(test)]
mod tests;
