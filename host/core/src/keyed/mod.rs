//! The keyed stage: rows of ranges of key groups go into their timelines; watermarks, and where the job says so rows or
//! the passing of time, bring results out.
//!
//! Must not know who sends rows, when somebody asks, or where results go.

pub(crate) mod deletes;
pub(crate) mod effects;
pub(crate) mod emit;
pub(crate) mod entered;
pub(crate) mod failures;
pub(crate) mod found;
pub(crate) mod keys;
pub(crate) mod lookup;
pub(crate) mod outputs;
pub(crate) mod parts;
pub(crate) mod reached;
pub(crate) mod segment;
pub(crate) mod together;
pub(crate) mod views;
pub(crate) mod written;

use crate::counts::Counts;
use crate::error::CoreError;
use crate::intake::route::KeyedRows;
use crate::keyed::lookup::{Answer, AsOf, Entity, EntityKey, LookupError};
use crate::keyed::together::Pending;
use crate::stored::Name;
use effects::Effects;
use keys::Page;
use parts::Parts;
use segment::{Ask, Segment, StateSink};
use std::ops::Range;
use std::sync::Arc;
use weir_event::{EventTime, KeyGroup, Span, key_group};
use weir_plan::{Emit, JobPlan, KeyedStage};
use weir_timeline::Stats;

/// The segments of a range of key groups, wherever they are: in a vector, or behind a lock each.
pub trait Segments {
    /// How many there are.
    fn count(&self) -> usize;

    /// The key groups of one.
    fn groups(&self, segment: usize) -> Range<u16>;

    /// Works on one, alone: who looks something up in it waits meanwhile.
    fn write<T>(&mut self, segment: usize, work: impl FnOnce(&mut Segment) -> T) -> T;
}

impl Segments for Vec<Segment> {
    fn count(&self) -> usize {
        self.len()
    }

    fn groups(&self, segment: usize) -> Range<u16> {
        self[segment].groups().clone()
    }

    fn write<T>(&mut self, segment: usize, work: impl FnOnce(&mut Segment) -> T) -> T {
        work(&mut self[segment])
    }
}

/// The keyed stage of a job over a range of key groups. What is done to it returns what follows from that.
#[derive(Debug)]
pub struct Keyed<S = Vec<Segment>> {
    plan: Arc<JobPlan>,
    stage: KeyedStage,
    segments: S,
    with_identity: bool,
    /// That of the last results.
    revision: u64,
    counts: Counts,
    next_expiry: EventTime,
    /// Whether results that were written can be taken back, so that it is known of each whether it was.
    takes_back: bool,
}

impl<S: Segments> Keyed<S> {
    /// Over segments that are somewhere already, with their state.
    pub fn over(plan: Arc<JobPlan>, mut segments: S) -> Result<Keyed<S>, CoreError> {
        let stage = stage_of(&plan)?.clone();
        let (mut revision, mut counts) = (0, Counts::default());
        for segment in 0..segments.count() {
            if let Some(restored) = segments.write(segment, |segment| segment.restored()) {
                revision = restored.revision.max(revision);
                counts.add(restored.counts);
            }
        }
        // What sinks have of keyed logic is known whatever WHERE is, which may be another one later.
        let is_asked =
            plan.output.filter.is_some() || stage.present.is_some() || stage.spec.process.is_some();
        let takes_back = plan.row_shape().deletes && is_asked;
        let (with_identity, next_expiry) = (false, EventTime::MIN);
        Ok(Keyed { plan, stage, segments, with_identity, revision, counts, next_expiry, takes_back })
    }

    /// What was counted so far, also by those that had its key groups before.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Results get revisions above this one, as well as above those that are in the state. Who may lose what it was
    /// given after results have left, as in a crash, takes one that rises with every start.
    #[must_use]
    pub fn revised_above(self, revision: u64) -> Keyed<S> {
        Keyed { revision: self.revision.max(revision), ..self }
    }

    /// Whether results say what tells them apart.
    #[must_use]
    pub fn with_identity(self, with_identity: bool) -> Keyed<S> {
        Keyed { with_identity, ..self }
    }

    /// Inserts those of the rows that belong to its key groups; where the job writes on arrival, what they change follows.
    pub fn rows(&mut self, rows: &KeyedRows) -> Result<Parts<'_, S>, CoreError> {
        let mut effects = Effects::default();
        for segment in 0..self.segments.count() {
            let own = rows.of_groups(&self.segments.groups(segment));
            if !own.is_empty() {
                let entered = self.segments.write(segment, |segment| segment.insert(rows, own))?;
                entered.tell((&self.plan, &self.stage), rows, own, &mut effects);
            }
        }
        let ask = (self.plan.emit == Emit::Change).then_some(Ask::Changes);
        Ok(Parts::new(self, effects, ask))
    }

    /// Moves the settled boundary to a watermark; what is final follows.
    pub fn settle(&mut self, to: EventTime) -> Parts<'_, S> {
        Parts::new(self, Effects::default(), Some(Ask::Settle(to)))
    }

    /// What rows have changed since this was last asked. What was not asked for yet is part of the state.
    pub fn changes(&mut self) -> Parts<'_, S> {
        Parts::new(self, Effects::default(), Some(Ask::Changes))
    }

    /// The input has ended: everything that is open follows as it stands, and the boundary stays.
    pub fn end(&mut self) -> Parts<'_, S> {
        Parts::new(self, Effects::default(), Some(Ask::End))
    }

    /// The current result of each key follows, whether it was returned before or not: for sinks that were not given results
    /// so far.
    pub fn current(&mut self) -> Parts<'_, S> {
        Parts::new(self, Effects::default(), Some(Ask::Current(0)))
    }

    /// Every segment was asked.
    fn asked(&mut self, ask: Ask) {
        if let Ask::Settle(watermark) = ask
            && watermark >= self.next_expiry
        {
            for segment in 0..self.segments.count() {
                self.segments.write(segment, Segment::expire);
            }
            self.next_expiry = watermark + self.expiry_step();
        }
    }

    /// How far the watermark moves between two evictions: often enough that what has expired stays a small part
    /// of the state, seldom enough that sweeping costs nothing.
    fn expiry_step(&self) -> Span {
        let history = self.stage.spec.history.millis();
        Span::from_millis((history / 8).clamp(1_000, 3_600_000))
    }

    /// Walks over everything that is held to find how much memory it takes.
    pub fn measure(&mut self) {
        for segment in 0..self.segments.count() {
            self.segments.write(segment, Segment::measure);
        }
    }

    /// Shows everything of the state that changed since this was last asked.
    pub fn dirty(&mut self, out: &mut StateSink<'_>) {
        (0..self.segments()).for_each(|segment| {
            self.dirty_of(segment, usize::MAX, out);
        });
    }

    /// The same of one segment, ahead of when all of it is asked for, about `limit` blocks at the most: what changes again
    /// until then is shown again, and then that counts. Whether nothing is left of the segment.
    pub fn dirty_of(&mut self, segment: usize, limit: usize, out: &mut StateSink<'_>) -> bool {
        let (revision, counts) = (self.revision, self.counts_of(segment));
        self.segments.write(segment, |segment| segment.dirty(revision, counts, limit, out))
    }

    /// What is stored with a segment of what was counted: with the first everything.
    fn counts_of(&self, segment: usize) -> Counts {
        if segment == 0 { self.counts } else { Counts::default() }
    }

    /// The oldest time that some of its keys may be asked for.
    pub fn oldest_of_all(&mut self) -> EventTime {
        let oldest = (0..self.segments()).map(|segment| self.segments.write(segment, |it| it.oldest()));
        oldest.min().unwrap_or(EventTime::MIN)
    }

    /// How many segments it has.
    pub fn segments(&self) -> usize {
        self.segments.count()
    }
}

impl Keyed {
    /// An empty one, with a segment for each of the key groups: each has a settled boundary of its own, so that groups
    /// which come from different places go on side by side.
    pub fn open(plan: Arc<JobPlan>, groups: Range<u16>) -> Result<Keyed, CoreError> {
        let stage = stage_of(&plan)?;
        let segments = groups.map(|group| Segment::open(stage, group..group + 1, true));
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        Keyed::over(plan, segments)
    }

    /// An empty one that answers questions and has no results, in one segment: for whoever replays a log.
    pub fn silent(plan: Arc<JobPlan>, groups: Range<u16>) -> Result<Keyed, CoreError> {
        let segment = Segment::open(stage_of(&plan)?, groups, false)?.asked_in_order();
        Keyed::over(plan, vec![segment])
    }

    /// Inserts some of the rows, by index, rising: those of one segment, which all of these are. What becomes of them is
    /// counted and not told.
    pub fn some_rows(&mut self, segment: usize, rows: &KeyedRows, own: &[u32]) -> Result<(), CoreError> {
        let entered = self.segments[segment].insert(rows, own)?;
        let mut effects = Effects::default();
        entered.tell((&self.plan, &self.stage), rows, own, &mut effects);
        self.counts.add(effects.counts);
        Ok(())
    }

    /// Shows everything of the state of a key group. What [`Keyed::dirty`] has still to show stays so.
    pub fn all(&self, group: KeyGroup, out: &mut StateSink<'_>) -> Result<(), CoreError> {
        let at = self.index_of(group)?;
        self.segments[at].all(self.revision, self.counts_of(at), out);
        Ok(())
    }

    /// Takes something of the state of a key group back, by its name within the group. All is to be taken back, then
    /// [`Keyed::restore_done`] called for the group, before anything else.
    pub fn restore(&mut self, group: KeyGroup, name: &[u8], value: &[u8]) -> Result<(), CoreError> {
        let name = parsed(group, name)?;
        if name.group() != group {
            return Err(CoreError::Damaged(format!("a block of state is not of key group {}", group.0)));
        }
        let at = self.index_of(group)?;
        self.segments[at].restore(name, value)
    }

    /// Everything of a key group is back: it goes on where it was.
    pub fn restore_done(&mut self, group: KeyGroup) -> Result<(), CoreError> {
        let at = self.index_of(group)?;
        self.segments[at].restore_done()?;
        if let Some(restored) = self.segments[at].restored() {
            self.revision = self.revision.max(restored.revision);
            self.counts.add(restored.counts);
        }
        Ok(())
    }

    /// The boundary up to which a key group is settled.
    pub fn settled(&self, group: KeyGroup) -> Result<EventTime, CoreError> {
        Ok(self.of_group(group)?.settled())
    }

    /// The oldest time that a key group may be asked for.
    pub fn oldest(&self, group: KeyGroup) -> Result<EventTime, CoreError> {
        Ok(self.of_group(group)?.oldest())
    }

    /// Whether something stored of a key group is out of reach and need not be kept.
    pub fn is_expired(&self, group: KeyGroup, name: &[u8]) -> Result<bool, CoreError> {
        Ok(self.of_group(group)?.is_expired(parsed(group, name)?))
    }

    /// How much is held.
    pub fn stats(&self) -> Stats {
        self.segments.iter().map(Segment::stats).fold(Stats::default(), add_stats)
    }

    /// One entity's results. `key` holds one row per key column, of the stage's key types.
    pub fn lookup(&self, key: &[arrow_array::ArrayRef], as_of: AsOf) -> Result<Answer, LookupError> {
        let entity = Entity::of(key)?;
        let failed = |error: CoreError| LookupError::Failed(error.to_string());
        let copies = self.of_group(entity.group()).map_err(failed)?.look(&self.plan, &entity, as_of)?;
        copies.finish(&self.plan, &entity)
    }

    /// One entity's settled results as of now, to be finished with those of others by [`crate::finish_together`].
    pub fn ask(&mut self, key: EntityKey<'_>, as_of: AsOf) -> Result<Pending, LookupError> {
        let failed = |error: CoreError| LookupError::Failed(error.to_string());
        let at = self.index_of(key_group(key.hash)).map_err(failed)?;
        self.segments[at].follow(key).map_err(failed)?;
        self.segments[at].ask_for(&self.plan, key, as_of)
    }

    /// Up to `limit` of its keys, encoded, behind the one that `after` is, or the first ones.
    pub fn keys(&self, after: Option<&[u8]>, limit: usize) -> Vec<Box<[u8]>> {
        let mut page = Page::new(after, limit);
        let first = page.first_group().0;
        for segment in self.segments.iter().filter(|segment| segment.groups().end > first) {
            if page.is_full() {
                break;
            }
            page.look_through(segment, 0..segment.slots());
        }
        page.finish()
    }

    fn index_of(&self, group: KeyGroup) -> Result<usize, CoreError> {
        // Segments are in the order of their groups.
        let at = self.segments.partition_point(|segment| segment.groups().end <= group.0);
        let is_held = self.segments.get(at).is_some_and(|segment| segment.groups().contains(&group.0));
        is_held
            .then_some(at)
            .ok_or_else(|| CoreError::Input(format!("key group {} is held elsewhere", group.0)))
    }

    fn of_group(&self, group: KeyGroup) -> Result<&Segment, CoreError> {
        Ok(&self.segments[self.index_of(group)?])
    }
}

fn stage_of(plan: &JobPlan) -> Result<&KeyedStage, CoreError> {
    let missing = || CoreError::Input(format!("job `{}` has neither window nor aggregate", plan.name));
    plan.stage.as_ref().ok_or_else(missing)
}

fn parsed(group: KeyGroup, name: &[u8]) -> Result<Name<'_>, CoreError> {
    Name::parse(group, name)
        .ok_or_else(|| CoreError::Damaged("the name of a block of state is too short".to_owned()))
}

/// Sizes of several segments together.
pub fn add_stats(one: Stats, other: Stats) -> Stats {
    Stats {
        keys: one.keys + other.keys,
        tiles: one.tiles + other.tiles,
        rows: one.rows + other.rows,
        memory_bytes: one.memory_bytes + other.memory_bytes,
    }
}
