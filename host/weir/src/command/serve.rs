//! `weir serve DIR`: the project, live, with HTTP. Also what `weir demo` runs.

use super::{ProjectArgument, StateArguments};
use crate::failure::Failure;
use crate::plugins;
use crate::process;
use crate::runtime::{self, Threads};
use crate::wiring::{self, Opened, Opening, Running};
use clap::Args;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_engine::{JobState, Mode};
use weir_event::SystemClock;

/// Run the project live, with HTTP; SIGTERM and Ctrl-C checkpoint and exit
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir serve my-features\n  weir serve my-features --reset user_day")]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectArgument,
    #[command(flatten)]
    state: StateArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let opening =
        Opening { reset: arguments.state.reset, accept_older: arguments.state.accept_older, shards: None };
    let server = Server::start(&arguments.project.folder, &opening)?;
    server.until_asked_to_stop()
}

/// A server in this process.
pub(super) struct Server {
    running: Running,
    engine_threads: Threads,
    http_threads: Threads,
    http: JoinHandle<std::io::Result<()>>,
    stop: watch::Sender<bool>,
    address: SocketAddr,
}

impl Server {
    /// Opens the project, starts its jobs and listens.
    pub(super) fn start(folder: &Path, opening: &Opening) -> Result<Server, Failure> {
        let opened = wiring::open(folder, opening, Arc::new(SystemClock::new()))?;
        let listener = listen(opened.server.listen)?;
        let address = listener.local_addr().map_err(|error| Failure::external(error.to_string()))?;
        let engine_threads = runtime::engine(opened.shards)?;
        let running = engine_threads.block_on(wiring::start(&opened, Mode::Live))?;
        let http_threads = runtime::http()?;
        let (stop, stopped) = watch::channel(false);
        let served = served(&opened, &running)?;
        let http = http_threads.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            weir_serve::serve(listener, served, until(stopped)).await
        });
        tracing::info!("listening on http://{address}");
        Ok(Server { running, engine_threads, http_threads, http, stop, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The threads that answer requests, for whatever else waits.
    pub(super) fn threads(&self) -> &Threads {
        &self.http_threads
    }

    fn until_asked_to_stop(mut self) -> Result<(), Failure> {
        let ended = self.http_threads.block_on(async {
            tokio::select! {
                () = runtime::asked_to_stop() => None,
                ended = &mut self.http => Some(ended),
            }
        });
        match ended {
            None => {
                let stopped = self.stop();
                process::leave(self);
                stopped
            }
            Some(Ok(Err(error))) => Err(Failure::external(format!("the HTTP server ended: {error}"))),
            Some(_) => Err(Failure::weir("the HTTP server ended without being asked to")),
        }
    }

    /// Answers no more, lets every job make a last checkpoint, and waits for that. A job that had failed before
    /// is no failure of stopping.
    pub(super) fn stop(&self) -> Result<(), Failure> {
        tracing::info!("stopping: each job makes a last checkpoint");
        self.stop.send_replace(true);
        let jobs = self.running.engine.jobs();
        let alive = jobs.iter().filter(|job| !matches!(job.status().state, JobState::Failed(_)));
        let alive: Vec<_> = alive.collect();
        let last = async {
            jobs.iter().for_each(|job| job.stop());
            let mut failures = Vec::new();
            for job in alive {
                failures.extend(job.outcome().await.err().map(|error| Failure::from(&*error)));
            }
            Failure::all(failures)
        };
        self.engine_threads.block_on(async {
            tokio::select! {
                ended = last => ended,
                () = runtime::asked_to_stop() => Err(Failure::user(
                    "stopped at once; the next start goes on from the last checkpoint that was made",
                )),
            }
        })
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // Without a sender nobody can ask any more, which is as good as being asked.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Failure::user(format!(
            "{address} is taken by another program; stop that one, or set another `listen` in weir.yaml"
        )),
        ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => {
            Failure::user(format!("cannot listen on {address}: {error}; set another `listen` in weir.yaml"))
        }
        _ => Failure::external(format!("cannot listen on {address}: {error}")),
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|error| Failure::external(format!("cannot listen on {address}: {error}")))?;
    Ok(listener)
}

fn served(opened: &Opened, running: &Running) -> Result<Arc<weir_serve::Served>, Failure> {
    Ok(Arc::new(weir_serve::Served {
        engine: running.engine.clone(),
        streams: wiring::entries(opened, running)?,
        plugins: opened.plugins.clone(),
        token: opened.server.token.clone(),
        limits: opened.server.limits,
        component_bytes: plugins::limits(&opened.server).component_bytes as u64,
        clock: opened.clock.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_the_users_fault_and_named() {
        let first = listen((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = first.local_addr().unwrap();
        let failure = listen(address).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(format!("{failure:?}").contains(&format!("{address} is taken")), "{failure:?}");
    }
}
