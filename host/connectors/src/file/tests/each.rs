//! Files that are partitions of their own.

use super::*;
use crate::context::SourceContext;
use serde_json::Value;
use std::collections::BTreeMap;
use weir_connect::FileLayout;
use weir_event::PartitionId;

fn each(folder: &Path, settings: &Value) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let clock: Arc<dyn Clock> = Arc::<Hasty>::default();
    let context = SourceContext {
        layout: FileLayout::Lines,
        project: folder.to_owned(),
        data_dir: PathBuf::new(),
        stream: "test".to_owned(),
        logs: Arc::new(crate::http::IngestLogs::new(Path::new(""), clock.clone(), Arc::new(NoMark))),
        clock,
    };
    source(settings, &context)
}

fn files(folder: &Path) -> Arc<dyn Source> {
    each(folder, &json!({"path": "*.jsonl*", "partitions": "files"})).unwrap()
}

fn write(folder: &Path, name: &str, lines: &[&str]) {
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let bytes = if name.ends_with(".gz") { gzip(text.as_bytes()) } else { text.into_bytes() };
    fs::write(folder.join(name), bytes).unwrap();
}

/// The lines of each partition.
async fn lines(source: &dyn Source, from: &[OpenPartition]) -> BTreeMap<u16, Vec<String>> {
    let (all, _) = compliance::read_all(source, from).await.unwrap();
    let mut lines = BTreeMap::<u16, Vec<String>>::new();
    for (partition, _, line) in all {
        lines.entry(partition).or_default().push(String::from_utf8(line).unwrap());
    }
    lines
}

async fn ends(source: &dyn Source, from: &[OpenPartition]) -> Vec<OpenPartition> {
    let (_, after) = compliance::read_all(source, from).await.unwrap();
    let at = |open: &OpenPartition| {
        let last = after.iter().rev().find(|(partition, _)| *partition == open.partition);
        OpenPartition { from: last.map(|(_, at)| at.clone()).or(open.from.clone()), ..open.clone() }
    };
    from.iter().map(at).collect()
}

#[tokio::test]
async fn each_file_is_a_partition_that_can_be_read_again_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a-10.jsonl", &["1", "2"]);
    write(folder.path(), "a-9.jsonl", &["3"]);
    write(folder.path(), "b[1].jsonl.gz", &["4", "5", "6"]);
    let source = files(folder.path());
    compliance::source_replays(&*source).await.unwrap();
    let begins = source.partitions(&[]).await.unwrap();
    let expected = [(0, vec!["3"]), (1, vec!["1", "2"]), (2, vec!["4", "5", "6"])];
    let expected =
        expected.map(|(partition, lines)| (partition, lines.into_iter().map(str::to_owned).collect()));
    assert_eq!(lines(&*source, &begins).await, expected.into());
    let read = ends(&*source, &begins).await;
    assert_eq!(source.left(&begins, true).await.unwrap().bytes.map(|bytes| bytes > 6), Some(true));
    assert_eq!(source.left(&read, true).await.unwrap().bytes, Some(0));
    let place = source.place(read[2].from.as_ref().unwrap()).unwrap();
    assert!(place.ends_with("b[1].jsonl.gz"), "{place}");

    // One that comes later has the next number, wherever its name sorts; one that is gone has nothing more.
    write(folder.path(), "a-1.jsonl", &["7"]);
    fs::remove_file(folder.path().join("a-9.jsonl")).unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("a-10.jsonl"))
        .unwrap()
        .write_all(b"8\n")
        .unwrap();
    let known = source.partitions(&read).await.unwrap();
    assert_eq!((known.len(), &known[..3]), (4, &read[..]));
    let expected = [(1, vec!["8".to_owned()]), (3, vec!["7".to_owned()])];
    assert_eq!(lines(&*source, &known).await, expected.into());
}

#[tokio::test]
async fn more_files_than_are_open_at_a_time_are_all_read() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..150 {
        write(folder.path(), &format!("{number}.jsonl"), &["1", "2"]);
    }
    let source = files(folder.path());
    let begins = source.partitions(&[]).await.unwrap();
    let read = lines(&*source, &begins).await;
    assert!(read.len() == 150 && read.values().all(|lines| lines.len() == 2));
}

#[tokio::test]
async fn files_that_wait_for_others_make_room_for_them() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..150 {
        write(folder.path(), &format!("{number}.jsonl"), &["1", "2"]);
    }
    let source = files(folder.path());
    let begins = source.partitions(&[]).await.unwrap();
    let id = |partition| PartitionId { source: 0, partition };
    let mut reader = source.open(0, &begins, true).await.unwrap();
    let Fetch::Block(first) = reader.next().await.unwrap() else { panic!("a file begins with its rows") };
    let mut read = BTreeMap::from([(first.partition.partition, compliance::records(&first).len())]);
    (0..100).for_each(|partition| reader.pause(id(partition)));
    for (from, to) in [(100, 150), (0, 100)] {
        (from..to).for_each(|partition| reader.resume(id(partition)));
        let mut open = to - from;
        while open > 0 {
            match reader.next().await.unwrap() {
                Fetch::Block(block) => {
                    let partition = block.partition.partition;
                    assert!((from..to).contains(&partition), "{partition} was to wait");
                    *read.entry(partition).or_default() += compliance::records(&block).len();
                }
                Fetch::CaughtUp(_) => open -= 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(read.len() == 150 && read.values().all(|lines| *lines == 2), "{read:?}");
}

#[tokio::test]
async fn files_that_were_read_may_go_and_those_that_were_read_in_part_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(600_000);
    write(folder.path(), "read.jsonl", &["1"]);
    write(folder.path(), "begun.jsonl", &[&long, &long, &long]);
    write(folder.path(), "unread.jsonl", &["2"]);
    let source = files(folder.path());
    let begins = source.partitions(&[]).await.unwrap();
    let (_, after) = compliance::read_all(&*source, &begins).await.unwrap();
    let place =
        |name: &str| begins.iter().find(|open| open.from.as_ref().unwrap().place.contains(name)).unwrap();
    let of = |name| after.iter().filter(move |(partition, _)| *partition == place(name).partition);
    let at = |name, at: Option<&(u16, Position)>| OpenPartition {
        from: at.map(|(_, position)| position.clone()),
        ..place(name).clone()
    };
    let begun = at("begun", of("begun").next());
    let read = at("read.jsonl", of("read.jsonl").next_back());
    for name in ["read.jsonl", "begun.jsonl", "unread.jsonl"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let gone = [read, place("unread").clone()];
    assert!(lines(&*source, &gone).await.is_empty());
    let error = source.open(0, &[begun], true).await.err().unwrap();
    assert!(error.message.contains("begun.jsonl` was read in part and is gone"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (settings, said) in [
        (json!({"path": "*", "partitions": "each"}), "`each` is neither one nor files"),
        (json!({"path": "*", "partitions": "files", "follow": true}), "does not go with `follow`"),
    ] {
        let errors = each(folder.path(), &settings).unwrap_err();
        assert!(errors[0].to_string().contains(said), "{errors:?}");
    }
    let error = files(folder.path()).partitions(&[]).await.unwrap_err();
    assert!(error.message.contains("no file matches"), "{error}");
    write(folder.path(), "a.jsonl", &["1"]);
    let one = each(folder.path(), &json!({"path": "*.jsonl"})).unwrap();
    let read = ends(&*one, &one.partitions(&[]).await.unwrap()).await;
    let error = files(folder.path()).partitions(&read).await.unwrap_err();
    assert!(error.message.contains("the job has read the files as one partition"), "{error}");
}
