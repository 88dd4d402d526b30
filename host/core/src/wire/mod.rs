//! The block on the exchange: rows on their way from an intake to whoever holds their key groups, as bytes.
//!
//! Rows are put in order of key group once, and each range of groups is copied out of that, so that a block per key group
//! costs little more than one per machine. A block says how many rows each of its groups has: hosts that deal whole
//! blocks anew may make one for each group.
//!
//! Layout, integers little endian: version (1 byte); source and partition (2 bytes each); first group and how many groups
//! (2 bytes each); rows of each group (4 bytes each); event times, then offsets of all rows (8 bytes each); the partition's
//! watermark (8 bytes); how many payloads of late rows are kept (4 bytes), of each the offset (8 bytes), the length (4
//! bytes) and the text; then the projected columns, whose types both sides know from the plan ([`column`] says how). Keys
//! are encoded anew from them.
//!
//! Must not know how bytes travel.

mod column;
mod reader;

use crate::error::CoreError;
use crate::groups::ALL_GROUPS;
use crate::intake::route::KeyedRows;
use crate::project::Projected;
use crate::rows::Arrival;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use reader::Reader;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use weir_event::key::KEY_GROUPS;
use weir_event::{EventTime, PartitionId, Rank};
use weir_plan::JobPlan;

/// The version that this build writes, and the only one that it reads: both ends of an exchange are of one build.
const VERSION: u8 = 1;

/// Rows in order of key group, to be copied into blocks.
#[derive(Debug)]
pub struct Sorted {
    partition: PartitionId,
    times: Vec<i64>,
    offsets: Vec<u64>,
    arrival: Arrival,
    columns: Vec<ArrayRef>,
    starts: Vec<u32>,
}

impl Sorted {
    /// Puts rows in order.
    pub fn of(rows: &KeyedRows) -> Result<Sorted, CoreError> {
        let order = rows.of_groups(&ALL_GROUPS);
        let indices = UInt32Array::from(order.to_vec());
        let columns = rows.rows.columns.iter().map(|column| take(column, &indices, None));
        Ok(Sorted {
            partition: rows.rows.partition,
            times: order.iter().map(|row| rows.rows.times[*row as usize]).collect(),
            offsets: order.iter().map(|row| rows.rows.offsets[*row as usize]).collect(),
            arrival: rows.rows.arrival.clone(),
            columns: columns.collect::<Result<_, _>>()?,
            starts: rows.starts().to_vec(),
        })
    }

    /// The block of a range's rows; `None` if there are none.
    pub fn block(&self, groups: &Range<u16>) -> Result<Option<Vec<u8>>, CoreError> {
        let starts = &self.starts[usize::from(groups.start)..=usize::from(groups.end)];
        let rows = starts[0] as usize..starts[starts.len() - 1] as usize;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut block = vec![VERSION];
        for number in [self.partition.source, self.partition.partition, groups.start, groups.len() as u16] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        for group in starts.windows(2) {
            block.extend_from_slice(&(group[1] - group[0]).to_le_bytes());
        }
        self.times[rows.clone()].iter().for_each(|time| block.extend_from_slice(&time.to_le_bytes()));
        self.offsets[rows.clone()].iter().for_each(|offset| block.extend_from_slice(&offset.to_le_bytes()));
        self.put_arrival(&self.offsets[rows.clone()], &mut block);
        for array in &self.columns {
            column::put(array, rows.clone(), &mut block)?;
        }
        Ok(Some(block))
    }

    /// What of the rows' arrival those of these offsets need.
    fn put_arrival(&self, offsets: &[u64], block: &mut Vec<u8>) {
        let Arrival { watermark, payloads } = &self.arrival;
        block.extend_from_slice(&watermark.millis().to_le_bytes());
        let record = |offset: &u64| Rank { partition: self.partition, offset: *offset }.record();
        let own = || offsets.iter().filter_map(move |offset| payloads.get_key_value(&record(offset)));
        let count = if payloads.is_empty() { 0 } else { own().count() as u32 };
        block.extend_from_slice(&count.to_le_bytes());
        for (offset, payload) in own().take(count as usize) {
            block.extend_from_slice(&offset.to_le_bytes());
            block.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            block.extend_from_slice(payload.as_bytes());
        }
    }
}

fn take_arrival(reader: &mut Reader<'_>) -> Result<Arrival, CoreError> {
    let watermark = EventTime::from_millis(reader.long()? as i64);
    let count = reader.count()?;
    let payload = |_| {
        let (offset, length) = (reader.long()?, reader.count()?);
        let text = std::str::from_utf8(reader.bytes(length as usize)?);
        Ok((offset, text.map_err(|error| damaged(&format!("not read: {error}")))?.to_owned()))
    };
    let payloads = (0..count).map(payload).collect::<Result<BTreeMap<_, _>, CoreError>>()?;
    Ok(Arrival { watermark, payloads: Arc::new(payloads) })
}

impl KeyedRows {
    /// Reads a block that [`Sorted::block`] made of rows of the same plan.
    pub fn from_block(plan: &JobPlan, block: &[u8]) -> Result<KeyedRows, CoreError> {
        let stage = plan.stage.as_ref().ok_or_else(|| damaged("for a job without keys"))?;
        let mut reader = Reader::new(block);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(damaged(&format!("of version {version}, and this weir reads {VERSION}")));
        }
        let partition = PartitionId { source: reader.short()?, partition: reader.short()? };
        let (first, groups) = (reader.short()?, reader.short()?);
        if u32::from(first) + u32::from(groups) > u32::from(KEY_GROUPS) {
            return Err(damaged("of key groups that do not exist"));
        }
        let counts = (0..groups).map(|_| reader.count()).collect::<Result<Vec<_>, _>>()?;
        let rows = counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        // What is not there is not allocated for.
        let rows = usize::try_from(rows).ok().filter(|rows| *rows <= block.len());
        let rows = rows.ok_or_else(|| damaged("shorter than it says"))?;
        let times = reader.longs(rows)?.iter().map(|bits| *bits as i64).collect();
        let offsets = reader.longs(rows)?;
        let arrival = take_arrival(&mut reader)?;
        let projected = plan.projected();
        let columns =
            projected.fields().iter().map(|field| column::take(field.data_type(), rows, &mut reader));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        if !reader.is_empty() {
            return Err(damaged("longer than it says"));
        }
        let rows = Projected { partition, columns, times, offsets, records: Vec::new(), arrival };
        let keyed = KeyedRows::of(rows, &stage.keys)?;
        let is_told =
            |at: u16, count: u32| keyed.of_groups(&(first + at..first + at + 1)).len() == count as usize;
        if (0..groups).zip(counts).all(|(at, count)| is_told(at, count)) {
            Ok(keyed)
        } else {
            Err(damaged("of rows of other key groups than it says"))
        }
    }

    /// The same rows in the order of their log, which a block does not keep.
    pub fn in_order_of_log(self, plan: &JobPlan) -> Result<KeyedRows, CoreError> {
        let stage = plan.stage.as_ref().ok_or_else(|| damaged("for a job without keys"))?;
        let Projected { partition, columns, times, offsets, arrival, .. } = self.rows;
        let mut order: Vec<u32> = (0..offsets.len() as u32).collect();
        order.sort_unstable_by_key(|row| offsets[*row as usize]);
        let indices = UInt32Array::from(order.clone());
        let columns = columns.iter().map(|column| take(column, &indices, None));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let times = order.iter().map(|row| times[*row as usize]).collect();
        let offsets = order.iter().map(|row| offsets[*row as usize]).collect();
        let rows = Projected { partition, columns, times, offsets, records: Vec::new(), arrival };
        KeyedRows::of(rows, &stage.keys)
    }
}

fn damaged(what: &str) -> CoreError {
    CoreError::Damaged(format!("a block of rows is {what}"))
}
