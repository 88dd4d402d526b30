//! Where the messages of a stream are described: in its definition, or in a registry.
//!
//! Must not know values.

use super::descriptors::{message_at, of_texts};
use super::wire::varint;
use crate::registry::{Reference, Registered, SchemaKind, SchemaRegistry};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::ConnectError;

/// Where the messages of a stream are described.
#[derive(Debug)]
pub(super) enum MessageOrigin {
    /// In its definition.
    Given(MessageDescriptor),
    /// In a registry, by the numbers that records carry.
    Registry(MessageRegistry),
}

/// A registry, and what of it a stream reads by.
#[derive(Debug)]
pub(super) struct MessageRegistry {
    pub(super) registry: Arc<dyn SchemaRegistry>,
    /// By whose newest version the stream is read.
    pub(super) subject: Option<String>,
    /// The message by which the stream is read and what it is called, where that is known: given by the definition, or
    /// the subject's.
    pub(super) reader: Mutex<Option<(MessageDescriptor, String)>>,
    /// The descriptors of each number.
    pub(super) pools: Mutex<HashMap<u32, DescriptorPool>>,
}

/// What a text is called while it is compiled.
const FILE: &str = "registered.proto";

/// A schema's number, and the places of its message.
pub(super) type MessageId = (u32, Vec<usize>);

/// What stands before a message, and where that begins; `None` for what does not begin so.
pub(super) fn framed(record: &[u8]) -> Option<(MessageId, usize)> {
    let (head, _) = record.split_first_chunk::<5>()?;
    let [0, number @ ..] = *head else { return None };
    let mut at = 5;
    let mut place = || {
        let zigzag = varint(record, &mut at)?;
        usize::try_from((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)).ok()
    };
    // A zero alone is short for the first message of a file.
    let path = match place()? {
        0 => vec![0],
        count => (0..count.min(record.len())).map(|_| place()).collect::<Option<Vec<_>>>()?,
    };
    Some(((u32::from_be_bytes(number), path), at))
}

impl MessageRegistry {
    /// The message that wrote records, and the one by which they are read.
    pub(super) async fn messages(
        &self,
        (number, path): &MessageId,
    ) -> Result<(MessageDescriptor, Option<(MessageDescriptor, String)>), ConnectError> {
        let place = self.registry.place();
        let what = format!("schema {number}");
        let known = self.pools.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned();
        let pool = match known {
            Some(pool) => pool,
            None => {
                let found = self.registry.by_id(*number).await?;
                let pool = self.pool(&found, &what).await?;
                self.pools.lock().unwrap_or_else(PoisonError::into_inner).insert(*number, pool.clone());
                pool
            }
        };
        let writer = message_at(&pool, FILE, path).ok_or_else(|| {
            ConnectError::external(format!(
                "{what} in the schema registry at {place} has no message at the places {path:?} that records name; register the \
                 schema that wrote them"
            ))
        })?;
        Ok((writer, self.reader(path).await?))
    }

    /// What the stream is read by.
    async fn reader(&self, path: &[usize]) -> Result<Option<(MessageDescriptor, String)>, ConnectError> {
        let known = || self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*known() {
            return Ok(Some(reader.clone()));
        }
        let Some(subject) = &self.subject else { return Ok(None) };
        let (version, found) = self.registry.latest(subject).await?;
        let what = format!("schema {} ({subject}, version {version})", found.id);
        let pool = self.pool(&found, &what).await?;
        let message = message_at(&pool, FILE, path).ok_or_else(|| {
            ConnectError::external(format!("{what} has no message at the places {path:?} that records name"))
        })?;
        *known() = Some((message.clone(), what.clone()));
        Ok(Some((message, what)))
    }

    async fn pool(&self, found: &Registered, what: &str) -> Result<DescriptorPool, ConnectError> {
        let place = self.registry.place();
        if found.kind != SchemaKind::Protobuf {
            return Err(ConnectError::user(format!(
                "{what} in the schema registry at {place} is not one of Protocol Buffers; read the stream as \
                 `format: {{avro: {{..}}}}`, or correct `registry` and `subject`"
            )));
        }
        let imports = imported(&*self.registry, &found.references).await?;
        of_texts(FILE, &found.text, imports).map_err(|error| {
            ConnectError::external(format!(
                "{what} in the schema registry at {place}: {error}; register one that can be read"
            ))
        })
    }
}

/// Files import few others, and those few more: a longer list is a circle.
const IMPORTS_LIMIT: usize = 100;

/// The texts of all files that these name and that those import, by their names.
async fn imported(
    registry: &dyn SchemaRegistry,
    references: &[Reference],
) -> Result<HashMap<String, String>, ConnectError> {
    let (mut texts, mut left) = (HashMap::new(), references.to_vec());
    while let Some(reference) = left.pop() {
        if texts.contains_key(&reference.name) || texts.len() >= IMPORTS_LIMIT {
            continue;
        }
        let found = registry.version(&reference.subject, reference.version).await?;
        texts.insert(reference.name, found.text);
        left.extend(found.references);
    }
    Ok(texts)
}
