//! The states of a plugin's aggregate: bytes that the guest alone understands, held by the host. A call that fails
//! leaves them as they were; a state that cannot be merged remembers why, and `finish` reports it. Must not know
//! keys, windows or what bytes mean.

use crate::aggregate::Bound;
use crate::bisect;
use crate::columns;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::limits::MAX_STATE_BYTES;
use crate::pace::Pace;
use arrow_array::{Array, ArrayRef, UInt32Array};
use foldhash::{HashMap, HashMapExt};
use std::any::Any;
use std::sync::Arc;
use weir_timeline::{AggregateError, Finished, Input, States};

/// One state.
#[derive(Debug, Clone)]
enum State {
    /// The guest's bytes; none are the identity.
    Bytes(Box<[u8]>),
    /// It could not be merged, for this reason.
    Failed(Arc<str>),
}

impl State {
    fn identity() -> Self {
        State::Bytes(Box::default())
    }
}

/// First byte of an encoded state.
const TAG_BYTES: u8 = 0;
/// First byte of an encoded failure.
const TAG_FAILED: u8 = 1;

/// Encoded states, with others in the place of the guest's bytes: those that `make` gives for them. Failures and identities
/// are the same in every version.
pub(crate) fn with_bytes(
    encoded: &[&[u8]],
    make: impl FnOnce(&[&[u8]]) -> Result<Vec<Vec<u8>>, AggregateError>,
) -> Result<Vec<Vec<u8>>, AggregateError> {
    let bytes_of = |encoded: &&'_ [u8]| encoded.first() == Some(&TAG_BYTES) && encoded.len() > 1;
    let held: Vec<&[u8]> = encoded.iter().filter(|it| bytes_of(it)).map(|it| &it[1..]).collect();
    let mut made = make(&held)?.into_iter();
    let with = |it: &&[u8]| match if bytes_of(it) { made.next() } else { None } {
        Some(bytes) => [&[TAG_BYTES], &bytes[..]].concat(),
        None => it.to_vec(),
    };
    Ok(encoded.iter().map(with).collect())
}

/// A column of states of one bound aggregate.
#[derive(Debug)]
pub(crate) struct PluginStates {
    bound: Arc<Bound>,
    states: Vec<State>,
}

impl PluginStates {
    pub(crate) fn new(bound: Arc<Bound>) -> Self {
        PluginStates { bound, states: Vec::new() }
    }

    fn check_breaker(&self) -> Result<(), AggregateError> {
        self.bound.account.check_breaker().map_err(AggregateError::Broken)
    }

    /// Runs calls in instances, and gives a single unit its verdict in a fresh one.
    fn call<T>(&self, units: usize, call: impl Fn(&mut Guest) -> Result<T, Failure>) -> Result<T, Failure> {
        let pool = &self.bound.account.pool;
        if units == 1 { pool.run_to_verdict(call) } else { pool.run(call) }
    }

    /// The error of a call whose failure is not one group's affair.
    fn broken(&self, phase: &str, failure: &Failure) -> AggregateError {
        AggregateError::Broken(self.bound.blame(phase, failure))
    }

    /// What a group's failure means: a reason to remember, unless it is the host's.
    fn remember(&self, phase: &str, failure: Failure) -> Result<Arc<str>, Failure> {
        if failure.cause == Cause::Host {
            return Err(failure);
        }
        let reason = self.bound.blame(phase, &failure);
        if failure.is_misbehaviour() {
            self.bound.account.misbehaved(&reason);
        }
        Ok(reason.into())
    }

    /// Feeds some rows to the newest states: those in `fed`, else those held. Gives the fuel used.
    fn feed(
        &self,
        input: &Input<'_>,
        groups: &[u32],
        rows: &[u32],
        fed: &mut HashMap<u32, Vec<u8>>,
    ) -> Result<u64, Failure> {
        let mut numbers: HashMap<u32, u32> = HashMap::with_capacity(groups.len());
        let mut own: Vec<u32> = Vec::new();
        let numbered: Vec<u32> = groups
            .iter()
            .map(|group| {
                *numbers.entry(*group).or_insert_with(|| {
                    own.push(*group);
                    own.len() as u32 - 1
                })
            })
            .collect();
        let states: Vec<&[u8]> = own.iter().map(|group| self.newest(*group, fed)).collect();
        let times: Vec<i64> = rows.iter().map(|row| input.times[*row as usize]).collect();
        let arguments: Vec<ArrayRef> =
            input.arguments.iter().map(|column| columns::pick(column, rows)).collect();
        let (updated, fuel) =
            self.call(rows.len(), |guest| self.bound.update(guest, &states, &numbered, &times, &arguments))?;
        fed.extend(own.into_iter().zip(updated));
        Ok(fuel)
    }

    fn newest<'a>(&'a self, group: u32, fed: &'a HashMap<u32, Vec<u8>>) -> &'a [u8] {
        match (fed.get(&group), &self.states[group as usize]) {
            (Some(state), _) => state,
            (None, State::Bytes(state)) => state,
            (None, State::Failed(_)) => &[],
        }
    }

    /// Folds one group's parts, which failed together or are too many for one call.
    fn fold(&self, parts: &[&[u8]]) -> Result<State, Failure> {
        if let [] | [_] = parts {
            return Ok(State::Bytes(parts.first().map(|part| Box::from(*part)).unwrap_or_default()));
        }
        let groups = vec![0; parts.len()];
        match self.call(1, |guest| self.bound.merge(guest, parts, &groups, 1)) {
            Ok((merged, _)) => {
                Ok(merged.into_iter().next().map_or_else(State::identity, |state| State::Bytes(state.into())))
            }
            Err(failure) if parts.len() == 2 => self.remember("merge", failure).map(State::Failed),
            Err(failure) if failure.cause == Cause::Host => Err(failure),
            Err(_) => {
                let (early, late) = parts.split_at(parts.len() / 2);
                match (self.fold(early)?, self.fold(late)?) {
                    (State::Bytes(early), State::Bytes(late)) => self.fold(&[&early, &late]),
                    (State::Failed(reason), _) | (_, State::Failed(reason)) => Ok(State::Failed(reason)),
                }
            }
        }
    }

    /// Folds the parts of each group.
    fn fold_groups(&self, parts: &[Vec<&[u8]>]) -> Result<Vec<State>, Failure> {
        let mut folded: Vec<State> = Vec::with_capacity(parts.len());
        let pace: &Pace = &self.bound.paces.merge;
        bisect::run(parts.len(), pace, |first, count| {
            if count == 1 {
                folded.push(self.fold(&parts[first])?);
                return Ok(0);
            }
            let parts = &parts[first..first + count];
            let states: Vec<&[u8]> = parts.iter().flatten().copied().collect();
            let groups: Vec<u32> = parts
                .iter()
                .zip(0..)
                .flat_map(|(parts, group)| std::iter::repeat_n(group, parts.len()))
                .collect();
            let (merged, fuel) =
                self.call(count, |guest| self.bound.merge(guest, &states, &groups, count))?;
            folded.extend(merged.into_iter().map(|state| State::Bytes(state.into())));
            Ok(fuel)
        })?;
        Ok(folded)
    }

    /// The values of states that did not fail; a null and a reason where `finish` fails alone.
    fn finish_all(
        &self,
        states: &[&[u8]],
        as_of: &[i64],
    ) -> Result<(ArrayRef, Vec<(usize, Arc<str>)>), Failure> {
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut errors = Vec::new();
        let result = &self.bound.card.result;
        bisect::run(states.len(), &self.bound.paces.finish, |first, count| {
            let range = first..first + count;
            let answer = self
                .call(count, |guest| self.bound.finish(guest, &states[range.clone()], &as_of[range.clone()]));
            match answer {
                Ok((piece, fuel)) => {
                    pieces.push(piece);
                    self.bound.account.passed(count);
                    Ok(fuel)
                }
                Err(failure) if count == 1 => {
                    errors.push((first, self.remember("finish", failure)?));
                    pieces.push(arrow_array::new_null_array(result, 1));
                    Ok(0)
                }
                Err(failure) => Err(failure),
            }
        })?;
        Ok((columns::join(&pieces, result), errors))
    }
}

impl States for PluginStates {
    fn len(&self) -> usize {
        self.states.len()
    }

    fn resize(&mut self, groups: usize) {
        self.states.resize_with(groups, State::identity);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.states[*group as usize] = State::identity();
        }
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        self.check_breaker()?;
        let is_alive = |group: u32| matches!(self.states[group as usize], State::Bytes(_));
        let pairs = input.groups.iter().copied().zip(input.rows.iter().copied());
        let (groups, rows): (Vec<u32>, Vec<u32>) = pairs.filter(|(group, _)| is_alive(*group)).unzip();
        let mut fed: HashMap<u32, Vec<u8>> = HashMap::new();
        let outcome = bisect::run(rows.len(), &self.bound.paces.update, |first, count| {
            let range = first..first + count;
            self.feed(input, &groups[range.clone()], &rows[range], &mut fed)
        });
        match outcome {
            Ok(()) => {
                self.bound.account.passed(rows.len());
                self.bound.account.took_rows(rows.len());
                for (group, state) in fed {
                    self.states[group as usize] = State::Bytes(state.into());
                }
                Ok(())
            }
            Err(failure) if failure.cause == Cause::Host => Err(self.broken("update", &failure)),
            Err(failure) => {
                let reason = self.bound.blame("update", &failure);
                // Callers bisect, and a row has its verdict when it comes alone: so each is counted once.
                if input.rows.len() == 1 && failure.is_misbehaviour() {
                    self.bound.account.misbehaved(&reason);
                }
                Err(AggregateError::Rows(reason))
            }
        }
    }

    fn retract(&mut self, _: &Input<'_>) -> Result<(), AggregateError> {
        Err(self.without_inverse())
    }

    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError> {
        self.check_breaker()?;
        let later = self.same_kind(later)?;
        let mut units: Vec<u32> = Vec::new();
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        let mut parts: Vec<Vec<&[u8]>> = Vec::new();
        let mut failed: Vec<(u32, State)> = Vec::new();
        for (group, from) in into.iter().zip(from) {
            let number = *numbers.entry(*group).or_insert_with(|| {
                units.push(*group);
                parts.push(Vec::new());
                if let State::Bytes(state) = &self.states[*group as usize] {
                    parts[units.len() - 1].extend((!state.is_empty()).then_some(&**state));
                }
                units.len() - 1
            });
            match &later.states[*from as usize] {
                State::Bytes(state) => parts[number].extend((!state.is_empty()).then_some(&**state)),
                State::Failed(_) => failed.push((*group, later.states[*from as usize].clone())),
            }
        }
        let folded = self.fold_many(&parts).map_err(|failure| self.broken("merge", &failure))?;
        for (group, state) in units.into_iter().zip(folded).chain(failed) {
            let held = &mut self.states[group as usize];
            if matches!(held, State::Bytes(_)) {
                *held = state;
            }
        }
        Ok(())
    }

    fn unmerge(&mut self, _: &[u32], _: &dyn States, _: &[u32]) -> Result<(), AggregateError> {
        Err(self.without_inverse())
    }

    fn finish(&self, groups: &[u32], as_of: &[i64]) -> Result<Finished, AggregateError> {
        self.check_breaker()?;
        let mut errors: Vec<(u32, String)> = Vec::new();
        let mut alive: Vec<usize> = Vec::with_capacity(groups.len());
        let mut states: Vec<&[u8]> = Vec::with_capacity(groups.len());
        for (asked, group) in groups.iter().enumerate() {
            match &self.states[*group as usize] {
                State::Bytes(state) => {
                    alive.push(asked);
                    states.push(state);
                }
                State::Failed(reason) => errors.push((asked as u32, reason.to_string())),
            }
        }
        let times: Vec<i64> = alive.iter().map(|asked| as_of[*asked]).collect();
        let (values, failed) =
            self.finish_all(&states, &times).map_err(|failure| self.broken("finish", &failure))?;
        let values = if alive.len() == groups.len() { values } else { spread(&values, &alive, groups.len()) };
        errors.extend(failed.into_iter().map(|(at, reason)| (alive[at] as u32, reason.to_string())));
        errors.sort_unstable_by_key(|(asked, _)| *asked);
        Ok(Finished { values, errors })
    }

    fn copy(&self, groups: &[u32]) -> Box<dyn States> {
        let states = groups.iter().map(|group| self.states[*group as usize].clone()).collect();
        Box::new(PluginStates { bound: Arc::clone(&self.bound), states })
    }

    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError> {
        let others = others.as_any_mut().downcast_mut::<PluginStates>();
        let others = others.filter(|others| others.bound.card.identity == self.bound.card.identity);
        self.states.append(&mut others.ok_or_else(|| self.other_kind())?.states);
        Ok(())
    }

    fn encode(&self, group: u32, out: &mut Vec<u8>) {
        match &self.states[group as usize] {
            State::Bytes(state) => {
                out.push(TAG_BYTES);
                out.extend_from_slice(state);
            }
            State::Failed(reason) => {
                out.push(TAG_FAILED);
                out.extend_from_slice(reason.as_bytes());
            }
        }
    }

    fn decode(&mut self, group: u32, bytes: &[u8]) -> Result<(), AggregateError> {
        let damaged = |what: &str| AggregateError::Damaged(format!("{}: {what}", self.bound.card.identity));
        self.states[group as usize] = match bytes {
            [TAG_BYTES, state @ ..] if state.len() <= MAX_STATE_BYTES => State::Bytes(state.into()),
            [TAG_BYTES, ..] => return Err(damaged("a plugin's state is too long")),
            [TAG_FAILED, reason @ ..] => {
                let reason = std::str::from_utf8(reason).map_err(|_| damaged("a reason is not a text"))?;
                State::Failed(reason.into())
            }
            _ => return Err(damaged("a plugin's state has no known tag")),
        };
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let own = |state: &State| match state {
            State::Bytes(state) => state.len(),
            State::Failed(_) => 0,
        };
        self.states.capacity() * size_of::<State>() + self.states.iter().map(own).sum::<usize>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl PluginStates {
    fn without_inverse(&self) -> AggregateError {
        AggregateError::Broken(format!("{} has no inverse", self.bound.card.identity))
    }

    fn same_kind<'a>(&self, other: &'a dyn States) -> Result<&'a PluginStates, AggregateError> {
        let other = other.as_any().downcast_ref::<PluginStates>();
        other
            .filter(|other| other.bound.card.identity == self.bound.card.identity)
            .ok_or_else(|| self.other_kind())
    }

    fn other_kind(&self) -> AggregateError {
        AggregateError::Broken(format!(
            "{} is put together with states of another kind",
            self.bound.card.identity
        ))
    }

    /// The state of each group: what a guest need not be asked for (none or one part), and the rest folded by it.
    fn fold_many(&self, parts: &[Vec<&[u8]>]) -> Result<Vec<State>, Failure> {
        let several: Vec<Vec<&[u8]>> = parts.iter().filter(|parts| parts.len() > 1).cloned().collect();
        let mut folded = self.fold_groups(&several)?.into_iter();
        let single =
            |parts: &Vec<&[u8]>| State::Bytes(parts.first().map(|part| Box::from(*part)).unwrap_or_default());
        Ok(parts
            .iter()
            .map(|parts| match parts.len() {
                0 | 1 => single(parts),
                _ => folded.next().unwrap_or_else(State::identity),
            })
            .collect())
    }
}

/// Values spread over `length` places, those at `places`, with nulls between.
fn spread(values: &ArrayRef, places: &[usize], length: usize) -> ArrayRef {
    let mut from: Vec<Option<u32>> = vec![None; length];
    for (value, place) in places.iter().enumerate() {
        from[*place] = Some(value as u32);
    }
    if values.is_empty() {
        return arrow_array::new_null_array(values.data_type(), length);
    }
    arrow_select::take::take(values, &UInt32Array::from(from), None).expect("places are within the values")
}
