//! One reader and one decoding for all jobs of a stream, where they read the same.
//!
//! Each job is handed a [`Source`] and a [`Decoder`] and knows nothing of the others. Jobs that open the source at
//! the same positions follow one [`session`](crate::session): its reader reads once, its decoder decodes the columns
//! of all jobs once, and each job takes its own columns out of that. Whoever cannot follow (other positions, too far
//! behind, a start too late) reads with a reader of its own, gets the same records, and follows once it has come to
//! where the others are. Columns of jobs that come later are decoded for all from then on.
//!
//! What is shared decides nothing. A block in which any record does not decode is decoded again by each job for
//! the columns that it reads, since a record is bad only for jobs that read what is wrong with it.

use crate::decode;
use crate::follower::Follower;
use crate::session::{Ends, Session};
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use weir_connect::{
    ConnectError, CpuTime, Decoded, Decoder, Fetch, Health, Left, OpenPartition, RawBlock, Reader, Source,
};
use weir_core::first_offset;
use weir_event::{Clock, PartitionId, Position};

/// The number of a source whose reader is shared: as which input its stream is read is each job's own matter.
const SHARED: u16 = 0;

/// Makes what decodes these columns of a stream (indices into its schema), in that order.
pub type MakeDecoder = Box<dyn Fn(&[usize]) -> Arc<dyn Decoder> + Send + Sync>;

/// What the jobs of one stream share.
#[derive(Debug, Clone)]
pub struct StreamHub(Arc<Hub>);

/// How a job starts to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) partitions: Vec<OpenPartition>,
    pub(crate) bounded: bool,
}

impl Opening {
    /// There is a new partition.
    pub(crate) fn add(&mut self, partition: u16, at: &Position) {
        add(&mut self.partitions, partition, at);
    }
}

/// Adds a partition to others that are in order of their numbers.
pub(crate) fn add(partitions: &mut Vec<OpenPartition>, partition: u16, at: &Position) {
    let behind = partitions.partition_point(|open| open.partition < partition);
    if partitions.get(behind).is_none_or(|open| open.partition != partition) {
        partitions.insert(behind, OpenPartition { partition, from: Some(at.clone()) });
    }
}

/// The same range of a partition's log has the same bytes for ever, whoever read it and as which input: the
/// partition's number, its first offset, the position after it and its length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct BlockId(u16, u64, Position, usize);

impl BlockId {
    pub(crate) fn of(block: &RawBlock) -> Self {
        BlockId(block.partition.partition, first_offset(block), block.next.clone(), block.data.len())
    }
}

pub(crate) struct Hub {
    pub(crate) source: Arc<dyn Source>,
    make_decoder: MakeDecoder,
    /// By which others are waited for.
    pub(crate) clock: Arc<dyn Clock>,
    common: Mutex<Common>,
    /// How many jobs are to begin a session together: those that start with the server, or whose reader has failed.
    awaited: AtomicUsize,
    /// How many jobs read through it now.
    members: AtomicUsize,
    pub(crate) decode_depth: usize,
    /// Where its readers are: a job that opens one may do so elsewhere, and others read through it later.
    pub(crate) threads: Handle,
    session: Mutex<Option<Arc<Session>>>,
    /// With the share that each follower bears of the processor time that it took.
    decoded: Mutex<HashMap<BlockId, (Arc<Decoded>, Duration)>>,
    /// Held while a reader for a session is opened, so that jobs that start together open one.
    beginning: tokio::sync::Mutex<()>,
}

/// What is decoded once for all.
#[derive(Debug)]
struct Common {
    /// In the order in which jobs first read them, so that a column's place never changes.
    columns: Vec<usize>,
    decoder: Arc<dyn Decoder>,
}

impl StreamHub {
    /// For jobs that read a stream from this source, which decode on `workers` workers each and wait for one another by
    /// this clock. To be made inside the runtime whose threads read.
    pub fn new(
        source: Arc<dyn Source>,
        make_decoder: MakeDecoder,
        workers: usize,
        clock: Arc<dyn Clock>,
    ) -> StreamHub {
        let common = Common { columns: Vec::new(), decoder: make_decoder(&[]) };
        StreamHub(Arc::new(Hub {
            source,
            make_decoder,
            clock,
            common: Mutex::new(common),
            awaited: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            decode_depth: decode::depth(workers),
            threads: Handle::current(),
            session: Mutex::default(),
            decoded: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
        }))
    }

    /// Says of a job that is about to start, before any does, that it starts together with others and reads these
    /// columns: what is read first is held for all of them.
    pub fn expect(&self, columns: &[usize]) {
        self.0.widen(columns);
        self.0.awaited.fetch_add(1, Ordering::Relaxed);
    }

    /// What a job is to read through that reads `columns`, which `own` decodes, and which bears its share of the common
    /// work on `cpu`.
    pub fn for_job(
        &self,
        own: Arc<dyn Decoder>,
        columns: &[usize],
        cpu: &CpuTime,
    ) -> (Arc<dyn Source>, Arc<dyn Decoder>) {
        let places = self.0.widen(columns);
        let decoder = JobDecoder { hub: self.0.clone(), own, places, cpu: cpu.clone() };
        (Arc::new(SharedSource::new(self.0.clone())), Arc::new(decoder))
    }

    /// Whether no job reads through it or is about to.
    pub fn is_idle(&self) -> bool {
        self.0.members() == 0 && self.0.awaited() == 0
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("source", &self.source)
            .field("common", &self.common)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Lets these columns be decoded for all; their places among those that are.
    fn widen(&self, columns: &[usize]) -> Vec<usize> {
        let mut common = self.common();
        let before = common.columns.len();
        let place = |column: &usize| {
            common.columns.iter().position(|known| known == column).unwrap_or_else(|| {
                common.columns.push(*column);
                common.columns.len() - 1
            })
        };
        let places = columns.iter().map(place).collect();
        if common.columns.len() > before {
            common.decoder = (self.make_decoder)(&common.columns);
        }
        places
    }

    fn common(&self) -> MutexGuard<'_, Common> {
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What decodes for all, as they are now, by the number that the source has for all.
    pub(crate) fn decoders(&self) -> BTreeMap<u16, Arc<dyn Decoder>> {
        BTreeMap::from([(SHARED, self.common().decoder.clone())])
    }

    /// How many jobs read through it.
    pub(crate) fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// How many jobs are to come before what was read first is let go; none once it was.
    pub(crate) fn awaited(&self) -> usize {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Lets a session that begins wait for so many jobs.
    pub(crate) fn wait_for(&self, jobs: usize) {
        self.awaited.store(jobs, Ordering::Relaxed);
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, block: BlockId, decoded: Decoded, share: Duration) {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).insert(block, (Arc::new(decoded), share));
    }

    pub(crate) fn forget(&self, block: &BlockId) {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).remove(block);
    }

    fn decoded(&self, block: &RawBlock) -> Option<(Arc<Decoded>, Duration)> {
        let decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        decoded.get(&BlockId::of(block)).cloned()
    }

    pub(crate) async fn open_alone(&self, opening: &Opening) -> Result<Box<dyn Reader>, ConnectError> {
        let (source, Opening { partitions, bounded }) = (self.source.clone(), opening.clone());
        let opened = self.threads.spawn(async move { source.open(SHARED, &partitions, bounded).await });
        opened.await.map_err(|_| ConnectError::internal("opening the source ended without a word"))?
    }
}

/// The source as one of several jobs sees it.
#[derive(Debug)]
struct SharedSource(Arc<Hub>);

impl SharedSource {
    fn new(hub: Arc<Hub>) -> SharedSource {
        hub.members.fetch_add(1, Ordering::Relaxed);
        SharedSource(hub)
    }
}

impl Drop for SharedSource {
    fn drop(&mut self) {
        self.0.members.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Source for SharedSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        self.0.source.partitions(known).await
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let opening = Opening { partitions: partitions.to_vec(), bounded };
        Ok(Box::new(AsInput { source, reader: self.open_shared(opening).await? }))
    }

    fn is_same_log(&self, one: &Position, other: &Position) -> bool {
        self.0.source.is_same_log(one, other)
    }

    async fn left(&self, positions: &[OpenPartition], bounded: bool) -> Result<Left, ConnectError> {
        self.0.source.left(positions, bounded).await
    }

    fn missing(&self) -> Option<String> {
        self.0.source.missing()
    }

    fn place(&self, before: &Position) -> Option<String> {
        self.0.source.place(before)
    }

    fn committed(&self, job: &str, partition: u16, position: &Position) {
        self.0.source.committed(job, partition, position);
    }

    fn reads(&self, place: &str) -> bool {
        self.0.source.reads(place)
    }

    fn grows(&self) -> bool {
        self.0.source.grows()
    }
}

impl SharedSource {
    /// Reads together with others where that can be.
    async fn open_shared(&self, opening: Opening) -> Result<Follower, ConnectError> {
        let one_by_one = self.0.beginning.lock().await;
        if let Some(seat) = Session::join(&self.0, &opening) {
            return Ok(Follower::with_others(&self.0, opening, seat));
        }
        if self.0.awaited() == 1 {
            self.0.wait_for(0);
        }
        if self.0.awaited() == 0 || self.0.session().is_some() {
            drop(one_by_one);
            let reader = self.0.open_alone(&opening).await?;
            return Ok(Follower::alone(&self.0, opening, reader));
        }
        let reader = self.0.open_alone(&opening).await?;
        Ok(match Session::begin(&self.0, &opening, &Ends::new(), reader) {
            Ok(seat) => Follower::with_others(&self.0, opening, seat),
            Err(reader) => Follower::alone(&self.0, opening, reader),
        })
    }
}

/// What was read together with others, as an input of one job.
struct AsInput {
    /// Its number there.
    source: u16,
    reader: Follower,
}

#[async_trait]
impl Reader for AsInput {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        let of_input = |id: PartitionId| PartitionId { source: self.source, ..id };
        Ok(match self.reader.next().await? {
            Fetch::Block(block) => Fetch::Block(RawBlock { partition: of_input(block.partition), ..block }),
            Fetch::CaughtUp(partition) => Fetch::CaughtUp(of_input(partition)),
            Fetch::Watermark(partition, time) => Fetch::Watermark(of_input(partition), time),
            Fetch::Appeared(partition, at) => Fetch::Appeared(of_input(partition), at),
            Fetch::Ended(partition) => Fetch::Ended(of_input(partition)),
        })
    }

    fn pause(&mut self, partition: PartitionId) {
        self.reader.pause(PartitionId { source: SHARED, ..partition });
    }

    fn resume(&mut self, partition: PartitionId) {
        self.reader.resume(PartitionId { source: SHARED, ..partition });
    }

    fn health(&self) -> Health {
        self.reader.health()
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

#[async_trait]
impl Decoder for JobDecoder {
    async fn ready(&self, block: &RawBlock) -> Result<(), ConnectError> {
        self.own.ready(block).await
    }

    fn takes_long(&self) -> bool {
        self.own.takes_long()
    }

    fn decode(&self, block: &RawBlock) -> Decoded {
        self.of_shared(block).unwrap_or_else(|| self.own.decode(block))
    }

    fn attempt(&self, block: &RawBlock) -> Result<Decoded, ConnectError> {
        self.of_shared(block).map_or_else(|| self.own.attempt(block), Ok)
    }
}

impl JobDecoder {
    /// The job's columns of what was decoded for all, if that was and nothing of it is bad.
    fn of_shared(&self, block: &RawBlock) -> Option<Decoded> {
        let (shared, share) = self.hub.decoded(block)?;
        if !shared.bad.is_empty() {
            return None;
        }
        self.cpu.add(share);
        let columns = shared.columns.project(&self.places).ok()?;
        let (offsets, records) = (shared.offsets.clone(), shared.records.clone());
        Some(Decoded { columns, offsets, records, bad: Vec::new() })
    }
}
