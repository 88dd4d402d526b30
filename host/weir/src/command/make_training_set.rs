//! `weir make-training-set DIR`: what a server starts to make a training set that was ordered over HTTP, in the folder that
//! has the spine. Not for people, who have `weir train`, so the command line does not know it.

use crate::failure::Failure;
use crate::runtime::BEHIND_OTHERS;
use crate::training::{self, Request, TrainingSet};
use crate::trainings::child::end_group;
use crate::trainings::words::{COMMAND, Made, RESULT, SPINE, Said, named};
use clap::Parser;
use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_event::Clock;
use weir_plan::definition::Log;
use weir_serve::{TrainingOrder, TrainingProgress, TrainingRule};
use weir_train::{AsOfRule, Listener, Pace, Progress};

/// The word behind `weir`.
pub(super) const NAME: &str = COMMAND;
/// How far it is is said so often.
const SAID_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Parser)]
#[command(name = "weir")]
struct Maker {
    /// [`NAME`].
    _command: String,
    project: PathBuf,
}

pub(super) fn run() -> Result<(), Failure> {
    let maker = Maker::try_parse().map_err(|error| Failure::user(error.render().to_string().trim_end()))?;
    crate::log::start_as(&Log { json: true, level: "warn".to_owned() });
    let order = read_order()?;
    give_way();
    end_with_the_server()?;
    let request = Request {
        folder: maker.project,
        spine: named(SPINE, order.spine_format).into(),
        features: order.features,
        output: named(RESULT, order.format).into(),
        rule: match order.as_of {
            TrainingRule::Known => AsOfRule::Known,
            TrainingRule::Event => AsOfRule::Event,
        },
        serving_delay: order.serving_delay.parse().map_err(Failure::weir)?,
        time: order.time,
        with_status: order.status,
        with_log: order.with_log,
        pace: Pace::Sparing,
    };
    let said = match training::run(&request, &listener) {
        Ok(made) => {
            say(&Said::Progress(all_of(&made)));
            Said::Done(Made { rows: made.rows, made_of: made.about })
        }
        Err(failure) => Said::Failed(failure.to_string()),
    };
    say(&said);
    Ok(())
}

fn read_order() -> Result<TrainingOrder, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::weir(format!("the order cannot be read: {error}")))?;
    serde_json::from_str(&line).map_err(|error| Failure::weir(format!("the order is not one: {error}")))
}

/// Ends this process when its standard input does: whoever holds the other end is gone then, whatever ended it.
fn end_with_the_server() -> Result<(), Failure> {
    let wait = || {
        // An error ends it as the end does.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        // Those that compile plugins for it do not read it.
        end_group(std::process::id());
        std::process::exit(1);
    };
    let started = std::thread::Builder::new().name("weir-server".to_owned()).spawn(wait);
    started.map(drop).map_err(|error| Failure::external(format!("cannot start threads: {error}")))
}

/// Lookups are not to notice this process: it gets what processor time is left, and where memory is short it is ended before
/// the server is. To be called before there are other threads, which take after this one.
fn give_way() {
    const FIRST_TO_GO: &str = "1000";
    // Where the system does not let it, it works all the same; only Linux has the second.
    let _ = rustix::process::nice(BEHIND_OTHERS);
    let _ = std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
}

fn say(said: &Said) {
    let Ok(mut line) = serde_json::to_vec(said) else { return };
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    // Nobody hears it when the server is gone, and this process goes too.
    let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
}

/// Says how far all jobs are together, now and then.
fn listener(clock: Arc<dyn Clock>, jobs: usize) -> Listener {
    let known = Mutex::new((clock.monotonic(), BTreeMap::<String, (u64, (u64, u64))>::new()));
    Arc::new(move |progress: Progress<'_>| {
        let now = clock.monotonic();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, by_job) = &mut *known;
        by_job.insert(progress.job.to_owned(), (progress.events, progress.answered));
        if now.saturating_sub(*said) >= SAID_EVERY {
            *said = now;
            say(&Said::Progress(together(by_job.values(), jobs)));
        }
    })
}

/// How far these jobs are, of so many that will be asked for as many rows each.
fn together<'a>(known: impl Iterator<Item = &'a (u64, (u64, u64))>, jobs: usize) -> TrainingProgress {
    let mut all = TrainingProgress::default();
    for (events, (answered, of)) in known {
        all.events += events;
        all.answered += answered;
        all.of = all.of.max(of * jobs as u64);
    }
    all.share = (all.of > 0).then(|| all.answered as f64 / all.of as f64);
    all
}

/// How far a training set is that is made.
fn all_of(made: &TrainingSet) -> TrainingProgress {
    let jobs = made.about["jobs"].as_object();
    let events = jobs.into_iter().flatten().filter_map(|(_, job)| job["events"].as_u64()).sum();
    let answered = made.rows * jobs.map_or(0, |jobs| jobs.len() as u64);
    TrainingProgress { events, answered, of: answered, share: Some(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_rows_of_all_jobs() {
        let all = together([(10, (1, 4)), (20, (3, 4))].iter(), 4);
        assert_eq!(all, TrainingProgress { events: 30, answered: 4, of: 16, share: Some(0.25) });
        assert_eq!(together([].iter(), 2).share, None);
    }
}
