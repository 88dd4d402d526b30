//! `weir train DIR --spine FILE --features LIST -o FILE`: features as they were at the moments of a spine.

use super::{ProjectArgument, print};
use crate::failure::Failure;
use crate::training::{self, Request};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_event::{Clock, Span};
use weir_train::{AsOfRule, Listener, Pace, Progress};

/// How far it is is said so often.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Make a training set: each row of a spine with its features as a lookup at that moment would have given them
#[derive(Debug, Args)]
#[command(
    after_help = "The spine has the columns of the jobs' keys, the moment (`event_time`), and any others, which are passed \
                  through. Files end in .csv, .jsonl or .parquet; a spine may be compressed (.gz). Paths start \
                  where the command is typed; a file that is there is replaced once the new one is whole. Labels are features of a \
                  job whose frames look ahead: RANGE BETWEEN CURRENT ROW AND INTERVAL '7' DAY FOLLOWING; one whose time goes \
                  beyond the history is `partial`.\n\nA run that was killed or stopped goes on where it was when the same is \
                  typed again, to the same result: how far it is is kept beside the output, in .weir-train-NAME, until that is \
                  written. Where the request, a definition, the spine or a file of the history is not what it was, it begins \
                  anew; what was kept of another request for the same output is removed.\n\nExamples:\n  weir \
                  train my-features --spine labels.csv --features user_day -o train.parquet\n  weir train my-features --spine \
                  labels.parquet --features user_day:rides,city_hours:revenue --status -o train.csv"
)]
pub(crate) struct TrainArguments {
    #[command(flatten)]
    project: ProjectArgument,
    /// Whom to ask about, and when
    #[arg(long, value_name = "FILE")]
    spine: PathBuf,
    /// What to ask for: JOB:FEATURE, or JOB for all of its features
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    features: Vec<String>,
    /// Where to write the training set, in the order of the spine; beside it, in .weir-train-NAME, is kept how far it is, so that
    /// a run that was killed goes on when the same is typed again
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Which events count
    #[arg(long, value_enum, default_value_t = AsOf::Known)]
    as_of: AsOf,
    /// How long after it was known an event is in lookups, such as 200ms
    #[arg(long, value_name = "DURATION", default_value = "0ms")]
    serving_delay: Span,
    /// The spine's column of the moment
    #[arg(long, value_name = "COLUMN", default_value = "event_time")]
    time: String,
    /// Beside each feature a column JOB__FEATURE__status: ok, default, not_found, partial or error
    #[arg(long)]
    status: bool,
    /// Of streams with an archive, read also what their logs have behind it
    #[arg(long)]
    with_log: bool,
    /// How often it is kept how far it is, whatever that costs
    #[arg(long, value_name = "DURATION", hide = true)]
    keep_every: Option<Span>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AsOf {
    /// Those known by then: what a lookup answered at that moment
    Known,
    /// All that happened by then, whenever they were known
    Event,
}

pub(super) fn run(arguments: TrainArguments) -> Result<(), Failure> {
    let request = Request {
        folder: arguments.project.folder,
        spine: arguments.spine,
        features: arguments.features,
        output: arguments.output,
        rule: match arguments.as_of {
            AsOf::Known => AsOfRule::Known,
            AsOf::Event => AsOfRule::Event,
        },
        serving_delay: arguments.serving_delay,
        time: arguments.time,
        with_status: arguments.status,
        with_log: arguments.with_log,
        pace: arguments.keep_every.map_or(Pace::Sparing, |every| {
            Pace::Every(Duration::from_millis(every.millis().max(0).unsigned_abs()))
        }),
    };
    print(&training::run(&request, &|clock, _| listener(clock))?.summary)
}

/// Says how far it is, seldom.
fn listener(clock: Arc<dyn Clock>) -> Listener {
    let said = Mutex::new(clock.monotonic());
    Arc::new(move |progress: Progress<'_>| {
        let now = clock.monotonic();
        // Whoever has it says it.
        let Ok(mut said) = said.try_lock() else { return };
        if now.saturating_sub(*said) >= SAID_EVERY {
            *said = now;
            let Progress { job, events, known, answered: (answered, of) } = progress;
            tracing::info!(job, events, "up to {known}; {answered} of {of} rows of the spine are answered");
        }
    })
}
