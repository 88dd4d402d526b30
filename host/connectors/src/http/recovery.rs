//! Opening an ingest log: which rows it holds, and whether its files are what weir wrote.
//!
//! A crash leaves at most one torn frame at the very end (nobody was answered for it): it is cut off, and kept aside, for
//! damage to the last frame looks the same. Anything else that does not fit (a broken frame with a whole one after it, a
//! gap between files, files of two logs) is damage to rows that senders were told are safe: the log is refused, never
//! repaired in silence.

use super::end;
use super::frame::BatchNote;
use super::identity::LogIdentity;
use super::segment::{Frames, HEADER_BYTES, Segment, Step, damaged, disk_error};
use super::tail::cut_tail;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use weir_connect::{ConnectError, make_folder};

/// What a log held when it was opened.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Which log it is.
    pub(super) log: LogIdentity,
    /// Its segments, oldest first; at least one, the last is the one that is written to.
    pub(super) segments: Vec<Segment>,
    /// Bytes of the last segment that hold whole frames.
    pub(super) length: u64,
    /// The offset after the last row.
    pub(super) end: u64,
    /// The newest ingest stamp, milliseconds since the epoch.
    pub(super) newest: i64,
    /// Batches that came with an idempotency key which is remembered yet, oldest first, with their stamps.
    pub(super) keyed: Vec<(i64, BatchNote)>,
}

/// What opening a log depends on beside its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// Milliseconds since the epoch.
    pub(super) now: i64,
    /// For how long idempotency keys are remembered, in milliseconds.
    pub(super) keys_for: i64,
    /// Where a log begins that is made: the offset that no job has read beyond.
    pub(super) origin: u64,
}

/// Opens or makes the log in `dir`.
pub(super) fn recover(dir: &Path, circumstances: Circumstances) -> Result<Recovered, ConnectError> {
    let Circumstances { now, keys_for, origin } = circumstances;
    make_folder(dir).map_err(|error| disk_error("create the folder", dir, &error))?;
    let mut segments = open_segments(dir)?;
    if segments.is_empty() {
        segments.push(begin(dir, now, origin)?);
    }
    let log = identity(&segments)?;
    let last = segments.len() - 1;
    let remembered = now.saturating_sub(keys_for);
    let scan_from = (0..last).find(|index| segments[index + 1].created > remembered).unwrap_or(last);
    let mut recovered = Recovered { log, segments, length: 0, end: 0, newest: i64::MIN, keyed: Vec::new() };
    for index in scan_from..=last {
        recovered.scan(index)?;
        let segments = &recovered.segments;
        if index < last && recovered.end != segments[index + 1].base {
            let what = format!("it ends at row {}, and no file goes on from there", recovered.end);
            return Err(damaged(&segments[index].path, &what));
        }
    }
    recovered.keyed.retain(|(stamp, _)| *stamp > remembered);
    recovered.newest = recovered.newest.max(recovered.segments[last].created);
    recovered.tell_loss(dir);
    recovered.leave_old_format(dir)?;
    Ok(recovered)
}

/// Begins a log. One that jobs have read before was moved away or lost.
fn begin(dir: &Path, now: i64, origin: u64) -> Result<Segment, ConnectError> {
    if origin > 0 {
        tracing::warn!(
            "the ingest log {} is not there, though jobs have read it up to row {origin}: a new one begins at that row; \
             rows that were accepted into the old one and not read by every job are missing in those",
            dir.display()
        );
    }
    Segment::create(dir, origin, now, LogIdentity::new(origin))
}

/// Which log these are the segments of. One of whose files none says it gets an identity.
fn identity(segments: &[Segment]) -> Result<LogIdentity, ConnectError> {
    let mut said = segments.iter().filter_map(|segment| Some((segment.log?, segment)));
    let Some((log, _)) = said.next() else {
        return Ok(LogIdentity::new(segments.first().map_or(0, |first| first.base)));
    };
    match said.find(|(other, _)| *other != log) {
        Some((_, segment)) => Err(damaged(&segment.path, "it is of another log than the files before it")),
        None => Ok(log),
    }
}

/// The segments by offset. A last one that a crash left without its header is removed: it has no row.
fn open_segments(dir: &Path) -> Result<Vec<Segment>, ConnectError> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let entries = fs::read_dir(dir).map_err(|error| disk_error("list", dir, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| disk_error("list", dir, &error))?.path();
        let base = path
            .extension()
            .filter(|extension| *extension == "log")
            .and_then(|_| path.file_stem()?.to_str().filter(|stem| stem.len() == 20)?.parse::<u64>().ok());
        found.extend(base.map(|base| (base, path)));
    }
    found.sort();
    let mut segments = Vec::with_capacity(found.len());
    let last = found.len();
    for (index, (base, path)) in found.into_iter().enumerate() {
        match Segment::open(&path, base)? {
            Some(segment) => segments.push(segment),
            None if index + 1 == last => {
                fs::remove_file(&path).map_err(|error| disk_error("remove", &path, &error))?;
            }
            None => return Err(damaged(&path, "its header is missing")),
        }
    }
    Ok(segments)
}

impl Recovered {
    /// A file of an older format is not written on: frames of two formats in one file could not be told apart, and an
    /// older weir would cut off the newer ones as torn.
    fn leave_old_format(&mut self, dir: &Path) -> Result<(), ConnectError> {
        let Some(last) = self.segments.last() else { return Ok(()) };
        if last.log.is_some() {
            return Ok(());
        }
        let is_empty = last.base == self.end;
        let next = Segment::create(dir, self.end, self.newest, self.log)?;
        if is_empty {
            self.segments.pop();
        }
        self.segments.push(next);
        self.length = HEADER_BYTES;
        Ok(())
    }

    /// Says it when rows are not there that were.
    fn tell_loss(&self, dir: &Path) {
        let (end, noted) = (self.end, end::read(dir, &self.log));
        if let Some(noted) = noted.filter(|noted| *noted > end) {
            tracing::warn!(
                "the ingest log {} ends at row {end} and had reached row {noted}: {} rows that senders were told are kept \
                 are gone, for an older copy was put back, or its last file was damaged or shortened",
                dir.display(),
                noted - end
            );
        }
    }

    /// Reads a segment through; what is not whole at the end of the last one is cut off.
    fn scan(&mut self, index: usize) -> Result<(), ConnectError> {
        let is_last = index + 1 == self.segments.len();
        let segment = &self.segments[index];
        let read_error = |path: &Path, error: &io::Error| disk_error("read", path, error);
        let bytes = segment
            .file
            .metadata()
            .map_err(|error| read_error(&segment.path, &error))?
            .len()
            .max(segment.first_frame);
        let mut frames = Frames::new(segment);
        self.end = segment.base;
        loop {
            self.length = frames.at;
            match frames.next(bytes).map_err(|error| read_error(&segment.path, &error))? {
                Step::Frame(frame) => {
                    if frame.first != self.end {
                        let what = format!("row {} follows row {}", frame.first, self.end);
                        return Err(damaged(&segment.path, &what));
                    }
                    self.end = frame.end();
                    self.newest = self.newest.max(frame.stamp);
                    let keyed = frame.batches.into_iter().filter(|batch| batch.key.is_some());
                    self.keyed.extend(keyed.map(|batch| (frame.stamp, batch)));
                }
                Step::End => return Ok(()),
                Step::Broken if is_last => return cut_tail(segment, frames.at, bytes),
                Step::Broken => {
                    return Err(damaged(
                        &segment.path,
                        &format!("the bytes from {} on are no rows", frames.at),
                    ));
                }
            }
        }
    }
}
