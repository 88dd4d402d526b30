//! `weir demo`: the whole thing in one process, with no outside service: a project in a temporary folder, its
//! server, and a client that asks it over HTTP and shows the `curl` for each question.

use super::init::{self, Entities};
use super::serve::Server;
use super::{lookup, print};
use crate::client::{Client, ServerArguments};
use crate::failure::Failure;
use crate::runtime;
use crate::table;
use crate::wiring::Opening;
use clap::Args;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::{Clock, Span};

/// The whole thing with no outside service: events, features, lookups
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir demo\n  weir demo --for 10s --plugins plugins/dist")]
pub(crate) struct DemoArguments {
    /// Where components are (default: plugins/dist of the checkout, which `make plugins` fills)
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// End after this time, such as 10s (default: at Ctrl-C)
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<Span>,
    /// Where to listen (default: 127.0.0.1:8080, or any free port if that one is taken)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Values are shown so often.
const REFRESH: Duration = Duration::from_secs(3);
/// While some feature has no row yet, the server is asked so often.
const FIRST_REFRESH: Duration = Duration::from_millis(100);
/// And so long at most, then what there is is shown.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let folder = tempfile::Builder::new()
        .prefix("weir-demo-")
        .tempdir()
        .map_err(|error| Failure::external(format!("cannot make a temporary folder: {error}")))?;
    print("weir demo: made-up ride-share events in, features out; no other service is needed\n")?;
    let entities = init::write_rides(folder.path(), address(arguments.listen)?, &clock)?;
    print(&format!(
        "  project  {}: weir.yaml, streams/, jobs/ are there to be read",
        folder.path().display()
    ))?;
    print("  events   10 a second, after a backlog of three hours")?;
    let found = components(arguments.plugins.as_deref())?;
    let features = features(&entities, add_plugins(folder.path(), &found)?);

    let asked_to_start = clock.monotonic();
    let server = Server::start(folder.path(), &Opening::default())?;
    let stop = asked_to_stop(&server);
    let url = format!("http://{}", server.address());
    let took = clock.monotonic().saturating_sub(asked_to_start);
    print(&format!("  server   {url}, up after {:.1} s\n\nAsk it yourself:", took.as_secs_f64()))?;
    for feature in &features {
        print(&format!("  # {}\n  curl '{url}{}'", feature.title, feature.path()?))?;
    }
    print(&format!("  # all jobs\n  curl {url}/v1/jobs\n"))?;

    let client = Client::new(&ServerArguments { server: url, token: None })?;
    let end = arguments.duration.map(|span| Duration::from_millis(span.millis().max(0) as u64));
    let shown = Show { client, features, clock, asked_to_start }.until(&stop, end);
    print("\nstopping: each job makes a last checkpoint")?;
    let stopped = server.stop();
    shown.and(stopped)
}

/// Where to listen: what was asked for, or the usual address, or a free port.
fn address(asked: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let usual = (Ipv4Addr::LOCALHOST, 8080).into();
    match asked {
        Some(address) => Ok(address),
        None if TcpListener::bind(usual).is_ok() => Ok(usual),
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|free| free.local_addr())
            .map_err(|error| Failure::external(format!("no port is free: {error}"))),
    }
}

/// Says once when SIGTERM or Ctrl-C has come.
fn asked_to_stop(server: &Server) -> Receiver<()> {
    let (say, stop) = std::sync::mpsc::channel();
    server.threads().spawn(async move {
        runtime::asked_to_stop().await;
        // Nobody listens any more when the time was over first.
        let _ = say.send(());
    });
    stop
}

/// A plugin that the demo has a job for.
#[derive(Debug, Clone, Copy)]
struct Example {
    plugin: &'static str,
    job: &'static str,
    definition: &'static str,
    title: &'static str,
}

const SAMPLES: [Example; 2] = [
    Example {
        plugin: "trip",
        job: "driver_trip",
        definition: include_str!("../../templates/demo/driver_trip.yaml"),
        title: "plugin aggregate: km that a driver drove in the last hour, positions posted over HTTP",
    },
    Example {
        plugin: "geo",
        job: "driver_distance",
        definition: include_str!("../../templates/demo/driver_distance.yaml"),
        title: "plugin scalar: km from the centre of the city where a driver was last seen",
    },
];
const POSITIONS: &str = include_str!("../../templates/demo/driver_position.yaml");

/// The components of the samples in the folder that was asked for, or in the checkout's; says what was found.
fn components(asked: Option<&Path>) -> Result<Vec<(Example, PathBuf)>, Failure> {
    let folder = match asked {
        Some(folder) if folder.is_dir() => Some(folder.to_owned()),
        Some(folder) => {
            return Err(Failure::user(format!("--plugins {}: is not a folder", folder.display())));
        }
        None => in_checkout("plugins/dist"),
    };
    let found: Vec<(Example, PathBuf)> = folder
        .iter()
        .flat_map(|folder| SAMPLES.map(|sample| (sample, folder.join(format!("{}.wasm", sample.plugin)))))
        .filter(|(_, file)| file.exists())
        .collect();
    let names: Vec<&str> = found.iter().map(|(sample, _)| sample.plugin).collect();
    match (names.as_slice(), &folder) {
        ([], _) => print(
            "  plugins  none found, so the plugin features are left out; `make plugins` in weir's sources builds \
             them, then say --plugins plugins/dist",
        ),
        (_, folder) => {
            let from = folder.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default();
            print(&format!("  plugins  {} from {from}", names.join(", ")))
        }
    }?;
    Ok(found)
}

/// Adds components and the definitions that use them to the project.
fn add_plugins(folder: &Path, found: &[(Example, PathBuf)]) -> Result<Vec<Example>, Failure> {
    let plugins = folder.join("plugins");
    if !found.is_empty() {
        init::write(&folder.join("streams/driver_position.yaml"), POSITIONS)?;
    }
    for (sample, file) in found {
        fs::create_dir_all(&plugins)
            .and_then(|()| fs::copy(file, plugins.join(format!("{}.wasm", sample.plugin))))
            .map_err(|error| Failure::external(format!("cannot copy {}: {error}", file.display())))?;
        init::write(&folder.join(format!("jobs/{}.yaml", sample.job)), sample.definition)?;
    }
    Ok(found.iter().map(|(sample, _)| *sample).collect())
}

/// One question that the demo asks again and again.
#[derive(Debug)]
struct Feature {
    title: String,
    job: &'static str,
    key: &'static str,
    value: String,
    needs_positions: bool,
}

impl Feature {
    fn path(&self) -> Result<String, Failure> {
        lookup::path(self.job, &[format!("{}={}", self.key, self.value)], None)
    }
}

const DRIVER: &str = "d1";

fn features(entities: &Entities, samples: Vec<Example>) -> Vec<Feature> {
    let feature = |title: &str, job, key, value: &str, needs_positions| Feature {
        title: title.to_owned(),
        job,
        key,
        value: value.to_owned(),
        needs_positions,
    };
    let mut features = vec![
        feature(
            "sequence: the last actions of a user within 90 days",
            "client_action_sequence",
            "user_id",
            &entities.user,
            false,
        ),
        feature(
            "count: events at a place in the last complete hour",
            "user_activity",
            "geohash",
            &entities.place,
            false,
        ),
        feature(
            "count: completed rides of a passenger in 30 days, every hour",
            "passenger_rides",
            "passenger_id",
            &entities.user,
            false,
        ),
    ];
    let of_samples = samples.into_iter();
    features.extend(of_samples.map(|sample| feature(sample.title, sample.job, "driver_id", DRIVER, true)));
    features
}

/// What is said on the channel within so much time, if anything. The terminal that it is for is looked at by a person.
#[allow(clippy::disallowed_methods, reason = "a command's own thread paces what a person reads")]
fn asked_within(stop: &Receiver<()>, patience: Duration) -> Result<(), RecvTimeoutError> {
    stop.recv_timeout(patience)
}

/// The client's side.
struct Show {
    client: Client,
    features: Vec<Feature>,
    clock: SystemClock,
    /// When the server was started, on the clock.
    asked_to_start: Duration,
}

impl Show {
    /// Shows values again and again until it is asked to stop or the time is over.
    fn until(&self, stop: &Receiver<()>, end: Option<Duration>) -> Result<(), Failure> {
        let began = self.clock.monotonic();
        let mut first = true;
        for step in 0_u32.. {
            self.post_position(step)?;
            let values = self.ask()?;
            let since_start = self.clock.monotonic().saturating_sub(self.asked_to_start);
            let has_values = values.iter().all(|shown| shown.has_rows);
            let left = end.map(|end| end.saturating_sub(self.clock.monotonic().saturating_sub(began)));
            let is_over = left == Some(Duration::ZERO);
            let complete = has_values || is_over || since_start >= LONGEST_WAIT;
            let pause = if first && !complete {
                FIRST_REFRESH
            } else {
                if first && has_values {
                    print(&format!(
                        "first values {:.1} s after the server's start",
                        since_start.as_secs_f64()
                    ))?;
                }
                first = false;
                self.show(&values)?;
                REFRESH
            };
            if is_over {
                break;
            }
            match asked_within(stop, left.map_or(pause, |left| left.min(pause))) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }

    /// Moves the driver on, along a circle around the city.
    fn post_position(&self, step: u32) -> Result<(), Failure> {
        if !self.features.iter().any(|feature| feature.needs_positions) {
            return Ok(());
        }
        let angle = f64::from(step) / 10.0;
        let position = json!({
            "driver_id": DRIVER,
            "lat": 37.7749 + 0.05 * angle.sin(),
            "lon": -122.4194 + 0.06 * angle.cos(),
            "event_time": self.clock.now().millis(),
        });
        let body = position.to_string();
        self.client.post("/v1/streams/driver_position/events", "application/json", body.as_bytes()).map(drop)
    }

    fn ask(&self) -> Result<Vec<Shown>, Failure> {
        let ask = |feature: &Feature| {
            let answer = self.client.get(&feature.path()?);
            // A job that is still starting says so, and is asked again.
            Ok(answer.map_or_else(|_| Shown::default(), |answer| Shown::of(&answer)))
        };
        self.features.iter().map(ask).collect()
    }

    fn show(&self, values: &[Shown]) -> Result<(), Failure> {
        let jobs = self.client.get("/v1/jobs")?;
        let jobs = jobs["jobs"].as_array().map_or(&[][..], |list| &**list);
        let events: u64 = jobs.iter().filter_map(|job| job.get("events")?.as_u64()).sum();
        let now = self.clock.now().to_string();
        print(&format!("\n{now}  {events} events read by {} jobs", jobs.len()))?;
        for (feature, shown) in self.features.iter().zip(values) {
            let entity = format!("{}={}", feature.key, feature.value);
            print(&format!("  {entity:<20} {:<24} {}  ({})", shown.name, short(&shown.value), shown.status))?;
        }
        Ok(())
    }
}

/// The first feature of an answer.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    name: String,
    value: Value,
    status: String,
    /// Whether any row is behind the value.
    has_rows: bool,
}

impl Shown {
    fn of(answer: &Value) -> Shown {
        let features = answer.get("features").and_then(JsonContainerTrait::as_object);
        let Some((name, feature)) = features.and_then(|features| features.iter().next()) else {
            return Shown::default();
        };
        let status = feature.get("status").and_then(JsonValueTrait::as_str).unwrap_or_default();
        let value = feature.get("value").cloned().unwrap_or_default();
        let has_rows = feature.get("event_time").is_some_and(|time| !time.is_null());
        Shown { name: name.to_owned(), value, status: status.to_owned(), has_rows }
    }
}

/// A value on one line, of a double what a glance takes in.
fn short(value: &Value) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!("{number:.3}"),
        None => table::cell(value),
    }
}

/// A part of weir's sources, if the working folder or this program is inside them.
fn in_checkout(part: &str) -> Option<PathBuf> {
    let around = [std::env::current_dir(), std::env::current_exe()];
    let mut folders = around.iter().flatten().flat_map(|start| start.ancestors());
    // The interfaces of plugins are what makes a folder weir's: `plugins/` alone may be anybody's.
    let root = folders.find(|folder| folder.join("wit/aggregate.wit").exists())?;
    Some(root.join(part)).filter(|found| found.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_rounded() {
        assert_eq!(short(&json!(1.23456)), "1.235");
        assert_eq!(short(&json!(2)), "2");
    }

    #[test]
    fn the_first_feature_of_an_answer_is_shown() {
        let answer =
            |time: Value| json!({"features": {"n": {"value": 3, "status": "ok", "event_time": time}}});
        let expected =
            |has_rows| Shown { name: "n".to_owned(), value: json!(3), status: "ok".to_owned(), has_rows };
        assert_eq!(Shown::of(&answer(json!("2026-01-01T00:00:00.000Z"))), expected(true));
        assert_eq!(Shown::of(&answer(json!(null))), expected(false));
        assert_eq!(Shown::of(&json!({})), Shown::default());
    }

    #[test]
    fn only_samples_whose_component_is_there_get_a_job() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("geo.wasm"), "").unwrap();
        let found = components(Some(folder.path())).unwrap();
        let project = tempfile::tempdir().unwrap();
        let samples = add_plugins(project.path(), &found).unwrap();
        assert_eq!(samples.len(), 1);
        assert!(project.path().join("jobs/driver_distance.yaml").exists());
        assert!(!project.path().join("jobs/driver_trip.yaml").exists());
    }
}
