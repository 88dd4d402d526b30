//! The clock of the machine, which waits by the runtime's timer: the only place that reads the wall, and the only one
//! that sleeps by it. Knows no component.

use std::time::Duration;
use weir_event::{Clock, EventTime, Sleep};

/// The machine's clocks. Waits need a tokio runtime, reading does not.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn new() -> Self {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> EventTime {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or_else(|before| -(before.duration().as_millis() as i64), |after| after.as_millis() as i64);
        EventTime::from_millis(since)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the one place that waits by the machine's clock")]
    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_as_long_as_it_is_told_and_knows_the_year() {
        let clock = SystemClock::new();
        let until = clock.monotonic() + Duration::from_millis(5);
        clock.sleep(Duration::from_millis(5)).await;
        assert!(clock.monotonic() >= until);
        assert!(clock.now() > "2020-01-01T00:00:00Z".parse().unwrap());
    }
}
