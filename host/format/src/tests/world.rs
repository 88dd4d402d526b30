//! Surroundings in memory: files by name, a registry, and a clock that is moved by hand.

use crate::payload::PayloadPlugins;
use crate::registry::{Reference, Registered, SchemaAnswer, SchemaKind, SchemaRegistry, Surroundings};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use weir_connect::ConnectError;
use weir_event::{Clock, ManualClock};

/// A registry in memory: subjects with the numbers of their versions, and schemas by number.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    schemas: Mutex<Vec<Kept>>,
    subjects: Mutex<HashMap<String, Vec<u32>>>,
    /// What it answers with while it is away.
    pub(crate) away: Mutex<Option<ConnectError>>,
    /// How often it was asked for a number.
    asked: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Kept {
    text: String,
    kind: SchemaKind,
    references: Vec<Reference>,
}

impl Memory {
    pub(crate) fn add(&self, subject: &str, kind: SchemaKind, text: &str, references: Vec<Reference>) -> u32 {
        let mut schemas = self.schemas.lock().unwrap();
        let known = schemas.iter().position(|known| known.text == text);
        let id = known.unwrap_or_else(|| {
            schemas.push(Kept { text: text.to_owned(), kind, references });
            schemas.len() - 1
        }) as u32;
        self.subjects.lock().unwrap().entry(subject.to_owned()).or_default().push(id);
        id
    }

    /// How often it was asked for a number since this was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn answer(&self, id: Option<u32>, what: &str) -> Result<SchemaAnswer, ConnectError> {
        if let Some(error) = &*self.away.lock().unwrap() {
            return Err(error.clone());
        }
        let found = id.and_then(|id| Some((id, self.schemas.lock().unwrap().get(id as usize)?.clone())));
        Ok(match found {
            Some((id, Kept { text, kind, references })) => {
                SchemaAnswer::Found(Registered { id, kind, text, references })
            }
            None => SchemaAnswer::Absent(format!("{what} is not there")),
        })
    }
}

#[async_trait::async_trait]
impl SchemaRegistry for Memory {
    fn place(&self) -> &'static str {
        "memory"
    }

    async fn by_id(&self, id: u32) -> Result<SchemaAnswer, ConnectError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answer(Some(id), &format!("schema {id}"))
    }

    async fn latest(&self, subject: &str) -> Result<(u32, Registered), ConnectError> {
        let versions = self.subjects.lock().unwrap().get(subject).cloned().unwrap_or_default();
        match self.answer(versions.last().copied(), &format!("subject {subject}"))? {
            SchemaAnswer::Found(found) => Ok((versions.len() as u32, found)),
            SchemaAnswer::Absent(why) => Err(ConnectError::unavailable(why)),
        }
    }

    async fn version(&self, subject: &str, version: u32) -> Result<SchemaAnswer, ConnectError> {
        let versions = self.subjects.lock().unwrap().get(subject).cloned().unwrap_or_default();
        let id = versions.get(version as usize - 1).copied();
        self.answer(id, &format!("version {version} of subject {subject}"))
    }

    async fn subjects(&self) -> Result<usize, ConnectError> {
        Ok(self.subjects.lock().unwrap().len())
    }

    async fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32, ConnectError> {
        Ok(self.add(subject, kind, text, Vec::new()))
    }
}

/// Files by name, one registry, and time.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) files: HashMap<String, Vec<u8>>,
    pub(crate) registry: Arc<Memory>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Surroundings for World {
    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("`{path}` is not there"))
    }

    fn registry(&self, _: &str) -> Result<Arc<dyn SchemaRegistry>, String> {
        Ok(self.registry.clone())
    }

    fn plugins(&self) -> Option<(Arc<dyn PayloadPlugins>, String)> {
        None
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}
