//! Lookups: the timelines, asked.
//!
//! A lookup encodes its key as rows' keys are encoded, copies states out of one segment, and merges and finishes them
//! when the segment is somebody else's again, which [`together`](super::together) does. Several features of one job and
//! entity come from one copy. Knows no HTTP.

use crate::bounds::meant_in_seconds;
use crate::keyed::segment::Segment;
use crate::keyed::together::{Pending, finish_together};
use arrow_array::{Array, ArrayRef, RecordBatch};
use weir_event::key::EncodedKeys;
use weir_event::{EventTime, KeyGroup, Span, key_group, key_hash};
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::{Frames, Question, Snapshot, Timelines};

/// One entity's results at one moment.
#[derive(Debug)]
pub struct Looked {
    /// The result columns of the query, one row; empty if HAVING is not true of it.
    pub columns: RecordBatch,
    /// The window that they are of, `[start, end)`: a grid's, but before the first watermark; or the session.
    pub window: Option<(EventTime, EventTime)>,
    /// Whether no row that comes in time can still change it.
    pub complete: bool,
    /// What is in each frame of the stage; a grid has one. `OVER` has one more than it has frames: the event whose
    /// columns are repeated.
    pub frames: Vec<FrameRows>,
    /// Result columns that could not be computed, with the reasons; `None` is HAVING.
    pub failures: Vec<(Option<usize>, String)>,
}

/// What a result is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRows {
    /// Rows in the frame; filters are not looked at.
    pub rows: u64,
    /// The newest event time of them.
    pub newest: Option<EventTime>,
    /// `OVER` only: the oldest event time of those that are still kept as rows.
    pub oldest: Option<EventTime>,
}

impl Looked {
    /// Whether any row is in one of these frames of the stage.
    pub fn has_rows(&self, frames: &[usize]) -> bool {
        self.of(frames).any(|frame| frame.rows > 0)
    }

    /// The newest event time in these frames of the stage.
    pub fn newest(&self, frames: &[usize]) -> Option<EventTime> {
        self.of(frames).filter_map(|frame| frame.newest).max()
    }

    fn of<'a>(&'a self, frames: &'a [usize]) -> impl Iterator<Item = &'a FrameRows> {
        frames.iter().filter_map(|frame| self.frames.get(*frame))
    }

    /// Why a result column has no value.
    pub fn failure_of(&self, column: usize) -> Option<&str> {
        let of_column = |(failed, _): &&(Option<usize>, String)| failed.is_none_or(|failed| failed == column);
        self.failures.iter().find(of_column).map(|(_, reason)| &**reason)
    }
}

/// What a lookup gives.
#[derive(Debug)]
pub struct Answer {
    /// `OVER`: as of the time asked. Grid: the newest complete window.
    pub settled: Looked,
    /// Grid: the unfinished window that ends next; only where no time was asked for.
    pub current: Option<Looked>,
    /// Whether the job knows anything of the entity: rows that it still keeps.
    pub known: bool,
    /// The time that the values are as of.
    pub as_of: EventTime,
}

/// The time that a lookup is as of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The one that was asked for.
    Asked(EventTime),
    /// The job's own (its newest event's, going on at the wall's pace), as none was asked for.
    JobTime(EventTime),
}

impl AsOf {
    /// Rows up to it count.
    pub fn time(self) -> EventTime {
        match self {
            AsOf::Asked(time) | AsOf::JobTime(time) => time,
        }
    }
}

/// A lookup that cannot be answered: the user's request, or a fault in the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The job has no entity.
    #[error("job `{0}` has neither window nor aggregate, so it has no entity to look up")]
    NoEntity(String),
    /// `as_of` is further back than state reaches.
    #[error(
        "job `{job}` keeps {} of history (back to {oldest}). To look further back, put `history: {enough}` into \
         jobs/{job}.yaml: with `weir restart {job}` it reaches further back from now on, with `weir restart {job} \
         --reset` at once, as it then reads its stream anew",
        spaced(*history)
    )]
    OutOfReach {
        /// The job.
        job: String,
        /// How far back it reaches.
        history: Span,
        /// The oldest time that can be answered.
        oldest: EventTime,
        /// How long a history would reach the time asked for.
        enough: Span,
    },
    /// `as_of` is further back than state reaches, as the job has not had its history for so long.
    #[error(
        "job `{job}` reaches back to {oldest} so far, as it keeps its history of {} since it was last edited; ask for a \
         later time, or have it read its stream anew with `weir restart {job} --reset`",
        spaced(*history)
    )]
    NotKeptYet {
        /// The job.
        job: String,
        /// How far back it is to reach.
        history: Span,
        /// The oldest time that can be answered.
        oldest: EventTime,
    },
    /// `as_of` is out of reach as it was meant in seconds.
    #[error("`as_of` {as_of} {reason}")]
    InSeconds {
        /// The time asked for.
        as_of: EventTime,
        /// What makes that likely, and what to write.
        reason: String,
    },
    /// The job is restoring its state.
    #[error("job `{0}` is starting: its state is being read")]
    Starting(String),
    /// A value could not be computed at all.
    #[error("{0}")]
    Failed(String),
}

/// One entity, by its key.
#[derive(Debug)]
pub struct Entity {
    columns: Vec<ArrayRef>,
    encoded: EncodedKeys,
    hash: u64,
}

/// A key, as rows' keys are encoded, and its hash.
#[derive(Debug, Clone, Copy)]
pub struct EntityKey<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) hash: u64,
}

impl Entity {
    /// The key columns have one row and the stage's key types.
    pub fn of(key: &[ArrayRef]) -> Result<Entity, LookupError> {
        // A null key is written to sinks and not looked up.
        if key.iter().any(|column| column.null_count() > 0) {
            return Err(LookupError::Failed("a null key is not looked up".to_owned()));
        }
        let encoded = EncodedKeys::encode(key, 1).map_err(|error| LookupError::Failed(error.to_string()))?;
        Ok(Entity { columns: key.to_vec(), hash: key_hash(encoded.key(0)), encoded })
    }

    /// The key group that holds it.
    pub fn group(&self) -> KeyGroup {
        key_group(self.hash)
    }

    fn key(&self) -> EntityKey<'_> {
        EntityKey { bytes: self.encoded.key(0), hash: self.hash }
    }
}

/// What was copied out for one lookup.
pub struct Copies {
    pub(crate) snapshots: Vec<(Snapshot, Window)>,
    known: bool,
    pub(crate) moment: Moment,
}

impl Segment {
    /// Copies out what an answer for one entity needs.
    pub fn look(&self, plan: &JobPlan, entity: &Entity, as_of: AsOf) -> Result<Copies, LookupError> {
        self.look_for(plan, entity.key(), as_of, Wanted::All)
    }

    /// The same, of what is wanted of it.
    pub(crate) fn look_for(
        &self,
        plan: &JobPlan,
        key: EntityKey<'_>,
        as_of: AsOf,
        wanted: Wanted,
    ) -> Result<Copies, LookupError> {
        let stage = plan.stage.as_ref().ok_or_else(|| LookupError::NoEntity(plan.name.clone()))?;
        let timelines = &self.timelines;
        // What this segment has applied, and not what the job has read: the two move together only here.
        let settled = timelines.settled();
        let as_of = in_reach(plan, stage, as_of, timelines)?;
        let slot = timelines.slot(key.bytes, key.hash);
        let copied = |(question, window): (Option<Question>, Window)| {
            let snapshot = match slot.zip(question) {
                Some((slot, question)) => timelines.snapshot(slot, &question),
                None => timelines.absent(),
            };
            (snapshot, window)
        };
        let asked = match wanted {
            Wanted::All => as_of,
            Wanted::Settled => AsOf::Asked(as_of.time()),
        };
        let snapshots = questions(stage, asked, settled, slot.is_some()).into_iter().map(copied).collect();
        Ok(Copies { snapshots, known: slot.is_some(), moment: Moment { as_of: as_of.time(), settled } })
    }
}

/// What of an answer is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything.
    All,
    /// [`Answer::settled`] alone.
    Settled,
}

impl Copies {
    /// Merges and finishes what was copied.
    pub fn finish(self, plan: &JobPlan, entity: &Entity) -> Result<Answer, LookupError> {
        let failed = |message: String| LookupError::Failed(message);
        let mut looked = Vec::with_capacity(self.snapshots.len());
        for (snapshot, window) in self.snapshots {
            let folded = snapshot.fold().map_err(|error| failed(error.to_string()))?;
            let one = Pending { folded, window, moment: self.moment };
            looked.extend(finish_together(plan, &entity.columns, vec![one])?.each);
        }
        let mut looked = looked.into_iter();
        let settled = looked.next().ok_or_else(|| failed("nothing was asked".to_owned()))?;
        Ok(Answer { settled, current: looked.next(), known: self.known, as_of: self.moment.as_of })
    }
}

/// The units in which a longer history is proposed.
const HOUR: Span = Span::from_millis(3_600_000);
const DAY: Span = Span::from_millis(24 * HOUR.millis());

/// The time to answer as of. The job's own may have been left behind by a watermark that runs through a backlog, or
/// that events of the near future have made; then it is the oldest that can be answered.
fn in_reach(
    plan: &JobPlan,
    stage: &KeyedStage,
    as_of: AsOf,
    timelines: &Timelines,
) -> Result<AsOf, LookupError> {
    let (oldest, settled) = (timelines.oldest(), timelines.settled());
    let time = match as_of {
        AsOf::JobTime(time) => return Ok(AsOf::JobTime(time.max(oldest))),
        AsOf::Asked(time) => time,
    };
    if time >= oldest {
        return Ok(as_of);
    }
    if let Some(reason) = meant_in_seconds(time, oldest) {
        return Err(LookupError::InSeconds { as_of: time, reason });
    }
    let (job, history) = (plan.name.clone(), stage.spec.reach());
    if time >= settled - history {
        return Err(LookupError::NotKeptYet { job, history, oldest });
    }
    let needed = settled.since(time);
    let unit = if needed < DAY { HOUR } else { DAY };
    // One more than fits, as the watermark moves on.
    let units = needed.millis() / unit.millis() + 1;
    let enough = Span::from_millis(units.saturating_mul(unit.millis()));
    Err(LookupError::OutOfReach { job, history, oldest, enough })
}

/// A span as people write it: `1 h`.
fn spaced(span: Span) -> String {
    let text = span.to_string();
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    format!("{} {}", &text[..digits], &text[digits..])
}

pub(crate) type Window = Option<(EventTime, EventTime)>;

/// What to ask, and the window that each question is about: first of what is settled, nothing if no window is, then of
/// what is not.
fn questions(
    stage: &KeyedStage,
    as_of: AsOf,
    settled: EventTime,
    is_known: bool,
) -> Vec<(Option<Question>, Window)> {
    let time = as_of.time();
    match &stage.spec.frames {
        Frames::Over(_) => vec![(Some(Question::Over { as_of: time }), None)],
        Frames::Process => vec![(Some(Question::Process { as_of: time }), None)],
        Frames::Session(_) => vec![(Some(Question::Session { as_of: time }), None)],
        Frames::Lifetime => vec![(Some(Question::Lifetime { as_of: time }), None)],
        frames @ (Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_)) => {
            let complete_by = after(time).min(settled);
            let of_frames = frames.windows();
            let complete = of_frames.as_ref().and_then(|windows| windows.complete_at(complete_by));
            // Before the first watermark, as while an input has had no row, no window is known to be complete. Then the
            // one that holds the job's time is open, which there is not before any row.
            let has_watermark = settled > EventTime::MIN;
            let open_after = if has_watermark { complete_by } else { after(time) };
            let with_open = (has_watermark || is_known) && matches!(as_of, AsOf::JobTime(_));
            let open = of_frames.as_ref().filter(|_| with_open).and_then(|it| it.open_at(open_after));
            let asked = |window: Window| (window.map(|(start, end)| Question::Window { start, end }), window);
            std::iter::once(complete).chain(open.map(Some)).map(asked).collect()
        }
    }
}

/// `as_of = T` counts rows at T, so what ends at T + 1 ms is complete as of T.
fn after(time: EventTime) -> EventTime {
    time + Span::from_millis(1)
}

/// When a question was asked, and up to where nothing comes any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) as_of: EventTime,
    settled: EventTime,
}

impl Moment {
    /// Whether no row that comes in time can still change a result.
    pub(crate) fn completes(self, frames: &Frames, window: Window) -> bool {
        let complete_by = after(self.as_of).min(self.settled);
        match (frames, window) {
            (Frames::Over(_) | Frames::Lifetime | Frames::Process, _) => self.settled > self.as_of,
            // A row at a session's end would still go on with it.
            (Frames::Session(_), Some((_, end))) => end < complete_by,
            (Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_), Some((_, end))) => end <= complete_by,
            (_, None) => false,
        }
    }
}
