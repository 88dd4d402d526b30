//! The files of dead letters: one of JSON lines per stream, only appended to.
//!
//! A letter may be appended again when a job replays after a crash, so whoever reads them sees each (partition, offset)
//! once, with all jobs that refused it, and each result of a job once. Full files are rotated once and then replaced, so a
//! flood of bad events costs a bounded amount of disk and never good data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use weir_connect::make_folder;
use weir_core::{DeadLetter, Subject};

/// What is read of the files at first, from their end: the letters that one usually asks for are in it.
const FIRST_PART_BYTES: u64 = 4 << 20;

/// The end of a line is looked for in parts of so many bytes: most lines are shorter.
const LINE_PART_BYTES: usize = 16 << 10;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    /// With the number of its partition: the file is of one stream, whichever input of a job that is.
    Event(u16, u64),
    Unread(u16, String),
    Result(String, String),
}

/// What letters about the same thing have in common.
fn identity(letter: &DeadLetter) -> Identity {
    match &letter.subject {
        Subject::Event { partition, offset, .. } => Identity::Event(partition.partition, *offset),
        Subject::Unread { partition, .. } => Identity::Unread(partition.partition, letter.reason.clone()),
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
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Of one stream, about.
    pub(super) limit_bytes: u64,
}

/// The files that are open for writing.
#[derive(Debug)]
pub(super) struct Files {
    folder: Folder,
    open: BTreeMap<String, Open>,
    /// Streams whose file was closed by a failure before all that was appended to it was synced.
    unsynced: BTreeSet<String>,
}

#[derive(Debug)]
struct Open {
    file: BufWriter<File>,
    bytes: u64,
    is_synced: bool,
    /// Whether its name is on the disk.
    is_named: bool,
}

impl Files {
    pub(super) fn of(folder: Folder) -> Files {
        Files { folder, open: BTreeMap::new(), unsynced: BTreeSet::new() }
    }

    /// Appends letters of one stream; they reach the disk with the next [`Files::sync`].
    pub(super) fn append(&mut self, stream: &str, letters: &[DeadLetter]) -> io::Result<()> {
        let has_unsynced = self.open.get(stream).is_some_and(|current| !current.is_synced);
        let appended = self.try_append(stream, letters);
        if appended.is_err() {
            // Opened anew the next time, as its folder may have gone, and then cut where its last whole line ends: what is
            // not written of this stays so.
            drop(self.open.remove(stream).map(|current| current.file.into_parts()));
            if has_unsynced {
                self.unsynced.insert(stream.to_owned());
            }
        }
        appended
    }

    fn try_append(&mut self, stream: &str, letters: &[DeadLetter]) -> io::Result<()> {
        let Files { folder, open, .. } = self;
        if !open.contains_key(stream) {
            open.insert(stream.to_owned(), folder.open(stream)?);
        }
        let Some(current) = open.get_mut(stream) else { return Ok(()) };
        current.is_synced = false;
        for letter in letters {
            let mut line = serde_json::to_vec(letter)?;
            line.push(b'\n');
            // Two files share the limit, the current one and the one before it.
            if current.bytes + line.len() as u64 > folder.limit_bytes / 2 {
                current.file.flush()?;
                // Nobody syncs it once it is another's.
                current.file.get_ref().sync_data()?;
                std::fs::rename(folder.newer(stream), folder.older(stream))?;
                *current = folder.open(stream)?;
            }
            current.file.write_all(&line)?;
            current.bytes += line.len() as u64;
        }
        current.file.flush()
    }

    /// Makes what was appended to a stream's letters durable.
    pub(super) fn sync(&mut self, stream: &str) -> io::Result<()> {
        if self.unsynced.contains(stream) {
            if !self.open.contains_key(stream) {
                self.open.insert(stream.to_owned(), self.folder.open(stream)?);
            }
            self.unsynced.remove(stream);
        }
        match self.open.get_mut(stream).filter(|current| !current.is_synced) {
            Some(current) => {
                current.file.get_ref().sync_data()?;
                if !current.is_named {
                    File::open(&self.folder.path)?.sync_all()?;
                    current.is_named = true;
                }
                current.is_synced = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Folder {
    /// The newest `limit` letters of a stream, oldest first, one per event or result. Of the files no more is read than
    /// the last part that has so many, however much was written before.
    pub(super) fn list(&self, stream: &str, limit: usize) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for path in [self.older(stream), self.newer(stream)] {
            match File::open(path) {
                Ok(file) => files.push((file.metadata()?.len(), file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let all_bytes: u64 = files.iter().map(|(bytes, _)| bytes).sum();
        let mut part_bytes = FIRST_PART_BYTES;
        loop {
            let listed = last_part(&files, part_bytes)?;
            if listed.len() >= limit || part_bytes >= all_bytes {
                let skip = listed.len().saturating_sub(limit);
                return Ok(listed.into_iter().skip(skip).collect());
            }
            part_bytes *= 2;
        }
    }

    fn open(&self, stream: &str) -> io::Result<Open> {
        make_folder(&self.path)?;
        let file = OpenOptions::new().create(true).read(true).append(true).open(self.newer(stream))?;
        let (all, bytes) = (file.metadata()?.len(), whole_lines(&file)?);
        if bytes < all {
            // A crash or a full disk has torn the last letter, whose event is read and refused again; the next one would be
            // part of its line.
            file.set_len(bytes)?;
        }
        Ok(Open { file: BufWriter::new(file), bytes, is_synced: false, is_named: false })
    }

    /// The file that letters of a stream are appended to.
    pub(super) fn newer(&self, stream: &str) -> PathBuf {
        self.path.join(format!("{stream}.jsonl"))
    }

    fn older(&self, stream: &str) -> PathBuf {
        self.path.join(format!("{stream}.older.jsonl"))
    }
}

/// The letters in the last part of these files, oldest first.
fn last_part(files: &[(u64, File)], mut part_bytes: u64) -> io::Result<Vec<Listed>> {
    let mut starts: Vec<u64> = Vec::new();
    for (bytes, _) in files.iter().rev() {
        starts.push(bytes.saturating_sub(part_bytes));
        part_bytes = part_bytes.saturating_sub(*bytes);
    }
    let mut letters: BTreeMap<(Identity, String), (u64, Listed)> = BTreeMap::new();
    let mut sequence = 0;
    for ((bytes, mut file), start) in
        files.iter().map(|(bytes, file)| (*bytes, file)).zip(starts.into_iter().rev())
    {
        file.seek(SeekFrom::Start(start))?;
        let mut lines = BufReader::new(file.take(bytes - start)).split(b'\n');
        if start > 0 {
            // Of the first line the beginning is missing, unless the part begins with it: then it waits for a larger part.
            lines.next().transpose()?;
        }
        for line in lines {
            // A torn last line is what a crash leaves; its event is read and refused again.
            let Ok(letter) = serde_json::from_slice::<DeadLetter>(&line?) else { continue };
            sequence += 1;
            add(&mut letters, sequence, letter);
        }
    }
    let mut listed: Vec<_> = letters.into_values().collect();
    listed.sort_by_key(|(sequence, _)| *sequence);
    Ok(listed.into_iter().map(|(_, letter)| letter).collect())
}

/// How many bytes of a file are whole lines.
fn whole_lines(file: &File) -> io::Result<u64> {
    let mut part = vec![0; LINE_PART_BYTES];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(LINE_PART_BYTES as u64);
        let part = &mut part[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        if let Some(last) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Jobs stand together where they refuse an event for the same reason.
fn add(letters: &mut BTreeMap<(Identity, String), (u64, Listed)>, sequence: u64, letter: DeadLetter) {
    let (_, listed) = letters.entry((identity(&letter), letter.reason.clone())).or_insert_with(|| {
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
    use weir_event::PartitionId;

    fn letter(job: &str, offset: u64) -> DeadLetter {
        DeadLetter::of_event(job, "not JSON".to_owned(), PartitionId::default(), offset, "{".to_owned())
    }

    fn made(limit_bytes: u64) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        (folder, Files::of(Folder { path, limit_bytes }))
    }

    #[test]
    fn a_letter_is_listed_once_with_all_its_jobs() {
        let (_folder, mut files) = made(1 << 20);
        files.append("s", &[letter("a", 1), letter("a", 2), letter("b", 1), letter("a", 1)]).unwrap();
        files.sync("s").unwrap();
        let listed = files.folder.list("s", 10).unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].jobs, ["a", "b"]);
        assert_eq!(files.folder.list("s", 1).unwrap()[0].offset(), Some(2));
        // Which of a job's inputs the stream is, is the job's affair.
        let second = PartitionId { source: 1, partition: 0 };
        let of_union = DeadLetter::of_event("c", "not JSON".to_owned(), second, 2, "{".to_owned());
        files.append("s", &[of_union]).unwrap();
        assert_eq!(files.folder.list("s", 10).unwrap()[1].jobs, ["a", "c"]);
        // Another reason is another job's affair.
        let other = DeadLetter { reason: "a division by zero".to_owned(), ..letter("d", 1) };
        files.append("s", &[other]).unwrap();
        let listed = files.folder.list("s", 10).unwrap();
        assert_eq!((listed.len(), &*listed[2].jobs), (3, &["d".to_owned()][..]));
        // What was not read takes no offset, and hides no event that has the one behind it.
        let unread = DeadLetter::of_unread("a", "`f` is not read".to_owned(), PartitionId::default(), 2);
        files.append("s", &[unread.clone(), unread]).unwrap();
        assert_eq!(files.folder.list("s", 10).unwrap().len(), 4);
        assert!(files.folder.list("none", 1).unwrap().is_empty());
    }

    #[test]
    fn a_letter_that_a_crash_has_torn_does_not_take_the_next_with_it() {
        let (folder, mut files) = made(1 << 20);
        files.append("s", &[letter("a", 1), letter("a", 2)]).unwrap();
        files.sync("s").unwrap();
        let path = files.folder.newer("s");
        let whole = std::fs::read(&path).unwrap();
        for cut in [whole.len() - 1, whole.len() - 5, whole.len() / 2 + 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut files = Files::of(Folder { path: folder.path().to_owned(), limit_bytes: 1 << 20 });
            files.append("s", &[letter("a", 3)]).unwrap();
            let listed = files.folder.list("s", 10).unwrap();
            let offsets: Vec<_> = listed.iter().filter_map(Listed::offset).collect();
            assert_eq!(offsets, [1, 3], "cut at {cut}");
            let lines = std::fs::read_to_string(&path).unwrap();
            assert!(lines.ends_with('\n') && lines.lines().count() == 2, "cut at {cut}: {lines}");
        }
        let long = letter(&"j".repeat(3 * LINE_PART_BYTES), 4);
        files.append("s", &[long, letter("a", 5)]).unwrap();
        let all = std::fs::read(&path).unwrap().len() as u64;
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert_eq!(whole_lines(&file).unwrap(), all);
        for cut in [all - 1, all - 200] {
            file.set_len(cut).unwrap();
            assert!(whole_lines(&file).unwrap() < cut);
        }
        file.set_len(3).unwrap();
        assert_eq!(whole_lines(&file).unwrap(), 0);
    }

    #[test]
    fn what_was_appended_before_a_failure_is_synced_all_the_same() {
        let (_folder, mut files) = made(400);
        files.append("s", &[letter("a", 1)]).unwrap();
        // Nothing can be renamed to a folder, so that the file cannot be rotated.
        std::fs::create_dir(files.folder.older("s")).unwrap();
        let many: Vec<_> = (2..9).map(|offset| letter("a", offset)).collect();
        assert!(files.append("s", &many).is_err());
        assert!(files.open.is_empty() && files.unsynced.contains("s"));
        files.sync("s").unwrap();
        assert!(files.open["s"].is_synced && files.unsynced.is_empty());
        std::fs::remove_dir(files.folder.older("s")).unwrap();
        files.append("s", &many).unwrap();
        files.sync("s").unwrap();
        let offsets: Vec<_> = files.folder.list("s", 1).unwrap().iter().filter_map(Listed::offset).collect();
        assert_eq!(offsets, [8]);
    }

    #[test]
    fn a_result_is_listed_once_per_job_beside_the_events() {
        let (_folder, mut files) = made(1 << 20);
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
        files.append("s", &all).unwrap();
        let listed = files.folder.list("s", 10).unwrap();
        assert_eq!(listed.len(), 4);
        let Subject::Result { result: first } = &listed[0].subject else { panic!("{listed:?}") };
        assert_eq!(first.to_string(), r#"{"k":"once"} 1 to later"#);
        assert_eq!((&*listed[0].reason, &*listed[0].jobs), ("division by zero", &["a".to_owned()][..]));
    }

    #[test]
    fn letters_are_read_from_the_end_as_far_back_as_is_asked_for() {
        let (_folder, mut files) = made(64 << 20);
        let payload = "x".repeat(100_000);
        let event = |offset| {
            DeadLetter::of_event("a", "not JSON".to_owned(), PartitionId::default(), offset, payload.clone())
        };
        for first in (0..400).step_by(100) {
            files.append("s", &(first..first + 100).map(event).collect::<Vec<_>>()).unwrap();
        }
        let both = [files.folder.newer("s"), files.folder.older("s")];
        assert!(both.iter().all(|path| path.exists()), "there is more than a file's worth");
        // What is before the part that is needed is not looked at: it may be anything.
        let kept = std::fs::read(&both[1]).unwrap();
        std::fs::write(&both[1], vec![b'\n'; kept.len()]).unwrap();
        let offsets = |limit| {
            let listed = files.folder.list("s", limit).unwrap();
            listed.iter().map(|letter| letter.offset().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(offsets(3), [397, 398, 399]);
        std::fs::write(&both[1], kept).unwrap();
        assert_eq!(offsets(400), (0..400).collect::<Vec<_>>());
        assert_eq!(offsets(60), (340..400).collect::<Vec<_>>());
    }

    #[test]
    fn a_flood_stays_within_the_limit() {
        let (folder, mut files) = made(4096);
        for offset in 0..500 {
            files.append("s", &[letter("a", offset)]).unwrap();
        }
        let bytes: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 4096, "{bytes}");
        assert_eq!(files.folder.list("s", 1).unwrap()[0].offset(), Some(499));
    }
}
