//! Why a job stopped or never started: whose fault, and whether trying again helps.

use weir_connect::ConnectError;
use weir_core::CoreError;
use weir_event::Fault;
use weir_store::StoreError;

/// What ended a job, or kept it from starting.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A source failed for good.
    #[error("job `{job}`: source: {error}")]
    Source {
        /// The job.
        job: String,
        /// What the connector says.
        error: ConnectError,
    },
    /// A run to the end is over, and a sink does not have everything.
    #[error("job `{job}`: sink `{sink}`: {error}")]
    Sink {
        /// The job.
        job: String,
        /// The sink's name.
        sink: String,
        /// What the connector says.
        error: ConnectError,
    },
    /// The checkpoint store failed.
    #[error("job `{job}`: checkpoint: {message}")]
    Store {
        /// The job.
        job: String,
        /// Whose fault.
        fault: Fault,
        /// What the store says.
        message: String,
    },
    /// The definition does not fit the state that the job left.
    #[error(
        "job `{job}`: {difference}; to drop its state and begin at its source's start, say `--reset {job}` at the next start, or `weir restart {job} --reset` of a server that runs{}",
        if *.has_sinks { ": its sinks keep the rows that they have, and get its results again" } else { "" }
    )]
    PlanChanged {
        /// The job.
        job: String,
        /// What differs.
        difference: String,
        /// Whether its results are written anywhere.
        has_sinks: bool,
    },
    /// Another job of the name runs.
    #[error("job `{job}`: it runs; stop it first")]
    Runs {
        /// The job.
        job: String,
    },
    /// Stored state does not decode.
    #[error(
        "job `{job}`: stored state is damaged: {message}; restore an older checkpoint or start it with `--reset {job}`"
    )]
    Damaged {
        /// The job.
        job: String,
        /// What does not decode.
        message: String,
    },
    /// State was written by a newer weir.
    #[error("job `{job}`: its state has format {found}, this weir reads up to {known}; run a newer weir")]
    NewerFormat {
        /// The job.
        job: String,
        /// The format found.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
    },
    /// An expression or aggregate cannot go on whatever its rows.
    #[error("job `{job}`: {message}")]
    Broken {
        /// The job.
        job: String,
        /// Which plugin or function, and why.
        message: String,
    },
    /// A plan that the engine cannot run: the planner let it through.
    #[error("job `{job}`: the plan cannot run: {message}")]
    Plan {
        /// The job.
        job: String,
        /// What does not fit.
        message: String,
    },
    /// Dead letters cannot be written.
    #[error("job `{job}`: dead letters: {message}")]
    DeadLetters {
        /// The job.
        job: String,
        /// What the file system says.
        message: String,
    },
    /// Rows that wait for a sink cannot be kept.
    #[error("job `{job}`: {message}")]
    Outbox {
        /// The job.
        job: String,
        /// Which sink's, where, and what the file system says.
        message: String,
    },
    /// A stage panicked.
    #[error("job `{job}`: a stage panicked, which is a fault of weir's own: {message}")]
    Panicked {
        /// The job.
        job: String,
        /// What the panic says.
        message: String,
    },
    /// A stage ended without saying why.
    #[error("job `{job}`: stage `{stage}` ended without a word: this is a fault of weir's own")]
    Vanished {
        /// The job.
        job: String,
        /// The stage.
        stage: &'static str,
    },
}

impl EngineError {
    /// What is wrong and what to do, without the job's name, which stands beside it.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        text.strip_prefix(&format!("job `{}`: ", self.job())).map_or(text.clone(), str::to_owned)
    }

    /// Says beside the failure of a sink that of another of its job, as whoever's is graver.
    pub(crate) fn beside(self, other: EngineError) -> EngineError {
        let is_graver = other.fault().exit_code() > self.fault().exit_code();
        let (mut told, reason) = if is_graver { (other, self.reason()) } else { (self, other.reason()) };
        if let EngineError::Sink { error, .. } = &mut told {
            error.message += &format!("; {reason}");
        }
        told
    }

    /// The job that it is about.
    fn job(&self) -> &str {
        match self {
            EngineError::Source { job, .. }
            | EngineError::Sink { job, .. }
            | EngineError::Store { job, .. }
            | EngineError::PlanChanged { job, .. }
            | EngineError::Runs { job }
            | EngineError::Damaged { job, .. }
            | EngineError::NewerFormat { job, .. }
            | EngineError::Broken { job, .. }
            | EngineError::Plan { job, .. }
            | EngineError::DeadLetters { job, .. }
            | EngineError::Outbox { job, .. }
            | EngineError::Panicked { job, .. }
            | EngineError::Vanished { job, .. } => job,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            EngineError::Source { error, .. } | EngineError::Sink { error, .. } => error.fault,
            EngineError::Store { fault, .. } => *fault,
            EngineError::PlanChanged { .. }
            | EngineError::Runs { .. }
            | EngineError::NewerFormat { .. }
            | EngineError::Broken { .. } => Fault::User,
            EngineError::DeadLetters { .. } | EngineError::Outbox { .. } => Fault::External,
            EngineError::Damaged { .. }
            | EngineError::Plan { .. }
            | EngineError::Panicked { .. }
            | EngineError::Vanished { .. } => Fault::Weir,
        }
    }

    /// Whether the same may succeed soon without anybody doing anything.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            EngineError::Source { error, .. } | EngineError::Sink { error, .. } => error.retry,
            _ => false,
        }
    }

    /// Whether it may succeed once somebody has mended something outside of weir: made a topic, freed a disk; or once a
    /// plugin's circuit breaker lets it be tried again. Nobody tells weir of that, so a live job tries again.
    pub(crate) fn may_be_mended_elsewhere(&self) -> bool {
        match self {
            EngineError::Source { error, .. } | EngineError::Sink { error, .. } => error.fault != Fault::Weir,
            EngineError::Store { .. } | EngineError::DeadLetters { .. } | EngineError::Outbox { .. } => {
                self.fault() == Fault::External
            }
            EngineError::Broken { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn store(job: &str, error: &StoreError) -> Self {
        EngineError::Store { job: job.to_owned(), fault: error.fault(), message: error.to_string() }
    }

    pub(crate) fn of_core(job: &str, error: CoreError) -> Self {
        let job = job.to_owned();
        match error {
            CoreError::Broken(message) => EngineError::Broken { job, message },
            CoreError::Damaged(message) => EngineError::Damaged { job, message },
            CoreError::Plan(message) | CoreError::Input(message) => EngineError::Plan { job, message },
        }
    }
}
