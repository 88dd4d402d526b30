//! A plugin's keyed logic as timelines drive it. Events are cut into calls by what they cost; a call that fails is cut in
//! fresh instances, by keys and then by events, so that in the end those events and timers fail that fail alone. Must not
//! know keys, or what becomes of rows.

use crate::account::Account;
use crate::binding::{self, Wording};
use crate::columns::{self, Lent};
use crate::describe::Described;
use crate::failure::{Cause, Failure};
use crate::guest::Guest;
use crate::migrate::{self, Migration};
use crate::pace::Pace;
use crate::payloads::long_rows;
use crate::scalar::lend;
use crate::wire::{
    ColumnIn, Field, Literal, OnEventsParams, OnTimerParams, PROCESSOR, ProcessInfo, ProgressOut,
    ProgressResult,
};
use crate::world::{Exports, TypeCheck, World};
use arrow_array::ArrayRef;
use arrow_schema::DataType as ArrowType;
use std::ops::Range;
use std::sync::Arc;
use weir_timeline::aggregate::Parameter;
use weir_timeline::{AggregateError, Events, FailedKey, KeyedLogic, LogicCard, Progress, StateMaker, Turn};

/// Rows that one event or timer may make: more is a mistake or an attack.
const MOST_ROWS: usize = 1000;

/// What the constants of keyed logic are to a query.
const CONSTANTS: Wording = Wording { one: "constant", place: "behind its table" };

/// Logic of one key's events.
#[derive(Debug)]
pub(crate) struct ProcessWorld;

impl World for ProcessWorld {
    fn kind(&self) -> &'static str {
        "process"
    }

    fn interface(&self) -> &'static str {
        PROCESSOR
    }

    fn exports(&self) -> &'static [&'static str] {
        &["describe", "on-events", "on-timer"]
    }

    fn check_types(&self, check: &mut TypeCheck<'_>) {
        check.export::<(), (Vec<ProcessInfo>,)>("describe");
        check.export::<OnEventsParams, ProgressResult>("on-events");
        check.export::<OnTimerParams, ProgressResult>("on-timer");
    }

    fn describe(&self, guest: &mut Guest, exports: &Exports) -> Result<Vec<Described>, Failure> {
        let ((infos,), _) = guest.call::<(), (Vec<ProcessInfo>,)>(exports.find(self, "describe")?, ())?;
        let described = |ProcessInfo { name, parameters, arguments, results, description }| Described {
            parameters,
            rows: results,
            ..Described::new(self.kind(), name, arguments, description)
        };
        Ok(infos.into_iter().map(described).collect())
    }

    /// Logic with parameters waits for a query that gives them.
    fn dry_run(&self, account: &Arc<Account>, function: &Described) -> Result<(), String> {
        if !function.parameters.is_empty() {
            return Ok(());
        }
        PluginProcess::new(account, function, Vec::new(), &[]).dry_run()
    }
}

/// Keyed logic of one version of a plugin, bound to its parameters and called for one job.
#[derive(Debug)]
pub(crate) struct PluginProcess {
    account: Arc<Account>,
    info: Described,
    parameters: Vec<Literal>,
    card: LogicCard,
    event_pace: Pace,
    timer_pace: Pace,
}

impl PluginProcess {
    fn new(account: &Arc<Account>, info: &Described, parameters: Vec<Literal>, given: &[Parameter]) -> Self {
        let plugin = &account.plugin;
        let column = |field: &Field| (field.name.clone(), field.data_type.to_arrow());
        let card = LogicCard {
            results: info.rows.iter().map(column).collect(),
            identity: binding::identity(plugin, info, given),
        };
        let pace = || Pace::new(plugin.allowed.fuel_per_call);
        let (event_pace, timer_pace) = (pace(), pace());
        let (account, info) = (Arc::clone(account), info.clone());
        PluginProcess { account, info, parameters, card, event_pace, timer_pace }
    }

    /// Binds the logic to the types of its columns and to a query's constants; the error says what does not fit.
    pub(crate) fn bind(
        account: &Arc<Account>,
        info: &Described,
        arguments: &[ArrowType],
        given: &[Parameter],
    ) -> Result<Self, String> {
        for (found, field) in arguments.iter().zip(&info.arguments) {
            let empty = [arrow_array::new_empty_array(found)];
            lend(&empty, [field.data_type].into_iter())
                .map_err(|failure| format!("the column `{}`: {}: {info}", field.name, failure.reason))?;
        }
        let literals = binding::literals(info, given, &CONSTANTS)?;
        let process = PluginProcess::new(account, info, literals, given);
        if !given.is_empty() {
            process.dry_run()?;
        }
        Ok(process)
    }

    /// What takes over states of other versions.
    fn migration(&self) -> Migration<'_> {
        Migration {
            account: &self.account,
            of: &migrate::LOGIC,
            function: &self.info.name,
            parameters: &self.parameters,
        }
    }

    /// Calls without keys.
    fn dry_run(&self) -> Result<(), String> {
        let arguments = binding::no_arguments(&self.info);
        let (turn, events) =
            (Turn { states: &[], timers: &[] }, Events { counts: &[], times: &[], arguments: &arguments });
        let pool = &self.account.pool;
        pool.run(|guest| self.take_events(guest, turn, events))
            .map_err(|failure| self.blame(Step::Events, &failure))?;
        pool.run(|guest| self.take_timers(guest, &[], &[]))
            .map_err(|failure| self.blame(Step::Timers, &failure))?;
        Ok(())
    }

    /// One call in an instance that may have been used before.
    pub(crate) fn run<T>(&self, call: impl FnOnce(&mut Guest) -> Result<T, Failure>) -> Result<T, Failure> {
        self.account.pool.run(call)
    }

    /// Drops every instance.
    pub(crate) fn forget(&self) {
        self.account.barrier();
    }

    fn blame(&self, step: Step, failure: &Failure) -> String {
        self.account.plugin.blame(&self.info.name, step.name(), failure)
    }

    /// One call with events.
    pub(crate) fn take_events(
        &self,
        guest: &mut Guest,
        keys: Turn<'_>,
        events: Events<'_>,
    ) -> Result<(Answer, u64), Failure> {
        let lent = lend(events.arguments, self.info.arguments.iter().map(|field| field.data_type))?;
        let columns: Vec<ColumnIn<'_>> = lent.iter().map(Lent::column).collect();
        let export = self.account.plugin.exports.find(&ProcessWorld, "on-events")?;
        let parameters: OnEventsParams<'_> = (
            &self.info.name,
            &self.parameters,
            keys.states,
            keys.timers,
            events.counts,
            events.times,
            &columns,
        );
        let ((answer,), fuel) = guest.call::<_, ProgressResult>(export, parameters)?;
        let answer = answer.map_err(|reason| Failure::refused(&reason))?;
        let is_taken = |taken: &[u32]| {
            let each = taken.iter().zip(events.counts);
            taken.len() == events.counts.len()
                && each.into_iter().all(|(taken, given)| (1..=*given).contains(taken))
        };
        if !is_taken(&answer.taken) {
            return Err(wrong(
                "does not say of each key how many of its events it took, of which it takes one at least",
            ));
        }
        let mut first = 0;
        let taken = answer.taken.iter().zip(events.counts).map(|(taken, given)| {
            let own = first..first + taken;
            first += given;
            own
        });
        let makers: Vec<Range<u32>> = taken.collect();
        let answer = self.checked(answer, keys.states.len(), (Step::Events, &makers))?;
        let is_before = |(timer, own): (&Option<i64>, &Range<u32>)| {
            timer.is_some_and(|timer| timer < events.times[own.end as usize - 1])
        };
        if answer.timers.iter().zip(&makers).any(is_before) {
            return Err(wrong("sets a timer that is before the last event that it took"));
        }
        Ok((answer, fuel))
    }

    /// One call that fires timers.
    pub(crate) fn take_timers(
        &self,
        guest: &mut Guest,
        states: &[&[u8]],
        times: &[i64],
    ) -> Result<(Answer, u64), Failure> {
        let export = self.account.plugin.exports.find(&ProcessWorld, "on-timer")?;
        let parameters: OnTimerParams<'_> = (&self.info.name, &self.parameters, states, times);
        let ((answer,), fuel) = guest.call::<_, ProgressResult>(export, parameters)?;
        let answer = answer.map_err(|reason| Failure::refused(&reason))?;
        let makers: Vec<Range<u32>> = (0..states.len() as u32).map(|timer| timer..timer + 1).collect();
        let answer = self.checked(answer, states.len(), (Step::Timers, &makers))?;
        let sets_earlier = |(timer, fired): (&Option<i64>, &i64)| timer.is_some_and(|timer| timer <= *fired);
        if answer.timers.iter().zip(times).any(sets_earlier) {
            return Err(wrong("sets a timer that is not behind the one that fires"));
        }
        Ok((answer, fuel))
    }

    /// A guest's answer, once it is shown to be one; `makers` are the events, or the timers, that may have made rows.
    fn checked(
        &self,
        answer: ProgressOut,
        keys: usize,
        makers: (Step, &[Range<u32>]),
    ) -> Result<Answer, Failure> {
        let ProgressOut { states, timers, taken, made_by, rows } = answer;
        if states.len() != keys || timers.len() != keys {
            return Err(wrong(format!(
                "gave {} states and {} timers where {keys} were due",
                states.len(),
                timers.len()
            )));
        }
        let most = self.account.plugin.allowed.state_bytes;
        if let Some(long) = states.iter().map(Vec::len).find(|length| *length > most) {
            return Err(wrong(format!("gave a state of {long} bytes, of which it may have {most}")));
        }
        check_makers(&made_by, makers)?;
        let rows = columns::each_to_arrow(rows, self.info.rows.iter(), made_by.len())?;
        if !long_rows(&rows).is_empty() {
            return Err(wrong("makes a value of more than 1 MiB"));
        }
        Ok(Answer { states, timers, taken, made_by, rows })
    }

    /// Runs a call for some units of work, which one alone has its verdict in a fresh instance.
    fn call(
        &self,
        units: usize,
        call: impl Fn(&mut Guest) -> Result<(Answer, u64), Failure>,
    ) -> Result<(Answer, u64), Failure> {
        let pool = &self.account.pool;
        if units == 1 { pool.run_to_verdict(call) } else { pool.run(call) }
    }

    fn joined(&self, work: Work<'_>) -> Progress {
        let Work { mut progress, pieces, .. } = work;
        let column = |(at, (_, data_type)): (usize, &(String, ArrowType))| {
            let of_column: Vec<ArrayRef> = pieces.iter().map(|piece| Arc::clone(&piece[at])).collect();
            columns::join(&of_column, data_type)
        };
        progress.rows = self.card.results.iter().enumerate().map(column).collect();
        progress
    }

    /// Gives some keys their events, one that is alone up to `most` of them; cuts what fails.
    fn give(&self, work: &mut Work<'_>, keys: Range<usize>, most: usize) -> Result<(), Failure> {
        let Work { turn, events, firsts, .. } = *work;
        let first = firsts[keys.start];
        let all = firsts[keys.end] - first;
        let rows = if keys.len() == 1 { all.min(most) } else { all };
        let counts = if keys.len() == 1 { vec![rows as u32] } else { events.counts[keys.clone()].to_vec() };
        let arguments: Vec<ArrayRef> =
            events.arguments.iter().map(|column| columns::part(column, first, rows)).collect();
        let given =
            Events { counts: &counts, times: &events.times[first..first + rows], arguments: &arguments };
        let own = Turn { states: &turn.states[keys.clone()], timers: &turn.timers[keys.clone()] };
        let failure = match self.call(rows, |guest| self.take_events(guest, own, given)) {
            Ok((answer, fuel)) => {
                let taken = answer.taken.iter().sum::<u32>() as usize;
                self.event_pace.used(rows, fuel);
                self.account.passed(taken);
                self.account.took_rows(taken);
                work.add(answer, first as u32);
                return Ok(());
            }
            Err(failure) if failure.cause == Cause::Host => return Err(failure),
            Err(failure) => failure,
        };
        if rows == 1 {
            work.fail(keys.start, 1, self.blame(Step::Events, &failure), failure.is_misbehaviour());
            return Ok(());
        }
        if matches!(failure.cause, Cause::Fuel | Cause::Memory | Cause::Output) {
            self.event_pace.too_many(rows);
        }
        if keys.len() == 1 {
            return self.give(work, keys, rows.div_ceil(2));
        }
        let middle = keys.start + keys.len() / 2;
        self.give(work, keys.start..middle, most)?;
        self.give(work, middle..keys.end, most)
    }

    /// Fires the timers of some keys; cuts what fails.
    fn fire(&self, work: &mut Work<'_>, times: &[i64], keys: Range<usize>) -> Result<(), Failure> {
        let states = &work.turn.states[keys.clone()];
        let own = &times[keys.clone()];
        let failure = match self.call(keys.len(), |guest| self.take_timers(guest, states, own)) {
            Ok((answer, fuel)) => {
                self.timer_pace.used(keys.len(), fuel);
                self.account.passed(keys.len());
                work.add(answer, keys.start as u32);
                return Ok(());
            }
            Err(failure) if failure.cause == Cause::Host => return Err(failure),
            Err(failure) => failure,
        };
        if keys.len() == 1 {
            work.fail(keys.start, 0, self.blame(Step::Timers, &failure), failure.is_misbehaviour());
            return Ok(());
        }
        if matches!(failure.cause, Cause::Fuel | Cause::Memory | Cause::Output) {
            self.timer_pace.too_many(keys.len());
        }
        let middle = keys.start + keys.len() / 2;
        self.fire(work, times, keys.start..middle)?;
        self.fire(work, times, middle..keys.end)
    }
}

/// What a call is for.
#[derive(Debug, Clone, Copy)]
enum Step {
    Events,
    Timers,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Events => "on-events",
            Step::Timers => "on-timer",
        }
    }

    /// What makes rows in it.
    fn maker(self) -> &'static str {
        match self {
            Step::Events => "event",
            Step::Timers => "timer",
        }
    }
}

/// What came of one call, checked.
pub(crate) struct Answer {
    pub(crate) states: Vec<Vec<u8>>,
    pub(crate) timers: Vec<Option<i64>>,
    pub(crate) taken: Vec<u32>,
    pub(crate) made_by: Vec<u32>,
    pub(crate) rows: Vec<ArrayRef>,
}

/// What is asked of the logic, call by call, and what has come of it.
struct Work<'a> {
    turn: Turn<'a>,
    events: Events<'a>,
    /// Of each key its first event, and behind them how many there are.
    firsts: &'a [usize],
    progress: Progress,
    pieces: Vec<Vec<ArrayRef>>,
}

impl Work<'_> {
    /// Adds what came of a call, whose first event, or timer, is this one of all.
    fn add(&mut self, answer: Answer, first: u32) {
        let progress = &mut self.progress;
        progress.states.extend(answer.states.into_iter().map(Vec::into_boxed_slice));
        progress.timers.extend(answer.timers);
        progress.taken.extend(answer.taken);
        progress.made_by.extend(answer.made_by.into_iter().map(|by| first + by));
        self.pieces.push(answer.rows);
    }

    /// A key's event or timer fails alone: it is as it was.
    fn fail(&mut self, key: usize, taken: u32, reason: String, misbehaved: bool) {
        let progress = &mut self.progress;
        progress.states.push(self.turn.states[key].into());
        progress.timers.push(self.turn.timers[key]);
        progress.taken.push(taken);
        progress.failed.push(FailedKey { key: key as u32, reason, misbehaved });
    }
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::new(Cause::Output, what)
}

/// Whether each row is made by one of these, in their order, and none by too few for so many.
fn check_makers(made_by: &[u32], (step, makers): (Step, &[Range<u32>])) -> Result<(), Failure> {
    let maker = step.maker();
    if !made_by.is_sorted() {
        return Err(wrong("made rows that are not in the order of what made them"));
    }
    let mut own = makers.iter();
    let mut current = own.next();
    for by in made_by {
        while current.is_some_and(|makers| makers.end <= *by) {
            current = own.next();
        }
        if current.is_none_or(|makers| !makers.contains(by)) {
            return Err(wrong(format!("made a row of {maker} {by}, which it did not take")));
        }
    }
    let too_many = made_by.windows(MOST_ROWS + 1).find(|rows| rows[0] == rows[MOST_ROWS]);
    match too_many {
        Some(rows) => Err(wrong(format!("made more than {MOST_ROWS} rows of {maker} {}", rows[0]))),
        None => Ok(()),
    }
}

impl KeyedLogic for PluginProcess {
    fn card(&self) -> &LogicCard {
        &self.card
    }

    fn migrates(&self) -> bool {
        self.migration().is_there()
    }

    fn migrate(&self, from: &StateMaker, states: &[&[u8]]) -> Result<Vec<Vec<u8>>, AggregateError> {
        self.migration().run(from, states)
    }

    fn on_events(&self, keys: Turn<'_>, events: Events<'_>) -> Result<Progress, AggregateError> {
        self.account.check_breaker().map_err(AggregateError::Broken)?;
        let mut firsts = Vec::with_capacity(events.counts.len() + 1);
        firsts.push(0);
        firsts.extend(events.counts.iter().scan(0_usize, |before, count| {
            *before += *count as usize;
            Some(*before)
        }));
        let (progress, pieces) = (Progress::default(), Vec::new());
        let mut work = Work { turn: keys, events, firsts: &firsts, progress, pieces };
        let mut at = 0;
        while at < events.counts.len() {
            let most = self.event_pace.rows();
            let fits = |end: &usize| firsts[*end] - firsts[at] <= most;
            let end = (at + 1..=events.counts.len()).take_while(fits).last().unwrap_or(at + 1);
            let given = self.give(&mut work, at..end, most);
            given.map_err(|failure| AggregateError::Broken(self.blame(Step::Events, &failure)))?;
            at = end;
        }
        Ok(self.joined(work))
    }

    fn misbehaved(&self, reason: &str) {
        self.account.misbehaved(reason);
    }

    fn on_timers(&self, keys: Turn<'_>) -> Result<Progress, AggregateError> {
        self.account.check_breaker().map_err(AggregateError::Broken)?;
        let times: Vec<i64> = keys.timers.iter().map(|timer| timer.unwrap_or(i64::MIN)).collect();
        let events = Events { counts: &[], times: &[], arguments: &[] };
        let (progress, pieces) = (Progress::default(), Vec::new());
        let mut work = Work { turn: keys, events, firsts: &[], progress, pieces };
        let mut at = 0;
        while at < times.len() {
            let end = (at + self.timer_pace.rows()).min(times.len());
            let fired = self.fire(&mut work, &times, at..end);
            fired.map_err(|failure| AggregateError::Broken(self.blame(Step::Timers, &failure)))?;
            at = end;
        }
        Ok(self.joined(work))
    }
}
