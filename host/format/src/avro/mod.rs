//! Apache Avro: records in object container files, and records alone by a schema that the definition gives or a registry has.
//!
//! **Which schema.** A file says the schema that wrote it. A message is framed as Confluent's clients do it, a byte of 0 and the
//! number of its schema in the registry, or it is bare and of the schema that `schema` names. Declared fields are found by
//! their names (their `from`) in the reader's schema, where there is one: `schema`, or the newest version of `subject` when
//! reading begins; it also gives the defaults of fields that were not written, and their other names.
//!
//! **What fits.** As Avro's rules of resolution have it, and what weir's types hold beyond: see `resolve`. A union fits where one
//! of its types does; a value of another is a bad record. A schema that does not fit what is declared stops the stream,
//! whoever is at fault: nothing is lost, and nothing is guessed.

pub mod container;
mod decode;
mod default;
mod encode;
mod fill;
mod input;
mod json;
mod resolve;
mod schema;
mod source;
#[cfg(test)]
mod tests;

use self::decode::AvroDecoder;
use self::encode::{AvroEncoder, Registering};
use self::resolve::Resolver;
use self::schema::Schema;
use self::source::{Origin, Reader, RegistrySource};
use crate::contract::{FormatProblem, StreamFormat, Writing, of_options};
use crate::refused::{RefusedNumbers, WAIT, schema_wait};
use crate::registry::{SchemaRegistry, Surroundings, probed};
use crate::rows::Wanted;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use weir_connect::key::NONE;
use weir_connect::settings::{SettingError, Settings};
use weir_connect::{ConnectError, Decoder, Encoder, FileLayout, KeyDoc};
use weir_event::StreamSchema;

/// The keys of `avro`.
pub(crate) const KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "schema",
        "file",
        NONE,
        "of a stream: a schema (.avsc) by which records are read, from the project's folder; messages without a registry are \
         of it",
    ),
    KeyDoc::new(
        "registry",
        "http://[USER:PASSWORD@]HOST:PORT[/PATH]",
        NONE,
        "the schema registry whose numbers messages carry",
    ),
    KeyDoc::new(
        "subject",
        "text",
        "TOPIC-value, of a stream none",
        "of a sink: under which subject the schema of the query's columns is registered; of a stream: whose newest version \
         knows the defaults of fields that older records do not have",
    ),
    WAIT,
];

/// Avro, as a definition sets it up.
#[derive(Debug)]
pub(crate) struct AvroFormat {
    origin: Arc<Origin>,
    stream: StreamSchema,
}

impl AvroFormat {
    /// Reads `{schema, registry, subject}` of a stream, and judges what it declares where the schema is at hand.
    pub(crate) fn of(
        options: &Value,
        stream: &StreamSchema,
        around: &dyn Surroundings,
    ) -> Result<AvroFormat, Vec<FormatProblem>> {
        let mut settings = Settings::new(options, KEYS);
        let file: Option<String> = settings.optional("schema");
        let registry = registry(&mut settings, around);
        let subject: Option<String> = settings.optional("subject");
        let given = file.and_then(|file| {
            let schema = around.file(&file).and_then(|text| {
                let text = String::from_utf8(text).map_err(|_| format!("`{file}` is not text"))?;
                Schema::parse(&text, &[]).map_err(|error| format!("`{file}`: {error}"))
            });
            match schema {
                Ok(schema) => Some(Reader {
                    name: Some(format!("the schema of `{file}`")),
                    schema: Some(Arc::new(schema)),
                }),
                Err(error) => {
                    settings.error("schema", error);
                    None
                }
            }
        });
        if subject.is_some() && registry.is_none() {
            settings.error("subject", "`registry` is missing; give its address, or leave this out");
        }
        let wait = schema_wait(&mut settings, registry.is_some());
        settings.finish().map_err(of_options)?;
        if let Some(schema) = given.as_ref().and_then(|reader| reader.schema.as_ref()) {
            check(schema, stream)?;
        }
        let origin = match registry {
            Some(registry) => {
                let (reader, refused) = (Mutex::new(given), RefusedNumbers::new(around.clock(), wait));
                Origin::Registry(Box::new(RegistrySource { registry, subject, reader, refused }))
            }
            None => Origin::Given(given.unwrap_or_default()),
        };
        Ok(AvroFormat { origin: Arc::new(origin), stream: stream.clone() })
    }
}

/// What of the declared fields the schema lacks or has otherwise.
fn check(schema: &Arc<Schema>, stream: &StreamSchema) -> Result<(), Vec<FormatProblem>> {
    let every: Vec<usize> = (0..stream.fields.len()).collect();
    let resolver = Resolver { writer: schema, reader: Some(schema) };
    let planned = resolver.plan(&Wanted::new(stream, &every));
    planned.map(drop).map_err(|misfits| {
        let mut problems: Vec<(usize, String)> =
            misfits.into_iter().map(|misfit| (misfit.column, misfit.why)).collect();
        problems.sort();
        problems.into_iter().map(|(column, why)| FormatProblem::Field(column, why)).collect()
    })
}

fn registry(settings: &mut Settings<'_>, around: &dyn Surroundings) -> Option<Arc<dyn SchemaRegistry>> {
    let url: String = settings.optional("registry")?;
    around.registry(&url).map_err(|error| settings.error("registry", error)).ok()
}

#[async_trait]
impl StreamFormat for AvroFormat {
    fn layout(&self) -> FileLayout {
        FileLayout::AvroContainer
    }

    fn decoder(&self, columns: &[usize]) -> Arc<dyn Decoder> {
        Arc::new(AvroDecoder::new(self.origin.clone(), &self.stream, columns))
    }

    async fn probe(&self) -> Result<Option<String>, ConnectError> {
        let Origin::Registry(source) = &*self.origin else { return Ok(None) };
        probed(&*source.registry, source.subject.as_deref()).await.map(Some)
    }
}

/// Reads `{registry, subject}` of a sink.
pub(crate) fn encoder(options: &Value, writing: &Writing<'_>) -> Result<Arc<dyn Encoder>, Vec<SettingError>> {
    let mut settings = Settings::new(options, KEYS);
    for key in ["schema", WAIT.name] {
        if settings.optional::<Value>(key).is_some() {
            settings.error(key, "is for streams; the schema of a sink is made of the query's columns");
        }
    }
    let registry = registry(&mut settings, writing.around);
    let subject: Option<String> = settings.optional("subject");
    if writing.in_files && (registry.is_some() || subject.is_some()) {
        settings.error("registry", "files say their schema themselves; leave `registry` and `subject` out");
    } else if subject.is_some() && registry.is_none() {
        settings.error("subject", "`registry` is missing; give its address, or leave this out");
    }
    settings.finish()?;
    writing.without_meta("avro")?;
    let subject = subject.unwrap_or_else(|| writing.subject.to_owned());
    let registered = registry.map(|registry| Registering { registry, subject, numbers: Mutex::default() });
    Ok(Arc::new(AvroEncoder::new(writing.in_files, registered)))
}
