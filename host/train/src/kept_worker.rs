//! A worker's timelines as a checkpoint keeps them: everything that they hold, under the names of the core. Whoever has a
//! key group later takes it back, be there as many workers or not.
//!
//! Must not know when that is.

use crate::checkpoint::{Out, Parts, Written};
use crate::error::TrainError;
use crate::worker::Worker;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use weir_core::stored::Name;
use weir_event::KeyGroup;

/// Asks all workers to keep what they have.
#[derive(Debug, Clone)]
pub(crate) struct Keep {
    pub(crate) folder: PathBuf,
    /// No file that is needed has it in its name.
    pub(crate) number: u64,
    /// Who is told, once by each.
    pub(crate) done: Sender<Result<WorkerMark, TrainError>>,
}

/// What a worker has kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WorkerMark {
    pub(crate) worker: usize,
    pub(crate) timelines: Written,
    /// How many rows of the spine have no answer though they have a key, and why the first has none.
    failed: (u64, Option<String>),
}

impl Worker {
    /// Keeps everything, and says so.
    pub(crate) fn keep(&mut self, keep: &Keep) {
        let kept = self.finish().and_then(|()| self.put_aside()).and_then(|()| self.keep_timelines(keep));
        // Nobody waits where another worker has failed.
        let _ = keep.done.send(kept);
    }

    fn keep_timelines(&self, keep: &Keep) -> Result<WorkerMark, TrainError> {
        let worker = self.number;
        let mut out = Out::named(&keep.folder, format!("timelines-{}-{worker}", keep.number))?;
        let (mut entry, mut failed) = (Vec::new(), Ok(()));
        // They are one segment, of which any group shows all.
        self.keyed.all(KeyGroup(self.groups.start), &mut |name, value| {
            let Some(value) = value.filter(|_| failed.is_ok()) else { return };
            entry.clear();
            name.put_with_group(&mut entry);
            failed = out.put_part(&entry).and_then(|()| out.put_part(value));
        })?;
        failed?;
        Ok(WorkerMark { worker, timelines: out.sync()?, failed: self.failed.clone() })
    }

    /// Takes back what is its own of what all workers have kept.
    pub(crate) fn restore(
        &mut self,
        folder: &std::path::Path,
        marks: &[WorkerMark],
    ) -> Result<(), TrainError> {
        for mark in marks {
            let mut parts = Parts::of(folder, &mark.timelines)?;
            while let Some(entry) = parts.next()? {
                let value = parts.take()?;
                let damaged = || TrainError::weir("a name in a checkpoint does not read");
                let group = Name::parse_with_group(&entry).ok_or_else(damaged)?.group();
                if self.groups.contains(&group.0) {
                    self.keyed.restore(group, &entry[size_of::<u16>()..], &value)?;
                }
            }
            if mark.worker == self.number {
                self.failed = mark.failed.clone();
            }
        }
        Ok(self.keyed.restore_done(KeyGroup(self.groups.start))?)
    }
}
