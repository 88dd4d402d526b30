//! Results that take others away: what becomes of them between the stage and the sinks.
//!
//! Of such a result only the key and the window mean anything. HAVING is not asked of it, as it was asked of the
//! result that goes. Knows no sink.

use crate::filter::Passes;
use crate::keyed::emit::{StageRows, pick_failed};
use crate::keyed::found::Keys;
use crate::keyed::outputs::{FailedOutput, Having};
use crate::keyed::written::{Fate, Verdict, Written, result_of};
use crate::project::take;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, new_null_array};
use weir_connect::Op;
use weir_plan::{ExpressionError, KeyedStage, Output};

/// What was judged of results.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdicts: Vec<Verdict>,
    /// Those of which HAVING has no value.
    pub(crate) failed: Vec<FailedOutput>,
}

/// Whether each of a stage's results is to be there: not where the stage takes it away or no row of it is left, and not
/// where HAVING is not true.
pub(crate) fn judge(
    stage: &KeyedStage,
    output: &Output,
    rows: &StageRows,
) -> Result<Judged, ExpressionError> {
    let having = Having::of(output.filter.as_ref(), &rows.batch, &rows.failed)?;
    let present =
        stage.present.map(|at| rows.batch.column(stage.keys.len() + at).as_primitive::<Int64Type>());
    let mut failed = Vec::new();
    let verdict = |row: usize| {
        let is_taken = rows.deleted.get(row).is_some_and(|is_deleted| *is_deleted);
        if is_taken || present.is_some_and(|present| present.value(row) <= 0) {
            return Verdict::Gone;
        }
        match having.as_ref().map_or(Passes::Yes, |having| having.at(row as u32)) {
            Passes::Yes => Verdict::There,
            Passes::No => Verdict::Gone,
            Passes::Fails(reason) => {
                failed.push(FailedOutput { row: row as u32, column: None, reason: reason.to_owned() });
                Verdict::Unknown
            }
        }
    };
    let verdicts = (0..rows.batch.num_rows()).map(verdict).collect();
    Ok(Judged { verdicts, failed })
}

/// What is done with a stage's results, as far as sinks have them.
pub(crate) fn fates(
    written: &mut Written,
    stage: &KeyedStage,
    (rows, keys): (&StageRows, &Keys),
    verdicts: &[Verdict],
) -> Vec<Fate> {
    let is_taken = |row: &usize| rows.deleted.get(*row).is_some_and(|is_deleted| *is_deleted);
    // What the stage takes away goes before a result of the same identity comes.
    let (taken, others): (Vec<usize>, Vec<usize>) = (0..verdicts.len()).partition(is_taken);
    let mut fates = vec![Fate::Left; verdicts.len()];
    for row in taken.into_iter().chain(others) {
        let result = result_of(stage, rows.windows.get(row), rows.made.get(row));
        fates[row] = written.fate(keys.of(row), result, verdicts[row]);
    }
    fates
}

/// What the stage alone says is done with its results; empty: all are written.
pub(crate) fn of_timelines(rows: &StageRows) -> Vec<Fate> {
    if !rows.deleted.contains(&true) {
        return Vec::new();
    }
    rows.deleted.iter().map(|is_deleted| if *is_deleted { Fate::Deleted } else { Fate::Written }).collect()
}

/// Parts a stage's results by what they do; those that delete come first, since a result of the same identity may
/// be among those that write.
pub(crate) fn part(
    stage: &KeyedStage,
    rows: StageRows,
    fates: &[Fate],
) -> Result<impl Iterator<Item = (Op, StageRows)> + use<>, ExpressionError> {
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

fn pick(rows: &StageRows, at: &[u32]) -> Result<StageRows, ExpressionError> {
    fn of<T: Clone>(values: &[T], at: &[u32]) -> Vec<T> {
        at.iter().filter_map(|row| values.get(*row as usize).cloned()).collect()
    }
    Ok(StageRows {
        batch: take(&rows.batch, at)?,
        windows: of(&rows.windows, at),
        events: of(&rows.events, at),
        made: of(&rows.made, at),
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
        let (stage, rows) = stage_and_rows(query, &[(10, 'u'), (20, 'd'), (30, 'r')]);
        let fates = of_timelines(&rows);
        let parts: Vec<_> = part(&stage, rows, &fates).unwrap().collect();
        let [(Op::Delete, deletes), (Op::Upsert, upserts)] = &parts[..] else { panic!("two parts") };
        let starts =
            |rows: &StageRows| rows.windows.iter().map(|(start, _)| start / 1000).collect::<Vec<_>>();
        assert_eq!((starts(deletes), starts(upserts)), (vec![20], vec![10, 30]));
        assert!(deletes.batch.column(1).is_null(0));
        assert_eq!(deletes.batch.column(0).as_string_view().value(0), "u");
        assert_eq!(upserts.batch.column(1).as_primitive::<Int64Type>().values(), &[10, 30]);
    }

    #[test]
    fn a_result_is_there_where_having_is_true_and_nobody_knows_where_it_fails() {
        let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND) \
                     HAVING COUNT(*) < 25";
        let (stage, mut rows) = stage_and_rows(query, &[(10, 'u'), (20, 'd'), (30, 'r'), (40, 'r')]);
        rows.failed = vec![FailedCell { row: 3, column: stage.keys.len(), reason: "too large".to_owned() }];
        let Judged { verdicts, failed } = judge(&stage, &plan(query, "", "").output, &rows).unwrap();
        assert_eq!(verdicts, [Verdict::There, Verdict::Gone, Verdict::Gone, Verdict::Unknown]);
        assert_eq!(failed.iter().map(|it| (it.row, &*it.reason)).collect::<Vec<_>>(), [(3, "too large")]);
        let fates = [Fate::Written, Fate::Deleted, Fate::Left, Fate::Left];
        let parts = part(&stage, rows, &fates).unwrap();
        let parted: Vec<_> = parts.map(|(op, rows)| (op, rows.batch.num_rows())).collect();
        assert_eq!(parted, [(Op::Delete, 1), (Op::Upsert, 1)]);
    }

    fn stage_and_rows(query: &str, windows: &[(i64, char)]) -> (KeyedStage, StageRows) {
        let stage = plan(query, "", "").stage.clone().unwrap();
        let mut timelines = Timelines::new(stage.spec.clone()).unwrap();
        let results = results(&mut timelines, windows);
        let keys: Vec<_> = results.slots.iter().map(|slot| timelines.key(*slot)).collect();
        let keys = decode_keys(keys.into_iter(), &stage.key_types).unwrap();
        let rows = stage_rows(&stage, keys, results).unwrap();
        (stage, rows)
    }
}
