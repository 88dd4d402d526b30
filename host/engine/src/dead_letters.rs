//! Dead letters: events that could not be used, kept with their reason and position, and results that could not be
//! computed, with their key.
//!
//! One append-only file of JSON lines per stream. A letter may be appended again when a job replays after a
//! crash, so whoever reads them sees each (partition, offset) once, with all jobs that refused it, and each result
//! of a job once. Full files are
//! rotated once and then replaced, so a flood of bad events costs a bounded amount of disk and never good data.

use crate::error::EngineError;
use crate::told::{Listing, Told};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use weir_core::{DeadLetter, Subject};
use weir_event::{Clock, PartitionId};
use weir_plan::JobPlan;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Event(PartitionId, u64),
    Unread(PartitionId, String),
    Result(String, String),
}

/// What letters about the same thing have in common.
fn identity(letter: &DeadLetter) -> Identity {
    match &letter.subject {
        Subject::Event { partition, offset, .. } => Identity::Event(*partition, *offset),
        Subject::Unread { partition, .. } => Identity::Unread(*partition, letter.reason.clone()),
        Subject::Result { result } => Identity::Result(letter.job.clone(), result.to_string()),
    }
}

/// A dead letter as it is listed: once per event, with every job that refused it, and once per result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The first reason given.
    pub reason: String,
    /// The jobs that could not use it.
    pub jobs: Vec<String>,
    /// What it is about.
    pub subject: Subject,
}

impl Listed {
    /// The offset of the event that it is about.
    pub fn offset(&self) -> Option<u64> {
        match &self.subject {
            Subject::Event { offset, .. } => Some(*offset),
            Subject::Unread { .. } => None,
            Subject::Result { result } => result.event.map(|event| event.offset),
        }
    }
}

/// Where dead letters of all streams are kept.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
    limit_bytes: u64,
    open: Mutex<BTreeMap<String, Open>>,
    told: Option<Told>,
}

#[derive(Debug)]
struct Open {
    file: BufWriter<File>,
    bytes: u64,
}

impl DeadLetters {
    /// Letters under `folder`, at most about `limit_bytes` per stream.
    pub fn new(folder: PathBuf, limit_bytes: u64) -> Self {
        DeadLetters { folder, limit_bytes, open: Mutex::default(), told: None }
    }

    /// The same, told in the log by their reasons.
    #[must_use]
    pub fn told_in_log(self, clock: Arc<dyn Clock>, listing: Listing) -> Self {
        DeadLetters { told: Some(Told::new(clock, listing)), ..self }
    }

    /// Appends letters of one stream; they reach the disk with the next [`DeadLetters::sync`].
    pub fn append(&self, stream: &str, letters: &[DeadLetter]) -> io::Result<()> {
        if let Some(told) = &self.told {
            told.letters(stream, &self.path(stream), letters);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.contains_key(stream) {
            open.insert(stream.to_owned(), self.open_file(stream)?);
        }
        let Some(current) = open.get_mut(stream) else { return Ok(()) };
        for letter in letters {
            let mut line = serde_json::to_vec(letter)?;
            line.push(b'\n');
            // Two files share the limit, the current one and the one before it.
            if current.bytes + line.len() as u64 > self.limit_bytes / 2 {
                current.file.flush()?;
                std::fs::rename(self.path(stream), self.older_path(stream))?;
                *current = self.open_file(stream)?;
            }
            current.file.write_all(&line)?;
            current.bytes += line.len() as u64;
        }
        current.file.flush()
    }

    /// Appends letters of a job to those of the streams that they came from; one about a result to those of the first
    /// that it reads.
    pub(crate) fn set_aside(&self, plan: &JobPlan, letters: &[DeadLetter]) -> Result<(), EngineError> {
        let source = |letter: &DeadLetter| match &letter.subject {
            Subject::Event { partition, .. } | Subject::Unread { partition, .. } => {
                usize::from(partition.source)
            }
            Subject::Result { .. } => 0,
        };
        for of_one in letters.chunk_by(|one, next| source(one) == source(next)) {
            let Some(input) = plan.inputs.get(source(&of_one[0])) else { continue };
            let kept = self.append(&input.stream.name, of_one);
            let failed = |error: io::Error| EngineError::DeadLetters {
                job: plan.name.clone(),
                message: error.to_string(),
            };
            kept.map_err(failed)?;
        }
        Ok(())
    }

    /// Makes what was appended to a stream's letters durable: called before a checkpoint passes their positions.
    pub fn sync(&self, stream: &str) -> io::Result<()> {
        if let Some(told) = &self.told {
            told.due(stream, &self.path(stream));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(stream) {
            Some(current) => {
                current.file.flush()?;
                current.file.get_ref().sync_data()
            }
            None => Ok(()),
        }
    }

    /// The newest `limit` letters of a stream, oldest first, one per event or result.
    pub fn list(&self, stream: &str, limit: usize) -> io::Result<Vec<Listed>> {
        let mut letters: BTreeMap<Identity, (u64, Listed)> = BTreeMap::new();
        let mut sequence = 0;
        for path in [self.older_path(stream), self.path(stream)] {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in BufReader::new(file).split(b'\n') {
                // A torn last line is what a crash leaves; its event is read and refused again.
                let Ok(letter) = serde_json::from_slice::<DeadLetter>(&line?) else { continue };
                sequence += 1;
                add(&mut letters, sequence, letter);
            }
        }
        let mut listed: Vec<_> = letters.into_values().collect();
        listed.sort_by_key(|(sequence, _)| *sequence);
        let skip = listed.len().saturating_sub(limit);
        Ok(listed.into_iter().skip(skip).map(|(_, letter)| letter).collect())
    }

    fn open_file(&self, stream: &str) -> io::Result<Open> {
        std::fs::create_dir_all(&self.folder)?;
        let file = OpenOptions::new().create(true).append(true).open(self.path(stream))?;
        let bytes = file.metadata()?.len();
        Ok(Open { file: BufWriter::new(file), bytes })
    }

    fn path(&self, stream: &str) -> PathBuf {
        Path::new(&self.folder).join(format!("{stream}.jsonl"))
    }

    fn older_path(&self, stream: &str) -> PathBuf {
        Path::new(&self.folder).join(format!("{stream}.older.jsonl"))
    }
}

fn add(letters: &mut BTreeMap<Identity, (u64, Listed)>, sequence: u64, letter: DeadLetter) {
    let (_, listed) = letters.entry(identity(&letter)).or_insert_with(|| {
        let listed = Listed { reason: letter.reason, jobs: Vec::new(), subject: letter.subject };
        (sequence, listed)
    });
    if !listed.jobs.contains(&letter.job) {
        listed.jobs.push(letter.job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::{FailedResult, FailedWindow};

    fn letter(job: &str, offset: u64) -> DeadLetter {
        DeadLetter::of_event(job, "not JSON".to_owned(), PartitionId::default(), offset, "{".to_owned())
    }

    #[test]
    fn a_letter_is_listed_once_with_all_its_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), 1 << 20);
        letters.append("s", &[letter("a", 1), letter("a", 2), letter("b", 1), letter("a", 1)]).unwrap();
        letters.sync("s").unwrap();
        let listed = letters.list("s", 10).unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].jobs, ["a", "b"]);
        assert_eq!(letters.list("s", 1).unwrap()[0].offset(), Some(2));
        // What was not read takes no offset, and hides no event that has the one behind it.
        let unread = DeadLetter::of_unread("a", "`f` is not read".to_owned(), PartitionId::default(), 2);
        letters.append("s", &[unread.clone(), unread]).unwrap();
        assert_eq!(letters.list("s", 10).unwrap().len(), 3);
        assert!(letters.list("none", 1).unwrap().is_empty());
    }

    #[test]
    fn a_result_is_listed_once_per_job_beside_the_events() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), 1 << 20);
        let result = |job: &str, start: &str| {
            let window = FailedWindow { start: start.to_owned(), end: "later".to_owned() };
            let key = serde_json::Map::from_iter([("k".to_owned(), "once".into())]);
            let (columns, reason) = (vec!["r".to_owned()], "division by zero".to_owned());
            DeadLetter::of_result(
                job,
                FailedResult { key, window: Some(window), event: None, columns, reason },
            )
        };
        let all = [result("a", "1"), result("a", "2"), letter("a", 1), result("b", "1"), result("a", "1")];
        letters.append("s", &all).unwrap();
        let listed = letters.list("s", 10).unwrap();
        assert_eq!(listed.len(), 4);
        let Subject::Result { result: first } = &listed[0].subject else { panic!("{listed:?}") };
        assert_eq!(first.to_string(), r#"{"k":"once"} 1 to later"#);
        assert_eq!((&*listed[0].reason, &*listed[0].jobs), ("division by zero", &["a".to_owned()][..]));
    }

    #[test]
    fn a_flood_stays_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), 4096);
        for offset in 0..500 {
            letters.append("s", &[letter("a", offset)]).unwrap();
        }
        let bytes: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 4096, "{bytes}");
        assert_eq!(letters.list("s", 1).unwrap()[0].offset(), Some(499));
    }
}
