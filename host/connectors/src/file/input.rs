//! One file as a stream of uncompressed bytes, from any byte of it, and as far as it reaches now.
//!
//! Everything here may wait for a disk but [`Input::read_now`].

use super::trace::{Identity, Known, Trace, modified};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// An open file at a byte of its content.
#[derive(Debug)]
pub(super) struct Input {
    path: PathBuf,
    identity: Identity,
    content: Content,
    /// The byte that is read next, counted in the content.
    at: u64,
    /// Reading ends here, in bytes of a plain file's content: where it ended when the read was bounded.
    limit: u64,
}

#[derive(Debug)]
enum Content {
    Plain(File),
    /// The decoder and how long the compressed file was when it was opened.
    Gzip(Box<MultiGzDecoder<BufReader<File>>>, u64),
}

/// What can happen to a file while it is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing, or more of it, which comes with the next read.
    Appended,
    /// What was read of it does not stand there any more.
    Replaced,
    /// It is compressed and of another length: it has to be opened anew.
    Rewritten,
}

impl Input {
    /// Opens a file at a byte of its content, and says what stands before it; with `limit`, nothing behind that byte
    /// of a plain file is read.
    pub(super) fn open(path: &Path, at: u64, limit: Option<u64>) -> Result<(Input, Trace), ConnectError> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let (identity, length) = (Identity::of(&metadata), metadata.len());
            if !is_gzip(path) {
                let trace = Trace::of_plain(&file, at)?;
                return Ok((Content::Plain(file), identity, trace));
            }
            let mut decoder = MultiGzDecoder::new(BufReader::new(file));
            let trace = Trace::of_stream(&mut decoder, at, None)?;
            Ok((Content::Gzip(Box::new(decoder), length), identity, trace))
        };
        let (content, identity, trace) = open().map_err(|error| failed(path, &error))?;
        let trace = trace.ok_or_else(|| {
            ConnectError::external(format!(
                "`{}` was read up to byte {at} of its content before and is shorter now; restore the file, or start \
                 with `--reset` for the jobs that read it",
                path.display()
            ))
        })?;
        let limit = limit.unwrap_or(u64::MAX);
        Ok((Input { path: path.to_path_buf(), identity, content, at, limit }, trace))
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// When it was last written; `None` if it cannot be looked at.
    pub(super) fn modified(&self) -> Option<(i64, i64)> {
        let file = match &self.content {
            Content::Plain(file) => file,
            Content::Gzip(decoder, _) => decoder.get_ref().get_ref(),
        };
        file.metadata().ok().map(|metadata| modified(&metadata))
    }

    /// How long the file was on disk when it was opened, if it is compressed.
    pub(super) fn compressed_bytes(&self) -> Option<u64> {
        match self.content {
            Content::Plain(_) => None,
            Content::Gzip(_, length) => Some(length),
        }
    }

    fn read_raw(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.content {
            Content::Plain(file) => file.read_at(buffer, self.at)?,
            Content::Gzip(decoder, _) => decoder.read(buffer)?,
        };
        self.at += read as u64;
        Ok(read)
    }

    /// Steps over the line end that stands exactly here, and says what it found.
    pub(super) fn skip_line_end(&mut self) -> Result<LineEnd, ConnectError> {
        let mut found = LineEnd::Nothing;
        loop {
            let mut byte = [0];
            let read = self.read_raw(&mut byte).map_err(|error| failed(&self.path, &error))?;
            found = match (read, byte[0], found) {
                (0, ..) => return Ok(found),
                (_, b'\n', LineEnd::Half) => return Ok(LineEnd::Skipped(b"\r\n")),
                (_, b'\n', _) => return Ok(LineEnd::Skipped(b"\n")),
                (_, b'\r', LineEnd::Nothing) => LineEnd::Half,
                _ => return Ok(LineEnd::Other),
            };
        }
    }

    /// Appends up to `room` bytes; 0 means that the present end is reached. What was appended before an error
    /// counts as read.
    pub(super) fn read(&mut self, out: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let (before, room) = (out.len(), self.within_limit(room));
        out.resize(before + room, 0);
        let mut end = before;
        let outcome = loop {
            match self.read_raw(&mut out[end..]) {
                Ok(0) => break Ok(end - before),
                Ok(read) => end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        out.truncate(end);
        outcome
    }

    /// Appends what the system has in its memory of the next `room` bytes, at least one unless the limit is reached.
    ///
    /// # Errors
    /// `WouldBlock` where that would take a disk or decompression, and at what may be the end: [`Input::read`] knows.
    pub(super) fn read_now(&mut self, out: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let Content::Plain(file) = &self.content else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let (before, room) = (out.len(), self.within_limit(room));
        if room == 0 {
            return Ok(0);
        }
        out.resize(before + room, 0);
        let read = read_cached(file, &mut out[before..], self.at);
        let appended = read.as_ref().map_or(0, |read| *read);
        out.truncate(before + appended);
        self.at += appended as u64;
        read
    }

    fn within_limit(&self, room: usize) -> usize {
        usize::try_from(self.limit.saturating_sub(self.at)).map_or(room, |left| left.min(room))
    }

    /// What has happened to the file since it was opened and, up to `read`, read.
    pub(super) fn change(&self, read: u64, known: Option<Known>) -> Change {
        match &self.content {
            Content::Plain(file) => {
                let Ok(now) = file.metadata() else {
                    // A file that cannot be looked at now is looked at again.
                    return Change::Appended;
                };
                let is_as_read = |known: Known| {
                    Trace::of_plain(file, read)
                        .is_ok_and(|trace| trace.is_some_and(|trace| known.is_of(&trace)))
                };
                if now.len() < self.at || (now.len() > self.at && !known.is_none_or(is_as_read)) {
                    return Change::Replaced;
                }
                Change::Appended
            }
            Content::Gzip(_, length) => {
                let at_path = std::fs::metadata(&self.path);
                let is_rewritten = at_path.is_ok_and(|at_path| at_path.len() != *length);
                if is_rewritten { Change::Rewritten } else { Change::Appended }
            }
        }
    }
}

/// Reads from the page cache alone, at least one byte. Where the system or the file system cannot do so, everything
/// would block.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut buffers = [io::IoSliceMut::new(buffer)];
    match preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT) {
        // Not to be believed: Linux 5.9 and 5.10 say it also before the end of a file (preadv2(2), BUGS).
        Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
        read => Ok(read?),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// What stands where reading goes on after a last line without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// Nothing yet.
    Nothing,
    /// Its first byte, `\r`, and nothing behind it yet.
    Half,
    /// The line end, which was stepped over.
    Skipped(&'static [u8]),
    /// More of the line.
    Other,
}

impl LineEnd {
    /// What was stepped over.
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::Nothing | LineEnd::Other => b"",
            LineEnd::Half => b"\r",
            LineEnd::Skipped(bytes) => bytes,
        }
    }
}

/// Whether a file of this name is decompressed.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// Bytes that do not decompress stay so; anything else the disk may get over.
pub(super) fn failed(path: &Path, error: &io::Error) -> ConnectError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectError::external(format!(
            "`{path}` ends in the middle of its compressed content; restore the file"
        )),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            ConnectError::external(format!("`{path}` is damaged: {error}; restore the file"))
        }
        io::ErrorKind::InvalidFilename => {
            ConnectError::user(format!("`{path}` cannot be a file: {error}; check the source's `path`"))
        }
        io::ErrorKind::NotFound => ConnectError::unavailable(format!("`{path}` is gone for the moment")),
        io::ErrorKind::PermissionDenied => {
            ConnectError::user(format!("`{path}` may not be read: {error}; change its permissions"))
        }
        _ => ConnectError::unavailable(format!("cannot read `{path}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_in_memory_and_what_is_waited_for_are_one_stream(
            content in prop::collection::vec(any::<u8>(), 0..200),
            start in 0_u64..200,
            limit in prop::option::of(0_u64..200),
            reads in prop::collection::vec((any::<bool>(), 1_usize..40), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.jsonl");
            std::fs::write(&path, &content).unwrap();
            let start = start.min(content.len() as u64);
            let end = limit.map_or(content.len(), |limit| content.len().min(limit as usize));
            let (mut input, _) = Input::open(&path, start, limit).unwrap();
            let (mut out, mut asked) = (Vec::new(), 0);
            for (now, room) in reads {
                let before = out.len();
                let cached = match input.read_now(&mut out, room) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    read => Some(read.unwrap()),
                };
                prop_assert!(cached != Some(0) || input.at == limit.unwrap_or(u64::MAX).max(start));
                let waited = if now && cached.is_some() { 0 } else { input.read(&mut out, room).unwrap() };
                prop_assert_eq!(out.len() - before, cached.unwrap_or_default() + waited);
                asked += room;
                prop_assert_eq!(input.at, start + out.len() as u64);
            }
            let rest = content.get(start as usize..end).unwrap_or_default();
            prop_assert!(rest.starts_with(&out) && out.len() >= rest.len().min(asked));
        }
    }
}
