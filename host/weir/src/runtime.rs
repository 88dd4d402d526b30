//! Threads: batches on one runtime, requests on another, so that a lookup never waits for a batch; and jobs that read the
//! past on a third, so that neither waits for those.

use crate::failure::Failure;
use std::io;
use std::num::NonZero;
use std::ops::Deref;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
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
pub(crate) struct Threads {
    runtime: Option<Runtime>,
    background: Option<Runtime>,
}

/// What still runs when a runtime goes has so long to end.
const GRACE: Duration = Duration::from_secs(1);

impl Drop for Threads {
    fn drop(&mut self) {
        let runtimes = [self.background.take(), self.runtime.take()];
        runtimes.into_iter().flatten().for_each(|runtime| runtime.shutdown_timeout(GRACE));
    }
}

impl Deref for Threads {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is taken out by `drop` alone")
    }
}

/// Whoever is so nice has a tenth of the time of others that want the same core, and all of one that nobody wants.
pub(crate) const BEHIND_OTHERS: i32 = 10;

impl Threads {
    /// These, and others beside them for jobs that read the past, which take what time these leave.
    pub(crate) fn with_background(mut self, workers: usize) -> Result<Threads, Failure> {
        // Linux keeps niceness by thread, others by process. Where it is refused, others wait longer, and nothing else.
        #[cfg(target_os = "linux")]
        let behind_others = {
            let niceness = rustix::process::getpriority_process(None).unwrap_or(0) + BEHIND_OTHERS;
            move || {
                let _refused = rustix::process::setpriority_process(None, niceness);
            }
        };
        #[cfg(not(target_os = "linux"))]
        let behind_others = || ();
        self.background = Some(start("weir-past", workers.max(1), behind_others)?);
        Ok(self)
    }

    /// Where jobs read the past, if that is apart.
    pub(crate) fn background(&self) -> Option<Handle> {
        self.background.as_ref().map(|runtime| runtime.handle().clone())
    }
}

/// The runtime of the engine.
pub(crate) fn engine(workers: usize) -> Result<Threads, Failure> {
    let runtime = start("weir-engine", workers.max(1), || ())?;
    let threads = Threads { runtime: Some(runtime), background: None };
    threads.block_on(async { take_limits_for_errors() })?;
    Ok(threads)
}

/// The runtime of the HTTP server.
pub(crate) fn http() -> Result<Threads, Failure> {
    let runtime = start("weir-http", HTTP_WORKERS, || ())?;
    Ok(Threads { runtime: Some(runtime), background: None })
}

fn start(
    name: &str,
    workers: usize,
    on_start: impl Fn() + Send + Sync + 'static,
) -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(name)
        .on_thread_start(on_start)
        .enable_all()
        .build()
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
