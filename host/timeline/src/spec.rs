//! What one keyed stage computes: its windows, its aggregates and how far back its state must live.
//!
//! A specification is data: made once by the planner, shared by all shards, never changed while a job runs.

use crate::aggregate::value::kind_of;
use crate::aggregate::{Aggregate, Algebra};
use crate::process::logic::KeyedLogic;
use crate::windows::{Cumulate, Session, Table};
use arrow_schema::DataType;
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span};

/// One keyed stage of a job.
#[derive(Debug, Clone)]
pub struct StageSpec {
    /// The windows.
    pub frames: Frames,
    /// The aggregates, in order of output.
    pub aggregates: Vec<AggregateSpec>,
    /// Types of the input columns that the stage is handed.
    pub inputs: Vec<DataType>,
    /// `OVER` only: input columns that each result row repeats from its event.
    pub carried: Vec<usize>,
    /// How far behind the watermark corrections and `as_of` may reach: max(late.allow, history).
    pub history: Span,
    /// How far behind the watermark of their own partition late rows change results that are final for it: those that
    /// were returned are then returned again. Results further back, and all if there is none, stay as they are, also for
    /// lookups, and a late row counts only in the others. At most `history`.
    pub corrects: Option<Span>,
    /// Upper bound on the life of state; none but the windows' if `None`. It is the length of an unbounded frame, and
    /// of one that counts rows the most, so that results do not depend on when state is dropped. A session is
    /// forgotten so long after its end.
    pub retention: Option<Span>,
    /// `OVER RANGE` only: frames begin at a multiple of this, at or before their bound, so that older rows can be
    /// kept as one tile per key and step. `None`: where their bound says.
    pub tail: Option<Span>,
    /// Whether [`crate::Timelines::changes`] will be asked for: then what changed is noted as it comes.
    pub emit_changes: bool,
    /// `OVER` only: rows of sources below this have results, and rows of the others are joined to them: these alone are
    /// what aggregates take in, as their filters say. `None`: all rows have results, and all are taken in.
    pub results_below: Option<u16>,
    /// Of [`Frames::Process`] alone, and always there: the logic that events go through.
    pub process: Option<ProcessSpec>,
}

/// The keyed logic of a stage. Its results are the columns of the rows that it makes, and their time.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The code.
    pub logic: Arc<dyn KeyedLogic>,
    /// Input columns of its arguments.
    pub arguments: Vec<usize>,
}

impl ProcessSpec {
    /// The types of its rows' columns.
    pub fn types(&self) -> impl Iterator<Item = &DataType> {
        self.logic.card().results.iter().map(|(_, data_type)| data_type)
    }
}

/// Panes of one window at most: what a window's value is merged from when it is asked for out of turn, and what a
/// key that has rows all the time keeps.
pub const MAX_PANES: i64 = 100_000;

/// A specification that no timeline can follow; the planner's mistake, or a type that it should have refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// An aggregate or a carried column names an input column that is not there.
    #[error("input column {0} does not exist")]
    NoSuchInput(usize),
    /// An aggregate names a frame that is not there.
    #[error("frame {0} does not exist")]
    NoSuchFrame(usize),
    /// A frame of `OVER` whose end is before its beginning, or after its event.
    #[error(
        "frame {0} holds no row: it must begin at or before its end, and end at or before the current row; put the farther bound first"
    )]
    Backwards(usize),
    /// A tail where no frame of time has an old end.
    #[error("only frames of OVER that are bounded by time (RANGE) have a tail; write exact, or leave it out")]
    NoTail,
    /// Steps of a tail that are too short for its frames.
    #[error(
        "a frame of {reach} with a tail of {step} is cut into more than {MAX_PANES} steps; choose a longer tail"
    )]
    TooManySteps {
        /// How far back the frame reaches.
        reach: Span,
        /// Length of a step.
        step: Span,
    },
    /// Windows of no length, or that do not move on.
    #[error("a window's size and slide must be positive")]
    EmptyWindow,
    /// A session without a gap.
    #[error("a session's gap must be positive")]
    EmptyGap,
    /// Cumulating windows that do not end where the longest does.
    #[error(
        "the longest window of {size} is not a multiple of the step of {step}; choose a step that divides it"
    )]
    UnevenSteps {
        /// Length of the longest window.
        size: Span,
        /// From one window's end to the next one's.
        step: Span,
    },
    /// Windows that are cut into too many panes.
    #[error(
        "a window of {size} that moves by {slide} is cut into {panes} panes, more than {MAX_PANES}; choose a slide that divides the size, or a longer one"
    )]
    TooManyPanes {
        /// Length of a window.
        size: Span,
        /// From one window to the next.
        slide: Span,
        /// Panes in a window.
        panes: i64,
    },
    /// Bounds of windows that are not in order, or too few for a single window.
    #[error("a table of windows needs at least two bounds, each later than the one before")]
    UnorderedTable,
    /// A column that a row log must keep is of a type that it cannot.
    #[error(
        "a column of type {0} cannot be kept; use a whole number, double, boolean, timestamp, text or bytes"
    )]
    Type(DataType),
    /// Keyed logic without frames of its kind, or the other way round.
    #[error("keyed logic goes with frames of its own, and these with keyed logic")]
    Logic,
    /// A filter that is no boolean.
    #[error("a filter must be boolean, not {0}")]
    Filter(DataType),
}

/// Whether row logs can keep columns of this type: arguments, filters and carried columns of `OVER`, arguments and
/// filters of sessions and lifetime aggregates, and in windows on a grid those of ordered aggregates.
pub fn storable(data_type: &DataType) -> bool {
    kind_of(data_type).is_some()
}

impl StageSpec {
    /// Whether a timeline can follow it.
    pub fn check(&self) -> Result<(), SpecError> {
        self.frames.check(self.retention)?;
        self.check_tail()?;
        if self.process.is_some() != (self.frames == Frames::Process) {
            return Err(SpecError::Logic);
        }
        for argument in self.process.iter().flat_map(|process| &process.arguments) {
            self.input(*argument)?;
        }
        let frames = self.frames.count();
        for aggregate in &self.aggregates {
            if aggregate.frame >= frames {
                return Err(SpecError::NoSuchFrame(aggregate.frame));
            }
            if let Some(filter) = aggregate.filter
                && self.input(filter)? != &DataType::Boolean
            {
                return Err(SpecError::Filter(self.input(filter)?.clone()));
            }
            aggregate.arguments.iter().try_for_each(|argument| self.input(*argument).map(|_| ()))?;
        }
        self.carried.iter().try_for_each(|column| self.input(*column).map(|_| ()))?;
        match self.logged().into_iter().find(|input| !storable(&self.inputs[*input])) {
            Some(input) => Err(SpecError::Type(self.inputs[input].clone())),
            None => Ok(()),
        }
    }

    fn check_tail(&self) -> Result<(), SpecError> {
        let Some(step) = self.tail else { return Ok(()) };
        let Frames::Over(frames) = &self.frames else { return Err(SpecError::NoTail) };
        let counts_rows = frames.iter().any(|frame| matches!(frame.bounds, Bounds::Rows { .. }));
        if counts_rows || step.millis() <= 0 {
            return Err(SpecError::NoTail);
        }
        match frames.iter().filter_map(OverFrame::reach).max() {
            Some(reach) if reach.millis() / step.millis() > MAX_PANES => {
                Err(SpecError::TooManySteps { reach, step })
            }
            _ => Ok(()),
        }
    }

    fn input(&self, column: usize) -> Result<&DataType, SpecError> {
        self.inputs.get(column).ok_or(SpecError::NoSuchInput(column))
    }

    /// How far behind the watermark corrections and `as_of` do reach: `history`, unless the retention ends state
    /// before that.
    pub fn reach(&self) -> Span {
        let Some(retention) = self.retention else { return self.history };
        match &self.frames {
            Frames::Session(_) => self.history.min(retention),
            // Their retention is the length of a frame or of a pause.
            Frames::Over(_) | Frames::Lifetime | Frames::Process => self.history,
            frames => {
                let longest = frames.longest().unwrap_or(Span::ZERO).millis();
                let after_window = Span::from_millis(retention.millis().saturating_sub(longest));
                self.history.min(after_window).max(Span::ZERO)
            }
        }
    }

    /// The boundary behind which rows of a partition change nothing when its watermark is at `watermark` and nothing
    /// before `horizon` can be asked for: results that end at or before it stay as they are. How far other partitions
    /// were read does not move it, except where the horizon does.
    pub(crate) fn floor(&self, watermark: i64, horizon: i64) -> i64 {
        let reach = self.corrects.map_or(0, Span::millis);
        watermark.saturating_sub(reach).max(horizon)
    }

    /// How many result rows one input row makes at the most, once, not counting corrections: what the definition of
    /// the windows alone says.
    pub fn rows_out_per_row(&self) -> f64 {
        match &self.frames {
            Frames::Grid(grid) => (grid.size.millis() as f64 / grid.slide.millis() as f64).max(1.0),
            Frames::Cumulate(cumulate) => cumulate.size.millis() as f64 / cumulate.step.millis() as f64,
            Frames::Table(_) | Frames::Session(_) | Frames::Lifetime | Frames::Over(_) | Frames::Process => {
                1.0
            }
        }
    }

    /// Whether a row of this rank has a result of its own.
    pub(crate) fn has_result(&self, rank: Rank) -> bool {
        self.results_below.is_none_or(|below| rank.partition.input() < usize::from(below))
    }

    /// The input columns that are kept of rows, rising.
    pub fn kept_columns(&self) -> Vec<usize> {
        let mut columns = self.logged();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Whether any rows are kept.
    pub(crate) fn keeps_rows(&self) -> bool {
        match self.frames {
            Frames::Over(_) | Frames::Session(_) | Frames::Lifetime | Frames::Process => true,
            Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) => {
                self.aggregates.iter().any(AggregateSpec::is_ordered)
            }
        }
    }

    /// Input columns that row logs keep.
    pub(crate) fn logged(&self) -> Vec<usize> {
        let is_over = matches!(self.frames, Frames::Over(_));
        let keeps_rows = matches!(self.frames, Frames::Over(_) | Frames::Session(_) | Frames::Lifetime);
        let aggregates = self.aggregates.iter().filter(|it| keeps_rows || it.is_ordered());
        let columns = aggregates.flat_map(|it| it.arguments.iter().copied().chain(it.filter));
        let carried = self.carried.iter().copied().filter(|_| is_over);
        let given = self.process.iter().flat_map(|process| process.arguments.iter().copied());
        columns.chain(carried).chain(given).collect()
    }
}

impl AggregateSpec {
    /// Whether it must be fed in total order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.function.card().algebra == Algebra::Ordered
    }
}

/// One aggregate over one frame.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// What is computed.
    pub function: Arc<dyn Aggregate>,
    /// Input columns of its arguments; none for `COUNT(*)`.
    pub arguments: Vec<usize>,
    /// Boolean input column; rows where it is not true are not part of the frame for this aggregate.
    pub filter: Option<usize>,
    /// Index of its frame among the frames of [`Frames::Over`]; 0 for all others.
    pub frame: usize,
    /// Of an aggregate that was added by an edit: how many edits were made since, that one included. Rows that were
    /// kept before are not its own. `None`: all are.
    pub edits: Option<u32>,
}

/// The windows of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frames {
    /// TUMBLE and HOP: windows `[start, start + size)` with starts on the slide's grid.
    Grid(Grid),
    /// CUMULATE: windows of one start that grow step by step.
    Cumulate(Cumulate),
    /// Windows one after the other between given bounds: days, weeks, months and years of a time zone's calendar.
    Table(Table),
    /// SESSION: windows that go on while rows keep coming.
    Session(Session),
    /// No window: everything of a key. Nothing ever closes; values come from [`crate::Timelines::changes`] and
    /// lookups. With a [`StageSpec::retention`], a pause longer than that makes the value start anew.
    Lifetime,
    /// No window: events go through keyed logic, [`StageSpec::process`], whose rows are the results. With a
    /// [`StageSpec::retention`], a pause longer than that makes it begin anew.
    Process,
    /// `OVER`: a result for each event, over frames that end at it or before it.
    Over(Vec<OverFrame>),
}

impl Frames {
    /// How many frames there are: 1, except of `OVER`.
    pub fn count(&self) -> usize {
        if let Frames::Over(frames) = self { frames.len() } else { 1 }
    }

    /// The longest stretch of time that a result is over, where the definition alone says it.
    pub fn longest(&self) -> Option<Span> {
        match self {
            Frames::Grid(grid) => Some(grid.size),
            Frames::Cumulate(windows) => Some(windows.size),
            Frames::Table(table) => {
                let lengths = table.starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
                lengths.max().map(Span::from_millis)
            }
            Frames::Session(_) | Frames::Lifetime | Frames::Process => None,
            Frames::Over(frames) => frames.iter().filter_map(OverFrame::reach).max(),
        }
    }

    fn check(&self, retention: Option<Span>) -> Result<(), SpecError> {
        match self {
            Frames::Grid(grid) => grid.check(),
            Frames::Cumulate(cumulate) => cumulate.check(),
            Frames::Table(table) => table.check(),
            Frames::Session(session) if session.gap.millis() <= 0 => Err(SpecError::EmptyGap),
            Frames::Session(_) | Frames::Lifetime | Frames::Process => Ok(()),
            Frames::Over(frames) => match frames.iter().position(|frame| !frame.is_sound(retention)) {
                Some(frame) => Err(SpecError::Backwards(frame)),
                None => Ok(()),
            },
        }
    }
}

/// Windows on a grid. TUMBLE is the case `slide == size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Length of a window; positive.
    pub size: Span,
    /// From one window's start to the next one's; positive.
    pub slide: Span,
    /// Where the grid is anchored, from the epoch.
    pub offset: Span,
}

/// A frame of `OVER`.
///
/// ```
/// use weir_event::Span;
/// use weir_timeline::{Bounds, Exclude, OverFrame};
/// // RANGE INTERVAL '5' SECONDS PRECEDING
/// let frame = OverFrame::range(Some(Span::from_millis(5000)));
/// let bounds = Bounds::Range { preceding: Some(Span::from_millis(5000)), until: Span::ZERO };
/// assert_eq!(frame, OverFrame { bounds, exclude: Exclude::None });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverFrame {
    /// Where it begins and ends.
    pub bounds: Bounds,
    /// Rows within its bounds that are not part of it.
    pub exclude: Exclude,
}

/// Where a frame of `OVER` begins and ends, seen from its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// `RANGE`, by time: at time t the half-open range `[t - preceding, t - until + 1)`. Rows of one time are in
    /// each other's frames if `until` is zero.
    Range {
        /// How far back it reaches; `None` is UNBOUNDED, or as far as [`StageSpec::retention`] if there is one.
        preceding: Option<Span>,
        /// How far before the event it ends; zero is CURRENT ROW.
        until: Span,
    },
    /// `ROWS`, by count among the key's rows in total order. Where there is a [`StageSpec::retention`], rows that
    /// are older than that, seen from the event, are not part of it.
    Rows {
        /// How many rows before the event it begins; `None` is UNBOUNDED.
        preceding: Option<u64>,
        /// How many rows before the event it ends; zero is CURRENT ROW.
        until: u64,
    },
}

/// Rows that are not part of a frame though they are within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exclude {
    /// None: `EXCLUDE NO OTHERS`, or nothing written.
    #[default]
    None,
    /// The event's own row: `EXCLUDE CURRENT ROW`.
    CurrentRow,
    /// The other rows of the event's time: `EXCLUDE TIES`.
    Ties,
}

impl OverFrame {
    /// `RANGE BETWEEN preceding PRECEDING AND CURRENT ROW`; `None` is UNBOUNDED.
    pub fn range(preceding: Option<Span>) -> OverFrame {
        OverFrame { bounds: Bounds::Range { preceding, until: Span::ZERO }, exclude: Exclude::None }
    }

    /// `ROWS BETWEEN preceding PRECEDING AND CURRENT ROW`; `None` is UNBOUNDED.
    pub fn rows(preceding: Option<u64>) -> OverFrame {
        OverFrame { bounds: Bounds::Rows { preceding, until: 0 }, exclude: Exclude::None }
    }

    /// How far back in time it reaches; `None` if time sets it no bound: UNBOUNDED, or `ROWS`.
    pub fn reach(&self) -> Option<Span> {
        match self.bounds {
            Bounds::Range { preceding, .. } => preceding,
            Bounds::Rows { .. } => None,
        }
    }

    /// Whether its bounds are in order; `retention` is what an unbounded range reaches back.
    fn is_sound(&self, retention: Option<Span>) -> bool {
        match self.bounds {
            Bounds::Range { preceding, until } => {
                until >= Span::ZERO && preceding.or(retention).is_none_or(|preceding| preceding >= until)
            }
            Bounds::Rows { preceding, until } => preceding.is_none_or(|preceding| preceding >= until),
        }
    }
}

impl Grid {
    fn check(&self) -> Result<(), SpecError> {
        let Grid { size, slide, .. } = *self;
        if size.millis() <= 0 || slide.millis() <= 0 {
            return Err(SpecError::EmptyWindow);
        }
        let panes = size.millis() / self.pane().millis();
        if slide < size && panes > MAX_PANES {
            return Err(SpecError::TooManyPanes { size, slide, panes });
        }
        Ok(())
    }

    /// Width of a pane: the longest that divides every window.
    pub fn pane(&self) -> Span {
        self.size.gcd(self.slide)
    }

    /// Start of the newest window that holds `time`.
    ///
    /// ```
    /// use weir_event::{EventTime, Rank, Span};
    /// use weir_timeline::Grid;
    /// let hop = Grid { size: Span::from_millis(30), slide: Span::from_millis(10), offset: Span::ZERO };
    /// assert_eq!(hop.last_start(EventTime::from_millis(25)).millis(), 20);
    /// assert_eq!(hop.first_start(EventTime::from_millis(25)).millis(), 0);
    /// assert_eq!(hop.last_end(EventTime::from_millis(25)).millis(), 50);
    /// ```
    pub fn last_start(&self, time: EventTime) -> EventTime {
        time.floor_to(self.slide, self.offset)
    }

    /// Start of the oldest window that holds `time`. Where the slide is longer than the size and `time` falls
    /// between two windows, it is after [`Grid::last_start`]: no window holds it.
    pub fn first_start(&self, time: EventTime) -> EventTime {
        let after = (time - self.size).floor_to(self.slide, self.offset);
        after + self.slide
    }

    /// End of the newest window that `time` may be in.
    pub fn last_end(&self, time: EventTime) -> EventTime {
        self.last_start(time) + self.size
    }

    /// Start of the newest window that ends at or before `time`.
    pub fn last_complete(&self, time: EventTime) -> EventTime {
        (time - self.size).floor_to(self.slide, self.offset)
    }
}
