//! Where the schemas of a stream come from: its definition, its files, or a registry.
//!
//! Must not know records.

use super::schema::Schema;
use crate::refused::{RefusedNumbers, SchemaFault};
use crate::registry::{Reference, Registered, SchemaAnswer, SchemaKind, SchemaRegistry};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::ConnectError;

/// Where the schemas of a stream come from.
#[derive(Debug)]
pub(super) enum Origin {
    /// From its definition, if it gives one, and from its files.
    Given(Reader),
    /// From a registry, by the numbers that records carry.
    Registry(Box<RegistrySource>),
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
    pub(super) refused: RefusedNumbers,
}

/// A schema that wrote records.
#[derive(Debug)]
pub(super) struct WriterSchema {
    pub(super) number: u32,
    /// What it is called in messages.
    pub(super) name: String,
    pub(super) schema: Schema,
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
                let schema = self.schema(&found, &name).await.map_err(SchemaFault::of_definition)?;
                let schema = Some(Arc::new(schema));
                Reader { name: Some(name), schema }
            }
        };
        *known() = Some(reader.clone());
        Ok(reader)
    }

    /// The schemas of these numbers, except for those whose records are refused, and what is waited for if that is
    /// anything.
    pub(super) async fn written_by(
        &self,
        numbers: BTreeSet<u32>,
    ) -> Result<(Vec<WriterSchema>, Option<ConnectError>), ConnectError> {
        let (found, mut awaited) = self.refused.ask(&*self.registry, numbers).await?;
        let mut schemas = Vec::with_capacity(found.len());
        for found in found {
            let (number, name) = (found.id, format!("schema {}", found.id));
            match self.schema(&found, &name).await {
                Ok(schema) => schemas.push(WriterSchema { number, name, schema }),
                Err(fault) => awaited = awaited.or(self.refused.judge(number, fault)?),
            }
        }
        Ok((schemas, awaited))
    }

    async fn schema(&self, found: &Registered, what: &str) -> Result<Schema, SchemaFault> {
        let place = self.registry.place();
        if found.kind != SchemaKind::Avro {
            return Err(SchemaFault::Broken(format!(
                "{what} in the schema registry at {place} is not one of Avro"
            )));
        }
        let named = referenced(&*self.registry, &found.references).await?;
        Schema::parse(&found.text, &named).map_err(|error| {
            SchemaFault::Broken(format!("{what} in the schema registry at {place}: {error}"))
        })
    }
}

/// A schema names few others, and those few more: a longer list is a circle.
const REFERENCES_LIMIT: usize = 100;

/// The texts of all schemas that these name, in an order in which each names only those before it.
async fn referenced(
    registry: &dyn SchemaRegistry,
    references: &[Reference],
) -> Result<Vec<String>, SchemaFault> {
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
                let found = match registry.version(&reference.subject, reference.version).await? {
                    SchemaAnswer::Found(found) => found,
                    SchemaAnswer::Absent(why) => return Err(SchemaFault::Absent(why)),
                };
                visits.push(Visit::Add(found.text));
                visits.extend(found.references.into_iter().rev().map(Visit::Fetch));
            }
        }
    }
    Ok(texts)
}
