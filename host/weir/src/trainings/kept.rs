//! The folders of training sets, below `train` of the data folder: each has a spine while it is needed, what is made of it,
//! and how it stands, so that the next process knows.
//!
//! Names of folders are made here, never by who asks. Must not know processes or who waits for what.

use super::words::{RESULT, SPINE, named};
use crate::training;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use weir_event::EventTime;
use weir_serve::{TableFormat, TrainingState, TrainingStatus};

/// How one stands.
const STATUS: &str = "status.json";

/// All folders.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Below this one, which need not be there.
    pub(super) fn at(root: PathBuf) -> Folders {
        Folders { root }
    }

    /// The folder of one.
    pub(super) fn folder(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// A new one: its id, and where its spine belongs.
    pub(super) fn make(&self) -> io::Result<(String, PathBuf)> {
        fs::create_dir_all(&self.root)?;
        let folder = tempfile::Builder::new().prefix("t").rand_bytes(12).tempdir_in(&self.root)?.keep();
        let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((id, folder.join(SPINE)))
    }

    /// Calls a spine what it is; how large it is.
    pub(super) fn name_spine(&self, id: &str, format: TableFormat) -> io::Result<u64> {
        let named = self.folder(id).join(named(SPINE, format));
        fs::rename(self.folder(id).join(SPINE), &named)?;
        Ok(fs::metadata(named)?.len())
    }

    /// Where what is made of it is.
    pub(super) fn result(&self, id: &str, format: TableFormat) -> PathBuf {
        self.folder(id).join(named(RESULT, format))
    }

    /// How large that is, if it is there.
    pub(super) fn result_bytes(&self, id: &str, format: TableFormat) -> Option<u64> {
        fs::metadata(self.result(id, format)).ok().map(|found| found.len())
    }

    /// Writes how one stands.
    pub(super) fn write(&self, status: &TrainingStatus) -> io::Result<()> {
        let folder = self.folder(&status.id);
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&serde_json::to_vec_pretty(status)?)?;
        file.as_file().sync_all()?;
        file.persist(folder.join(STATUS)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Writes how one has ended, and removes what it needs no more.
    pub(super) fn settle(&self, status: &TrainingStatus) {
        match self.write(status) {
            Ok(()) => self.clean(status),
            // It was removed meanwhile, as was asked for.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let id = &status.id;
                tracing::warn!(id, %error, "how a training set ended cannot be written: after a restart it will be gone");
            }
        }
    }

    /// Removes what one needs no more, as it stands.
    fn clean(&self, status: &TrainingStatus) {
        let folder = self.folder(&status.id);
        let result = self.result(&status.id, status.order.format);
        let needed = match status.state {
            TrainingState::Done => vec![result],
            TrainingState::Failed => Vec::new(),
            TrainingState::Waiting | TrainingState::Running => {
                vec![folder.join(named(SPINE, status.order.spine_format)), training::beside(&result)]
            }
        };
        let is_needed = |path: &Path| path.ends_with(STATUS) || needed.iter().any(|other| other == path);
        let Ok(entries) = fs::read_dir(&folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !is_needed(path)) {
            if let Err(error) = discard(&path) {
                tell(&path, &error);
            }
        }
    }

    /// Removes one with all that is in it.
    pub(super) fn remove(&self, id: &str) {
        let folder = self.folder(id);
        if let Err(error) = discard(&folder) {
            tell(&folder, &error);
        }
    }

    /// Those that earlier processes left, each with when it ended if it did, in the order in which they came. What was not
    /// done then waits again.
    pub(super) fn recover(&self, now: EventTime) -> Vec<(TrainingStatus, Option<EventTime>)> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut found: Vec<_> = names.filter_map(|id| self.recover_one(&id, now)).collect();
        found.sort_by(|(a, _), (b, _)| a.posted_at.cmp(&b.posted_at));
        found
    }

    fn recover_one(&self, id: &str, now: EventTime) -> Option<(TrainingStatus, Option<EventTime>)> {
        let read = fs::read(self.folder(id).join(STATUS)).ok();
        let status = read.and_then(|read| serde_json::from_slice::<TrainingStatus>(&read).ok());
        // A folder without it has a spine that never came whole.
        let Some(mut status) = status.filter(|status| status.id == id) else {
            self.remove(id);
            return None;
        };
        let has_result = self.result_bytes(id, status.order.format).is_some();
        let spine = self.folder(id).join(named(SPINE, status.order.spine_format));
        let is_lost = match status.state {
            TrainingState::Failed => false,
            TrainingState::Done => !has_result,
            TrainingState::Waiting | TrainingState::Running => !spine.is_file(),
        };
        if is_lost {
            status.state = TrainingState::Failed;
            status.reason = Some("its file is not there; post it again".to_owned());
            status.ended_at = Some(now.to_string());
            status.kept_until = Some((now + super::KEPT).to_string());
            self.settle(&status);
        } else {
            self.clean(&status);
        }
        let has_ended = matches!(status.state, TrainingState::Done | TrainingState::Failed);
        if !has_ended {
            (status.state, status.started_at) = (TrainingState::Waiting, None);
        }
        let ended = status.ended_at.as_ref().and_then(|at| at.parse().ok()).unwrap_or(now);
        Some((status, has_ended.then_some(ended)))
    }
}

/// Removes a file or a folder, if it is there.
fn discard(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn tell(folder: &Path, error: &io::Error) {
    tracing::warn!(path = %folder.display(), %error, "what a training set left cannot be removed; remove it by hand");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use weir_serve::TrainingOrder;

    /// One that stands so.
    pub(in super::super) fn status(id: &str, state: TrainingState, order: TrainingOrder) -> TrainingStatus {
        let waiting = TrainingStatus::waiting(id.to_owned(), order, 1, "2026-01-01T00:00:00.000Z".to_owned());
        TrainingStatus { state, ..waiting }
    }

    fn order() -> TrainingOrder {
        serde_json::from_str(
            r#"{"features": ["a"], "as_of": "known", "serving_delay": "0ms", "time": "t", "status": false,
                "spine_format": "csv", "format": "jsonl"}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_was_not_done_waits_again_and_what_was_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path().join("train"));
        let now = EventTime::from_millis(1_770_000_000_000);
        assert!(folders.recover(now).is_empty());
        let make = |state| {
            let (id, spine) = folders.make().unwrap();
            fs::write(spine, "a").unwrap();
            assert_eq!(folders.name_spine(&id, TableFormat::Csv).unwrap(), 1);
            folders.write(&status(&id, state, order())).unwrap();
            id
        };
        let (half, spine) = folders.make().unwrap();
        fs::write(spine, "a").unwrap();
        let (running, done) = (make(TrainingState::Running), make(TrainingState::Done));
        let (lost, failed) = (make(TrainingState::Waiting), make(TrainingState::Failed));
        fs::remove_file(folders.folder(&lost).join("spine.csv")).unwrap();
        fs::create_dir(folders.folder(&running).join("of a process that was killed")).unwrap();
        fs::create_dir(folders.folder(&running).join(".weir-train-result.jsonl")).unwrap();
        fs::write(folders.result(&done, TableFormat::Jsonl), "{}").unwrap();
        let found = folders.recover(now);
        assert_eq!(found.len(), 4);
        assert!(!folders.folder(&half).exists());
        let of = |id: &str| found.iter().find(|(status, _)| status.id == id).unwrap();
        let state = |id: &str| (of(id).0.state, of(id).1);
        assert_eq!(state(&done), (TrainingState::Done, Some(now)));
        assert_eq!(state(&running), (TrainingState::Waiting, None));
        assert_eq!(
            (state(&lost), state(&failed)),
            ((TrainingState::Failed, Some(now)), (TrainingState::Failed, Some(now)))
        );
        assert!(of(&lost).0.reason.as_deref().is_some_and(|reason| reason.contains("post it again")));
        let left = |id: &str| fs::read_dir(folders.folder(id)).unwrap().count();
        assert_eq!([&running, &done, &lost, &failed].map(|id| left(id)), [3, 2, 1, 1]);
        assert_eq!(
            folders.recover(now).iter().find(|(status, _)| status.id == running).unwrap(),
            of(&running)
        );
        folders.remove(&done);
        folders.remove(&done);
        assert_eq!(folders.recover(now).len(), 3);
    }
}
