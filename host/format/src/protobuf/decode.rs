//! Reading Protocol Buffers: messages by their descriptors, into the columns that somebody wants.

use super::fill::{Scratch, fill_record};
use super::plan::{MessageMisfit, MessagePlan, plan, reads_as};
use super::source::{MessageId, MessageOrigin, MessageRegistry, framed};
use crate::records::each_record;
use crate::rows::{Rows, Wanted};
use async_trait::async_trait;
use prost_reflect::MessageDescriptor;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_connect::{ConnectError, Decoded, Decoder, Framing, RawBlock};
use weir_event::StreamSchema;

/// Decodes Protocol Buffers for the columns that it was made for.
#[derive(Debug)]
pub(super) struct ProtobufDecoder {
    origin: Arc<MessageOrigin>,
    wanted: Wanted,
    /// By what wrote them; by nothing where the definition says the message.
    plans: Mutex<HashMap<Option<MessageId>, Arc<MessagePlan>>>,
}

impl ProtobufDecoder {
    pub(super) fn new(
        origin: Arc<MessageOrigin>,
        stream: &StreamSchema,
        columns: &[usize],
    ) -> ProtobufDecoder {
        ProtobufDecoder { origin, wanted: Wanted::new(stream, columns), plans: Mutex::default() }
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<Option<MessageId>, Arc<MessagePlan>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lacks(&self, writer: &Option<MessageId>) -> bool {
        !self.plans().contains_key(writer)
    }

    fn add(
        &self,
        writer: Option<MessageId>,
        message: &MessageDescriptor,
        what: &str,
    ) -> Result<(), ConnectError> {
        let plan = plan(message, &self.wanted).map_err(|misfits| self.misfit(what, &misfits))?;
        self.plans().insert(writer, Arc::new(plan));
        Ok(())
    }

    /// What stands before a message, and how it is read.
    fn planned<'r>(
        &self,
        registry: &MessageRegistry,
        record: &'r [u8],
    ) -> Result<(&'r [u8], Arc<MessagePlan>), String> {
        let (writer, behind) = framed(record).ok_or_else(not_framed)?;
        let plan = self.plans().get(&Some(writer.clone())).cloned();
        Ok((&record[..behind], plan.ok_or_else(|| registry.lacks(&writer))?))
    }

    fn misfit(&self, what: &str, misfits: &[MessageMisfit]) -> ConnectError {
        let said = misfits.iter().map(|misfit| {
            let column = &self.wanted.columns[misfit.column];
            format!("`{}`, declared {}: {}", column.member, column.data_type, misfit.why)
        });
        let said = said.collect::<Vec<_>>().join("; ");
        ConnectError::user(format!(
            "{what} does not fit what the stream declares: {said}; change `fields` so that both fit, or write records by a \
             message that does"
        ))
    }

    /// What of the wanted fields the writer's message has under the same number as something else.
    fn check(&self, writer: &MessageDescriptor, reader: &MessageDescriptor) -> Vec<MessageMisfit> {
        let misfit = |(column, of): (usize, &crate::rows::WantedColumn)| {
            let (mut writer, mut reader) = (writer.clone(), reader.clone());
            for name in &of.path {
                let read = reader.get_field_by_name(name)?;
                let written = writer.get_field(read.number())?;
                if !reads_as(&written.kind(), &read.kind()) || written.is_map() != read.is_map() {
                    let why = format!(
                        "what wrote field {} has {:?} where {:?} is read",
                        read.number(),
                        written.kind(),
                        read.kind()
                    );
                    return Some(MessageMisfit { column, why });
                }
                writer = written.kind().as_message()?.clone();
                reader = read.kind().as_message()?.clone();
            }
            None
        };
        self.wanted.columns.iter().enumerate().filter_map(misfit).collect()
    }
}

#[async_trait]
impl Decoder for ProtobufDecoder {
    async fn ready(&self, block: &RawBlock) -> Result<(), ConnectError> {
        let registry = match &*self.origin {
            MessageOrigin::Given(message) if self.lacks(&None) => {
                return self.add(None, message, &format!("the message `{}`", message.full_name()));
            }
            MessageOrigin::Given(_) => return Ok(()),
            MessageOrigin::Registry(registry) => registry,
        };
        let (mut unplanned, mut last): (BTreeSet<MessageId>, Option<&[u8]>) = (BTreeSet::new(), None);
        each_record(block, |_, _, range| {
            let record = &block.data[range];
            // Records of one message come in runs.
            if last.is_some_and(|last| record.starts_with(last)) {
                return;
            }
            let Some((writer, behind)) = framed(record) else { return };
            last = Some(&record[..behind]);
            if self.lacks(&Some(writer.clone())) {
                unplanned.insert(writer);
            }
        });
        let numbers = unplanned.iter().map(|(number, _)| *number);
        let numbers: BTreeSet<u32> = numbers.filter(|number| registry.is_to_be_asked(*number)).collect();
        let awaited = if numbers.is_empty() { None } else { registry.get(numbers).await? };
        for writer in unplanned {
            let Some(written) = registry.writer(&writer) else { continue };
            let number = writer.0;
            match registry.reader(&writer.1).await? {
                None => self.add(Some(writer), &written, &format!("schema {number}"))?,
                Some((reader, name)) => {
                    let what = format!("schema {number}, read by {name},");
                    let misfits = self.check(&written, &reader);
                    if !misfits.is_empty() {
                        return Err(self.misfit(&what, &misfits));
                    }
                    self.add(Some(writer), &reader, &what)?;
                }
            }
        }
        awaited.map_or(Ok(()), Err)
    }

    fn decode(&self, block: &RawBlock) -> Decoded {
        let room = match &block.framing {
            Framing::Records { ends, .. } => ends.len(),
            Framing::Lines { .. } | Framing::Container { .. } => 0,
        };
        let mut rows = Rows::new(&self.wanted, room);
        let registry = match &*self.origin {
            MessageOrigin::Registry(registry) => Some(registry),
            MessageOrigin::Given(_) => None,
        };
        let given = self.plans().get(&None).cloned();
        let (mut last, mut scratch): (Option<(&[u8], Arc<MessagePlan>)>, _) = (None, Scratch::default());
        each_record(block, |index, offset, range| {
            let payload = &block.data[range.clone()];
            rows.push((index, offset), payload, |columns| {
                let (behind, plan) = match (registry, &given) {
                    (Some(registry), _) => {
                        let (before, plan) = match &last {
                            Some(last) if payload.starts_with(last.0) => last,
                            _ => &*last.insert(self.planned(registry, payload)?),
                        };
                        (before.len(), plan)
                    }
                    (None, Some(plan)) => (0, plan),
                    (None, None) => return Err("its schema is not at hand".to_owned()),
                };
                let place = range.start + behind..range.end;
                let name = |index: usize| self.wanted.columns[index].member.clone();
                fill_record(plan, &block.data, place, columns, &mut scratch, &name)
            });
        });
        rows.finish(&block.data)
    }
}

#[cold]
fn not_framed() -> String {
    "not a record of the registry: it does not begin with a byte of 0, the number of its schema and the places of its message"
        .to_owned()
}
