//! Where a job begins in a log that it has read nothing of.
//!
//! Knows the words of a definition. Must not know any source: each has its own word for the oldest record.

use crate::settings::Settings;
use weir_event::EventTime;

/// Where a job starts that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// With the oldest record that is kept.
    Oldest,
    /// With the first record that comes after the job's first start.
    Latest,
    /// With the first record that came then or later.
    At(EventTime),
}

impl LogStart {
    /// Reads `start`, which is the oldest record where it is absent; `oldest` is the source's own word for that.
    pub(crate) fn read(settings: &mut Settings<'_>, oldest: &str) -> LogStart {
        let Some(text) = settings.optional::<serde_json::Value>("start") else { return LogStart::Oldest };
        let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
        LogStart::parse(&text, oldest).unwrap_or_else(|fault| {
            settings.error("start", fault);
            LogStart::Oldest
        })
    }

    fn parse(text: &str, oldest: &str) -> Result<LogStart, String> {
        match text {
            "latest" => Ok(LogStart::Latest),
            word if word == oldest => Ok(LogStart::Oldest),
            time => time.parse().map(LogStart::At).map_err(|_| {
                format!("`{time}` is neither {oldest}, latest nor a time such as 2026-01-31T12:00:00Z")
            }),
        }
    }
}
