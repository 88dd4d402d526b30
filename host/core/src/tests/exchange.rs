//! Rows that cross the exchange come out as they went in, and bytes that are not a block are refused.

use super::{cases, plan};
use crate::groups::{ALL_GROUPS, range_of};
use crate::intake::route::KeyedRows;
use crate::project::Projected;
use crate::rows::Arrival;
use crate::wire::Sorted;
use arrow_array::builder::{
    BinaryViewBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, ListBuilder,
    MapBuilder, StringViewBuilder, TimestampMillisecondBuilder,
};
use arrow_array::{Array, ArrayRef, StructArray, UInt32Array};
use arrow_schema::{DataType, Field, Fields, Schema};
use arrow_select::take::take;
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::{EventTime, PartitionId};
use weir_plan::JobPlan;

/// A column of each type that a stream's columns or an expression's values have, of rows that are each a few numbers.
fn columns(rows: &[Option<Vec<i64>>]) -> Vec<ArrayRef> {
    let first = |row: &Option<Vec<i64>>| row.as_ref().and_then(|row| row.first().copied());
    let texts = |row: &Option<Vec<i64>>| row.as_ref().map(|row| "ab".repeat(row.len() * 4));
    let (mut ints, mut doubles, mut flags) =
        (Int64Builder::new(), Float64Builder::new(), BooleanBuilder::new());
    let mut times = TimestampMillisecondBuilder::new();
    let mut decimals = Decimal128Builder::new().with_data_type(DataType::Decimal128(10, 2));
    let (mut strings, mut blobs) = (StringViewBuilder::new(), BinaryViewBuilder::new());
    let mut lists = ListBuilder::new(ListBuilder::new(StringViewBuilder::new()));
    let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
    for row in rows {
        let value = first(row);
        ints.append_option(value);
        doubles.append_option(value.map(|value| value as f64 / 3.0));
        flags.append_option(value.map(|value| value % 2 == 0));
        times.append_option(value);
        decimals.append_option(value.map(i128::from));
        strings.append_option(texts(row));
        blobs.append_option(texts(row));
        for value in row.iter().flatten() {
            lists.values().values().append_option((value % 3 != 0).then(|| value.to_string()));
            lists.values().append(value % 5 != 0);
            maps.keys().append_value(value.to_string());
            maps.values().append_option((value % 2 == 0).then_some(*value));
        }
        lists.append(row.is_some());
        maps.append(row.is_some()).unwrap();
    }
    let (ints, strings): (ArrayRef, ArrayRef) = (Arc::new(ints.finish()), Arc::new(strings.finish()));
    let field = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
    let fields = Fields::from(vec![field("i", &ints), field("s", &strings)]);
    let nested = StructArray::new(fields, vec![ints.clone(), strings.clone()], ints.nulls().cloned());
    vec![
        strings,
        ints,
        Arc::new(doubles.finish()),
        Arc::new(flags.finish()),
        Arc::new(times.finish()),
        Arc::new(decimals.finish()),
        Arc::new(blobs.finish()),
        Arc::new(lists.finish()),
        Arc::new(maps.finish()),
        Arc::new(nested),
    ]
}

/// A plan whose projected columns have the types of these.
fn plan_of(columns: &[ArrayRef]) -> JobPlan {
    let mut plan =
        plan("SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '1' HOUR)", "", "");
    let field =
        |(at, column): (usize, &ArrayRef)| Field::new(format!("c{at}"), column.data_type().clone(), true);
    plan.inputs[0].projection.schema =
        Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
    plan
}

fn keyed(columns: &[ArrayRef]) -> KeyedRows {
    let count = columns[0].len();
    let rows = Projected {
        partition: PartitionId { source: 1, partition: 7 },
        columns: columns.to_vec(),
        times: (0..count as i64).map(|row| row * 10 - 5).collect(),
        offsets: (0..count as u64).map(|row| row + 100).collect(),
        records: (0..count as u32).collect(),
        arrival: Arrival {
            watermark: EventTime::from_millis(-3),
            payloads: Arc::new(
                (0..count as u64).step_by(3).map(|row| (row + 100, format!("{{{row}}}"))).collect(),
            ),
        },
    };
    KeyedRows::of(rows, &[0]).unwrap()
}

/// Some rows of a column.
fn at(column: &ArrayRef, rows: &[u32]) -> ArrayRef {
    take(column, &UInt32Array::from(rows.to_vec()), None).unwrap()
}

fn any_rows() -> impl Strategy<Value = Vec<Option<Vec<i64>>>> {
    let row = prop::option::weighted(0.8, prop::collection::vec(-40_i64..40, 0..5));
    prop::collection::vec(row, 0..60)
}

proptest! {
    #![proptest_config(cases(200, 4000))]

    #[test]
    fn rows_come_out_as_they_went_in(rows in any_rows(), ranges in 1_usize..130) {
        let columns = columns(&rows);
        let (plan, sent) = (plan_of(&columns), keyed(&columns));
        let (sorted, mut arrived) = (Sorted::of(&sent).unwrap(), 0);
        for range in 0..ranges {
            let groups = range_of(range, ranges, &ALL_GROUPS);
            let own = sent.of_groups(&groups);
            let Some(block) = sorted.block(&groups).unwrap() else {
                prop_assert!(own.is_empty());
                continue;
            };
            let found = KeyedRows::from_block(&plan, &block).unwrap();
            let found_rows = found.of_groups(&groups);
            prop_assert_eq!((found.len(), found_rows.len()), (own.len(), own.len()));
            arrived += own.len();
            for (sent, found) in sent.rows.columns.iter().zip(&found.rows.columns) {
                prop_assert_eq!(&at(sent, own), &at(found, found_rows));
            }
            for (own, found_row) in own.iter().zip(found_rows) {
                let (own, at) = (*own as usize, *found_row as usize);
                prop_assert_eq!((sent.ranks[own], sent.rows.times[own]), (found.ranks[at], found.rows.times[at]));
                prop_assert_eq!(sent.keys.key(own), found.keys.key(at));
                let (of_sent, of_found) = (&sent.rows.arrival, &found.rows.arrival);
                let offset = &sent.rows.offsets[own];
                prop_assert_eq!(of_sent.payloads.get(offset), of_found.payloads.get(offset));
                prop_assert_eq!(of_sent.watermark, of_found.watermark);
            }
        }
        prop_assert_eq!(arrived, rows.len(), "each arrives once");
        if let Some(block) = sorted.block(&ALL_GROUPS).unwrap() {
            let found = KeyedRows::from_block(&plan, &block).unwrap().in_order_of_log(&plan).unwrap();
            prop_assert_eq!((&found.rows.offsets, &found.rows.times), (&sent.rows.offsets, &sent.rows.times));
            prop_assert_eq!(&found.rows.columns, &sent.rows.columns);
            prop_assert_eq!(found.of_groups(&ALL_GROUPS), sent.of_groups(&ALL_GROUPS));
        }
    }

    #[test]
    fn damaged_bytes_are_refused_and_nothing_panics(
        rows in prop::collection::vec(prop::option::of(prop::collection::vec(-40_i64..40, 0..5)), 1..20),
        cut in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let columns = columns(&rows);
        let (plan, sent) = (plan_of(&columns), keyed(&columns));
        let block = Sorted::of(&sent).unwrap().block(&ALL_GROUPS).unwrap().unwrap();
        prop_assert!(KeyedRows::from_block(&plan, &block[..cut.index(block.len())]).is_err());
        prop_assert!(KeyedRows::from_block(&plan, &[&block[..], &[0]].concat()).is_err());
        let mut flipped = block.clone();
        flipped[flip.index(block.len())] ^= 1 << bit;
        // A value may have become another value.
        let _ = KeyedRows::from_block(&plan, &flipped);
        flipped = block;
        flipped[0] = 9;
        let error = KeyedRows::from_block(&plan, &flipped).map(drop).unwrap_err().to_string();
        prop_assert_eq!(error, "a block of rows is of version 9, and this weir reads 1");
    }
}
