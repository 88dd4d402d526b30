//! What the store promises while nothing is broken.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chunk::CHUNK_BYTES;

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

#[test]
fn what_is_committed_comes_back_after_a_restart() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    assert_eq!(store.head().expect("head"), None);
    let segment = write(&store, "a", (0..5000).map(|i| put(key(i), bytes(i, 30))).collect());
    assert_eq!((segment.entries, segment.tombstones), (5000, 0));
    assert!(segment.chunks > 30 && segment.index_chunks > 0);
    let taken = commit(&store, "a", vec![segment]);
    assert_eq!(taken.epoch, Epoch(1));
    drop(store);

    let store = open(folder.path());
    assert_eq!(store.head().expect("head"), Some(taken));
    let found = committed(&store, "a");
    assert_eq!(found.len(), 5000);
    assert!((0..5000).all(|i| found[&key(i)] == bytes(i, 30)));
}

#[test]
fn the_newest_segment_wins_and_tombstones_hide() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let old = write(&store, "a", vec![put("a", "1"), put("b", "1"), put("c", "1"), put("e", "")]);
    let new = write(&store, "a", vec![put("a", "2"), gone("b"), gone("d"), put("f", "2")]);
    commit(&store, "a", vec![old, new]);
    let expected = [("a", "2"), ("c", "1"), ("e", ""), ("f", "2")];
    let expected: Content = expected.map(|(key, value)| (key.into(), value.into())).into();
    assert_eq!(committed(&store, "a"), expected);
}

#[test]
fn values_and_keys_longer_than_a_chunk_span() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let lengths = [0, 1, CHUNK_BYTES - 20, CHUNK_BYTES, 3 * CHUNK_BYTES, 100_000, 7];
    let mut entries: Vec<Entry> =
        lengths.iter().enumerate().map(|(i, length)| put(key(i as u64), bytes(i as u64, *length))).collect();
    entries.push(put(vec![0xff; 2 * CHUNK_BYTES], "of a long key"));
    entries.push(gone(vec![0xff; 2 * CHUNK_BYTES + 1]));
    let segment = write(&store, "a", entries.clone());
    commit(&store, "a", vec![segment]);
    let expected: Content =
        entries.into_iter().filter_map(|entry| Some((entry.key.into(), entry.value?.into()))).collect();
    assert_eq!(committed(&store, "a"), expected);
    let spilled = std::fs::read_dir(folder.path().join("sled-1/blobs")).expect("sled's folder").count();
    assert_eq!(spilled, 0, "sled put a page into a file of its own");
}

#[test]
fn a_manifest_of_megabytes_is_kept_in_rows_of_four_kilobytes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let body = serde_json::json!({"tokens": "t".repeat(3 << 20)});
    let big = Manifest { format: 9, segments: Vec::new(), body };
    let small = manifest(Vec::new());
    for manifest in [&big, &small, &big] {
        store.commit(BTreeMap::from([("a".to_owned(), manifest.clone())])).expect("taken");
    }
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.head().expect("head").expect("a commit").jobs["a"], big);
    let spilled = std::fs::read_dir(folder.path().join("sled-1/blobs")).expect("sled's folder").count();
    assert_eq!(spilled, 0, "sled put a page into a file of its own");
}

#[test]
fn a_range_reads_what_is_in_it() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let even = write(&store, "a", (0..4000).map(|i| put(key(2 * i), bytes(i, 50))).collect());
    let some = write(&store, "a", (0..1000).map(|i| put(key(8 * i + 1), "odd")).collect());
    let both = manifest(vec![even, some]);
    let all = content(&store, &both);
    for (from, to) in [(0, 1), (77, 78), (3000, 3100), (3001, 7999), (7990, 9000), (9000, 9001)] {
        let mut seen = Content::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            seen.insert(key.to_vec(), value.to_vec());
            Ok(())
        };
        store.read_range(&both, &key(from), Some(&key(to)), &mut visit).expect("readable");
        let expected: Content = all.range(key(from)..key(to)).map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(seen, expected, "{from}..{to}");
    }
}

#[test]
fn a_visitor_may_give_up() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let segment = write(&store, "a", vec![put("a", "1"), put("b", "2")]);
    let mut seen = 0;
    let stopped = store.read(&manifest(vec![segment]), &mut |_, _| {
        seen += 1;
        Err(StoreError::visit("enough"))
    });
    assert_eq!(stopped.expect_err("given up").to_string(), "enough");
    assert_eq!(seen, 1);
}

#[test]
fn what_was_not_committed_is_gone_after_a_restart() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let first = write(&store, "a", vec![put("a", "1")]);
    commit(&store, "a", vec![first]);
    let lost = write(&store, "a", (0..2000).map(|i| put(key(i), bytes(i, 100))).collect());
    drop(store);

    let store = open(folder.path());
    assert_eq!(committed(&store, "a").len(), 1);
    let unknown = store.commit(BTreeMap::from([("a".to_owned(), manifest(vec![lost.clone()]))]));
    assert!(matches!(unknown, Err(StoreError::UnknownSegment { id, .. }) if id == lost.id));
    commit(&store, "b", Vec::new());
    assert!(store.rows_of(lost.id).is_empty(), "its chunks are swept");
}

#[test]
fn a_job_that_missed_keeps_its_older_manifest() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let slow = write(&store, "slow", vec![put("a", "1")]);
    commit(&store, "slow", vec![slow]);
    for _ in 0..5 {
        let quick = write(&store, "quick", vec![put("a", "2")]);
        commit(&store, "quick", vec![quick]);
    }
    drop(store);
    let store = open(folder.path());
    let head = store.head().expect("head").expect("a commit");
    assert_eq!(head.epoch, Epoch(6));
    assert_eq!((head.manifest_epochs["slow"], head.manifest_epochs["quick"]), (Epoch(1), Epoch(6)));
    assert_eq!(committed(&store, "slow").len(), 1);
    assert_eq!(store.kept_epochs(), [Epoch(4), Epoch(5), Epoch(6)]);
    assert_eq!(store.record_count(), 3 + 1 + 3 + 1, "commits, HEAD, and manifests still named");
}

#[test]
fn segments_of_commits_no_longer_kept_are_deleted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let first = write(&store, "a", (0..1000).map(|i| put(key(i), bytes(i, 100))).collect());
    commit(&store, "a", vec![first.clone()]);
    for epoch in 2..=4 {
        assert!(!store.rows_of(first.id).is_empty(), "a kept commit names it at epoch {epoch}");
        let next = write(&store, "a", vec![put("a", "1")]);
        commit(&store, "a", vec![next]);
    }
    assert!(store.rows_of(first.id).is_empty());
    assert!(store.live_bytes() < 1000 && store.disk_bytes() > 100_000);
}

#[test]
fn a_forgotten_job_starts_anew() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    for job in ["a", "b"] {
        let segment = write(&store, job, vec![put("k", job)]);
        commit(&store, job, vec![segment]);
    }
    store.forget("a").expect("forgotten");
    store.forget("never seen").expect("nothing to do");
    drop(store);
    let head = open(folder.path()).head().expect("head").expect("a commit");
    assert_eq!(head.epoch, Epoch(3));
    assert_eq!(head.jobs.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn entries_out_of_order_are_refused_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    for second in ["b", "a"] {
        let mut entries = vec![put("b", "1"), put(second, "2")].into_iter();
        let refused = store.write_segment("a", Epoch(1), &mut entries).expect_err("out of order");
        assert!(matches!(refused, StoreError::Unsorted { at: 1, .. }), "{refused}");
        assert_eq!(refused.fault(), weir_event::Fault::Weir);
    }
    commit(&store, "a", Vec::new());
    assert!(store.rows_of(1).is_empty() && store.rows_of(2).is_empty());
}

#[test]
fn compaction_keeps_every_value_and_drops_what_is_over() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let mut segments: Vec<SegmentRef> = (0..6)
        .map(|round| {
            let entry = |i: u64| {
                if (i + round).is_multiple_of(5) { gone(key(i)) } else { put(key(i), bytes(round, 40)) }
            };
            write(&store, "a", (0..3000).filter(|i| i % (round + 1) == 0).map(entry).collect())
        })
        .collect();
    segments.push(write(&store, "a", Vec::new()));
    let before = manifest(segments);
    let expected = content(&store, &before);
    let expired = |k: &[u8]| k < key(100).as_slice();
    let after = store.compact("a", Epoch(1), &before, &expired).expect("compacted").expect("worth it");
    assert_eq!((after.segments.len(), after.segments[0].tombstones), (1, 0));
    assert_eq!(after.body, before.body);
    let live: Content = expected.into_iter().filter(|(k, _)| !expired(k)).collect();
    assert_eq!(content(&store, &after), live);
    assert!(store.compact("a", Epoch(1), &after, &expired).expect("looked at").is_none());
    let nothing = store.compact("a", Epoch(1), &before, &|_| true).expect("compacted").expect("worth it");
    assert!(nothing.segments.is_empty());
}

#[test]
fn tombstones_stay_while_something_older_remains() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let mut segments = vec![write(&store, "a", (0..4000).map(|i| put(key(i), bytes(i, 300))).collect())];
    for i in 0..4 {
        segments.push(write(&store, "a", vec![gone(key(i))]));
    }
    let before = manifest(segments);
    let after = store.compact("a", Epoch(1), &before, &|_| false).expect("compacted").expect("worth it");
    assert_eq!(after.segments.len(), 2);
    assert_eq!(after.segments[1].tombstones, 4);
    assert_eq!(content(&store, &after), content(&store, &before));
}

#[test]
fn a_second_server_on_the_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let error = refused(folder.path(), options());
    assert!(
        matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert_eq!(error.fault(), weir_event::Fault::User);
    drop(store);
    open(folder.path());
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the lock is the machine's, and is held for a while of its time"
)]
fn a_store_that_this_process_is_closing_is_waited_for() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let last_holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(store);
    });
    open(folder.path());
    last_holder.join().expect("it drops the store");
}

#[test]
fn a_place_that_is_no_folder_is_the_users_fault() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("a_file");
    std::fs::write(&file, "not a folder").expect("writable");
    let error = refused(&file, options());
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
    assert_eq!(error.fault(), weir_event::Fault::User);
}

#[test]
fn files_that_outgrew_what_lives_are_rebuilt_at_the_next_start() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let big = write(&store, "a", (0..20_000).map(|i| put(key(i), bytes(i, 200))).collect());
    commit(&store, "a", vec![big]);
    let small = write(&store, "a", vec![put("left", "over")]);
    for _ in 0..3 {
        commit(&store, "a", vec![small.clone()]);
    }
    let before_bytes = store.disk_bytes();
    drop(store);

    // What a rebuild that a crash cut short leaves behind.
    std::fs::create_dir(folder.path().join("sled-2")).expect("made");
    std::fs::write(folder.path().join("sled-2/db"), bytes(1, 10_000)).expect("writable");
    let rebuild = StoreOptions { rebuild_above_bytes: 1 << 20, ..options() };
    let store = SledStore::open(folder.path(), rebuild).expect("opens");
    let after_bytes = store.disk_bytes();
    assert!(after_bytes < before_bytes / 4, "{before_bytes} -> {after_bytes}");
    assert_eq!(store.kept_epochs(), [Epoch(2), Epoch(3), Epoch(4)]);
    assert_eq!(committed(&store, "a").len(), 1);
    assert!(!folder.path().join("sled-1").exists());
    commit(&store, "a", vec![small]);
    drop(store);
    assert_eq!(open(folder.path()).head().expect("head").expect("a commit").epoch, Epoch(5));
}

#[test]
fn jobs_write_read_and_compact_while_others_commit() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    std::thread::scope(|scope| {
        for job in ["a", "b", "c"] {
            let store = &store;
            scope.spawn(move || {
                let mut segments = Vec::new();
                for round in 0..12 {
                    let entries = (0..400).map(|i| put(key(i * 13 % 400 + 1000 * i), bytes(round, 60)));
                    segments.push(write(store, job, entries.collect()));
                    commit(store, job, segments.clone());
                    let merged = store.compact(job, Epoch(1), &manifest(segments.clone()), &|_| false);
                    segments = merged.expect("compacted").map_or(segments, |manifest| manifest.segments);
                    assert_eq!(content(store, &manifest(segments.clone())).len(), 400);
                }
            });
        }
    });
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.head().expect("head").expect("a commit").epoch, Epoch(36));
    for job in ["a", "b", "c"] {
        assert!(committed(&store, job).values().all(|value| *value == bytes(11, 60)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_entries_come_back(entries in prop::collection::btree_map(
        prop::collection::vec(any::<u8>(), 0..40),
        prop::option::of((any::<u64>(), 0_usize..9000)),
        0..60,
    )) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = open(folder.path());
        let entries: Vec<Entry> = entries
            .into_iter()
            .map(|(key, value)| Entry { key: key.into(), value: value.map(|(seed, length)| bytes(seed, length).into()) })
            .collect();
        let segment = write(&store, "a", entries.clone());
        let expected: Content = entries.into_iter().filter_map(|entry| Some((entry.key.into(), entry.value?.into()))).collect();
        prop_assert_eq!(content(&store, &manifest(vec![segment])), expected);
    }
}
