//! One column of one block: numbers packed, text and bytes through a dictionary of the block's own.

use super::packed::Packed;
use crate::aggregate::decimal::Decimal;
use crate::aggregate::value::{Bytes, Double, Doubles, Kind, Texts, Value, Wholes};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, BooleanArray, Decimal128Array};
use arrow_schema::DataType;
use std::cmp::Ordering;

/// A batch's column, its type resolved.
pub(crate) enum CellSource<'a> {
    Wholes(Wholes<'a>),
    Doubles(Doubles<'a>),
    Booleans(&'a BooleanArray),
    Texts(Texts<'a>),
    Decimals(&'a Decimal128Array),
}

impl<'a> CellSource<'a> {
    pub(crate) fn of(array: &'a ArrayRef, kind: Kind) -> Option<CellSource<'a>> {
        Some(match kind {
            Kind::Whole => CellSource::Wholes(<i64 as Value>::column(array)?),
            Kind::Double => CellSource::Doubles(<Double as Value>::column(array)?),
            Kind::Boolean => CellSource::Booleans(<bool as Value>::column(array)?),
            Kind::Bytes => CellSource::Texts(<Bytes as Value>::column(array)?),
            Kind::Decimal => CellSource::Decimals(<Decimal as Value>::column(array)?),
        })
    }
}

/// The values of one column of a block.
#[derive(Debug, Clone)]
pub(crate) struct LogColumn {
    pub(crate) values: CellValues,
    /// 1 where the value is null.
    pub(crate) nulls: Packed,
}

/// Values; in place of a null, any.
#[derive(Debug, Clone)]
pub(crate) enum CellValues {
    Wholes(Packed),
    Doubles(Vec<f64>),
    Texts(Dictionary),
    Decimals(Halves),
}

/// Decimals in two halves: of small ones the upper takes next to nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Halves {
    high: Packed,
    low: Packed,
}

impl Halves {
    pub(crate) fn len(&self) -> usize {
        self.low.len()
    }

    pub(crate) fn get(&self, index: usize) -> i128 {
        i128::from(self.high.get(index)) << 64 | i128::from(self.low.get(index) as u64)
    }

    fn insert(&mut self, at: usize, value: i128) {
        self.high.insert(at, (value >> 64) as i64);
        self.low.insert(at, value as i64);
    }
}

/// Text or bytes: each distinct one once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dictionary {
    pub(crate) codes: Packed,
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Dictionary {
    /// How many distinct ones there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn text(&self, code: usize) -> &[u8] {
        &self.bytes[self.range(code)]
    }

    fn range(&self, code: usize) -> std::ops::Range<usize> {
        let start = if code == 0 { 0 } else { self.ends[code - 1] as usize };
        start..self.ends[code] as usize
    }

    fn code_of(&mut self, text: &[u8]) -> usize {
        // At most a block's rows, and compared by length first: not worth a hash table.
        (0..self.len()).find(|code| self.text(*code) == text).unwrap_or_else(|| {
            self.bytes.extend_from_slice(text);
            self.ends.push(self.bytes.len() as u32);
            self.ends.len() - 1
        })
    }
}

impl LogColumn {
    pub(crate) fn new(kind: Kind) -> LogColumn {
        let values = match kind {
            Kind::Whole | Kind::Boolean => CellValues::Wholes(Packed::default()),
            Kind::Double => CellValues::Doubles(Vec::new()),
            Kind::Bytes => CellValues::Texts(Dictionary::default()),
            Kind::Decimal => CellValues::Decimals(Halves::default()),
        };
        LogColumn { values, nulls: Packed::default() }
    }

    /// So many nulls.
    pub(crate) fn nulls(kind: Kind, rows: usize) -> LogColumn {
        let zeros = || std::iter::repeat_n(0, rows).collect::<Packed>();
        let values = match kind {
            Kind::Whole | Kind::Boolean => CellValues::Wholes(zeros()),
            Kind::Double => CellValues::Doubles(vec![0.0; rows]),
            Kind::Bytes => {
                let mut dictionary = Dictionary::default();
                dictionary.code_of(b"");
                dictionary.codes = zeros();
                CellValues::Texts(dictionary)
            }
            Kind::Decimal => CellValues::Decimals(Halves { high: zeros(), low: zeros() }),
        };
        LogColumn { values, nulls: std::iter::repeat_n(1, rows).collect() }
    }

    /// Inserts row `row` of the source at `at`. The source's kind is the column's.
    pub(crate) fn insert(&mut self, at: usize, source: &CellSource<'_>, row: usize) {
        let is_null = match (&mut self.values, source) {
            (CellValues::Wholes(list), CellSource::Wholes(source)) => {
                let value = <i64 as Value>::get(source, row);
                // A null takes a neighbour's number, which costs the packing nothing.
                list.insert(at, value.unwrap_or_else(|| if list.len() > 0 { list.get(0) } else { 0 }));
                value.is_none()
            }
            (CellValues::Wholes(list), CellSource::Booleans(source)) => {
                let value = <bool as Value>::get(source, row);
                list.insert(at, i64::from(value.unwrap_or(false)));
                value.is_none()
            }
            (CellValues::Doubles(list), CellSource::Doubles(source)) => {
                let value = source.get(row);
                list.insert(at, value.unwrap_or(0.0));
                value.is_none()
            }
            (CellValues::Texts(dictionary), CellSource::Texts(source)) => {
                let value = <Bytes as Value>::get(source, row);
                let code = if value.is_none() && dictionary.len() > 0 {
                    0
                } else {
                    dictionary.code_of(value.unwrap_or(b""))
                };
                dictionary.codes.insert(at, code as i64);
                value.is_none()
            }
            (CellValues::Decimals(list), CellSource::Decimals(source)) => {
                let value = <Decimal as Value>::get(source, row).map(Decimal::value);
                list.insert(at, value.unwrap_or_else(|| if list.len() > 0 { list.get(0) } else { 0 }));
                value.is_none()
            }
            // `CellSource::of` was given this column's kind.
            _ => true,
        };
        self.nulls.insert(at, i64::from(is_null));
    }

    pub(crate) fn is_null(&self, index: usize) -> bool {
        self.nulls.get(index) == 1
    }

    pub(crate) fn has_nulls(&self) -> bool {
        !self.nulls.is_only(0)
    }

    /// Of a boolean column: whether the value is true (null is not).
    pub(crate) fn is_true(&self, index: usize) -> bool {
        !self.is_null(index) && matches!(&self.values, CellValues::Wholes(list) if list.get(index) == 1)
    }

    /// Compares two values of one kind, neither of them null, in the order that MIN and MAX use.
    pub(crate) fn compare(&self, index: usize, other: &LogColumn, other_index: usize) -> Ordering {
        match (&self.values, &other.values) {
            (CellValues::Wholes(a), CellValues::Wholes(b)) => a.get(index).cmp(&b.get(other_index)),
            (CellValues::Decimals(a), CellValues::Decimals(b)) => a.get(index).cmp(&b.get(other_index)),
            (CellValues::Doubles(a), CellValues::Doubles(b)) => {
                Double::new(a[index]).cmp(&Double::new(b[other_index]))
            }
            (CellValues::Texts(a), CellValues::Texts(b)) => {
                a.text(a.codes.get(index) as usize).cmp(b.text(b.codes.get(other_index) as usize))
            }
            _ => Ordering::Equal,
        }
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.nulls.remove(at);
        match &mut self.values {
            CellValues::Wholes(list) => list.remove(at),
            CellValues::Doubles(list) => drop(list.remove(at)),
            CellValues::Texts(dictionary) => dictionary.codes.remove(at),
            CellValues::Decimals(list) => {
                list.high.remove(at);
                list.low.remove(at);
            }
        }
    }

    /// Cuts off and returns what comes from `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> LogColumn {
        let nulls = self.nulls.split_off(at);
        let values = match &mut self.values {
            CellValues::Wholes(list) => CellValues::Wholes(list.split_off(at)),
            CellValues::Doubles(list) => CellValues::Doubles(list.split_off(at)),
            CellValues::Decimals(list) => {
                CellValues::Decimals(Halves { high: list.high.split_off(at), low: list.low.split_off(at) })
            }
            CellValues::Texts(dictionary) => {
                let codes = dictionary.codes.split_off(at);
                let rebuilt = |codes: &Packed| {
                    let mut fresh = Dictionary::default();
                    fresh.codes = codes
                        .iter()
                        .map(|code| fresh.code_of(dictionary.text(code as usize)) as i64)
                        .collect();
                    fresh
                };
                let (head, tail) = (rebuilt(&dictionary.codes), rebuilt(&codes));
                *dictionary = head;
                CellValues::Texts(tail)
            }
        };
        LogColumn { values, nulls }
    }

    /// Bytes of the values.
    pub(crate) fn bytes(&self) -> usize {
        self.nulls.bytes()
            + match &self.values {
                CellValues::Wholes(list) => list.bytes(),
                CellValues::Doubles(list) => list.len() * 8,
                CellValues::Decimals(list) => list.high.bytes() + list.low.bytes(),
                CellValues::Texts(dictionary) => {
                    dictionary.codes.bytes() + dictionary.ends.len() * 4 + dictionary.bytes.len()
                }
            }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode_packed(&self.nulls, out);
        match &self.values {
            CellValues::Wholes(list) => encode_packed(list, out),
            CellValues::Decimals(list) => {
                encode_packed(&list.high, out);
                encode_packed(&list.low, out);
            }
            CellValues::Doubles(list) => {
                for value in list {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
            CellValues::Texts(dictionary) => {
                bytes::put_unsigned(dictionary.len() as u64, out);
                (0..dictionary.len()).for_each(|code| bytes::put_bytes(dictionary.text(code), out));
                encode_packed(&dictionary.codes, out);
            }
        }
    }

    /// Reads a column of `rows` values of the type back; `None` if the bytes are damaged.
    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        rows: usize,
        data_type: &DataType,
        kind: Kind,
    ) -> Option<LogColumn> {
        let nulls =
            decode_packed(reader, rows).filter(|nulls| nulls.iter().all(|null| null == 0 || null == 1))?;
        let values = match kind {
            Kind::Whole | Kind::Boolean => CellValues::Wholes(decode_packed(reader, rows)?),
            Kind::Decimal => {
                let high = decode_packed(reader, rows)?;
                CellValues::Decimals(Halves { high, low: decode_packed(reader, rows)? })
            }
            Kind::Double => CellValues::Doubles((0..rows).map(|_| reader.double()).collect::<Option<_>>()?),
            Kind::Bytes => {
                let mut dictionary = Dictionary::default();
                for _ in 0..reader.count(1)? {
                    let text = reader.bytes()?;
                    if *data_type != DataType::BinaryView && std::str::from_utf8(text).is_err() {
                        return None;
                    }
                    dictionary.bytes.extend_from_slice(text);
                    dictionary.ends.push(u32::try_from(dictionary.bytes.len()).ok()?);
                }
                let codes = 0..dictionary.len() as i64;
                dictionary.codes = decode_packed(reader, rows)
                    .filter(|list| list.iter().all(|code| codes.contains(&code)))?;
                CellValues::Texts(dictionary)
            }
        };
        Some(LogColumn { values, nulls })
    }
}

/// The first number, then each one's distance from the one before; all the same is one number more.
pub(crate) fn encode_packed(list: &Packed, out: &mut Vec<u8>) {
    let first = if list.len() > 0 { list.get(0) } else { 0 };
    out.push(u8::from(!list.is_only(first)));
    bytes::put_signed(first, out);
    if !list.is_only(first) {
        let mut last = first;
        for value in list.iter().skip(1) {
            bytes::put_signed(value.wrapping_sub(last), out);
            last = value;
        }
    }
}

pub(crate) fn decode_packed(reader: &mut Reader<'_>, rows: usize) -> Option<Packed> {
    let varies = reader.byte().filter(|byte| *byte <= 1)? == 1;
    let mut last = reader.signed()?;
    if !varies {
        return Some(std::iter::repeat_n(last, rows).collect());
    }
    let mut values = Vec::with_capacity(rows);
    values.push(last);
    for _ in 1..rows {
        last = last.wrapping_add(reader.signed()?);
        values.push(last);
    }
    Some(values.into_iter().collect())
}
