//! What formats need of the world around them: files of the project, and registries of schemas.
//!
//! Must not know how either is reached: whoever makes formats hands it in.

use async_trait::async_trait;
use std::fmt::Debug;
use std::sync::Arc;
use weir_connect::ConnectError;

/// What formats may need beside their options.
pub trait Surroundings: Debug + Send + Sync {
    /// What a file holds; a relative path starts at the project's folder. The error says why it cannot be read.
    fn file(&self, path: &str) -> Result<Vec<u8>, String>;

    /// The registry of schemas at this address, without asking it anything yet; the error says what is wrong with the
    /// address.
    fn registry(&self, url: &str) -> Result<Arc<dyn SchemaRegistry>, String>;
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

/// A registry of schemas, as Confluent's API describes it. Each error says whether to ask again later.
#[async_trait]
pub trait SchemaRegistry: Debug + Send + Sync {
    /// Where it is, for messages: without what is secret.
    fn place(&self) -> &str;

    /// The schema of this number. What was found once is at hand from then on.
    async fn by_id(&self, id: u32) -> Result<Registered, ConnectError>;

    /// The newest version of a subject, and its number there.
    async fn latest(&self, subject: &str) -> Result<(u32, Registered), ConnectError>;

    /// A version of a subject.
    async fn version(&self, subject: &str, version: u32) -> Result<Registered, ConnectError>;

    /// The number of a schema, registered under the subject if it is not there yet.
    async fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32, ConnectError>;
}
