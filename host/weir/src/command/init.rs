//! `weir init DIR`: a project that runs at once, with no outside service.

use super::print;
use crate::failure::Failure;
use crate::templates::{self, File, Start};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::{Fetch, OpenPartition, Source};
use weir_connectors::generator::{GeneratorSettings, GeneratorSource, Users};
use weir_engine::SystemClock;
use weir_event::{Clock, EventTime, Span};

/// Make a project that runs at once
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir init my-features\n  weir init my-features --template kafka")]
pub(crate) struct InitArguments {
    /// The folder, made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What it shows
    #[arg(long, value_enum, default_value_t = Template::Rides)]
    template: Template,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Template {
    /// Made-up ride-share events: a sequence per user, a count per place, rides in 30 days; needs nothing else
    Rides,
    /// Events that are posted over HTTP
    Http,
    /// Events that are lines of files, read to their end or followed
    Files,
    /// Events that are messages of a Kafka topic
    Kafka,
    /// A Python script that posts events and asks for features
    Python,
}

impl Template {
    fn start(self) -> Option<&'static Start> {
        match self {
            Template::Rides => None,
            Template::Http => Some(&templates::HTTP),
            Template::Files => Some(&templates::FILES),
            Template::Kafka => Some(&templates::KAFKA),
            Template::Python => Some(&templates::PYTHON),
        }
    }
}

pub(super) fn run(arguments: &InitArguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let listen = (Ipv4Addr::LOCALHOST, 8080).into();
    let (files, next) = match arguments.template.start() {
        Some(start) => (start.files.len(), write_start(folder, start, listen)?),
        None => {
            let user = write_rides(folder, listen, &SystemClock::new())?.user;
            let next = format!(
                "weir check .\n  weir serve .\n\nin another shell:\n\n  weir lookup client_action_sequence user_id={user}"
            );
            (templates::RIDES.len(), next)
        }
    };
    let shown = folder.display();
    print(&format!("made {shown}: {files} files, README.md among them. Next:\n\n  cd {shown}\n  {next}"))
}

/// Writes a project of a few events into `folder`, and says what to type next.
fn write_start(folder: &Path, start: &Start, listen: SocketAddr) -> Result<String, Failure> {
    let marks = [("{{LISTEN}}", listen.to_string()), ("{{SOURCE}}", start.source.to_owned())];
    write_all(folder, start.files, &marks)?;
    Ok(fill(start.next, &marks))
}

/// Writes the files of a project; one that is there is never written over.
fn write_all(folder: &Path, files: &[File], marks: &[(&str, String)]) -> Result<(), Failure> {
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).exists()) {
        let shown = folder.display();
        return Err(Failure::user(format!("{shown} holds {path} already; give another folder")));
    }
    files.iter().try_for_each(|(path, text)| write(&folder.join(path), &fill(text, marks)))
}

/// Ten events a second for three hours are a backlog of a second or two.
const GENERATOR: GeneratorSettings =
    GeneratorSettings { rate: 10, seed: 7, keys: 1000, until: None, users: Users::Numbers, start: None };
const HOUR: Span = Span::from_millis(3_600_000);
const BACKLOG: Span = Span::from_millis(3 * 3_600_000);

/// Entities that a project's events are about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entities {
    /// A busy user.
    pub(super) user: String,
    /// A busy place.
    pub(super) place: String,
}

/// Writes the project into `folder`, which has none yet.
pub(super) fn write_rides(folder: &Path, listen: SocketAddr, clock: &dyn Clock) -> Result<Entities, Failure> {
    let entities = busy(GENERATOR)?;
    let start = clock.now().floor_to(HOUR, Span::ZERO) - BACKLOG;
    let marks = [
        ("{{LISTEN}}", listen.to_string()),
        ("{{START}}", start.to_string()),
        ("{{RATE}}", GENERATOR.rate.to_string()),
        ("{{SEED}}", GENERATOR.seed.to_string()),
        ("{{KEYS}}", GENERATOR.keys.to_string()),
        ("{{USER}}", entities.user.clone()),
        ("{{PLACE}}", entities.place.clone()),
    ];
    write_all(folder, templates::RIDES, &marks)?;
    Ok(entities)
}

/// Replaces marks by what they stand for.
pub(crate) fn fill(text: &str, marks: &[(&str, String)]) -> String {
    marks.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

/// Writes a file and makes the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    made.map_err(|error| Failure::user(format!("cannot write {}: {error}", path.display())))
}

/// Events that are looked at to find entities worth looking up.
const LOOKED_AT: u64 = 2000;

/// Of the busiest only the tenth: the first few have thousands of events, at which nobody wants to look.
const RANK: usize = 9;

/// Who and where there is something to see, by the first events that the generator makes.
fn busy(settings: GeneratorSettings) -> Result<Entities, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Failure::external(error.to_string()))?;
    let settings =
        GeneratorSettings { until: Some(LOOKED_AT), start: Some(EventTime::from_millis(0)), ..settings };
    let source = GeneratorSource::new(settings, Arc::new(SystemClock::new()));
    let first = runtime.block_on(async {
        let mut reader = source.open(0, &[OpenPartition { partition: 0, from: None }], true).await?;
        reader.next().await
    })?;
    let Fetch::Block(block) = first else {
        return Err(Failure::weir("the generator makes no events"));
    };
    let lines = block.data.split(|byte| *byte == b'\n');
    let events: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let busy = |member: &str| {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for value in events.iter().filter_map(|event| event.get(member)) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            *counts.entry(text).or_default() += 1;
        }
        let mut ranked: Vec<(u32, String)> = counts.into_iter().map(|(text, count)| (count, text)).collect();
        ranked.sort_unstable_by(|left, right| right.cmp(left));
        let chosen = ranked.get(RANK).or(ranked.last());
        chosen.map(|(_, text)| text.clone()).ok_or_else(|| Failure::weir("generated events name nobody"))
    };
    Ok(Entities { user: busy("user_id")?, place: busy("geohash")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::ManualClock;

    #[test]
    fn every_mark_is_filled_in_and_the_backlog_begins_on_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let now = "2026-03-01T10:20:30Z".parse().unwrap();
        let listen = (Ipv4Addr::LOCALHOST, 7000).into();
        let entities = write_rides(folder.path(), listen, &ManualClock::at(now)).unwrap();
        for (path, _) in templates::RIDES {
            let text = fs::read_to_string(folder.path().join(path)).unwrap();
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let stream = fs::read_to_string(folder.path().join("streams/event_user_action.yaml")).unwrap();
        assert!(stream.contains("2026-03-01T07:00:00.000Z"), "{stream}");
        let server = fs::read_to_string(folder.path().join("weir.yaml")).unwrap();
        assert!(server.contains("listen: 127.0.0.1:7000"));
        assert!(entities.user.parse::<u32>().is_ok() && entities.place.len() == 5, "{entities:?}");
    }

    /// Names of the jobs of a project, which has no errors.
    fn jobs(folder: &Path) -> Vec<String> {
        let project = crate::project::Project::read(folder).unwrap();
        let checked = crate::definitions::check(&project, Arc::new(SystemClock::new()));
        let (planned, refused_plugins) = crate::definitions::plan_copy(&project, &checked).unwrap();
        crate::definitions::errors(&planned, &refused_plugins).unwrap();
        assert!(!folder.join(".weir").exists(), "checking touches no state");
        planned.jobs.iter().map(|plan| plan.name.clone()).collect()
    }

    #[test]
    fn no_template_has_errors_or_an_empty_mark() {
        let listen = (Ipv4Addr::LOCALHOST, 8080).into();
        for template in Template::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            let Some(start) = template.start() else {
                write_rides(folder.path(), listen, &SystemClock::new()).unwrap();
                assert_eq!(
                    jobs(folder.path()),
                    ["client_action_sequence", "passenger_rides", "user_activity"]
                );
                continue;
            };
            let next = write_start(folder.path(), start, listen).unwrap();
            assert_eq!(jobs(folder.path()), ["city_hours", "user_day"], "{template:?}");
            let texts =
                start.files.iter().map(|(path, _)| fs::read_to_string(folder.path().join(path)).unwrap());
            assert!(texts.chain([next]).all(|text| !text.contains("{{")), "{template:?}");
        }
    }

    #[test]
    fn a_project_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let make = || write_rides(folder.path(), (Ipv4Addr::LOCALHOST, 1).into(), &SystemClock::new());
        make().unwrap();
        assert_eq!(make().unwrap_err().exit_code(), 1);
    }
}
