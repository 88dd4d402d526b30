//! Results that take others away: what becomes of them between the stage and the sinks.
//!
//! Of such a result only the key and the window mean anything. HAVING is not asked of it, as it was asked of the
//! result that goes. Knows no sink.

use crate::filter::{Filtered, Passes};
use crate::keyed::emit::{StageRows, pick_failed};
use crate::project::take;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, new_null_array};
use std::borrow::Cow;
use weir_connect::Op;
use weir_plan::{Emit, ExpressionError, KeyedStage, Output};

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
    emit: Emit,
    rows: StageRows,
) -> Result<impl Iterator<Item = (Op, StageRows)>, ExpressionError> {
    let fates = fates(stage, output, emit, &rows)?;
    if fates.iter().all(|fate| *fate == Fate::Written) {
        return Ok(None.into_iter().chain(Some((Op::Upsert, rows))));
    }
    let of = |fate: Fate| (0..fates.len() as u32).filter(|row| fates[*row as usize] == fate).collect();
    let (gone, kept): (Vec<u32>, Vec<u32>) = (of(Fate::Deleted), of(Fate::Written));
    let deletes = pick(&rows, &gone)?;
    let deletes = StageRows { batch: without_values(stage, &deletes.batch)?, failed: Vec::new(), ..deletes };
    let upserts = pick(&rows, &kept)?;
    Ok(Some((Op::Delete, deletes)).into_iter().chain(Some((Op::Upsert, upserts))))
}

/// What is done with each result. Where rows take others back, one without any left is none, and wherever results are
/// corrected, one of which HAVING is not true any more: what was written of it goes. While a window is open and each of its
/// changes is a result, most of those of which HAVING is not true were never written, and nothing is said of them.
fn fates(
    stage: &KeyedStage,
    output: &Output,
    emit: Emit,
    rows: &StageRows,
) -> Result<Vec<Fate>, ExpressionError> {
    let is_deleted = |row: usize| rows.deleted.get(row).copied().unwrap_or(false);
    let count = rows.batch.num_rows();
    if stage.present.is_none() && (emit != Emit::Close || output.filter.is_none()) {
        let fate = |row: usize| if is_deleted(row) { Fate::Deleted } else { Fate::Written };
        return Ok((0..count).map(fate).collect());
    }
    let present =
        stage.present.map(|at| rows.batch.column(stage.keys.len() + at).as_primitive::<Int64Type>());
    let has_rows = |row: usize| present.is_none_or(|present| present.value(row) > 0);
    let having = output.filter.as_ref().map(|having| Filtered::of(Some(having), &rows.batch)).transpose()?;
    let holds = |row: usize| having.as_ref().is_none_or(|having| !matches!(having.at(row), Passes::No));
    let fate = |row: usize| match (is_deleted(row), has_rows(row) && holds(row)) {
        (false, true) => Fate::Written,
        (false, false) if !rows.revised.get(row).copied().unwrap_or(false) => Fate::Left,
        _ => Fate::Deleted,
    };
    Ok((0..count).map(fate).collect())
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
        let parts: Vec<_> = part(&stage, &plan.output, Emit::Close, rows).unwrap().collect();
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
        let mut parted = |emit| {
            let results = results(&mut timelines, &[(10, 'u'), (20, 'r'), (30, 'u'), (40, 'r')]);
            let keys: Vec<_> = results.slots.iter().map(|slot| timelines.key(*slot)).collect();
            let keys = decode_keys(keys.into_iter(), &stage.key_types).unwrap();
            let rows = stage_rows(&stage, keys, results).unwrap();
            let of =
                |rows: &StageRows| rows.windows.iter().map(|(start, _)| start / 1000).collect::<Vec<_>>();
            let parts = part(&stage, &plan.output, emit, rows).unwrap();
            parts.map(|(op, rows)| (op, of(&rows))).collect::<Vec<_>>()
        };
        assert_eq!(parted(Emit::Close), [(Op::Delete, vec![40]), (Op::Upsert, vec![10, 20])]);
        assert_eq!(parted(Emit::Change), [(Op::Upsert, vec![10, 20, 30, 40])], "HAVING is asked later");
    }
}
