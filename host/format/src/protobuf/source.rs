//! Where the messages of a stream are described: in its definition, or in a registry.
//!
//! Must not know values.

use super::descriptors::{message_at, of_texts};
use super::wire::varint;
use crate::refused::{RefusedNumbers, SchemaFault};
use crate::registry::{Reference, Registered, SchemaAnswer, SchemaKind, SchemaRegistry, numbered, probed};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::ConnectError;

/// Where the messages of a stream are described.
#[derive(Debug)]
pub(super) enum MessageOrigin {
    /// In its definition.
    Given(MessageDescriptor),
    /// In a registry, by the numbers that records carry.
    Registry(Box<MessageRegistry>),
}

/// A registry, and what of it a stream reads by.
#[derive(Debug)]
pub(super) struct MessageRegistry {
    registry: Arc<dyn SchemaRegistry>,
    /// By whose newest version the stream is read.
    subject: Option<String>,
    /// The message by which the stream is read and what it is called, if the definition gives it.
    given: Option<(MessageDescriptor, String)>,
    /// The newest version of the subject when it was first needed, and what it is called.
    newest: Mutex<Option<(DescriptorPool, String)>>,
    /// The descriptors of each number.
    pools: Mutex<HashMap<u32, DescriptorPool>>,
    refused: RefusedNumbers,
}

/// What a text is called while it is compiled.
const FILE: &str = "registered.proto";

/// A schema's number, and the places of its message.
pub(super) type MessageId = (u32, Vec<usize>);

/// What stands before a message, and where that begins; `None` for what does not begin so.
pub(super) fn framed(record: &[u8]) -> Option<(MessageId, usize)> {
    let (number, mut at) = numbered(record)?;
    let mut place = || {
        let zigzag = varint(record, &mut at)?;
        usize::try_from((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)).ok()
    };
    // A zero alone is short for the first message of a file.
    let path = match place()? {
        0 => vec![0],
        count => (0..count.min(record.len())).map(|_| place()).collect::<Option<Vec<_>>>()?,
    };
    Some(((number, path), at))
}

impl MessageRegistry {
    pub(super) fn new(
        registry: Arc<dyn SchemaRegistry>,
        subject: Option<String>,
        given: Option<(MessageDescriptor, String)>,
        refused: RefusedNumbers,
    ) -> MessageRegistry {
        let (newest, pools) = (Mutex::default(), Mutex::default());
        MessageRegistry { registry, subject, given, newest, pools, refused }
    }

    /// Looks whether the registry answers; what was found, for a person.
    pub(super) async fn probe(&self) -> Result<String, ConnectError> {
        probed(&*self.registry, self.subject.as_deref()).await
    }

    fn known_pool(&self, number: u32) -> Option<DescriptorPool> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// The message that wrote records, where its schema is at hand and has it.
    pub(super) fn writer(&self, (number, path): &MessageId) -> Option<MessageDescriptor> {
        message_at(&self.known_pool(*number)?, FILE, path)
    }

    /// Whether to get the schema of a number.
    pub(super) fn is_to_be_asked(&self, number: u32) -> bool {
        self.known_pool(number).is_none() && self.refused.is_to_be_asked(number)
    }

    /// Why messages that carry this cannot be decoded.
    #[cold]
    pub(super) fn lacks(&self, (number, path): &MessageId) -> String {
        if self.known_pool(*number).is_some() {
            return format!(
                "schema {number} in the schema registry at {} has no message at the places {path:?} that the record names",
                self.registry.place()
            );
        }
        self.refused.why(*number).unwrap_or_else(|| "its schema is not at hand".to_owned())
    }

    /// Gets the schemas of these numbers, except for those whose records are refused. Gives what is waited for, if that is
    /// anything.
    pub(super) async fn get(&self, numbers: BTreeSet<u32>) -> Result<Option<ConnectError>, ConnectError> {
        let (found, mut awaited) = self.refused.ask(&*self.registry, numbers).await?;
        for found in found {
            match self.pool(&found, &format!("schema {}", found.id)).await {
                Ok(pool) => {
                    self.pools.lock().unwrap_or_else(PoisonError::into_inner).insert(found.id, pool);
                    self.refused.found(found.id);
                }
                Err(fault) => awaited = awaited.or(self.refused.judge(found.id, fault)?),
            }
        }
        Ok(awaited)
    }

    /// The message by which those at these places are read and what it is called, unless that is the one that wrote them.
    pub(super) async fn reader(
        &self,
        path: &[usize],
    ) -> Result<Option<(MessageDescriptor, String)>, ConnectError> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        let Some(subject) = &self.subject else { return Ok(None) };
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (pool, name) = match newest {
            Some(newest) => newest,
            None => {
                let (version, found) = self.registry.latest(subject).await?;
                let name = format!("schema {} ({subject}, version {version})", found.id);
                let pool = self.pool(&found, &name).await.map_err(SchemaFault::of_definition)?;
                let newest = (pool, name);
                *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(newest.clone());
                newest
            }
        };
        let message = message_at(&pool, FILE, path).ok_or_else(|| {
            ConnectError::external(format!(
                "{name} has no message at the places {path:?} that records name; register one that has it"
            ))
        })?;
        Ok(Some((message, name)))
    }

    async fn pool(&self, found: &Registered, what: &str) -> Result<DescriptorPool, SchemaFault> {
        let place = self.registry.place();
        if found.kind != SchemaKind::Protobuf {
            let why = format!("{what} in the schema registry at {place} is not one of Protocol Buffers");
            return Err(SchemaFault::Broken(why));
        }
        let imports = imported(&*self.registry, &found.references).await?;
        of_texts(FILE, &found.text, imports).map_err(|error| {
            SchemaFault::Broken(format!("{what} in the schema registry at {place}: {error}"))
        })
    }
}

/// Files import few others, and those few more: a longer list is a circle.
const IMPORTS_LIMIT: usize = 100;

/// The texts of all files that these name and that those import, by their names.
async fn imported(
    registry: &dyn SchemaRegistry,
    references: &[Reference],
) -> Result<HashMap<String, String>, SchemaFault> {
    let (mut texts, mut left) = (HashMap::new(), references.to_vec());
    while let Some(reference) = left.pop() {
        if texts.contains_key(&reference.name) || texts.len() >= IMPORTS_LIMIT {
            continue;
        }
        let found = match registry.version(&reference.subject, reference.version).await? {
            SchemaAnswer::Found(found) => found,
            SchemaAnswer::Absent(why) => return Err(SchemaFault::Absent(why)),
        };
        texts.insert(reference.name, found.text);
        left.extend(found.references);
    }
    Ok(texts)
}
