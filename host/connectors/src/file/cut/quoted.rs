//! Records that end at line ends outside of quotes, and the head that may stand before them.
//!
//! A quote that is not closed within the longest line there may be, or by the end of the file, is taken for a mistake in
//! its line: that is refused alone, and what follows is read as if it had ended there.

use super::{Cutter, Piece, beginning};
use std::collections::VecDeque;
use weir_format::csv::{Boundary, Dialect};

/// What was found of the bytes that are held.
#[derive(Debug)]
pub(super) struct Quoted {
    boundary: Boundary,
    /// Whether the next record is the head.
    awaits_head: bool,
    /// The end of the last record that is whole, and how many there are up to it.
    whole: usize,
    records: u64,
    /// Lines that were refused, to be handed out.
    refused: VecDeque<Piece>,
}

impl Quoted {
    pub(super) fn new(quote: u8, delimiter: u8, awaits_head: bool) -> Quoted {
        let boundary = Boundary::new(Dialect { delimiter, quote });
        Quoted { boundary, awaits_head, whole: 0, records: 0, refused: VecDeque::new() }
    }

    /// Finds more ends of records; of the head, where that is awaited.
    fn look(&mut self, held: &[u8]) {
        while !(self.awaits_head && self.records == 1)
            && let Some(end) = self.boundary.next_end(held)
        {
            self.whole = end;
            self.records += 1;
        }
    }

    /// The first `bytes` are handed out.
    fn pass(&mut self, bytes: usize) {
        self.boundary.shift(bytes);
        (self.awaits_head, self.whole, self.records) = (false, 0, 0);
    }

    /// The first line of what is held, of so many bytes, is refused.
    fn pass_line(&mut self, bytes: usize) {
        self.boundary.restart_behind_line(bytes);
        (self.awaits_head, self.whole, self.records) = (false, 0, 0);
    }

    /// What is held begins anew.
    fn restart(&mut self) {
        self.boundary.restart();
        (self.awaits_head, self.whole, self.records) = (false, 0, 0);
    }
}

impl Cutter {
    /// As [`Cutter::take`].
    pub(super) fn take_quoted(&mut self, flush: bool) -> Option<Piece> {
        let quoted = self.quoted.as_mut()?;
        if let Some(refused) = quoted.refused.pop_front() {
            return Some(refused);
        }
        quoted.look(&self.held);
        let (whole, records, is_head) = (quoted.whole, quoted.records, quoted.awaits_head);
        let is_wanted = whole > 0 && (flush || is_head || self.held.len() >= self.block_bytes);
        if is_wanted {
            quoted.pass(whole);
            let data = self.cut_bytes(whole);
            return Some(if is_head {
                Piece::Head { data, lines: 1 }
            } else {
                Piece::Lines { data, lines: records }
            });
        }
        if whole > 0 || self.held.len() <= self.max_line_bytes {
            return None;
        }
        if let Some(open) = self.refuse_lines(self.max_line_bytes) {
            return Some(open);
        }
        quoted_restart(self);
        self.start_dropping();
        None
    }

    /// As [`Cutter::take_rest`]; to be asked until there is nothing.
    pub(super) fn take_quoted_rest(&mut self) -> Option<Piece> {
        if let Some(piece) = self.take_quoted(true) {
            return Some(piece);
        }
        if self.held.is_empty() {
            return None;
        }
        let quoted = self.quoted.as_mut()?;
        if quoted.boundary.is_within_quotes()
            && let Some(open) = self.refuse_lines(0)
        {
            return Some(open);
        }
        let is_head = self.quoted.as_ref().is_some_and(|quoted| quoted.awaits_head);
        quoted_restart(self);
        let data = self.cut_bytes(self.held.len());
        Some(if is_head { Piece::Head { data, lines: 1 } } else { Piece::Lines { data, lines: 1 } })
    }

    /// Refuses the first line of a record that does not end, and lines behind it that do not end either, as long as more
    /// than so many bytes are held: all at once, as the bytes behind them are moved each time. Gives the first of them.
    fn refuse_lines(&mut self, held_bytes: usize) -> Option<Piece> {
        let Cutter { held, quoted, max_line_bytes, .. } = self;
        let quoted = quoted.as_mut()?;
        let mut passed = 0;
        while let Some(length) = memchr::memchr(b'\n', &held[passed..]) {
            let line = &held[passed..=passed + length];
            quoted.refused.push_back(unclosed(line, *max_line_bytes));
            passed += line.len();
            quoted.pass_line(line.len());
            quoted.look(&held[passed..]);
            let does_not_end = quoted.whole == 0 && quoted.boundary.is_within_quotes();
            if !does_not_end || held.len() - passed <= held_bytes {
                break;
            }
        }
        held.drain(..passed);
        quoted.refused.pop_front()
    }
}

/// A line with a quote that is not closed.
fn unclosed(line: &[u8], longest: usize) -> Piece {
    let length = line.len() as u64;
    let reason = format!(
        "not CSV: a quote in the line, of {length} bytes, is not closed by the end of the file or within {longest} bytes; \
         close it, or double it if it belongs to the text"
    );
    Piece::Refused { start: beginning(line), length, reason, damaged: false }
}

fn quoted_restart(cutter: &mut Cutter) {
    cutter.quoted.iter_mut().for_each(Quoted::restart);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_connect::FileLayout;

    const LAYOUT: FileLayout = FileLayout::Quoted { quote: b'"', delimiter: b',', head: true };

    /// Cuts `data`, read `step` bytes at a time.
    fn cut(data: &[u8], step: usize, block: usize, longest: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(LAYOUT, None, block, longest);
        let mut pieces = Vec::new();
        for part in data.chunks(step) {
            cutter.space().0.extend_from_slice(part);
            while let Some(piece) = cutter.take(false) {
                pieces.push(piece);
            }
        }
        pieces.extend(std::iter::from_fn(|| cutter.take_rest()));
        assert!(cutter.held.is_empty());
        pieces
    }

    proptest! {
        #[test]
        fn records_are_cut_where_they_end(
            rows in prop::collection::vec("[a,]{0,3}(\"([bc,\n]|\"\"){0,5}\")?", 1..30),
            step in 1_usize..50,
            block in 1_usize..60,
        ) {
            // A quote stands at the beginning of a field alone.
            let rows: Vec<String> = rows.iter().map(|row| row.replace("a\"", "a,\"") + "\n").collect();
            let data = rows.concat();
            let (mut at, mut expected) = (0, rows.iter());
            for (index, piece) in cut(data.as_bytes(), step, block, 1000).into_iter().enumerate() {
                prop_assert_eq!(index == 0, matches!(piece, Piece::Head { .. }));
                let length: usize = (0..piece.lines()).map(|_| expected.next().unwrap().len()).sum();
                prop_assert_eq!(piece.length(), length as u64);
                if let Piece::Lines { data: cut, .. } | Piece::Head { data: cut, .. } = &piece {
                    prop_assert_eq!(&data.as_bytes()[at..at + length], &cut[..]);
                }
                at += length;
            }
            prop_assert_eq!(at, data.len());
        }
    }

    /// Whether a line was refused for its quote.
    fn is_open(piece: &Piece, line: &[u8]) -> bool {
        matches!(piece, Piece::Refused { start, length, .. } if start == line && *length == line.len() as u64)
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line() {
        let data = b"a,b\n1,\"x\n2,y\n3,z\n";
        for step in 1..data.len() {
            let pieces = cut(data, step, 1 << 20, 1 << 20);
            assert_eq!(pieces[0].lines(), 1);
            assert!(is_open(&pieces[1], b"1,\"x\n"), "{step}: {pieces:?}");
            let rest = b"2,y\n3,z\n"[..].to_vec().into();
            assert_eq!(pieces[2..], [Piece::Lines { data: rest, lines: 2 }]);
        }
        let many = [b"a\n".to_vec(), b"x\",\"\n".repeat(300_000), b"last\n".to_vec()].concat();
        let pieces = cut(&many, 4096, 1 << 16, 1 << 20);
        assert_eq!(pieces.iter().map(Piece::lines).sum::<u64>(), 300_002);
        assert!(
            is_open(&pieces[1], b"x\",\"\n") && is_open(&pieces[300_000], b"x\",\"\n"),
            "{:?}",
            pieces[1]
        );
        let long = [b"a\n\"x\n".to_vec(), b"y\n".repeat(100)].concat();
        let pieces = cut(&long, 7, 50, 60);
        assert!(is_open(&pieces[1], b"\"x\n"), "{pieces:?}");
        assert_eq!(pieces[2..].iter().map(Piece::lines).sum::<u64>(), 100);
        let unending = [b"a\n".to_vec(), vec![b'x'; 500], b"\nlast".to_vec()].concat();
        let pieces = cut(&unending, 7, 50, 60);
        assert!(matches!(pieces[1], Piece::TooLong { length: 501, .. }), "{pieces:?}");
        assert_eq!(pieces[2], Piece::Lines { data: b"last"[..].to_vec().into(), lines: 1 });
    }
}
