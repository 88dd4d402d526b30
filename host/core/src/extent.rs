//! Extent: how many rows came of each stretch of event time, in a few hundred numbers whatever the rows are. Two states that
//! have read the same tell by it whether one lacks what the other has.
//!
//! Must not know where rows come from, or what is made of them.

use serde::{Deserialize, Serialize};
use weir_event::EventTime;

/// The shortest stretch, milliseconds.
const HOUR: i64 = 3_600_000;
/// The most stretches; beyond that two become one. They are some 3 KB in a checkpoint.
const MOST: usize = 256;
/// A stretch is then longer than all time.
const MOST_DOUBLINGS: u32 = 40;

/// How many rows came, by their event time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extent {
    /// A stretch is an hour, doubled so often.
    doublings: u32,
    /// The number of each stretch that has rows, counted from 1970, and how many these are; rising.
    rows: Vec<(i64, u64)>,
}

/// Rows that one extent has and another has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// From the first stretch on in which some are missing.
    pub from: EventTime,
    /// Up to the end of the last.
    pub until: EventTime,
    /// How many are missing.
    pub missing: u64,
}

impl Extent {
    /// Counts rows of these event times, milliseconds.
    pub fn add(&mut self, times: &[i64]) {
        let mut left = times;
        while let Some(first) = left.first() {
            let step = self.step();
            let stretch = first.div_euclid(step);
            let begins = stretch.saturating_mul(step);
            let is_of_it =
                |time: &i64| time.checked_sub(begins).is_some_and(|after| (0..step).contains(&after));
            let count = 1 + left[1..].iter().take_while(|time| is_of_it(time)).count();
            self.count(stretch, count as u64);
            left = &left[count..];
        }
    }

    fn step(&self) -> i64 {
        HOUR.saturating_mul(1 << self.doublings.min(MOST_DOUBLINGS))
    }

    fn count(&mut self, stretch: i64, rows: u64) {
        match self.rows.binary_search_by_key(&stretch, |(number, _)| *number) {
            Ok(at) => self.rows[at].1 += rows,
            Err(at) => self.rows.insert(at, (stretch, rows)),
        }
        while self.rows.len() > MOST && self.doublings < MOST_DOUBLINGS {
            self.double();
        }
    }

    /// Stretches twice as long.
    fn double(&mut self) {
        self.doublings += 1;
        let mut doubled: Vec<(i64, u64)> = Vec::with_capacity(self.rows.len());
        for (stretch, rows) in self.rows.drain(..) {
            let stretch = stretch.div_euclid(2);
            match doubled.last_mut().filter(|(last, _)| *last == stretch) {
                Some((_, before)) => *before += rows,
                None => doubled.push((stretch, rows)),
            }
        }
        self.rows = doubled;
    }

    fn doubled_to(&self, doublings: u32) -> Extent {
        let mut all = self.clone();
        while all.doublings < doublings.min(MOST_DOUBLINGS) {
            all.double();
        }
        all
    }

    /// What this one lacks of another's rows, of stretches that begin at a time or later.
    pub fn lacks_of(&self, other: &Extent, since: EventTime) -> Option<Shortfall> {
        let doublings = self.doublings.max(other.doublings);
        let (own, other) = (self.doubled_to(doublings), other.doubled_to(doublings));
        let (step, mut shortfall) = (other.step(), None::<Shortfall>);
        for (stretch, rows) in other.rows {
            let begins = EventTime::from_millis(stretch.saturating_mul(step));
            let found = own.rows.binary_search_by_key(&stretch, |(number, _)| *number);
            let missing = rows.saturating_sub(found.map_or(0, |at| own.rows[at].1));
            if begins >= since && missing > 0 {
                let until = EventTime::from_millis(stretch.saturating_add(1).saturating_mul(step));
                let before = shortfall.map_or((begins, 0), |before| (before.from, before.missing));
                shortfall = Some(Shortfall { from: before.0, until, missing: before.1 + missing });
            }
        }
        shortfall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(times: &[i64]) -> Extent {
        let mut extent = Extent::default();
        times.chunks(3).for_each(|times| extent.add(times));
        extent
    }

    #[test]
    fn what_one_lacks_is_told_with_its_time() {
        let hours = |hours: std::ops::Range<i64>| hours.map(|hour| hour * HOUR + 5).collect::<Vec<_>>();
        let all = extent(&hours(-3..20));
        assert_eq!(all.lacks_of(&all, EventTime::MIN), None);
        let (late, holed) = (extent(&hours(4..30)), extent(&[hours(-3..7), hours(9..20)].concat()));
        let told = late.lacks_of(&all, EventTime::MIN).unwrap();
        assert_eq!((told.from.millis(), told.until.millis(), told.missing), (-3 * HOUR, 4 * HOUR, 7));
        let told = holed.lacks_of(&all, EventTime::MIN).unwrap();
        assert_eq!((told.from.millis(), told.until.millis(), told.missing), (7 * HOUR, 9 * HOUR, 2));
        // What nobody asks for any more may be missing.
        let at = |hour: i64| EventTime::from_millis(hour * HOUR);
        assert_eq!(late.lacks_of(&all, at(4)), None);
        assert_eq!(late.lacks_of(&all, at(3)).map(|told| told.missing), Some(1));
    }

    #[test]
    fn however_long_a_job_runs_it_stays_small_and_comparable() {
        let day = 24 * HOUR;
        let years: Vec<i64> = (0..2000).map(|number| number * day).collect();
        let mut all = extent(&years);
        assert!(all.rows.len() <= MOST && all.rows.iter().map(|(_, rows)| rows).sum::<u64>() == 2000);
        // Times that cannot be are no reason to panic.
        all.add(&[i64::MIN, i64::MAX, 0]);
        assert!(all.rows.len() <= MOST);
        let month = extent(&years[1970..]);
        assert_eq!(month.doublings, 0);
        let told = month.lacks_of(&extent(&years), EventTime::MIN).unwrap();
        assert_eq!((told.from.millis(), told.missing), (0, 1970));
        assert_eq!(extent(&years).lacks_of(&month, EventTime::MIN), None);
    }

    #[test]
    fn it_reads_back_as_it_was_stored() {
        let extent = extent(&[1, 2, 9 * HOUR]);
        let text = serde_json::to_string(&extent).unwrap();
        assert_eq!(text, r#"{"doublings":0,"rows":[[0,2],[9,1]]}"#);
        assert_eq!(serde_json::from_str::<Extent>(&text).unwrap(), extent);
    }
}
