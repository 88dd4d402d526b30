//! Keyed logic: the trait that a plugin implements, and how events and timers reach it. Knows nothing of the component's
//! exports.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::process::exports::weir::feature::processor::{ProcessInfo, Progress};
use crate::scalar::fields;
use crate::state::Codec;
use crate::{Column, Event, Literal, Parameters, Row, Timestamp};

/// So many rows may one event or timer make.
pub const MOST_ROWS: usize = 1000;
/// What the host keeps of a key.
const MOST_STATE_BYTES: usize = 65_536;

/// Logic of one key's events, with a memory and a timer. Implemented under `#[weir::process]`, which adds what is left out.
///
/// The value itself is what is remembered of a key. It is stored as serde writes it, at most 64 KiB; a key whose memory is as
/// [`start`](Process::start) makes it, and whose timer is not set, is forgotten. Keep maps in a `BTreeMap`: equal memories
/// should be equal bytes.
///
/// ```
/// #[derive(weir::Event)]
/// struct Ride { fare: f64 }
/// #[derive(Debug, PartialEq, weir::Row)]
/// struct Pause { rides: i64, fares: f64 }
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Pauses { rides: i64, fares: f64 }
///
/// /// A row whenever no ride came for a minute.
/// #[weir::process]
/// impl weir::Process for Pauses {
///     type Event = Ride;
///     type Row = Pause;
///     fn on_event(&mut self, at: weir::Timestamp, ride: Ride, out: &mut weir::Output<Pause>) {
///         self.rides += 1;
///         self.fares += ride.fare;
///         out.set_timer(at + 60_000);
///     }
///     fn on_timer(&mut self, _at: weir::Timestamp, out: &mut weir::Output<Pause>) {
///         out.emit(Pause { rides: self.rides, fares: self.fares });
///         *self = Self::default();
///     }
/// }
/// # fn main() {
/// let events = [(5_000, 1.5), (9_000, 2.0), (70_000, 4.0)];
/// let events = events.map(|(at, fare)| (weir::Timestamp(at), Ride { fare }));
/// let rows = weir::play::<Pauses>((), events, weir::Timestamp(100_000)).unwrap();
/// assert_eq!(rows, [(weir::Timestamp(69_000), Pause { rides: 2, fares: 3.5 })]);
/// # }
/// ```
pub trait Process: Default + Serialize + DeserializeOwned {
    /// Constants that a query gives behind the table; `()` if left out.
    type Parameters: Parameters;
    /// What is taken of an event; `()` if only its time matters. An event with a null that its field does not take is passed
    /// over.
    type Event: Event;
    /// The rows that are made.
    type Row: Row;

    /// The memory of a key of which nothing has happened.
    fn start(_parameters: &Self::Parameters) -> Self {
        Self::default()
    }
    /// Takes an event of the time `at`. Events come in total order. An `Err` fails the event.
    fn on_event(&mut self, at: Timestamp, event: Self::Event, out: &mut Output<Self::Row>) -> impl Answer;
    /// The timer fires at the time `at`, behind the events of that time; it is not set any more.
    fn on_timer(&mut self, _at: Timestamp, _out: &mut Output<Self::Row>) -> impl Answer {}
}

/// What `on_event` and `on_timer` return: nothing, or a `Result<(), E>`.
pub trait Answer {
    /// Why it failed, if so.
    fn answer(self) -> Result<(), String>;
}

impl Answer for () {
    fn answer(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> Answer for Result<(), E> {
    fn answer(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// Where an event or a timer puts the rows that it makes, and the key's timer.
#[derive(Debug)]
pub struct Output<R> {
    rows: Vec<R>,
    timer: Option<Timestamp>,
}

impl<R> Output<R> {
    /// An output without rows, under a timer. Tests that call `on_event` themselves need one.
    pub fn new(timer: Option<Timestamp>) -> Self {
        Output { rows: Vec::new(), timer }
    }

    /// Makes a row, of the time of the event or timer. More than [`MOST_ROWS`] at one time are an error.
    pub fn emit(&mut self, row: R) {
        // One more than there may be is enough to tell that there were too many.
        if self.rows.len() <= MOST_ROWS {
            self.rows.push(row);
        }
    }

    /// Sets the timer, in the place of one that is set. It fires behind the events of the time `at`; one before the event
    /// counts as at the event, and a timer sets only a later one.
    pub fn set_timer(&mut self, at: Timestamp) {
        self.timer = Some(at);
    }

    /// Clears the timer.
    pub fn clear_timer(&mut self) {
        self.timer = None;
    }

    /// When the timer fires, if it is set.
    pub fn timer(&self) -> Option<Timestamp> {
        self.timer
    }

    /// The rows so far.
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    pub(crate) fn into_rows(self) -> Vec<R> {
        self.rows
    }

    fn checked(self) -> Result<Self, String> {
        if self.rows.len() > MOST_ROWS {
            return Err(format!("makes more than {MOST_ROWS} rows at one time"));
        }
        Ok(self)
    }
}

/// Gives an event to a key, under its timer.
pub(crate) fn take<P: Process>(
    memory: &mut P,
    at: Timestamp,
    event: P::Event,
    timer: Option<Timestamp>,
) -> Result<Output<P::Row>, String> {
    let mut out = Output::new(timer);
    memory.on_event(at, event, &mut out).answer()?;
    out.timer = out.timer.map(|timer| timer.max(at));
    out.checked()
}

/// Fires a key's timer.
pub(crate) fn fire<P: Process>(memory: &mut P, at: Timestamp) -> Result<Output<P::Row>, String> {
    let mut out = Output::new(None);
    memory.on_timer(at, &mut out).answer()?;
    match out.timer {
        Some(Timestamp(next)) if next <= at.0 => {
            let Timestamp(at) = at;
            Err(format!("on_timer set the timer to {next}, which is not later than {at}, when it fired"))
        }
        _ => out.checked(),
    }
}

/// A memory as bytes.
pub(crate) fn written<P: Process>(codec: &Codec<impl Fn() -> P>, memory: &P) -> Result<Vec<u8>, String> {
    let bytes = codec.encode(memory)?;
    if bytes.len() > MOST_STATE_BYTES {
        return Err(format!("a state has {} bytes, and may have {MOST_STATE_BYTES}", bytes.len()));
    }
    Ok(bytes)
}

/// Keyed logic by its name. `#[weir::process]` implements it.
pub trait ProcessFunction: Process {
    /// The name in SQL.
    const NAME: &'static str;
    /// How the function describes itself.
    fn describe() -> ProcessInfo;
}

/// Describes keyed logic.
pub fn describe<P: ProcessFunction>(parameters: &[&str], description: &str) -> ProcessInfo {
    ProcessInfo {
        name: P::NAME.to_owned(),
        parameters: fields(parameters, P::Parameters::types()),
        arguments: P::Event::columns(),
        results: P::Row::columns(),
        description: description.to_owned(),
    }
}

/// The rows that a call makes.
struct Made<R: Row> {
    builders: R::Builders,
    made_by: Vec<u32>,
}

impl<R: Row> Made<R> {
    fn new(rows: usize) -> Self {
        Made { builders: R::builders(rows), made_by: Vec::with_capacity(rows) }
    }

    fn add(&mut self, by: usize, rows: Vec<R>) -> Result<(), String> {
        let by = u32::try_from(by).map_err(|error| error.to_string())?;
        for row in rows {
            row.push(&mut self.builders)?;
            self.made_by.push(by);
        }
        Ok(())
    }
}

fn on_events<P: Process>(
    params: &[Literal],
    mut states: Vec<Vec<u8>>,
    mut timers: Vec<Option<i64>>,
    counts: &[u32],
    times: &[i64],
    columns: &[Column],
) -> Result<Progress, String> {
    let events = counts.iter().map(|&count| count as usize).sum::<usize>();
    if states.len() != timers.len() || states.len() != counts.len() || events != times.len() {
        let (states, timers, counts) = (states.len(), timers.len(), counts.len());
        let given = format!("{states} states, {timers} timers, {counts} counts of {events} events");
        return Err(format!("{given}, {} times", times.len()));
    }
    let parameters = P::Parameters::from_literals(params)?;
    let codec = Codec::new(|| P::start(&parameters))?;
    let readers = P::Event::open(columns, times.len())?;
    let mut made = Made::<P::Row>::new(0);
    let mut taken = Vec::with_capacity(states.len());
    let mut first = 0;
    for ((state, timer), &count) in states.iter_mut().zip(&mut timers).zip(counts) {
        let mut memory = None;
        let (mut next, behind) = (first, first + count as usize);
        // The host fires a timer that lies before the next event, and gives that event again.
        while next < behind && (next == first || timer.is_none_or(|timer| timer >= times[next])) {
            if let Some(event) = P::Event::read(&readers, next) {
                let memory = match &mut memory {
                    Some(memory) => memory,
                    None => memory.insert(codec.decode(state)?),
                };
                let out = take(memory, Timestamp(times[next]), event, timer.map(Timestamp))?;
                *timer = out.timer.map(|timer| timer.0);
                made.add(next, out.rows)?;
            }
            next += 1;
        }
        if let Some(memory) = memory {
            *state = written(&codec, &memory)?;
        }
        taken.push(u32::try_from(next - first).map_err(|error| error.to_string())?);
        first = behind;
    }
    let rows = P::Row::finish(made.builders);
    Ok(Progress { states, timers, taken, made_by: made.made_by, rows })
}

fn on_timer<P: Process>(
    params: &[Literal],
    mut states: Vec<Vec<u8>>,
    times: &[i64],
) -> Result<Progress, String> {
    if states.len() != times.len() {
        return Err(format!("{} states, {} times", states.len(), times.len()));
    }
    let parameters = P::Parameters::from_literals(params)?;
    let codec = Codec::new(|| P::start(&parameters))?;
    let mut made = Made::<P::Row>::new(states.len());
    let mut timers = Vec::with_capacity(states.len());
    for (at, (state, &time)) in states.iter_mut().zip(times).enumerate() {
        let mut memory: P = codec.decode(state)?;
        let out = fire(&mut memory, Timestamp(time))?;
        *state = written(&codec, &memory)?;
        timers.push(out.timer.map(|timer| timer.0));
        made.add(at, out.rows)?;
    }
    let (taken, rows) = (vec![0; states.len()], P::Row::finish(made.builders));
    Ok(Progress { states, timers, taken, made_by: made.made_by, rows })
}

type OnEvents =
    fn(&[Literal], Vec<Vec<u8>>, Vec<Option<i64>>, &[u32], &[i64], &[Column]) -> Result<Progress, String>;
type OnTimer = fn(&[Literal], Vec<Vec<u8>>, &[i64]) -> Result<Progress, String>;

/// Keyed logic of a component, over states as bytes.
pub struct ProcessEntry {
    name: &'static str,
    /// The contract's `on-events`.
    pub on_events: OnEvents,
    /// The contract's `on-timer`.
    pub on_timer: OnTimer,
}

impl ProcessEntry {
    /// The entry of keyed logic.
    pub const fn of<P: ProcessFunction>() -> Self {
        ProcessEntry { name: P::NAME, on_events: on_events::<P>, on_timer: on_timer::<P> }
    }
}

/// Applies `action` to the keyed logic of that name; an error is prefixed with it.
pub fn call(
    functions: &[ProcessEntry],
    name: &str,
    action: impl FnOnce(&ProcessEntry) -> Result<Progress, String>,
) -> Result<Progress, String> {
    let function = functions
        .iter()
        .find(|function| function.name == name)
        .ok_or_else(|| format!("no keyed logic `{name}` in this component"))?;
    action(function).map_err(|problem| format!("{name}: {problem}"))
}
