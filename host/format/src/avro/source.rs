//! Where the schemas of a stream come from: its definition, its files, or a registry.
//!
//! Must not know records.

use super::schema::Schema;
use crate::registry::{Reference, Registered, SchemaKind, SchemaRegistry};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::ConnectError;

/// Where the schemas of a stream come from.
#[derive(Debug)]
pub(super) enum Origin {
    /// From its definition, if it gives one, and from its files.
    Given(Reader),
    /// From a registry, by the numbers that records carry.
    Registry(RegistrySource),
}

/// The schema that declared fields are found in: it knows defaults and other names of what others wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    /// What it is called in messages.
    pub(super) name: Option<String>,
    pub(super) schema: Option<Arc<Schema>>,
}

/// A registry, and what of it a stream reads by.
#[derive(Debug)]
pub(super) struct RegistrySource {
    pub(super) registry: Arc<dyn SchemaRegistry>,
    /// Whose newest version the stream is read by.
    pub(super) subject: Option<String>,
    /// What the stream is read by, once that is known; given by the definition where it gives it.
    pub(super) reader: Mutex<Option<Reader>>,
}

impl Origin {
    /// What the stream is read by.
    pub(super) async fn reader(&self) -> Result<Reader, ConnectError> {
        match self {
            Origin::Given(reader) => Ok(reader.clone()),
            Origin::Registry(source) => source.reader().await,
        }
    }
}

impl RegistrySource {
    async fn reader(&self) -> Result<Reader, ConnectError> {
        let known = || self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*known() {
            return Ok(reader.clone());
        }
        let reader = match &self.subject {
            None => Reader::default(),
            Some(subject) => {
                let (version, found) = self.registry.latest(subject).await?;
                let name = format!("schema {} ({subject}, version {version})", found.id);
                let schema = Some(Arc::new(self.schema(&found, &name).await?));
                Reader { name: Some(name), schema }
            }
        };
        *known() = Some(reader.clone());
        Ok(reader)
    }

    /// The schema of a number, and what it is called in messages.
    pub(super) async fn written_by(&self, number: u32) -> Result<(Schema, String), ConnectError> {
        let what = format!("schema {number}");
        let found = self.registry.by_id(number).await?;
        Ok((self.schema(&found, &what).await?, what))
    }

    async fn schema(&self, found: &Registered, what: &str) -> Result<Schema, ConnectError> {
        let place = self.registry.place();
        if found.kind != SchemaKind::Avro {
            return Err(ConnectError::user(format!(
                "{what} in the schema registry at {place} is not one of Avro; read the stream as `format: {{protobuf: {{..}}}}`, \
                 or correct `registry` and `subject`"
            )));
        }
        let named = referenced(&*self.registry, &found.references).await?;
        Schema::parse(&found.text, &named).map_err(|error| {
            ConnectError::external(format!(
                "{what} in the schema registry at {place}: {error}; register one that can be read"
            ))
        })
    }
}

/// A schema names few others, and those few more: a longer list is a circle.
const REFERENCES_LIMIT: usize = 100;

/// The texts of all schemas that these name, in an order in which each names only those before it.
async fn referenced(
    registry: &dyn SchemaRegistry,
    references: &[Reference],
) -> Result<Vec<String>, ConnectError> {
    enum Visit {
        Fetch(Reference),
        Add(String),
    }
    let (mut texts, mut seen) = (Vec::new(), HashSet::new());
    let mut visits: Vec<Visit> = references.iter().rev().cloned().map(Visit::Fetch).collect();
    while let Some(visit) = visits.pop() {
        match visit {
            Visit::Add(text) => texts.push(text),
            Visit::Fetch(reference) => {
                if !seen.insert((reference.subject.clone(), reference.version))
                    || seen.len() > REFERENCES_LIMIT
                {
                    continue;
                }
                let found = registry.version(&reference.subject, reference.version).await?;
                visits.push(Visit::Add(found.text));
                visits.extend(found.references.into_iter().rev().map(Visit::Fetch));
            }
        }
    }
    Ok(texts)
}
