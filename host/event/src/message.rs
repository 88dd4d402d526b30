//! What flows between stages: batches, and signals in line with them.
//!
//! Two words only. A stage that does not understand a signal passes it on. Each stage names the kind of batch
//! that it is handed; the signals are the same for all.

use crate::time::EventTime;

/// What a stage is handed.
#[derive(Debug, Clone)]
pub enum Message<B> {
    /// Rows.
    Batch(B),
    /// Something about all rows before it.
    Signal(Signal),
}

/// Said in line with the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Every later row has an event time at or after this one, or is late.
    Watermark(EventTime),
    /// All rows before it belong to the job's checkpoint of this number.
    Barrier(u64),
    /// Every source has been read to its end: what is open is written, but the watermark stays.
    End,
    /// The past is read: the current result of each key follows, for sinks that have none of it.
    Current,
    /// The current result of each key has come.
    Later,
}
