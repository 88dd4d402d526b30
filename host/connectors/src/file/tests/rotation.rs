//! Files that are renamed, copied, cut, written anew and written to where nobody reads any more: each row is read
//! once, or somebody is told.

use super::*;
use std::collections::VecDeque;

/// What a bounded read from a position gives: rows, the reasons of refused records, and the position at its end.
pub(super) async fn read(source: &FileSource, position: Option<Position>) -> Result<Read, ConnectError> {
    let mut reader = source.open(0, &from(position.clone()), true).await?;
    let mut read = Read { rows: Vec::new(), told: Vec::new(), end: position };
    while let Fetch::Block(block) = reader.next().await? {
        read.rows.extend(texts(&block).into_iter().map(|(_, row)| row));
        read.told.extend(block.refused.into_iter().map(|refused| refused.reason));
        read.end = Some(block.next);
    }
    Ok(read)
}

#[derive(Debug)]
pub(super) struct Read {
    pub(super) rows: Vec<String>,
    pub(super) told: Vec<String>,
    pub(super) end: Option<Position>,
}

/// Long enough that a copy of it is believed to be one.
pub(super) fn row(name: &str) -> String {
    format!("{{\"row\":\"{name:->40}\"}}\n")
}

pub(super) fn names(rows: &[String]) -> Vec<&str> {
    rows.iter()
        .map(|row| row.trim_start_matches("{\"row\":\"").trim_end_matches("\"}").trim_start_matches('-'))
        .collect()
}

/// A folder whose `app.log` was read once, and what reading it again from there gives after `change`.
async fn after(pattern: &str, change: impl FnOnce(&Path)) -> Result<Read, ConnectError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("app.log"), row("1") + &row("2")).unwrap();
    let source = reader_of(folder.path(), pattern, false);
    let first = read(&source, None).await.unwrap();
    assert_eq!(names(&first.rows), ["1", "2"]);
    change(folder.path());
    read(&source, first.end).await
}

#[tokio::test]
async fn a_log_that_was_renamed_is_read_to_its_end_and_then_the_new_one() {
    for pattern in ["app.log", "app.log*", "*"] {
        let read = after(pattern, |folder| {
            append(&folder.join("app.log"), &row("3"));
            fs::rename(folder.join("app.log"), folder.join("app.log.1")).unwrap();
            fs::write(folder.join("app.log"), ["4", "5", "6", "7"].map(row).concat()).unwrap();
        });
        let read = read.await.unwrap();
        assert_eq!((names(&read.rows), read.told), (vec!["3", "4", "5", "6", "7"], Vec::new()), "{pattern}");
    }
    // Both begin with the same bytes: only the inode tells them apart.
    let read = after("app.log", |folder| {
        fs::rename(folder.join("app.log"), folder.join("app.log.1")).unwrap();
        fs::write(folder.join("app.log"), ["1", "2", "3"].map(row).concat()).unwrap();
    });
    assert_eq!(names(&read.await.unwrap().rows), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_log_that_was_copied_and_cut_is_read_to_the_end_of_its_copy_and_then_anew() {
    for compressed in [false, true] {
        for new in [vec!["4"], vec!["4", "5", "6", "7"]] {
            let read = after("app.log", |folder| {
                let old = ["1", "2", "3"].map(row).concat();
                if compressed {
                    fs::write(folder.join("app.log-2026.gz"), gzip(old.as_bytes())).unwrap();
                } else {
                    fs::write(folder.join("app.log.1"), old).unwrap();
                }
                // Keeps the inode.
                fs::write(folder.join("app.log"), new.iter().map(|name| row(name)).collect::<String>())
                    .unwrap();
            });
            let read = read.await.unwrap();
            let expected = [vec!["3"], new.clone()].concat();
            assert_eq!(names(&read.rows), expected, "compressed: {compressed}");
        }
    }
}

#[tokio::test]
async fn a_log_whose_rest_is_nowhere_is_an_error_that_names_it() {
    type Change = fn(&Path);
    let changes: [(Change, &str); 4] = [
        (|path| fs::write(path, ["a", "b", "c"].map(row).concat()).unwrap(), "is another file now"),
        (|path| fs::write(path, row("1") + &row("other") + &row("3")).unwrap(), "is another file now"),
        (|path| fs::write(path, row("1")).unwrap(), "is shorter now"),
        (
            |path| {
                fs::remove_file(path).unwrap();
                fs::write(path.with_file_name("bystander.log"), ["a", "b", "c"].map(row).concat()).unwrap();
            },
            "is gone",
        ),
    ];
    for (change, what) in changes {
        let error = after("*.log", |folder| change(&folder.join("app.log"))).await.unwrap_err();
        assert_eq!((error.fault, error.retry), (Fault::External, false), "{error}");
        assert!(error.message.contains("app.log` was read up to byte 102 of its content"), "{error}");
        assert!(error.message.contains(what) && error.message.contains("--reset"), "{error}");
    }
}

#[tokio::test]
async fn a_log_that_was_put_back_is_gone_on_with() {
    let read = after("app.log", |folder| {
        let content = fs::read_to_string(folder.join("app.log")).unwrap();
        fs::write(folder.join("restored"), content + &row("3")).unwrap();
        // Another inode, as after `sed -i` or from a backup.
        fs::rename(folder.join("restored"), folder.join("app.log")).unwrap();
    });
    assert_eq!(names(&read.await.unwrap().rows), ["3"]);
}

#[tokio::test]
async fn logs_that_are_renamed_again_and_again_are_read_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = reader_of(folder.path(), "app.log*", false);
    let (mut position, mut rows) = (None, Vec::new());
    for round in 0..5 {
        fs::write(path("app.log"), row(&format!("{round}a")) + &row(&format!("{round}b"))).unwrap();
        let first = read(&source, position).await.unwrap();
        append(&path("app.log"), &row(&format!("{round}c")));
        for number in (1..5).rev() {
            let _ = fs::rename(path(&format!("app.log.{number}")), path(&format!("app.log.{}", number + 1)));
        }
        fs::rename(path("app.log"), path("app.log.1")).unwrap();
        assert_eq!(first.told, [""; 0], "round {round}");
        rows.extend(first.rows);
        position = first.end;
    }
    fs::write(path("app.log"), row("end")).unwrap();
    rows.extend(read(&source, position).await.unwrap().rows);
    let expected = (0..5).flat_map(|round| ["a", "b", "c"].map(|part| format!("{round}{part}")));
    assert_eq!(names(&rows), expected.chain(["end".to_owned()]).collect::<Vec<_>>());
}

/// The rows that a following reader hands out until there are so many.
async fn next_rows(reader: &mut dyn Reader, held: &mut VecDeque<String>, count: usize) -> Vec<String> {
    while held.len() < count {
        held.extend(texts(&next_block(reader).await).into_iter().map(|(_, row)| row));
    }
    held.drain(..count).collect()
}

#[tokio::test]
async fn a_followed_log_is_followed_over_renaming_and_cutting() {
    for pattern in ["app.log", "app.log*"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("app.log"), row("1")).unwrap();
        let source = reader_of(folder.path(), pattern, true);
        let mut reader = source.open(0, &from(None), false).await.unwrap();
        let (reader, mut held) = (reader.as_mut(), VecDeque::new());
        assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["1"]);
        // Renamed, and for a moment there is no new one; whoever writes it goes on with the old one for a while.
        fs::rename(path("app.log"), path("app.log.1")).unwrap();
        append(&path("app.log.1"), &row("2"));
        assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["2"], "{pattern}");
        fs::write(path("app.log"), row("4")).unwrap();
        append(&path("app.log.1"), &row("3"));
        assert_eq!(names(&next_rows(reader, &mut held, 2).await), ["3", "4"], "{pattern}");
        // Copied and cut, and grown beyond where it was before anybody looks.
        append(&path("app.log"), &row("5"));
        fs::copy(path("app.log"), path("copy.log")).unwrap();
        fs::write(path("app.log"), ["6", "7", "8"].map(row).concat()).unwrap();
        assert_eq!(names(&next_rows(reader, &mut held, 4).await), ["5", "6", "7", "8"], "{pattern}");
    }
}

#[tokio::test]
async fn a_followed_log_that_is_written_anew_with_the_same_rows_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("app.log"), row("1")).unwrap();
    let clock = Arc::default();
    let source = looking_by(&clock, folder.path(), "app.log", true);
    let mut reader = source.open(0, &from(None), false).await.unwrap();
    let (reader, mut held) = (reader.as_mut(), VecDeque::new());
    assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["1"]);
    // As `sed -i` and most editors do.
    fs::write(path("new"), ["1", "2"].map(row).concat()).unwrap();
    fs::rename(path("new"), path("app.log")).unwrap();
    assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["2"]);
    // Deleted, and written anew with other rows: what was read of the old one is all that there was.
    fs::remove_file(path("app.log")).unwrap();
    loop {
        tokio::select! {
            next = reader.next() => assert!(matches!(next, Ok(Fetch::CaughtUp(_))), "there is nothing to read"),
            () = clock.waited_for() => break,
        }
    }
    fs::write(path("app.log"), ["3", "4", "5"].map(row).concat()).unwrap();
    assert_eq!(names(&next_rows(reader, &mut held, 3).await), ["3", "4", "5"]);
}

#[tokio::test]
async fn what_is_written_where_nobody_reads_any_more_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["b.jsonl", "c.jsonl"] {
        fs::write(path(name), row(name)).unwrap();
    }
    fs::write(path("empty.jsonl"), "").unwrap();
    fs::write(path("x.jsonl"), row("x")).unwrap();
    let source = reader_of(folder.path(), "*.jsonl", false);
    let first = read(&source, None).await.unwrap();
    assert_eq!((names(&first.rows), first.told.len()), (vec!["b.jsonl", "c.jsonl", "x"], 0));

    append(&path("b.jsonl"), &row("lost"));
    append(&path("empty.jsonl"), &row("lost"));
    fs::write(path("a.jsonl"), row("lost")).unwrap();
    fs::remove_file(path("c.jsonl")).unwrap();
    append(&path("x.jsonl"), &row("y"));
    let second = read(&source, first.end).await.unwrap();
    assert_eq!(names(&second.rows), ["y"]);
    assert_eq!(second.told.len(), 1);
    for words in [
        "`b.jsonl` changed from 51 to 102 bytes after a later file was begun",
        "`empty.jsonl` changed from 0 to 51 bytes",
        "`a.jsonl` is not read: a name that sorts before `x.jsonl`",
    ] {
        assert!(second.told[0].contains(words), "{}", second.told[0]);
    }

    fs::write(path("c.jsonl"), row("lost")).unwrap();
    let third = read(&source, second.end).await.unwrap();
    assert!(third.rows.is_empty() && third.told.len() == 1, "{third:?}");
    assert!(third.told[0].contains("not read: a name that sorts before `x.jsonl`"), "{third:?}");
    let fourth = read(&source, third.end).await.unwrap();
    assert!(fourth.rows.is_empty() && fourth.told.is_empty(), "{fourth:?}");
}

#[tokio::test]
async fn part_10_comes_after_part_9_but_where_it_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |part: usize| {
        fs::write(folder.path().join(format!("part-{part}.jsonl")), row(&part.to_string())).unwrap()
    };
    (8..11).for_each(write);
    let source = reader_of(folder.path(), "part-*.jsonl", false);
    let first = read(&source, None).await.unwrap();
    assert_eq!(names(&first.rows), ["8", "9", "10"]);
    (11..13).for_each(write);
    assert_eq!(names(&read(&source, first.end).await.unwrap().rows), ["11", "12"]);

    // A position that an older weir left: in the order of bytes, part-10 to part-12 came before part-8.
    let place = r#"{"file":"part-8.jsonl","byte":51,"before":3}"#.to_owned();
    let old = read(&source, Some(Position { next: 4, place })).await.unwrap();
    assert_eq!((names(&old.rows), old.told.len()), (vec!["9"], 0));
    (13..14).for_each(write);
    let later = read(&source, old.end).await.unwrap();
    assert!(later.rows.is_empty() && later.told.len() == 1, "{later:?}");
}

#[tokio::test]
async fn an_old_position_is_gone_on_with_and_learns_which_file_it_is_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    fs::write(&path, ["1", "2"].map(row).concat()).unwrap();
    let source = reader_of(folder.path(), "app.log", false);
    let place = r#"{"file":"app.log","byte":51,"before":0}"#.to_owned();
    let first = read(&source, Some(Position { next: 1, place })).await.unwrap();
    assert_eq!(names(&first.rows), ["2"]);
    fs::write(&path, ["a", "b", "c"].map(row).concat()).unwrap();
    assert!(read(&source, first.end).await.unwrap_err().message.contains("is another file now"));
}

#[tokio::test]
async fn a_file_that_was_renamed_is_gone_on_with_among_those_of_its_new_name() {
    for pattern in ["orders-*.jsonl", "*.jsonl"] {
        for follow in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::write(path("orders.jsonl"), row("1")).unwrap();
            let first = read(&reader_of(folder.path(), "orders.jsonl", false), None).await.unwrap();
            append(&path("orders.jsonl"), &row("2"));
            fs::rename(path("orders.jsonl"), path("orders-1.jsonl")).unwrap();
            // It sorts before the old name, and after the new one.
            fs::write(path("orders-2.jsonl"), row("3")).unwrap();
            let source = reader_of(folder.path(), pattern, follow);
            let second = if follow {
                let mut reader = source.open(0, &from(first.end), false).await.unwrap();
                let mut held = VecDeque::new();
                assert_eq!(names(&next_rows(reader.as_mut(), &mut held, 2).await), ["2", "3"], "{pattern}");
                continue;
            } else {
                read(&source, first.end).await.unwrap()
            };
            assert_eq!((names(&second.rows), second.told), (vec!["2", "3"], Vec::new()), "{pattern}");
            fs::write(path("orders-3.jsonl"), row("4")).unwrap();
            let third = read(&source, second.end).await.unwrap();
            assert_eq!((names(&third.rows), third.told), (vec!["4"], Vec::new()), "{pattern}");
            fs::write(path("orders-0.jsonl"), row("lost")).unwrap();
            let fourth = read(&source, third.end).await.unwrap();
            assert_eq!((fourth.rows.len(), fourth.told.len()), (0, 1), "{pattern}: {fourth:?}");
        }
    }
}

#[tokio::test]
async fn a_followed_file_that_is_renamed_is_gone_on_with_among_those_of_its_new_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("orders.jsonl"), row("1")).unwrap();
    let source = reader_of(folder.path(), "*.jsonl", true);
    let mut reader = source.open(0, &from(None), false).await.unwrap();
    let (reader, mut held) = (reader.as_mut(), VecDeque::new());
    assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["1"]);
    fs::rename(path("orders.jsonl"), path("orders-1.jsonl")).unwrap();
    append(&path("orders-1.jsonl"), &row("2"));
    fs::write(path("orders-2.jsonl"), row("3")).unwrap();
    assert_eq!(names(&next_rows(reader, &mut held, 2).await), ["2", "3"]);
    fs::write(path("orders.jsonl"), row("4")).unwrap();
    assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["4"]);
}

#[tokio::test]
async fn where_it_cannot_be_told_what_is_new_behind_a_new_name_somebody_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = reader_of(folder.path(), "*.jsonl", false);
    fs::write(path("m.jsonl"), row("1")).unwrap();
    let first = read(&source, None).await.unwrap();
    fs::write(path("a.jsonl"), row("lost")).unwrap();
    let second = read(&source, first.end).await.unwrap();
    assert_eq!((second.rows.len(), second.told.len()), (0, 1), "{second:?}");
    fs::rename(path("m.jsonl"), path("b.jsonl")).unwrap();
    fs::write(path("c.jsonl"), row("lost")).unwrap();
    let third = read(&source, second.end).await.unwrap();
    assert_eq!((third.rows.len(), third.told.len()), (0, 1), "{third:?}");
    assert!(third.told[0].contains("a file is not read: a name that sorts before `m.jsonl`"), "{third:?}");
    let fourth = read(&source, third.end).await.unwrap();
    assert_eq!((fourth.rows.len(), fourth.told.len()), (0, 0), "{fourth:?}");
}

/// Renames each file of the log one number up and makes a new one.
pub(super) fn rotated(folder: &Path) {
    let path = |number: usize, ending: &str| folder.join(format!("app.log.{number}{ending}"));
    for number in (1..50).rev() {
        for ending in ["", ".gz"] {
            let _ = fs::rename(path(number, ending), path(number + 1, ending));
        }
    }
    fs::rename(folder.join("app.log"), path(1, "")).unwrap();
    fs::write(folder.join("app.log"), "").unwrap();
}

fn rotate(folder: &Path, new: &str) {
    rotated(folder);
    fs::write(folder.join("app.log"), row(new)).unwrap();
}

#[tokio::test]
async fn a_log_that_was_rotated_more_than_once_is_read_oldest_first_and_the_new_one_last() {
    for (pattern, times) in [("app.log", 2), ("app.log", 3), ("app.log*", 2), ("app.log*", 3), ("*.log", 3)] {
        for compressed in [None, Some(1), Some(times)] {
            let read = after(pattern, |folder| {
                append(&folder.join("app.log"), &row("3"));
                (0..times).for_each(|time| rotate(folder, &(time + 4).to_string()));
                if let Some(number) = compressed {
                    let plain = folder.join(format!("app.log.{number}"));
                    let content = fs::read(&plain).unwrap();
                    fs::write(folder.join(format!("app.log.{number}.gz")), gzip(&content)).unwrap();
                    fs::remove_file(plain).unwrap();
                }
            });
            let read = read.await.unwrap();
            let expected: Vec<_> = (3..times + 4).map(|name| name.to_string()).collect();
            assert_eq!(names(&read.rows), expected, "{pattern} {times} {compressed:?}");
            assert!(read.told.is_empty(), "{pattern} {times} {compressed:?}: {:?}", read.told);
        }
    }
}

#[tokio::test]
async fn from_each_position_between_rotated_files_the_rest_is_read_once() {
    for pattern in ["app.log", "app.log*"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.log"), row("0")).unwrap();
        let source = reader_of(folder.path(), pattern, false);
        let first = read(&source, None).await.unwrap().end;
        (1..4).for_each(|time| rotate(folder.path(), &time.to_string()));
        let mut reader = source.open(0, &from(first), true).await.unwrap();
        let mut ends = Vec::new();
        while let Fetch::Block(block) = reader.next().await.unwrap() {
            ends.push(block.next);
        }
        assert_eq!(ends.len(), 3, "{pattern}");
        // Another rotation before it is gone on with.
        rotate(folder.path(), "4");
        for (at, end) in ends.into_iter().enumerate() {
            let rest = read(&source, Some(end)).await.unwrap();
            let expected: Vec<_> = (at + 2..5).map(|name| name.to_string()).collect();
            assert_eq!((names(&rest.rows).join(" "), rest.told.len()), (expected.join(" "), 0), "{pattern}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_shown_to_follow_a_moved_log_is_an_error_that_names_it() {
    let error = after("app.log", |folder| {
        fs::rename(folder.join("app.log"), folder.join("app.log.old")).unwrap();
        fs::write(folder.join("app.log.1"), row("3")).unwrap();
        // Written later, however coarse the times of the file system are.
        let later =
            fs::metadata(folder.join("app.log.old")).unwrap().modified().unwrap() + Duration::from_secs(1);
        fs::File::options().write(true).open(folder.join("app.log.1")).unwrap().set_modified(later).unwrap();
        fs::write(folder.join("app.log"), row("4")).unwrap();
    });
    let error = error.await.unwrap_err();
    assert_eq!((error.fault, error.retry), (Fault::External, false), "{error}");
    assert!(error.message.contains("was moved to `app.log.old`, and of `app.log.1`"), "{error}");
}

#[tokio::test]
async fn a_followed_log_is_followed_over_quick_rotations() {
    for (pattern, times) in [("app.log", 2), ("app.log", 3), ("app.log*", 2), ("app.log*", 3)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.log"), row("0")).unwrap();
        let source = reader_of(folder.path(), pattern, true);
        let mut reader = source.open(0, &from(None), false).await.unwrap();
        let (reader, mut held) = (reader.as_mut(), VecDeque::new());
        assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["0"]);
        (1..=times).for_each(|time| rotate(folder.path(), &time.to_string()));
        let expected: Vec<_> = (1..=times).map(|name| name.to_string()).collect();
        assert_eq!(names(&next_rows(reader, &mut held, times).await), expected, "{pattern}");
        append(&folder.path().join("app.log"), &row("end"));
        assert_eq!(names(&next_rows(reader, &mut held, 1).await), ["end"], "{pattern} {times}");
    }
}

#[tokio::test]
async fn a_log_that_is_compressed_after_it_was_read_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("app.log"), row("0")).unwrap();
    let source = reader_of(folder.path(), "app.log*", false);
    let first = read(&source, None).await.unwrap();
    rotate(folder.path(), "1");
    let second = read(&source, first.end).await.unwrap();
    fs::write(path("app.log.2.gz"), gzip(row("0").as_bytes())).unwrap();
    fs::remove_file(path("app.log.1")).unwrap();
    rotate(folder.path(), "2");
    let third = read(&source, second.end).await.unwrap();
    assert_eq!((names(&third.rows), third.told), (vec!["2"], Vec::new()));
}
