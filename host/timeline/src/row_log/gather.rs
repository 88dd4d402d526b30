//! From rows of logs back to Arrow columns.

use super::block::RowBlock;
use super::column::{CellValues, Dictionary};
use crate::aggregate::value::{Bytes, Kind, TextBuilder, Value};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    TimestampMillisecondArray, UInt32Array,
};
use arrow_buffer::{BooleanBuffer, NullBufferBuilder};
use arrow_schema::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// A column in the making.
pub(crate) struct Gather {
    data_type: DataType,
    nulls: NullBufferBuilder,
    values: Gathered,
}

enum Gathered {
    Wholes(Vec<i64>),
    Doubles(Vec<f64>),
    Texts(Box<GatheredTexts>),
    Decimals(Vec<i128>),
}

/// Text is named by its number in a dictionary that joins those of the blocks: each distinct one once.
#[derive(Default)]
struct GatheredTexts {
    codes: Vec<u32>,
    words: Words,
    /// The dictionary that was met last, and by its codes those of the joint one, `UNKNOWN` until they are asked for.
    met: Option<Met>,
    translated: Vec<u32>,
}

/// What tells a block's dictionary from all others: the block's number, which keys that were restored from different
/// segments may share, and where the dictionary lies, which is another place while both are there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Met {
    serial: i64,
    address: usize,
}

const UNKNOWN: u32 = u32::MAX;

/// Distinct texts by number.
#[derive(Default)]
struct Words {
    ends: Vec<usize>,
    bytes: Vec<u8>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Gather {
    pub(crate) fn new((data_type, kind): &(DataType, Kind)) -> Gather {
        let values = match kind {
            Kind::Whole | Kind::Boolean => Gathered::Wholes(Vec::new()),
            Kind::Double => Gathered::Doubles(Vec::new()),
            Kind::Bytes => Gathered::Texts(Box::default()),
            Kind::Decimal => Gathered::Decimals(Vec::new()),
        };
        Gather { data_type: data_type.clone(), nulls: NullBufferBuilder::new(0), values }
    }

    /// Appends a null.
    pub(crate) fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Gathered::Wholes(list) => list.push(0),
            Gathered::Doubles(list) => list.push(0.0),
            Gathered::Texts(texts) => texts.codes.push(0),
            Gathered::Decimals(list) => list.push(0),
        }
    }

    /// Appends rows of one column of a block.
    pub(crate) fn push(&mut self, block: &RowBlock, column: usize, rows: Range<usize>) {
        let column = &block.columns[column];
        if column.has_nulls() {
            rows.clone().for_each(|row| self.nulls.append(!column.is_null(row)));
        } else {
            self.nulls.append_n_non_nulls(rows.len());
        }
        match (&mut self.values, &column.values) {
            (Gathered::Wholes(list), CellValues::Wholes(values)) => {
                list.reserve(rows.len());
                values.for_range(rows, |value| list.push(value));
            }
            (Gathered::Doubles(list), CellValues::Doubles(values)) => list.extend_from_slice(&values[rows]),
            (Gathered::Texts(texts), CellValues::Texts(dictionary)) => {
                texts.push(block.serial, dictionary, rows);
            }
            (Gathered::Decimals(list), CellValues::Decimals(values)) => {
                list.extend(rows.map(|row| values.get(row)));
            }
            // A gathered column's kind is that of the layout, as is the block's.
            _ => {}
        }
    }

    /// The column.
    pub(crate) fn finish(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        match self.values {
            Gathered::Wholes(list) => match self.data_type {
                DataType::Int32 => {
                    Arc::new(Int32Array::new(list.into_iter().map(|value| value as i32).collect(), nulls))
                }
                DataType::Date32 => {
                    Arc::new(Date32Array::new(list.into_iter().map(|value| value as i32).collect(), nulls))
                }
                DataType::Timestamp(..) => Arc::new(TimestampMillisecondArray::new(list.into(), nulls)),
                DataType::Boolean => Arc::new(BooleanArray::new(
                    BooleanBuffer::collect_bool(list.len(), |at| list[at] == 1),
                    nulls,
                )),
                _ => Arc::new(Int64Array::new(list.into(), nulls)),
            },
            Gathered::Doubles(list) => match self.data_type {
                DataType::Float32 => {
                    Arc::new(Float32Array::new(list.into_iter().map(|value| value as f32).collect(), nulls))
                }
                _ => Arc::new(Float64Array::new(list.into(), nulls)),
            },
            Gathered::Decimals(list) => {
                Arc::new(Decimal128Array::new(list.into(), nulls).with_data_type(self.data_type))
            }
            Gathered::Texts(mut texts) => {
                if texts.words.ends.is_empty() {
                    texts.words.number(b"");
                }
                let dictionary = texts.words.array(&self.data_type);
                let codes = UInt32Array::new(texts.codes.into(), nulls);
                // The codes are those of the dictionary, so that taking them cannot fail.
                arrow_select::take::take(&dictionary, &codes, None)
                    .unwrap_or_else(|_| arrow_array::new_null_array(&self.data_type, codes.values().len()))
            }
        }
    }
}

impl GatheredTexts {
    fn push(&mut self, serial: i64, dictionary: &Dictionary, rows: Range<usize>) {
        let GatheredTexts { codes, words, translated, .. } = self;
        let met = Met { serial, address: std::ptr::from_ref(dictionary).addr() };
        if self.met != Some(met) {
            self.met = Some(met);
            translated.clear();
            translated.resize(dictionary.len(), UNKNOWN);
        }
        codes.reserve(rows.len());
        let from = codes.len();
        dictionary.codes.for_range(rows, |code| codes.push(code as u32));
        for code in &mut codes[from..] {
            let of_block = *code as usize;
            *code = translated[of_block];
            if *code == UNKNOWN {
                *code = words.number(dictionary.text(of_block));
                translated[of_block] = *code;
            }
        }
    }
}

impl Words {
    fn range(ends: &[usize], number: u32) -> Range<usize> {
        let number = number as usize;
        let start = if number == 0 { 0 } else { ends[number - 1] };
        start..ends[number]
    }

    /// The number of a text, which is given one if it has none.
    fn number(&mut self, text: &[u8]) -> u32 {
        let Words { ends, bytes, numbers, hasher } = self;
        let found = numbers.entry(
            hasher.hash_one(text),
            |number| bytes[Words::range(ends, *number)] == *text,
            |number| hasher.hash_one(&bytes[Words::range(ends, *number)]),
        );
        match found {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let number = ends.len() as u32;
                free.insert(number);
                bytes.extend_from_slice(text);
                ends.push(bytes.len());
                number
            }
        }
    }

    fn array(&self, data_type: &DataType) -> ArrayRef {
        // Together they are checked faster than one by one.
        let text = std::str::from_utf8(&self.bytes).ok();
        let mut builder = Bytes::builder(data_type, 0);
        for number in 0..self.ends.len() as u32 {
            let range = Words::range(&self.ends, number);
            // Text went in as UTF-8; only damaged state that got past its checksums could be anything else.
            let own = text.and_then(|text| text.get(range.clone())).unwrap_or_default();
            match &mut builder {
                TextBuilder::View(builder) => builder.append_value(own),
                TextBuilder::Text(builder) => builder.append_value(own),
                TextBuilder::Bytes(builder) => builder.append_value(&self.bytes[range]),
            }
        }
        Bytes::build(builder)
    }
}
