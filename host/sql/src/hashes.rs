//! Hashes: when two definitions make the same values.
//!
//! Knows what a value depends on. Names of jobs and features, sinks, texts and comments are not among
//! it.

use crate::components::{Of, without_components};
use crate::expressions::Bound;
use crate::last_join::Join;
use crate::planner::ResultColumnPlan;
use crate::relation::{Branch, Relation};
use crate::stage::{Stage, StageWindows};
use weir_event::{Field, TimeForm};
use weir_plan::hash::definition_hash;
use weir_plan::{JobDefinition, LatePolicy, StreamDefinition};

/// Changes when the meaning of the parts below does.
pub(crate) const FORM: &str = "weir/1";

/// What every feature of a job depends on.
pub(crate) struct Common {
    parts: Vec<String>,
}

impl Common {
    pub(crate) fn new(
        job: &JobDefinition,
        relation: &Relation,
        filter: Option<&Bound>,
        having: Option<&Bound>,
        stage: Option<&Stage<'_, '_>>,
    ) -> Self {
        let policy = match job.late.policy {
            LatePolicy::Correct => "correct",
            LatePolicy::Drop => "drop",
            LatePolicy::Divert => "divert",
        };
        let mut parts = vec![FORM.to_owned()];
        parts.extend(relation.branches.iter().map(|branch| admitted(&branch.stream)));
        parts.extend([
            format!("late {policy} {}", job.late.allow.millis()),
            format!("where {}", filter.map_or("", |filter| &filter.canonical)),
            format!("having {}", having.map_or("", |having| &having.canonical)),
        ]);
        parts.extend(relation.branches.iter().filter_map(|branch| dedup(&branch.stream)));
        parts.extend(relation.branches.iter().filter_map(kept));
        parts.extend(relation.join.as_ref().map(joined));
        parts.extend(relation.branches.iter().filter_map(items));
        if let Some(stage) = stage {
            parts.push(format!("keys {}", keys(stage)));
            parts.extend(unbounded(job, stage));
            parts.extend(tail(job));
        }
        Common { parts }
    }

    /// The hash of one result column.
    pub(crate) fn column(&self, column: &ResultColumnPlan) -> String {
        definition_hash(self.parts.iter().map(String::as_str).chain([column.bound.canonical.as_str()]))
    }

    /// What stays of a job's hash when other versions of plugins are activated.
    pub(crate) fn job_without_components(&self, columns: &[ResultColumnPlan]) -> String {
        let columns = columns.iter().map(|column| &column.bound.canonical);
        let parts: Vec<_> =
            self.parts.iter().chain(columns).map(|part| without_components(part, Of::All)).collect();
        definition_hash(parts.iter().map(String::as_str))
    }

    /// A job's hash: its features', or its result columns' where it has none.
    pub(crate) fn job(&self, columns: &[ResultColumnPlan], features: &[String]) -> String {
        if features.is_empty() {
            let columns: Vec<_> = columns.iter().map(|column| self.column(column)).collect();
            return definition_hash(columns.iter().map(String::as_str));
        }
        definition_hash(features.iter().map(String::as_str))
    }
}

/// Where a column stands in an event, and how it is written where that is not the standard way.
pub(crate) fn written(field: &Field) -> String {
    match field.form {
        TimeForm::Standard => format!("{:?}", field.path),
        _ => format!("{:?} {}", field.path, field.form),
    }
}

/// How rows of a stream are judged.
fn admitted(stream: &StreamDefinition) -> String {
    let time = stream.schema.fields.get(stream.schema.event_time).map(written).unwrap_or_default();
    format!("stream {} time {time} disorder {}", stream.name, stream.disorder.millis())
}

/// Which rows of a stream become the table's, where it is not the table itself.
pub(crate) fn kept(branch: &Branch) -> Option<String> {
    let filter = branch.made.as_ref()?.filter.as_ref();
    Some(format!("from {} where {}", branch.stream.name, filter.map_or("", |filter| &filter.canonical)))
}

/// What rows of a stream are items of.
pub(crate) fn items(branch: &Branch) -> Option<String> {
    Some(format!("from {} {}", branch.stream.name, branch.items.as_ref()?.canonical()))
}

/// Which rows have results, where others are only joined to them.
pub(crate) fn joined(join: &Join) -> String {
    format!("last join to {}", join.left_inputs)
}

/// Which events count once, where the stream tells them apart.
fn dedup(stream: &StreamDefinition) -> Option<String> {
    let dedup = stream.dedup?;
    let path = &stream.schema.fields.get(dedup.event_id)?.path;
    Some(format!("dedup {path:?} within {}", dedup.within.millis()))
}

pub(crate) fn keys(stage: &Stage<'_, '_>) -> String {
    let keys = stage.keys.iter().map(|key| stage.rows.projected[key.column].canonical.as_str());
    keys.collect::<Vec<_>>().join(", ")
}

/// The retention, where it is the length of a frame that has none of its own.
pub(crate) fn unbounded(job: &JobDefinition, stage: &Stage<'_, '_>) -> Option<String> {
    let is_unbounded = match &stage.windows {
        StageWindows::Group(_) => false,
        StageWindows::Lifetime | StageWindows::Process(_) => true,
        StageWindows::Over { frames, .. } => frames.iter().any(|frame| frame.reach().is_none()),
    };
    job.retention.filter(|_| is_unbounded).map(|retention| format!("retention {}", retention.millis()))
}

pub(crate) fn tail(job: &JobDefinition) -> Option<String> {
    job.tail.map(|step| format!("tail {}", step.millis()))
}
