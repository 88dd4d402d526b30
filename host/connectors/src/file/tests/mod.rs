//! The file source and sink against real folders: resuming, following, what is refused.

mod claims;
mod columns;
mod csv;
mod each;
mod objects;
mod reuse;
mod rotation;

use super::*;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use weir_connect::compliance::{self, records};
use weir_connect::sink::RowMeta;
use weir_connect::{
    ConnectError, Fetch, Left, NoMark, OpenPartition, RawBlock, Reader, SinkRows, Source, StateMark,
};
use weir_event::{Clock, EventTime, Fault, ManualClock, Position, Sleep};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn reader_of(folder: &Path, pattern: &str, follow: bool) -> FileSource {
    looking_by(&Arc::default(), folder, pattern, follow)
}

fn looking_by(clock: &Arc<Hasty>, folder: &Path, pattern: &str, follow: bool) -> FileSource {
    let settings = FileSourceSettings { follow, ..FileSourceSettings::new(folder, pattern) };
    FileSource::new(settings, clock.clone())
}

/// A clock on which the time that somebody waits for has come at once: files are looked at again and again without
/// anybody waiting for the wall.
#[derive(Debug, Default)]
struct Hasty {
    clock: ManualClock,
    waits: watch::Sender<usize>,
}

/// Whoever waits so often waits for what never comes.
const MANY_WAITS: usize = 50_000;

impl Clock for Hasty {
    fn now(&self) -> EventTime {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        self.waits.send_modify(|waits| *waits += 1);
        assert!(*self.waits.borrow() < MANY_WAITS, "what is waited for does not come");
        self.clock.advance(span);
        self.clock.sleep(Duration::ZERO)
    }
}

impl Hasty {
    /// Returns when somebody has waited once more from beginning to end.
    async fn waited_for(&self) {
        let mut waits = self.waits.subscribe();
        let before = *waits.borrow_and_update();
        waits.wait_for(|waits| *waits > before + 1).await.unwrap();
    }
}

fn from(position: Option<Position>) -> [OpenPartition; 1] {
    [OpenPartition { partition: 0, from: position }]
}

async fn lines_of(source: &FileSource, position: Option<Position>) -> Result<Vec<String>, ConnectError> {
    let (all, _) = compliance::read_all(source, &from(position)).await?;
    Ok(all.into_iter().map(|(_, _, line)| String::from_utf8(line).unwrap()).collect())
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

async fn next_block(reader: &mut dyn Reader) -> RawBlock {
    loop {
        match reader.next().await.unwrap() {
            Fetch::Block(block) => return block,
            Fetch::CaughtUp(_) | Fetch::Ended(_) | Fetch::Watermark(..) | Fetch::Appeared(..) => {}
        }
    }
}

fn texts(block: &RawBlock) -> Vec<(u64, String)> {
    let all = records(block).into_iter();
    all.map(|(_, offset, line)| (offset, String::from_utf8(line).unwrap())).collect()
}

#[test]
fn a_sink_has_its_folder_to_itself_however_the_path_is_written() {
    let place = |job: &str, path: &str, meta: bool| {
        let context = SinkContext {
            project: PathBuf::from("/project"),
            data_dir: PathBuf::from("/project/.weir"),
            job: job.to_owned(),
            sink: "file".to_owned(),
            shape: None,
            refused_bytes: 0,
            clock: std::sync::Arc::new(ManualClock::at(EventTime::from_millis(0))),
            began: EventTime::from_millis(0),
            mark: std::sync::Arc::new(NoMark),
        };
        sink(&json!({"path": path, "meta": meta}), &context).unwrap().own_place()
    };
    let own = place("a", "out/x", false);
    assert_eq!(own.as_deref(), Some("/project/out/x/a-*.jsonl"));
    for path in [
        "out/x/",
        "./out/../out/x",
        "out/./y/../x",
        "/project/out/x",
        "../project/out/x",
        "/../project/out/x",
    ] {
        assert_eq!(place("a", path, true), own, "{path}");
    }
    assert_ne!(place("a", "out/y", false), own);
    assert_ne!(place("b", "out/x", false), own);
}

#[tokio::test]
async fn the_source_replays_from_each_of_its_positions() {
    // Brackets in the folder's own name are no part of the glob.
    let folder = tempfile::Builder::new().suffix("[1]").tempdir().unwrap();
    let long: Vec<String> =
        (0..40_000).map(|line| format!("{{\"line\": {line}, \"text\": \"xxxxxxxxxxxx\"}}")).collect();
    fs::write(folder.path().join("b.jsonl.gz"), [gzip(b"{}\n\n"), gzip(long.join("\n").as_bytes())].concat())
        .unwrap();
    fs::write(folder.path().join("a.jsonl"), "1\r\n2\n\n3").unwrap();
    fs::write(folder.path().join("c.jsonl"), long.join("\n")).unwrap();
    fs::write(folder.path().join("d.jsonl"), "").unwrap();
    let source = reader_of(folder.path(), "*.jsonl*", false);
    compliance::source_replays(&source).await.unwrap();
    let (all, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
    assert_eq!(all.len(), 3 + 1 + 80_000);
    assert!(positions.len() > 4, "the files make several blocks");
    assert_eq!((all[2].1, &all[2].2[..]), (3, &b"3"[..]));
}

#[tokio::test]
async fn a_path_that_means_no_file_is_the_users_fault() {
    let folder = tempfile::tempdir().unwrap();
    for (pattern, follow) in [("none.jsonl", true), ("none.jsonl", false), ("*.jsonl", false)] {
        let error = reader_of(folder.path(), pattern, follow).partitions(&[]).await.unwrap_err();
        assert_eq!((error.fault, error.retry), (Fault::User, false));
        assert!(error.message.contains(pattern), "{error}");
    }
    assert_eq!(reader_of(folder.path(), "*.jsonl", true).partitions(&[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let huge = "x".repeat(20 << 20);
    fs::write(folder.path().join("a.jsonl"), format!("1\n{huge}\n2\n")).unwrap();
    let mut reader = reader_of(folder.path(), "a.jsonl", false).open(0, &from(None), true).await.unwrap();
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    while let Fetch::Block(block) = reader.next().await.unwrap() {
        kept.extend(texts(&block));
        refused.extend(block.refused);
    }
    assert_eq!(kept, [(0, "1".to_owned()), (2, "2".to_owned())]);
    assert_eq!((refused.len(), refused[0].offset, refused[0].payload.len()), (1, 1, 1024));
    assert!(refused[0].reason.starts_with("the line is 20971521 bytes long"), "{}", refused[0].reason);
}

#[tokio::test]
async fn what_is_gone_or_shorter_on_resume_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    for (name, data) in [("a.jsonl", b"1\n2\n".to_vec()), ("a.jsonl.gz", gzip(b"1\n2\n"))] {
        let path = folder.path().join(name);
        fs::write(&path, data).unwrap();
        let source = reader_of(folder.path(), name, false);
        let (_, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
        let end = positions.last().unwrap().1.clone();
        assert_eq!(lines_of(&source, Some(end.clone())).await.unwrap(), [""; 0]);
        fs::write(&path, if name.ends_with("gz") { gzip(b"1\n") } else { b"1\n".to_vec() }).unwrap();
        let error = lines_of(&source, Some(end)).await.unwrap_err();
        let what = if name.ends_with("gz") { "is another file now" } else { "is shorter now" };
        assert!(error.message.contains(what), "{error}");
    }
    append(&folder.path().join("b.jsonl"), "3\n");
    let source = reader_of(folder.path(), "*.jsonl", false);
    let (_, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
    fs::remove_file(&path).unwrap();
    let error = lines_of(&source, Some(positions[0].1.clone())).await.unwrap_err();
    assert!(error.message.contains("is gone"), "{error}");
}

#[tokio::test]
async fn a_last_line_without_an_end_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "1\n2").unwrap();
    let source = reader_of(folder.path(), "a.jsonl", false);
    let (all, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
    assert_eq!(all.len(), 2);
    let end = positions.last().unwrap().1.clone();
    append(&path, "\n3\n");
    assert_eq!(lines_of(&source, Some(end.clone())).await.unwrap(), ["3"]);
    fs::write(&path, "1\n2 and more\n").unwrap();
    let error = lines_of(&source, Some(end)).await.unwrap_err();
    assert!(error.message.contains("goes on now"), "{error}");
}

#[tokio::test]
async fn a_bounded_read_ends_where_the_file_ended_when_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    // More than is read ahead, so that the reader stands still while the file grows.
    let line = format!("{}\n", "x".repeat((1 << 20) - 1));
    fs::write(&path, line.repeat(8)).unwrap();
    let mut reader = reader_of(folder.path(), "a.jsonl", true).open(0, &from(None), true).await.unwrap();
    append(&path, "added\n");
    let mut count = 0;
    while let Fetch::Block(block) = reader.next().await.unwrap() {
        count += records(&block).len();
    }
    assert_eq!(count, 8);
}

#[tokio::test]
async fn what_is_added_is_followed_and_only_whole_lines_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.jsonl");
    let source = reader_of(folder.path(), "*.jsonl*", true);
    let mut reader = source.open(0, &from(None), false).await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Fetch::CaughtUp(_)), "an empty folder is read to its end");
    append(&path, "1\n2");
    let block = next_block(reader.as_mut()).await;
    assert_eq!(texts(&block), [(0, "1".to_owned())]);
    append(&path, "2\n");
    assert_eq!(texts(&next_block(reader.as_mut()).await), [(1, "22".to_owned())]);
    append(&path, "3");
    append(&folder.path().join("a.jsonl"), "sorts before, is not read\n");
    fs::write(folder.path().join("c.jsonl.gz"), &gzip(b"4\n")[..12]).unwrap();
    let late = next_block(reader.as_mut()).await;
    assert_eq!((texts(&late), late.refused.len(), late.refused[0].offset), (Vec::new(), 1, 2));
    assert_eq!(texts(&next_block(reader.as_mut()).await), [(2, "3".to_owned())]);
    fs::write(folder.path().join("c.jsonl.gz"), gzip(b"4\n")).unwrap();
    let last = next_block(reader.as_mut()).await;
    assert_eq!(texts(&last), [(3, "4".to_owned())]);
    drop(reader);
    let mut resumed = source.open(0, &from(Some(block.next)), false).await.unwrap();
    assert_eq!(next_block(resumed.as_mut()).await.refused.len(), 1);
    assert_eq!(texts(&next_block(resumed.as_mut()).await), [(1, "22".to_owned())]);
    assert_eq!(texts(&next_block(resumed.as_mut()).await), [(2, "3".to_owned())]);
}

fn rows(values: &[i64]) -> SinkRows {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    SinkRows { columns: RecordBatch::try_from_iter([("n", column)]).unwrap(), meta: RowMeta::default() }
}

fn finished(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn contents(folder: &Path) -> Vec<String> {
    finished(folder)
        .into_iter()
        .map(|(_, content)| content.replace("{\"n\":", "").replace("}\n", " "))
        .collect()
}

fn sink_into(folder: &Path, roll: Option<Span>, clock: &Arc<ManualClock>) -> Box<dyn Sink> {
    let clock: Arc<dyn Clock> = clock.clone();
    let settings = FileSinkSettings { roll, ..settings_of(folder, json_lines()) };
    Box::new(FileSink::new("activity", settings, clock))
}

fn json_lines() -> FileContent {
    content_of("jsonl")
}

/// Records of a format.
fn content_of(format: &str) -> FileContent {
    let around = ProjectSurroundings::new(Path::new("/"), Arc::new(ManualClock::default()));
    let writing = Writing { meta: false, in_files: true, subject: "", around: &around };
    let format = sink_format(&format.into(), &writing).unwrap();
    FileContent::Records(format.encoder, format.ending)
}

/// All settings but folder and content at their defaults.
fn settings_of(folder: &Path, content: FileContent) -> FileSinkSettings {
    FileSinkSettings {
        folder: folder.to_path_buf(),
        objects: None,
        place: folder.to_path_buf(),
        content,
        meta: false,
        partition: Partitioning::default(),
        refused: RefusedRows::new(folder, "activity", "file", 1 << 20),
        roll: None,
        target_bytes: None,
        mark: Arc::new(NoMark),
    }
}

/// Notes at each mark how many files were finished by then.
#[derive(Debug, Default)]
struct Marks(std::sync::Mutex<Vec<(PathBuf, usize)>>);

impl StateMark for Marks {
    fn leave(&self, at: &Path) -> std::io::Result<()> {
        let done = finished(at.parent().unwrap()).len();
        self.0.lock().unwrap().push((at.to_owned(), done));
        Ok(())
    }
}

#[tokio::test]
async fn the_state_leaves_its_mark_before_each_file_is_finished_and_at_no_other_time() {
    let folder = tempfile::tempdir().unwrap();
    let (path, marks) = (folder.path().join("out"), Arc::new(Marks::default()));
    let settings = FileSinkSettings { mark: marks.clone(), ..settings_of(&path, json_lines()) };
    let mut sink = FileSink::new("activity", settings, Arc::new(ManualClock::default()));
    sink.start(None).await.unwrap();
    for epoch in 0..4 {
        if epoch % 2 == 1 {
            sink.write(&rows(&[epoch as i64])).await.unwrap();
        }
        let token = sink.prepare(epoch).await.unwrap();
        sink.commit(&token).await.unwrap();
    }
    let at = path.join(".activity.state");
    assert_eq!(sink.mark(), Some(at.clone()));
    assert_eq!(*marks.0.lock().unwrap(), [(at.clone(), 0), (at, 1)]);
}

#[tokio::test]
async fn the_sink_keeps_its_promise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out/activity");
    let clock = Arc::new(ManualClock::default());
    let visible = || finished(&path).iter().map(|(_, content)| content.lines().count()).sum();
    compliance::sink_keeps_its_promise(&|| sink_into(&path, None, &clock), &rows(&[1, 2, 3]), &visible)
        .await
        .unwrap();
    assert!(finished(&path).iter().all(|(_, content)| !content.is_empty()));
}

#[tokio::test]
async fn no_rows_make_no_file_and_numbers_go_on_after_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    for round in 0..2 {
        let mut sink = sink_into(folder.path(), None, &clock);
        sink.start(None).await.unwrap();
        let token = sink.prepare(1).await.unwrap();
        sink.commit(&token).await.unwrap();
        sink.write(&rows(&[])).await.unwrap();
        sink.write(&rows(&[round])).await.unwrap();
        let token = sink.prepare(2).await.unwrap();
        sink.commit(&token).await.unwrap();
    }
    assert_eq!(contents(folder.path()), ["0 ", "1 "]);
}

#[tokio::test]
async fn a_checkpoint_that_was_never_safe_travels_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let mut sink = sink_into(folder.path(), None, &clock);
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1])).await.unwrap();
    sink.prepare(1).await.unwrap();
    sink.write(&rows(&[2])).await.unwrap();
    let second = sink.prepare(2).await.unwrap();
    drop(sink);
    let mut sink = sink_into(folder.path(), None, &clock);
    sink.start(Some(&second)).await.unwrap();
    assert_eq!(contents(folder.path()), ["1 ", "2 "]);
}

#[tokio::test]
async fn another_jobs_unfinished_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["activity-000000000001.jsonl.tmp", "other-000000000001.jsonl.tmp", "activity-notes.txt"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let mut sink = sink_into(folder.path(), None, &Arc::new(ManualClock::default()));
    sink.start(None).await.unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".activity.jsonl.lock", "activity-notes.txt", "other-000000000001.jsonl.tmp"]);
}

#[tokio::test]
async fn a_rolled_file_collects_checkpoints_and_is_cut_back_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
    let roll = Some(Span::from_millis(1000));
    let mut sink = sink_into(folder.path(), roll, &clock);
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1])).await.unwrap();
    let first = sink.prepare(1).await.unwrap();
    sink.commit(&first).await.unwrap();
    sink.write(&rows(&[99])).await.unwrap();
    sink.prepare(2).await.unwrap();
    drop(sink);
    assert_eq!(contents(folder.path()), [""; 0]);

    let mut sink = sink_into(folder.path(), roll, &clock);
    sink.start(Some(&first)).await.unwrap();
    sink.write(&rows(&[2])).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let second = sink.prepare(2).await.unwrap();
    assert_eq!(contents(folder.path()), [""; 0]);
    sink.commit(&second).await.unwrap();
    assert_eq!(contents(folder.path()), ["1 2 "]);
    sink.write(&rows(&[3])).await.unwrap();
    let third = sink.prepare(3).await.unwrap();
    drop(sink);
    fs::remove_file(folder.path().join("activity-000000000002.jsonl.tmp")).unwrap();
    let error = sink_into(folder.path(), roll, &clock).start(Some(&third)).await.unwrap_err();
    assert!(error.message.contains("is gone"), "{error}");
}

#[tokio::test]
async fn a_stop_finishes_a_file_that_would_collect_more() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
    let mut sink = sink_into(folder.path(), Some(Span::from_millis(1000)), &clock);
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1])).await.unwrap();
    let last = sink.prepare_last(1).await.unwrap();
    assert_eq!(contents(folder.path()), [""; 0]);
    sink.commit(&last).await.unwrap();
    assert_eq!(contents(folder.path()), ["1 "]);
}

#[tokio::test]
async fn a_file_whose_folder_was_moved_away_is_not_taken_for_a_finished_one() {
    let folder = tempfile::tempdir().unwrap();
    let (out, away) = (folder.path().join("out"), folder.path().join("away"));
    for is_prepared in [false, true] {
        let mut sink = sink_into(&out, None, &Arc::new(ManualClock::default()));
        sink.start(None).await.unwrap();
        sink.write(&rows(&[1])).await.unwrap();
        let token = if is_prepared { Some(sink.prepare(1).await.unwrap()) } else { None };
        fs::rename(&out, &away).unwrap();
        fs::create_dir(&out).unwrap();
        let error = match token {
            Some(token) => sink.commit(&token).await.unwrap_err(),
            None => sink.prepare(1).await.unwrap_err(),
        };
        assert!(error.retry, "{error}");
        fs::remove_dir_all(&away).unwrap();
    }
}

#[tokio::test]
async fn a_path_that_is_no_folder_is_the_users_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "x").unwrap();
    let error = sink_into(&path, None, &Arc::new(ManualClock::default())).start(None).await.unwrap_err();
    assert_eq!(error.fault, Fault::User);
    // No name of a file is as long as this.
    let path = folder.path().join("x".repeat(300));
    let error = sink_into(&path, None, &Arc::new(ManualClock::default())).start(None).await.unwrap_err();
    assert_eq!((error.fault, error.retry), (Fault::User, false), "{error}");
}

#[test]
fn settings_are_checked_together() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let context = SinkContext {
        project: PathBuf::from("/project"),
        data_dir: PathBuf::from("/project/.weir"),
        job: "activity".to_owned(),
        sink: "file".to_owned(),
        shape: None,
        refused_bytes: 0,
        clock,
        began: EventTime::from_millis(0),
        mark: Arc::new(NoMark),
    };
    let errors = sink(&json!({"format": "orc", "roll": "0s", "metta": true}), &context).err().unwrap();
    let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(keys, ["path", "format", "roll", "metta"]);
    let errors = sink(&json!({"path": "out/a\u{0}b"}), &context).err().unwrap();
    assert!(errors[0].key == "path" && errors[0].message.contains("NUL"), "{errors:?}");
    assert!(sink(&json!({"path": "out", "format": "jsonl", "meta": true, "roll": "1h"}), &context).is_ok());

    let context = crate::registry::tests::source_context();
    let source = source(&json!({"path": "data/*.jsonl", "follow": true}), &context).unwrap();
    assert!(source.grows() && format!("{source:?}").contains("data/*.jsonl"));
}

#[tokio::test]
async fn what_is_left_is_the_bytes_behind_a_position() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.jsonl"), "1\n2\n").unwrap();
    fs::write(folder.path().join("b.jsonl"), "345\n").unwrap();
    let source = reader_of(folder.path(), "*.jsonl", false);
    let bytes = |left: Left| left.bytes;
    assert_eq!(bytes(source.left(&from(None), false).await.unwrap()), Some(8));
    let (_, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
    let end = positions.last().unwrap().1.clone();
    assert_eq!(bytes(source.left(&from(Some(end.clone())), false).await.unwrap()), Some(0));
    append(&folder.path().join("b.jsonl"), "67\n");
    assert_eq!(bytes(source.left(&from(Some(end)), false).await.unwrap()), Some(3));
    let packed = gzip(b"8\n");
    fs::write(folder.path().join("c.jsonl.gz"), &packed).unwrap();
    let source = reader_of(folder.path(), "*.gz", false);
    assert_eq!(bytes(source.left(&from(None), false).await.unwrap()), Some(packed.len() as u64));
    let (_, positions) = compliance::read_all(&source, &from(None)).await.unwrap();
    let end = positions.last().unwrap().1.clone();
    assert_eq!(source.left(&from(Some(end)), false).await.unwrap(), Left::default());
}

#[tokio::test]
async fn a_folder_that_was_away_keeps_what_no_later_checkpoint_knows_of() {
    let root = tempfile::tempdir().unwrap();
    let (path, away) = (root.path().join("out"), root.path().join("away"));
    let clock = Arc::new(ManualClock::default());
    let mut sink = sink_into(&path, None, &clock);
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1])).await.unwrap();
    let first = sink.prepare(1).await.unwrap();
    sink.write(&rows(&[2, 3])).await.unwrap();
    drop(sink);

    // The checkpoint is safe; its disk is away when its file is to be shown.
    fs::rename(&path, &away).unwrap();
    let mut sink = sink_into(&path, None, &clock);
    sink.start(Some(&first)).await.unwrap();
    sink.write(&rows(&[2])).await.unwrap();
    let second = sink.prepare(2).await.unwrap();
    sink.commit(&second).await.unwrap();
    assert_eq!(contents(&path), ["2 "]);
    drop(sink);

    // Somebody puts both together.
    for (name, content) in finished(&path) {
        fs::write(away.join(name), content).unwrap();
    }
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    let mut sink = sink_into(&path, None, &clock);
    sink.start(Some(&second)).await.unwrap();
    sink.write(&rows(&[3])).await.unwrap();
    let third = sink.prepare(3).await.unwrap();
    sink.commit(&third).await.unwrap();
    assert_eq!(contents(&path), ["2 ", "3 "], "nothing is shown twice");
    let unfinished = path.join("activity-000000000001.jsonl.tmp");
    fs::rename(&unfinished, unfinished.with_extension("")).unwrap();
    assert_eq!(contents(&path), ["1 ", "2 ", "3 "], "the rows of the first checkpoint are there");
}
