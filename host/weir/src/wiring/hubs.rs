//! Which jobs share a reader: those that read the same stream from the same source.

use super::Opened;
use super::spec::{decoder, settings_failure, source};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_connectors::http::IngestLogs;
use weir_engine::StreamHub;
use weir_plan::{JobPlan, StreamInput};

/// By job, what it shares with others; jobs that read alone are not among them.
pub(crate) type Hubs = BTreeMap<String, StreamHub>;

/// One hub for all jobs that read the same.
pub(super) fn hubs(opened: &Opened, logs: &Arc<IngestLogs>) -> Result<Hubs, Failure> {
    let mut groups: Vec<Vec<(&JobPlan, &StreamInput)>> = Vec::new();
    for plan in &opened.plans {
        let [input] = plan.inputs.as_slice() else { continue };
        let is_same =
            |other: &StreamInput| other.stream.name == input.stream.name && other.origin == input.origin;
        match groups.iter_mut().find(|group| group.iter().any(|(_, other)| is_same(other))) {
            Some(group) => group.push((plan, input)),
            None => groups.push(vec![(plan, input)]),
        }
    }
    let mut hubs = Hubs::new();
    for group in groups.iter().filter(|group| group.len() > 1) {
        let inputs: Vec<&StreamInput> = group.iter().map(|(_, input)| *input).collect();
        let hub = hub(opened, logs, &inputs)?;
        hubs.extend(group.iter().map(|(plan, _)| (plan.name.clone(), hub.clone())));
    }
    Ok(hubs)
}

/// Decodes what any of them reads.
fn hub(opened: &Opened, logs: &Arc<IngestLogs>, inputs: &[&StreamInput]) -> Result<StreamHub, Failure> {
    let columns: BTreeSet<usize> = inputs.iter().flat_map(|input| input.columns.iter().copied()).collect();
    let columns: Vec<usize> = columns.into_iter().collect();
    let (stream, origin) = (&inputs[0].stream, &inputs[0].origin);
    let source = source(opened, logs, &stream.name, origin)
        .map_err(|errors| settings_failure(&stream.name, &errors))?;
    let decoder = decoder(stream, &columns)?;
    Ok(StreamHub::new(source, decoder, columns, inputs.len(), opened.shards))
}
