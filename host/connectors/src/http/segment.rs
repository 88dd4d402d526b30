//! One file of the ingest log: its name and header, and reading frames out of it.
//!
//! The name is the offset of its first row in twenty digits, so that names sort as offsets do. The header is
//! `weirlog2` (`weirlog1` of older files, which are read and not written on), that offset, the time of creation (every row of an older segment was accepted before it, which
//! makes the age of a segment readable without reading it) and a CRC32 of the three.

use super::frame::{self, Format, Frame, Parsed};
use bytes::{BufMut, Bytes};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::ConnectError;

/// The first bytes of a file; the last of them is the version of the format.
const MAGIC: [u8; 8] = *b"weirlog2";
/// Those of the formats that are read.
const MAGICS: [([u8; 8], Format); 2] = [(*b"weirlog1", Format::KeysAlone), (MAGIC, Format::KeysWithBodies)];
/// Bytes before the first frame.
pub(super) const HEADER_BYTES: u64 = 28;
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
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether a batch in it came with an idempotency key (known of the segments of the last day only).
    pub(super) keyed: bool,
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
        "the ingest log is damaged: {}: {what}; restore the file from a copy, or move it and all newer ones \
         away to go on without their rows",
        path.display()
    ))
}

impl Segment {
    /// Makes a segment and syncs it and its folder, so that the file survives a crash.
    pub(super) fn create(dir: &Path, base: u64, created: i64) -> Result<Segment, ConnectError> {
        let path = path_of(dir, base);
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend_from_slice(&MAGIC);
        header.put_u64_le(base);
        header.put_i64_le(created);
        header.put_u32_le(crc32fast::hash(&header));
        let make = || {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(&header, 0)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|error| disk_error("create", &path, &error))?;
        let format = Format::KeysWithBodies;
        Ok(Segment { base, created, format, path, keyed: false, file: Arc::new(file) })
    }

    /// Opens an existing segment; `None` when its header was never written whole.
    pub(super) fn open(path: &Path, base: u64) -> Result<Option<Segment>, ConnectError> {
        let read = || {
            let file = File::options().read(true).write(true).open(path)?;
            let mut header = Vec::new();
            read_at(&file, 0, HEADER_BYTES as usize, &mut header)?;
            Ok((file, header))
        };
        let (file, header) = read().map_err(|error| disk_error("open", path, &error))?;
        if header.len() < HEADER_BYTES as usize || header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let format = MAGICS.iter().find(|(magic, _)| header[..8] == *magic).map(|(_, format)| *format);
        if header[..7] == MAGIC[..7] && format.is_none() {
            return Err(ConnectError::user(format!(
                "{} was written by another version of weir (format {}); use that version",
                path.display(),
                char::from(header[7])
            )));
        }
        let number = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[from..from + 8]);
            u64::from_le_bytes(bytes)
        };
        let whole = crc32fast::hash(&header[..24]).to_le_bytes() == header[24..28];
        let Some(format) = format.filter(|_| whole && number(8) == base) else {
            return Err(damaged(path, "its header is wrong"));
        };
        let (created, path) = (number(16) as i64, path.to_owned());
        Ok(Some(Segment { base, created, format, path, keyed: false, file: Arc::new(file) }))
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
        Frames { at: HEADER_BYTES, file: segment.file.clone(), format: segment.format, buffer: Bytes::new() }
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
