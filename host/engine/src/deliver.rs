//! Delivery: the one place through which results leave.
//!
//! Takes the results of all shards, aligns their barriers (a shard that has passed a barrier waits for the
//! others) and puts both into the outbox of each sink. Must not know what becomes of them there.

use crate::checkpoint::Part;
use crate::error::EngineError;
use crate::outbox::Outbox;
use crate::progress::Tally;
use arrow_array::cast::AsArray;
use arrow_array::types::ByteViewType;
use arrow_array::{Array, ArrayRef, GenericByteViewArray, RecordBatch};
use arrow_schema::DataType;
use futures_util::future::select_all;
use std::sync::Arc;
use tokio::sync::mpsc;
use weir_connect::sink::RowMeta;
use weir_connect::{Op, SinkRows};
use weir_core::{Counts, ResultRows};
use weir_event::{Message, Signal};
use weir_plan::JobPlan;

/// Where results go.
pub(crate) struct Outlet {
    pub(crate) outbox: Arc<Outbox>,
    /// Whether it can tell a row that deletes from one that writes.
    pub(crate) wants_meta: bool,
    pub(crate) takes: Takes,
}

/// Which results a sink gets, of those that are made of the past, each key's current one behind it, and what comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// The current ones and what comes later.
    Later,
    /// Those of the past, and no others.
    Past,
    /// Those of the past at a pace, and what comes later.
    Smooth {
        /// So many of the past are given to it together.
        together: usize,
        /// Whether it tells older rows from newer ones. It is given the current ones too, so that it is right at once,
        /// whatever waits of the past; any other has them from there.
        refuses_older: bool,
    },
}

/// How far a shard is with the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Its results were written already by the job whose place its state has taken.
    Written,
    /// Its results are made of it.
    Past,
    /// It says the current result of each key.
    Current,
    Later,
}

/// How a sink is given some results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Now.
    AtOnce,
    /// At the pace of the past, so many together.
    InTime(usize),
    /// Now, and again behind the past.
    Twice(usize),
}

impl Outlet {
    /// How the sink is given results of an era, if it is.
    pub(crate) fn way(&self, era: Era, op: Op) -> Option<Way> {
        if op == Op::Delete && !self.wants_meta {
            return None;
        }
        match (self.takes, era) {
            (_, Era::Written) => None,
            (Takes::Past, Era::Past) | (Takes::Later, Era::Current | Era::Later) => Some(Way::AtOnce),
            (Takes::Past | Takes::Later, _) => None,
            (Takes::Smooth { together, .. }, Era::Past) => Some(Way::InTime(together)),
            (Takes::Smooth { refuses_older, .. }, Era::Current) => refuses_older.then_some(Way::AtOnce),
            // What was taken away leaves nothing, in some stores, by which an older row is known that comes behind.
            (Takes::Smooth { together, refuses_older: true }, Era::Later) if op == Op::Delete => {
                Some(if self.outbox.has_past() { Way::Twice(together) } else { Way::AtOnce })
            }
            (Takes::Smooth { .. }, Era::Later) => Some(Way::AtOnce),
        }
    }
}

/// The task that hands a job's results to its sinks.
pub(crate) struct Delivery {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) parts: mpsc::UnboundedSender<Part>,
    pub(crate) tally: Tally,
    pub(crate) checkpoint: u64,
    /// Where shards are until they say otherwise.
    pub(crate) era: Era,
}

impl Delivery {
    /// Handles messages until every input has closed.
    pub(crate) async fn run(
        mut self,
        mut inputs: Vec<mpsc::Receiver<Message<ResultRows>>>,
    ) -> Result<(), EngineError> {
        let count = inputs.len();
        let mut open = vec![true; count];
        let mut waiting = vec![false; count];
        let mut eras = vec![self.era; count];
        while open.iter().any(|open| *open) {
            let readable = inputs.iter_mut().enumerate().filter(|(at, _)| open[*at] && !waiting[*at]);
            let receives: Vec<_> =
                readable.map(|(at, input)| Box::pin(async move { (at, input.recv().await) })).collect();
            if receives.is_empty() {
                // A shard is gone that did not come to the barrier; it says why.
                return Ok(());
            }
            let ((at, message), _, _) = select_all(receives).await;
            match message {
                None => open[at] = false,
                Some(Message::Batch(rows)) => self.hand_out(rows, eras[at]).await?,
                Some(Message::Signal(Signal::Current)) => eras[at] = Era::Current,
                Some(Message::Signal(Signal::Later)) => eras[at] = Era::Later,
                Some(Message::Signal(Signal::Barrier(checkpoint))) => {
                    waiting[at] = true;
                    if (0..count).all(|input| waiting[input] || !open[input]) {
                        self.pass(checkpoint);
                        waiting.fill(false);
                    }
                }
                Some(Message::Signal(Signal::End)) => {
                    self.outlets.iter().for_each(|outlet| outlet.outbox.sources_end());
                }
                Some(Message::Signal(Signal::Watermark(_))) => {}
            }
        }
        Ok(())
    }

    async fn hand_out(&mut self, rows: ResultRows, era: Era) -> Result<(), EngineError> {
        let takes = |outlet: &Outlet| outlet.way(era, Op::Upsert).is_some();
        if !self.outlets.is_empty() && !self.outlets.iter().any(takes) {
            return Ok(());
        }
        self.tally.add(Counts { results: rows.columns.num_rows() as u64, ..Counts::default() });
        let op = rows.op;
        let rows = SinkRows {
            columns: compacted(rows.columns),
            meta: RowMeta {
                job: self.plan.name.as_str().into(),
                version: self.plan.version,
                definition: self.plan.definition.as_str().into(),
                epoch: self.checkpoint + 1,
                identities: rows.identities,
                windows: rows.windows,
                times: rows.times,
                op,
                revision: rows.revision,
                keys: rows.keys.map(compacted),
            },
        };
        let bytes = memory_bytes(&rows);
        let rows = Arc::new(rows);
        for outlet in &self.outlets {
            let Some(way) = outlet.way(era, op) else { continue };
            if let Way::AtOnce | Way::Twice(_) = way {
                outlet.outbox.append(&rows, bytes).await?;
            }
            if let Way::InTime(together) | Way::Twice(together) = way {
                let count = rows.columns.num_rows().max(1) as u64;
                for rows in pieces(&rows, together) {
                    let share = bytes.saturating_mul(rows.columns.num_rows() as u64) / count;
                    outlet.outbox.append_past(&rows, share).await?;
                }
            }
        }
        Ok(())
    }

    fn pass(&mut self, checkpoint: u64) {
        self.checkpoint = checkpoint;
        for outlet in &self.outlets {
            outlet.outbox.begin(checkpoint);
        }
        // The checkpoint is gone with the attempt if nobody listens any more.
        let counts = self.tally.counts();
        let _ = self.parts.send(Part::Delivery { checkpoint, counts });
    }
}

/// The same rows, at most so many at a time.
fn pieces(rows: &Arc<SinkRows>, at_most: usize) -> impl Iterator<Item = Arc<SinkRows>> {
    let count = rows.columns.num_rows();
    (0..count).step_by(at_most).map(move |from| {
        let length = at_most.min(count - from);
        if length == count {
            return rows.clone();
        }
        let SinkRows { columns, meta } = rows.slice(from, length);
        let meta = RowMeta { keys: meta.keys.map(compacted), ..meta };
        Arc::new(SinkRows { columns: compacted(columns), meta })
    })
}

/// The same rows; texts that are views into memory of which they need little are copied, so that rows which wait do not
/// hold on to the blocks that they were read from.
fn compacted(rows: RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = rows.columns().iter().map(without_rest).collect();
    // The types are the same.
    RecordBatch::try_new(rows.schema(), columns).unwrap_or(rows)
}

fn without_rest(column: &ArrayRef) -> ArrayRef {
    let compact = match column.data_type() {
        DataType::Utf8View => compact(column.as_string_view()),
        DataType::BinaryView => compact(column.as_binary_view()),
        _ => None,
    };
    compact.unwrap_or_else(|| column.clone())
}

/// A copy of views that need less than half of what they hold; `None` of others.
fn compact<T: ByteViewType>(views: &GenericByteViewArray<T>) -> Option<ArrayRef> {
    let held: usize = views.data_buffers().iter().map(arrow_buffer::Buffer::len).sum();
    (held > 2 * views.total_buffer_bytes_used()).then(|| Arc::new(views.gc()) as ArrayRef)
}

/// What rows take in memory, roughly.
fn memory_bytes(rows: &SinkRows) -> u64 {
    let of_batch = |batch: &RecordBatch| batch.get_array_memory_size();
    let meta = &rows.meta;
    let of_identities = meta.identities.iter().map(String::len).sum::<usize>();
    let of_meta = of_identities + 8 * meta.times.len() + 16 * meta.windows.len();
    (of_batch(&rows.columns) + meta.keys.as_ref().map_or(0, of_batch) + of_meta) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, StringViewArray};

    #[test]
    fn pieces_have_all_rows_in_order_with_what_is_said_of_each_and_little_memory_of_the_others() {
        let long = "a text that is too long to stand in its view ".repeat(20);
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..5).map(|_| long.as_str())));
        let columns = RecordBatch::try_from_iter([("n", numbers.clone()), ("text", texts)]).unwrap();
        let meta = RowMeta {
            identities: (0..5).map(|n| format!("s/0:{n}")).collect(),
            times: (0..5).collect(),
            revision: 7,
            keys: Some(RecordBatch::try_from_iter([("k", numbers)]).unwrap()),
            ..RowMeta::default()
        };
        let all = Arc::new(SinkRows { columns, meta });
        let mut next = 0;
        for piece in pieces(&all, 2) {
            let (columns, meta) = (&piece.columns, &piece.meta);
            let numbers = columns.column(0).as_primitive::<Int64Type>().values().to_vec();
            assert_eq!(numbers, (next..next + numbers.len() as i64).collect::<Vec<_>>());
            assert_eq!((&meta.times, meta.windows.len(), meta.revision), (&numbers, 0, 7));
            assert_eq!(meta.identities[0], format!("s/0:{next}"));
            assert_eq!(meta.keys.as_ref().unwrap().num_rows(), numbers.len());
            let held: usize =
                columns.column(1).as_string_view().data_buffers().iter().map(arrow_buffer::Buffer::len).sum();
            assert!(held <= 2 * numbers.len() * long.len(), "{held} bytes for {} rows", numbers.len());
            next += numbers.len() as i64;
        }
        assert_eq!((next, pieces(&all, 2).count(), pieces(&all, 9).count()), (5, 3, 1));
        assert!(Arc::ptr_eq(&pieces(&all, 9).next().unwrap(), &all), "what is little is not copied");
    }
}
