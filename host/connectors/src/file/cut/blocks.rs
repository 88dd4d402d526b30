//! ContainerBlocks of records that say how long they are, behind a head, each closed by the file's own mark.
//!
//! What is damaged is passed over up to the next mark, as one record that is refused: what follows it is read.

use super::{Cutter, Piece, beginning};
use weir_format::avro::container::{self, BLOCK_LIMIT_RECORDS, Broken};

/// A head is a schema and some words: one that is longer is not one.
const MOST_HEAD_BYTES: usize = 16 << 20;

/// What was found of the bytes that are held.
#[derive(Debug)]
pub(super) struct ContainerBlocks {
    /// The file's mark, once its head was read.
    mark: Option<container::Sync>,
    /// Why nothing of the file can be read.
    hopeless: Option<String>,
    /// The end of the last block that is whole, and how many records there are up to it.
    whole: usize,
    records: u64,
}

impl ContainerBlocks {
    /// Behind this head, or where the file begins.
    pub(super) fn new(head: Option<&[u8]>) -> ContainerBlocks {
        let mark = head.and_then(|head| container::head_length(head).ok()).map(|(_, mark)| mark);
        ContainerBlocks { mark, hopeless: None, whole: 0, records: 0 }
    }
}

impl Cutter {
    /// As [`Cutter::take`].
    pub(super) fn take_blocks(&mut self, flush: bool) -> Option<Piece> {
        let blocks = self.blocks.as_mut()?;
        if let Some(reason) = blocks.hopeless.clone() {
            return (!self.held.is_empty()).then(|| self.refuse(self.held.len(), reason));
        }
        let Some(mark) = blocks.mark else { return self.take_head() };
        let damage = loop {
            if blocks.records >= BLOCK_LIMIT_RECORDS {
                break None;
            }
            match container::block_at(&self.held, blocks.whole, &mark) {
                Ok(place) => (blocks.whole, blocks.records) = (place.next, blocks.records + place.records),
                Err(Broken::Short) => break None,
                Err(Broken::Damaged(reason)) => break Some(reason),
            }
        };
        let (whole, records) = (blocks.whole, blocks.records);
        if whole > 0 {
            let is_full = self.held.len() >= self.block_bytes || records >= BLOCK_LIMIT_RECORDS;
            let is_wanted = flush || damage.is_some() || is_full;
            return is_wanted.then(|| self.cut_blocks(whole, records));
        }
        let reason = damage?;
        match container::behind_next_mark(&self.held, 1, &mark) {
            Some(end) => Some(self.refuse(end, reason)),
            // Its beginning may be here.
            None if self.held.len() > self.max_line_bytes => {
                Some(self.refuse(self.held.len() - mark.len(), reason))
            }
            None => None,
        }
    }

    fn take_head(&mut self) -> Option<Piece> {
        let blocks = self.blocks.as_mut()?;
        match container::head_length(&self.held) {
            Ok((length, mark)) => {
                blocks.mark = Some(mark);
                Some(Piece::Head { data: self.cut_bytes(length), lines: 0 })
            }
            Err(Broken::Short) if self.held.len() > MOST_HEAD_BYTES => {
                let reason =
                    format!("the file's head has more than the {MOST_HEAD_BYTES} bytes that are read");
                blocks.hopeless = Some(reason.clone());
                Some(self.refuse(self.held.len(), reason))
            }
            Err(Broken::Short) => None,
            Err(Broken::Damaged(reason)) => {
                blocks.hopeless = Some(reason.clone());
                Some(self.refuse(self.held.len(), reason))
            }
        }
    }

    /// As [`Cutter::take_rest`]; to be asked until there is nothing.
    pub(super) fn take_blocks_rest(&mut self) -> Option<Piece> {
        if let Some(piece) = self.take_blocks(true) {
            return Some(piece);
        }
        let reason = "the file ends in the middle of a block, or of its head".to_owned();
        (!self.held.is_empty()).then(|| self.refuse(self.held.len(), reason))
    }

    fn cut_blocks(&mut self, whole: usize, lines: u64) -> Piece {
        let data = self.cut_bytes(whole);
        self.blocks.iter_mut().for_each(|blocks| (blocks.whole, blocks.records) = (0, 0));
        Piece::Lines { data, lines }
    }

    fn refuse(&mut self, length: usize, reason: String) -> Piece {
        let start = beginning(&self.held[..length]);
        self.held.drain(..length);
        Piece::Refused { start, length: length as u64, reason, damaged: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_connect::FileLayout;

    const MARK: container::Sync = *b"0123456789abcdef";

    fn head() -> Vec<u8> {
        let metadata = [&b"Obj\x01\x02\x16avro.schema\x0a\"int\""[..], b"\x00"].concat();
        [metadata, MARK.to_vec()].concat()
    }

    /// A block of so many records of a byte each.
    fn block(records: u8) -> Vec<u8> {
        [&[records * 2, records * 2][..], &vec![7; records.into()], &MARK].concat()
    }

    fn cut(data: &[u8], step: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(FileLayout::AvroContainer, None, 64, 200);
        let mut pieces = Vec::new();
        for part in data.chunks(step) {
            cutter.space().0.extend_from_slice(part);
            pieces.extend(std::iter::from_fn(|| cutter.take(false)));
        }
        pieces.extend(std::iter::from_fn(|| cutter.take_rest()));
        pieces
    }

    /// How many records there are, and why others are not.
    fn told(pieces: &[Piece]) -> (u64, Vec<&str>) {
        let records =
            pieces.iter().map(|piece| if let Piece::Lines { lines, .. } = piece { *lines } else { 0 });
        let reasons = pieces.iter().filter_map(|piece| match piece {
            Piece::Refused { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        (records.sum(), reasons.collect())
    }

    #[test]
    fn blocks_are_cut_where_they_end_and_damage_costs_its_own() {
        let damaged = {
            let mut block = block(5);
            block[1] = 8;
            block
        };
        let good = [head(), block(3), block(0), block(60), block(2)].concat();
        let bad = [head(), block(3), damaged, block(2), b"\x04".to_vec()].concat();
        for step in 1..good.len() {
            let pieces = cut(&good, step);
            assert_eq!(told(&pieces), (65, vec![]), "{step}");
            assert_eq!(pieces.iter().map(Piece::length).sum::<u64>(), good.len() as u64);
            let pieces = cut(&bad, step);
            let (records, reasons) = told(&pieces);
            assert_eq!((records, reasons.len()), (5, 2), "{step}: {reasons:?}");
            assert!(
                reasons[0].contains("is damaged") && reasons[1].contains("ends in the middle"),
                "{reasons:?}"
            );
        }
        let other = cut(b"{\"a\": 1}\n{\"a\": 2}\n", 7);
        assert!(told(&other).1[0].starts_with("not an object container file of Avro"), "{other:?}");
    }
}
