//! Reading Protocol Buffers: messages by their descriptors, into the columns that somebody wants.

use super::fill::fill_record;
use super::plan::{MessageMisfit, MessagePlan, plan, reads_as};
use super::source::{MessageId, MessageOrigin, framed};
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
        let mut lacking = BTreeSet::new();
        each_record(block, |_, _, range| {
            let writer = framed(&block.data[range]).map(|(writer, _)| writer);
            lacking.extend(writer.filter(|writer| self.lacks(&Some(writer.clone()))));
        });
        for writer in lacking {
            let (written, reader) = registry.messages(&writer).await?;
            let number = writer.0;
            match reader {
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
        Ok(())
    }

    fn decode(&self, block: &RawBlock) -> Decoded {
        let room = match &block.framing {
            Framing::Records { ends, .. } => ends.len(),
            Framing::Lines { .. } | Framing::Container { .. } => 0,
        };
        let mut rows = Rows::new(&self.wanted, room);
        let is_framed = matches!(*self.origin, MessageOrigin::Registry(_));
        let mut last: Option<(Option<MessageId>, Arc<MessagePlan>)> = None;
        each_record(block, |index, offset, range| {
            let payload = &block.data[range.clone()];
            rows.push((index, offset), payload, |columns| {
                let (writer, behind) = if is_framed {
                    let (writer, behind) = framed(payload).ok_or_else(|| {
                        "not a record of the registry: it does not begin with a byte of 0, the number of its schema and the \
                         places of its message"
                            .to_owned()
                    })?;
                    (Some(writer), behind)
                } else {
                    (None, 0)
                };
                if last.as_ref().is_none_or(|(known, _)| *known != writer) {
                    last = self.plans().get(&writer).cloned().map(|plan| (writer, plan));
                }
                let Some((_, plan)) = &last else { return Err("its schema is not at hand".to_owned()) };
                let place = range.start + behind..range.end;
                fill_record(plan, &block.data, place, columns, &|index| self.wanted.columns[index].member.clone())
            });
        });
        rows.finish(&block.data)
    }
}
