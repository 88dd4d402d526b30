//! Holdings: what a job has of the past, that a state which was made beside it must have too before it takes the job's place.
//! A value that did not change is not to become less because an archive does not reach as far back as the job does.
//!
//! Compares what two checkpoints say of the rows that were taken; must not know where these are kept.

use crate::bootstrap::Phase;
use crate::manifest::{Body, PartitionState};
use weir_core::{Extent, Shortfall, looks_back};
use weir_event::EventTime;
use weir_plan::JobPlan;
use weir_store::Commit;

/// What the checkpoint of a job has.
#[derive(Debug, Clone)]
pub struct Holdings {
    job: String,
    /// How far it had read.
    partitions: Vec<PartitionState>,
    /// Since when it has all data.
    since: Option<EventTime>,
    /// Since when its rows count in some value that goes on.
    counts_since: EventTime,
    extent: Extent,
}

/// Whether what was made beside a job may take its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It has not read as far as the job had.
    NotYet,
    /// It has all that the job had.
    Whole,
    /// It has more rows than the job has counted: which, and what that may be.
    Exceeds(String),
    /// It has not: what it lacks, and what to do.
    Lacks(String),
}

impl Holdings {
    /// What the newest checkpoint of a job has that a plan goes on with; nothing where it cannot go on.
    pub fn of(plan: &JobPlan, head: Option<&Commit>) -> Option<Holdings> {
        let body = Body::read(plan, head?.jobs.get(&plan.name)?).ok()?;
        let edited = body.edited(plan).ok()?;
        let shape = edited.map_or_else(|| body.shape_of(plan), |edited| edited.shape);
        let begun = plan.features.iter().map(|feature| shape.since(plan, feature.column));
        let goes_on_since = begun.map(|since| since.unwrap_or(EventTime::MIN)).min()?;
        let stage = plan.stage.as_ref()?;
        let back = looks_back(&stage.spec);
        let is_asked_since = back.zip(body.watermark).map_or(EventTime::MIN, |(back, now)| now - back);
        Some(Holdings {
            job: plan.name.clone(),
            since: body.data_since(),
            counts_since: goes_on_since.max(is_asked_since),
            partitions: body.partitions,
            // The archive of a table may have left out changes that later ones undo.
            extent: if stage.present.is_some() { Extent::default() } else { body.extent },
        })
    }

    /// It lacks nothing; whether it has more than the job `own` has counted by now. That can be told where it has read no
    /// further than the job, and of a job whose rows are compared at all.
    fn exceeded_by(&self, filled: &Body, own: &Body) -> Comparison {
        let is_ahead = |found: &PartitionState| {
            let read = own.partitions.iter().find(|partition| partition.id == found.id);
            !found.id.is_of_archive() && read.is_none_or(|read| read.position.next < found.position.next)
        };
        if self.extent == Extent::default() || filled.partitions.iter().any(is_ahead) {
            return Comparison::Whole;
        }
        let since = self.counts_since.max(self.since.unwrap_or(EventTime::MIN));
        match own.extent.lacks_of(&filled.extent, since) {
            None => Comparison::Whole,
            Some(Shortfall { from, until, missing }) => Comparison::Exceeds(format!(
                "archive and log have {missing} rows between {from} and {until} that the job has not counted: late ones that it \
                 left out, or rows that stand there twice (`event_id` in the stream's file tells those); features that did not \
                 change have them from now on too"
            )),
        }
    }

    /// Compares what was made beside the job `own` with what that had when it was edited.
    pub(crate) fn compare(&self, filled: &Body, own: &Body) -> Comparison {
        let is_over = filled.bootstrap.as_ref().is_none_or(|bootstrap| bootstrap.phase == Phase::Done);
        let is_as_far = |had: &PartitionState| {
            let found = filled.partitions.iter().find(|partition| partition.id == had.id);
            found.is_none_or(|found| found.position.next >= had.position.next)
        };
        let mut of_logs = self.partitions.iter().filter(|partition| !partition.id.is_of_archive());
        if !is_over || !of_logs.all(is_as_far) {
            return Comparison::NotYet;
        }
        let since =
            filled.data_since().filter(|since| *since > self.counts_since && Some(*since) > self.since);
        let lacks = match (filled.extent.lacks_of(&self.extent, self.counts_since), since) {
            (Some(Shortfall { from, until, missing }), _) => format!(
                "the job has counted {missing} rows between {from} and {until} that archive and log do not have now"
            ),
            (None, Some(since)) => {
                format!("archive and log have everything only since {since}, and the job has what was before")
            }
            (None, None) => return self.exceeded_by(filled, own),
        };
        let job = &self.job;
        Comparison::Lacks(format!(
            "{lacks}: features that did not change keep what they have, and those that are new or changed begin with the \
             edit; put the rows back into the archive and `weir restart {job}`, or take what archive and log have with \
             `weir restart {job} --reset`"
        ))
    }
}
