//! Edits of the world's query: aggregates go, come, and change places.

use super::oracle::TIMES;
use super::world::{Asked, World, aggregates, plan_of, segments_of};
use crate::keyed::segment::StateSink;
use crate::shape::EditTime;
use crate::stored::Name;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_event::{EventTime, Span};
use weir_timeline::{AggregateSpec, Bounds, Frames, StageSpec};

fn columns_of(aggregate: &AggregateSpec) -> Vec<usize> {
    aggregate.arguments.iter().copied().chain(aggregate.filter).collect()
}

impl World {
    /// From now on these aggregates are asked for, as far as there are such; everything moves to so many segments.
    pub(super) fn edit(&mut self, wanted: &[usize], segments: usize) -> Result<(), TestCaseError> {
        self.store()?;
        let pool = aggregates(&self.spec.frames);
        let mut seen = BTreeSet::new();
        let numbers = wanted.iter().map(|wanted| wanted % pool.len()).filter(|number| seen.insert(*number));
        let numbers: Vec<usize> = numbers.collect();
        let of_numbers = numbers.iter().map(|number| pool[*number].clone()).collect();
        let spec = Arc::new(StageSpec { aggregates: of_numbers, ..(*self.spec).clone() });
        let asked: Vec<Asked> =
            numbers.iter().map(|number| self.asked_then(*number, &pool[*number])).collect();
        let plan = plan_of(&spec, &asked);
        let millis = EventTime::from_millis;
        let moment = EditTime {
            newest: self.newest,
            watermark: Some(millis(self.oracle.settled)),
            oldest: Some(millis(self.oracle.oldest)),
        };
        let Some(edited) = self.shape.edited(&plan, moment).unwrap() else {
            // It is stored already.
            self.segments = segments_of(&self.plan, &self.shape, segments);
            self.restore();
            return Ok(());
        };
        let mut translated = BTreeMap::new();
        for (entry, value) in &self.stored {
            let value = edited.translate(Name::parse_with_group(entry).unwrap(), value).unwrap();
            translated.extend(value.map(|value| (entry.clone(), value)));
        }
        if edited.begins_anew {
            self.oracle.oldest = self.oracle.oldest.max(self.oracle.settled);
        }
        self.take_up_columns(&spec, &numbers, &pool);
        (self.spec, self.plan, self.asked, self.shape, self.stored) =
            (spec, plan, asked, edited.shape, translated);
        self.segments = segments_of(&self.plan, &self.shape, segments);
        self.restore();
        self.store_all();
        self.written.clear();
        self.is_edited = true;
        Ok(())
    }

    /// Since which row an aggregate counts when it is asked for next.
    fn asked_then(&self, number: usize, aggregate: &AggregateSpec) -> Asked {
        let known = self.asked.iter().find(|asked| asked.number == number);
        let now = Some(self.offset);
        let since = match &self.spec.frames {
            Frames::Over(_) => {
                let columns = columns_of(aggregate);
                let of_columns = columns.iter().map(|column| self.columns.get(column).copied());
                let of_columns = of_columns.map(|since| since.unwrap_or(self.offset)).max().unwrap_or(0);
                match known {
                    Some(known) => known.since,
                    // What has left the log is in tiles, which it is not in.
                    None if self.spec.tail.is_some() && of_columns < self.offset => None,
                    None => Some(of_columns),
                }
            }
            _ => known.map_or(now, |known| known.since),
        };
        Asked { number, since }
    }

    /// Forgets what is of no use any more.
    fn take_up_columns(&mut self, spec: &StageSpec, numbers: &[usize], pool: &[AggregateSpec]) {
        let is_kept = |column: &usize| self.columns.contains_key(column);
        let is_over = matches!(spec.frames, Frames::Over(_));
        let has_use = match is_over {
            true => numbers.iter().any(|number| columns_of(&pool[*number]).iter().all(is_kept)),
            false => numbers.iter().any(|number| self.asked.iter().any(|asked| asked.number == *number)),
        };
        if !has_use {
            self.oracle.rows.clear();
            self.columns.clear();
        }
        let columns = spec.kept_columns().into_iter();
        self.columns = columns
            .map(|column| (column, self.columns.get(&column).copied().unwrap_or(self.offset)))
            .collect();
    }

    /// All that there is is what is stored.
    fn store_all(&mut self) {
        let stored = &mut self.stored;
        stored.retain(|entry, _| matches!(Name::parse_with_group(entry), Some(Name::Reached(_))));
        let mut keep = |name: Name<'_>, value: Option<&[u8]>| {
            let mut entry = Vec::new();
            name.put_with_group(&mut entry);
            stored.insert(entry, value.unwrap().to_vec());
        };
        let keep: &mut StateSink<'_> = &mut keep;
        self.segments.iter().for_each(|segment| segment.blocks(keep));
    }

    /// Whether an aggregate is said to have all rows of what it is asked over.
    pub(super) fn has_all(&self, at: usize, frame: usize, window: Option<(i64, i64)>, as_of: i64) -> bool {
        let Some(since) = self.shape.since(&self.plan, 1 + at) else { return true };
        let start = match (&self.spec.frames, window) {
            (_, Some((start, _))) => start,
            (Frames::Over(frames), None) => match frames[frame].bounds {
                // Under a tail it begins up to a step earlier.
                Bounds::Range { preceding: Some(preceding), .. } => {
                    let step = self.spec.tail.map_or(1, Span::millis);
                    (as_of - preceding.millis()).div_euclid(step) * step
                }
                _ => return false,
            },
            _ => return false,
        };
        TIMES.contains(&start) && start >= since.millis()
    }
}
