//! Idleness that goes on from what was heard before says what the one says that heard it.

use super::plan;
use crate::idle::Idleness;
use std::time::Duration;
use weir_event::{EventTime, JobWatermark, PartitionId};

const P0: PartitionId = PartitionId { source: 0, partition: 0 };
const P1: PartitionId = PartitionId { source: 0, partition: 1 };

/// One that has read to the ends of two partitions, of which the first speaks at these seconds.
struct Side {
    idleness: Idleness,
    watermark: JobWatermark,
}

impl Side {
    fn new(idleness: Idleness) -> Side {
        let mut side = Side { idleness, watermark: JobWatermark::default() };
        for partition in [P0, P1] {
            side.watermark.update(partition, EventTime::from_millis(1));
            side.idleness.caught_up(partition, Duration::ZERO);
        }
        side
    }

    fn second(&mut self, at: u64) -> (EventTime, [bool; 2]) {
        let now = Duration::from_secs(at);
        if [5, 30, 31].contains(&at) {
            self.idleness.wake(now, &mut self.watermark);
            self.watermark.update(P0, EventTime::from_millis(at as i64 * 1000));
            self.idleness.heard(P0, now);
            self.idleness.caught_up(P0, now);
        }
        self.idleness.tick(now, &mut self.watermark);
        (self.watermark.current(), [P0, P1].map(|partition| self.watermark.is_idle(partition)))
    }
}

#[test]
fn who_goes_on_from_what_was_heard_says_what_who_heard_it_says() {
    let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '1' HOUR)";
    let idleness = || Idleness::of(&plan(query, "idle_after: 10s", ""));
    let mut whole = Side::new(idleness());
    let expected: Vec<_> = (0..60).map(|at| whole.second(at)).collect();
    let kinds: std::collections::BTreeSet<_> = expected.iter().map(|(_, idle)| *idle).collect();
    assert!(kinds.len() > 2, "{kinds:?}");
    for broken_off in 0..60 {
        let mut side = Side::new(idleness());
        let mut found: Vec<_> = (0..broken_off).map(|at| side.second(at)).collect();
        side.idleness = idleness().after(side.idleness.silences());
        found.extend((broken_off..60).map(|at| side.second(at)));
        assert_eq!(found, expected, "broken off at {broken_off}");
    }
}
