//! One file as a stream of uncompressed bytes, from any byte of it, and as far as it reaches now.

use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

/// An open file at a byte of its content.
#[derive(Debug)]
pub(super) struct Input {
    path: PathBuf,
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

/// What the byte before a resumed position says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    LineEnd,
    WithinLine,
}

impl Input {
    /// Opens a file at a byte of its content; with `limit`, nothing behind that byte of a plain file is read.
    pub(super) fn open(path: &Path, at: u64, limit: Option<u64>) -> Result<(Input, Before), ConnectError> {
        let limit = limit.unwrap_or(u64::MAX);
        let mut input = Input { path: path.to_path_buf(), content: content(path)?, at: 0, limit };
        let before = input.advance(at)?;
        Ok((input, before))
    }

    /// Moves to a byte behind the present one.
    fn advance(&mut self, to: u64) -> Result<Before, ConnectError> {
        if to == 0 {
            return Ok(Before::LineEnd);
        }
        let skipped = match &mut self.content {
            Content::Plain(file) => {
                let length = file.metadata().map_err(|error| failed(&self.path, &error))?.len();
                let seek = file.seek(SeekFrom::Start(to - 1));
                seek.map(|_| length.min(to - 1)).map_err(|error| failed(&self.path, &error))?
            }
            Content::Gzip(decoder, _) => io::copy(&mut decoder.take(to - 1), &mut io::sink())
                .map_err(|error| failed(&self.path, &error))?,
        };
        let mut last = [0];
        let read = self.read_raw(&mut last)?;
        if skipped < to - 1 || read == 0 {
            return Err(ConnectError::external(format!(
                "`{}` was read up to byte {to} of its content before and is shorter now; restore the file, or \
                 reset the jobs that read it",
                self.path.display()
            )));
        }
        self.at = to;
        Ok(if last == *b"\n" { Before::LineEnd } else { Before::WithinLine })
    }

    fn read_raw(&mut self, buffer: &mut [u8]) -> Result<usize, ConnectError> {
        let read = match &mut self.content {
            Content::Plain(file) => file.read(buffer),
            Content::Gzip(decoder, _) => decoder.read(buffer),
        };
        read.map_err(|error| failed(&self.path, &error))
    }

    /// Steps over the line end that stands exactly here, and says what it found.
    pub(super) fn skip_line_end(&mut self) -> Result<LineEnd, ConnectError> {
        for expected in [&b"\r\n"[..], b"\n"] {
            let mut byte = [0];
            if self.read_raw(&mut byte)? == 0 {
                return Ok(LineEnd::Nothing);
            }
            self.at += 1;
            match byte[0] {
                b'\n' => return Ok(LineEnd::Skipped),
                byte if expected.contains(&byte) => {}
                _ => break,
            }
        }
        Ok(LineEnd::Other)
    }

    /// Appends up to `room` bytes; 0 means that the present end is reached. What was appended before an error
    /// counts as read.
    pub(super) fn read(&mut self, out: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let room = (room as u64).min(self.limit.saturating_sub(self.at));
        let before = out.len();
        let read = match &mut self.content {
            Content::Plain(file) => file.take(room).read_to_end(out),
            Content::Gzip(decoder, _) => decoder.take(room).read_to_end(out),
        };
        self.at += (out.len() - before) as u64;
        read
    }

    /// The byte of the content that is read next.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Whether a compressed file has changed since it was opened, so that it has to be opened anew at `at`. More
    /// of a plain file simply comes with the next read.
    pub(super) fn must_reopen(&self) -> bool {
        match &self.content {
            Content::Plain(_) => false,
            Content::Gzip(_, length) => {
                std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() != *length)
            }
        }
    }

    /// Whether the file is shorter now than what was read of it.
    pub(super) fn has_shrunk(&self) -> bool {
        match &self.content {
            Content::Plain(file) => file.metadata().is_ok_and(|metadata| metadata.len() < self.at),
            Content::Gzip(..) => false,
        }
    }
}

/// What stands where reading goes on after a last line without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// Nothing yet.
    Nothing,
    /// The line end, which was stepped over.
    Skipped,
    /// More of the line.
    Other,
}

/// Whether a file of this name is decompressed.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

fn content(path: &Path) -> Result<Content, ConnectError> {
    let file = File::open(path).map_err(|error| failed(path, &error))?;
    if is_gzip(path) {
        let length = file.metadata().map_err(|error| failed(path, &error))?.len();
        return Ok(Content::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(file))), length));
    }
    Ok(Content::Plain(file))
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
        io::ErrorKind::NotFound => ConnectError::external(format!(
            "`{path}` was there before and is gone; restore the file, or reset the jobs that read it"
        )),
        io::ErrorKind::PermissionDenied => {
            ConnectError::user(format!("`{path}` may not be read: {error}; change its permissions"))
        }
        _ => ConnectError::unavailable(format!("cannot read `{path}`: {error}")),
    }
}
