//! What a query needs computed before its result columns: the projection, the keys, the windows, the aggregates.
//!
//! A [`Stage`] grows while the result columns are read: each asks for the aggregates and columns that it names.
//! Knows which columns a stage's results have. Must not know clauses, roles or features.

use crate::aggregates::{Aggregates, Call};
use crate::changes::Changed;
use crate::expressions::{Bound, Scope, ScopeColumn, shown_type, type_name};
use crate::labels;
use crate::last_join::{Join, member};
use crate::over::{WindowClauses, canonical, over_window};
use crate::parse::Item;
use crate::report::Refusal;
use crate::series::{self, SERIES, Steps};
use crate::syntax::place;
use crate::table_function::WINDOW_COLUMNS;
use crate::windows::{GroupWindow, Shape, WindowBound, WindowKind, group_window, window_call};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sqlparser::ast::{Expr, Function, Ident, Spanned, Visit, Visitor, WindowType};
use sqlparser::tokenizer::{Location, Span as Place};
use std::ops::ControlFlow;
use std::sync::Arc;
use weir_event::Span;
use weir_timeline::{AggregateSpec, OverFrame, ProcessSpec, storable};

/// The columns of the stream, and those that are computed from each row.
pub(crate) struct Rows<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) projected: Vec<Bound>,
}

impl Rows<'_> {
    /// The position of an expression among the projected columns; the same one is computed once.
    pub(crate) fn project(&mut self, expression: Expr, at: Location) -> Result<usize, Refusal> {
        let bound = self.bind(expression, at)?;
        let bound = bound.normalised().map_err(|message| Refusal::new(at, message))?;
        let known = self.projected.iter().position(|earlier| earlier.canonical == bound.canonical);
        Ok(known.unwrap_or_else(|| {
            self.projected.push(bound);
            self.projected.len() - 1
        }))
    }

    /// A condition over the rows.
    pub(crate) fn condition(&self, expression: Expr, clause: &str, at: Location) -> Result<Bound, Refusal> {
        let bound = self.bind(expression, at)?;
        if bound.data_type == DataType::Boolean {
            return Ok(bound);
        }
        let message =
            format!("{clause} needs a condition, not a value of type {}", type_name(&bound.data_type));
        Err(Refusal::new(at, message))
    }

    fn bind(&self, expression: Expr, at: Location) -> Result<Bound, Refusal> {
        let at = place(&expression, at);
        self.scope.bind(expression).map_err(|message| Refusal::new(at, message))
    }
}

/// A part of the key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Its expression, names resolved.
    pub(crate) expression: Expr,
    /// Its projected column.
    pub(crate) column: usize,
    pub(crate) name: String,
}

/// An aggregate of the stage.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) spec: AggregateSpec,
    /// What makes its values, but for their frame.
    pub(crate) call: String,
    /// What makes its values.
    pub(crate) canonical: String,
}

/// The windows of a stage.
#[derive(Debug, Clone)]
pub(crate) enum StageWindows {
    /// GROUP BY with a window.
    Group(GroupWindow),
    /// GROUP BY without a window.
    Lifetime,
    /// Keyed logic in FROM.
    Process(Processing),
    /// OVER; frames are added as they are met.
    Over {
        frames: Vec<OverFrame>,
        /// How far behind the row they are asked for, which is as far as they look ahead of it.
        ahead: Option<Span>,
    },
}

/// Keyed logic of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Processing {
    /// What makes its rows.
    pub(crate) canonical: String,
    pub(crate) spec: ProcessSpec,
}

impl StageWindows {
    /// What the query's text has them as.
    fn name(&self) -> &'static str {
        match self {
            StageWindows::Group(window) => window.kind.name(),
            StageWindows::Lifetime => "lifetime aggregates",
            StageWindows::Process(_) => "keyed logic",
            StageWindows::Over { .. } => "OVER",
        }
    }

    /// The keyed logic, if it is that.
    pub(crate) fn process(&self) -> Option<ProcessSpec> {
        match self {
            StageWindows::Process(processing) => Some(processing.spec.clone()),
            _ => None,
        }
    }

    /// How far the frames look ahead of the row, where they do.
    pub(crate) fn ahead(&self) -> Option<Span> {
        match self {
            StageWindows::Over { ahead, .. } => *ahead,
            StageWindows::Group(_) | StageWindows::Lifetime | StageWindows::Process(_) => None,
        }
    }
}

/// A keyed stage as it grows.
pub(crate) struct Stage<'s, 'a> {
    pub(crate) rows: &'s mut Rows<'a>,
    pub(crate) aggregates: &'s Aggregates<'a>,
    pub(crate) window_clauses: &'s WindowClauses,
    pub(crate) event_time: &'s str,
    pub(crate) windows: StageWindows,
    pub(crate) keys: Vec<Key>,
    pub(crate) computed: Vec<Computed>,
    /// Projected columns that each result row repeats from its event.
    pub(crate) carried: Vec<usize>,
    /// The table whose rows take others back, if they do.
    pub(crate) changed: Option<Changed>,
    /// The join whose rows are read, if there is one.
    pub(crate) join: Option<&'s Join>,
    /// The values of its right side's newest row that the query names, each with the aggregate that is that row.
    pub(crate) joined: Vec<(ResultColumn, Expr)>,
}

/// A column of a stage's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultColumn {
    Key(usize),
    Aggregate(usize),
    WindowStart,
    WindowEnd,
    Carried(usize),
}

impl ResultColumn {
    /// A name that no column of a stream can have: a text of YAML holds no NUL.
    pub(crate) fn name(self) -> String {
        match self {
            ResultColumn::Key(index) => format!("\0key{index}"),
            ResultColumn::Aggregate(index) => format!("\0aggregate{index}"),
            ResultColumn::WindowStart => "\0window_start".to_owned(),
            ResultColumn::WindowEnd => "\0window_end".to_owned(),
            ResultColumn::Carried(index) => format!("\0carried{index}"),
        }
    }
}

impl Stage<'_, '_> {
    /// The part of the key that an expression is.
    pub(crate) fn key_of(&self, expression: &Expr) -> Option<usize> {
        self.keys.iter().position(|key| key.expression == *expression)
    }

    /// Adds an aggregate, or finds the same one.
    pub(crate) fn aggregate(&mut self, name: &str, function: &Function) -> Result<ResultColumn, Refusal> {
        let at = function.name.span().start;
        let frame = self.frame(name, function, at)?;
        if name == SERIES {
            let (name, inner, steps) = series::read(function, &self.windows, self.aggregates)?;
            return self.call(&name, inner, frame, Some(steps));
        }
        self.call(name, function, frame, None)
    }

    fn call(
        &mut self,
        name: &str,
        function: &Function,
        frame: usize,
        steps: Option<Steps>,
    ) -> Result<ResultColumn, Refusal> {
        let call = self.aggregates.call(name, function)?;
        for part in call.arguments.iter().chain(&call.filter) {
            if let Some(inner) = first_call(part, self.aggregates) {
                let message = format!(
                    "{} is inside {}, and aggregates cannot be nested: weir 0.1 does not read \
                     another query's results yet",
                    inner.name,
                    name.to_uppercase()
                );
                return Err(Refusal::new(inner.at, message));
            }
        }
        let computed = self.bind(&call, frame, steps)?;
        let known = self.computed.iter().position(|earlier| earlier.canonical == computed.canonical);
        Ok(ResultColumn::Aggregate(known.unwrap_or_else(|| {
            self.computed.push(computed);
            self.computed.len() - 1
        })))
    }

    /// Adds the newest row of the right side of a join, once for each value that result columns name, so that no value
    /// depends on which others there are.
    pub(crate) fn join_rows(&mut self, items: &[Item]) -> Result<(), Refusal> {
        let Some(join) = self.join else { return Ok(()) };
        for value in items.iter().flat_map(|item| join.right_values(&item.expression)) {
            if self.joined.iter().all(|(_, known)| *known != value) {
                let computed = self.bind(&join.call(&value), 0, None)?;
                self.computed.push(computed);
                self.joined.push((ResultColumn::Aggregate(self.computed.len() - 1), value));
            }
        }
        Ok(())
    }

    /// A value of the right side of a join, as one of the stage's results; `None` for any other expression.
    pub(crate) fn joined(&self, expression: &Expr) -> Option<Expr> {
        let (row, _) = self.joined.iter().find(|(_, value)| value == expression)?;
        let at = expression.span().start;
        let part = |name: String| Ident::with_quote_and_span('"', Place::new(at, at), name);
        Some(Expr::CompoundIdentifier(vec![part(row.name()), part(member(0))]))
    }

    /// Whether an expression has values of the right side of a join.
    pub(crate) fn reads_joined(&self, expression: &Expr) -> bool {
        self.join.is_some_and(|join| !join.right_values(expression).is_empty())
    }

    /// The aggregate that counts the rows that are left, where some are taken back.
    pub(crate) fn present(&mut self) -> Result<Option<usize>, Refusal> {
        if self.changed.is_none() {
            return Ok(None);
        }
        let computed = self.bind(&Call::count_rows(), 0, None)?;
        let known = self.computed.iter().position(|earlier| earlier.canonical == computed.canonical);
        Ok(Some(known.unwrap_or_else(|| {
            self.computed.push(computed);
            self.computed.len() - 1
        })))
    }

    fn bind(&mut self, call: &Call, frame: usize, steps: Option<Steps>) -> Result<Computed, Refusal> {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.rows.project(argument.clone(), place(argument, call.at))?);
        }
        if self.rows_are_kept() {
            arguments.iter().try_for_each(|argument| self.kept(*argument, call.at))?;
        }
        let types: Vec<_> =
            arguments.iter().map(|argument| self.rows.projected[*argument].data_type.clone()).collect();
        let mut function = self.aggregates.bind(call, &types)?;
        if let Some(changed) = self.changed.clone() {
            function = changed.aggregate(call, function)?;
            arguments.push(self.rows.project(changed.taken_back, call.at)?);
        }
        let function = steps.map_or_else(|| function.clone(), |steps| steps.of(function.clone()));
        let filter = match &call.filter {
            Some(filter) => {
                let at = place(filter, call.at);
                self.rows.condition(filter.clone(), "FILTER", at)?;
                Some(self.rows.project(filter.clone(), at)?)
            }
            None => None,
        };
        let text = |column: usize| self.rows.projected[column].canonical.as_str();
        let call = format!(
            "{}[{}] filter[{}]",
            function.card().identity,
            arguments.iter().map(|argument| text(*argument)).collect::<Vec<_>>().join(", "),
            filter.map_or("", text),
        );
        let canonical = format!("{call} {}", self.describe_frame(frame));
        Ok(Computed {
            spec: AggregateSpec { function, arguments, filter, frame, edits: None },
            call,
            canonical,
        })
    }

    /// The frame that a call asks for.
    fn frame(&mut self, name: &str, function: &Function, at: Location) -> Result<usize, Refusal> {
        let upper = name.to_uppercase();
        match (&mut self.windows, &function.over) {
            (StageWindows::Group(_) | StageWindows::Lifetime | StageWindows::Process(_), None) => Ok(0),
            (
                windows @ (StageWindows::Group(_) | StageWindows::Lifetime | StageWindows::Process(_)),
                Some(_),
            ) => {
                let message = format!(
                    "{upper} .. OVER and {} in GROUP BY cannot be in one query; write two jobs",
                    windows.name()
                );
                Err(Refusal::new(at, message))
            }
            (StageWindows::Over { .. }, None) => {
                let message =
                    format!("{upper} has no window, other columns have OVER; write {upper}(..) OVER (..)");
                Err(Refusal::new(at, message))
            }
            (StageWindows::Over { frames, .. }, Some(over)) => {
                let frame = over_window(over, self.window_clauses, self.event_time, at)?.frame;
                Ok(frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
                    frames.push(frame);
                    frames.len() - 1
                }))
            }
        }
    }

    /// Whether rows stay with their windows, since what is made of them depends on rows that come later.
    fn rows_are_kept(&self) -> bool {
        match &self.windows {
            StageWindows::Group(window) => matches!(window.shape, Shape::Session(_)),
            StageWindows::Lifetime | StageWindows::Process(_) | StageWindows::Over { .. } => true,
        }
    }

    /// Refuses a column that rows cannot be kept with.
    fn kept(&self, column: usize, at: Location) -> Result<(), Refusal> {
        let data_type = &self.rows.projected[column].data_type;
        if storable(data_type) {
            return Ok(());
        }
        let message = format!(
            "a column of type {} cannot be kept for each row of {}; write a string, number, boolean, timestamp or bytes, such as \
             array_to_string(..) of a list",
            shown_type(data_type),
            self.windows.name()
        );
        Err(Refusal::new(at, message))
    }

    /// What a frame is, as canonical text.
    pub(crate) fn describe_frame(&self, frame: usize) -> String {
        match &self.windows {
            StageWindows::Group(window) => window.canonical(),
            StageWindows::Lifetime => "lifetime".to_owned(),
            StageWindows::Process(processing) => processing.canonical.clone(),
            StageWindows::Over { ahead: Some(ahead), .. } => labels::canonical(*ahead),
            StageWindows::Over { frames, .. } => frames.get(frame).map(canonical).unwrap_or_default(),
        }
    }

    /// Checks that a bound is the bound of this stage's window.
    pub(crate) fn bound(&self, kind: WindowKind, function: &Function) -> Result<(), Refusal> {
        let at = function.name.span().start;
        let name = function.name.to_string().to_uppercase();
        let StageWindows::Group(window) = &self.windows else {
            let message = format!("{name} needs {} in GROUP BY; add it with the same arguments", kind.name());
            return Err(Refusal::new(at, message));
        };
        let named = group_window(kind, function, self.event_time)?;
        if named.kind == window.kind && named.shape == window.shape {
            return Ok(());
        }
        let message = format!(
            "{name} is of another window ({}) than GROUP BY ({}); write the same arguments in both",
            named.describe(),
            window.describe()
        );
        Err(Refusal::new(at, message))
    }

    /// A column of the row in a result: each row of OVER repeats it from its event; a window has no one row.
    pub(crate) fn carry(&mut self, expression: Expr, at: Location) -> Result<ResultColumn, Refusal> {
        if !matches!(self.windows, StageWindows::Over { .. }) {
            if let StageWindows::Group(window) = &self.windows
                && matches!(&expression, Expr::Identifier(name) if name.value == self.event_time)
            {
                let kind = window.kind.name();
                let message = format!(
                    "a window does not have one `{}`; write {kind}_END(..) for the window's end, or MAX({})",
                    self.event_time, self.event_time
                );
                return Err(Refusal::new(at, message));
            }
            let message = format!(
                "`{}` is neither in GROUP BY nor inside an aggregate; add it to GROUP BY, which makes it a part of the key, \
                 or write LAST_VALUE({}) for its last value",
                written(&expression),
                written(&expression)
            );
            return Err(Refusal::new(at, message));
        }
        let column = self.rows.project(expression, at)?;
        self.kept(column, at)?;
        Ok(ResultColumn::Carried(self.carried.iter().position(|known| *known == column).unwrap_or_else(
            || {
                self.carried.push(column);
                self.carried.len() - 1
            },
        )))
    }

    /// The columns of the results, in their order, with the names that they have in the plan.
    pub(crate) fn result_columns(&self) -> (Vec<ScopeColumn>, SchemaRef) {
        let mut columns = Vec::new();
        let mut add = |column: ResultColumn, name: String, data_type: DataType, canonical: String| {
            columns.push((ScopeColumn { name: column.name(), data_type, canonical }, name));
        };
        let projected = |column: usize| &self.rows.projected[column];
        for (index, key) in self.keys.iter().enumerate() {
            let bound = projected(key.column);
            add(
                ResultColumn::Key(index),
                key.name.clone(),
                bound.data_type.clone(),
                format!("key[{}]", bound.canonical),
            );
        }
        for (index, computed) in self.computed.iter().enumerate() {
            let result = computed.spec.function.card().result.clone();
            let name = format!("aggregate_{index}");
            add(ResultColumn::Aggregate(index), name, result, computed.canonical.clone());
        }
        if let StageWindows::Group(_) = self.windows {
            let time = DataType::Timestamp(TimeUnit::Millisecond, None);
            for (column, name) in
                [(ResultColumn::WindowStart, "window_start"), (ResultColumn::WindowEnd, "window_end")]
            {
                let canonical = format!("{name} {}", self.describe_frame(0));
                add(column, name.to_owned(), time.clone(), canonical);
            }
        }
        for (index, column) in self.carried.iter().enumerate() {
            let bound = projected(*column);
            let name = format!("carried_{index}");
            add(ResultColumn::Carried(index), name, bound.data_type.clone(), bound.canonical.clone());
        }
        let fields = columns.iter().map(|(column, name)| Field::new(name, column.data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        (columns.into_iter().map(|(column, _)| column).collect(), schema)
    }
}

/// An expression as a message shows it: without the quotes that resolving names gave it.
pub(crate) fn written(expression: &Expr) -> String {
    expression.to_string().replace(['"', '\0'], "")
}

/// A call that only a stage can answer.
pub(crate) struct FoundCall {
    /// Its name as SQL shows it.
    pub(crate) name: String,
    pub(crate) at: Location,
    /// Its window, if it has OVER.
    pub(crate) over: Option<WindowType>,
    /// Whether it is one of the window functions of GROUP BY.
    pub(crate) is_window: bool,
}

/// The first aggregate, OVER or window function in an expression.
pub(crate) fn first_call(expression: &Expr, aggregates: &Aggregates<'_>) -> Option<FoundCall> {
    calls(expression, aggregates).into_iter().next()
}

/// All aggregates, calls with OVER and window functions in an expression.
pub(crate) fn calls(expression: &Expr, aggregates: &Aggregates<'_>) -> Vec<FoundCall> {
    struct Finder<'f> {
        aggregates: &'f Aggregates<'f>,
        found: Vec<FoundCall>,
    }
    impl Visitor for Finder<'_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
            if let Expr::Identifier(column) = expression
                && is_window_column(&column.value)
            {
                let (name, at) = (column.value.trim_start_matches('\0').to_owned(), column.span.start);
                self.found.push(FoundCall { name, at, over: None, is_window: true });
            }
            if let Expr::Function(function) = expression {
                let name = function.name.to_string();
                let is_window = window_call(&name).is_some();
                if is_window || function.over.is_some() || self.aggregates.is_aggregate(&name) {
                    let at = function.name.span().start;
                    let over = function.over.clone();
                    self.found.push(FoundCall { name: name.to_uppercase(), at, over, is_window });
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut finder = Finder { aggregates, found: Vec::new() };
    let _ = expression.visit(&mut finder);
    finder.found
}

/// What names resolve `window_time` to: the window's last millisecond.
pub(crate) const WINDOW_TIME: &str = "\0window_time";

/// Whether a resolved name is a column of a window table function.
pub(crate) fn is_window_column(name: &str) -> bool {
    name.strip_prefix('\0').is_some_and(|name| WINDOW_COLUMNS.contains(&name))
}

/// The bound of a window that a call gives, if it is one.
pub(crate) fn bound_of(name: &str) -> Option<(WindowKind, WindowBound)> {
    match window_call(name)? {
        crate::windows::WindowCall::Bound(kind, bound) => Some((kind, bound)),
        _ => None,
    }
}
