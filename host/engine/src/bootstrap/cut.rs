//! The cut: where a stream's archive ends and its log begins, decided when a job starts anew.
//!
//! Every row is to come from one side. Where some may be in neither, as the log begins behind the archive's end, that is
//! refused with both places, unless the definition allows it. A rule of definition and ends; reads nothing.

use super::StreamCut;
use super::ends::LogStart;
use crate::shared_look::ArchiveEnd;
use std::collections::BTreeMap;
use weir_connect::ConnectError;
use weir_core::Cut;
use weir_event::{EventTime, Span};
use weir_plan::definition::{Archive, ArchiveCut};

/// Where the two meet, as far as it had to be looked for.
#[derive(Debug)]
pub(crate) struct BothEnds {
    /// Nothing where the definition gives the time of the cut.
    pub(crate) archive: Option<ArchiveEnd>,
    pub(crate) log: BTreeMap<u16, LogStart>,
    pub(crate) now: EventTime,
}

/// Rows that may be in neither: the known times, and how people are told.
struct Gap {
    from: EventTime,
    until: EventTime,
    told: String,
}

/// Decides how a stream is cut.
pub(crate) fn decide(stream: &str, archive: &Archive, ends: &BothEnds) -> Result<StreamCut, ConnectError> {
    let (cut, from, gap) = match &archive.cut {
        ArchiveCut::At(time) => {
            // What lies between the cut and the log's first row can only be in the archive.
            let first = ends.log.values().filter_map(|start| start.known).min().unwrap_or(ends.now);
            let cut = first.max(*time);
            let begins = ends.log.values().filter_map(|start| start.lacks_before(ends.now)).max();
            let gap = begins.filter(|begins| begins > time).map(|until| Gap {
                from: *time,
                until,
                told: format!(
                    "it is cut at {time}, and its log does not reach back so far: it begins at {until}"
                ),
            });
            (Cut::At(cut), cut, gap)
        }
        ArchiveCut::Auto => at_newest(ends),
        ArchiveCut::ByOffset(_) => {
            refuse_another_log(stream, ends)?;
            by_offset(ends)
        }
    };
    match gap {
        Some(Gap { told, until, .. }) if !archive.allow_gap => {
            let mend = "put the rows between the two into the archive, or write `allow_gap: true` below `archive` in the \
                        stream's file: values are partial then that reach back before";
            Err(ConnectError::user(format!("stream `{stream}`: {told}; {mend} {until}")))
        }
        gap => {
            let gap = gap.map(|gap| (gap.from, gap.until));
            let starts = ends.log.iter().map(|(number, start)| (*number, start.position.clone())).collect();
            Ok(StreamCut { stream: stream.to_owned(), cut, from, newest_known: None, gap, starts })
        }
    }
}

/// At the newest known time of the archive, whose rows of that time may be more than it has: they are the log's.
fn at_newest(ends: &BothEnds) -> (Cut, EventTime, Option<Gap>) {
    let newest = ends.archive.as_ref().and_then(|archive| archive.known);
    let lacks = ends.log.values().filter_map(|start| start.lacks_before(ends.now)).max();
    let first = || ends.log.values().filter_map(|start| start.known).min().unwrap_or(ends.now);
    let begins = lacks.unwrap_or_else(first);
    let Some(newest) = newest else {
        let told = format!("its archive has no row, and its log begins at {begins}");
        let gap = Gap { from: EventTime::MIN, until: begins, told };
        return (Cut::At(EventTime::MIN), begins, Some(gap));
    };
    if begins <= newest {
        return (Cut::At(newest), newest, None);
    }
    let is_empty = ends.log.values().all(|start| start.known.is_none());
    let begins_at =
        if is_empty { format!("has no row yet at {begins}") } else { format!("begins at {begins}") };
    let told = format!("its archive ends at {newest}, and its log {begins_at}");
    let after = newest + Span::from_millis(1);
    (Cut::At(after), after, Some(Gap { from: newest, until: begins, told }))
}

/// A log that ends before what the archive has of it was made anew: its offsets are those of other records.
fn refuse_another_log(stream: &str, ends: &BothEnds) -> Result<(), ConnectError> {
    let archived = ends.archive.iter().flat_map(|archive| &archive.offsets);
    let is_short = archived.filter_map(|(partition, archived)| {
        let end = ends.log.get(partition)?.end?;
        (end < *archived).then_some((partition, end, archived))
    });
    let Some((partition, end, archived)) = is_short.into_iter().next() else { return Ok(()) };
    Err(ConnectError::user(format!(
        "stream `{stream}`: of partition {partition} its archive has the offsets before {archived}, and its log ends at {end}: \
         it is another log than that which was archived; cut the archive at a time instead"
    )))
}

fn by_offset(ends: &BothEnds) -> (Cut, EventTime, Option<Gap>) {
    let archive = ends.archive.clone().unwrap_or_default();
    let from = archive.known.unwrap_or(EventTime::MIN);
    let end = |partition: &u16| archive.offsets.get(partition).copied().unwrap_or_default();
    let behind = ends.log.iter().find(|(partition, start)| start.position.next > end(partition));
    let gap = behind.map(|(partition, start)| {
        let until = start.known.unwrap_or(ends.now);
        let (end, begins) = (end(partition), start.position.next);
        let told = format!(
            "of partition {partition} its archive has the offsets before {end}, and its log begins with {begins} ({until})"
        );
        Gap { from, until, told }
    });
    (Cut::Offsets(archive.offsets), from, gap)
}

impl LogStart {
    /// The known time before which rows of the partition may have been deleted; `None` of one that begins with its first.
    fn lacks_before(&self, now: EventTime) -> Option<EventTime> {
        (self.position.next > 0).then(|| self.known.unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weir_event::{Position, StreamSchema};
    use weir_plan::StreamOrigin;
    use weir_plan::definition::{FormatDefinition, OffsetColumns};

    fn at(millis: i64) -> EventTime {
        EventTime::from_millis(millis)
    }

    fn archive(cut: ArchiveCut, allow_gap: bool) -> Archive {
        let origin = StreamOrigin { kind: "file".to_owned(), settings: json!({}) };
        let schema = StreamSchema { fields: Vec::new(), event_time: 0 };
        Archive { format: FormatDefinition::default(), schema, origin, cut, allow_gap }
    }

    /// Each partition of the log begins with an offset and a known time, if it has a row; now is 1000.
    fn ends(known: Option<i64>, offsets: &[(u16, u64)], log: &[(u64, Option<i64>)]) -> BothEnds {
        let start = |(number, (next, known)): (u16, &(u64, Option<i64>))| {
            let position = Position { next: *next, place: String::new() };
            (number, LogStart { position, known: known.map(at), end: None })
        };
        let archive = ArchiveEnd { known: known.map(at), offsets: offsets.iter().copied().collect() };
        BothEnds { archive: Some(archive), log: (0..).zip(log).map(start).collect(), now: at(1000) }
    }

    fn decided(
        cut: ArchiveCut,
        allow_gap: bool,
        ends: &BothEnds,
    ) -> Result<(Cut, Option<(i64, i64)>), String> {
        let decided = decide("s", &archive(cut, allow_gap), ends).map_err(|error| error.message)?;
        Ok((decided.cut, decided.gap.map(|(from, until)| (from.millis(), until.millis()))))
    }

    #[test]
    fn an_archive_is_cut_at_its_newest_row_which_is_the_log_s_unless_that_begins_later() {
        let auto = |allow_gap, ends: &BothEnds| decided(ArchiveCut::Auto, allow_gap, ends);
        // A log from its first record on that reaches back, and one whose first records are gone.
        assert_eq!(
            auto(false, &ends(Some(500), &[], &[(0, Some(400)), (0, Some(700))])),
            Ok((Cut::At(at(500)), None))
        );
        assert_eq!(
            auto(false, &ends(Some(500), &[], &[(9, Some(500)), (9, Some(300))])),
            Ok((Cut::At(at(500)), None))
        );
        // Of one partition more is gone than the archive has.
        let late = ends(Some(500), &[], &[(9, Some(400)), (9, Some(501))]);
        let told = auto(false, &late).unwrap_err();
        assert!(
            told.contains("its archive ends at 1970-01-01T00:00:00.500Z") && told.contains(".501Z"),
            "{told}"
        );
        assert_eq!(auto(true, &late), Ok((Cut::At(at(501)), Some((500, 501)))));
        // A log without any row may have lost as much as it likes.
        for start in [(0, None), (7, None)] {
            assert_eq!(
                auto(true, &ends(Some(500), &[], &[start])),
                Ok((Cut::At(at(501)), Some((500, 1000))))
            );
        }
        let empty = ends(None, &[], &[(0, Some(400))]);
        assert!(auto(false, &empty).unwrap_err().contains("its archive has no row"));
        assert_eq!(auto(true, &empty).unwrap().0, Cut::At(EventTime::MIN), "everything is the log's");
    }

    #[test]
    fn a_time_that_is_given_holds_where_the_log_reaches_back_to_it() {
        let cut = |ends: &BothEnds| decided(ArchiveCut::At(at(500)), false, ends);
        for start in [(0, Some(5)), (5, Some(500)), (5, Some(1))] {
            assert_eq!(cut(&ends(None, &[], &[start])), Ok((Cut::At(at(500)), None)), "{start:?}");
        }
        // What is before a log's first row only the archive can have.
        for (start, first) in [((0, Some(900)), 900), ((0, None), 1000)] {
            assert_eq!(cut(&ends(None, &[], &[start])), Ok((Cut::At(at(first)), None)), "{start:?}");
        }
        for start in [(5, Some(501)), (5, None)] {
            let told = cut(&ends(None, &[], &[start])).unwrap_err();
            assert!(
                told.contains("it is cut at 1970-01-01T00:00:00.500Z") && told.contains("allow_gap: true"),
                "{told}"
            );
        }
    }

    #[test]
    fn by_offset_each_partition_begins_where_the_archive_ends() {
        let cut = ArchiveCut::ByOffset(OffsetColumns { partition: 0, offset: 0 });
        let offsets = [(0, 10), (1, 4)];
        let whole = ends(Some(500), &offsets, &[(10, Some(600)), (0, Some(1)), (0, None)]);
        let both = Cut::Offsets(offsets.into());
        assert_eq!(decided(cut.clone(), false, &whole), Ok((both.clone(), None)));
        let gone = ends(Some(500), &offsets, &[(10, Some(600)), (5, Some(700))]);
        let told = decided(cut.clone(), false, &gone).unwrap_err();
        assert!(
            told.contains("of partition 1 its archive has the offsets before 4, and its log begins with 5"),
            "{told}"
        );
        assert_eq!(decided(cut.clone(), true, &gone), Ok((both, Some((500, 700)))));
        let mut another = ends(Some(500), &offsets, &[(0, Some(1)), (0, Some(1))]);
        another.log.get_mut(&0).unwrap().end = Some(9);
        let told = decided(cut.clone(), false, &another).unwrap_err();
        assert!(told.contains("the offsets before 10, and its log ends at 9: it is another log"), "{told}");
        // A partition of which the archive has nothing is the log's from its first record on.
        let new = ends(Some(500), &offsets, &[(0, Some(1)), (0, Some(1)), (2, Some(800))]);
        assert!(
            decided(cut, false, &new)
                .unwrap_err()
                .contains("of partition 2 its archive has the offsets before 0")
        );
    }
}
