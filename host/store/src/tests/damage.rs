//! What the store does when its files are not what it wrote: it says so, in time, and never gives wrong values.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::*;

/// Three commits of a job, a new segment each.
fn filled(folder: &Path) -> Content {
    let store = open(folder);
    let mut segments = Vec::new();
    for round in 0..3_u64 {
        let entries = (0..1500_u64).map(|i| put((i * 7 + round).to_be_bytes(), bytes(i + round, 200)));
        segments.push(write(&store, "a", entries.collect()));
        commit(&store, "a", segments.clone());
    }
    committed(&store, "a")
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("listed").path());
    let mut files: Vec<PathBuf> = listed.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Puts bytes in place of those of one stored chunk, by way of sled itself: its own checks see nothing.
fn spoil_chunk(folder: &Path, segment: u64, number: u32) {
    let rows = crate::rows::Rows::open(&folder.join("sled-1"), 16 << 20).expect("opens");
    let address = crate::chunk::Address { segment, number };
    rows.put_chunks(vec![(address, b"spoiled".to_vec())]).expect("put");
    rows.sync().expect("synced");
}

#[test]
fn flipped_bits_give_an_error_or_the_right_values() {
    let whole = tempfile::tempdir().expect("temporary folder");
    let expected = filled(whole.path());
    let mut refusals = 0;
    for file in files_of(&whole.path().join("sled-1")) {
        let length = fs::metadata(&file).expect("there").len();
        let name = file.file_name().expect("a file").to_owned();
        let flips = if name == "db" { 24 } else { 4 };
        for flip in 0..flips {
            let damaged = tempfile::tempdir().expect("temporary folder");
            copy(whole.path(), damaged.path()).expect("copied");
            let path = damaged.path().join("sled-1").join(&name);
            let mut content = fs::read(&path).expect("readable");
            let at = (u64::from_le_bytes(bytes(flip + 1, 8).try_into().expect("eight")) % length) as usize;
            // More than one bit, and of neighbours, too: a whole sector that went bad.
            let end = content.len().min(at + 1 + 200 * (flip as usize % 3));
            content[at..end].iter_mut().for_each(|byte| *byte ^= 0x41);
            fs::write(&path, content).expect("writable");
            let read = SledStore::open(damaged.path(), options()).and_then(|store| {
                let head = store.head()?.expect("a commit");
                assert_eq!(head.epoch, Epoch(3));
                try_content(&store, &head.jobs["a"])
            });
            match read {
                Ok(content) => assert_eq!(content, expected, "flip at {at} of {name:?}"),
                Err(error) => {
                    refusals += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
    assert!(refusals > 0, "no flip was noticed");
}

#[test]
fn files_cut_short_are_refused() {
    let whole = tempfile::tempdir().expect("temporary folder");
    filled(whole.path());
    let length = fs::metadata(whole.path().join("sled-1/db")).expect("there").len();
    for part in 0..4 {
        let damaged = tempfile::tempdir().expect("temporary folder");
        copy(whole.path(), damaged.path()).expect("copied");
        let file = fs::File::options().write(true).open(damaged.path().join("sled-1/db")).expect("opens");
        file.set_len(length / 4 * part).expect("cut");
        let error = refused(damaged.path(), options());
        assert_eq!(error.fault(), weir_event::Fault::Weir, "{error}");
    }
}

#[test]
fn a_damaged_head_names_the_older_epochs_that_are_intact() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    spoil_chunk(folder.path(), 3, 0);
    let error = refused(folder.path(), options());
    let StoreError::DamagedHead { epoch, intact, .. } = &error else { panic!("{error}") };
    assert_eq!((*epoch, intact.as_slice()), (Epoch(3), [Epoch(2), Epoch(1)].as_slice()));

    let accepting = StoreOptions { accept_older: true, ..options() };
    let store = SledStore::open(folder.path(), accepting).expect("goes on from epoch 2");
    let head = store.head().expect("head").expect("a commit");
    assert_eq!((head.epoch, head.manifest_epochs["a"]), (Epoch(4), Epoch(2)));
    assert_eq!(committed(&store, "a").len(), 3000);
    assert_eq!(commit(&store, "b", Vec::new()).epoch, Epoch(5));
    drop(store);
    assert_eq!(committed(&open(folder.path()), "a").len(), 3000);
}

#[test]
fn when_every_commit_is_damaged_there_is_nothing_to_accept() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    spoil_chunk(folder.path(), 1, 5);
    let error = refused(folder.path(), StoreOptions { accept_older: true, ..options() });
    assert!(matches!(&error, StoreError::DamagedHead { intact, .. } if intact.is_empty()), "{error}");
    assert!(error.to_string().contains("no older epoch is intact"), "{error}");
}

#[test]
fn files_put_back_from_an_older_copy_are_behind_the_witness() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    let older = tempfile::tempdir().expect("temporary folder");
    copy(&folder.path().join("sled-1"), older.path()).expect("copied");
    let store = open(folder.path());
    commit(&store, "b", Vec::new());
    drop(store);
    fs::remove_dir_all(folder.path().join("sled-1")).expect("removed");
    copy(older.path(), &folder.path().join("sled-1")).expect("copied");

    let error = refused(folder.path(), options());
    let behind = matches!(&error, StoreError::BehindWitness { found: Some(Epoch(3)), witness: Epoch(4), .. });
    assert!(behind, "{error}");
    let accepting = StoreOptions { accept_older: true, ..options() };
    let store = SledStore::open(folder.path(), accepting).expect("goes on from epoch 3");
    assert_eq!(store.head().expect("head").expect("a commit").epoch, Epoch(5));
}

#[test]
fn a_folder_that_was_put_back_whole_or_is_gone_is_behind_the_marks_outside_it() {
    let (root, out) = (tempfile::tempdir().expect("temporary"), tempfile::tempdir().expect("temporary"));
    let (folder, older) = (root.path().join("state"), root.path().join("older"));
    let mark = out.path().join(".j.state");
    let marked = |accept_older| StoreOptions { accept_older, marks: vec![mark.clone()], ..options() };
    filled(&folder);
    copy(&folder, &older).expect("copied");
    let store = SledStore::open(&folder, marked(false)).expect("no mark is no objection");
    store.leave_mark(&mark).expect("left");
    commit(&store, "b", Vec::new());
    store.leave_mark(&mark).expect("left");
    store.leave_mark(&root.path().join("not there/mark")).expect("where nothing is, no mark is needed");
    drop(store);
    drop(SledStore::open(&folder, marked(false)).expect("as it was left"));

    fs::remove_dir_all(&folder).expect("removed");
    copy(&older, &folder).expect("copied");
    let error = refused(&folder, marked(false));
    assert!(error.to_string().contains("only epoch 3") && error.to_string().contains(".j.state"), "{error}");
    let store = SledStore::open(&folder, marked(true)).expect("accepted");
    assert_eq!(store.head().expect("head").expect("a commit").epoch, Epoch(5), "no number is given twice");
    drop(store);
    drop(SledStore::open(&folder, marked(false)).expect("it was accepted once"));

    fs::remove_dir_all(&folder).expect("removed");
    let error = refused(&folder, marked(false));
    assert!(matches!(&error, StoreError::OtherState { at, .. } if *at == mark), "{error}");
    drop(SledStore::open(&folder, marked(true)).expect("accepted"));
    drop(SledStore::open(&folder, marked(false)).expect("the mark is its own now"));
}

#[test]
fn a_lost_sled_folder_is_noticed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    fs::remove_dir_all(folder.path().join("sled-1")).expect("removed");
    let error = refused(folder.path(), StoreOptions { accept_older: true, ..options() });
    assert!(matches!(error, StoreError::BehindWitness { found: None, .. }), "{error}");
}

#[test]
fn a_crash_before_the_witness_is_written_loses_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    let older = fs::read(folder.path().join("witness")).expect("readable");
    let store = open(folder.path());
    commit(&store, "b", Vec::new());
    drop(store);
    fs::write(folder.path().join("witness"), older).expect("writable");
    fs::write(folder.path().join("witness.new"), "half a li").expect("writable");
    assert_eq!(open(folder.path()).head().expect("head").expect("a commit").epoch, Epoch(4));
    let witness = fs::read_to_string(folder.path().join("witness")).expect("readable");
    assert!(witness.starts_with("weir-witness 1 4 "), "{witness}");
}

#[test]
fn a_torn_witness_or_state_file_is_an_error_and_the_witness_may_be_given_up() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    fs::write(folder.path().join("witness"), "weir-witn").expect("writable");
    assert!(matches!(refused(folder.path(), options()), StoreError::Damaged { .. }));
    let accepting = StoreOptions { accept_older: true, ..options() };
    drop(SledStore::open(folder.path(), accepting).expect("opens"));
    drop(open(folder.path()));

    let state = fs::read(folder.path().join("state")).expect("readable");
    for spoiled in [Some(b"weir-state 1 sled-7 00000000\n".as_slice()), None] {
        match spoiled {
            Some(text) => fs::write(folder.path().join("state"), text).expect("writable"),
            None => fs::remove_file(folder.path().join("state")).expect("removed"),
        }
        assert!(matches!(refused(folder.path(), options()), StoreError::Damaged { .. }));
    }
    fs::write(folder.path().join("state"), state).expect("writable");
    open(folder.path());
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    filled(folder.path());
    fs::write(folder.path().join("state"), "weir-state 2 whatever comes then\n").expect("writable");
    let error = refused(folder.path(), options());
    assert!(matches!(error, StoreError::NewerFormat { found: 2, .. }), "{error}");
    assert_eq!(error.fault(), weir_event::Fault::User);
}

#[test]
fn damage_that_comes_while_it_runs_is_an_error_of_the_read() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = open(folder.path());
    let segment = write(&store, "a", (0..500_u64).map(|i| put(i.to_be_bytes(), bytes(i, 100))).collect());
    let whole = manifest(vec![segment.clone()]);
    store.spoil(segment.id, 2);
    let error = try_content(&store, &whole).expect_err("noticed");
    assert!(error.to_string().contains("chunk 2 of segment 1"), "{error}");
    let mut missing = whole.clone();
    missing.segments[0].id = 77;
    assert!(try_content(&store, &missing).is_err());
    let mut other = manifest(vec![write(&store, "a", vec![put("a", "1")])]);
    other.segments[0].hash ^= 1;
    assert!(try_content(&store, &other).expect_err("noticed").to_string().contains("rolling hash"));
}
