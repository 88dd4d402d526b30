//! The declared streams as HTTP sees them. A job that is planned anew may bring another definition of its stream.

use crate::StreamEntry;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Streams by name.
#[derive(Debug, Default)]
pub struct Streams(RwLock<BTreeMap<String, Arc<StreamEntry>>>);

impl Streams {
    /// Takes a stream in place of another of its name.
    pub fn put(&self, entry: StreamEntry) {
        let name = entry.definition.name.clone();
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(entry));
    }

    /// The stream of this name.
    pub fn get(&self, name: &str) -> Option<Arc<StreamEntry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<StreamEntry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl FromIterator<StreamEntry> for Streams {
    fn from_iter<I: IntoIterator<Item = StreamEntry>>(entries: I) -> Self {
        let streams = Streams::default();
        entries.into_iter().for_each(|entry| streams.put(entry));
        streams
    }
}
