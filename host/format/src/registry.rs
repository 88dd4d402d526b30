//! What formats need of the world around them: files of the project, and registries of schemas.
//!
//! Must not know how either is reached: whoever makes formats hands it in.

use crate::payload::PayloadPlugins;
use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use weir_connect::ConnectError;
use weir_event::Clock;

/// What formats may need beside their options.
pub trait Surroundings: Debug + Send + Sync {
    /// What a file holds; a relative path starts at the project's folder. The error says why it cannot be read.
    fn file(&self, path: &str) -> Result<Vec<u8>, String>;

    /// The registry of schemas at this address, without asking it anything yet; the error says what is wrong with the
    /// address.
    fn registry(&self, url: &str) -> Result<Arc<dyn SchemaRegistry>, String>;

    /// The plugins that may decode payloads, and on whose account they do; `None` where only definitions are looked at.
    fn plugins(&self) -> Option<(Arc<dyn PayloadPlugins>, String)>;

    /// Where time is taken from.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// Language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    Json,
    /// One that weir does not know.
    Other,
}

/// A schema as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its number, which records carry.
    pub id: u32,
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// The schemas that it names.
    pub references: Vec<Reference>,
}

/// A schema that another one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it is called there: a name, or the path of an import.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// Which version of it.
    pub version: u32,
}

/// What a registry answers to whoever asks for a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// There is one.
    Found(Registered),
    /// There is none so far; which one where, in words.
    Absent(String),
}

/// A registry of schemas, as Confluent's API describes it. Each error says whether to ask again later.
#[async_trait]
pub trait SchemaRegistry: Debug + Send + Sync {
    /// Where it is, for messages: without what is secret.
    fn place(&self) -> &str;

    /// The schema of this number. What was found once is at hand from then on.
    async fn by_id(&self, id: u32) -> Result<SchemaAnswer, ConnectError>;

    /// The newest version of a subject, and its number there.
    async fn latest(&self, subject: &str) -> Result<(u32, Registered), ConnectError>;

    /// A version of a subject.
    async fn version(&self, subject: &str, version: u32) -> Result<SchemaAnswer, ConnectError>;

    /// How many subjects it has, as a question that has no effect.
    async fn subjects(&self) -> Result<usize, ConnectError>;

    /// The number of a schema, registered under the subject if it is not there yet.
    async fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32, ConnectError>;
}

/// Looks whether a registry answers, and where one is read by, whether it has the subject; what was found, for a person.
pub(crate) async fn probed(
    registry: &dyn SchemaRegistry,
    subject: Option<&str>,
) -> Result<String, ConnectError> {
    let place = registry.place();
    if let Some(subject) = subject {
        registry.latest(subject).await?;
        return Ok(format!("subject `{subject}` in the schema registry at {place}"));
    }
    Ok(match registry.subjects().await? {
        1 => format!("1 subject in the schema registry at {place}"),
        count => format!("{count} subjects in the schema registry at {place}"),
    })
}

/// The number of a schema and where the record goes on behind it, as Confluent's clients put it in front: a byte of 0 and
/// four more. Numbers of registries are 31 bits long.
pub(crate) fn numbered(record: &[u8]) -> Option<(u32, usize)> {
    let [0, number @ ..] = *record.first_chunk::<5>()? else { return None };
    let number = u32::from_be_bytes(number);
    i32::try_from(number).is_ok().then_some((number, 5))
}
