//! Training: a job's history goes through the core once, in the order in which it was known, and the core is asked on the
//! way what a lookup would have answered then. What was done is kept now and then, so that a run that was killed goes on.
//!
//! The rows of a *spine* say whom to ask about, and when. [`spine`] reads and sorts them by that time; [`feed`] reads the
//! logs of a job's streams; [`history`] puts their rows in the order in which they were known; [`replay`] goes through both
//! side by side, under a clock of its own that stands where the rows do; [`worker`] holds the timelines and answers; and
//! [`table`] puts the answers beside the rows of the spine, as these came, and what is [`derived`] of both. What does not fit in memory waits in files
//! ([`sorting`]). [`checkpoint`] keeps what each of them has for the next run, where [`answering`] goes on.
//!
//! Must not know: SQL, a project's files, which connector or format it is, HTTP, or what time it is except for when a
//! checkpoint is due.

mod answering;
pub mod checkpoint;
mod derived;
pub mod error;
mod feed;
mod history;
mod in_event_time;
mod kept_feed;
mod kept_history;
mod kept_replay;
mod kept_rows;
mod kept_worker;
mod orders;
mod replay;
mod sorting;
pub mod spine;
pub mod table;
mod worker;

pub use answering::{Answers, answers};
pub use checkpoint::{Checkpoints, Pace, Told};
pub use error::TrainError;
pub use replay::JobReport;
pub use spine::Spine;
pub use table::{Column, Table, Underived};

use std::path::PathBuf;
use std::sync::Arc;
use weir_connect::{Decoder, Source};
use weir_core::Cut;
use weir_event::{EventTime, Span};
use weir_plan::{DerivedFeature, JobPlan, RequestField};

/// Where the events of one input of a job come from.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its log, up to where that ends.
    pub source: Arc<dyn Source>,
    /// Decodes the columns that the plan names of it.
    pub decoder: Arc<dyn Decoder>,
    /// What comes before the log, where that is kept elsewhere.
    pub archive: Option<Archived>,
}

/// The past of a stream, which its log goes on behind.
#[derive(Debug, Clone)]
pub struct Archived {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// Decodes the columns that the plan names of the stream, and behind them those that the archive is cut by.
    pub decoder: Arc<dyn Decoder>,
    /// Which rows come from which of the two.
    pub cut: Cut,
    /// Between these known times rows may be in neither.
    pub gap: Option<(EventTime, EventTime)>,
}

/// A job of which values are wanted.
#[derive(Debug, Clone)]
pub struct Job {
    /// It, planned.
    pub plan: Arc<JobPlan>,
    /// Those of its stored features that are answered, by index: those that are wanted, and what wanted ones are derived of.
    pub features: Vec<usize>,
    /// What is wanted of it, in the order of the table's columns.
    pub wanted: Vec<WantedFeature>,
    /// What it reads, in the order of its plan.
    pub inputs: Vec<Input>,
}

/// A feature that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedFeature {
    /// A stored one, by its index in the plan.
    Stored(usize),
    /// A derived one, by its index among those.
    Derived(usize),
}

impl Job {
    /// A job of which these features are wanted.
    pub fn new(plan: Arc<JobPlan>, wanted: Vec<WantedFeature>, inputs: Vec<Input>) -> Job {
        let own = wanted.iter().filter_map(|wanted| match wanted {
            WantedFeature::Stored(at) => Some(*at),
            WantedFeature::Derived(_) => None,
        });
        let mut features: Vec<usize> = own.collect();
        let of_derived = wanted.iter().filter_map(|wanted| match wanted {
            WantedFeature::Derived(at) => plan.transform.features.get(*at),
            WantedFeature::Stored(_) => None,
        });
        for stored in of_derived.flat_map(DerivedFeature::stored) {
            if !features.contains(&stored) {
                features.push(stored);
            }
        }
        Job { plan, features, wanted, inputs }
    }

    /// Those of its derived features that are wanted.
    pub(crate) fn derived(&self) -> impl Iterator<Item = usize> {
        self.wanted.iter().filter_map(|wanted| match wanted {
            WantedFeature::Derived(at) => Some(*at),
            WantedFeature::Stored(_) => None,
        })
    }

    /// The fields of a request that wanted features are derived of.
    pub fn requested(&self) -> impl Iterator<Item = &RequestField> {
        let transform = &self.plan.transform;
        self.derived().flat_map(|at| transform.features[at].requested()).map(|at| &transform.request[at])
    }
}

/// Which rows count for a row of the spine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOfRule {
    /// Those that were known by then: what a lookup answered at that moment, as of the job's own time.
    Known,
    /// All that happened by then, whenever they were known.
    Event,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Its name.
    pub job: &'a str,
    /// Events that were read of its history.
    pub events: u64,
    /// When the last of them was known.
    pub known: EventTime,
    /// Rows of the spine that have answers, and how many there are.
    pub answered: (u64, u64),
}

/// Is told now and then how far a job has come; often, so that it is for it to say how often that is of interest.
pub type Listener = Arc<dyn Fn(Progress<'_>) + Send + Sync>;

/// How to train.
#[derive(Clone)]
pub struct Settings {
    /// Which rows count.
    pub rule: AsOfRule,
    /// How long after it was known a row is in lookups.
    pub serving_delay: Span,
    /// Threads that hold a job's timelines.
    pub workers: usize,
    /// Where to put what does not fit in memory.
    pub scratch: PathBuf,
    /// The present: nothing is known later.
    pub now: EventTime,
    /// How to keep how far jobs are; `None` to begin anew each time.
    pub checkpoints: Option<Checkpoints>,
    /// How many bytes of rows are sorted in memory.
    pub sorted_bytes: usize,
    /// Who is told how far it is.
    pub listener: Listener,
}
