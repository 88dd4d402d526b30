//! The two sides of a cut, and each key's current result.

use super::two_logs::TwoLogs;
use super::{cases, plan};
use crate::keyed::Keyed;
use crate::{Cut, ResultRows, known_times, record_of};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{Field, Schema};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_connect::Decoded;
use weir_event::{EventTime, PartitionId};

const LIVE: PartitionId = PartitionId { source: 0, partition: 1 };
const ARCHIVE: PartitionId = PartitionId { source: PartitionId::ARCHIVE, partition: 0 };

fn batch(names: &[&str], columns: Vec<ArrayRef>) -> RecordBatch {
    let field = |(name, column): (&&str, &ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let fields: Vec<Field> = names.iter().zip(&columns).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn decoded(columns: Vec<ArrayRef>, first: u64) -> Decoded {
    let columns = batch(&["a", "b", "c", "d", "e"], columns);
    let rows = columns.num_rows() as u64;
    Decoded {
        columns,
        offsets: (first..first + rows).collect(),
        records: (0..rows as u32).collect(),
        bad: Vec::new(),
    }
}

/// The times that are left of rows.
fn times(decoded: &Decoded, column: usize) -> Vec<i64> {
    decoded.columns.column(column).as_primitive::<TimestampMillisecondType>().values().to_vec()
}

#[test]
fn rows_on_both_sides_count_on_one() {
    let plan =
        plan("SELECT user, SUM(n) AS s FROM events GROUP BY user, TUMBLE(t, INTERVAL '1' SECOND)", "", "");
    let input = &plan.inputs[0];
    let rows = |millis: &[i64]| -> Vec<ArrayRef> {
        let column = |at: &usize| -> ArrayRef {
            match input.stream.schema.fields[*at].name.as_str() {
                "t" => Arc::new(TimestampMillisecondArray::from(millis.to_vec())),
                "n" => Arc::new(Int64Array::from_iter_values(millis.iter().copied())),
                _ => Arc::new(StringArray::from_iter_values(millis.iter().map(ToString::to_string))),
            }
        };
        input.columns.iter().map(column).collect()
    };
    let cut = Cut::At(EventTime::from_millis(500));
    let all = [499, 500, 3, 700, 500, 499];
    let past = cut.part(input, ARCHIVE, decoded(rows(&all), 0)).unwrap();
    let log = cut.part(input, LIVE, decoded(rows(&all), 0)).unwrap();
    assert_eq!((times(&past.decoded, input.event_time), past.of_other), (vec![499, 3, 499], 3));
    assert_eq!((times(&log.decoded, input.event_time), log.of_other), (vec![500, 700, 500], 3));
    assert_eq!((&past.decoded.offsets[..], &log.decoded.records[..]), (&[0, 2, 5][..], &[1, 3, 4][..]));
    assert_eq!(known_times(input, &log.decoded.columns).next(), Some(EventTime::from_millis(500)));

    // Rows of an archive that say which records of the log they are.
    let cut = Cut::Offsets(BTreeMap::from([(1, 12)]));
    let mut columns = rows(&[1, 2, 3, 4]);
    columns.push(Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), None])));
    columns.push(Arc::new(Int64Array::from(vec![Some(11), Some(12), Some(0), Some(0)])));
    let past = cut.part(input, ARCHIVE, decoded(columns, 70)).unwrap();
    assert_eq!((times(&past.decoded, input.event_time), past.of_other), (vec![1], 2));
    assert_eq!(past.decoded.columns.num_columns(), input.columns.len());
    let bad: Vec<u64> = past.decoded.bad.iter().map(|bad| bad.offset).collect();
    assert_eq!(bad, [73], "a row that does not say it is told of");
    let log = cut.part(input, LIVE, decoded(rows(&[1, 2, 3, 4]), 10)).unwrap();
    assert_eq!((log.decoded.offsets, log.of_other), (vec![12, 13], 2));
    let other = PartitionId { partition: 2, ..LIVE };
    assert_eq!(cut.part(input, other, decoded(rows(&[1, 2]), 0)).unwrap().of_other, 0);
    assert_eq!(record_of(Some(-1), Some(3)), None);
}

/// A result by its key and what tells it from others of that: its window, or its event.
type Written = BTreeMap<String, (i64, String)>;

fn told(rows: &ResultRows, at: usize) -> String {
    let cell = |column: &ArrayRef| arrow_cast::display::array_value_to_string(column, at).unwrap();
    rows.columns.columns().iter().map(cell).collect::<Vec<_>>().join(",")
}

/// The newest result of each key: by the end of its window, else by its event.
fn newest(all: &[ResultRows]) -> Written {
    let mut newest = Written::new();
    for rows in all {
        for at in 0..rows.columns.num_rows() {
            let key = rows.columns.column(0).as_string_opt::<i32>().map(|keys| keys.value(at).to_owned());
            let key = key.unwrap_or_else(|| rows.columns.column(0).as_string_view().value(at).to_owned());
            let place = rows.windows.get(at).map_or_else(|| rows.times[at], |(_, end)| *end);
            let entry = newest.entry(key).or_insert((i64::MIN, String::new()));
            if place >= entry.0 {
                *entry = (place, told(rows, at));
            }
        }
    }
    newest
}

proptest! {
    #![proptest_config(cases(150, 200))]

    #[test]
    fn the_current_result_of_a_key_is_the_one_that_was_written_last(
        rows in proptest::collection::vec((0_u8..4, 0_i64..40_000, -5_i64..5), 1..60),
        query in 0_usize..4,
    ) {
        let (query, is_kept) = [
            ("SELECT user, SUM(n) AS s FROM events GROUP BY user, TUMBLE(t, INTERVAL '5' SECOND)", false),
            ("SELECT user, SUM(n) AS s, COUNT(*) AS c FROM events GROUP BY user, HOP(t, INTERVAL '2' SECOND, INTERVAL '6' SECOND)", false),
            ("SELECT user, SUM(n) AS s, COUNT(*) AS c FROM events GROUP BY user, SESSION(t, INTERVAL '1' SECOND)", false),
            ("SELECT user, SUM(n) OVER w AS s, TOP(3, n) OVER w AS l FROM events WINDOW w AS (PARTITION BY user ORDER BY t \
              RANGE INTERVAL '4' SECOND PRECEDING)", true),
        ][query];
        let plan = Arc::new(plan(query, "disorder: 3s\n", "late: {policy: drop}\nhistory: 1m\n"));
        let ids = [LIVE, PartitionId { partition: 2, ..LIVE }];
        let mut logs = TwoLogs::new(&plan, ids);
        logs.idle(1);
        for (at, (user, t, n)) in rows.iter().enumerate() {
            let column = |column: &usize| -> ArrayRef {
                match plan.inputs[0].stream.schema.fields[*column].name.as_str() {
                    "t" => Arc::new(TimestampMillisecondArray::from(vec![*t])),
                    "n" => Arc::new(Int64Array::from(vec![*n])),
                    _ => Arc::new(StringArray::from(vec![user.to_string()])),
                }
            };
let schema = &plan.inputs[0].stream.schema;
            let names: Vec<&str> = plan.inputs[0].columns.iter().map(|at| schema.fields[*at].name.as_str()).collect();
            logs.read(0, at, &batch(&names, plan.inputs[0].columns.iter().map(column).collect()));
        }
        let written = newest(&logs.written);
        let current = current(&mut logs.keyed);
        let found = newest(&current);
        let keys: usize = current.iter().map(|rows| rows.columns.num_rows()).sum();
        prop_assert_eq!(keys, found.len(), "each key once");
        if is_kept {
            prop_assert_eq!(&found, &written);
        } else {
            // A key whose last window is older than the newest of all has no current one.
            let [found, all] = [&found, &written].map(|rows| rows.iter().collect::<BTreeSet<_>>());
            prop_assert!(found.is_subset(&all), "{:?} of {:?}", found, all);
            let end = logs.settled().millis() / 5000 * 5000;
            let of_last = |(_, (window_end, _)): &(&String, &(i64, String))| *window_end == end;
            if query.contains("TUMBLE") {
                prop_assert!(all.iter().filter(|it| of_last(it)).all(|it| found.contains(it)), "{:?} of {:?}", found, all);
            }
        }
    }
}

fn current(keyed: &mut Keyed) -> Vec<ResultRows> {
    keyed.current().flat_map(|effects| effects.unwrap().results).collect()
}
