//! Which rows of a stream come from its archive and which from its log: one rule, decided once, and applied to every block
//! of either. Each row counts on one side alone, whatever both hold.
//!
//! A row's own columns decide, as both sides have the same: what a log says of it beside that, such as when a broker took
//! it, no archive says. Must not know how the rule was found, or where either side is.

use crate::error::CoreError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_connect::{BadRow, Decoded};
use weir_event::{EventTime, PartitionId};
use weir_plan::StreamInput;

/// Where a stream's archive ends and its log begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Rows known before this time are the archive's, the others the log's; where the stream declares no known time, or a
    /// row has none, by its event time.
    At(EventTime),
    /// Of each partition of the log, the first offset that the archive does not have; the log's is every row from there on,
    /// and all of partitions that are not here.
    Offsets(BTreeMap<u16, u64>),
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cut::At(time) => write!(f, "known before {time}: archive"),
            Cut::Offsets(ends) => {
                f.write_str("offsets before ")?;
                let told: Vec<String> =
                    ends.iter().map(|(partition, end)| format!("{partition}:{end}")).collect();
                write!(f, "{}: archive", told.join(", "))
            }
        }
    }
}

/// What of a block counts on its side, and how many of its rows are the other's.
#[derive(Debug)]
pub struct Sided {
    /// The rows of this side.
    pub decoded: Decoded,
    /// How many rows of the block the other side has.
    pub of_other: u64,
}

impl Cut {
    /// The part of a block that is of its own side: of the archive, or of the log.
    pub fn part(
        &self,
        input: &StreamInput,
        partition: PartitionId,
        decoded: Decoded,
    ) -> Result<Sided, CoreError> {
        match self {
            Cut::At(time) => {
                let keep = known_before(input, &decoded, *time);
                let keep: Vec<bool> = keep.map(|before| before == partition.is_of_archive()).collect();
                kept(decoded, &keep)
            }
            Cut::Offsets(ends) if partition.is_of_archive() => of_archive(input, ends, decoded),
            Cut::Offsets(ends) => {
                let end = ends.get(&partition.partition).copied().unwrap_or_default();
                let keep: Vec<bool> = decoded.offsets.iter().map(|offset| *offset >= end).collect();
                let mut sided = kept(decoded, &keep)?;
                sided.decoded.bad.retain(|bad| bad.offset >= end);
                Ok(sided)
            }
        }
    }
}

/// Of each row, when it was known as far as it says so itself.
pub fn known_times(input: &StreamInput, columns: &RecordBatch) -> impl Iterator<Item = EventTime> {
    let event = columns.column(input.event_time).as_primitive::<TimestampMillisecondType>();
    let known = input.known_time.map(|at| columns.column(at).as_primitive::<TimestampMillisecondType>());
    (0..event.len()).map(move |row| {
        let known = known.filter(|known| known.is_valid(row)).map(|known| known.value(row));
        EventTime::from_millis(known.unwrap_or_else(|| event.value(row)))
    })
}

fn known_before<'a>(
    input: &'a StreamInput,
    decoded: &'a Decoded,
    time: EventTime,
) -> impl Iterator<Item = bool> + 'a {
    known_times(input, &decoded.columns).map(move |known| known < time)
}

/// Rows of an archive say behind the columns of its stream which record of the log they are.
fn of_archive(
    input: &StreamInput,
    ends: &BTreeMap<u16, u64>,
    mut decoded: Decoded,
) -> Result<Sided, CoreError> {
    let at = |column: usize| decoded.columns.column(input.columns.len() + column).as_primitive::<Int64Type>();
    let (partitions, offsets) = (at(0), at(1));
    let (mut keep, mut bad) = (Vec::with_capacity(offsets.len()), Vec::new());
    for row in 0..offsets.len() {
        let place = record_of(
            partitions.is_valid(row).then(|| partitions.value(row)),
            offsets.is_valid(row).then(|| offsets.value(row)),
        );
        let Some((partition, offset)) = place else {
            let reason = "it does not say which record of the stream's log it is, by which the archive is cut from that";
            bad.push(BadRow {
                offset: decoded.offsets[row],
                reason: reason.to_owned(),
                payload: Vec::new(),
                damaged: false,
            });
            keep.push(None);
            continue;
        };
        keep.push(Some(ends.get(&partition).is_some_and(|end| offset < *end)));
    }
    let of_other = keep.iter().filter(|keep| **keep == Some(false)).count() as u64;
    decoded.bad.extend(bad);
    decoded.bad.sort_by_key(|bad| bad.offset);
    let keep: Vec<bool> = keep.into_iter().map(|keep| keep == Some(true)).collect();
    let of_stream: Vec<usize> = (0..input.columns.len()).collect();
    let columns = decoded.columns.project(&of_stream).map_err(|error| CoreError::Input(error.to_string()))?;
    let Sided { decoded, .. } = kept(Decoded { columns, ..decoded }, &keep)?;
    Ok(Sided { decoded, of_other })
}

/// The record of a log that columns of an archive say; `None` if they say none that can be.
pub fn record_of(partition: Option<i64>, offset: Option<i64>) -> Option<(u16, u64)> {
    Some((u16::try_from(partition?).ok()?, u64::try_from(offset?).ok()?))
}

/// The rows of a block before an offset, and the others.
pub fn split_at(decoded: Decoded, offset: u64) -> Result<(Decoded, Decoded), CoreError> {
    let Decoded { columns, offsets, records, bad } = decoded;
    let before: Vec<bool> = offsets.iter().map(|row| *row < offset).collect();
    let after: Vec<bool> = before.iter().map(|is_before| !is_before).collect();
    let (bad_before, bad_after) = bad.into_iter().partition(|row| row.offset < offset);
    let part = |keep: &[bool], bad| {
        let (columns, offsets, records) = (columns.clone(), offsets.clone(), records.clone());
        Ok::<_, CoreError>(kept(Decoded { columns, offsets, records, bad }, keep)?.decoded)
    };
    Ok((part(&before, bad_before)?, part(&after, bad_after)?))
}

/// Some of the rows.
fn kept(decoded: Decoded, keep: &[bool]) -> Result<Sided, CoreError> {
    let of_other = keep.iter().filter(|keep| !**keep).count() as u64;
    if of_other == 0 {
        return Ok(Sided { decoded, of_other });
    }
    let Decoded { columns, offsets, records, bad } = decoded;
    let columns = filter_record_batch(&columns, &BooleanArray::from(keep.to_vec()))
        .map_err(|error| CoreError::Input(error.to_string()))?;
    let of = |at: &usize| keep[*at];
    let offsets = (0..offsets.len()).filter(of).map(|at| offsets[at]).collect();
    let records = (0..records.len()).filter(of).map(|at| records[at]).collect();
    Ok(Sided { decoded: Decoded { columns, offsets, records, bad }, of_other })
}
