//! What tells a file from another of its name: who it is to the system, and checksums of what was read of it.
//!
//! Names move: a log is rotated, a copy is put back, a file is written anew. Neither the name nor the inode alone says
//! whether the bytes before a position are still those that were read; its first and last kibibyte do.

use super::input::is_gzip;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// As much of the beginning, and of what was read last, is remembered by a checksum: a page or less to read again.
const REMEMBERED_BYTES: usize = 1024;

/// Who a file is to the system, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(super) fn inode(self) -> u64 {
        self.inode
    }
}

/// When a file was last written: seconds and nanoseconds.
pub(super) fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// A file and the bytes of its content that were read, as a position keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Checksum of the first bytes.
    head: u32,
    /// Checksum of the last bytes; `None` behind a line that was too long to be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tail: Option<u32>,
}

impl Known {
    pub(super) fn new(identity: Identity, trace: &Trace) -> Known {
        Known { identity, head: trace.head_checksum(), tail: trace.tail_checksum() }
    }

    /// The same bytes in another file.
    pub(super) fn of(self, identity: Identity) -> Known {
        Known { identity, ..self }
    }

    /// What is known of the beginning alone of `length` bytes, and how long that is.
    pub(super) fn beginning(&self, length: u64) -> (u64, Known) {
        (length.min(REMEMBERED_BYTES as u64), Known { tail: None, ..*self })
    }

    /// Whether these bytes, as many as were read, are those that were read.
    pub(super) fn is_of(&self, trace: &Trace) -> bool {
        let same = |own: Option<u32>, other: Option<u32>| own.is_none() || other.is_none() || own == other;
        self.head == trace.head_checksum() && same(self.tail, trace.tail_checksum())
    }
}

/// The first and the last bytes of what was read of a content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trace {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Whether the last bytes were not seen.
    is_torn: bool,
}

impl Trace {
    /// Goes on with the bytes that follow.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let missing = REMEMBERED_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.is_torn &= bytes.len() < REMEMBERED_BYTES;
        let kept = REMEMBERED_BYTES.saturating_sub(bytes.len()).min(self.tail.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(REMEMBERED_BYTES)..]);
    }

    /// Goes on with bytes of which only the first are at hand, enough of them for the head.
    pub(super) fn push_beginning(&mut self, beginning: &[u8]) {
        self.push(beginning);
        self.is_torn = true;
    }

    /// Whether the last byte is a line end, or there is none.
    pub(super) fn ends_a_line(&self) -> bool {
        self.tail.last().is_none_or(|byte| *byte == b'\n')
    }

    fn head_checksum(&self) -> u32 {
        crc32fast::hash(&self.head)
    }

    fn tail_checksum(&self) -> Option<u32> {
        (!self.is_torn).then(|| crc32fast::hash(&self.tail))
    }

    /// Of the first `length` bytes of an open file's content that is not compressed; `None` if it is shorter.
    pub(super) fn of_plain(file: &File, length: u64) -> io::Result<Option<Trace>> {
        let remembered = usize::try_from(length).unwrap_or(REMEMBERED_BYTES).min(REMEMBERED_BYTES);
        let mut trace = Trace { head: vec![0; remembered], tail: vec![0; remembered], is_torn: false };
        let read = file
            .read_exact_at(&mut trace.head, 0)
            .and_then(|()| file.read_exact_at(&mut trace.tail, length - remembered as u64));
        match read {
            Ok(()) => Ok(Some(trace)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Of the next `length` bytes of a content that can only be read through; `None` if it is shorter, or if its
    /// beginning is not that of `known`.
    pub(super) fn of_stream(
        content: &mut impl Read,
        length: u64,
        known: Option<&Known>,
    ) -> io::Result<Option<Trace>> {
        let mut trace = Trace::default();
        let mut buffer = vec![0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            match content.read(&mut buffer[..room]) {
                Ok(0) => return Ok(None),
                Ok(read) => {
                    trace.push(&buffer[..read]);
                    left -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let is_whole = trace.head.len() == REMEMBERED_BYTES;
            if is_whole && known.is_some_and(|known| known.head != trace.head_checksum()) {
                return Ok(None);
            }
        }
        Ok(Some(trace))
    }
}

/// Whether the first `length` bytes of a file's content are those that were read. What cannot be read is not.
pub(super) fn holds(path: &Path, length: u64, known: &Known) -> bool {
    let trace = || {
        let file = File::open(path)?;
        if is_gzip(path) {
            Trace::of_stream(&mut MultiGzDecoder::new(BufReader::new(file)), length, Some(known))
        } else {
            Trace::of_plain(&file, length)
        }
    };
    trace().is_ok_and(|trace| trace.is_some_and(|trace| known.is_of(&trace)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn however_it_is_read_the_trace_is_that_of_the_bytes(
            content in prop::collection::vec(any::<u8>(), 0..5000),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            length in any::<prop::sample::Index>(),
        ) {
            let length = length.index(content.len() + 1);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &content).unwrap();
            let plain = Trace::of_plain(file.as_file(), length as u64).unwrap().unwrap();
            let through = Trace::of_stream(&mut &content[..], length as u64, None).unwrap().unwrap();
            let mut pushed = Trace::default();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
            cuts.extend([0, length]);
            cuts.sort_unstable();
            cuts.windows(2).for_each(|cut| pushed.push(&content[cut[0]..cut[1]]));
            prop_assert_eq!(&plain, &through);
            prop_assert_eq!(&plain, &pushed);
            prop_assert_eq!(Trace::of_plain(file.as_file(), content.len() as u64 + 1).unwrap(), None);
        }
    }

    #[test]
    fn what_differs_at_the_beginning_or_before_the_end_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut content = vec![b'x'; 5000];
        std::fs::write(file.path(), &content).unwrap();
        let identity = Identity::of(&file.as_file().metadata().unwrap());
        let known = Known::new(identity, &Trace::of_plain(file.as_file(), 4000).unwrap().unwrap());
        assert!(holds(file.path(), 4000, &known));
        for (at, same) in
            [(0, false), (1023, false), (2000, true), (2976, false), (3999, false), (4000, true)]
        {
            content[at] = b'y';
            std::fs::write(file.path(), &content).unwrap();
            assert_eq!(holds(file.path(), 4000, &known), same, "{at}");
            content[at] = b'x';
        }
        std::fs::write(file.path(), &content[..3999]).unwrap();
        assert!(!holds(file.path(), 4000, &known));
        let mut torn = Trace::default();
        torn.push_beginning(&[b'x'; 1024]);
        assert!(
            Known::new(identity, &torn)
                .is_of(&Trace::of_stream(&mut &content[..], 5000, None).unwrap().unwrap())
        );
    }
}
