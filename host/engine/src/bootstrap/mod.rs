//! Bootstrap: a job that starts anew begins with the past that its streams keep elsewhere, and goes on with their logs.
//!
//! What of it lasts is part of every checkpoint: which rows come from where is decided once, by [`cut`], and how far the
//! job has come with that survives a crash. Knows phases and counts; must not know how anything is read.

pub(crate) mod cut;
pub(crate) mod ends;
pub(crate) mod handover;
pub(crate) mod phases;

use crate::beside::job_of;
use crate::status::{BootstrapStatus, SideStatus};
use handover::Handover;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_core::Cut;
use weir_event::{EventTime, PartitionId, Position, Span};
use weir_plan::JobPlan;

/// How far a job has come with the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It reads the archives, and streams without one.
    Past,
    /// It reads the logs, and its watermark is not beyond the past yet.
    Log,
    /// The past is over, and sinks are still to get each key's current result.
    Owed,
    /// The past is over.
    Done,
}

/// What a job remembers of how it began with the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bootstrap {
    pub(crate) phase: Phase,
    /// By input, where its archive is cut from its log; none of an input without an archive.
    pub(crate) cuts: BTreeMap<usize, StreamCut>,
    /// The newest event time of the past, as far as it was read.
    pub(crate) newest: Option<EventTime>,
    /// Bytes of the past when the job began with it, where that is known.
    pub(crate) bytes: Option<u64>,
    /// By input, what its archive consisted of when the job began with it, until that is read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parts: BTreeMap<usize, Vec<(String, u64)>>,
    /// Where the job stood whose place this state has taken, until it is as far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handover: Option<Handover>,
    /// What was read of all archives.
    pub(crate) archive: Side,
    /// What was read of the logs, until the past was over.
    pub(crate) log: Vec<(PartitionId, Side)>,
}

/// How one stream is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamCut {
    pub(crate) stream: String,
    pub(crate) cut: Cut,
    /// The known time from which on the log has everything.
    pub(crate) from: EventTime,
    /// The newest known time of the archive's rows that count, as far as they were read.
    #[serde(default)]
    pub(crate) newest_known: Option<EventTime>,
    /// Between these known times rows may be in neither, which the definition allows.
    pub(crate) gap: Option<(EventTime, EventTime)>,
    /// Where each partition of the log began then, which is to be kept until it is read.
    pub(crate) starts: Vec<(u16, Position)>,
}

/// Rows of one side of the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Side {
    /// Rows that count on this side.
    pub(crate) rows: u64,
    /// Rows that do not, as they are the other side's.
    pub(crate) refused: u64,
}

impl StreamCut {
    /// The archive is read up to the cut: the log has what comes behind the last of its rows.
    pub(crate) fn end_archive(&mut self) {
        if let Cut::At(time) = &mut self.cut {
            let end = self.newest_known.map_or(EventTime::MIN, |newest| newest + Span::from_millis(1));
            *time = (*time).min(end);
            self.from = self.from.min(*time);
        }
    }
}

impl Phase {
    /// Whether something of the past is still to be read.
    pub(crate) fn is_before_end(self) -> bool {
        matches!(self, Phase::Past | Phase::Log)
    }
}

impl Bootstrap {
    pub(crate) fn of(
        cuts: BTreeMap<usize, StreamCut>,
        bytes: Option<u64>,
        parts: BTreeMap<usize, Vec<(String, u64)>>,
    ) -> Bootstrap {
        let archive = Side::default();
        let (newest, log, handover) = (None, Vec::new(), None);
        Bootstrap { phase: Phase::Past, cuts, newest, bytes, parts, handover, archive, log }
    }

    /// What of the archives is not there any more that is still to be read, and what to do; `now` is what they consist of.
    pub(crate) fn missing(&self, job: &str, now: &BTreeMap<usize, Vec<(String, u64)>>) -> Option<String> {
        let (input, name) = self.parts.iter().find_map(|(input, parts)| {
            let there: BTreeMap<&str, u64> =
                now.get(input).into_iter().flatten().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
            // One may have grown: what came later is behind the cut.
            let is_gone =
                |(name, bytes): &&(String, u64)| there.get(name.as_str()).is_none_or(|now| now < bytes);
            parts.iter().find(is_gone).map(|(name, _)| (input, name))
        })?;
        let stream = self.cuts.get(input).map_or("", |cut| &cut.stream);
        let job = job_of(job);
        Some(format!(
            "stream `{stream}`: its archive was changed while it was read: `{name}` is gone, or shorter; put it back, or have \
             the job begin anew with --reset {job}"
        ))
    }

    /// Whether a partition's beginning says nothing of what the job lacks: what lies before it is in an archive.
    pub(crate) fn covers(&self, partition: PartitionId) -> bool {
        self.cuts.contains_key(&partition.input())
    }

    /// Since when the job has all data of the streams that have an archive; `None` for all that there is.
    pub(crate) fn data_since(&self) -> Option<EventTime> {
        let since = |cut: &StreamCut| match self.phase {
            Phase::Past | Phase::Log => Some(cut.from),
            Phase::Owed | Phase::Done => cut.gap.map(|(_, until)| until),
        };
        self.cuts.values().filter_map(since).max()
    }

    /// The archives are read: where one ends before its cut, the log has what comes behind that end.
    pub(crate) fn end_archives(&mut self) {
        self.parts.clear();
        self.cuts.values_mut().for_each(StreamCut::end_archive);
    }

    /// Counts rows of a block.
    pub(crate) fn count(&mut self, partition: PartitionId, rows: Side) {
        let side = if partition.is_of_archive() {
            &mut self.archive
        } else {
            let at = self.log.partition_point(|(other, _)| *other < partition);
            if self.log.get(at).is_none_or(|(other, _)| *other != partition) {
                self.log.insert(at, (partition, Side::default()));
            }
            &mut self.log[at].1
        };
        side.rows += rows.rows;
        side.refused += rows.refused;
    }

    /// For people and programs; `left` are the bytes of the past that are still to be read.
    pub(crate) fn status(&self, plan: &JobPlan, left: Option<u64>) -> BootstrapStatus {
        let side = |side: &Side| SideStatus { rows: side.rows, refused: side.refused };
        let of_log = |(partition, counted): &(PartitionId, Side)| {
            let stream = plan.input_of(*partition).map(|input| input.stream.name.clone());
            (format!("{}/{}", stream.unwrap_or_default(), partition.partition), side(counted))
        };
        let left = match self.phase {
            Phase::Past => left,
            Phase::Log | Phase::Owed | Phase::Done => Some(0),
        };
        BootstrapStatus {
            state: match self.phase {
                Phase::Past => "archive",
                Phase::Log => "log",
                Phase::Owed | Phase::Done => "done",
            },
            cut: self.cuts.values().map(|cut| (cut.stream.clone(), cut.cut.to_string())).collect(),
            gap: self.cuts.values().filter_map(|cut| Some((cut.stream.clone(), cut.gap?))).collect(),
            archive: side(&self.archive),
            log: self.log.iter().map(of_log).collect(),
            bytes: self.bytes,
            left_bytes: left,
            is_new: false,
            seconds_left: None,
        }
    }
}
