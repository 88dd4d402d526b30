//! Opening an ingest log: which rows it holds, and whether its files are what weir wrote.
//!
//! A crash leaves at most one torn frame at the very end (nobody was answered for it): it is cut off. Anything
//! else that does not fit (a broken frame with a whole one after it, a gap between files) is damage to rows that
//! senders were told are safe: the log is refused, never repaired in silence.

use super::frame::{self, BatchNote, Format, MARK, Parsed};
use super::segment::{Frames, HEADER_BYTES, Segment, Step, damaged, disk_error};
use super::writer::KEY_MEMORY_MILLIS;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// What a log held when it was opened.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Its segments, oldest first; at least one, the last is the one that is written to.
    pub(super) segments: Vec<Segment>,
    /// Bytes of the last segment that hold whole frames.
    pub(super) length: u64,
    /// The offset after the last row.
    pub(super) end: u64,
    /// The newest ingest stamp, milliseconds since the epoch.
    pub(super) newest: i64,
    /// Batches of the last day that came with an idempotency key, oldest first, with their stamps.
    pub(super) keyed: Vec<(i64, BatchNote)>,
}

/// Opens or makes the log in `dir`. `now` is in milliseconds since the epoch.
pub(super) fn recover(dir: &Path, now: i64) -> Result<Recovered, ConnectError> {
    make_dir(dir).map_err(|error| disk_error("create the folder", dir, &error))?;
    let mut segments = open_segments(dir)?;
    if segments.is_empty() {
        segments.push(Segment::create(dir, 0, now)?);
    }
    let last = segments.len() - 1;
    let remembered = now.saturating_sub(KEY_MEMORY_MILLIS);
    let scan_from = (0..last).find(|index| segments[index + 1].created > remembered).unwrap_or(last);
    let mut recovered = Recovered { segments, length: 0, end: 0, newest: i64::MIN, keyed: Vec::new() };
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
    recovered.leave_old_format(dir)?;
    Ok(recovered)
}

/// Makes the folder and syncs the folders above it, so that a crash cannot lose the way to synced files.
fn make_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for above in dir.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
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
        if last.format == Format::KeysWithBodies {
            return Ok(());
        }
        let is_empty = last.base == self.end;
        let next = Segment::create(dir, self.end, self.newest)?;
        if is_empty {
            self.segments.pop();
        }
        self.segments.push(next);
        self.length = HEADER_BYTES;
        Ok(())
    }

    /// Reads a segment through; the last one's torn tail is cut off.
    fn scan(&mut self, index: usize) -> Result<(), ConnectError> {
        let is_last = index + 1 == self.segments.len();
        let segment = &mut self.segments[index];
        let read_error = |path: &Path, error: &io::Error| disk_error("read", path, error);
        let bytes = segment
            .file
            .metadata()
            .map_err(|error| read_error(&segment.path, &error))?
            .len()
            .max(HEADER_BYTES);
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
                    let before = self.keyed.len();
                    self.keyed.extend(keyed.map(|batch| (frame.stamp, batch)));
                    segment.keyed |= self.keyed.len() > before;
                }
                Step::End => return Ok(()),
                Step::Broken if is_last => return cut_torn_tail(segment, frames.at, bytes),
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

fn cut_torn_tail(segment: &Segment, at: u64, bytes: u64) -> Result<(), ConnectError> {
    let mut tail = Vec::new();
    let format = segment.format;
    let read = |tail: &mut Vec<u8>| {
        let mut file = &*segment.file;
        file.seek(SeekFrom::Start(at))?;
        file.take(bytes - at).read_to_end(tail)
    };
    read(&mut tail).map_err(|error| disk_error("read", &segment.path, &error))?;
    let tail = Bytes::from(tail);
    let whole_after = memchr::memmem::find_iter(&tail, &MARK)
        .find(|place| *place > 0 && matches!(frame::parse(&tail.slice(*place..), format), Parsed::Whole(..)));
    if let Some(place) = whole_after {
        let what = format!("the bytes from {at} on are no rows, but rows follow at {}", at + place as u64);
        return Err(damaged(&segment.path, &what));
    }
    let cut = || {
        segment.file.set_len(at)?;
        segment.file.sync_all()
    };
    cut().map_err(|error| disk_error("shorten", &segment.path, &error))?;
    tracing::warn!(
        path = %segment.path.display(), bytes = bytes - at,
        "cut off a write that a crash had torn; no sender was told that it was kept"
    );
    Ok(())
}
