//! Segments whose stored blocks are read back into one, as where a job goes on with fewer shards: what is returned of
//! new rows is of their own key.

use super::testers::insert_batch;
use crate::Timelines;
use crate::aggregate::catalog::builtin;
use crate::spec::{AggregateSpec, Frames, OverFrame, StageSpec};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringViewArray};
use arrow_schema::DataType;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span, key_hash};

/// Keys of the merged segment, each from a segment of its own.
const KEYS: usize = 4;

fn spec() -> Arc<StageSpec> {
    let last = AggregateSpec {
        function: builtin("LAST_VALUE", false, &[DataType::Utf8View], &[]).unwrap(),
        arguments: vec![0],
        filter: None,
        frame: 0,
        edits: None,
    };
    Arc::new(StageSpec {
        frames: Frames::Over(vec![OverFrame::range(None)]),
        aggregates: vec![last],
        inputs: vec![DataType::Utf8View],
        carried: vec![],
        history: Span::from_millis(1000),
        corrects: Some(Span::from_millis(1000)),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    })
}

fn name(key: usize) -> Vec<u8> {
    format!("k{key}").into_bytes()
}

/// Inserts one row a text for a key.
fn insert(timelines: &mut Timelines, key: usize, first_time: i64, texts: &[String]) {
    let slot = timelines.slot_or_insert(&name(key), key_hash(&name(key)));
    let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
    let times: Vec<i64> = (0..texts.len() as i64).map(|at| first_time + at).collect();
    let ranks: Vec<Rank> =
        times.iter().map(|time| Rank { offset: *time as u64, ..Rank::default() }).collect();
    insert_batch(timelines, &vec![slot; texts.len()], &times, &ranks, &[column]).unwrap();
}

#[test]
fn keys_of_several_segments_keep_their_texts() {
    let mut merged = Timelines::new(spec()).unwrap();
    let settled = EventTime::from_millis(100);
    for key in 0..KEYS {
        let mut segment = Timelines::new(spec()).unwrap();
        // More distinct texts with each key, so that the code of one is out of another's bounds.
        let texts: Vec<String> = (0..=key).map(|number| format!("old {key} {number}")).collect();
        insert(&mut segment, key, 0, &texts);
        segment.settle(settled).unwrap();
        segment.encode_dirty(&mut |key, block, bytes| {
            merged.decode(key, key_hash(key), block, bytes.unwrap()).unwrap();
        });
    }
    merged.restore_done(settled, EventTime::MIN).unwrap();

    let mut expected = BTreeMap::new();
    for key in 0..KEYS {
        let texts: Vec<String> = (0..=KEYS - key).map(|number| format!("new {key} {number}")).collect();
        insert(&mut merged, key, 200, &texts);
        for (at, text) in texts.iter().enumerate() {
            expected.insert((name(key), 200 + at as i64), text.clone());
        }
    }
    let results = merged.settle(EventTime::from_millis(1000)).unwrap();
    let values = results.values[0].as_string_view();
    let found: BTreeMap<_, _> = (0..values.len())
        .map(|row| {
            let key = merged.key(results.slots[row]).to_vec();
            ((key, results.events[row].0), values.value(row).to_owned())
        })
        .collect();
    assert_eq!(found, expected);
}
