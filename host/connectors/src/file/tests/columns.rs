//! The file sink as files of columns and in folders by partition: what readers see, and what a crash at any step leaves.

use super::{json_lines, settings_of};
use crate::context::{SinkContext, SourceContext};
use crate::file::{FileContent, FileSink, FileSinkSettings, Partitioning};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::sink::RowMeta;
use weir_connect::{FileLayout, NoMark, Op, RowIdentity, RowShape, Sink, SinkRows, compliance};
use weir_event::{EventTime, ManualClock, Span};
use weir_format::parquet::Compression;

const HOUR: i64 = 3_600_000;
const COLUMNS: FileContent = FileContent::Parquet { compression: Compression::Zstd, meta: false };

/// Rows of windows that end at these hours.
fn rows(numbers: &[i64], ends: &[i64]) -> SinkRows {
    let n: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let words = numbers.iter().map(|n| (n % 3 != 0).then(|| format!("w/{n}")));
    let word: ArrayRef = Arc::new(words.collect::<StringArray>());
    let windows = ends.iter().map(|end| ((end - 1) * HOUR, end * HOUR)).collect();
    let columns = RecordBatch::try_from_iter([("n", n), ("word", word)]).unwrap();
    SinkRows { columns, meta: RowMeta { windows, ..RowMeta::default() } }
}

fn partitioning(templates: &[&str]) -> Partitioning {
    Partitioning::parse(&templates.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn sink(folder: &Path, settings: impl FnOnce(&mut FileSinkSettings), clock: &Arc<ManualClock>) -> FileSink {
    let mut made = settings_of(folder, COLUMNS);
    settings(&mut made);
    FileSink::new("activity", made, clock.clone())
}

/// The numbers in each finished file, by its name below the folder.
fn finished(folder: &Path) -> BTreeMap<String, Vec<i64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "parquet") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, numbers(&path));
            }
        }
    }
    found
}

fn numbers(path: &Path) -> Vec<i64> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches = reader.map(|batch| batch.unwrap());
    batches.flat_map(|batch| batch["n"].as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn all(folder: &Path) -> Vec<i64> {
    let mut all: Vec<i64> = finished(folder).into_values().flatten().collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn files_of_columns_keep_the_promise() {
    let clock = Arc::new(ManualClock::default());
    for templates in [&[][..], &["dt=%Y-%m-%d", "hour=%H"]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let make = || {
            let partition = partitioning(templates);
            Box::new(sink(&path, |settings| settings.partition = partition, &clock)) as Box<dyn Sink>
        };
        let rows = rows(&[1, 2, 3], &[1, 2, 25]);
        compliance::sink_keeps_its_promise(&make, &rows, &|| all(&path).len()).await.unwrap();
        // Nothing that is not hidden stands beside finished files.
        let is_hidden =
            |name: &str| name.starts_with('.') || name.contains('=') || name.ends_with(".parquet");
        for entry in fs::read_dir(&path).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(is_hidden(name.to_str().unwrap()), "{name:?}");
        }
    }
}

#[tokio::test]
async fn rows_lie_where_hive_looks_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let partition = partitioning(&["dt=%Y-%m-%d", "hour=%H", "word={word}"]);
    let mut sink = sink(folder.path(), |settings| settings.partition = partition, &Arc::default());
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1, 2, 3, 4], &[7, 7, 31, -1])).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    sink.commit(&token).await.unwrap();
    let files = finished(folder.path());
    let names: Vec<_> = files.keys().map(|name| name.rsplit_once('/').unwrap().0).collect();
    assert_eq!(
        names,
        [
            "dt=1969-12-31/hour=23/word=w%2F4",
            "dt=1970-01-01/hour=07/word=w%2F1",
            "dt=1970-01-01/hour=07/word=w%2F2",
            "dt=1970-01-02/hour=07/word=__HIVE_DEFAULT_PARTITION__",
        ]
    );
    let path = folder.path().join(files.keys().next().unwrap());
    let schema =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().schema().clone();
    assert_eq!(schema.fields().len(), 1, "the column is in the folder's name");
}

#[tokio::test]
async fn rows_that_wait_for_a_later_checkpoint_survive_a_crash_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
    let open = || {
        let roll = Some(Span::from_millis(1000));
        sink(folder.path(), |settings| settings.roll = roll, &clock)
    };
    let mut first = open();
    first.start(None).await.unwrap();
    first.write(&rows(&[1], &[1])).await.unwrap();
    let waiting = first.prepare(1).await.unwrap();
    first.commit(&waiting).await.unwrap();
    assert_eq!(all(folder.path()), [0; 0]);
    // A crash behind the making of the file, whose checkpoint never became safe.
    first.write(&rows(&[99], &[1])).await.unwrap();
    clock.advance(Duration::from_secs(1));
    first.prepare(2).await.unwrap();
    drop(first);
    for _ in 0..2 {
        let mut again = open();
        again.start(Some(&waiting)).await.unwrap();
        assert_eq!(all(folder.path()), [0; 0], "a file that no safe checkpoint names is not visible");
    }
    let mut second = open();
    second.start(Some(&waiting)).await.unwrap();
    second.write(&rows(&[2], &[1])).await.unwrap();
    let done = second.prepare(2).await.unwrap();
    drop(second);
    // The checkpoint is safe, and nobody was there to make it visible; then it is made so again and again.
    for _ in 0..2 {
        let mut third = open();
        third.start(Some(&done)).await.unwrap();
        third.commit(&done).await.unwrap();
        assert_eq!(all(folder.path()), [1, 2]);
    }
    let left: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "what files were made of is gone, and the lock stays: {left:?}");
}

#[tokio::test]
async fn rows_that_wait_are_found_where_partitions_came_or_went_since() {
    for (before, after) in [(&[][..], &["dt=%Y-%m-%d"][..]), (&["dt=%Y-%m-%d"], &[])] {
        let folder = tempfile::tempdir().unwrap();
        let open = |templates| {
            let (content, partition) = (json_lines(), partitioning(templates));
            let roll = Some(Span::from_millis(1000));
            let settings = FileSinkSettings { partition, roll, ..settings_of(folder.path(), content) };
            FileSink::new("activity", settings, Arc::new(ManualClock::default()))
        };
        let mut first = open(before);
        first.start(None).await.unwrap();
        first.write(&rows(&[1], &[1])).await.unwrap();
        let waiting = first.prepare(1).await.unwrap();
        drop(first);
        let mut second = open(after);
        second.start(Some(&waiting)).await.unwrap();
        let last = second.prepare_last(2).await.unwrap();
        second.commit(&last).await.unwrap();
        let below = folder.path().join(before.first().map_or("", |_| "dt=1970-01-01"));
        let name = "activity-000000000001.jsonl";
        assert!(fs::read_to_string(below.join(name)).unwrap().contains("\"n\":1"));
    }
}

#[tokio::test]
async fn a_row_whose_folder_cannot_be_made_is_set_aside_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let partition = partitioning(&["word={word}"]);
    let mut sink = sink(folder.path(), |settings| settings.partition = partition, &Arc::default());
    sink.start(None).await.unwrap();
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let word: ArrayRef = Arc::new(StringArray::from(vec!["a".to_owned(), "x".repeat(300), "a".to_owned()]));
    let columns = RecordBatch::try_from_iter([("n", n), ("word", word)]).unwrap();
    sink.write(&SinkRows { columns, meta: RowMeta::default() }).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    sink.commit(&token).await.unwrap();
    assert_eq!((all(folder.path()), sink.counts().refused), (vec![1, 3], 1));
    let aside = fs::read_to_string(folder.path().join("refused/activity/file/refused.jsonl")).unwrap();
    assert!(
        aside.contains("its folder's name would be of 305 bytes") && aside.contains("\"n\":2"),
        "{aside}"
    );
}

#[tokio::test]
async fn a_file_ends_at_its_target_size_and_where_the_query_was_edited() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let open = |target_bytes| {
        sink(
            folder.path(),
            |settings| {
                (settings.target_bytes, settings.roll) = (target_bytes, Some(Span::from_millis(1_000_000)))
            },
            &clock,
        )
    };
    let mut small = open(Some(20_000));
    small.start(None).await.unwrap();
    // The last of them is behind the end of a file, and waits for more.
    for n in 0..201 {
        let numbers: Vec<i64> = (0..100).map(|at| (100 * n + at) * 7919 % 1_000_003).collect();
        small.write(&rows(&numbers, &[1; 100])).await.unwrap();
    }
    let token = small.prepare(1).await.unwrap();
    small.commit(&token).await.unwrap();
    let before = finished(folder.path()).len();
    assert!(before > 1, "{before} files");
    drop(small);
    let mut edited = open(None);
    edited.start(Some(&token)).await.unwrap();
    let mut other = rows(&[7], &[1]);
    other.columns = other.columns.project(&[0]).unwrap();
    edited.write(&other).await.unwrap();
    let token = edited.prepare(2).await.unwrap();
    edited.commit(&token).await.unwrap();
    assert_eq!(finished(folder.path()).len(), before + 1, "what was there before the edit is whole");
    clock.advance(Duration::from_secs(1000));
    let token = edited.prepare(3).await.unwrap();
    edited.commit(&token).await.unwrap();
    assert_eq!(all(folder.path()).len(), 20_101);
}

#[tokio::test]
async fn rows_that_delete_are_not_written_by_who_cannot_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let partition = partitioning(&["hour=%H"]);
    let mut sink = sink(folder.path(), |settings| settings.partition = partition, &Arc::default());
    assert!(sink.wants_meta());
    sink.start(None).await.unwrap();
    let mut deleted = rows(&[1], &[1]);
    deleted.meta.op = Op::Delete;
    sink.write(&deleted).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    sink.commit(&token).await.unwrap();
    assert_eq!(all(folder.path()), [0; 0]);
}

#[tokio::test]
async fn rows_without_a_time_or_without_the_column_are_the_definitions_fault() {
    let folder = tempfile::tempdir().unwrap();
    for (template, says) in [("dt=%Y", "an aggregate over all time"), ("c={wrd}", "did you mean `word`?")] {
        let partition = partitioning(&[template]);
        let mut sink = sink(folder.path(), |settings| settings.partition = partition, &Arc::default());
        sink.start(None).await.unwrap();
        let error = sink.write(&rows(&[1], &[])).await.unwrap_err();
        assert!(!error.retry && error.message.contains(says), "{error}");
    }
}

#[test]
fn templates_are_checked_together() {
    let errors = |templates: &[&str]| {
        Partitioning::parse(&templates.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap_err()
    };
    let said = errors(&["dt", "h=%k", "x=", "a/b=1", "c={d", "e=%"]);
    let parts =
        ["not a partition", "%k", "no value", "cannot be the name", "without a column", "ends in `%`"];
    assert_eq!(said.len(), parts.len());
    for (said, part) in said.iter().zip(parts) {
        assert!(said.contains(part), "{said}");
    }
    assert!(errors(&["a=1", "a=%H"])[0].contains("twice"));
}

#[tokio::test]
async fn records_go_into_partitions_too() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileSinkSettings {
        partition: partitioning(&["word={word}"]),
        ..settings_of(folder.path(), super::json_lines())
    };
    let mut sink = FileSink::new("activity", settings, Arc::new(ManualClock::default()));
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1, 2, 4, 1], &[])).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    sink.commit(&token).await.unwrap();
    let written = fs::read_to_string(folder.path().join("word=w%2F1/activity-000000000001.jsonl")).unwrap();
    assert_eq!(written, "{\"n\":1}\n{\"n\":1}\n");
}

fn context(shape: Option<Arc<RowShape>>) -> SinkContext {
    SinkContext {
        project: PathBuf::from("/project"),
        data_dir: PathBuf::from("/project/.weir"),
        job: "activity".to_owned(),
        sink: "file".to_owned(),
        shape,
        refused_bytes: 0,
        clock: Arc::new(ManualClock::default()),
        began: weir_event::EventTime::from_millis(0),
        mark: Arc::new(NoMark),
    }
}

#[test]
fn settings_of_columns_partitions_and_stores_are_checked_before_anything_runs() {
    let shape = RowShape {
        job: "activity".into(),
        columns: rows(&[], &[]).columns.schema(),
        keys: Arc::new(Schema::empty()),
        key_columns: Vec::new(),
        identity: RowIdentity::Key,
        deletes: false,
    };
    let shape = Some(Arc::new(shape));
    for (settings, shape, expected) in [
        (json!({"compression": "zstd"}), None, vec!["compression: is for `format: parquet`"]),
        (
            json!({"format": "parquet", "compression": "lzo"}),
            None,
            vec!["compression: `lzo` is not a compression"],
        ),
        (json!({"options": {"aws_region": "x"}}), None, vec!["options: are of an object store"]),
        (
            json!({"path": "s3://b/x", "options": {"aws_regoin": "x"}}),
            None,
            vec!["options: `aws_regoin` is not"],
        ),
        (json!({"target_size": "1MB"}), None, vec!["target_size: `1MB` is not a size"]),
        (
            json!({"partition": ["dt=%Y", "w={wrd}"]}),
            shape,
            vec![
                "partition: `{wrd}`: unknown column; did you mean `word`?",
                "partition: the rows have no time",
            ],
        ),
    ] {
        let mut settings = settings;
        let path = settings["path"].as_str().unwrap_or("out").to_owned();
        settings["path"] = path.into();
        let said: Vec<_> = super::sink(&settings, &context(shape)).err().unwrap();
        assert_eq!(said.len(), expected.len(), "{settings}: {said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.to_string().starts_with(expected), "{said}");
        }
    }
    let stored = json!({"path": "s3://bucket/out/", "format": "parquet", "partition": ["dt=%Y-%m-%d"]});
    let sink = super::sink(&stored, &context(None)).unwrap();
    assert_eq!(sink.place(), "s3://bucket/out/activity-*.parquet");
    assert_eq!((sink.own_place(), sink.mark()), (Some(sink.place()), None));
}

#[test]
fn a_source_says_which_files_its_format_cannot_be() {
    let said = |path: &str, layout: FileLayout| {
        let context = SourceContext { layout, ..crate::registry::tests::source_context() };
        super::source(&json!({"path": path}), &context).err().map(|errors| errors[0].to_string())
    };
    assert!(said("in/*.parquet", FileLayout::Lines).unwrap().contains("add `format: parquet`"));
    assert!(said("s3://b/in/*", FileLayout::None).unwrap().contains("no form in files"));
    assert!(said("s4://b/in/*", FileLayout::Lines).unwrap().contains("is not an object store"));
    for path in ["in/*.parquet", "s3://b/in/dt=*/*.parquet"] {
        assert_eq!(said(path, FileLayout::Columns), None);
    }
    assert_eq!(said("s3://b/in/*.avro", FileLayout::AvroContainer), None);
}
