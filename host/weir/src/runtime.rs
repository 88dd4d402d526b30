//! Threads: batches on one runtime, requests on another, so that a lookup never waits for a batch.

use crate::failure::Failure;
use std::io;
use std::num::NonZero;
use std::ops::Deref;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Requests are short: two threads answer tens of thousands a second, and more would take cores from batches.
const HTTP_WORKERS: usize = 2;

/// The number of cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A runtime that is not waited for without end when it goes: a thread may hang in a call to another system, and
/// what has to be safe is so before.
#[derive(Debug)]
pub(crate) struct Threads(Option<Runtime>);

/// What still runs when a runtime goes has so long to end.
const GRACE: Duration = Duration::from_secs(1);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(GRACE);
        }
    }
}

impl Deref for Threads {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("the runtime is taken out by `drop` alone")
    }
}

/// The runtime of the engine.
pub(crate) fn engine(workers: usize) -> Result<Threads, Failure> {
    let threads = start("weir-engine", workers.max(1))?;
    threads.block_on(async { take_limits_for_errors() })?;
    Ok(threads)
}

/// The runtime of the HTTP server.
pub(crate) fn http() -> Result<Threads, Failure> {
    start("weir-http", HTTP_WORKERS)
}

fn start(name: &str, workers: usize) -> Result<Threads, Failure> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(name)
        .enable_all()
        .build()
        .map(|runtime| Threads(Some(runtime)))
        .map_err(|error| Failure::external(format!("cannot start threads: {error}")))
}

/// Has a file that would grow beyond the limit of the process (`ulimit -f`) fail the write, as a full disk does: else the
/// signal ends the process without a word. To be called where a runtime is.
fn take_limits_for_errors() -> Result<(), Failure> {
    let taken = signal(SignalKind::from_raw(SIGXFSZ));
    taken.map(drop).map_err(|error| Failure::external(format!("cannot take signals: {error}")))
}

/// The number of that signal on Linux and macOS.
const SIGXFSZ: i32 = 25;

/// SIGTERM and Ctrl-C: from when they are taken on, neither ends the process by itself, and one that has come is not lost.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes them. To be called inside a runtime.
    pub(crate) fn take() -> io::Result<StopSignals> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the first of them, which asks for an orderly end.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for SIGTERM or Ctrl-C from now on.
pub(crate) async fn asked_to_stop() {
    match StopSignals::take() {
        Ok(mut signals) => signals.asked().await,
        Err(_) => std::future::pending().await,
    }
}
