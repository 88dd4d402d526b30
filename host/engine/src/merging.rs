//! Merging of checkpoint segments, beside the commits: those never wait for it.
//!
//! A thread merges one job's segments at a time. What it made takes effect with the job's next commit: the caller puts
//! it in place of those that it was made of. Knows no barrier and no manifest but by its segments.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use weir_connect::CpuTime;
use weir_core::CoreError;
use weir_core::Expiry;
use weir_store::{CheckpointStore, Epoch, Manifest, SegmentRef, StoreError};

/// Hands merges to the thread that does them.
pub(crate) struct Merging {
    orders: Sender<Order>,
    done: Receiver<Merged>,
    /// Jobs whose segments are being merged.
    running: BTreeSet<String>,
}

/// Segments to look at.
pub(crate) struct Order {
    pub(crate) job: String,
    pub(crate) epoch: Epoch,
    pub(crate) manifest: Manifest,
    pub(crate) expiry: Result<Expiry, CoreError>,
    /// On which the work is counted.
    pub(crate) cpu: CpuTime,
}

/// What became of an order.
pub(crate) struct Merged {
    pub(crate) job: String,
    /// The segments that were looked at.
    pub(crate) of: Vec<SegmentRef>,
    /// What stands for them now; `None` where merging would not pay.
    pub(crate) segments: Result<Option<Vec<SegmentRef>>, StoreError>,
}

impl Merging {
    /// Starts the thread. It ends behind this.
    pub(crate) fn start(store: Arc<dyn CheckpointStore>) -> Merging {
        let (orders, inbox) = channel::<Order>();
        let (outcome, done) = channel();
        std::thread::spawn(move || {
            for order in inbox {
                let cpu = order.cpu.clone();
                if outcome.send(cpu.measure(|| merge(&*store, order))).is_err() {
                    return;
                }
            }
        });
        Merging { orders, done, running: BTreeSet::new() }
    }

    /// Merges segments of a job where that pays, unless some of them are being merged.
    pub(crate) fn begin(&mut self, order: Order) {
        if self.running.contains(&order.job) {
            return;
        }
        let job = order.job.clone();
        // The thread is there as long as this is; had it panicked, segments would only stay as they are.
        if self.orders.send(order).is_ok() {
            self.running.insert(job);
        }
    }

    /// What has been done since.
    pub(crate) fn done(&mut self) -> Vec<Merged> {
        let done: Vec<Merged> = self.done.try_iter().collect();
        for merged in &done {
            self.running.remove(&merged.job);
        }
        done
    }

    /// Waits until nothing is being merged; gives what was done until then.
    pub(crate) fn wait_for_all(&mut self) -> Vec<Merged> {
        let jobs: Vec<String> = self.running.iter().cloned().collect();
        let mut done = self.done();
        done.extend(jobs.iter().flat_map(|job| self.wait_for(job)));
        done
    }

    /// Waits until no segments of a job are being merged; gives what was done until then.
    pub(crate) fn wait_for(&mut self, job: &str) -> Vec<Merged> {
        let mut done = self.done();
        while self.running.contains(job) {
            let Ok(merged) = self.done.recv() else { break };
            self.running.remove(&merged.job);
            done.push(merged);
        }
        done
    }
}

fn merge(store: &dyn CheckpointStore, order: Order) -> Merged {
    let Order { job, epoch, manifest, expiry, .. } = order;
    let segments = expiry.map_err(StoreError::visit).and_then(|expiry| {
        let merged = store.compact(&job, epoch, &manifest, &|entry| expiry.is_expired(entry))?;
        Ok(merged.map(|merged| merged.segments))
    });
    Merged { job, of: manifest.segments, segments }
}
