//! Results that take others away: what becomes of them between the stage and the sinks.
//!
//! Of such a result only the key and the window mean anything. HAVING is not asked of it, as it was asked of the
//! result that goes. Knows no sink.

use crate::filter::Passes;
use crate::keyed::absent::Absent;
use crate::keyed::emit::{StageRows, pick_failed};
use crate::keyed::outputs::Having;
use crate::project::take;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, new_null_array};
use std::borrow::Cow;
use weir_connect::Op;
use weir_plan::{ExpressionError, KeyedStage, Output};

/// What is done with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Written,
    Deleted,
    /// Nothing was ever written of it.
    Left,
}

/// Parts a stage's results by what they do; those that delete come first, since a result of the same identity may
/// be among those that write.
pub(crate) fn part(
    stage: &KeyedStage,
    output: &Output,
    rows: StageRows,
    absent: &mut Absent,
) -> Result<impl Iterator<Item = (Op, StageRows)>, ExpressionError> {
    let Some(fates) = fates(stage, output, &rows, absent)? else {
        return Ok(None.into_iter().chain(Some((Op::Upsert, rows))));
    };
    let of = |fate: Fate| (0..fates.len() as u32).filter(|row| fates[*row as usize] == fate).collect();
    let (gone, kept): (Vec<u32>, Vec<u32>) = (of(Fate::Deleted), of(Fate::Written));
    let deletes = pick(&rows, &gone)?;
    let deletes = StageRows { batch: without_values(stage, &deletes.batch)?, failed: Vec::new(), ..deletes };
    let upserts = pick(&rows, &kept)?;
    Ok(Some((Op::Delete, deletes)).into_iter().chain(Some((Op::Upsert, upserts))))
}

/// What is done with each result; `None`: all are written. Where rows take others back, one without any left is none, and
/// of a result that was written before and of which HAVING is not true any more, what was written goes. Of one that is not
/// a correction HAVING is asked when it is written.
fn fates(
    stage: &KeyedStage,
    output: &Output,
    rows: &StageRows,
    absent: &mut Absent,
) -> Result<Option<Vec<Fate>>, ExpressionError> {
    let is_of = |flags: &[bool], row: usize| flags.get(row).copied().unwrap_or(false);
    let having = match rows.revised.contains(&true) || !rows.results.is_empty() {
        true => Having::of(output, &rows.batch, &rows.failed)?,
        false => None,
    };
    if stage.present.is_none() && having.is_none() && !rows.deleted.contains(&true) {
        return Ok(None);
    }
    let present =
        stage.present.map(|at| rows.batch.column(stage.keys.len() + at).as_primitive::<Int64Type>());
    let mut fate = |row: usize| {
        let is_gone = present.is_some_and(|present| present.value(row) <= 0);
        let fails_having = || having.as_ref().is_some_and(|having| having.at(row as u32) == Passes::No);
        let result = rows.results.get(row);
        if is_of(&rows.deleted, row) {
            return Fate::Deleted;
        }
        if !is_gone && !fails_having() {
            if let Some(result) = result {
                absent.is_written(*result);
            }
            return Fate::Written;
        }
        let is_there = is_of(&rows.revised, row) && !result.is_some_and(|result| absent.has(*result));
        if let Some(result) = result {
            absent.note(*result);
        }
        if is_there { Fate::Deleted } else { Fate::Left }
    };
    Ok(Some((0..rows.batch.num_rows()).map(&mut fate).collect()))
}

/// What the results of a stage become, by what they do.
pub(crate) fn output_of(output: &Output, op: Op) -> Cow<'_, Output> {
    match op {
        Op::Upsert => Cow::Borrowed(output),
        Op::Delete => Cow::Owned(Output { filter: None, ..output.clone() }),
    }
}

fn pick(rows: &StageRows, at: &[u32]) -> Result<StageRows, ExpressionError> {
    fn of<T: Clone>(values: &[T], at: &[u32]) -> Vec<T> {
        at.iter().filter_map(|row| values.get(*row as usize).cloned()).collect()
    }
    Ok(StageRows {
        batch: take(&rows.batch, at)?,
        windows: of(&rows.windows, at),
        events: of(&rows.events, at),
        revised: of(&rows.revised, at),
        deleted: Vec::new(),
        results: Vec::new(),
        failed: pick_failed(rows.failed.clone(), at),
    })
}

/// The batch with nulls in place of the aggregates, whose values mean nothing here: an expression gives null for null,
/// and might fail on another value.
fn without_values(stage: &KeyedStage, batch: &RecordBatch) -> Result<RecordBatch, ExpressionError> {
    let first = stage.keys.len();
    let aggregates = first..first + stage.spec.aggregates.len();
    let columns = batch.columns().iter().enumerate().map(|(index, column)| {
        let is_value = aggregates.contains(&index);
        if is_value { new_null_array(column.data_type(), column.len()) } else { column.clone() }
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
        .map_err(|error| ExpressionError::Broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::emit::stage_rows;
    use crate::keyed::outputs::FailedCell;
    use crate::tests::plan;
    use arrow_array::{ArrayRef, Int64Array};
    use std::sync::Arc;
    use weir_event::key::{EncodedKeys, decode_keys};
    use weir_event::key_hash;
    use weir_timeline::{Results, Timelines};

    /// Results of one key: windows from these seconds, of ten, each with what it is: `u`psert, `r`evised, `d`elete.
    fn results(timelines: &mut Timelines, windows: &[(i64, char)]) -> Results {
        let user: ArrayRef = Arc::new(arrow_array::StringViewArray::from_iter([Some("u")]));
        let keys = EncodedKeys::encode(&[user], 1).unwrap();
        let slot = timelines.slot_or_insert(keys.key(0), key_hash(keys.key(0)));
        let counts: Int64Array = windows.iter().map(|(start, _)| Some(*start)).collect();
        Results {
            slots: vec![slot; windows.len()],
            values: vec![Arc::new(counts)],
            windows: windows.iter().map(|(start, _)| (start * 1000, start * 1000 + 10_000)).collect(),
            revised: windows.iter().map(|(_, what)| *what != 'u').collect(),
            deleted: windows.iter().map(|(_, what)| *what == 'd').collect(),
            ..Results::default()
        }
    }

    #[test]
    fn deletes_come_first_and_without_values() {
        let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND)";
        let plan = plan(query, "", "");
        let stage = plan.stage.clone().unwrap();
        let mut timelines = Timelines::new(stage.spec.clone()).unwrap();
        let results = results(&mut timelines, &[(10, 'u'), (20, 'd'), (30, 'r')]);
        let keys: Vec<_> = results.slots.iter().map(|slot| timelines.key(*slot)).collect();
        let keys = decode_keys(keys.into_iter(), &stage.key_types).unwrap();
        let rows = stage_rows(&stage, keys, results).unwrap();
        let parts: Vec<_> = part(&stage, &plan.output, rows, &mut Absent::default()).unwrap().collect();
        let [(Op::Delete, deletes), (Op::Upsert, upserts)] = &parts[..] else { panic!("two parts") };
        let starts =
            |rows: &StageRows| rows.windows.iter().map(|(start, _)| start / 1000).collect::<Vec<_>>();
        assert_eq!((starts(deletes), starts(upserts)), (vec![20], vec![10, 30]));
        assert!(deletes.batch.column(1).is_null(0));
        assert_eq!(deletes.batch.column(0).as_string_view().value(0), "u");
        assert_eq!(upserts.batch.column(1).as_primitive::<Int64Type>().values(), &[10, 30]);
    }

    #[test]
    fn a_correction_that_makes_having_false_takes_the_result_away() {
        let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND) \
                     HAVING COUNT(*) < 25";
        let plan = plan(query, "", "");
        let stage = plan.stage.clone().unwrap();
        let mut timelines = Timelines::new(stage.spec.clone()).unwrap();
        let mut absent = Absent::default();
        let mut parted = |windows: &[(i64, char)], known: &[u64], failed: &[FailedCell]| {
            let results = results(&mut timelines, windows);
            let keys: Vec<_> = results.slots.iter().map(|slot| timelines.key(*slot)).collect();
            let keys = decode_keys(keys.into_iter(), &stage.key_types).unwrap();
            let rows = stage_rows(&stage, keys, results).unwrap();
            let rows = StageRows { failed: failed.to_vec(), results: known.to_vec(), ..rows };
            let of =
                |rows: &StageRows| rows.windows.iter().map(|(start, _)| start / 1000).collect::<Vec<_>>();
            let parts = part(&stage, &plan.output, rows, &mut absent).unwrap();
            parts.map(|(op, rows)| (op, of(&rows))).collect::<Vec<_>>()
        };
        let windows = [(10, 'u'), (20, 'r'), (30, 'u'), (40, 'r')];
        let both = |deleted: &[i64], written: &[i64]| {
            [(Op::Delete, deleted.to_vec()), (Op::Upsert, written.to_vec())]
        };
        assert_eq!(parted(&windows, &[], &[]), both(&[40], &[10, 20]));
        // Where it is known what was written: once it is gone, and once more after it was written again.
        assert_eq!(parted(&windows, &[1, 2, 3, 4], &[]), both(&[40], &[10, 20]));
        let again = [(30, 'r'), (40, 'r'), (20, 'r')];
        assert_eq!(parted(&again, &[3, 4, 2], &[]), both(&[], &[20]));
        assert_eq!(parted(&[(10, 'r'), (40, 'r')], &[4, 3], &[]), both(&[], &[10]));
        assert_eq!(parted(&[(40, 'r'), (30, 'r')], &[4, 3], &[]), both(&[40], &[]));
        let overflowed = [FailedCell { row: 3, column: stage.keys.len(), reason: "too large".to_owned() }];
        assert_eq!(
            parted(&windows, &[], &overflowed),
            both(&[], &[10, 20, 40]),
            "nobody knows what HAVING says of it: it is told, and what was written stays"
        );
    }
}
