//! The promises of the ingest log, over crashes, damage, repeats and time.

mod put_back;

use super::*;
use crate::http::segment::path_of;
use bytes::Bytes;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{Fetch, NoMark, OpenPartition, Reader, Source, compliance};
use weir_event::{Clock, EventTime, Fault, ManualClock, Position, Span};

const DAY: Duration = Duration::from_hours(24);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(EventTime::from_millis(1_000_000_000_000)))
}

fn rows(range: std::ops::Range<u64>) -> Vec<Bytes> {
    range.map(|number| Bytes::from(format!("{{\"n\":{number}}}"))).collect()
}

fn open_with(dir: &Path, settings: LogSettings, clock: &Arc<ManualClock>) -> Arc<IngestLog> {
    let clock: Arc<dyn Clock> = clock.clone();
    IngestLog::open(dir, settings, clock, Arc::default(), Arc::new(NoMark)).unwrap()
}

fn open(dir: &Path) -> Arc<IngestLog> {
    open_with(dir, LogSettings::default(), &clock())
}

fn open_error(dir: &Path) -> weir_connect::ConnectError {
    let clock: Arc<dyn Clock> = clock();
    IngestLog::open(dir, LogSettings::default(), clock, Arc::default(), Arc::new(NoMark)).unwrap_err()
}

/// A key that came with this body.
fn key(text: &str, body: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey::new(text.to_owned(), body.as_bytes()).unwrap())
}

async fn numbers(log: &Arc<IngestLog>, from: Option<u64>) -> Vec<u64> {
    let from = from.map(|next| Position { next, place: String::new() });
    let source = HttpSource::new(log.clone());
    let (all, _) = compliance::read_all(&source, &[OpenPartition { partition: 0, from }]).await.unwrap();
    for (_, offset, row) in &all {
        assert_eq!(*row, format!("{{\"n\":{offset}}}").into_bytes());
    }
    all.into_iter().map(|(_, offset, _)| offset).collect()
}

#[tokio::test]
async fn it_passes_the_compliance_kit_over_several_segments() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings { segment_bytes: 2000, ..LogSettings::default() };
    let log = open_with(dir.path(), settings, &clock());
    for batch in 0..40 {
        log.append(rows(batch * 10..batch * 10 + 10), None).await.unwrap();
    }
    assert!(fs::read_dir(dir.path()).unwrap().count() > 3);
    compliance::source_replays(&HttpSource::new(log.clone())).await.unwrap();
    for from in 0..=400 {
        assert_eq!(numbers(&log, Some(from)).await, (from..400).collect::<Vec<_>>());
    }
    let at = |next| [OpenPartition { partition: 0, from: Some(Position { next, place: String::new() }) }];
    let left = HttpSource::new(log.clone()).left(&at(390), false).await.unwrap();
    assert_eq!(left.records, Some(10));
    drop(log);
    assert_eq!(numbers(&open_with(dir.path(), settings, &clock()), None).await.len(), 400);
}

#[tokio::test]
async fn concurrent_batches_keep_their_rows_together_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let senders = (0..32u64).map(|sender| {
        let log = log.clone();
        tokio::spawn(async move {
            let batch: Vec<_> = (0..10).map(|row| Bytes::from(format!("{sender}/{row}"))).collect();
            (sender, log.append(batch, None).await.unwrap())
        })
    });
    let mut answers = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        answers.push(sender.await.unwrap());
    }
    drop(log);
    let source = HttpSource::new(open(dir.path()));
    let start = [OpenPartition { partition: 0, from: None }];
    let (all, _) = compliance::read_all(&source, &start).await.unwrap();
    assert_eq!(all.len(), 320);
    for (sender, answer) in answers {
        for row in 0..10 {
            let (_, offset, text) = &all[answer.first_offset as usize + row];
            assert_eq!(*offset, answer.first_offset + row as u64);
            assert_eq!(*text, format!("{sender}/{row}").into_bytes());
        }
    }
}

/// Whether nothing comes; what reads works on threads of its own, so it is given a moment.
#[allow(clippy::disallowed_methods, reason = "that nothing comes can only be waited for")]
async fn is_silent(reader: &mut dyn Reader) -> bool {
    tokio::time::timeout(Duration::from_millis(5), reader.next()).await.is_err()
}

#[tokio::test]
async fn a_live_reader_sees_new_rows_and_says_each_time_that_it_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let source = HttpSource::new(log.clone());
    let mut reader = source.open(3, &[OpenPartition { partition: 0, from: None }], false).await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Fetch::CaughtUp(partition) if partition.source == 3));
    for round in 0..3 {
        assert!(is_silent(reader.as_mut()).await);
        log.append(rows(round..round + 1), None).await.unwrap();
        let Fetch::Block(block) = reader.next().await.unwrap() else { panic!("no block") };
        assert_eq!((block.next.next, compliance::records(&block).len()), (round + 1, 1));
        assert_eq!(block.known, weir_connect::KnownTimes::Each(vec![1_000_000_000_000]));
        assert!(matches!(reader.next().await.unwrap(), Fetch::CaughtUp(_)));
    }
}

#[tokio::test]
async fn a_bounded_read_ends_where_the_log_ended_when_it_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.append(rows(0..5), None).await.unwrap();
    let source = HttpSource::new(log.clone());
    let mut reader = source.open(0, &[OpenPartition { partition: 0, from: None }], true).await.unwrap();
    log.append(rows(5..9), None).await.unwrap();
    let Fetch::Block(block) = reader.next().await.unwrap() else { panic!("no block") };
    assert_eq!(compliance::records(&block).len(), 5);
    assert!(matches!(reader.next().await.unwrap(), Fetch::CaughtUp(_)));
    assert!(is_silent(reader.as_mut()).await);
}

#[tokio::test]
async fn large_frames_are_handed_out_in_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let large = Bytes::from(vec![b'x'; 700_000]);
    log.append(vec![large.clone(), large.clone(), Bytes::from(vec![b'y'; 3 << 20]), large], None)
        .await
        .unwrap();
    let source = HttpSource::new(log);
    let start = [OpenPartition { partition: 0, from: None }];
    let (all, positions) = compliance::read_all(&source, &start).await.unwrap();
    assert_eq!((all.len(), positions.len()), (4, 4));
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day_also_across_restarts() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let settings = LogSettings::default();
    let log = open_with(dir.path(), settings, &clock);
    log.append(rows(0..3), None).await.unwrap();
    let key = || key("request-1", "rows 3 and 4");
    let of_another_body = || self::key("request-1", "rows 3 and 5");
    let first = log.append(rows(3..5), key()).await.unwrap();
    assert_eq!(first, Appended { first_offset: 3, count: 2, repeated: false });
    let again = Appended { repeated: true, ..first };
    assert_eq!(log.append(rows(3..5), key()).await.unwrap(), again);
    assert_eq!(log.append(rows(3..6), of_another_body()).await, Err(AppendError::KeyReused));
    let nothing_kept = log.append(Vec::new(), self::key("all-rejected", "x")).await.unwrap();
    assert_eq!((nothing_kept.count, nothing_kept.repeated), (0, false));
    for hours in [1, 22] {
        clock.advance(Duration::from_hours(hours));
        let end = log.end_offset();
        log.append(rows(end..end + 1), None).await.unwrap();
    }
    drop(log);
    let log = open_with(dir.path(), settings, &clock);
    assert_eq!(log.append(rows(3..5), key()).await.unwrap(), again);
    assert!(log.append(Vec::new(), self::key("all-rejected", "x")).await.unwrap().repeated);
    assert_eq!(log.append(rows(3..5), of_another_body()).await, Err(AppendError::KeyReused));
    assert_eq!(log.end_offset(), 7);
    clock.advance(Duration::from_secs(3601));
    let later = log.append(rows(7..9), key()).await.unwrap();
    assert_eq!(later, Appended { first_offset: 7, count: 2, repeated: false });
    assert!(
        IdempotencyKey::new("k".repeat(256), b"").is_err()
            && IdempotencyKey::new(String::new(), b"").is_err()
    );
}

#[tokio::test]
async fn a_key_is_remembered_no_longer_than_rows_are_kept() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let settings = LogSettings { keep: Span::from_millis(60_000), ..LogSettings::default() };
    let log = open_with(dir.path(), settings, &clock);
    log.append(rows(0..1), key("k", "0")).await.unwrap();
    clock.advance(Duration::from_secs(50));
    assert!(log.append(rows(0..1), key("k", "0")).await.unwrap().repeated);
    clock.advance(Duration::from_secs(60));
    assert!(!log.append(rows(1..2), key("k", "0")).await.unwrap().repeated);
    clock.advance(Duration::from_secs(120));
    log.append(rows(2..3), None).await.unwrap();
    assert!(log.begin_offset() > 0, "a file with a key goes as any other");
}

#[tokio::test]
async fn two_bodies_with_one_key_are_kept_once_also_in_one_group() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let senders = (0..64).map(|sender| {
        let log = log.clone();
        let body = ["one", "another"][sender % 2];
        tokio::spawn(async move { (body, log.append(rows(0..2), key("k", body)).await) })
    });
    let mut kept = Vec::new();
    for sender in senders.collect::<Vec<_>>() {
        let (body, answer) = sender.await.unwrap();
        match answer {
            Ok(_) => kept.push(body),
            Err(error) => assert_eq!(error, AppendError::KeyReused),
        }
    }
    kept.dedup();
    assert_eq!((kept.len(), log.end_offset()), (1, 2));
}

/// A file as weir first wrote them: a frame with a key that stands alone, and half of another.
fn file_of_the_first_format(rows: &[&[u8]], key: &str) -> Vec<u8> {
    let stamp = 1_000_000_000_000_i64.to_le_bytes();
    let mut payload = Vec::new();
    payload.extend_from_slice(&0_u64.to_le_bytes());
    payload.extend_from_slice(&stamp);
    payload.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    payload.extend_from_slice(&1_u32.to_le_bytes());
    payload.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    payload.extend_from_slice(&(key.len() as u16).to_le_bytes());
    payload.extend_from_slice(key.as_bytes());
    rows.iter().for_each(|row| payload.extend_from_slice(&(row.len() as u32).to_le_bytes()));
    rows.iter().for_each(|row| payload.extend_from_slice(row));
    let checked = [&(payload.len() as u32).to_le_bytes()[..], &payload[..]].concat();
    let mut file = b"weirlog1".to_vec();
    file.extend_from_slice(&0_u64.to_le_bytes());
    file.extend_from_slice(&stamp);
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file.extend_from_slice(b"\xFFwf\xFE");
    file.extend_from_slice(&checked[..4]);
    file.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
    file.extend_from_slice(&payload);
    file.extend_from_slice(b"\xFFwf\xFE torn");
    file
}

#[tokio::test]
async fn a_log_of_the_first_format_is_read_and_gone_on_with_in_the_present_one() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join(format!("{:020}.log", 0));
    let old = file_of_the_first_format(&[b"{\"n\":0}", b"{\"n\":1}"], "k");
    std::fs::write(&first, &old).unwrap();
    let (settings, clock) = (LogSettings::default(), clock());
    for round in 0..2 {
        let log = open_with(dir.path(), settings, &clock);
        let answer = log.append(rows(7..9), key("k", "whatever it was")).await.unwrap();
        assert_eq!(answer, Appended { first_offset: 0, count: 2, repeated: true });
        let end = log.end_offset();
        assert_eq!(end, 2 + round);
        log.append(rows(end..end + 1), key(&format!("new-{round}"), "x")).await.unwrap();
        assert_eq!(numbers(&log, None).await, (0..=end).collect::<Vec<_>>());
        drop(log);
    }
    assert_eq!(std::fs::read(&first).unwrap(), old[..old.len() - 9], "only what is torn is taken off");
    assert!(dir.path().join(format!("{:020}.log", 2)).is_file());
}

#[tokio::test]
async fn two_requests_with_one_key_in_one_group_are_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let senders = (0..64).map(|_| {
        let log = log.clone();
        tokio::spawn(async move { log.append(rows(0..2), key("k", "0 and 1")).await.unwrap() })
    });
    let mut fresh = 0;
    for sender in senders.collect::<Vec<_>>() {
        let answer = sender.await.unwrap();
        assert_eq!((answer.first_offset, answer.count), (0, 2));
        fresh += usize::from(!answer.repeated);
    }
    assert_eq!((fresh, log.end_offset()), (1, 2));
}

#[tokio::test]
async fn what_is_older_than_keep_goes_in_whole_segments() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let settings = LogSettings { keep: Span::from_millis(7 * 86_400_000), ..LogSettings::default() };
    let log = open_with(dir.path(), settings, &clock);
    for day in 0..20u64 {
        log.append(rows(day * 10..day * 10 + 10), None).await.unwrap();
        clock.advance(DAY);
    }
    let begin = log.begin_offset();
    assert!((100..=120).contains(&begin), "{begin}");
    assert_eq!(numbers(&log, None).await, (begin..200).collect::<Vec<_>>());
    let position = Position { next: begin - 1, place: String::new() };
    let from = [OpenPartition { partition: 0, from: Some(position) }];
    let error = HttpSource::new(log.clone()).open(0, &from, true).await.err().unwrap();
    assert!((error.fault, error.retry) == (Fault::User, false) && error.message.contains("keep"), "{error}");
    drop(log);
    clock.advance(30 * DAY);
    let log = open_with(dir.path(), settings, &clock);
    assert_eq!(log.append(rows(200..201), None).await.unwrap().first_offset, 200);
}

#[tokio::test]
async fn a_torn_tail_of_any_length_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.append(rows(0..3), None).await.unwrap();
    let path = path_of(dir.path(), 0);
    let kept = fs::metadata(&path).unwrap().len();
    log.append(rows(3..6), None).await.unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();
    for length in kept as usize..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let log = open(dir.path());
        assert_eq!(log.end_offset(), 3, "{length} bytes");
        log.append(rows(3..4), None).await.unwrap();
        assert_eq!(numbers(&log, None).await, [0, 1, 2, 3]);
    }
    let aside = |number| dir.path().join(format!("{:020}.log.cut{number}", 0));
    assert_eq!(fs::read(aside(1)).unwrap(), whole[kept as usize..=kept as usize], "what was cut off is kept");
    assert_eq!(fs::read(aside(2)).unwrap().len(), 2);
    let count = fs::read_dir(dir.path()).unwrap().count();
    let mut zeros = whole[..kept as usize].to_vec();
    zeros.resize(whole.len() + 5000, 0);
    fs::write(&path, &zeros).unwrap();
    assert_eq!(open(dir.path()).end_offset(), 3);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), count, "zeros say nothing");
}

#[tokio::test]
async fn damage_before_the_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for batch in 0..3 {
        log.append(rows(batch * 3..batch * 3 + 3), None).await.unwrap();
    }
    drop(log);
    let path = path_of(dir.path(), 0);
    let whole = fs::read(&path).unwrap();
    for place in (0..whole.len() * 2 / 3).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        let error = open_error(dir.path());
        let by_version = place == 7;
        assert_eq!(error.fault, if by_version { Fault::User } else { Fault::Weir }, "byte {place}: {error}");
    }
}

#[tokio::test]
async fn a_frame_that_is_missing_or_there_twice_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let path = path_of(dir.path(), 0);
    let mut ends = Vec::new();
    for batch in 0..3 {
        log.append(rows(batch * 3..batch * 3 + 3), None).await.unwrap();
        ends.push(fs::metadata(&path).unwrap().len() as usize);
    }
    drop(log);
    let whole = fs::read(&path).unwrap();
    let (first, second, third) = (&whole[..ends[0]], &whole[ends[0]..ends[1]], &whole[ends[1]..]);
    for frames in [vec![first, third], vec![first, second, second, third], vec![first, third, second]] {
        fs::write(&path, frames.concat()).unwrap();
        let error = open_error(dir.path());
        assert!(error.fault == Fault::Weir && error.message.contains("damaged"), "{error}");
    }
    fs::write(&path, [first, second, third].concat()).unwrap();
    assert_eq!(open(dir.path()).end_offset(), 9);
}

#[tokio::test]
async fn a_missing_segment_and_a_lost_tail_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings { segment_bytes: 100, ..LogSettings::default() };
    let log = open_with(dir.path(), settings, &clock());
    for batch in 0..3 {
        log.append(rows(batch * 10..batch * 10 + 10), None).await.unwrap();
    }
    drop(log);
    let source = HttpSource::new(open(dir.path()));
    let beyond = OpenPartition { partition: 0, from: Some(Position { next: 31, place: String::new() }) };
    let error = source.open(0, &[beyond], true).await.err().unwrap();
    assert_eq!((error.fault, error.retry), (Fault::Weir, false));
    drop(source);
    fs::remove_file(path_of(dir.path(), 10)).unwrap();
    assert!(open_error(dir.path()).message.contains("damaged"));
}

#[tokio::test]
async fn a_segment_that_a_crash_left_empty_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    log.append(rows(0..3), None).await.unwrap();
    drop(log);
    OpenOptions::new().create(true).truncate(true).write(true).open(path_of(dir.path(), 3)).unwrap();
    let log = open(dir.path());
    log.append(rows(3..4), None).await.unwrap();
    assert_eq!(numbers(&log, None).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_server_opens_the_log_of_a_stream_once_and_only_when_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Arc::new(IngestLogs::new(dir.path(), clock(), Arc::new(NoMark)));
    let context = crate::context::SourceContext {
        layout: weir_connect::FileLayout::Lines,
        project: dir.path().to_owned(),
        data_dir: dir.path().to_owned(),
        stream: "rides".to_owned(),
        clock: clock(),
        logs: logs.clone(),
    };
    assert!(logs.open("rides").unwrap().is_none());
    assert!(source(&serde_json::json!({"kep": "7d"}), &context).is_err());
    let declared = source(&serde_json::json!({"keep": "7d"}), &context).unwrap();
    assert!(!dir.path().join("ingest").exists());
    assert_eq!(declared.partitions(&[]).await.unwrap().len(), 1);
    let log = logs.open("rides").unwrap().unwrap();
    assert!(Arc::ptr_eq(&log, &logs.open("rides").unwrap().unwrap()));
    log.append(rows(0..3), None).await.unwrap();
    compliance::source_replays(&*declared).await.unwrap();
}
