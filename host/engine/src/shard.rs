//! A job's keyed state as its tasks share it: segments of key groups with a lock each, dealt to shards.
//!
//! The writer holds one segment at a time; a lookup copies states out under the read lock and finishes them outside.
//! Must not know what a segment does with what it is handed.

use crate::entries::Entries;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use weir_core::groups::{ALL_GROUPS, part_of, range_of};
use weir_core::stored::Name;
use weir_core::{CoreError, Edited, Reached, Segment, Segments, add_stats};
use weir_event::KeyGroup;
use weir_plan::KeyedStage;
use weir_timeline::Stats;

/// A shard of enough key groups has so many segments: a reader waits for a sixteenth of a batch at most, while batches
/// stay long enough for columnar work.
const SEGMENTS: usize = 16;

/// All shards of a job.
pub(crate) struct Shards {
    shards: Vec<Vec<RwLock<Segment>>>,
}

/// The segments of one shard, for the task that writes to them.
#[derive(Debug, Clone)]
pub(crate) struct Locked {
    pub(crate) shards: Arc<Shards>,
    pub(crate) number: usize,
}

impl std::fmt::Debug for Shards {
    /// Their number: what they hold is for lookups.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shards({})", self.shards.len())
    }
}

/// The key groups of a shard.
pub(crate) fn groups_of(shard: usize, shards: usize) -> Range<u16> {
    range_of(shard, shards, &ALL_GROUPS)
}

/// How many segments a shard of these groups has.
fn segments_in(groups: &Range<u16>) -> usize {
    groups.len().min(SEGMENTS)
}

impl Shards {
    /// Empty segments; `gives_results` says whether anybody wants results beside lookups.
    pub(crate) fn new(stage: &KeyedStage, shards: usize, gives_results: bool) -> Result<Shards, CoreError> {
        let shard = |shard: usize| -> Result<Vec<RwLock<Segment>>, CoreError> {
            let groups = groups_of(shard, shards);
            let count = segments_in(&groups);
            let segment = |segment: usize| {
                let groups = range_of(segment, count, &groups);
                Segment::open(stage, groups, gives_results).map(RwLock::new)
            };
            (0..count).map(segment).collect()
        };
        Ok(Shards { shards: (0..shards).map(shard).collect::<Result<_, _>>()? })
    }

    /// The segment that holds a key group, to read.
    pub(crate) fn of_group(&self, group: KeyGroup) -> RwLockReadGuard<'_, Segment> {
        let (shard, segment) = self.place_of(group);
        self.read(shard, segment)
    }

    /// The shard that holds a key group, and the segment of it.
    pub(crate) fn place_of(&self, group: KeyGroup) -> (usize, usize) {
        let shard = part_of(group, self.len(), &ALL_GROUPS);
        let groups = groups_of(shard, self.len());
        (shard, part_of(group, segments_in(&groups), &groups))
    }

    pub(crate) fn read(&self, shard: usize, segment: usize) -> RwLockReadGuard<'_, Segment> {
        self.shards[shard][segment].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on a segment, alone.
    pub(crate) fn write<T>(
        &self,
        (shard, segment): (usize, usize),
        work: impl FnOnce(&mut Segment) -> T,
    ) -> T {
        work(&mut self.shards[shard][segment].write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// The segments of a shard.
    pub(crate) fn segments(&self, shard: usize) -> usize {
        self.shards[shard].len()
    }

    /// Sizes of all segments together.
    pub(crate) fn stats(&self) -> Stats {
        let segments = self.shards.iter().flatten();
        let stats = segments.map(|segment| segment.read().unwrap_or_else(PoisonError::into_inner).stats());
        stats.fold(Stats::default(), add_stats)
    }

    /// Takes a stored entry back.
    pub(crate) fn restore(&self, entry: &[u8], value: &[u8]) -> Result<(), CoreError> {
        let name = parsed(entry)?;
        self.write(self.place_of(name.group()), |segment| segment.restore(name, value))
    }

    /// Takes an entry back that was stored for a plan of another shape; how far its group has come is entered into
    /// `entries` at once, as no block says it.
    pub(crate) fn restore_edited(
        &self,
        entry: &[u8],
        value: &[u8],
        edited: &Edited,
        entries: &mut Entries,
    ) -> Result<(), CoreError> {
        let name = parsed(entry)?;
        let Some(value) = edited.translate(name, value)? else { return Ok(()) };
        if matches!(name, Name::Reached(_)) {
            entries.push(|out| out.extend_from_slice(entry), Some(&value));
        }
        self.write(self.place_of(name.group()), |segment| segment.restore(name, &value))
    }

    /// Enters every block of every key.
    pub(crate) fn push_blocks(&self, entries: &mut Entries) {
        for (shard, segment) in self.places() {
            self.read(shard, segment).blocks(&mut |name, value| {
                entries.push(|out| name.put_with_group(out), value);
            });
        }
    }

    /// So far every key group had come, of which the state itself does not say it: it will, with these entries.
    pub(crate) fn restore_reached(&self, reached: Reached, entries: &mut Entries) {
        for place in self.places() {
            self.write(place, |segment| {
                segment.restore_reached(reached);
                segment.show_reached(reached, &mut |name, value| {
                    entries.push(|out| name.put_with_group(out), value);
                });
            });
        }
    }

    /// All entries of a checkpoint are back.
    pub(crate) fn restore_done(&self) -> Result<(), CoreError> {
        self.places().try_for_each(|place| self.write(place, Segment::restore_done))
    }

    /// The shards' segments, in order of key group.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let shards = 0..self.len();
        shards.flat_map(|shard| (0..self.segments(shard)).map(move |segment| (shard, segment)))
    }
}

fn parsed(entry: &[u8]) -> Result<Name<'_>, CoreError> {
    let too_short = || CoreError::Damaged("a block's key is too short".to_owned());
    Name::parse_with_group(entry).ok_or_else(too_short)
}

impl Segments for Locked {
    fn count(&self) -> usize {
        self.shards.segments(self.number)
    }

    fn groups(&self, segment: usize) -> Range<u16> {
        range_of(segment, self.count(), &groups_of(self.number, self.shards.len()))
    }

    fn write<T>(&mut self, segment: usize, work: impl FnOnce(&mut Segment) -> T) -> T {
        self.shards.write((self.number, segment), work)
    }
}
