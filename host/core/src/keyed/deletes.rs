//! Results that take others away: what becomes of them between the stage and the sinks.
//!
//! Of such a result only the key and the window mean anything. HAVING is not asked of it, as it was asked of the
//! result that goes. Knows no sink.

use crate::keyed::emit::{StageRows, pick_failed};
use crate::project::take;
use arrow_array::{Array, RecordBatch, new_null_array};
use std::borrow::Cow;
use weir_connect::Op;
use weir_plan::{ExpressionError, KeyedStage, Output};

/// Parts a stage's results by what they do; those that delete come first, since a result of the same identity may
/// be among those that write.
pub(crate) fn part(
    stage: &KeyedStage,
    rows: StageRows,
) -> Result<impl Iterator<Item = (Op, StageRows)>, ExpressionError> {
    let gone: Vec<u32> = (0..rows.deleted.len() as u32).filter(|row| rows.deleted[*row as usize]).collect();
    if gone.is_empty() {
        return Ok(None.into_iter().chain(Some((Op::Upsert, rows))));
    }
    let kept: Vec<u32> = (0..rows.deleted.len() as u32).filter(|row| !rows.deleted[*row as usize]).collect();
    let deletes = pick(&rows, &gone)?;
    let deletes = StageRows { batch: without_values(stage, &deletes.batch)?, failed: Vec::new(), ..deletes };
    let upserts = pick(&rows, &kept)?;
    Ok(Some((Op::Delete, deletes)).into_iter().chain(Some((Op::Upsert, upserts))))
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
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
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
        let stage = plan(query, "", "").stage.unwrap();
        let mut timelines = Timelines::new(stage.spec.clone()).unwrap();
        let results = results(&mut timelines, &[(10, 'u'), (20, 'd'), (30, 'r')]);
        let keys: Vec<_> = results.slots.iter().map(|slot| timelines.key(*slot)).collect();
        let keys = decode_keys(keys.into_iter(), &stage.key_types).unwrap();
        let rows = stage_rows(&stage, keys, results).unwrap();
        let parts: Vec<_> = part(&stage, rows).unwrap().collect();
        let [(Op::Delete, deletes), (Op::Upsert, upserts)] = &parts[..] else { panic!("two parts") };
        let starts =
            |rows: &StageRows| rows.windows.iter().map(|(start, _)| start / 1000).collect::<Vec<_>>();
        assert_eq!((starts(deletes), starts(upserts)), (vec![20], vec![10, 30]));
        assert!(deletes.batch.column(1).is_null(0));
        assert_eq!(deletes.batch.column(0).as_string_view().value(0), "u");
        assert_eq!(upserts.batch.column(1).as_primitive::<Int64Type>().values(), &[10, 30]);
    }
}
