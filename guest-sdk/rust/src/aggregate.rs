//! Aggregates: the trait that a plugin implements, and how its states are updated, merged and finished. Knows
//! nothing of the component's exports.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::aggregate::exports::weir::feature::aggregate_functions::AggregateInfo;
use crate::scalar::fields;
use crate::state::Codec;
use crate::{Algebra, Builder, Cell, Column, Input, Literal, Parameters, Returned};

/// A function of many rows of one key, in event time. Implemented under `#[weir::aggregate]`, which adds
/// what is left out.
///
/// The value itself is the state: what must be known of a stretch of rows. It is stored as serde writes it,
/// at most 64 KiB, so keep maps in a `BTreeMap`: equal states should be equal bytes.
///
/// ```
/// /// The last `n` actions, oldest first.
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct LastActions { limit: usize, actions: Vec<String> }
///
/// /// The last `n` actions.
/// #[weir::aggregate(parameters(n))]
/// impl weir::Aggregate for LastActions {
///     type Parameters = i64;
///     type Input = String;
///     type Output = Vec<String>;
///     fn start(n: &i64) -> Self {
///         LastActions { limit: (*n).max(0) as usize, actions: vec![] }
///     }
///     fn update(&mut self, _time: i64, action: String) {
///         self.actions.push(action);
///         self.merge(&LastActions::default());
///     }
///     fn merge(&mut self, later: &Self) {
///         self.actions.extend_from_slice(&later.actions);
///         self.actions.drain(..self.actions.len().saturating_sub(self.limit));
///     }
///     fn finish(&self, _as_of: i64) -> Vec<String> {
///         self.actions.clone()
///     }
/// }
/// # fn main() {}
/// ```
pub trait Aggregate: Default + Serialize + DeserializeOwned {
    /// Constants that a query gives before the arguments; `()` if left out.
    type Parameters: Parameters;
    /// What is taken of each row: one type or a tuple. A row with a null is ignored, unless the type is an
    /// `Option`.
    type Input: for<'a> Input<'a>;
    /// The value: a type, an `Option` of one, or a `Result` of either.
    type Output: Returned;

    /// The state of no rows: merging with it changes nothing.
    fn start(_parameters: &Self::Parameters) -> Self {
        Self::default()
    }
    /// Adds a row of event time `time`, milliseconds since 1970. Rows come in total order, unless the
    /// algebra is `exact` or `approximate`.
    fn update(&mut self, time: i64, input: Self::Input);
    /// Adds the state of a later stretch of rows.
    fn merge(&mut self, later: &Self);
    /// The value at the event time `as_of`, milliseconds since 1970.
    fn finish(&self, as_of: i64) -> Self::Output;
}

/// An aggregate by its name. `#[weir::aggregate]` implements it.
pub trait AggregateFunction: Aggregate {
    /// The name in SQL.
    const NAME: &'static str;
    /// How the function describes itself.
    fn describe() -> AggregateInfo;
}

/// Describes an aggregate.
pub fn describe<A: AggregateFunction>(
    parameters: &[&str],
    arguments: &[&str],
    algebra: Algebra,
    description: &str,
) -> AggregateInfo {
    AggregateInfo {
        name: A::NAME.to_owned(),
        parameters: fields(parameters, A::Parameters::types()),
        arguments: fields(arguments, <A::Input as Input<'static>>::types()),
        result: <A::Output as Returned>::Cell::TYPE,
        algebra,
        description: description.to_owned(),
    }
}

/// The place in `slots` that a group's number points at.
fn slot<T>(slots: &mut [T], group: u32) -> Result<&mut T, String> {
    let count = slots.len();
    slots.get_mut(group as usize).ok_or_else(|| format!("group {group} of {count}"))
}

fn same_length(what: &str, left: usize, right: usize) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what}: {left} and {right}")) }
}

fn update<A: Aggregate>(
    params: &[Literal],
    mut states: Vec<Vec<u8>>,
    groups: &[u32],
    times: &[i64],
    arguments: &[Column],
) -> Result<Vec<Vec<u8>>, String> {
    same_length("groups and times differ in length", groups.len(), times.len())?;
    let parameters = A::Parameters::from_literals(params)?;
    let codec = Codec::new(|| A::start(&parameters))?;
    let readers = <A::Input as Input>::open(arguments, times.len())?;
    let mut touched: Vec<Option<A>> = states.iter().map(|_| None).collect();
    for (row, (&group, &time)) in groups.iter().zip(times).enumerate() {
        let place = slot(&mut touched, group)?;
        let Some(input) = <A::Input as Input>::read(&readers, row) else { continue };
        let state = match place {
            Some(state) => state,
            None => place.insert(codec.decode(&states[group as usize])?),
        };
        state.update(time, input);
    }
    for (bytes, state) in states.iter_mut().zip(touched) {
        if let Some(state) = state {
            *bytes = codec.encode(&state)?;
        }
    }
    Ok(states)
}

fn merge<A: Aggregate>(
    params: &[Literal],
    states: &[Vec<u8>],
    groups: &[u32],
    group_count: u32,
) -> Result<Vec<Vec<u8>>, String> {
    same_length("states and groups differ in length", states.len(), groups.len())?;
    let parameters = A::Parameters::from_literals(params)?;
    let codec = Codec::new(|| A::start(&parameters))?;
    let mut merged: Vec<Option<A>> = (0..group_count).map(|_| None).collect();
    for (bytes, &group) in states.iter().zip(groups) {
        let place = slot(&mut merged, group)?;
        if bytes.is_empty() {
            continue;
        }
        let later = codec.decode(bytes)?;
        match place {
            Some(state) => state.merge(&later),
            None => *place = Some(later),
        }
    }
    merged
        .iter()
        .map(|state| state.as_ref().map_or_else(|| Ok(Vec::new()), |state| codec.encode(state)))
        .collect()
}

fn finish<A: Aggregate>(params: &[Literal], states: &[Vec<u8>], as_of: &[i64]) -> Result<Column, String> {
    same_length("states and times differ in length", states.len(), as_of.len())?;
    let parameters = A::Parameters::from_literals(params)?;
    let codec = Codec::new(|| A::start(&parameters))?;
    let mut builder = Builder::<<A::Output as Returned>::Cell>::with_capacity(states.len());
    for (state, &as_of) in states.iter().zip(as_of) {
        builder.push(codec.decode(state)?.finish(as_of).into_cell()?);
    }
    Ok(builder.finish())
}

type Update = fn(&[Literal], Vec<Vec<u8>>, &[u32], &[i64], &[Column]) -> Result<Vec<Vec<u8>>, String>;
type Merge = fn(&[Literal], &[Vec<u8>], &[u32], u32) -> Result<Vec<Vec<u8>>, String>;
type Finish = fn(&[Literal], &[Vec<u8>], &[i64]) -> Result<Column, String>;

/// One aggregate of a component, over states as bytes.
pub struct AggregateEntry {
    name: &'static str,
    /// The contract's `update`.
    pub update: Update,
    /// The contract's `merge`.
    pub merge: Merge,
    /// The contract's `finish`.
    pub finish: Finish,
}

impl AggregateEntry {
    /// The entry of an aggregate.
    pub const fn of<A: AggregateFunction>() -> Self {
        AggregateEntry { name: A::NAME, update: update::<A>, merge: merge::<A>, finish: finish::<A> }
    }
}

/// Applies `action` to the aggregate of that name; an error is prefixed with it.
pub fn call<T>(
    functions: &[AggregateEntry],
    name: &str,
    action: impl FnOnce(&AggregateEntry) -> Result<T, String>,
) -> Result<T, String> {
    let function = functions
        .iter()
        .find(|function| function.name == name)
        .ok_or_else(|| format!("no aggregate function `{name}` in this component"))?;
    action(function).map_err(|problem| format!("{name}: {problem}"))
}
