//! Where weir's own words go: stderr, as much as was asked for, as text or as JSON. stdout belongs to what was asked
//! for.

use crate::progress::OverLine;
use serde_json::{Map, Value};
use std::fmt;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use weir_engine::SystemClock;
use weir_event::Clock;
use weir_plan::definition::Log;

/// Says how much is logged where there is no project: a level, or levels by part.
const VARIABLE: &str = "WEIR_LOG";

/// Whether the log is JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// Whether whoever reads standard error takes each line for JSON.
pub(crate) fn is_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Starts logging of a command that has no project; `default` is how much where `WEIR_LOG` does not say.
pub(crate) fn start(default: &str) {
    let level =
        EnvFilter::try_from_env(VARIABLE).map_or_else(|_| default.to_owned(), |level| level.to_string());
    start_as(&Log { json: false, level });
}

/// Starts logging as a project's settings say. Only the first start of a process takes effect.
pub(crate) fn start_as(log: &Log) {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| OverLine);
    // Whichever was first says what this would.
    let started = if log.json {
        let json = Json { clock: SystemClock::new() };
        tracing::subscriber::set_global_default(lines.event_format(json).finish())
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing::subscriber::set_global_default(lines.with_ansi(colours).with_target(false).finish())
    };
    IS_JSON.fetch_or(started.is_ok() && log.json, Ordering::Relaxed);
}

/// One object a line: `time`, `level`, `target`, `message` and the event's own fields.
struct Json {
    clock: SystemClock,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let mut line = Fields(Map::new());
        line.0.insert("time".to_owned(), self.clock.now().to_string().into());
        line.0.insert("level".to_owned(), meta.level().as_str().into());
        line.0.insert("target".to_owned(), meta.target().into());
        event.record(&mut line);
        writeln!(out, "{}", Value::Object(line.0))
    }
}

/// The fields of an event as members of an object.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_an_object_on_a_line_of_its_own() {
        let page = Page::default();
        let writer = page.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let subscriber = lines.event_format(Json { clock: SystemClock::new() }).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(job = "a", count = 3, error = %"line\nbreak \"x\"", "it failed");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"WARN".into(), &"it failed".into()));
        assert_eq!((&line["job"], &line["count"]), (&"a".into(), &3.into()));
        assert_eq!(line["error"], "line\nbreak \"x\"");
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }
}
