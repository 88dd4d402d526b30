//! Reading payloads through a plugin: its columns as the stream declares them, without the rows that are none.

use super::fit::{Given, place};
use crate::column::Column;
use crate::csv::CellReading;
use crate::payload::{DecodedPayloads, PayloadDecoder, PayloadPlugins};
use crate::records::{bad_row, each_record};
use crate::rows::{Wanted, WantedColumn};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_select::filter::filter_record_batch;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Decoded, Decoder, RawBlock};
use weir_event::StreamSchema;

/// Decodes payloads for the columns that it was made for.
#[derive(Debug)]
pub(super) struct PluginDecoder {
    plugin: String,
    owner: String,
    plugins: Option<Arc<dyn PayloadPlugins>>,
    wanted: Wanted,
    /// The version that decodes, and where it has the columns.
    bound: Mutex<Option<Arc<Bound>>>,
}

/// One version of the plugin for the wanted columns.
#[derive(Debug)]
struct Bound {
    decoder: Arc<dyn PayloadDecoder>,
    /// Of each wanted column, in their order: its place among the plugin's.
    places: Vec<usize>,
    given: Vec<Given>,
}

impl PluginDecoder {
    /// A decoder for the stream's columns of these indexes, in this order.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub(super) fn new(
        plugin: String,
        owner: String,
        plugins: Option<Arc<dyn PayloadPlugins>>,
        stream: &StreamSchema,
        columns: &[usize],
    ) -> PluginDecoder {
        let wanted = Wanted::new(stream, columns);
        PluginDecoder { plugin, owner, plugins, wanted, bound: Mutex::default() }
    }

    /// The active version, for the wanted columns.
    fn current(&self) -> Result<Arc<Bound>, ConnectError> {
        let plugins = self.plugins.as_ref().ok_or_else(|| {
            ConnectError::internal(format!("no plugin is at hand here, and `{}` is to decode", self.plugin))
        })?;
        let decoder = plugins.decoder(&self.plugin, &self.owner)?;
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bound) = bound.as_ref().filter(|bound| bound.decoder.identity() == decoder.identity()) {
            return Ok(bound.clone());
        }
        let fit = |column: &WantedColumn| {
            place(&column.member, (&column.data_type, &column.form), decoder.columns())
        };
        let fits: Result<Vec<_>, String> = self.wanted.columns.iter().map(fit).collect();
        let (places, given) = match (fits, bound.as_ref()) {
            (Ok(fits), _) => fits.into_iter().unzip(),
            // As for functions: whoever runs goes on with the version that it has.
            (Err(_), Some(bound)) => return Ok(bound.clone()),
            (Err(reason), None) => {
                let next = "activate a version that fits, or correct `fields`";
                return Err(ConnectError::unavailable(format!("plugin `{}`: {reason}; {next}", self.plugin)));
            }
        };
        Ok(bound.insert(Arc::new(Bound { decoder, places, given })).clone())
    }

    /// The version that [`Decoder::ready`] found.
    fn found(&self) -> Result<Arc<Bound>, ConnectError> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone();
        bound.map_or_else(|| self.current(), Ok)
    }
}

#[async_trait]
impl Decoder for PluginDecoder {
    fn takes_long(&self) -> bool {
        true
    }

    async fn ready(&self, _: &RawBlock) -> Result<(), ConnectError> {
        self.current().map(drop)
    }

    fn decode(&self, block: &RawBlock) -> Decoded {
        self.attempt(block).unwrap_or_else(|error| {
            let mut bad = Vec::new();
            each_record(block, |_, offset, range| {
                bad.push(bad_row(offset, error.message.clone(), &block.data[range]));
            });
            let columns = RecordBatch::new_empty(self.wanted.schema.clone());
            Decoded { columns, offsets: Vec::new(), records: Vec::new(), bad }
        })
    }

    fn attempt(&self, block: &RawBlock) -> Result<Decoded, ConnectError> {
        let bound = self.found()?;
        let (mut payloads, mut places) = (Vec::new(), Vec::new());
        each_record(block, |index, offset, range| {
            payloads.push(&block.data[range]);
            places.push((index, offset));
        });
        let DecodedPayloads { columns, refused } = bound.decoder.decode(&payloads, &bound.places)?;
        let mut refused: BTreeMap<usize, String> = refused.into_iter().collect();
        let mut arrays = Vec::with_capacity(columns.len());
        for ((array, given), column) in columns.into_iter().zip(&bound.given).zip(&self.wanted.columns) {
            arrays.push(match given {
                Given::AsWanted => array,
                Given::AsText => read_text(&array, column, &mut refused)?,
            });
        }
        if let Some(time) = self.wanted.event_time {
            let missing = || format!("the event time `{}` is missing", self.wanted.columns[time].member);
            for row in (0..payloads.len()).filter(|row| arrays[time].is_null(*row)) {
                refused.entry(row).or_insert_with(missing);
            }
        }
        self.without(arrays, &payloads, &places, refused)
    }
}

impl PluginDecoder {
    /// The rows that are none of the refused.
    fn without(
        &self,
        arrays: Vec<ArrayRef>,
        payloads: &[&[u8]],
        places: &[(u32, u64)],
        refused: BTreeMap<usize, String>,
    ) -> Result<Decoded, ConnectError> {
        let unheld = |error| ConnectError::internal(format!("decoded columns cannot be held: {error}"));
        let options = RecordBatchOptions::new().with_row_count(Some(payloads.len()));
        let batch = RecordBatch::try_new_with_options(self.wanted.schema.clone(), arrays, &options);
        let mut columns = batch.map_err(unheld)?;
        let is_good: Vec<bool> = (0..payloads.len()).map(|row| !refused.contains_key(&row)).collect();
        let good = places.iter().zip(&is_good).filter(|(_, good)| **good).map(|(place, _)| *place);
        let (records, offsets) = good.unzip();
        if !refused.is_empty() {
            columns = filter_record_batch(&columns, &BooleanArray::from(is_good)).map_err(unheld)?;
        }
        let bad =
            refused.into_iter().map(|(row, reason)| bad_row(places[row].1, reason, payloads[row])).collect();
        Ok(Decoded { columns, offsets, records, bad })
    }
}

/// The values of a column that come as text; what does not fit refuses its payload, and a null stays one.
fn read_text(
    texts: &ArrayRef,
    column: &WantedColumn,
    refused: &mut BTreeMap<usize, String>,
) -> Result<ArrayRef, ConnectError> {
    let (texts, mut reading) = (texts.as_string_view(), CellReading::of(&column.data_type, &column.form));
    let mut values = Column::new(&column.data_type, texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) || refused.contains_key(&row) {
            values.push_null();
        } else if let Err(reason) = reading.push(&mut values, &[], None, texts.value(row).as_bytes()) {
            values.truncate(row);
            values.push_null();
            refused.insert(row, format!("column `{}`: {reason}", column.member));
        }
    }
    let nothing = Buffer::from(&[]);
    values.finish(&nothing).map_err(|error| {
        ConnectError::internal(format!("column `{}` cannot be held: {error}", column.member))
    })
}
