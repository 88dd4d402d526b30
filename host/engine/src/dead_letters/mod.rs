//! Dead letters: events that could not be used, kept with their reason and position, and results that could not be
//! computed, with their key.
//!
//! Whoever sets one aside hands it over and goes on; one thread writes them all. A checkpoint waits until those of its rows
//! are on the disk. Where they come faster than the disk takes them, those beyond a bound are lost, and counted: no flood
//! of bad events takes all memory, and none holds good ones up.

mod files;
mod told;
mod writer;

pub use files::Listed;
pub use told::Listing;

use files::Folder;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use told::Told;
use weir_connect::CpuTime;
use weir_core::{DeadLetter, Subject};
use weir_event::Clock;
use weir_plan::JobPlan;
use writer::{Batch, LetterRequest, LetterWriter};

/// Letters on their way to the disk take at most about so much memory: a disk that stands still for a while loses none,
/// unless nearly every event is bad.
const WAITING_BYTES: usize = 32 << 20;

/// Takes dead letters of all streams.
#[derive(Debug)]
pub struct DeadLetters {
    folder: Folder,
    /// `None` only while this is dropped.
    requests: Option<mpsc::Sender<LetterRequest>>,
    writer: Option<JoinHandle<()>>,
    waiting_bytes: Arc<AtomicUsize>,
    /// By job and stream.
    lost: Mutex<BTreeMap<(String, String), Lost>>,
}

/// Letters of a job about a stream that were not kept.
#[derive(Debug, Clone, Copy, Default)]
struct Lost {
    count: u64,
    /// How many of them were told in the log.
    told: u64,
}

impl DeadLetters {
    /// Letters under a folder, at most about `limit_bytes` of disk per stream.
    pub fn new(folder: PathBuf, limit_bytes: u64) -> Self {
        DeadLetters::start(Folder { path: folder, limit_bytes }, None)
    }

    /// The same, told in the log by their reasons.
    pub fn told_in_log(folder: PathBuf, limit_bytes: u64, clock: Arc<dyn Clock>, listing: Listing) -> Self {
        DeadLetters::start(Folder { path: folder, limit_bytes }, Some(Told::new(clock, listing)))
    }

    fn start(folder: Folder, told: Option<Told>) -> Self {
        let (requests, inbox) = mpsc::channel();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let writer = LetterWriter::new(folder.clone(), told, waiting_bytes.clone());
        let writer = std::thread::spawn(move || writer.run(&inbox));
        let (requests, writer) = (Some(requests), Some(writer));
        DeadLetters { folder, requests, writer, waiting_bytes, lost: Mutex::default() }
    }

    /// Keeps letters of a job with those of the streams that they came from, one about a result with those of the first
    /// that it reads; they are on the disk after the next [`DeadLetters::sync`]. What it takes to write them is counted on
    /// `cpu`.
    pub(crate) fn set_aside(&self, plan: &JobPlan, letters: Vec<DeadLetter>, cpu: &CpuTime) {
        let mut by_source: BTreeMap<usize, Vec<DeadLetter>> = BTreeMap::new();
        for letter in letters {
            by_source.entry(source(&letter)).or_default().push(letter);
        }
        for (source, letters) in by_source {
            if let Some(input) = plan.inputs.get(source) {
                self.hand_over(&plan.name, &input.stream.name, letters, cpu);
            }
        }
    }

    fn hand_over(&self, job: &str, stream: &str, letters: Vec<DeadLetter>, cpu: &CpuTime) {
        let bytes = letters.iter().map(size).sum::<usize>();
        let count = letters.len() as u64;
        // However big one batch is, it finds room when nothing else waits.
        let room =
            |waiting: usize| (waiting == 0 || waiting + bytes <= WAITING_BYTES).then_some(waiting + bytes);
        let is_taken = self.waiting_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok();
        let batch = Batch { stream: stream.to_owned(), letters, bytes, cpu: cpu.clone() };
        if !is_taken || self.send(LetterRequest::Append(batch)).is_err() {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.entry((job.to_owned(), stream.to_owned())).or_default().count += count;
        }
    }

    /// Waits until everything that a job has set aside of a stream is durable: before a checkpoint passes its positions.
    pub(crate) async fn sync(&self, job: &str, stream: &str) -> io::Result<()> {
        self.tell_lost(job, stream);
        let (reply, answer) = oneshot::channel();
        self.send(LetterRequest::Sync { job: job.to_owned(), stream: stream.to_owned(), reply })?;
        answer.await.map_err(|_| gone())?
    }

    /// The newest `limit` letters of a stream, oldest first, one per event or result. Waits for the disk: not for an async
    /// thread.
    pub fn list(&self, stream: &str, limit: usize) -> io::Result<Vec<Listed>> {
        let (reply, passed) = mpsc::channel();
        self.send(LetterRequest::Fence(reply))?;
        passed.recv().map_err(|_| gone())?;
        self.folder.list(stream, limit)
    }

    /// How many letters of each stream were not kept in the life of the jobs that read it, because they came faster than
    /// the disk took them.
    pub fn lost(&self) -> BTreeMap<String, u64> {
        let mut by_stream = BTreeMap::new();
        for ((_, stream), lost) in &*self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            *by_stream.entry(stream.clone()).or_default() += lost.count;
        }
        by_stream
    }

    /// How many of a job's were not, by stream.
    pub(crate) fn lost_of(&self, job: &str) -> BTreeMap<String, u64> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let of_job = lost.iter().filter(|((of, _), _)| of == job);
        of_job.map(|((_, stream), lost)| (stream.clone(), lost.count)).collect()
    }

    /// Goes on counting where a job's checkpoint says.
    pub(crate) fn resume_lost(&self, job: &str, before: &BTreeMap<String, u64>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, before) in before {
            let lost = lost.entry((job.to_owned(), stream.clone())).or_default();
            if lost.count < *before {
                *lost = Lost { count: *before, told: *before };
            }
        }
    }

    fn tell_lost(&self, job: &str, stream: &str) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (job.to_owned(), stream.to_owned());
        let Some(lost) = lost.get_mut(&key).filter(|lost| lost.told < lost.count) else { return };
        let count = lost.count - lost.told;
        lost.told = lost.count;
        tracing::warn!(
            job,
            stream,
            count,
            "dead letters were lost: they came faster than the disk takes them"
        );
    }

    fn send(&self, request: LetterRequest) -> io::Result<()> {
        self.requests.as_ref().and_then(|requests| requests.send(request).ok()).ok_or_else(gone)
    }
}

impl Drop for DeadLetters {
    /// What was handed over is written: a job that failed may have told why in it.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // If it panicked, there is nothing left to wait for.
            let _ = writer.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes them is gone")
}

/// Which of the job's inputs a letter came from.
fn source(letter: &DeadLetter) -> usize {
    match &letter.subject {
        Subject::Event { partition, .. } | Subject::Unread { partition, .. } => partition.input(),
        Subject::Result { .. } => 0,
    }
}

/// About how much memory a letter takes.
fn size(letter: &DeadLetter) -> usize {
    let subject = match &letter.subject {
        Subject::Event { payload, .. } => payload.len(),
        Subject::Unread { .. } => 0,
        // A key, a window and the names of some columns.
        Subject::Result { .. } => 256,
    };
    size_of::<DeadLetter>() + letter.job.len() + letter.reason.len() + subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::harness::plan;
    use weir_event::PartitionId;

    fn letter(offset: u64, payload: &str) -> DeadLetter {
        DeadLetter::of_event(
            "counts",
            "not JSON".to_owned(),
            PartitionId::default(),
            offset,
            payload.to_owned(),
        )
    }

    fn offsets(letters: &DeadLetters) -> Vec<u64> {
        letters.list("events", 100).unwrap().iter().filter_map(Listed::offset).collect()
    }

    #[tokio::test]
    async fn what_was_set_aside_is_listed_at_once_and_durable_after_the_next_sync() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, cpu) = (plan(), CpuTime::default());
        let letters = DeadLetters::new(folder.path().join("dead"), 1 << 20);
        letters.set_aside(&plan, vec![letter(1, "{"), letter(2, "{")], &cpu);
        letters.set_aside(&plan, Vec::new(), &cpu);
        assert_eq!(offsets(&letters), [1, 2]);
        letters.sync("counts", "events").await.unwrap();
        letters.sync("counts", "another").await.unwrap();
        letters.set_aside(&plan, vec![letter(3, "{")], &cpu);
        drop(letters);
        let again = DeadLetters::new(folder.path().join("dead"), 1 << 20);
        assert_eq!(offsets(&again), [1, 2, 3], "also what no checkpoint came behind");
        assert!(again.lost().is_empty());
    }

    #[tokio::test]
    async fn a_job_whose_letters_cannot_be_written_hears_of_it_once_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("dead");
        std::fs::write(&in_the_way, "a file where a folder should be").unwrap();
        let (plan, cpu) = (plan(), CpuTime::default());
        let letters = DeadLetters::new(in_the_way.clone(), 1 << 20);
        letters.set_aside(&plan, vec![letter(1, "{")], &cpu);
        assert!(letters.sync("other", "events").await.is_ok());
        assert!(letters.sync("counts", "events").await.is_err());
        std::fs::remove_file(&in_the_way).unwrap();
        // It starts again from its last checkpoint, and refuses the event again.
        letters.set_aside(&plan, vec![letter(1, "{")], &cpu);
        assert!(letters.sync("counts", "events").await.is_ok());
        assert_eq!(offsets(&letters), [1]);
    }

    #[test]
    fn what_was_lost_before_is_counted_on() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), 1 << 20);
        let before = |count| BTreeMap::from([("events".to_owned(), count)]);
        letters.resume_lost("counts", &before(7));
        letters.resume_lost("other", &before(2));
        // The job is started again in the same process.
        letters.resume_lost("counts", &before(5));
        assert_eq!((letters.lost(), letters.lost_of("counts")), (before(9), before(7)));
    }

    #[test]
    fn a_disk_that_stands_still_holds_nobody_up_and_what_finds_no_room_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("events.jsonl");
        // Nobody reads it yet, so that opening it takes for ever.
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        let (plan, cpu) = (plan(), CpuTime::default());
        let letters = DeadLetters::new(folder.path().to_owned(), 1 << 30);
        let payload = "x".repeat(WAITING_BYTES / 4);
        for offset in 0..10 {
            letters.set_aside(&plan, vec![letter(offset, &payload)], &cpu);
        }
        let lost = BTreeMap::from([("events".to_owned(), 7)]);
        assert_eq!((letters.lost(), letters.lost_of("counts")), (lost.clone(), lost), "three find room");
        let read = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        drop(letters);
        let lines = read.join().unwrap();
        assert_eq!(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 3);
    }
}
