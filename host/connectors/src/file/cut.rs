//! A stream of bytes cut into blocks at line ends, within bounded memory whatever the lines.
//!
//! Knows bytes; must not know files. Lines are counted from 0 where cutting began. What is called a line here may hold
//! line ends between quotes, if the layout is so.

mod blocks;
mod quoted;

use blocks::ContainerBlocks;
use bytes::Bytes;
use quoted::Quoted;
use weir_connect::FileLayout;
use weir_connect::format::PAYLOAD_KEPT_BYTES;

/// Some whole lines, or one line that is too long to be held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Lines with their ends; only the last line of all may lack its own.
    Lines { data: Bytes, lines: u64 },
    /// What stands once at the head of a file, and how many lines it counts as.
    Head { data: Bytes, lines: u64 },
    /// The first bytes of a line that is too long, and how long it was with its end.
    TooLong { start: Vec<u8>, length: u64 },
    /// Bytes that are of no use, as one line: the first of them, how many there were, why, and whether the file is damaged
    /// there.
    Refused { start: Vec<u8>, length: u64, reason: String, damaged: bool },
}

impl Piece {
    /// How many lines it is.
    pub(super) fn lines(&self) -> u64 {
        match self {
            Piece::Lines { lines, .. } | Piece::Head { lines, .. } => *lines,
            Piece::TooLong { .. } | Piece::Refused { .. } => 1,
        }
    }

    /// How many bytes of the stream it is.
    pub(super) fn length(&self) -> u64 {
        match self {
            Piece::Lines { data, .. } | Piece::Head { data, .. } => data.len() as u64,
            Piece::TooLong { length, .. } | Piece::Refused { length, .. } => *length,
        }
    }
}

/// Collects bytes until there is a block of lines.
#[derive(Debug)]
pub(super) struct Cutter {
    block_bytes: usize,
    max_line_bytes: usize,
    /// What was read and not handed out: begins at the start of a line.
    held: Vec<u8>,
    /// Start and length so far of the line that is being dropped.
    dropping: Option<(Vec<u8>, u64)>,
    /// Where line ends are not always those of lines.
    quoted: Option<Quoted>,
    /// Where blocks say themselves how long they are.
    blocks: Option<ContainerBlocks>,
}

impl Cutter {
    /// ContainerBlocks of about `block_bytes`; a line of more than `max_line_bytes` without its end is too long. Without `head`
    /// cutting begins where a file does, with it behind that.
    pub(super) fn new(
        layout: FileLayout,
        head: Option<&[u8]>,
        block_bytes: usize,
        max_line_bytes: usize,
    ) -> Self {
        let (mut quoted, mut blocks) = (None, None);
        match layout {
            FileLayout::Quoted { quote, delimiter, head: has_head } => {
                quoted = Some(Quoted::new(quote, delimiter, has_head && head.is_none()));
            }
            FileLayout::AvroContainer => blocks = Some(ContainerBlocks::new(head)),
            FileLayout::Lines | FileLayout::Payloads | FileLayout::Columns | FileLayout::None => {}
        }
        let held = Vec::with_capacity(block_bytes);
        Cutter { block_bytes, max_line_bytes, held, dropping: None, quoted, blocks }
    }

    /// Where to append what is read next, and at most how many bytes of it.
    pub(super) fn space(&mut self) -> (&mut Vec<u8>, usize) {
        let room = self.block_bytes.saturating_sub(self.held.len()).max(self.block_bytes / 4).max(1);
        (&mut self.held, room)
    }

    /// The lines that are whole by now, if there are enough of them for a block or `flush` is set.
    pub(super) fn take(&mut self, flush: bool) -> Option<Piece> {
        if self.dropping.is_some() {
            return self.drop_to_line_end();
        }
        if self.quoted.is_some() {
            return self.take_quoted(flush);
        }
        if self.blocks.is_some() {
            return self.take_blocks(flush);
        }
        let whole = match memchr::memrchr(b'\n', &self.held) {
            Some(_) if self.held.len() < self.block_bytes && !flush => return None,
            Some(last) => last + 1,
            None if self.held.len() > self.max_line_bytes => {
                self.start_dropping();
                return None;
            }
            None => return None,
        };
        Some(self.cut(whole))
    }

    /// The stream has ended: what remains is its last line.
    pub(super) fn take_rest(&mut self) -> Option<Piece> {
        if let Some((start, length)) = self.dropping.take() {
            return Some(Piece::TooLong { start, length });
        }
        if self.quoted.is_some() {
            return self.take_quoted_rest();
        }
        if self.blocks.is_some() {
            return self.take_blocks_rest();
        }
        (!self.held.is_empty()).then(|| self.cut(self.held.len()))
    }

    /// Cuts off the first `whole` bytes, which end a line, or as much of them as comes before or is one line that
    /// is too long.
    fn cut(&mut self, whole: usize) -> Piece {
        let cut = if whole > self.max_line_bytes { self.first_too_long(whole) } else { None };
        match cut {
            Some((0, end)) => {
                let rest = self.held.split_off(end);
                let line = std::mem::replace(&mut self.held, rest);
                Piece::TooLong { start: beginning(&line), length: line.len() as u64 }
            }
            Some((start, _)) => self.cut_lines(start),
            None => self.cut_lines(whole),
        }
    }

    fn cut_lines(&mut self, end: usize) -> Piece {
        let data = self.cut_bytes(end);
        let ends = memchr::memchr_iter(b'\n', &data).count() as u64;
        let lines = ends + u64::from(!data.ends_with(b"\n"));
        Piece::Lines { data, lines }
    }

    fn cut_bytes(&mut self, end: usize) -> Bytes {
        if end < self.held.capacity() / 2 {
            // A few lines must not keep a whole block's memory, nor a block that of a long line before it.
            let data = Bytes::copy_from_slice(&self.held[..end]);
            self.held.drain(..end);
            self.held.shrink_to(self.block_bytes);
            data
        } else {
            let mut rest = Vec::with_capacity(self.block_bytes);
            rest.extend_from_slice(&self.held[end..]);
            self.held.truncate(end);
            Bytes::from(std::mem::replace(&mut self.held, rest))
        }
    }

    /// Start and end of the first line that is too long among the first `whole` bytes.
    fn first_too_long(&self, whole: usize) -> Option<(usize, usize)> {
        let mut start = 0;
        while start < whole {
            let line = &self.held[start..whole];
            let length = memchr::memchr(b'\n', line).unwrap_or(line.len());
            let end = (start + length + 1).min(whole);
            if length > self.max_line_bytes {
                return Some((start, end));
            }
            start = end;
        }
        None
    }

    fn start_dropping(&mut self) {
        self.dropping = Some((beginning(&self.held), self.held.len() as u64));
        self.held.clear();
    }

    fn drop_to_line_end(&mut self) -> Option<Piece> {
        let end = memchr::memchr(b'\n', &self.held).map_or(self.held.len(), |at| at + 1);
        let ended = end > 0 && self.held[end - 1] == b'\n';
        self.held.drain(..end);
        let (_, length) = self.dropping.as_mut()?;
        *length += end as u64;
        let (start, length) = self.dropping.take_if(|_| ended)?;
        Some(Piece::TooLong { start, length })
    }
}

fn beginning(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(PAYLOAD_KEPT_BYTES)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    /// Cuts `data`, read `step` bytes at a time, and checks that at most a block and a line are held.
    fn cut(data: &[u8], step: usize, block: usize, longest: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(FileLayout::Lines, None, block, longest);
        let mut pieces = Vec::new();
        for part in data.chunks(step) {
            cutter.space().0.extend_from_slice(part);
            while let Some(piece) = cutter.take(false) {
                pieces.push(piece);
            }
            assert!(cutter.held.len() <= block.max(longest) + step);
        }
        while let Some(piece) = cutter.take(true) {
            pieces.push(piece);
        }
        pieces.extend(std::iter::from_fn(|| cutter.take_rest()));
        assert!(cutter.held.is_empty());
        pieces
    }

    fn split_lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
        data.split_inclusive(|byte| *byte == b'\n')
    }

    proptest! {
        #[test]
        fn pieces_are_the_lines_in_order(
            lines in prop::collection::vec(0_usize..40, 0..20),
            unfinished in 0_usize..40,
            step in 1_usize..50,
            block in 1_usize..60,
        ) {
            const LONGEST: usize = 20;
            let mut data = Vec::new();
            for length in lines {
                data.extend(std::iter::repeat_n(b'x', length).chain([b'\n']));
            }
            data.extend(std::iter::repeat_n(b'y', unfinished));
            let mut expected = split_lines(&data);
            for piece in cut(&data, step, block, LONGEST) {
                let length: u64 = match &piece {
                    Piece::Lines { data, lines } => {
                        prop_assert_eq!(split_lines(data).count() as u64, *lines);
                        split_lines(data).map(|line| {
                            assert_eq!(expected.next(), Some(line));
                            assert!(line.strip_suffix(b"\n").unwrap_or(line).len() <= LONGEST);
                            line.len() as u64
                        }).sum()
                    }
                    Piece::Head { .. } | Piece::Refused { .. } => unreachable!("lines have neither"),
                    Piece::TooLong { start, length } => {
                        let line = expected.next().unwrap();
                        prop_assert_eq!(line.len() as u64, *length);
                        let without_end = line.strip_suffix(b"\n").unwrap_or(line);
                        prop_assert!(line.starts_with(start) && without_end.len() > LONGEST);
                        *length
                    }
                };
                prop_assert_eq!(piece.length(), length);
            }
            prop_assert_eq!(expected.next(), None);
        }
    }

    #[test]
    fn a_full_block_is_handed_out_where_it_was_read() {
        fn read(cutter: &mut Cutter) -> bool {
            let lines = b"123456\n".repeat(200);
            let (held, room) = cutter.space();
            lines.as_slice().take(room as u64).read_to_end(held).unwrap();
            let at = held.as_ptr();
            matches!(cutter.take(false), Some(Piece::Lines { data, .. }) if data.as_ptr() == at)
        }
        let mut cutter = Cutter::new(FileLayout::Lines, None, 1024, 2048);
        assert!(read(&mut cutter) && read(&mut cutter));
        // A line that is too long makes room for itself, but not for ever.
        cutter.space().0.extend([b'x'; 5000]);
        assert_eq!(cutter.take(false), None);
        cutter.space().0.push(b'\n');
        assert!(matches!(cutter.take(false), Some(Piece::TooLong { .. })));
        read(&mut cutter);
        assert!(read(&mut cutter));
    }

    #[test]
    fn a_line_of_any_length_is_not_held() {
        let mut cutter = Cutter::new(FileLayout::Lines, None, 100, 1000);
        for _ in 0..10_000 {
            cutter.space().0.extend_from_slice(&[b'x'; 1000]);
            assert_eq!(cutter.take(false), None);
            assert!(cutter.held.capacity() < 10_000);
        }
        cutter.space().0.extend_from_slice(b"x\nnext");
        let Some(Piece::TooLong { start, length }) = cutter.take(false) else {
            panic!("nothing was refused")
        };
        assert_eq!((start.len(), length), (PAYLOAD_KEPT_BYTES, 10_000_002));
        assert_eq!(cutter.take_rest(), Some(Piece::Lines { data: Bytes::from_static(b"next"), lines: 1 }));
    }
}
