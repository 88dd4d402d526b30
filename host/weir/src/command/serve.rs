//! `weir serve DIR`: the project, live, with HTTP. Also what `weir demo` runs.

use super::{ProjectArgument, StateArguments, greeting};
use crate::failure::Failure;
use crate::live::Live;
use crate::plugins;
use crate::process;
use crate::runtime::{self, StopSignals, Threads};
use crate::training::Judge;
use crate::trainings::Trainings;
use crate::wiring::{self, Opening};
use clap::Args;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_engine::{JobState, Mode, SystemClock};

/// Run the project live, with HTTP; SIGTERM and Ctrl-C checkpoint and exit
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir serve my-features\n  weir serve my-features --reset user_day\n  weir serve my-features --listen 127.0.0.1:9000"
)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    project: ProjectArgument,
    /// Where HTTP listens, in place of what weir.yaml or WEIR_LISTEN say
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    state: StateArguments,
}

/// The variable of the setting that says where to listen.
const LISTEN: &str = "WEIR_LISTEN";

pub(super) fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let listen = arguments.listen.map(|address| (LISTEN.to_owned(), address));
    let opening = Opening {
        reset: arguments.state.reset,
        accept_older: arguments.state.accept_older,
        overrides: listen.into_iter().collect(),
        ..Opening::default()
    };
    let server = Server::start(&arguments.project.folder, &opening)?;
    server.until_asked_to_stop()
}

/// A server in this process.
pub(super) struct Server {
    live: Live,
    trainings: Trainings,
    engine_threads: Threads,
    http_threads: Threads,
    http: JoinHandle<std::io::Result<()>>,
    stop: watch::Sender<bool>,
    address: SocketAddr,
    hangups: Signal,
    stops: StopSignals,
}

impl Server {
    /// Opens the project, starts its jobs and listens.
    pub(super) fn start(folder: &Path, opening: &Opening) -> Result<Server, Failure> {
        let http_threads = runtime::http()?;
        // Taken at once: until then a hangup ends the process, and opening may take long.
        let cannot_take = |error| Failure::external(format!("cannot take signals: {error}"));
        let hangups = http_threads.block_on(async { signal(SignalKind::hangup()) }).map_err(cannot_take)?;
        let opened = wiring::open(folder, opening, Arc::new(SystemClock::new()))?;
        let listener = listen(opened.server.listen, Setting::of(opening))?;
        let address = listener.local_addr().map_err(|error| Failure::external(error.to_string()))?;
        let engine_threads = runtime::engine(opened.shards)?.with_background(runtime::cores())?;
        let background = engine_threads.background();
        let running = engine_threads.block_on(wiring::start(&opened, Mode::Live, background))?;
        let streams = Arc::new(wiring::streams(&opened, &running)?);
        let judge = Judge {
            engine: running.engine.clone(),
            folder: opened.folder.clone(),
            environment: opening.overrides.clone(),
            plugins: opened.plugins.clone(),
            clock: opened.clock.clone(),
        };
        let trainings = Trainings::open(&opened.data_dir, judge, engine_threads.handle());
        let live = Live::new(opened, running, streams.clone(), engine_threads.handle().clone());
        // Before it answers: whoever has an answer may ask it to stop. Until then nothing has to be ended in order.
        let stops = http_threads.block_on(async { StopSignals::take() }).map_err(cannot_take)?;
        let (stop, stopped) = watch::channel(false);
        let served = served(&live, streams, trainings.clone());
        let http = http_threads.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            weir_serve::serve(listener, served, until(stopped)).await
        });
        greeting::say(&live, address);
        engine_threads.spawn(greeting::say_when_ready(live.clone()));
        Ok(Server { live, trainings, engine_threads, http_threads, http, stop, address, hangups, stops })
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
                () = self.stops.asked() => None,
                ended = &mut self.http => Some(ended),
                () = reload_when_asked(&mut self.hangups, &self.live) => None,
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
        self.trainings.stop();
        self.engine_threads.block_on(self.live.close());
        let jobs = self.live.running().engine.jobs();
        let alive = jobs.iter().filter(|job| !matches!(job.status().state, JobState::Failed(_)));
        let alive: Vec<_> = alive.collect();
        let last = async {
            jobs.iter().for_each(|job| job.stop());
            self.live.running().engine.stop_fillings().await;
            let mut failures = Vec::new();
            for job in alive {
                failures.extend(job.outcome().await.err().map(|error| Failure::from(&*error)));
            }
            Failure::all(failures)
        };
        let opened = self.live.opened();
        self.engine_threads.block_on(async {
            tokio::select! {
                ended = last => ended,
                never = plugins::halt_soon(&opened.plugins, &*opened.clock) => match never {},
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

/// What says where to listen, of that which can.
#[derive(Debug, Clone, Copy)]
enum Setting {
    Option,
    Variable,
    File,
}

impl Setting {
    fn of(opening: &Opening) -> Setting {
        if opening.overrides.contains_key(LISTEN) {
            Setting::Option
        } else if std::env::var(LISTEN).is_ok_and(|address| !address.is_empty()) {
            Setting::Variable
        } else {
            Setting::File
        }
    }

    /// How it is changed.
    fn change(self) -> &'static str {
        match self {
            Setting::Option => "give `--listen` another address",
            Setting::Variable => "set WEIR_LISTEN, which comes before weir.yaml, to another address",
            Setting::File => "set another `listen` in weir.yaml",
        }
    }
}

fn listen(address: SocketAddr, setting: Setting) -> Result<TcpListener, Failure> {
    let change = setting.change();
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            Failure::user(format!("{address} is taken by another program; stop that one, or {change}"))
        }
        ErrorKind::PermissionDenied | ErrorKind::AddrNotAvailable => {
            Failure::user(format!("cannot listen on {address}: {error}; {change}"))
        }
        _ => Failure::external(format!("cannot listen on {address}: {error}")),
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|error| Failure::external(format!("cannot listen on {address}: {error}")))?;
    Ok(listener)
}

/// SIGHUP has the definitions read again, without end.
async fn reload_when_asked(hangups: &mut Signal, live: &Live) {
    while hangups.recv().await.is_some() {
        tracing::info!("SIGHUP: reading the definitions again");
        live.reload().await;
    }
    std::future::pending().await
}

fn served(live: &Live, streams: Arc<weir_serve::Streams>, trainings: Trainings) -> Arc<weir_serve::Served> {
    let opened = live.opened();
    Arc::new(weir_serve::Served {
        engine: live.running().engine.clone(),
        streams,
        control: Arc::new(live.clone()),
        training: Arc::new(trainings),
        plugins: opened.plugins.clone(),
        token: opened.server.token.clone(),
        limits: opened.server.limits,
        component_bytes: plugins::limits(&opened.server).component_bytes as u64,
        clock: opened.clock.clone(),
        process: process::figures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_the_users_fault_and_named() {
        let first = listen((std::net::Ipv4Addr::LOCALHOST, 0).into(), Setting::File).unwrap();
        let address = first.local_addr().unwrap();
        for (setting, where_it_is) in [
            (Setting::Option, "`--listen`"),
            (Setting::Variable, "WEIR_LISTEN"),
            (Setting::File, "in weir.yaml"),
        ] {
            let failure = listen(address, setting).unwrap_err();
            assert_eq!(failure.exit_code(), 1);
            let said = failure.to_string();
            assert!(said.contains(&format!("{address} is taken")) && said.contains(where_it_is), "{said}");
        }
    }
}
