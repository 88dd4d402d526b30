//! Expansion: an event that holds a list gives a row for each of its items.
//!
//! Events are judged before, so all rows of one have its time, its partition and its fate. They are told apart by their
//! place in the list, which is part of their rank. Knows no key and no watermark.

use crate::error::CoreError;
use crate::filter::{Filtered, Passes};
use crate::halve::{Halved, halve};
use crate::project::{FailedRow, of_rows, take, value};
use crate::rows::Rows;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StructArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat;
use arrow_select::take::take as take_array;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::Rank;
use weir_plan::{ExpressionError, Unnest};

/// The items of some events, one row each.
#[derive(Default)]
struct Expanded {
    /// The event of each row, by index.
    events: Vec<u32>,
    /// Its item, by index in the part's lists.
    items: Vec<u32>,
    /// The number that tells it from others.
    offsets: Vec<u64>,
}

/// The rows of the items of events; those of which none is wanted are left out. Events that have no list, as computing
/// it fails or it is too long, come back beside.
pub(crate) fn expand(unnest: &Unnest, rows: Rows) -> Result<(Rows, Vec<FailedRow>), CoreError> {
    let attempt = |batch: RecordBatch| of_rows(value(&*unnest.list, &batch));
    let Halved { parts, failed } =
        halve(rows.times.len(), |range| attempt(rows.columns.slice(range.start, range.len())))?;
    let mut reasons: BTreeMap<usize, String> = failed.into_iter().collect();
    let (mut expanded, mut items) = (Expanded::default(), Vec::new());
    for (range, lists) in parts {
        let mut part = Expanded::default();
        for row in range.clone() {
            if let Err(reason) = part.push(&rows, row, &lists, row - range.start) {
                reasons.insert(row, reason);
            }
        }
        items.push(items_of(&lists, &part.items)?);
        expanded.events.append(&mut part.events);
        expanded.offsets.append(&mut part.offsets);
    }
    let failed_row = |(row, reason): (usize, String)| FailedRow {
        offset: rows.offsets[row],
        record: rows.records[row],
        reason,
    };
    let mut failed: Vec<FailedRow> = reasons.into_iter().map(failed_row).collect();
    let expanded = rows_of(unnest, &rows, &expanded, items)?;
    let (kept, of_filter) = filtered(unnest, expanded)?;
    failed.extend(of_filter);
    failed.sort_by_key(|row| Rank { partition: kept.partition, offset: row.offset }.record());
    Ok((kept, failed))
}

impl Expanded {
    /// Adds the items of an event's list, which is the one at `at`.
    fn push(&mut self, rows: &Rows, row: usize, lists: &ArrayRef, at: usize) -> Result<(), String> {
        let Some(lists) = lists.as_list_opt::<i32>() else {
            return Err("UNNEST was given a value that is not a list".to_owned());
        };
        if lists.is_null(at) {
            return Ok(());
        }
        let (first, length) = (lists.value_offsets()[at], lists.value_length(at));
        let too_long = || format!("its list has {length} items, and UNNEST takes up to {}", u16::MAX);
        let length = u16::try_from(length).map_err(|_| too_long())?;
        for index in 0..length {
            let rank = Rank::of_element(rows.partition, rows.offsets[row], index);
            let rank = rank.ok_or_else(|| "its offset is too large for UNNEST".to_owned())?;
            self.events.push(row as u32);
            self.items.push(first as u32 + u32::from(index));
            self.offsets.push(rank.offset);
        }
        Ok(())
    }
}

fn items_of(lists: &ArrayRef, items: &[u32]) -> Result<ArrayRef, ExpressionError> {
    let values = lists.as_list::<i32>().values();
    take_array(values, &UInt32Array::from(items.to_vec()), None)
        .map_err(|error| ExpressionError::Broken(error.to_string()))
}

/// The events' columns, once for each item, and the items behind them.
fn rows_of(
    unnest: &Unnest,
    rows: &Rows,
    expanded: &Expanded,
    items: Vec<ArrayRef>,
) -> Result<Rows, ExpressionError> {
    let broken = |error: arrow_schema::ArrowError| ExpressionError::Broken(error.to_string());
    let of_events = take(&rows.columns, &expanded.events)?;
    let parts: Vec<&dyn Array> = items.iter().map(AsRef::as_ref).collect();
    let items = match (parts.is_empty(), unnest.list.data_type()) {
        (true, DataType::List(item)) => arrow_array::new_empty_array(item.data_type()),
        (true, other) => return Err(ExpressionError::Broken(format!("UNNEST of {other}"))),
        (false, _) => concat(&parts).map_err(broken)?,
    };
    let added = if unnest.of_fields { fields_of(&items)? } else { vec![items] };
    let mut fields: Vec<Arc<Field>> = of_events.schema().fields().iter().cloned().collect();
    for (at, column) in added.iter().enumerate() {
        fields.push(Arc::new(Field::new(format!("item_{at}"), column.data_type().clone(), true)));
    }
    let columns = of_events.columns().iter().cloned().chain(added).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(expanded.events.len()));
    let columns = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
    let of_event = |row: &u32| *row as usize;
    Ok(Rows {
        partition: rows.partition,
        columns: columns.map_err(broken)?,
        times: expanded.events.iter().map(|row| rows.times[of_event(row)]).collect(),
        offsets: expanded.offsets.clone(),
        records: expanded.events.iter().map(|row| rows.records[of_event(row)]).collect(),
        arrival: rows.arrival.clone(),
    })
}

/// The fields of records; all are null where the record is.
fn fields_of(items: &ArrayRef) -> Result<Vec<ArrayRef>, ExpressionError> {
    let Some(records) = items.as_any().downcast_ref::<StructArray>() else {
        return Err(ExpressionError::Broken(
            "UNNEST of fields was given items that are not records".to_owned(),
        ));
    };
    let all: UInt32Array =
        (0..records.len() as u32).map(|row| records.is_valid(row as usize).then_some(row)).collect();
    let field = |column: &ArrayRef| take_array(column, &all, None);
    let fields = records.columns().iter().map(field).collect::<Result<_, _>>();
    fields.map_err(|error| ExpressionError::Broken(error.to_string()))
}

/// WHERE, as far as it is about the items.
fn filtered(unnest: &Unnest, rows: Rows) -> Result<(Rows, Vec<FailedRow>), CoreError> {
    if unnest.filter.is_none() {
        return Ok((rows, Vec::new()));
    }
    let filtered = Filtered::of(unnest.filter.as_ref(), &rows.columns)?;
    let (mut kept, mut failed) = (Vec::new(), Vec::new());
    for row in 0..rows.times.len() {
        match filtered.at(row) {
            Passes::Yes => kept.push(row as u32),
            Passes::No => {}
            Passes::Fails(reason) => failed.push(FailedRow {
                offset: rows.offsets[row],
                record: rows.records[row],
                reason: reason.to_owned(),
            }),
        }
    }
    let at = |row: &u32| *row as usize;
    let kept_rows = Rows {
        partition: rows.partition,
        columns: take(&rows.columns, &kept)?,
        times: kept.iter().map(|row| rows.times[at(row)]).collect(),
        offsets: kept.iter().map(|row| rows.offsets[at(row)]).collect(),
        records: kept.iter().map(|row| rows.records[at(row)]).collect(),
        arrival: rows.arrival,
    };
    Ok((kept_rows, failed))
}
