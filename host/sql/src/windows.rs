//! The windows of GROUP BY: TUMBLE, HOP, CUMULATE, SESSION and those of the calendar.
//!
//! Knows how their arguments are read and put in order. Must not know keys, aggregates or result columns.

use crate::calendar::{Calendar, calendar};
pub(crate) use crate::intervals::interval;
use crate::intervals::is_weeks;
use crate::report::Refusal;
use crate::spellings::AT_TIME_ZONE;
use crate::stage::written;
use crate::syntax::{arguments, single_name};
use sqlparser::ast::{Expr, Function, Spanned};
use sqlparser::tokenizer::Location;
use weir_event::Span;
use weir_timeline::{Cumulate, Frames, Grid, MAX_PANES, Session, Table};

/// Which window function groups rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowKind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl WindowKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            WindowKind::Tumble => "TUMBLE",
            WindowKind::Hop => "HOP",
            WindowKind::Cumulate => "CUMULATE",
            WindowKind::Session => "SESSION",
        }
    }

    /// The kind of a function's name in lower case.
    pub(crate) fn named(name: &str) -> Option<WindowKind> {
        Some(match name {
            "tumble" => WindowKind::Tumble,
            "hop" => WindowKind::Hop,
            "cumulate" => WindowKind::Cumulate,
            "session" => WindowKind::Session,
            _ => return None,
        })
    }

    /// What its lengths are called, in Flink's order.
    pub(crate) fn lengths(self) -> &'static [&'static str] {
        match self {
            WindowKind::Tumble => &["SIZE"],
            WindowKind::Hop => &["SLIDE", "SIZE"],
            WindowKind::Cumulate => &["STEP", "SIZE"],
            WindowKind::Session => &["GAP"],
        }
    }

    fn usage(self, name: &str, event_time: &str) -> String {
        match self {
            WindowKind::Tumble => format!("{name}({event_time}, INTERVAL '1' HOUR)"),
            WindowKind::Hop => {
                format!("{name}({event_time}, INTERVAL '1' HOUR, INTERVAL '1' DAY), slide and size")
            }
            WindowKind::Cumulate => {
                format!("{name}({event_time}, INTERVAL '1' HOUR, INTERVAL '1' DAY), step and longest size")
            }
            WindowKind::Session => format!("{name}({event_time}, INTERVAL '30' MINUTE), the longest pause"),
        }
    }
}

/// What a window function in an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowBound {
    Start,
    End,
    /// The last millisecond of the window, which a later window can be made over.
    Rowtime,
}

/// A call of a window function, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowCall {
    /// The window itself, in GROUP BY.
    Window(WindowKind),
    /// One of its bounds.
    Bound(WindowKind, WindowBound),
    /// A window that weir will never run.
    Refused(&'static str),
}

/// The window function of a call, if it is one.
pub(crate) fn window_call(name: &str) -> Option<WindowCall> {
    if let Some(kind) = WindowKind::named(name) {
        return Some(WindowCall::Window(kind));
    }
    let (kind, ending) = name.rsplit_once('_')?;
    let kind = WindowKind::named(kind)?;
    Some(match ending {
        "start" => WindowCall::Bound(kind, WindowBound::Start),
        "end" => WindowCall::Bound(kind, WindowBound::End),
        "rowtime" => WindowCall::Bound(kind, WindowBound::Rowtime),
        "proctime" => WindowCall::Refused(
            "results never depend on the time of day; write TUMBLE_ROWTIME or HOP_ROWTIME for the window's event time",
        ),
        _ => return None,
    })
}

/// Whether a name is a window function's.
pub(crate) fn is_window_function(name: &str) -> bool {
    window_call(name).is_some()
}

/// How windows lie in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    Grid(Grid),
    Cumulate(Cumulate),
    Session(Session),
    Calendar(Calendar),
}

/// The windows of a query's GROUP BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupWindow {
    pub(crate) kind: WindowKind,
    pub(crate) shape: Shape,
    /// Whether two lengths stood in another order than Flink's: slide or step, then size.
    pub(crate) is_reversed: bool,
    /// The day on which windows of whole weeks begin, where the query does not say it.
    pub(crate) first_day: Option<FirstDay>,
}

/// The day on which windows of whole weeks begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstDay {
    /// Of `WEEK`, as the calendar has it.
    Monday,
    /// Of seven `DAY`: the epoch was one.
    Thursday,
}

impl FirstDay {
    /// Of windows that begin every `cycle`, which was written so.
    fn of(cycle: Span, written: &Expr) -> Option<Self> {
        if is_weeks(written) {
            return Some(FirstDay::Monday);
        }
        (cycle.millis() % WEEK_MILLIS == 0).then_some(FirstDay::Thursday)
    }

    /// From the epoch on.
    fn offset(self) -> Span {
        match self {
            FirstDay::Monday => Span::from_millis(4 * 86_400_000),
            FirstDay::Thursday => Span::ZERO,
        }
    }
}

const WEEK_MILLIS: i64 = 7 * 86_400_000;

impl GroupWindow {
    /// The window as Flink writes it.
    pub(crate) fn describe(&self) -> String {
        let at =
            |offset: Span| if offset == Span::ZERO { String::new() } else { format!(", offset {offset}") };
        match &self.shape {
            Shape::Grid(Grid { size, offset, .. }) if self.kind == WindowKind::Tumble => {
                format!("TUMBLE of {size}{}", at(*offset))
            }
            Shape::Grid(Grid { size, slide, offset }) => {
                format!("HOP of size {size} and slide {slide}{}", at(*offset))
            }
            Shape::Cumulate(Cumulate { size, step, offset }) => {
                format!("CUMULATE of size {size} and step {step}{}", at(*offset))
            }
            Shape::Session(Session { gap }) => format!("SESSION with a gap of {gap}"),
            Shape::Calendar(Calendar { unit, zone }) => format!("TUMBLE of one {unit} in {zone}"),
        }
    }

    /// What makes the window, for hashes: of a calendar its unit and zone, not its bounds.
    pub(crate) fn canonical(&self) -> String {
        match &self.shape {
            Shape::Grid(Grid { size, slide, offset }) => {
                format!("grid {} {} {}", size.millis(), slide.millis(), offset.millis())
            }
            Shape::Cumulate(Cumulate { size, step, offset }) => {
                format!("cumulate {} {} {}", size.millis(), step.millis(), offset.millis())
            }
            Shape::Session(Session { gap }) => format!("session {}", gap.millis()),
            Shape::Calendar(Calendar { unit, zone }) => format!("calendar {unit} {zone}"),
        }
    }

    /// The window as the timeline takes it.
    pub(crate) fn frames(&self) -> Result<Frames, String> {
        Ok(match &self.shape {
            Shape::Grid(grid) => Frames::Grid(*grid),
            Shape::Cumulate(cumulate) => Frames::Cumulate(*cumulate),
            Shape::Session(session) => Frames::Session(*session),
            Shape::Calendar(calendar) => Frames::Table(Table { starts: calendar.starts()? }),
        })
    }
}

/// The arguments of a window, of a function in GROUP BY or of a table function in FROM.
#[derive(Debug, Clone)]
pub(crate) struct WindowArguments {
    pub(crate) kind: WindowKind,
    /// The function as messages call it, and its place.
    pub(crate) name: String,
    pub(crate) at: Location,
    /// The time column.
    pub(crate) time: Expr,
    /// The lengths in the order of [`WindowKind::lengths`].
    pub(crate) lengths: Vec<Expr>,
    /// An offset, or for TUMBLE a time zone.
    pub(crate) shift: Option<Expr>,
    /// Whether the lengths were told apart by names; otherwise the longer of two is the size.
    pub(crate) is_named: bool,
}

/// Reads the arguments of a window function: the time column, one or two lengths, perhaps an offset.
pub(crate) fn group_window(
    kind: WindowKind,
    function: &Function,
    event_time: &str,
) -> Result<GroupWindow, Refusal> {
    let at = function.name.span().start;
    let name = single_name(&function.name).unwrap_or_default().to_uppercase();
    let usage = kind.usage(&name, event_time);
    let arguments = arguments(function)?;
    let [time, others @ ..] = arguments.as_slice() else {
        return Err(Refusal::new(at, format!("{name} takes a time column and lengths; write {usage}")));
    };
    let lengths = kind.lengths().len();
    let with_shift = lengths + usize::from(kind != WindowKind::Session);
    if others.len() != lengths && others.len() != with_shift {
        return Err(Refusal::new(at, format!("{name} has {} arguments; write {usage}", arguments.len())));
    }
    let mut others = others.iter().map(|argument| (*argument).clone());
    read_window(
        &WindowArguments {
            kind,
            name,
            at,
            time: (*time).clone(),
            lengths: others.by_ref().take(lengths).collect(),
            shift: others.next(),
            is_named: false,
        },
        event_time,
    )
}

/// Reads a window's arguments.
pub(crate) fn read_window(arguments: &WindowArguments, event_time: &str) -> Result<GroupWindow, Refusal> {
    let WindowArguments { kind, name, at, time, shift, .. } = arguments;
    if !matches!(time, Expr::Identifier(column) if column.value == event_time) {
        let message = match time {
            Expr::Function(function) if function.name.to_string() == AT_TIME_ZONE => format!(
                "{name} takes the time zone as its third argument; write TUMBLE({event_time}, INTERVAL '1' DAY, \
                 'Europe/Berlin')"
            ),
            time => {
                let time = written(time);
                format!(
                    "{name} must be over the event time `{event_time}` (or its alias rowtime), not {time}"
                )
            }
        };
        return Err(Refusal::new(time.span().start, message));
    }
    if let (WindowKind::Tumble, [length]) = (kind, arguments.lengths.as_slice())
        && let Some(calendar) = calendar(length, shift.as_ref(), *at)?
    {
        let shape = Shape::Calendar(calendar);
        return Ok(GroupWindow { kind: *kind, shape, is_reversed: false, first_day: None });
    }
    let lengths = arguments.lengths.iter().map(|length| interval(length, *at));
    let lengths = lengths.collect::<Result<Vec<_>, _>>()?;
    let offset = shift.as_ref().map(|offset| interval(offset, *at)).transpose()?;
    if let Some(wrong) = lengths.iter().find(|length| length.millis() <= 0) {
        return Err(Refusal::new(
            *at,
            format!("{name} has a length of {wrong}; a window's lengths are positive"),
        ));
    }
    let (Some(first), Some(last)) = (lengths.first().copied(), lengths.last().copied()) else {
        return Err(Refusal::new(*at, format!("{name} has no length")));
    };
    let is_reversed = !arguments.is_named && first > last;
    let (step, size) = if is_reversed { (last, first) } else { (first, last) };
    let written = |length: Span| arguments.lengths.get(usize::from(length == last && first != last));
    let cycle = if *kind == WindowKind::Cumulate { size } else { step };
    let first_day = match (kind, written(cycle)) {
        (WindowKind::Session, _) | (_, None) => None,
        (_, Some(written)) => FirstDay::of(cycle, written).filter(|_| offset.is_none()),
    };
    let offset = offset.or(first_day.map(FirstDay::offset)).unwrap_or(Span::ZERO);
    let within = |cycle: Span| Span::from_millis(offset.millis().rem_euclid(cycle.millis()));
    let shape = match kind {
        WindowKind::Tumble | WindowKind::Hop => {
            Shape::Grid(in_panes(Grid { size, slide: step, offset: within(step) }, *at)?)
        }
        WindowKind::Cumulate => {
            Shape::Cumulate(in_steps(Cumulate { size, step, offset: within(size) }, *at)?)
        }
        WindowKind::Session => Shape::Session(Session { gap: size }),
    };
    Ok(GroupWindow { kind: *kind, shape, is_reversed, first_day })
}

/// Refuses windows of too many panes: beyond, a key's state alone is megabytes.
fn in_panes(grid: Grid, at: Location) -> Result<Grid, Refusal> {
    let Grid { size, slide, .. } = grid;
    let panes = size.millis() / grid.pane().millis();
    if slide >= size || panes <= MAX_PANES {
        return Ok(grid);
    }
    let message = format!(
        "a window of {size} with a slide of {slide} is made of {panes} panes of {}, the limit is {MAX_PANES}; \
         write a longer slide that divides the size",
        grid.pane()
    );
    Err(Refusal::new(at, message))
}

fn in_steps(windows: Cumulate, at: Location) -> Result<Cumulate, Refusal> {
    let Cumulate { size, step, .. } = windows;
    if size.millis() % step.millis() != 0 {
        let message = format!(
            "the longest window of CUMULATE, {size}, is not a multiple of its step, {step}; write a step that divides it"
        );
        return Err(Refusal::new(at, message));
    }
    let steps = size.millis() / step.millis();
    if steps <= MAX_PANES {
        return Ok(windows);
    }
    let message = format!(
        "a window of {size} with a step of {step} is made of {steps} steps, the limit is {MAX_PANES}; write a longer \
         step"
    );
    Err(Refusal::new(at, message))
}
