//! From rows of logs back to Arrow columns.

use super::block::Block;
use super::column::{Dictionary, Values};
use crate::aggregate::value::{Bytes, Kind, TextBuilder, Value};
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, TimestampMillisecondArray,
    UInt32Array,
};
use arrow_buffer::{BooleanBuffer, NullBufferBuilder};
use arrow_schema::DataType;
use foldhash::fast::RandomState;
use std::collections::HashMap;
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
    Texts(Box<Texts>),
}

/// Text is named by its number in a dictionary that joins those of the blocks.
struct Texts {
    codes: Vec<u32>,
    words: TextBuilder,
    count: u32,
    /// By block, where its words begin.
    block_starts: HashMap<i64, u32, RandomState>,
    last: (i64, u32),
}

impl Gather {
    pub(crate) fn new((data_type, kind): &(DataType, Kind)) -> Gather {
        let values = match kind {
            Kind::Whole | Kind::Boolean => Gathered::Wholes(Vec::new()),
            Kind::Double => Gathered::Doubles(Vec::new()),
            Kind::Bytes => Gathered::Texts(Box::new(Texts {
                codes: Vec::new(),
                words: Bytes::builder(data_type, 0),
                count: 0,
                block_starts: HashMap::default(),
                last: (i64::MIN, 0),
            })),
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
        }
    }

    /// Appends rows of one column of a block.
    pub(crate) fn push(&mut self, block: &Block, column: usize, rows: Range<usize>) {
        let column = &block.columns[column];
        if column.has_nulls() {
            rows.clone().for_each(|row| self.nulls.append(!column.is_null(row)));
        } else {
            self.nulls.append_n_non_nulls(rows.len());
        }
        match (&mut self.values, &column.values) {
            (Gathered::Wholes(list), Values::Wholes(values)) => {
                list.reserve(rows.len());
                values.for_range(rows, |value| list.push(value));
            }
            (Gathered::Doubles(list), Values::Doubles(values)) => list.extend_from_slice(&values[rows]),
            (Gathered::Texts(texts), Values::Texts(dictionary)) => {
                let start = texts.start_of(block.serial, dictionary);
                texts.codes.reserve(rows.len());
                dictionary.codes.for_range(rows, |code| texts.codes.push(start + code as u32));
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
            Gathered::Texts(mut texts) => {
                if texts.count == 0 {
                    texts.push_word(b"", Some(""));
                }
                let dictionary = Bytes::build(texts.words);
                let codes = UInt32Array::new(texts.codes.into(), nulls);
                // The codes are those of the dictionary, so that taking them cannot fail.
                arrow_select::take::take(&dictionary, &codes, None)
                    .unwrap_or_else(|_| arrow_array::new_null_array(&self.data_type, codes.values().len()))
            }
        }
    }
}

impl Texts {
    /// Where the words of a block begin; they are taken over when the block is first met.
    fn start_of(&mut self, serial: i64, dictionary: &Dictionary) -> u32 {
        if self.last.0 != serial {
            let start = *self.block_starts.entry(serial).or_insert(self.count);
            self.last = (serial, start);
            if start == self.count {
                dictionary.words().for_each(|(bytes, text)| self.push_word(bytes, text));
            }
        }
        self.last.1
    }

    fn push_word(&mut self, bytes: &[u8], text: Option<&str>) {
        self.count += 1;
        // Text went in as UTF-8; only damaged state that got past its checksums could be anything else.
        let text = text.unwrap_or_default();
        match &mut self.words {
            TextBuilder::View(builder) => builder.append_value(text),
            TextBuilder::Text(builder) => builder.append_value(text),
            TextBuilder::Bytes(builder) => builder.append_value(bytes),
        }
    }
}
