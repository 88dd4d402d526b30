//! The cut: where a stream's archive ends and its log begins, decided when a job starts anew.
//!
//! Every row is to come from one side. Where some may be in neither, as the log begins behind the archive's end, that is
//! refused with both places, unless the definition allows it. A rule of definition and ends; reads nothing.

use super::StreamCut;
use super::ends::{ArchiveEnd, LogStart};
use std::collections::BTreeMap;
use weir_connect::ConnectError;
use weir_core::Cut;
use weir_event::{EventTime, Span};
use weir_plan::definition::{Archive, ArchiveCut};

/// Where the two meet, as far as it had to be looked for.
#[derive(Debug)]
pub(crate) struct Ends {
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
pub(crate) fn decide(stream: &str, archive: &Archive, ends: &Ends) -> Result<StreamCut, ConnectError> {
    let (cut, from, gap) = match &archive.cut {
        ArchiveCut::At(time) => {
            let begins = ends.log.values().filter_map(|start| start.lacks_before(ends.now)).max();
            let gap = begins.filter(|begins| begins > time).map(|until| Gap {
                from: *time,
                until,
                told: format!(
                    "it is cut at {time}, and its log does not reach back so far: it begins at {until}"
                ),
            });
            (Cut::At(*time), *time, gap)
        }
        ArchiveCut::Auto => at_newest(ends),
        ArchiveCut::ByOffset(_) => by_offset(ends),
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
            Ok(StreamCut { stream: stream.to_owned(), cut, from, gap, starts })
        }
    }
}

/// At the newest known time of the archive, whose rows of that time may be more than it has: they are the log's.
fn at_newest(ends: &Ends) -> (Cut, EventTime, Option<Gap>) {
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

fn by_offset(ends: &Ends) -> (Cut, EventTime, Option<Gap>) {
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
