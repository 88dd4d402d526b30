//! Logs that are not the ones that jobs have read, and clocks that were wrong.

use super::*;
use weir_connect::ConnectError;

/// The logs of a server in `dir`, of which jobs have read the stream `s` up to these positions; and that of `s`.
fn logs_of(
    dir: &Path,
    settings: LogSettings,
    clock: &Arc<ManualClock>,
    read: &[(&str, &Position)],
) -> (IngestLogs, Arc<IngestLog>) {
    let logs = IngestLogs::new(dir, clock.clone(), Arc::new(NoMark));
    for (job, position) in read {
        logs.claim("s", job, position);
    }
    assert!(logs.open("s").unwrap().is_none(), "it was not declared");
    logs.declare("s", settings);
    let log = logs.open("s").unwrap().unwrap();
    (logs, log)
}

async fn reader(log: &Arc<IngestLog>, from: &Position) -> Result<Box<dyn Reader>, ConnectError> {
    let from = [OpenPartition { partition: 0, from: Some(from.clone()) }];
    HttpSource::new(log.clone()).open(0, &from, true).await
}

/// The position behind all rows of a log, as a reader hands it out.
async fn read_up(log: &Arc<IngestLog>) -> Position {
    let from = Position { next: log.begin_offset(), place: String::new() };
    let mut reader = reader(log, &from).await.unwrap();
    let Fetch::Block(block) = reader.next().await.unwrap() else { panic!("no block") };
    assert_eq!(block.next.next, log.end_offset());
    block.next
}

#[tokio::test]
async fn where_a_log_is_gone_a_new_one_begins_above_what_jobs_have_read_and_says_so() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (logs, log) = logs_of(dir.path(), LogSettings::default(), &clock, &[]);
    log.append(rows(0..1000), None).await.unwrap();
    let read = read_up(&log).await;
    let early = Position { next: 400, ..read.clone() };
    drop((log, logs));
    fs::rename(dir.path().join("ingest"), dir.path().join("gone")).unwrap();

    let read_by = [("all", &read), ("part", &early)];
    let (logs, log) = logs_of(dir.path(), LogSettings::default(), &clock, &read_by);
    assert_eq!(log.append(rows(1000..1003), None).await.unwrap().first_offset, 1000);
    for (from, says) in [(&read, "up to row 1000"), (&early, "rows 400 to 999")] {
        let mut reader = reader(&log, from).await.unwrap();
        let Fetch::Block(gap) = reader.next().await.unwrap() else { panic!("no block") };
        assert!(gap.refused[0].reason.contains(says) && !gap.refused[0].skip, "{:?}", gap.refused);
        assert_eq!((gap.next.next, compliance::records(&gap).len()), (1000, 0));
        let Fetch::Block(block) = reader.next().await.unwrap() else { panic!("no block") };
        assert_eq!((block.next.next, compliance::records(&block).len()), (1003, 3));
    }
    // The log that was moved away comes back beside jobs that have read the new one.
    let read_again = read_up(&log).await;
    drop((log, logs));
    fs::remove_dir_all(dir.path().join("ingest")).unwrap();
    fs::rename(dir.path().join("gone"), dir.path().join("ingest")).unwrap();
    let (_, log) = logs_of(dir.path(), LogSettings::default(), &clock, &[("all", &read_again)]);
    let error = log.append(rows(1000..1001), None).await.unwrap_err().to_string();
    assert!(error.contains("is not the one that job `all` has read up to row 1003"), "{error}");
    assert!(reader(&log, &read_again).await.is_err());
}

#[tokio::test]
async fn a_log_that_ends_before_a_job_takes_nothing_until_the_job_begins_anew() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (logs, log) = logs_of(dir.path(), LogSettings::default(), &clock, &[]);
    log.append(rows(0..3), None).await.unwrap();
    let path = path_of(&dir.path().join("ingest/s"), 0);
    let older = fs::read(&path).unwrap();
    log.append(rows(3..9), None).await.unwrap();
    let read = read_up(&log).await;
    drop((log, logs));
    fs::write(&path, older).unwrap();

    for place in [read.place.clone(), String::new()] {
        let read = Position { next: 9, place };
        let (logs, log) = logs_of(dir.path(), LogSettings::default(), &clock, &[("j", &read)]);
        let AppendError::Failed(error) = log.append(rows(3..4), None).await.unwrap_err() else { panic!() };
        assert!(error.retry && error.message.contains("ends at row 3, but job `j`"), "{error}");
        let error = reader(&log, &read).await.err().unwrap();
        assert!(!error.retry && error.message.contains("--reset"), "{error}");
        logs.release("j");
        assert_eq!(log.append(Vec::new(), key("k", "x")).await.unwrap().first_offset, 3);
    }
}

#[tokio::test]
async fn files_of_two_logs_are_no_log() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let settings = LogSettings { segment_bytes: 100, ..LogSettings::default() };
    for dir in &dirs {
        let log = open_with(dir.path(), settings, &clock());
        for batch in 0..3 {
            log.append(rows(batch * 10..batch * 10 + 10), None).await.unwrap();
        }
    }
    fs::copy(path_of(dirs[0].path(), 20), path_of(dirs[1].path(), 20)).unwrap();
    let error = open_error(dirs[1].path());
    assert!(error.message.contains("another log") && error.message.contains("damaged"), "{error}");
}

#[tokio::test]
async fn the_end_is_noted_at_checkpoints_and_when_the_log_is_closed() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (logs, log) = logs_of(dir.path(), LogSettings::default(), &clock, &[]);
    let noted = || fs::read_to_string(dir.path().join("ingest/s/end")).unwrap_or_default();
    log.append(rows(0..3), None).await.unwrap();
    assert_eq!(noted(), "");
    logs.claim("s", "j", &read_up(&log).await);
    // Behind it in the writer's queue; the second is answered when all is done that was asked with the first.
    log.append(rows(3..5), None).await.unwrap();
    log.append(rows(5..6), None).await.unwrap();
    assert!(noted().contains(" 3 ") || noted().contains(" 5 "), "{}", noted());
    drop((log, logs));
    assert!(noted().contains(" 6 "), "{}", noted());
}

#[tokio::test]
async fn what_a_job_has_not_read_is_not_deleted() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let (logs, log) = logs_of(dir.path(), LogSettings::default(), &clock, &[]);
    log.append(rows(0..10), None).await.unwrap();
    let of = |next| Position { next, place: log.shared.log.to_string() };
    logs.claim("s", "slow", &of(5));
    logs.claim("s", "quick", &of(10));
    for day in 1..20u64 {
        clock.advance(DAY);
        log.append(rows(day * 10..day * 10 + 10), None).await.unwrap();
    }
    assert_eq!(log.begin_offset(), 0);
    logs.claim("s", "slow", &of(45));
    logs.claim("s", "quick", &of(200));
    clock.advance(DAY);
    log.append(rows(200..210), None).await.unwrap();
    assert_eq!(log.begin_offset(), 40);
    logs.release("slow");
    clock.advance(DAY);
    log.append(rows(210..220), None).await.unwrap();
    assert!(log.begin_offset() > 100);
}

/// A clock that may be set back.
#[derive(Debug)]
struct Wall(ManualClock, std::sync::atomic::AtomicI64);

impl Clock for Wall {
    fn now(&self) -> EventTime {
        self.0.now() + Span::from_millis(self.1.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, pause: Duration) -> weir_event::Sleep {
        self.0.sleep(pause)
    }
}

#[tokio::test]
async fn a_clock_that_was_wrong_once_stamps_what_comes_later_rightly_and_deletes_nothing_of_it() {
    let (dir, wrong_by) = (tempfile::tempdir().unwrap(), 64 * 365 * DAY.as_millis() as i64);
    let start = EventTime::from_millis(1_700_000_000_000);
    let wall = Arc::new(Wall(ManualClock::at(start), 0.into()));
    let clock: Arc<dyn Clock> = wall.clone();
    let open = || {
        IngestLog::open(dir.path(), LogSettings::default(), clock.clone(), Arc::default(), Arc::new(NoMark))
            .unwrap()
    };
    let log = open();
    log.append(rows(0..1), None).await.unwrap();
    wall.1.store(wrong_by, std::sync::atomic::Ordering::SeqCst);
    // Within a day of keys and far from `keep`, had the clock been right; it rolls a segment.
    log.append(rows(1..2), key("k", "1")).await.unwrap();
    wall.1.store(0, std::sync::atomic::Ordering::SeqCst);
    for row in 2..5 {
        log.append(rows(row..row + 1), None).await.unwrap();
        wall.0.advance(DAY);
    }
    let mut reader = reader(&log, &Position { next: 2, place: String::new() }).await.unwrap();
    let Fetch::Block(block) = reader.next().await.unwrap() else { panic!("no block") };
    let days = [0, 1, 2].map(|day| start.millis() + day * DAY.as_millis() as i64);
    assert_eq!(block.known, weir_connect::KnownTimes::Each(days.to_vec()));
    let again = log.append(rows(5..6), key("k", "1")).await.unwrap();
    assert_eq!((again.first_offset, again.repeated), (5, false), "a day after the clock was mended");
    drop((log, reader));
    let log = open();
    log.append(rows(6..7), None).await.unwrap();
    assert_eq!(numbers(&log, None).await, (0..7).collect::<Vec<_>>());
}
