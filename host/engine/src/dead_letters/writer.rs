//! The thread that writes dead letters, in the order in which they were handed over.
//!
//! A letter that could not be written is told to its job when that asks for what is durable. Knows no job but by name.

use super::files::{Files, Folder};
use super::told::Told;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;
use weir_connect::CpuTime;
use weir_core::DeadLetter;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum LetterRequest {
    Append(Batch),
    /// Answered when everything that a job has set aside of a stream is durable.
    Sync {
        job: String,
        stream: String,
        reply: oneshot::Sender<io::Result<()>>,
    },
    /// Answered when everything that was asked before is done.
    Fence(mpsc::Sender<()>),
}

/// Letters of one stream.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) stream: String,
    pub(super) letters: Vec<DeadLetter>,
    /// The memory that is accounted for them.
    pub(super) bytes: usize,
    pub(super) cpu: CpuTime,
}

pub(super) struct LetterWriter {
    folder: Folder,
    files: Files,
    told: Option<Told>,
    waiting_bytes: Arc<AtomicUsize>,
    /// Why letters could not be written, by job and stream, until the job has heard of it.
    failed: BTreeMap<(String, String), io::Error>,
}

impl LetterWriter {
    pub(super) fn new(folder: Folder, told: Option<Told>, waiting_bytes: Arc<AtomicUsize>) -> LetterWriter {
        let files = Files::of(folder.clone());
        LetterWriter { folder, files, told, waiting_bytes, failed: BTreeMap::new() }
    }

    /// Until nobody can ask any more.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<LetterRequest>) {
        while let Ok(request) = inbox.recv() {
            match request {
                LetterRequest::Append(batch) => {
                    let cpu = batch.cpu.clone();
                    cpu.measure(|| self.append(batch));
                }
                LetterRequest::Sync { job, stream, reply } => {
                    // The job may have been stopped meanwhile.
                    let _ = reply.send(self.sync(job, stream));
                }
                LetterRequest::Fence(reply) => {
                    let _ = reply.send(());
                }
            }
        }
    }

    fn append(&mut self, Batch { stream, letters, bytes, .. }: Batch) {
        if let Some(told) = &self.told {
            told.letters(&stream, &self.folder.newer(&stream), &letters);
        }
        if let Err(error) = self.files.append(&stream, &letters) {
            for letter in letters {
                let failed = io::Error::new(error.kind(), error.to_string());
                self.failed.insert((letter.job, stream.clone()), failed);
            }
        }
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn sync(&mut self, job: String, stream: String) -> io::Result<()> {
        if let Some(told) = &self.told {
            told.due(&stream, &self.folder.newer(&stream));
        }
        let synced = self.files.sync(&stream);
        match self.failed.remove(&(job, stream)) {
            Some(error) => Err(error),
            None => synced,
        }
    }
}
