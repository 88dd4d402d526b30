//! Checkpoints of jobs that are replayed, so that a run that was killed goes on where it was.
//!
//! Each job has a folder. What was kept last is said by one file, which takes the place of the one before it at once, names
//! all others that are needed, and says of each what is in it; what it does not name goes. Whatever is not as it was
//! written, and whatever was read that is not what it was, has the job begin anew: a checkpoint saves time, and is never
//! needed.
//!
//! Must not know what of a job is kept.

mod files;
mod sources;

pub(crate) use files::{Out, Parts, Written, open};

use crate::Job;
use crate::error::TrainError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sources::ReadFromAll;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_event::{Clock, EventTime};

/// What checkpoints are written in; others are not read.
pub const FORMAT: u32 = 1;
/// The file that names the others.
const MARK: &str = "mark";
/// How often a checkpoint is made that costs little.
const USUALLY_EVERY: Duration = Duration::from_secs(10);
/// Between two checkpoints lies so many times what the first has cost: less than 3 % of the time is spent on them.
const COSTS_BETWEEN: u32 = 40;

/// How often checkpoints are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Every ten seconds, or so seldom that they cost little.
    Sparing,
    /// So often, whatever that costs.
    Every(Duration),
}

/// How to keep how far jobs are.
#[derive(Clone)]
pub struct Checkpoints {
    /// Holds a folder for each job, and nothing else. It is of one request: whoever asks for something else empties it before.
    pub folder: PathBuf,
    /// How often.
    pub pace: Pace,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Is told of a job when it goes on, or why it cannot.
    pub teller: Teller,
}

/// What becomes of a checkpoint that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// The job was at its end.
    Finished,
    /// It goes on behind so many events, of which so many rows of the spine have answers.
    GoesOn {
        /// Events that are not read again.
        events: u64,
        /// Rows of the spine that are not asked again.
        answered: u64,
    },
    /// It begins anew, for this reason.
    Anew(&'a str),
}

/// Is told what becomes of the checkpoint of a job.
pub type Teller = Arc<dyn Fn(&str, Told<'_>) + Send + Sync>;

/// The checkpoints of one job.
pub(crate) struct Keeper {
    job: String,
    folder: PathBuf,
    pace: Pace,
    clock: Arc<dyn Clock>,
    teller: Teller,
    /// What those read who go on, and those who begin.
    read_from: (ReadFromAll, ReadFromAll),
    /// When the last one was made, and what it has cost.
    last: (Duration, Duration),
    started: Duration,
    number: u64,
    has_moved_on: bool,
    /// The present of those who go on, and of those who begin.
    presents: (EventTime, EventTime),
}

/// What [`MARK`] says.
#[derive(Serialize, Deserialize)]
struct Mark<S> {
    format: u32,
    number: u64,
    now: EventTime,
    read_from: ReadFromAll,
    files: Vec<Written>,
    stage: S,
}

impl Keeper {
    /// That of a job, whose present is this if it begins.
    pub(crate) async fn open(
        checkpoints: &Checkpoints,
        job: &Job,
        present: EventTime,
    ) -> Result<Keeper, TrainError> {
        let Checkpoints { folder, pace, clock, teller } = checkpoints.clone();
        let folder = folder.join(&job.plan.name);
        fs::create_dir_all(&folder)?;
        let now = clock.monotonic();
        let read_from = ReadFromAll::of(job).await?;
        Ok(Keeper {
            job: job.plan.name.clone(),
            folder,
            pace,
            read_from: (read_from.clone(), read_from),
            last: (now, Duration::ZERO),
            started: now,
            clock,
            teller,
            number: 0,
            has_moved_on: false,
            presents: (present, present),
        })
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was kept last, if anything was and it can be relied on.
    pub(crate) fn find<S: DeserializeOwned>(&mut self) -> Option<S> {
        let content = fs::read(self.folder.join(MARK)).ok()?;
        match self.checked(&content) {
            Ok(mark) => {
                self.number = mark.number;
                self.read_from.0 = mark.read_from;
                self.presents.0 = mark.now;
                Some(mark.stage)
            }
            Err(reason) => {
                self.tell(Told::Anew(&reason));
                None
            }
        }
    }

    fn checked<S: DeserializeOwned>(&self, content: &[u8]) -> Result<Mark<S>, String> {
        let damaged = || "its checkpoint is damaged".to_owned();
        let (check, content) = content.split_first_chunk::<4>().ok_or_else(damaged)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*check) {
            return Err(damaged());
        }
        let mark: Mark<S> = serde_json::from_slice(content).map_err(|_| damaged())?;
        if mark.format != FORMAT {
            return Err("its checkpoint is of another weir".to_owned());
        }
        if let Some(reason) = mark.read_from.changed(&self.read_from.1) {
            return Err(reason);
        }
        let is_whole = mark.files.iter().all(|file| files::is_whole(&self.folder, file));
        if is_whole { Ok(mark) } else { Err(damaged()) }
    }

    /// The present: what is known later than this was not known when the job began.
    pub(crate) fn present(&self) -> EventTime {
        self.presents.0
    }

    /// Tells what becomes of what was found.
    pub(crate) fn tell(&self, told: Told<'_>) {
        (self.teller)(&self.job, told);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> Result<(), TrainError> {
        self.number = 0;
        self.presents.0 = self.presents.1;
        self.read_from.0 = self.read_from.1.clone();
        Ok(files::retain(&self.folder, |_| false)?)
    }

    /// Whether one was made since what was found.
    pub(crate) fn has_moved_on(&self) -> bool {
        self.has_moved_on
    }

    /// Whether it is time for another one.
    pub(crate) fn is_due(&self) -> bool {
        let (last, cost) = self.last;
        let pause = match self.pace {
            Pace::Sparing => USUALLY_EVERY.max(cost * COSTS_BETWEEN),
            Pace::Every(pause) => pause,
        };
        self.clock.monotonic().saturating_sub(last) >= pause
    }

    /// Begins one, and says its number, which no file has that is needed.
    pub(crate) fn begin(&mut self) -> u64 {
        self.started = self.clock.monotonic();
        self.number += 1;
        self.number
    }

    /// It is made: what is needed are these files, which are on the disk.
    pub(crate) fn commit<S: Serialize>(&mut self, files: Vec<Written>, stage: &S) -> Result<(), TrainError> {
        let needed: HashSet<String> = files.iter().map(|file| file.name.clone()).collect();
        let read_from = self.read_from.0.clone();
        let mark =
            Mark { format: FORMAT, number: self.number, now: self.presents.0, read_from, files, stage };
        let body = serde_json::to_vec(&mark).map_err(|error| TrainError::weir(error.to_string()))?;
        let content = [&crc32fast::hash(&body).to_le_bytes()[..], &body].concat();
        files::replace(&self.folder, MARK, &content)?;
        files::retain(&self.folder, |name| name == MARK || needed.contains(name))?;
        let now = self.clock.monotonic();
        self.last = (now, now.saturating_sub(self.started));
        self.has_moved_on = true;
        Ok(())
    }
}
