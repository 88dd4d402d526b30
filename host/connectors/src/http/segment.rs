//! One file of the ingest log: its name and header, and reading frames out of it.
//!
//! The name is the offset of its first row in twenty digits, so that names sort as offsets do. The header is
//! `weirlog3`, that offset, the time of creation (every row of an older segment was accepted before it, which makes the
//! age of a segment readable without reading it), the log's id and the offset that the log was begun at, and a CRC32 of
//! all. Files of older formats, which are read and not written on, do not say which log they are of.

use super::frame::{self, Format, Frame, Parsed};
use super::identity::LogIdentity;
use bytes::{BufMut, Bytes};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::ConnectError;

/// The first bytes of a file; the last of them is the version of the format.
const MAGIC: [u8; 8] = *b"weirlog3";
/// Those of the formats that are read, each with how frames are laid out and the bytes before the first.
const MAGICS: [([u8; 8], Format, usize); 3] = [
    (*b"weirlog1", Format::KeysAlone, OLD_HEADER_BYTES),
    (*b"weirlog2", Format::KeysWithBodies, OLD_HEADER_BYTES),
    (MAGIC, Format::KeysWithBodies, HEADER_BYTES as usize),
];
/// Bytes before the first frame of a file of the present format.
pub(super) const HEADER_BYTES: u64 = 44;
const OLD_HEADER_BYTES: usize = 28;
/// How much is read from a file at a time.
const READ_BYTES: usize = 1 << 20;

/// A segment on disk.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Offset of its first row.
    pub(super) base: u64,
    /// When it was made, milliseconds since the epoch.
    pub(super) created: i64,
    /// How its frames are laid out.
    pub(super) format: Format,
    /// Which log it is of; `None` in a file of an older format.
    pub(super) log: Option<LogIdentity>,
    /// Where its frames begin.
    pub(super) first_frame: u64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// The open file.
    pub(super) file: Arc<File>,
}

/// The file of the segment that begins at `base`.
pub(super) fn path_of(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

/// The error of a file operation on the log; `action` is what was tried.
pub(super) fn disk_error(action: &str, path: &Path, error: &io::Error) -> ConnectError {
    ConnectError::external(format!("cannot {action} {}: {error}", path.display()))
}

/// The error of a log that is not what weir wrote.
pub(super) fn damaged(path: &Path, what: &str) -> ConnectError {
    ConnectError::internal(format!(
        "the ingest log is damaged: {}: {what}; restore the file from a copy, or move {} away to go on with a new log, \
         without the rows of this one",
        path.display(),
        path.parent().unwrap_or(path).display()
    ))
}

impl Segment {
    /// Makes a segment and syncs it and its folder, so that the file survives a crash.
    pub(super) fn create(
        dir: &Path,
        base: u64,
        created: i64,
        log: LogIdentity,
    ) -> Result<Segment, ConnectError> {
        let path = path_of(dir, base);
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(&MAGIC);
        header.put_u64_le(base);
        header.put_i64_le(created);
        header.put_u64_le(log.id);
        header.put_u64_le(log.origin);
        header.put_u32_le(crc32fast::hash(&header));
        let make = || {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(&header, 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        let file = Arc::new(make().map_err(|error| disk_error("create", &path, &error))?);
        let (format, log) = (Format::KeysWithBodies, Some(log));
        Ok(Segment { base, created, format, log, first_frame: HEADER_BYTES, path, file })
    }

    /// Opens an existing segment; `None` when its header was never written whole.
    pub(super) fn open(path: &Path, base: u64) -> Result<Option<Segment>, ConnectError> {
        let read = || {
            let file = File::options().read(true).write(true).open(path)?;
            let mut header = Vec::new();
            read_at(&file, 0, HEADER_BYTES as usize, &mut header)?;
            Ok((file, header))
        };
        let (file, mut header) = read().map_err(|error| disk_error("open", path, &error))?;
        if header.len() < OLD_HEADER_BYTES || header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let known = MAGICS.iter().find(|(magic, ..)| header[..8] == *magic);
        if header[..7] == MAGIC[..7] && known.is_none() {
            return Err(ConnectError::user(format!(
                "{} was written by another version of weir (format {}); use that version",
                path.display(),
                char::from(header[7])
            )));
        }
        let wrong = || damaged(path, "its header is wrong");
        let (_, format, bytes) = known.ok_or_else(wrong)?;
        if header.len() < *bytes {
            return Ok(None);
        }
        header.truncate(*bytes);
        let (said, checksum) = header.split_at(bytes - 4);
        let number = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&said[from..from + 8]);
            u64::from_le_bytes(bytes)
        };
        if crc32fast::hash(said).to_le_bytes() != checksum || number(8) != base {
            return Err(wrong());
        }
        let log = (*bytes > OLD_HEADER_BYTES).then(|| LogIdentity { id: number(24), origin: number(32) });
        let (created, format, first_frame) = (number(16) as i64, *format, *bytes as u64);
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(Some(Segment { base, created, format, log, first_frame, path, file }))
    }
}

/// Appends up to `length` bytes from `at` on to `out`; fewer at the end of the file.
fn read_at(file: &File, at: u64, length: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.resize(start + length, 0);
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut out[start + filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.truncate(start + filled);
    Ok(())
}

/// What follows in a segment.
#[derive(Debug)]
pub(super) enum Step {
    /// A whole frame.
    Frame(Frame),
    /// Nothing: the bytes end here.
    End,
    /// No whole frame is at [`Frames::at`], though there are bytes.
    Broken,
}

/// Walks the frames of a segment up to a byte that the caller names.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    /// Where the next frame begins.
    pub(super) at: u64,
    file: Arc<File>,
    format: Format,
    buffer: Bytes,
}

impl Frames {
    /// From the first frame on.
    pub(super) fn new(segment: &Segment) -> Frames {
        let (file, format) = (segment.file.clone(), segment.format);
        Frames { at: segment.first_frame, file, format, buffer: Bytes::new() }
    }

    /// The next frame before byte `limit`.
    pub(super) fn next(&mut self, limit: u64) -> io::Result<Step> {
        loop {
            let needed = match frame::parse(&self.buffer, self.format) {
                Parsed::Whole(frame, size) => {
                    self.at += size as u64;
                    self.buffer = self.buffer.slice(size..);
                    return Ok(Step::Frame(frame));
                }
                Parsed::Damaged => return Ok(Step::Broken),
                Parsed::Needs(needed) => needed as u64,
            };
            let left = limit.saturating_sub(self.at);
            if left == 0 {
                return Ok(Step::End);
            }
            if left < needed {
                return Ok(Step::Broken);
            }
            let mut bytes = Vec::new();
            read_at(&self.file, self.at, needed.max(READ_BYTES as u64).min(left) as usize, &mut bytes)?;
            if (bytes.len() as u64) < needed {
                return Ok(Step::Broken);
            }
            self.buffer = Bytes::from(bytes);
        }
    }
}
