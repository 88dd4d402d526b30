//! Which jobs share a reader: those that read the same stream from the same source, whenever they start.

use super::Opened;
use super::spec::{decoder, of_stream, settings_failure, source};
use crate::failure::Failure;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connectors::http::IngestLogs;
use weir_engine::{SharedLook, StreamHub};
use weir_plan::{StreamDefinition, StreamInput, StreamOrigin};

/// What jobs share of their streams. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Hubs {
    hubs: Arc<Mutex<Vec<Shared>>>,
    /// Of streams with an archive.
    looks: Arc<Mutex<Vec<(Arc<StreamDefinition>, SharedLook)>>>,
}

/// A stream by one definition, from one source.
struct Shared {
    stream: Arc<StreamDefinition>,
    origin: StreamOrigin,
    hub: StreamHub,
}

impl Hubs {
    /// What all jobs share that read this input's stream as it does.
    pub(super) fn of(
        &self,
        opened: &Opened,
        logs: &Arc<IngestLogs>,
        input: &StreamInput,
    ) -> Result<StreamHub, Failure> {
        let mut known = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |shared: &&Shared| *shared.stream == *input.stream && shared.origin == input.origin;
        if let Some(shared) = known.iter().find(is_same) {
            return Ok(shared.hub.clone());
        }
        known.retain(|shared| !shared.hub.is_idle());
        let (stream, origin) = (input.stream.clone(), input.origin.clone());
        let source = source(opened, logs, &stream, &origin)
            .map_err(|errors| settings_failure(&stream.name, &errors))?;
        let make_decoder = decoder(opened, &stream, &of_stream(&stream.name))?;
        let hub = StreamHub::new(source, make_decoder, opened.shards, opened.clock.clone());
        known.push(Shared { stream, origin, hub: hub.clone() });
        Ok(hub)
    }

    /// What jobs share that look for the end of this stream's archive.
    pub(super) fn look(&self, stream: &Arc<StreamDefinition>) -> SharedLook {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, look)) = looks.iter().find(|(known, _)| known == stream) {
            return look.clone();
        }
        looks.retain(|(_, look)| look.is_shared());
        let look = SharedLook::default();
        looks.push((stream.clone(), look.clone()));
        look
    }

    /// Says of a job that it starts together with others; whatever keeps it from starting is said when it does.
    pub(super) fn expect(&self, opened: &Opened, logs: &Arc<IngestLogs>, inputs: &[StreamInput]) {
        for input in inputs {
            if let Ok(hub) = self.of(opened, logs, input) {
                hub.expect(&input.columns);
            }
        }
    }
}
