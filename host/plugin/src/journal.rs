//! What plugins have said last: their log lines, kept in memory for whoever asks. Knows a plugin's name and a job's; must
//! not know what a line means.

use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_event::EventTime;

/// Lines of one plugin that are kept.
const LINES: usize = 1000;

/// One line that a plugin has logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Its number, counted from 1 over the plugin's lines in this process; one that is missing was pushed out.
    pub number: u64,
    /// When it was logged, wall time.
    #[serde(serialize_with = "time_as_text")]
    pub at: EventTime,
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The job that had called; none while a component is admitted.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub job: Arc<str>,
    /// The text, cut where it is long.
    pub message: String,
}

fn time_as_text<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// The last lines of every plugin.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    plugins: Mutex<BTreeMap<Arc<str>, Lines>>,
}

#[derive(Debug, Default)]
struct Lines {
    written: u64,
    last: VecDeque<LogLine>,
    pace: LinePace,
}

/// How many lines came in the second of the last one.
#[derive(Debug, Default)]
struct LinePace {
    second: i64,
    admitted: u32,
    /// Lines that were dropped since one was admitted.
    dropped: u64,
}

impl Journal {
    /// Whether a line may be written now, where so many may be in a second; and how many were not since the last one.
    pub(crate) fn admit(&self, plugin: &Arc<str>, at: EventTime, per_second: u32) -> Option<u64> {
        let mut plugins = self.lock();
        let pace = &mut plugins.entry(Arc::clone(plugin)).or_default().pace;
        let second = at.millis().div_euclid(1000);
        if pace.second != second {
            (pace.second, pace.admitted) = (second, 0);
        }
        if pace.admitted >= per_second {
            pace.dropped += 1;
            return None;
        }
        pace.admitted += 1;
        Some(std::mem::take(&mut pace.dropped))
    }

    /// Keeps a line; its number is given to it here.
    pub(crate) fn write(&self, plugin: &Arc<str>, mut line: LogLine) {
        let mut plugins = self.lock();
        let lines = plugins.entry(Arc::clone(plugin)).or_default();
        lines.written += 1;
        line.number = lines.written;
        if lines.last.len() == LINES {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
    }

    /// The lines of a plugin behind number `after`, oldest first.
    pub(crate) fn read(&self, plugin: &str, after: u64) -> Vec<LogLine> {
        let plugins = self.lock();
        let lines = plugins.get(plugin).into_iter().flat_map(|lines| &lines.last);
        lines.filter(|line| line.number > after).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Lines>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_are_written_in_a_second_and_the_others_counted() {
        let (journal, plugin, other) = (Journal::default(), Arc::from("p"), Arc::from("q"));
        let admit = |millis: i64| journal.admit(&plugin, EventTime::from_millis(millis), 2);
        assert_eq!([1000, 1500, 1999, 1999].map(admit), [Some(0), Some(0), None, None]);
        assert_eq!(journal.admit(&other, EventTime::from_millis(1999), 2), Some(0));
        assert_eq!([2000, 2000, 2000, 3500].map(admit), [Some(2), Some(0), None, Some(1)]);
    }

    #[test]
    fn the_last_lines_are_kept_and_numbered() {
        let (journal, plugin) = (Journal::default(), Arc::from("p"));
        for at in 0..LINES as i64 + 5 {
            let message = at.to_string();
            let line = LogLine {
                number: 0,
                at: EventTime::from_millis(at),
                level: "info",
                job: "j".into(),
                message,
            };
            journal.write(&plugin, line);
        }
        let all = journal.read("p", 0);
        assert_eq!((all.len(), all[0].number, &*all[0].message), (LINES, 6, "5"));
        assert_eq!(journal.read("p", LINES as u64 + 4).len(), 1);
        assert_eq!(journal.read("other", 0), []);
    }
}
