//! How far reading is, for whoever waits: a line that is rewritten on a terminal, one in the log now and then elsewhere.
//!
//! Knows counts and durations. Must not know what is read.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use weir_engine::{Job, JobState, JobStatus};
use weir_event::{Clock, Ticks};

/// The line is rewritten so often.
const REDRAW_EVERY: Duration = Duration::from_millis(500);
/// The log has a line so often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Whether the terminal's last line is ours.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// Standard error without the line that shows progress: whoever writes there writes over it.
#[derive(Debug)]
pub(crate) struct OverLine;

impl Write for OverLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        clear();
        std::io::stderr().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Takes the line away, if there is one.
pub(crate) fn clear() {
    if DRAWN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone shows nothing anyway.
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
}

/// Shows how far these jobs are, for as long as it is polled.
pub(crate) async fn show(jobs: Vec<Arc<Job>>, clock: Arc<dyn Clock>) {
    let draws = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut ticks = Ticks::every(&clock, REDRAW_EVERY);
    let mut pace = Pace::new(Reading::of(&jobs), clock.monotonic());
    let mut logged_at = clock.monotonic();
    loop {
        ticks.tick().await;
        let (reading, now) = (Reading::of(&jobs), clock.monotonic());
        // A source says how much there is a moment after it was opened: what is said then counts as all of it.
        pace.learn(reading, now);
        if draws {
            // As in `clear`.
            let _ = write!(std::io::stderr(), "\r\x1b[2K{}", pace.line(reading, now));
            DRAWN.store(true, Ordering::Relaxed);
        } else if now.saturating_sub(logged_at) >= LOG_EVERY {
            logged_at = now;
            tracing::info!("{}", pace.line(reading, now));
        }
    }
}

/// How much was read, and how much is left where the sources know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    rows: u64,
    /// In a unit of the sources' own.
    left: Option<u64>,
    /// Entries of state that were read back, and how many there are, while a job does.
    restore: Option<(u64, u64)>,
}

impl Reading {
    fn of(jobs: &[Arc<Job>]) -> Reading {
        let statuses: Vec<JobStatus> = jobs.iter().map(|job| job.status()).collect();
        let left = statuses.iter().map(left).sum();
        let restores: Vec<_> = statuses.iter().filter_map(|status| status.restore).collect();
        let restore =
            restores.iter().fold((0, 0), |(read, of), restore| (read + restore.read, of + restore.of));
        Reading {
            rows: statuses.iter().map(|status| status.counts.events).sum(),
            left,
            restore: (!restores.is_empty()).then_some(restore),
        }
    }
}

fn left(status: &JobStatus) -> Option<u64> {
    match (&status.state, status.behind) {
        (JobState::Finished, _) => Some(0),
        (_, Some(behind)) => behind.records.or(behind.bytes),
        (_, None) => None,
    }
}

/// Turns readings into rate, share and time left.
#[derive(Debug)]
struct Pace {
    first: Reading,
    began: Duration,
    /// The most that was ever left, and when.
    most: Option<(u64, Duration)>,
    last: (u64, Duration),
}

impl Pace {
    fn new(first: Reading, now: Duration) -> Pace {
        Pace { first, began: now, most: first.left.map(|left| (left, now)), last: (first.rows, now) }
    }

    /// Takes note of how much there is.
    fn learn(&mut self, reading: Reading, now: Duration) {
        // Logs may grow while they are read.
        if let Some(left) = reading.left
            && self.most.is_none_or(|(most, _)| left > most)
        {
            self.most = Some((left, now));
        }
    }

    fn line(&mut self, reading: Reading, now: Duration) -> String {
        if let Some((read, of)) = reading.restore {
            return format!(
                "reading the state: {} of {} entries ({} %)",
                grouped(read),
                grouped(of),
                percent(read, of)
            );
        }
        let (rows_before, at) = std::mem::replace(&mut self.last, (reading.rows, now));
        let since = now.saturating_sub(at).as_secs_f64().max(0.001);
        let rate = (reading.rows.saturating_sub(rows_before) as f64 / since) as u64;
        let rows = reading.rows.saturating_sub(self.first.rows);
        let mut line = format!("read {} rows, {} rows/s", grouped(rows), grouped(rate));
        if let Some(left) = reading.left
            && let Some((most, since)) = self.most.filter(|(most, _)| *most > 0)
        {
            let done = most.saturating_sub(left);
            line = format!("{line}, {} %", percent(done, most));
            let took = now.saturating_sub(since.max(self.began));
            if done > 0 && left > 0 {
                let still = took.as_secs_f64() / done as f64 * left as f64;
                line = format!("{line}, {} left", in_words(Duration::from_secs_f64(still)));
            }
        }
        line
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part.min(whole)) * 100 / u128::from(whole.max(1))) as u64
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = (0..digits.len())
        .filter(|at| *at == 0 || (digits.len() - at).is_multiple_of(3))
        .map(|at| {
            let first = match digits.len() % 3 {
                0 => 3,
                rest => rest,
            };
            if at == 0 { &digits[..first] } else { &digits[at..at + 3] }
        })
        .collect();
    groups.join(",")
}

/// A duration as people say it: in one unit, of which it has at least two unless it is short.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(rows: u64, left: Option<u64>) -> Reading {
        Reading { rows, left, restore: None }
    }

    #[test]
    fn a_line_has_rows_rate_share_and_time_left() {
        let second = Duration::from_secs;
        let mut pace = Pace::new(reading(50, Some(1000)), second(0));
        assert_eq!(
            pace.line(reading(1_050, Some(750)), second(5)),
            "read 1,000 rows, 200 rows/s, 25 %, 15 s left"
        );
        assert_eq!(pace.line(reading(4_050, Some(0)), second(10)), "read 4,000 rows, 600 rows/s, 100 %");
        let mut unknown = Pace::new(reading(0, None), second(0));
        assert_eq!(unknown.line(reading(10, None), second(10)), "read 10 rows, 1 rows/s");
        // The source says how much there is only after it was opened.
        unknown.learn(reading(20, Some(100)), second(20));
        assert_eq!(unknown.line(reading(20, Some(100)), second(20)), "read 20 rows, 1 rows/s, 0 %");
        assert_eq!(
            unknown.line(reading(70, Some(50)), second(30)),
            "read 70 rows, 5 rows/s, 50 %, 10 s left"
        );
    }

    #[test]
    fn state_that_is_read_back_is_told_as_such() {
        let mut pace = Pace::new(reading(0, None), Duration::ZERO);
        let restoring = Reading { rows: 0, left: None, restore: Some((2_500, 10_000)) };
        assert_eq!(
            pace.line(restoring, Duration::from_secs(1)),
            "reading the state: 2,500 of 10,000 entries (25 %)"
        );
    }

    #[test]
    fn numbers_are_grouped_and_durations_are_told_in_one_unit() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
        for (seconds, words) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
