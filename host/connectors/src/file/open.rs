//! An open file that is read without holding up whoever asks.
//!
//! What the system has in its memory is read there and then, so that it is still in the core's cache when it is
//! decoded. What a disk or a decompressor must bring is read on a thread for waiting.

use super::cut::{Cutter, Piece};
use super::input::{Change, Input, LineEnd};
use super::trace::Known;
use crate::blocking::blocking;
use std::io;
use weir_connect::ConnectError;

/// An open file, and what was read of it and not handed out.
#[derive(Debug)]
pub(super) struct OpenFile {
    input: Input,
    cutter: Cutter,
    waited: bool,
}

impl OpenFile {
    pub(super) fn new(input: Input, cutter: Cutter) -> Self {
        OpenFile { input, cutter, waited: false }
    }

    /// Whether the last read had to wait: the next one probably will, too.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }

    /// When it was last written; `None` if it cannot be looked at.
    pub(super) fn modified(&self) -> Option<(i64, i64)> {
        self.input.modified()
    }

    /// Reads on, at most to the end of a block; gives 0 at the present end.
    pub(super) async fn read(mut self) -> Result<(Self, io::Result<usize>), ConnectError> {
        let (held, room) = self.cutter.space();
        let read = self.input.read_now(held, room);
        self.waited = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if !self.waited {
            return Ok((self, read));
        }
        blocking(move || {
            let (held, room) = self.cutter.space();
            let read = self.input.read(held, room);
            Ok((self, read))
        })
        .await
    }

    /// Whole lines, if there are enough of them for a block or `flush` is set.
    pub(super) fn take(&mut self, flush: bool) -> Option<Piece> {
        self.cutter.take(flush)
    }

    /// The file has ended: what remains is its last line.
    pub(super) fn take_rest(&mut self) -> Option<Piece> {
        self.cutter.take_rest()
    }

    /// Steps over the line end that stands where reading goes on, and says what it found.
    pub(super) async fn skip_line_end(mut self) -> Result<(Self, LineEnd), ConnectError> {
        blocking(move || {
            let found = self.input.skip_line_end()?;
            Ok((self, found))
        })
        .await
    }

    /// What has happened to the file since it was read to its end; `read` bytes of it were handed out.
    pub(super) async fn change(
        self,
        read: u64,
        known: Option<Known>,
    ) -> Result<(Self, Change), ConnectError> {
        blocking(move || {
            let change = self.input.change(read, known);
            Ok((self, change))
        })
        .await
    }
}
