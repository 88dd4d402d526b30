//! Names: every column and function that a query names is one that there is, or the nearest one is suggested.
//!
//! After [`Names::resolve`] columns have their declared names (`rowtime` and CURRENT_TIMESTAMP are the event-time
//! column; those that a window table function adds begin with NUL), functions are in lower case, and no subquery is left. Must not know types or windows' arguments.

use crate::aggregates::{Aggregates, join_columns, read_rows, set_columns_apart};
use crate::elsewhere::elsewhere;
use crate::expressions::{Found, Functions};
use crate::parse::Item;
use crate::report::Refusal;
use crate::spellings::{TOLD, respell};
use crate::syntax::{EVENT_TIME, event_time, single_name};
use crate::table_function::WINDOW_COLUMNS;
use crate::views::{Extent, PARTS_LIMIT};
use crate::windows;
use sqlparser::ast::{
    DataType as SqlType, ExactNumberInfo, Expr, Function, FunctionArguments, Ident, ObjectName, Spanned,
    TimezoneInfo, Value, VisitMut, VisitorMut,
};
use sqlparser::tokenizer::{Location, Span};
use std::cell::Cell;
use std::ops::ControlFlow;
use weir_event::suggestion::nearest;
use weir_event::{DataType, StreamSchema};
use weir_plan::Catalog;

/// What a query may name.
pub(crate) struct Names<'a> {
    /// The name of what FROM reads in the end, a stream or several as one, and its columns.
    pub(crate) table: &'a str,
    pub(crate) schema: &'a StreamSchema,
    /// The query inside FROM that is read, if it is not the stream itself.
    pub(crate) view: Option<&'a ResolvedView>,
    /// How many parts the columns of such queries may still grow to.
    pub(crate) parts_left: &'a Cell<usize>,
    /// What columns may be qualified with.
    pub(crate) qualifier: &'a str,
    pub(crate) functions: &'a Functions<'a>,
    pub(crate) aggregates: &'a Aggregates<'a>,
    pub(crate) catalog: &'a dyn Catalog,
    /// Whether FROM is a window table function, which adds columns to the stream's.
    pub(crate) has_window_columns: bool,
    /// The result columns, for those who name one where only a stream's column can stand.
    pub(crate) items: &'a [Item],
    /// What is said of a column that is not known, where it is not a stream's that is meant.
    pub(crate) unknown: Option<&'a dyn Fn(&str) -> String>,
}

/// A column that grows without end where it is written out.
pub(crate) fn too_large(at: Location) -> Refusal {
    let message = format!(
        "the columns of the queries inside FROM, written out, have more than {PARTS_LIMIT} parts or are nested too deep; \
         compute less in them"
    );
    Refusal::new(at, message)
}

/// A query inside FROM, its names resolved.
#[derive(Debug)]
pub(crate) struct ResolvedView {
    pub(crate) name: String,
    /// What each of its columns is, over the stream.
    pub(crate) columns: Vec<(String, Expr)>,
    /// Whether it has all columns of what it reads, which is another query or the stream.
    pub(crate) has_all: bool,
    pub(crate) reads: Option<Box<ResolvedView>>,
}

impl ResolvedView {
    fn column(&self, name: &str, schema: &StreamSchema, place: Span) -> Option<Expr> {
        let own = self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column.clone());
        let is_time = |(_, column): &&(String, Expr)| {
            let time = schema.fields.get(schema.event_time);
            matches!((column, time), (Expr::Identifier(column), Some(time)) if column.value == time.name)
        };
        own.or_else(|| {
            // `rowtime` is the event time under every name.
            let time = self.columns.iter().find(is_time).filter(|_| name == "rowtime");
            time.map(|(_, column)| column.clone())
        })
        .or_else(|| self.has_all.then(|| column_of(self.reads.as_deref(), name, schema, place)).flatten())
    }

    fn names(&self, schema: &StreamSchema) -> Vec<String> {
        let own = self.columns.iter().map(|(name, _)| name.clone());
        let inherited = if self.has_all { names_of(self.reads.as_deref(), schema) } else { Vec::new() };
        own.chain(inherited).collect()
    }
}

/// A column of a query inside FROM or, without one, of the stream.
fn column_of(view: Option<&ResolvedView>, name: &str, schema: &StreamSchema, place: Span) -> Option<Expr> {
    if let Some(view) = view {
        return view.column(name, schema, place);
    }
    let field = schema.index_of(name).and_then(|index| schema.fields.get(index))?;
    Some(Expr::Identifier(Ident::with_quote_and_span('"', place, &field.name)))
}

fn names_of(view: Option<&ResolvedView>, schema: &StreamSchema) -> Vec<String> {
    match view {
        Some(view) => view.names(schema),
        // What begins with NUL is the event time that nobody has named.
        None => schema
            .fields
            .iter()
            .map(|field| field.name.clone())
            .filter(|name| !name.starts_with('\0'))
            .collect(),
    }
}

impl Names<'_> {
    /// Resolves the names in a part of the query.
    pub(crate) fn resolve(&self, part: &mut impl VisitMut) -> Vec<Refusal> {
        let mut resolver = Resolver { names: self, refusals: Vec::new() };
        let _ = part.visit(&mut resolver);
        resolver.refusals
    }

    /// A column of what FROM reads, if it has one of this name.
    pub(crate) fn inherited(&self, name: &str) -> Option<Expr> {
        column_of(self.view, name, self.schema, Span::empty())
    }

    fn column(&self, name: &Ident) -> Result<Expr, Refusal> {
        if name.value == EVENT_TIME {
            let own = column_of(None, "rowtime", self.schema, name.span);
            return own.ok_or_else(|| Refusal::new(name.span.start, self.unknown_column("rowtime")));
        }
        if self.has_window_columns && WINDOW_COLUMNS.contains(&name.value.as_str()) {
            let resolved = Ident::with_quote_and_span('"', name.span, format!("\0{}", name.value));
            return Ok(Expr::Identifier(resolved));
        }
        let column = column_of(self.view, &name.value, self.schema, name.span)
            .ok_or_else(|| Refusal::new(name.span.start, self.unknown_name(name)))?;
        let parts = if self.view.is_some() { Extent::of(&column).parts } else { 0 };
        let left = self.parts_left.get().checked_sub(parts).ok_or_else(|| too_large(name.span.start))?;
        self.parts_left.set(left);
        Ok(column)
    }

    /// A name in double quotes may be meant as a text, which other engines write so.
    fn unknown_name(&self, name: &Ident) -> String {
        let message = self.unknown_column(&name.value);
        if name.quote_style != Some('"') {
            return message;
        }
        let text = name.value.replace('\'', "''");
        format!("{message} (names stand in double quotes, and texts in single ones: '{text}')")
    }

    fn unknown_column(&self, name: &str) -> String {
        if let Some(unknown) = self.unknown {
            return unknown(name);
        }
        let stream = self.view.map_or(self.table, |view| &view.name);
        if self.items.iter().any(|item| item.is_named && item.name == name) {
            return format!(
                "`{name}` is a result column of this query, not a column of `{stream}`; write its expression here"
            );
        }
        if WINDOW_COLUMNS.contains(&name) {
            return format!(
                "`{name}` is not a column of `{stream}`; for a bound of the window write TUMBLE_START(..), \
                 TUMBLE_END(..) or HOP_END(..) with the window's arguments, or FROM TABLE(TUMBLE(TABLE {stream}, ..))"
            );
        }
        let columns = names_of(self.view, self.schema);
        if let Some(view) = self.view
            && (name == "rowtime" || column_of(None, name, self.schema, Span::empty()).is_some())
        {
            return format!("`{stream}` has no column `{name}`; add it to the SELECT of `{}`", view.name);
        }
        let is_stream = self.view.is_none();
        match nearest(name, columns.iter().map(String::as_str).chain(is_stream.then_some("rowtime"))) {
            Some(near) if near.eq_ignore_ascii_case(name) => {
                format!("`{stream}` has no column `{name}`; names are case-sensitive: write `{near}`")
            }
            Some(near) => format!("`{stream}` has no column `{name}`; did you mean `{near}`?"),
            None => format!("`{stream}` has no column `{name}`; its columns are {}", columns.join(", ")),
        }
    }

    /// `t.column`, `column.member` or `t.column.member`.
    fn compound(&self, parts: &[Ident]) -> Result<Expr, Refusal> {
        let has_column = |name: &Ident| column_of(self.view, &name.value, self.schema, name.span).is_some();
        let qualified = parts.len() > 1 && parts[0].value == self.qualifier && !has_column(&parts[0]);
        let parts = if qualified { &parts[1..] } else { parts };
        let [first, members @ ..] = parts else {
            return Err(Refusal::new(Location { line: 0, column: 0 }, "a column's name is missing"));
        };
        let column = self.column(first)?;
        if members.is_empty() {
            return Ok(column);
        }
        let mut path = match column {
            Expr::Identifier(name) => vec![name],
            Expr::CompoundIdentifier(path) => path,
            _ => Vec::new(),
        };
        let field =
            path.first().and_then(|name| self.schema.fields.iter().find(|field| field.name == name.value));
        match field.map(|field| &field.data_type) {
            Some(DataType::Row(_)) => {
                path.extend(members.iter().cloned());
                Ok(Expr::CompoundIdentifier(path))
            }
            Some(DataType::Map(..)) => {
                let (map, key) = (&first.value, &members[0].value);
                Err(Refusal::new(first.span.start, format!("`{map}` is a map; write {map}['{key}']")))
            }
            Some(DataType::Json) => {
                let (json, member) = (&first.value, &members[0].value);
                let message = format!(
                    "`{json}` is JSON; write JSON_VALUE({json}, '$.{member}') or {json} ->> '{member}'"
                );
                Err(Refusal::new(first.span.start, message))
            }
            _ => {
                let message =
                    format!("`{}` is not a row, it has no member `{}`", first.value, members[0].value);
                Err(Refusal::new(first.span.start, message))
            }
        }
    }

    fn function(&self, function: &Function, name: &str) -> Result<(), Refusal> {
        let at = function.name.span().start;
        // The expression library has a function of this name.
        if name == "row" {
            let message = "ROW stands as an argument of an aggregate, such as LAST_N(5, ROW(a, b)); write the columns \
                           by themselves";
            return Err(Refusal::new(at, message));
        }
        if windows::is_window_function(name)
            || self.aggregates.is_aggregate(name)
            || matches!(self.functions.find(name), Found::Library | Found::Plugin)
        {
            return match &function.args {
                FunctionArguments::Subquery(_) => Err(Refusal::new(at, "a subquery cannot be an argument")),
                _ => Ok(()),
            };
        }
        if is_volatile(name) || self.functions.find(name) == Found::Volatile {
            let message = format!(
                "`{name}` differs from call to call, so a replay would make other features; for the row's event time \
                 write rowtime or CURRENT_TIMESTAMP, for a stable pseudo-random value a hash of a column, such as \
                 md5(..)"
            );
            return Err(Refusal::new(at, message));
        }
        if let Some(instead) = elsewhere(name, function) {
            let message = format!("{} is not available; {instead}", name.to_uppercase());
            return Err(Refusal::new(at, message));
        }
        Err(Refusal::new(at, self.unknown_function(name)))
    }

    fn unknown_function(&self, name: &str) -> String {
        let aggregates = self.aggregates.names().into_iter().map(|name| name.to_lowercase());
        let plugins = self.catalog.functions().aggregate_names();
        let respelt = TOLD.iter().map(|(name, ..)| *name).chain(WINDOWS).map(str::to_owned);
        let known: Vec<String> =
            self.functions.names().into_iter().chain(respelt).chain(aggregates).chain(plugins).collect();
        if let Some(how) = self.catalog.unseen(name) {
            return format!("function `{name}` not found: {how}");
        }
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("function `{name}` not found; did you mean `{near}`?"),
            None => format!("function `{name}` not found; a plugin can bring one"),
        }
    }
}

/// What makes windows in GROUP BY, as it may be misspelt.
const WINDOWS: [&str; 4] = ["tumble", "hop", "cumulate", "session"];

/// Functions of other databases that give the time of day, beyond those that the library has.
fn is_volatile(name: &str) -> bool {
    matches!(
        name,
        "rand"
            | "rand_integer"
            | "current_timestamp"
            | "localtime"
            | "localtimestamp"
            | "current_row_timestamp"
            | "unix_timestamp"
            | "proctime"
            | "sysdate"
    )
}

struct Resolver<'a> {
    names: &'a Names<'a>,
    refusals: Vec<Refusal>,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Err(refusal) = self.expression(expression) {
            self.refusals.push(refusal);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let resolved = match expression {
            Expr::Function(function) => {
                let name = single_name(&function.name);
                if name.is_some_and(|name| self.names.aggregates.is_aggregate(&name.to_lowercase())) {
                    join_columns(function);
                }
                return ControlFlow::Continue(());
            }
            Expr::Identifier(name) => self.names.column(name),
            Expr::CompoundIdentifier(parts) => self.names.compound(parts),
            _ => return ControlFlow::Continue(()),
        };
        match resolved {
            Ok(resolved) => *expression = resolved,
            Err(refusal) => self.refusals.push(refusal),
        }
        ControlFlow::Continue(())
    }
}

impl Resolver<'_> {
    fn expression(&mut self, expression: &mut Expr) -> Result<(), Refusal> {
        respell(expression)?;
        let at = expression.span().start;
        match expression {
            Expr::Function(function) => {
                let name = single_name(&function.name)
                    .ok_or_else(|| Refusal::new(at, format!("function `{}` not found", function.name)))?
                    .to_lowercase();
                if name == "current_timestamp" {
                    *expression = event_time(at);
                    return Ok(());
                }
                let span = function.name.span();
                function.name = ObjectName::from(vec![Ident::with_span(span, &name)]);
                if self.names.aggregates.is_aggregate(&name) {
                    read_rows(function);
                    set_columns_apart(function);
                }
                return self.names.function(function, &name);
            }
            Expr::Cast { data_type, .. } => spelled_out(data_type),
            Expr::TypedString(typed) => spelled_out(&mut typed.data_type),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                return Err(Refusal::new(
                    at,
                    "a subquery cannot be used in an expression; write a job for each query, one lookup can ask several jobs",
                ));
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                return Err(Refusal::new(at, "`*` is for COUNT(*) only; write the column's name"));
            }
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                return Err(Refusal::new(at, "a query of a job has no parameters; write the value"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Writes out what a type leaves open. Times are whole milliseconds in weir; the library's own default is nanoseconds,
/// which end in 2262. A bare DECIMAL has ten digits and none after the point, as in Flink.
fn spelled_out(data_type: &mut SqlType) {
    match data_type {
        SqlType::Timestamp(digits @ None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            *digits = Some(3);
        }
        SqlType::Decimal(digits @ ExactNumberInfo::None)
        | SqlType::Numeric(digits @ ExactNumberInfo::None)
        | SqlType::Dec(digits @ ExactNumberInfo::None) => {
            *digits = ExactNumberInfo::PrecisionAndScale(10, 0);
        }
        _ => {}
    }
}
