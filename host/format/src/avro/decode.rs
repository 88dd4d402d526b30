//! Reading Avro: records by the schema that wrote them, into the columns that somebody wants.
//!
//! A plan is made once for each schema. Where it takes a schema that is not at hand, `ready` gets it, and where one does not
//! fit what the stream declares, `ready` says so: then nothing is decoded.

use super::container::{self, Broken, Head};
use super::fill::{fill_record, short};
use super::input::{EMPTY_VALUES, Input, empty_values_of};
use super::resolve::{Misfit, RecordPlan, Resolver};
use super::schema::Schema;
use super::source::{Origin, Reader, RegistrySource, WriterSchema};
use crate::records::each_record;
use crate::registry::numbered;
use crate::rows::{Rows, Wanted};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_connect::{ConnectError, Decoded, Decoder, Framing, RawBlock};
use weir_event::StreamSchema;

/// Decodes Avro for the columns that it was made for.
#[derive(Debug)]
pub(super) struct AvroDecoder {
    origin: Arc<Origin>,
    wanted: Wanted,
    plans: Mutex<Plans>,
}

/// What tells the schema that wrote records from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum WriterId {
    /// The one that the definition gives.
    Given,
    /// By its number in the registry.
    Number(u32),
    /// By the head of its file.
    Head(Bytes),
}

/// Plans of so many heads of files are kept: more than there are files of which blocks are on their way at once.
const HEADS_KEPT: usize = 256;

/// How what was read before is read again.
#[derive(Debug, Default)]
struct Plans {
    by_writer: HashMap<WriterId, Arc<Plan>>,
    /// The heads among them, oldest first.
    heads: VecDeque<WriterId>,
}

impl Plans {
    /// Heads of files come without end: the oldest goes.
    fn add(&mut self, writer: WriterId, plan: Plan) {
        if matches!(writer, WriterId::Head(_)) && !self.by_writer.contains_key(&writer) {
            if self.heads.len() >= HEADS_KEPT {
                self.heads.pop_front().map(|oldest| self.by_writer.remove(&oldest));
            }
            self.heads.push_back(writer.clone());
        }
        self.by_writer.insert(writer, Arc::new(plan));
    }
}

/// How records of a schema fill the columns.
#[derive(Debug)]
struct Plan {
    schema: Schema,
    record: RecordPlan,
}

impl AvroDecoder {
    pub(super) fn new(origin: Arc<Origin>, stream: &StreamSchema, columns: &[usize]) -> AvroDecoder {
        AvroDecoder { origin, wanted: Wanted::new(stream, columns), plans: Mutex::default() }
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, writer: &WriterId) -> Option<Arc<Plan>> {
        self.plans().by_writer.get(writer).cloned()
    }

    /// Plans how to read what a schema wrote that is called `what`; the error says that and why it cannot be.
    fn add(&self, writer: WriterId, schema: Schema, what: &str, reader: &Reader) -> Result<(), ConnectError> {
        let resolver = Resolver { writer: &schema, reader: reader.schema.as_ref() };
        let plan = resolver.plan(&self.wanted).map_err(|misfits| {
            let by = reader.name.as_ref().map_or_else(String::new, |name| format!(", read by {name},"));
            ConnectError::user(format!(
                "{what}{by} does not fit what the stream declares: {}; change `fields` so that both fit, or write records by a \
                 schema that does",
                self.in_words(&misfits)
            ))
        })?;
        self.plans().add(writer, Plan { schema, record: plan });
        Ok(())
    }

    fn in_words(&self, misfits: &[Misfit]) -> String {
        let said = misfits.iter().map(|misfit| {
            let column = &self.wanted.columns[misfit.column];
            format!("`{}`, declared {}: {}", column.member, column.data_type, misfit.why)
        });
        said.collect::<Vec<_>>().join("; ")
    }
}

#[async_trait]
impl Decoder for AvroDecoder {
    async fn ready(&self, block: &RawBlock) -> Result<(), ConnectError> {
        if let Framing::Container { head, .. } = &block.framing {
            let writer = WriterId::Head(head.clone());
            if self.plan(&writer).is_none() {
                let reader = self.origin.reader().await?;
                let what = "the schema of the file";
                // What is wrong with the head itself is said of each record.
                if let Ok(head) = container::read_head(head) {
                    let schema = Schema::parse(&head.schema, &[]).map_err(|error| {
                        ConnectError::external(format!("{what}: {error}; repair the file"))
                    })?;
                    self.add(writer, schema, what, &reader)?;
                }
            }
            return Ok(());
        }
        let Origin::Registry(registry) = &*self.origin else {
            if self.plan(&WriterId::Given).is_none() {
                let reader = self.origin.reader().await?;
                let Some(schema) = reader.schema.clone() else {
                    return Err(ConnectError::user(
                        "records of Avro that are not in object container files do not say their schema; give it as \
                         `format: {avro: {schema: FILE}}`, or the registry that has it as `registry`",
                    ));
                };
                let what = reader.name.clone().unwrap_or_default();
                self.add(WriterId::Given, (*schema).clone(), &what, &Reader::default())?;
            }
            return Ok(());
        };
        let (mut lacking, mut last) = (BTreeSet::new(), None);
        each_record(block, |_, _, range| {
            let Some((number, _)) = numbered(&block.data[range]) else { return };
            // Records of one number come in runs.
            let is_new =
                last.replace(number) != Some(number) && self.plan(&WriterId::Number(number)).is_none();
            if is_new && registry.refused.is_to_be_asked(number) {
                lacking.insert(number);
            }
        });
        if lacking.is_empty() {
            return Ok(());
        }
        let (schemas, awaited) = registry.written_by(lacking).await?;
        for WriterSchema { number, name, schema } in schemas {
            let reader = self.origin.reader().await?;
            self.add(WriterId::Number(number), schema, &name, &reader)?;
            registry.refused.found(number);
        }
        awaited.map_or(Ok(()), Err)
    }

    fn decode(&self, block: &RawBlock) -> Decoded {
        match &block.framing {
            Framing::Container { head, base, first } => self.decode_container(block, head, *base, *first),
            Framing::Lines { .. } | Framing::Records { .. } => self.decode_records(block),
        }
    }
}

impl AvroDecoder {
    fn decode_records(&self, block: &RawBlock) -> Decoded {
        let room = match &block.framing {
            Framing::Records { ends, .. } => ends.len(),
            _ => 0,
        };
        let mut rows = Rows::new(&self.wanted, room);
        let registry = match &*self.origin {
            Origin::Registry(registry) => Some(&**registry),
            Origin::Given(_) => None,
        };
        let mut last: Option<(WriterId, Arc<Plan>)> = None;
        each_record(block, |index, offset, range| {
            let payload = &block.data[range.clone()];
            rows.push((index, offset), payload, |columns| {
                let (writer, behind) = match registry {
                    Some(_) => {
                        let (number, behind) = numbered(payload).ok_or_else(|| {
                            "not a record of the registry: it does not begin with a byte of 0 and the number of its schema"
                                .to_owned()
                        })?;
                        (WriterId::Number(number), behind)
                    }
                    None => (WriterId::Given, 0),
                };
                if last.as_ref().is_none_or(|(known, _)| *known != writer) {
                    last = self.plan(&writer).map(|plan| (writer.clone(), plan));
                }
                let Some((_, plan)) = &last else { return Err(lacks(registry, &writer)) };
                let mut input = Input::within(&block.data[..range.end], range.start + behind);
                fill_record(&plan.record, &plan.schema, &mut input, columns, &|index| self.name(index))?;
                let left = range.end - input.at;
                if left > 0 { Err(format!("not a record of its schema: {left} bytes follow it")) } else { Ok(()) }
            });
        });
        rows.finish(&block.data)
    }

    fn name(&self, column: usize) -> String {
        self.wanted.columns[column].member.clone()
    }

    fn decode_container(&self, block: &RawBlock, head: &Bytes, base: u64, first: u64) -> Decoded {
        let mut rows = Rows::new(&self.wanted, 0);
        let known = container::read_head(head).map_err(|broken| match broken {
            Broken::Short => "the head of the file is damaged".to_owned(),
            Broken::Damaged(why) => why,
        });
        let plan = self.plan(&WriterId::Head(head.clone()));
        let mut reading =
            ContainerReading { decoder: self, first, index: 0, base, empty: EMPTY_VALUES, rows: &mut rows };
        match (known, plan) {
            (Ok(head), Some(plan)) => reading.blocks(&block.data, &head, &plan),
            (Err(why), _) => reading.refuse(1, &why, &block.data),
            (Ok(_), None) => reading.refuse(1, "the schema of the file is not at hand", &block.data),
        }
        rows.finish(&block.data)
    }
}

/// Why records of this schema cannot be decoded.
#[cold]
fn lacks(registry: Option<&RegistrySource>, writer: &WriterId) -> String {
    let why = match (registry, writer) {
        (Some(registry), WriterId::Number(number)) => registry.refused.why(*number),
        _ => None,
    };
    why.unwrap_or_else(|| "its schema is not at hand".to_owned())
}

/// How far the records of a container were read.
struct ContainerReading<'a, 'r> {
    decoder: &'a AvroDecoder,
    first: u64,
    index: u32,
    base: u64,
    /// So many values that take no bytes may still come in all blocks together.
    empty: u32,
    rows: &'r mut Rows<'a>,
}

impl ContainerReading<'_, '_> {
    fn blocks(&mut self, data: &[u8], head: &Head, plan: &Plan) {
        let mut at = 0;
        while at < data.len() {
            // Who cuts files hands out whole blocks alone.
            let Ok(place) = container::block_at(data, at, &head.sync) else {
                return self.refuse(1, "a block of the file is damaged", &data[at..]);
            };
            let packed = &data[place.start..place.end];
            at = place.next;
            if head.codec == container::Codec::Null {
                self.records(place.records, Input::within(&data[..place.end], place.start), plan);
                continue;
            }
            match container::decompressed(head.codec, packed) {
                Ok(plain) => self.records(place.records, Input::new(&plain, false), plan),
                Err(why) => self.refuse(place.records, &why, packed),
            }
        }
    }

    /// Reads so many records, which must fill the bytes. Behind one that cannot be told from the next no other is found.
    fn records(&mut self, count: u64, input: Input<'_>, plan: &Plan) {
        let more = empty_values_of(input.bytes.len() - input.at);
        let mut input = input.with_left(self.empty.saturating_add(more));
        for read in 0..count {
            let (start, name) = (input.at, |index| self.decoder.name(index));
            // Where the record ends does not depend on what of it fits the columns.
            let end = {
                let mut skipped = input;
                skipped.skip(&plan.schema, plan.schema.root(), 0).map(|()| skipped.at)
            };
            let Some(end) = end.filter(|end| *end > start || input.spend().is_some()) else {
                self.empty = input.left();
                return self.refuse(count - read, &short(), &input.bytes[start..]);
            };
            let offset = self.base + u64::from(self.index);
            if offset >= self.first {
                self.rows.push((self.index, offset), &input.bytes[start..end], |columns| {
                    fill_record(&plan.record, &plan.schema, &mut input, columns, &name)
                });
            }
            input.at = end;
            self.index = self.index.saturating_add(1);
        }
        self.empty = input.left();
    }

    /// Says of so many records that they are bad.
    fn refuse(&mut self, count: u64, why: &str, payload: &[u8]) {
        // A damaged block may say any number: they count, and are told as one where they are many.
        const TOLD: u64 = 10_000;
        for _ in 0..count.min(TOLD) {
            let offset = self.base + u64::from(self.index);
            if offset >= self.first {
                self.rows.push_damaged(offset, payload, why.to_owned());
            }
            self.index = self.index.saturating_add(1);
        }
        self.index = self.index.saturating_add(u32::try_from(count.saturating_sub(TOLD)).unwrap_or(u32::MAX));
    }
}
