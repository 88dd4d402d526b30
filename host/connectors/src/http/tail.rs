//! The end of a log that is not a whole frame: cut off, and kept in a file beside it.
//!
//! Knows bytes and files. Whether a crash has torn a write that nobody was answered for, or a frame was damaged that had
//! been acknowledged, cannot be told from the bytes, so none of them is thrown away.

use super::frame::{self, MARK, Parsed};
use super::segment::{Segment, damaged, disk_error};
use bytes::Bytes;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// What stands behind a segment's name in that of a file which holds bytes that were cut off it.
const CUT: &str = ".cut";
/// So many tails of one segment are kept; a segment that loses its end more often is on a disk that is dying.
const MOST_KEPT: usize = 100;

/// Cuts off what follows the last whole frame of a segment of `bytes` bytes; refused where whole frames come after it.
pub(super) fn cut_tail(segment: &Segment, at: u64, bytes: u64) -> Result<(), ConnectError> {
    let tail = read(segment, at, bytes).map_err(|error| disk_error("read", &segment.path, &error))?;
    let is_whole =
        |place: usize| matches!(frame::parse(&tail.slice(place..), segment.format), Parsed::Whole(..));
    let whole_after = memchr::memmem::find_iter(&tail, &MARK).find(|place| *place > 0 && is_whole(*place));
    if let Some(place) = whole_after {
        let what = format!("the bytes from {at} on are no rows, but rows follow at {}", at + place as u64);
        return Err(damaged(&segment.path, &what));
    }
    let kept = keep(&segment.path, &tail);
    let kept = kept.map_err(|error| disk_error("keep the end aside of", &segment.path, &error))?;
    let cut = || {
        segment.file.set_len(at)?;
        segment.file.sync_all()
    };
    cut().map_err(|error| disk_error("shorten", &segment.path, &error))?;
    let kept =
        kept.map_or_else(|| "nothing but zeros".to_owned(), |path| format!("kept in {}", path.display()));
    tracing::warn!(
        "the last {} bytes of the ingest log {} are not a whole write and were cut off ({kept}): a crash tears a write that \
         no sender has an answer to; if there was none since the last start, the file was damaged, and rows that were \
         accepted are missing",
        bytes - at,
        segment.path.display(),
    );
    Ok(())
}

fn read(segment: &Segment, at: u64, bytes: u64) -> io::Result<Bytes> {
    let mut tail = Vec::new();
    let mut file = &*segment.file;
    file.seek(SeekFrom::Start(at))?;
    file.take(bytes - at).read_to_end(&mut tail)?;
    Ok(Bytes::from(tail))
}

/// Writes the bytes into a new file beside the segment; `None` where they say nothing, as a file's room that was not
/// written yet.
fn keep(segment: &Path, tail: &[u8]) -> io::Result<Option<PathBuf>> {
    if tail.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    for number in 1..=MOST_KEPT {
        let mut name = OsString::from(segment);
        name.push(format!("{CUT}{number}"));
        let path = PathBuf::from(name);
        match File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(tail)?;
                file.sync_all()?;
                segment.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
                return Ok(Some(path));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{MOST_KEPT} files beside it hold bytes that were cut off it before")))
}

/// Removes what was cut off a segment, which is deleted.
pub(super) fn remove_kept(segment: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (segment.parent(), segment.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    let prefix = format!("{name}{CUT}");
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
