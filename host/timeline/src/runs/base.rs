//! Of runs that are longer than their rows are kept: the states of the rows that are gone from the log.
//!
//! A run of which no row is in the log has no entry: its whole state is that of the rows that are gone.

use crate::aggregate::{AggregateError, States};
use crate::feed::Feeder;
use crate::slots::ByNumber;
use crate::slots::counted;
use crate::spec::AggregateSpec;

/// States by group, for the few runs that need them.
pub(super) struct Bases {
    /// By run.
    entries: ByNumber<BaseEntry>,
    states: Vec<Box<dyn States>>,
    free: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct BaseEntry {
    group: u32,
    /// Time of the newest row that is gone.
    last: i64,
}

impl Bases {
    pub(super) fn new(aggregates: &[AggregateSpec]) -> Bases {
        let states = aggregates.iter().map(|aggregate| aggregate.function.states()).collect();
        Bases { entries: ByNumber::default(), states, free: Vec::new() }
    }

    /// Time of a run's newest row that is gone.
    pub(super) fn last(&self, run: u32) -> Option<i64> {
        self.entries.get(&run).map(|entry| entry.last)
    }

    /// A copy of one aggregate's state of the rows that are gone; the identity if none is.
    pub(super) fn copy(&self, aggregate: usize, run: u32, identity: Box<dyn States>) -> Box<dyn States> {
        match self.entries.get(&run) {
            Some(entry) => self.states[aggregate].copy(&[entry.group]),
            None => {
                let mut states = identity;
                states.resize(1);
                states
            }
        }
    }

    /// The group of a run whose newest row that is gone is at `last`, made if need be.
    pub(super) fn group_or_insert(&mut self, run: u32, last: i64) -> u32 {
        let Bases { entries, states, free } = self;
        let entry = entries.entry(run).or_insert_with(|| {
            let group = free.pop().unwrap_or_else(|| {
                let group = states.first().map_or(0, |states| states.len());
                states.iter_mut().for_each(|states| states.resize(group + 1));
                group as u32
            });
            BaseEntry { group, last }
        });
        entry.last = entry.last.max(last);
        entry.group
    }

    /// Takes a run's whole states over, as none of its rows is in the log.
    pub(super) fn adopt(
        &mut self,
        run: u32,
        last: i64,
        whole: &[Box<dyn States>],
    ) -> Result<(), AggregateError> {
        let group = self.group_or_insert(run, last);
        for (states, whole) in self.states.iter_mut().zip(whole) {
            states.reset(&[group]);
            states.merge(&[group], whole.as_ref(), &[run])?;
        }
        Ok(())
    }

    /// What there was of one run is now of another.
    pub(super) fn pass_on(&mut self, from: u32, to: u32) -> Result<(), AggregateError> {
        let Some(later) = self.entries.remove(&from) else { return Ok(()) };
        let group = self.group_or_insert(to, later.last);
        for states in &mut self.states {
            let copy = states.copy(&[later.group]);
            states.merge(&[group], copy.as_ref(), &[0])?;
            states.reset(&[later.group]);
        }
        self.free.push(later.group);
        Ok(())
    }

    pub(super) fn remove(&mut self, run: u32) {
        if let Some(entry) = self.entries.remove(&run) {
            self.states.iter_mut().for_each(|states| states.reset(&[entry.group]));
            self.free.push(entry.group);
        }
    }

    /// Feeds rows that leave the log, each to its group. Rows that fail have been refused before.
    pub(super) fn fold(&mut self, leaving: Vec<(Feeder, Vec<u32>)>) -> Result<(), AggregateError> {
        for (states, (feeder, groups)) in self.states.iter_mut().zip(leaving) {
            feeder.finish().fold(states.as_mut(), &groups)?;
        }
        Ok(())
    }

    /// Folds what is gone of some runs into other states: that of `runs[i]` into group `into[i]`.
    pub(super) fn merge_into(
        &self,
        aggregate: usize,
        states: &mut dyn States,
        runs: &[u32],
        into: &[u32],
    ) -> Result<(), AggregateError> {
        let found =
            runs.iter().zip(into).filter_map(|(run, into)| Some((*into, self.entries.get(run)?.group)));
        let (into, groups): (Vec<u32>, Vec<u32>) = found.unzip();
        states.merge(&into, self.states[aggregate].as_ref(), &groups)
    }

    /// Appends the states of a run that has some.
    pub(super) fn encode(&self, aggregate: usize, run: u32, out: &mut Vec<u8>) {
        if let Some(entry) = self.entries.get(&run) {
            self.states[aggregate].encode(entry.group, out);
        }
    }

    /// Takes stored states of a run back.
    pub(super) fn decode(&mut self, run: u32, last: i64, stored: &[&[u8]]) -> Result<(), AggregateError> {
        let group = self.group_or_insert(run, last);
        self.states.iter_mut().zip(stored).try_for_each(|(states, bytes)| states.decode(group, bytes))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let states: usize = self.states.iter().map(|states| states.memory_bytes()).sum();
        states + self.entries.allocation_size() + self.free.capacity() * 4
    }
}

/// Makes the states of groups those of others.
pub(super) fn absorb(states: &mut dyn States, into: u32, from: u32) -> Result<(), AggregateError> {
    let later = states.copy(&[from]);
    states.merge(&[into], later.as_ref(), &counted(1))
}
