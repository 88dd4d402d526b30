//! Result rows as messages: their keys, their values, and which of them the topic would never take.
//!
//! Knows rows and a topic's limits. Must not know how messages are sent.

use super::client::Cluster;
use super::policy::TopicPolicy;
use crate::upsert::{Template, refused_line};
use std::ops::Range;
use weir_connect::{ConnectError, Encoder, Op, SinkRows};

/// What Kafka adds to a single message at most: the head of a batch, and lengths.
const FRAMING_BYTES: usize = 80;
/// librdkafka's and Kafka's own limit, where the topic's is not known.
const MOST_BYTES: usize = 1_000_000;
/// The smallest limit that librdkafka takes.
const LEAST_BYTES: usize = 1000;

/// What a topic takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    most_bytes: usize,
    /// Compaction goes by keys.
    needs_key: bool,
}

impl Limits {
    /// Those of a topic, and what `options` say.
    pub(super) fn new(policy: TopicPolicy, cluster: &Cluster) -> Limits {
        let ours = cluster.number("message.max.bytes");
        let most_bytes = [policy.most_bytes, ours].into_iter().flatten().min().unwrap_or(MOST_BYTES);
        Limits { most_bytes, needs_key: policy.is_compacted.unwrap_or(false) }
    }

    /// What librdkafka is to hold to: brokers refuse a whole batch that is too large.
    pub(super) fn settings(&self) -> [(&'static str, String); 2] {
        let bytes = self.most_bytes.max(LEAST_BYTES);
        [("message.max.bytes", bytes.to_string()), ("batch.size", bytes.min(MOST_BYTES).to_string())]
    }
}

/// How rows become messages.
pub(super) struct Shaping {
    /// The text that is the message's key; a row in which it is null has none, and so spreads over all partitions.
    pub(super) key: Option<Template>,
    /// Whether a result that is taken back is a message without a value; else it is none.
    pub(super) tombstones: bool,
}

/// Messages before they are sent.
#[derive(Default)]
pub(super) struct Messages {
    pub(super) values: Vec<u8>,
    /// Each one's key, and where in `values` its value is.
    all: Vec<(Option<String>, Option<Range<usize>>)>,
    /// Rows that the topic would refuse for ever, as lines.
    pub(super) refused: Vec<Vec<u8>>,
}

impl Shaping {
    /// Rows as messages.
    pub(super) fn messages(
        &self,
        encoder: &dyn Encoder,
        limits: Limits,
        rows: &SinkRows,
    ) -> Result<Messages, ConnectError> {
        let (mut messages, is_gone) = (Messages::default(), rows.meta.op == Op::Delete);
        if is_gone && !self.tombstones {
            return Ok(messages);
        }
        let keys = self.key.as_ref().map(|key| key.over(rows));
        let records = encoder.records(rows)?;
        for row in 0..rows.columns.num_rows() {
            let key = keys.as_ref().and_then(|keys| keys.text(row).ok());
            let start = messages.values.len();
            if !is_gone {
                records.write(row, &mut messages.values);
            }
            let bytes = messages.values.len() - start + key.as_ref().map_or(0, String::len) + FRAMING_BYTES;
            if let Some(reason) = limits.refusal(bytes, key.is_some(), is_gone) {
                messages.values.truncate(start);
                let keys: Vec<String> = key.into_iter().collect();
                messages.refused.push(refused_line(rows, row, &keys, &reason));
                continue;
            }
            let value = (!is_gone).then_some(start..messages.values.len());
            messages.all.push((key, value));
        }
        Ok(messages)
    }
}

impl Limits {
    /// Why a message would never be taken.
    fn refusal(&self, bytes: usize, has_key: bool, is_tombstone: bool) -> Option<String> {
        if bytes > self.most_bytes {
            let most = self.most_bytes;
            return Some(format!("its message has {bytes} bytes, and the topic takes {most} at most"));
        }
        let reason = "it has no key, without which a compacted topic takes no message";
        (!has_key && (self.needs_key || is_tombstone)).then(|| reason.to_owned())
    }
}

impl Messages {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<&[u8]>, Option<&[u8]>)> {
        self.all.iter().map(|(key, value)| {
            (key.as_deref().map(str::as_bytes), value.clone().map(|value| &self.values[value]))
        })
    }
}
