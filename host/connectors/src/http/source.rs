//! The ingest log as a source: one partition, in order of acceptance, from any offset, live.
//!
//! Files are read on the runtime's blocking threads. A read works on a copy of the reader's place, which is
//! taken over only when its block is handed out, and one that has begun is kept when the call to `next` is given up:
//! that is what makes `next` cancel safe.

use super::claims::unfit;
use super::frame::Frame;
use super::identity::Standing;
use super::log::{Durable, IngestLog, Shared};
use super::logs::IngestLogs;
use super::segment::{Frames, Segment, Step, damaged, disk_error};
use crate::blocking::blocking;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::watch;
use weir_connect::source::RefusedRecord;
use weir_connect::{
    ConnectError, Fetch, Framing, KnownTimes, Left, OpenPartition, Probe, RawBlock, Reader, Source,
};
use weir_event::{PartitionId, Position};

/// What a block holds at most, one larger row aside.
const BLOCK_BYTES: usize = 1 << 20;

/// Reads one stream's ingest log.
#[derive(Debug)]
pub struct HttpSource {
    log: Arc<IngestLog>,
}

impl HttpSource {
    /// A source over a log that whoever accepts rows has open too.
    pub fn new(log: Arc<IngestLog>) -> HttpSource {
        HttpSource { log }
    }

    /// The first offset to read, checked against what the log holds, and what is missing before it.
    fn start(&self, from: Option<&Position>) -> Result<(u64, Option<String>), ConnectError> {
        let (begin, end) = (self.log.begin_offset(), self.log.end_offset());
        let Some(from) = from else { return Ok((begin, None)) };
        let Shared { dir, log, .. } = &*self.log.shared;
        if let Some(reason) = unfit(dir, log, end, "the job", from) {
            return Err(ConnectError::internal(reason));
        }
        match log.standing(from, end) {
            Standing::BeforeOrigin => Ok((begin, Some(missing(&self.log, from.next, begin)))),
            _ if from.next < begin => Err(deleted(&self.log, from.next)),
            _ => Ok((from.next, None)),
        }
    }
}

/// What a job misses that has read another log up to `next`, in whose place this one was begun.
fn missing(log: &IngestLog, next: u64, begin: u64) -> String {
    let rows = if begin > next {
        format!("rows {next} to {} of it, and any", begin - 1)
    } else {
        "rows of it".to_owned()
    };
    format!(
        "the ingest log that the job had read up to row {next} is not there any more, and a new one begins at row {begin} \
         ({}): {rows} that were accepted later are not counted",
        log.shared.dir.display()
    )
}

fn deleted(log: &IngestLog, next: u64) -> ConnectError {
    ConnectError::user(format!(
        "row {next} of the ingest log {} was deleted before the job had read it (`keep` was over); the log begins \
         at row {}: start the job anew with --reset, and raise `keep`",
        log.shared.dir.display(),
        log.begin_offset()
    ))
}

#[async_trait]
impl Source for HttpSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(1, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let [OpenPartition { partition: 0, from }] = partitions else {
            return Err(ConnectError::internal(format!(
                "an ingest log has only partition 0, not {partitions:?}"
            )));
        };
        let (next, missing) = self.start(from.as_ref())?;
        let place = LogPlace { next, walk: None, frame: None };
        Ok(Box::new(LogReader {
            log: self.log.clone(),
            durable: self.log.durable.clone(),
            partition: PartitionId { source, partition: 0 },
            until: bounded.then(|| self.log.end_offset()),
            place,
            missing,
            reading: None,
            said_caught_up: false,
        }))
    }

    async fn left(&self, positions: &[OpenPartition], _: bool) -> Result<Left, ConnectError> {
        let from = positions.first().and_then(|open| open.from.as_ref()).map_or(0, |position| position.next);
        Ok(Left::records(self.log.end_offset().saturating_sub(from.max(self.log.begin_offset()))))
    }
}

/// The same over a log that may not be open yet: making a source does no I/O.
#[derive(Debug)]
pub(super) struct Declared {
    logs: Arc<IngestLogs>,
    stream: String,
}

impl Declared {
    pub(super) fn new(logs: Arc<IngestLogs>, stream: String) -> Declared {
        Declared { logs, stream }
    }

    async fn log(&self) -> Result<HttpSource, ConnectError> {
        let (logs, stream) = (self.logs.clone(), self.stream.clone());
        let opened = blocking(move || logs.open(&stream)).await?;
        let undeclared = || ConnectError::internal(format!("stream {} has no ingest log", self.stream));
        opened.map(HttpSource::new).ok_or_else(undeclared)
    }
}

#[async_trait]
impl Source for Declared {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        self.log().await?.partitions(known).await
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        self.log().await?.open(source, partitions, bounded).await
    }

    async fn left(&self, positions: &[OpenPartition], bounded: bool) -> Result<Left, ConnectError> {
        self.log().await?.left(positions, bounded).await
    }

    /// To open the log would make it, and there is nobody else to reach.
    async fn probe(&self) -> Result<Probe, ConnectError> {
        Ok(Probe::Ready("events that are posted to this server".to_owned()))
    }

    fn committed(&self, job: &str, _: u16, position: &Position) {
        self.logs.claim(&self.stream, job, position);
    }
}

/// Where a reader is.
#[derive(Debug, Clone)]
struct LogPlace {
    next: u64,
    walk: Option<(Segment, Frames)>,
    frame: Option<Arc<Frame>>,
}

struct LogReader {
    log: Arc<IngestLog>,
    durable: watch::Receiver<Durable>,
    partition: PartitionId,
    /// The end of a bounded read.
    until: Option<u64>,
    place: LogPlace,
    /// What is to be said before the first row.
    missing: Option<String>,
    /// A read that has begun.
    reading: Option<BoxFuture<'static, Result<(RawBlock, LogPlace), ConnectError>>>,
    said_caught_up: bool,
}

#[async_trait]
impl Reader for LogReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        if let Some(reason) = self.missing.take() {
            return Ok(Fetch::Block(self.nothing_but(reason)));
        }
        loop {
            let durable = *self.durable.borrow_and_update();
            let end = self.until.unwrap_or(durable.end);
            if self.place.next < end {
                let reading = self.reading.get_or_insert_with(|| {
                    let (log, partition, mut place) = (self.log.clone(), self.partition, self.place.clone());
                    blocking(move || Ok((place.read(&log, durable, end, partition)?, place))).boxed()
                });
                let read = reading.await;
                self.reading = None;
                let (block, place) = read?;
                (self.place, self.said_caught_up) = (place, false);
                return Ok(Fetch::Block(block));
            }
            if !self.said_caught_up {
                self.said_caught_up = true;
                return Ok(Fetch::CaughtUp(self.partition));
            }
            // The log lives as long as this reader, so the watch cannot close; after a bounded read there is
            // nothing to wait for.
            if self.until.is_some() || self.durable.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl LogReader {
    /// A block without rows that says what is missing before the next one.
    fn nothing_but(&self, reason: String) -> RawBlock {
        let refused = RefusedRecord {
            offset: self.place.next,
            reason,
            payload: Vec::new(),
            skip: false,
            damaged: false,
        };
        RawBlock {
            partition: self.partition,
            data: Bytes::new(),
            framing: Framing::Records { ends: Vec::new(), offsets: Vec::new() },
            known: KnownTimes::Each(Vec::new()),
            next: self.log.shared.log.position(self.place.next),
            refused: vec![refused],
        }
    }
}

impl LogPlace {
    /// The rows from here to `end`, as many as fit a block; there is at least one.
    fn read(
        &mut self,
        log: &IngestLog,
        durable: Durable,
        end: u64,
        partition: PartitionId,
    ) -> Result<RawBlock, ConnectError> {
        let (mut data, mut ends, mut offsets, mut stamps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while self.next < end {
            let frame = self.frame(log, durable)?;
            let index = (self.next - frame.first) as usize;
            let start = index.checked_sub(1).map_or(0, |before| frame.ends[before]);
            let row = &frame.data[start as usize..frame.ends[index] as usize];
            if !data.is_empty() && data.len() + row.len() > BLOCK_BYTES {
                break;
            }
            data.extend_from_slice(row);
            ends.push(data.len() as u32);
            offsets.push(self.next);
            stamps.push(frame.stamp);
            self.next += 1;
        }
        Ok(RawBlock {
            partition,
            data: Bytes::from(data),
            framing: Framing::Records { ends, offsets },
            known: KnownTimes::Each(stamps),
            next: log.shared.log.position(self.next),
            refused: Vec::new(),
        })
    }

    /// The frame that holds the next row.
    fn frame(&mut self, log: &IngestLog, durable: Durable) -> Result<Arc<Frame>, ConnectError> {
        if let Some(frame) = self.frame.as_ref().filter(|frame| self.next < frame.end()) {
            return Ok(frame.clone());
        }
        loop {
            let (segment, frames) = match &mut self.walk {
                Some(walk) => walk,
                none => {
                    let found = log.shared.change_segments(|segments| {
                        segments.iter().rev().find(|segment| segment.base <= self.next).cloned()
                    });
                    let segment = found.ok_or_else(|| deleted(log, self.next))?;
                    let frames = Frames::new(&segment);
                    none.insert((segment, frames))
                }
            };
            let read_error = |error: &std::io::Error| disk_error("read", &segment.path, error);
            let is_active = segment.base == durable.active;
            let limit = if is_active {
                durable.bytes
            } else {
                segment.file.metadata().map_err(|error| read_error(&error))?.len()
            };
            match frames.next(limit).map_err(|error| read_error(&error))? {
                Step::Frame(frame) if frame.end() <= self.next => {}
                Step::Frame(frame) if frame.first <= self.next => {
                    return Ok(self.frame.insert(Arc::new(frame)).clone());
                }
                // The segment before ends where this row begins only if both are whole.
                Step::End if !is_active && follows(log, self.next) => self.walk = None,
                _ => {
                    let what = format!("row {} is not there (byte {})", self.next, frames.at);
                    return Err(damaged(&segment.path, &what));
                }
            }
        }
    }
}

/// Whether a segment begins with this row.
fn follows(log: &IngestLog, row: u64) -> bool {
    log.shared.change_segments(|segments| segments.iter().any(|segment| segment.base == row))
}
