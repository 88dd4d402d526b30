//! What a job's state is made of: when one definition can go on from the state that another has left, and with which
//! columns of it.
//!
//! Knows what a state depends on. Names of jobs and features, sinks, texts and comments are not among it, nor are versions
//! of scalar functions: another one makes other values, and goes on from the same state.

use crate::components::{Of, without_components};
use crate::expressions::{Bound, type_name};
use crate::hashes::{FORM, items, joined, kept, keys, tail, unbounded, written};
use crate::last_join::Join;
use crate::relation::{Branch, Relation};
use crate::stage::{Computed, Stage, StageWindows};
use weir_plan::hash::definition_hash;
use weir_plan::{AggregateShape, Ground, JobDefinition, StateShape};

/// The fingerprint of a job's state: what is kept, in order. A job without a stage keeps nothing.
pub(crate) fn state_fingerprint(
    job: &JobDefinition,
    relation: &Relation,
    filter: Option<&Bound>,
    stage: Option<&Stage<'_, '_>>,
) -> String {
    let mut parts = vec![FORM.to_owned()];
    parts.extend(relation.branches.iter().map(|branch| branch.stream.name.clone()));
    if let Some(stage) = stage {
        parts.extend(relation.branches.iter().filter_map(kept));
        parts.extend(relation.join.as_ref().map(joined));
        parts.extend(relation.branches.iter().filter_map(items));
        parts.push(filter.map_or_else(String::new, |filter| filter.canonical.clone()));
        parts.push(keys(stage));
        parts.push(windows(stage));
        parts.extend(stage.rows.projected.iter().map(|column| column.canonical.clone()));
        parts.extend(
            stage.computed.iter().map(|computed| format!("{} {}", computed.spec.frame, computed.canonical)),
        );
        parts.push(format!("{:?}", stage.carried));
        parts.extend(unbounded(job, stage));
        parts.extend(tail(job));
    }
    name(parts)
}

fn windows(stage: &Stage<'_, '_>) -> String {
    match &stage.windows {
        StageWindows::Group(_) | StageWindows::Lifetime | StageWindows::Process(_) => stage.describe_frame(0),
        StageWindows::Over { frames, .. } => {
            (0..frames.len()).map(|frame| stage.describe_frame(frame)).collect::<Vec<_>>().join(", ")
        }
    }
}

/// The hash of parts without the components of scalar functions.
fn name(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<_> = parts.into_iter().map(|part| without_components(&part, Of::Scalars)).collect();
    definition_hash(parts.iter().map(String::as_str))
}

/// What a job's state consists of.
pub(crate) fn state_shape(
    job: &JobDefinition,
    relation: &Relation,
    filter: Option<&Bound>,
    stage: Option<&Stage<'_, '_>>,
) -> StateShape {
    let mut shape = StateShape { ground: ground(relation, stage), ..StateShape::default() };
    let Some(stage) = stage else { return shape };
    let mut rows = vec![FORM.to_owned()];
    rows.extend(relation.branches.iter().filter_map(kept));
    rows.extend(relation.branches.iter().filter_map(items));
    rows.push(format!("where {}", filter.map_or("", |filter| &filter.canonical)));
    shape.inputs = stage
        .rows
        .projected
        .iter()
        .map(|column| name(rows.iter().cloned().chain([column.canonical.clone()])))
        .collect();
    match &stage.windows {
        StageWindows::Group(_) => rows.push(stage.describe_frame(0)),
        StageWindows::Lifetime | StageWindows::Process(_) => {
            rows.extend([stage.describe_frame(0)].into_iter().chain(unbounded(job, stage)))
        }
        StageWindows::Over { .. } => rows.push("over".to_owned()),
    }
    let step = job.tail.or_else(|| relation.join.as_ref().and_then(Join::tail));
    let tiles = step.map(|step| format!("tail {}", step.millis()));
    let aggregate = |computed: &Computed| AggregateShape {
        name: name(rows.iter().cloned().chain(tiles.clone()).chain([computed.call.clone()])),
        frame: [stage.describe_frame(computed.spec.frame)].into_iter().chain(unbounded(job, stage)).collect(),
    };
    shape.aggregates = stage.computed.iter().map(aggregate).collect();
    shape.rows = name(rows);
    shape
}

/// What nothing of the state is of use without: whose it is, and when its rows happened.
fn ground(relation: &Relation, stage: Option<&Stage<'_, '_>>) -> std::collections::BTreeMap<String, Ground> {
    let event_time = |branch: &Branch| {
        let schema = &branch.stream.schema;
        schema
            .fields
            .get(schema.event_time)
            .map(|field| (written(field), field.name.clone()))
            .unwrap_or_default()
    };
    let names: Vec<&str> = relation.branches.iter().map(|branch| branch.stream.name.as_str()).collect();
    let join = relation.join.as_ref().map(joined);
    let times: Vec<(String, String)> = relation.branches.iter().map(event_time).collect();
    let mut ground = vec![
        (
            "stream",
            names.iter().map(|name| (*name).to_owned()).chain(join).collect::<Vec<_>>(),
            match &relation.join {
                Some(join) => {
                    let (left, right) = names.split_at(usize::from(join.left_inputs).min(names.len()));
                    format!("{} and, by LAST JOIN, {}", quoted(left), quoted(right))
                }
                None => quoted(&names),
            },
        ),
        (
            "event time",
            times.iter().map(|(written, _)| written.clone()).collect(),
            quoted(&times.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>()),
        ),
    ];
    if let Some(stage) = stage {
        let columns = stage.keys.iter().map(|key| (&stage.rows.projected[key.column], &key.name));
        let of_type = |bound: &Bound| type_name(&bound.data_type);
        ground.push((
            "key",
            columns.clone().map(|(bound, _)| format!("{} {}", bound.canonical, of_type(bound))).collect(),
            columns.map(|(bound, name)| format!("{name} {}", of_type(bound))).collect::<Vec<_>>().join(", "),
        ));
    }
    let part = |(what, identity, words): (&str, Vec<String>, String)| {
        (what.to_owned(), Ground { identity: name(identity), words })
    };
    ground.into_iter().map(part).collect()
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
