//! Admitted rows on their way into steps, cut where the watermark has to take effect between them.
//!
//! Must not know why a row is kept.

use crate::intake::admit::Admitted;
use crate::rows::{Arrival, Rows};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_connect::Decoded;
use weir_event::{EventTime, PartitionId};

/// The rows of a block that are kept.
pub(crate) struct Cutting<'a> {
    partition: PartitionId,
    decoded: &'a Decoded,
    times: &'a [i64],
    /// Rows since the last cut.
    kept: Vec<u32>,
    /// Payloads of some of them, by offset.
    payloads: BTreeMap<u64, String>,
    /// The watermark at the last cut, which all late rows since are behind.
    watermark: EventTime,
    steps: Vec<Admitted>,
}

impl<'a> Cutting<'a> {
    /// `watermark` is the partition's before the block.
    pub(crate) fn new(
        partition: PartitionId,
        decoded: &'a Decoded,
        times: &'a [i64],
        watermark: EventTime,
    ) -> Cutting<'a> {
        let kept = Vec::with_capacity(times.len());
        Cutting { partition, decoded, times, kept, payloads: BTreeMap::new(), watermark, steps: Vec::new() }
    }

    pub(crate) fn keep(&mut self, row: usize) {
        self.kept.push(row as u32);
    }

    pub(crate) fn keep_payload(&mut self, row: usize, payload: String) {
        self.payloads.insert(self.decoded.offsets[row], payload);
    }

    /// Lets a watermark take effect before the rows that follow, if it has moved.
    pub(crate) fn cut(&mut self, watermark: EventTime) {
        if watermark > self.watermark {
            self.push_rows();
            self.watermark = watermark;
            self.steps.push(Admitted::Watermark(watermark));
        }
    }

    /// All steps; the watermark is the partition's after the block.
    pub(crate) fn finish(mut self, watermark: EventTime) -> Vec<Admitted> {
        self.push_rows();
        self.steps.push(Admitted::Watermark(watermark));
        self.steps
    }

    fn push_rows(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        let payloads = Arc::new(std::mem::take(&mut self.payloads));
        let Decoded { offsets, records, .. } = self.decoded;
        if kept.is_empty() {
            return;
        }
        let arrival = Arrival { watermark: self.watermark, payloads };
        let rows = if kept.len() == self.times.len() {
            Rows {
                partition: self.partition,
                columns: self.decoded.columns.clone(),
                times: self.times.to_vec(),
                offsets: offsets.clone(),
                records: records.clone(),
                arrival,
            }
        } else {
            Rows {
                partition: self.partition,
                columns: self.columns(&kept),
                times: kept.iter().map(|row| self.times[*row as usize]).collect(),
                offsets: kept.iter().map(|row| offsets[*row as usize]).collect(),
                records: kept.iter().map(|row| records[*row as usize]).collect(),
                arrival,
            }
        };
        self.steps.push(Admitted::Rows(rows));
    }

    /// The columns of some rows, in order.
    fn columns(&self, kept: &[u32]) -> RecordBatch {
        let first = kept[0] as usize;
        let is_contiguous = kept.len() == (kept[kept.len() - 1] as usize - first + 1);
        if is_contiguous {
            return self.decoded.columns.slice(first, kept.len());
        }
        match take_record_batch(&self.decoded.columns, &UInt32Array::from(kept.to_vec())) {
            Ok(columns) => columns,
            // Indices come from the batch itself; every type that decoders make can be taken from.
            Err(error) => unreachable!("taking rows of their own batch: {error}"),
        }
    }
}
