//! One reader and one decoding for all jobs of a stream, where they read the same.
//!
//! Each job is handed a [`Source`] and a [`Decoder`] and knows nothing of the others. Jobs that open the source at
//! the same positions follow one [`session`](crate::session): its reader reads once, its decoder decodes the columns
//! of all jobs once, and each job takes its own columns out of that. Whoever cannot follow (other positions, too far
//! behind, a start too late) reads with a reader of its own, and gets the same records.
//!
//! What is shared decides nothing. A block in which any record does not decode is decoded again by each job for
//! the columns that it reads, since a record is bad only for jobs that read what is wrong with it.

use crate::decode;
use crate::session::{Begun, Follower, Session};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weir_connect::{ConnectError, CpuTime, Decoded, Decoder, Left, OpenPartition, RawBlock, Reader, Source};
use weir_core::first_offset;
use weir_event::{PartitionId, Position};

/// What the jobs of one stream share.
#[derive(Debug, Clone)]
pub struct StreamHub(Arc<Hub>);

/// How a job starts to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) source: u16,
    pub(crate) partitions: Vec<OpenPartition>,
    pub(crate) bounded: bool,
}

/// The same range of a partition's log has the same bytes for ever, whoever read it: its first offset, the offset
/// after it and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockId(PartitionId, u64, u64, usize);

impl BlockId {
    pub(crate) fn of(block: &RawBlock) -> Self {
        BlockId(block.partition, first_offset(block), block.next.next, block.data.len())
    }
}

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) decoder: Arc<dyn Decoder>,
    columns: Vec<usize>,
    pub(crate) jobs: usize,
    pub(crate) decode_depth: usize,
    session: Mutex<Option<Arc<Session>>>,
    /// With the share that each follower bears of the processor time that it took.
    decoded: Mutex<HashMap<BlockId, (Arc<Decoded>, Duration)>>,
    /// Held while a reader for a session is opened, so that jobs that start together open one.
    beginning: tokio::sync::Mutex<()>,
}

impl StreamHub {
    /// For `jobs` jobs that read `columns` of a stream (indices into its schema), which `decoder` decodes in that
    /// order; they decode on `workers` workers, as in each job.
    pub fn new(
        source: Arc<dyn Source>,
        decoder: Arc<dyn Decoder>,
        columns: Vec<usize>,
        jobs: usize,
        workers: usize,
    ) -> StreamHub {
        StreamHub(Arc::new(Hub {
            source,
            decoder,
            columns,
            jobs,
            decode_depth: decode::depth(workers),
            session: Mutex::default(),
            decoded: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
        }))
    }

    /// What a job is to read through that reads `columns`, which `own` decodes, and which bears its share of the common
    /// work on `cpu`. A job that reads a column which is not among the shared ones reads by itself.
    pub fn for_job(
        &self,
        own: Arc<dyn Decoder>,
        columns: &[usize],
        cpu: &CpuTime,
    ) -> (Arc<dyn Source>, Arc<dyn Decoder>) {
        let place = |column: &usize| self.0.columns.iter().position(|shared| shared == column);
        match columns.iter().map(place).collect() {
            Some(places) => {
                let decoder = JobDecoder { hub: self.0.clone(), own, places, cpu: cpu.clone() };
                (Arc::new(SharedSource(self.0.clone())), Arc::new(decoder))
            }
            None => (self.0.source.clone(), own),
        }
    }
}

impl Hub {
    pub(crate) fn session(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, block: BlockId, decoded: Decoded, share: Duration) {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).insert(block, (Arc::new(decoded), share));
    }

    pub(crate) fn forget(&self, block: BlockId) {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).remove(&block);
    }

    fn decoded(&self, block: &RawBlock) -> Option<(Arc<Decoded>, Duration)> {
        let decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        decoded.get(&BlockId::of(block)).cloned()
    }

    pub(crate) async fn open_alone(&self, opening: &Opening) -> Result<Box<dyn Reader>, ConnectError> {
        self.source.open(opening.source, &opening.partitions, opening.bounded).await
    }
}

/// The source as one of several jobs sees it.
#[derive(Debug)]
struct SharedSource(Arc<Hub>);

#[async_trait]
impl Source for SharedSource {
    async fn partitions(&self) -> Result<u16, ConnectError> {
        self.0.source.partitions().await
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let opening = Opening { source, partitions: partitions.to_vec(), bounded };
        let one_by_one = self.0.beginning.lock().await;
        if let Some(follower) = Follower::join(&self.0, &opening) {
            return Ok(Box::new(follower));
        }
        if self.0.session().is_some() {
            drop(one_by_one);
            return self.0.open_alone(&opening).await;
        }
        let reader = self.0.open_alone(&opening).await?;
        Ok(match Session::begin(&self.0, opening, reader) {
            Begun::Follower(follower) => Box::new(follower),
            Begun::Alone(reader) => reader,
        })
    }

    async fn left(&self, positions: &[OpenPartition], bounded: bool) -> Result<Left, ConnectError> {
        self.0.source.left(positions, bounded).await
    }

    fn place(&self, before: &Position) -> Option<String> {
        self.0.source.place(before)
    }

    fn grows(&self) -> bool {
        self.0.source.grows()
    }
}

/// Takes a job's columns out of what was decoded for all.
#[derive(Debug)]
struct JobDecoder {
    hub: Arc<Hub>,
    own: Arc<dyn Decoder>,
    /// Where the job's columns are among the shared ones.
    places: Vec<usize>,
    /// The job's.
    cpu: CpuTime,
}

impl Decoder for JobDecoder {
    fn decode(&self, block: &RawBlock) -> Decoded {
        let shared = self.hub.decoded(block).map(|(shared, share)| {
            self.cpu.add(share);
            shared
        });
        let shared = shared.filter(|shared| shared.bad.is_empty());
        let columns = shared.as_ref().and_then(|shared| shared.columns.project(&self.places).ok());
        match (shared, columns) {
            (Some(shared), Some(columns)) => Decoded {
                columns,
                offsets: shared.offsets.clone(),
                records: shared.records.clone(),
                bad: Vec::new(),
            },
            _ => self.own.decode(block),
        }
    }
}
