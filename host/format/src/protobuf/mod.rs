//! Protocol Buffers: messages by a descriptor that the definition gives, or by one that a registry has.
//!
//! **Which message.** Without a registry every record is the message that `descriptor` and `message` name. With one, a record is
//! framed as Confluent's clients do it: a byte of 0, the number of its schema, the places of its message. It is read by the
//! message that `descriptor` names, else by that of the newest version of `subject`, else by the one that wrote it.
//!
//! **What is null.** A field that says whether it is there (`optional`, of a `oneof`, a message) is null where it is not; any
//! other has the zero of its type then, as Protocol Buffers have it. A list or a map is never null.
//!
//! **What fits.** Numbers fit wider types and decimals; what is out of range, as the upper half of `uint64` in a bigint, is a bad
//! record. An enum is its name as a string, and its number as an int. `google.protobuf.Timestamp` is a timestamp, and the
//! wrappers of that package are values that may be null.

mod decode;
mod descriptors;
mod encode;
mod fill;
mod json;
mod plan;
mod source;
#[cfg(test)]
mod tests;
mod wire;

use self::decode::ProtobufDecoder;
use self::encode::ProtobufEncoder;
use self::source::{MessageOrigin, MessageRegistry};
use crate::contract::{FormatProblem, StreamFormat, Writing, of_options};
use crate::refused::{RefusedNumbers, WAIT, schema_wait};
use crate::registry::{SchemaRegistry, Surroundings};
use crate::rows::Wanted;
use async_trait::async_trait;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use weir_connect::key::NONE;
use weir_connect::settings::{SettingError, Settings};
use weir_connect::{ConnectError, Decoder, Encoder, FileLayout, KeyDoc};
use weir_event::StreamSchema;

/// The keys of `protobuf`.
pub(crate) const KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "descriptor",
        "file",
        NONE,
        "of a stream: a set of descriptors (protoc --include_imports --descriptor_set_out), or a .proto file, whose imports \
         are found beside it; from the project's folder",
    ),
    KeyDoc::new("message", "text", NONE, "of a stream: the message in `descriptor`, as pkg.Ride"),
    KeyDoc::new(
        "registry",
        "http://[USER:PASSWORD@]HOST:PORT[/PATH]",
        NONE,
        "the schema registry whose numbers messages carry; a sink needs one",
    ),
    KeyDoc::new(
        "subject",
        "text",
        "TOPIC-value, of a stream none",
        "of a sink: under which subject the message made of the query's columns is registered; of a stream: by whose newest \
         version records are read",
    ),
    WAIT,
];

/// Protocol Buffers, as a definition sets them up.
#[derive(Debug)]
pub(crate) struct ProtobufFormat {
    origin: Arc<MessageOrigin>,
    stream: StreamSchema,
}

impl ProtobufFormat {
    /// Reads `{descriptor, message, registry, subject}` of a stream, and judges what it declares where the message is at
    /// hand.
    pub(crate) fn of(
        options: &Value,
        stream: &StreamSchema,
        around: &dyn Surroundings,
    ) -> Result<ProtobufFormat, Vec<FormatProblem>> {
        let mut settings = Settings::new(options, KEYS);
        let message = described(&mut settings, around);
        let registry = registry(&mut settings, around);
        let subject: Option<String> = settings.optional("subject");
        if subject.is_some() && registry.is_none() {
            settings.error("subject", "`registry` is missing; give its address, or leave this out");
        }
        let wait = schema_wait(&mut settings, registry.is_some());
        settings.finish().map_err(of_options)?;
        if let Some(message) = &message {
            check(message, stream)?;
        }
        let origin = match (registry, message) {
            (Some(registry), message) => {
                let reader = message.map(|message| {
                    let name = format!("the message `{}`", message.full_name());
                    (message, name)
                });
                let refused = RefusedNumbers::new(around.clock(), wait);
                let registry = MessageRegistry::new(registry, subject, reader, refused);
                MessageOrigin::Registry(Box::new(registry))
            }
            (None, Some(message)) => MessageOrigin::Given(message),
            (None, None) => {
                let message =
                    "messages do not say what they are; give `descriptor` and `message`, or `registry`";
                return Err(of_options(vec![SettingError::new("", message)]));
            }
        };
        Ok(ProtobufFormat { origin: Arc::new(origin), stream: stream.clone() })
    }
}

/// The message that `descriptor` and `message` name.
fn described(settings: &mut Settings<'_>, around: &dyn Surroundings) -> Option<MessageDescriptor> {
    let file: Option<String> = settings.optional("descriptor");
    let name: Option<String> = settings.optional("message");
    let (file, name) = match (file, name) {
        (Some(file), Some(name)) => (file, name),
        (Some(_), None) => {
            settings.error("message", "missing; name the message in `descriptor`, as pkg.Ride");
            return None;
        }
        (None, Some(_)) => {
            settings.error("descriptor", "missing; name the file that describes `message`");
            return None;
        }
        (None, None) => return None,
    };
    let pool = pool(&file, around).map_err(|error| settings.error("descriptor", error)).ok()?;
    descriptors::message(&pool, &name).map_err(|error| settings.error("message", error)).ok()
}

fn pool(file: &str, around: &dyn Surroundings) -> Result<DescriptorPool, String> {
    let bytes = around.file(file)?;
    let said = |error: String| format!("`{file}`: {error}");
    if Path::new(file).extension().is_none_or(|ending| ending != "proto") {
        return descriptors::of_set(&bytes).map_err(said);
    }
    let (folder, name) = file.rsplit_once('/').map_or(("", file), |(folder, name)| (folder, name));
    let mut texts: HashMap<String, String> = HashMap::new();
    let mut wanted = vec![name.to_owned()];
    // What is imported is found beside the file, or from the project's folder.
    while let Some(name) = wanted.pop() {
        let beside = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let Ok(bytes) = around.file(&beside).or_else(|_| around.file(&name)) else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let imports = text.lines().filter_map(|line| line.trim().strip_prefix("import")?.split('"').nth(1));
        wanted.extend(imports.filter(|import| !texts.contains_key(*import)).map(str::to_owned));
        texts.insert(name, text);
    }
    descriptors::of_source(name, move |name| texts.get(name).cloned()).map_err(said)
}

/// What of the declared fields the message lacks or has otherwise.
fn check(message: &MessageDescriptor, stream: &StreamSchema) -> Result<(), Vec<FormatProblem>> {
    let every: Vec<usize> = (0..stream.fields.len()).collect();
    plan::plan(message, &Wanted::new(stream, &every)).map(drop).map_err(|mut misfits| {
        misfits.sort_by_key(|misfit| misfit.column);
        misfits.into_iter().map(|misfit| FormatProblem::Field(misfit.column, misfit.why)).collect()
    })
}

fn registry(settings: &mut Settings<'_>, around: &dyn Surroundings) -> Option<Arc<dyn SchemaRegistry>> {
    let url: String = settings.optional("registry")?;
    around.registry(&url).map_err(|error| settings.error("registry", error)).ok()
}

#[async_trait]
impl StreamFormat for ProtobufFormat {
    fn layout(&self) -> FileLayout {
        FileLayout::None
    }

    fn decoder(&self, columns: &[usize]) -> Arc<dyn Decoder> {
        Arc::new(ProtobufDecoder::new(self.origin.clone(), &self.stream, columns))
    }

    async fn probe(&self) -> Result<Option<String>, ConnectError> {
        match &*self.origin {
            MessageOrigin::Given(_) => Ok(None),
            MessageOrigin::Registry(source) => source.probe().await.map(Some),
        }
    }
}

/// Reads `{registry, subject}` of a sink.
pub(crate) fn encoder(options: &Value, writing: &Writing<'_>) -> Result<Arc<dyn Encoder>, Vec<SettingError>> {
    let mut settings = Settings::new(options, KEYS);
    for key in ["descriptor", "message", WAIT.name] {
        if settings.optional::<Value>(key).is_some() {
            settings.error(key, "is for streams; the message of a sink is made of the query's columns");
        }
    }
    let has_registry = options.get("registry").is_some();
    let registry = registry(&mut settings, writing.around);
    let subject: Option<String> = settings.optional("subject");
    if !has_registry {
        settings.error("registry", "missing; messages need one that says what they are");
    }
    settings.finish()?;
    writing.without_meta("protobuf")?;
    let Some(registry) = registry else { return Err(vec![SettingError::new("registry", "cannot be used")]) };
    let subject = subject.unwrap_or_else(|| writing.subject.to_owned());
    Ok(Arc::new(ProtobufEncoder::new(registry, subject)))
}
