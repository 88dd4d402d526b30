//! `weir init DIR`: a project that runs at once, with no outside service.

use super::{not_yet, print};
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::{Fetch, OpenPartition, Source};
use weir_connectors::generator::{GeneratorSettings, GeneratorSource};
use weir_event::{Clock, EventTime, Span, SystemClock};

/// Make a project that runs at once
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder, made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What it shows
    #[arg(long, value_enum, default_value_t = Template::Rides)]
    template: Template,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Template {
    /// Features of made-up ride-share events: a sequence per user, a count per place, rides in 30 days
    Rides,
    /// A plugin in Python (not available yet)
    Python,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Template::Python = arguments.template {
        return Err(not_yet("weir init --template python"));
    }
    let listen = (Ipv4Addr::LOCALHOST, 8080).into();
    let written = write_rides(&arguments.folder, listen, &SystemClock::new())?;
    let shown = arguments.folder.display();
    print(&format!(
        "made {shown}: {} files\n\n  weir check {shown}\n  weir serve {shown}\n  weir lookup client_action_sequence user_id={}",
        FILES.len(),
        written.user
    ))
}

/// The files of the template, with marks such as `{{START}}` to be filled in.
const FILES: [(&str, &str); 7] = [
    ("weir.yaml", include_str!("../../templates/rides/weir.yaml")),
    ("streams/event_user_action.yaml", include_str!("../../templates/rides/streams/event_user_action.yaml")),
    (
        "streams/event_ride_completed.yaml",
        include_str!("../../templates/rides/streams/event_ride_completed.yaml"),
    ),
    (
        "jobs/client_action_sequence.yaml",
        include_str!("../../templates/rides/jobs/client_action_sequence.yaml"),
    ),
    ("jobs/user_activity.yaml", include_str!("../../templates/rides/jobs/user_activity.yaml")),
    ("jobs/passenger_rides.yaml", include_str!("../../templates/rides/jobs/passenger_rides.yaml")),
    ("README.md", include_str!("../../templates/rides/README.md")),
];

/// Ten events a second for three hours are a backlog of a second or two.
const GENERATOR: GeneratorSettings =
    GeneratorSettings { rate: 10, seed: 7, keys: 1000, until: None, start: None };
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
    let shown = folder.display();
    if FILES.iter().any(|(path, _)| folder.join(path).exists()) {
        return Err(Failure::user(format!("there is a project in {shown} already; give another folder")));
    }
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
    for (path, text) in FILES {
        write(&folder.join(path), &fill(text, &marks))?;
    }
    Ok(entities)
}

/// Replaces marks by what they stand for.
pub(super) fn fill(text: &str, marks: &[(&str, String)]) -> String {
    marks.iter().fold(text.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

/// Writes a file and makes the folders above it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
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
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for text in events.iter().filter_map(|event| event.get(member)?.as_str()) {
            *counts.entry(text).or_default() += 1;
        }
        let mut ranked: Vec<(u32, &str)> = counts.into_iter().map(|(text, count)| (count, text)).collect();
        ranked.sort_unstable_by(|left, right| right.cmp(left));
        let chosen = ranked.get(RANK).or(ranked.last());
        chosen
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| Failure::weir("generated events name nobody"))
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
        for (path, _) in FILES {
            let text = fs::read_to_string(folder.path().join(path)).unwrap();
            assert!(!text.contains("{{"), "{path}: {text}");
        }
        let stream = fs::read_to_string(folder.path().join("streams/event_user_action.yaml")).unwrap();
        assert!(stream.contains("2026-03-01T07:00:00.000Z"), "{stream}");
        let server = fs::read_to_string(folder.path().join("weir.yaml")).unwrap();
        assert!(server.contains("listen: 127.0.0.1:7000"));
        assert!(entities.user.starts_with('u') && entities.place.len() == 5, "{entities:?}");
    }

    #[test]
    fn the_project_has_no_errors() {
        let folder = tempfile::tempdir().unwrap();
        write_rides(folder.path(), (Ipv4Addr::LOCALHOST, 8080).into(), &SystemClock::new()).unwrap();
        let project = crate::project::Project::read(folder.path()).unwrap();
        let checked = crate::definitions::check(&project, Arc::new(SystemClock::new()));
        let planned = crate::definitions::plan_copy(&project, &checked).unwrap();
        planned.errors().unwrap();
        let jobs: Vec<&str> = planned.jobs.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(jobs, ["client_action_sequence", "passenger_rides", "user_activity"]);
        assert!(!folder.path().join(".weir").exists(), "checking touches no state");
    }

    #[test]
    fn a_project_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let make = || write_rides(folder.path(), (Ipv4Addr::LOCALHOST, 1).into(), &SystemClock::new());
        make().unwrap();
        assert_eq!(make().unwrap_err().exit_code(), 1);
    }
}
