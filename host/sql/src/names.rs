//! Names: every column and function that a query names is one that there is, or the nearest one is suggested.
//!
//! After [`Names::resolve`] columns have their declared names (`rowtime` and CURRENT_TIMESTAMP are the event-time
//! column; those that a window table function adds begin with NUL), functions are in lower case, and no subquery is left. Must not know types or windows' arguments.

use crate::aggregates::{Aggregates, elsewhere, read_rows};
use crate::expressions::{Found, Functions};
use crate::parse::{Item, single_name};
use crate::report::Refusal;
use crate::table_function::WINDOW_COLUMNS;
use crate::windows;
use sqlparser::ast::{
    DataType, Expr, Function, FunctionArguments, Ident, ObjectName, Spanned, TimezoneInfo, Value, VisitMut,
    VisitorMut,
};
use sqlparser::tokenizer::{Location, Span};
use std::ops::ControlFlow;
use weir_plan::{Catalog, StreamDefinition};

/// What a query may name.
pub(crate) struct Names<'a> {
    pub(crate) stream: &'a StreamDefinition,
    /// What columns may be qualified with.
    pub(crate) qualifier: &'a str,
    pub(crate) functions: &'a Functions<'a>,
    pub(crate) aggregates: &'a Aggregates<'a>,
    pub(crate) catalog: &'a dyn Catalog,
    /// Whether FROM is a window table function, which adds columns to the stream's.
    pub(crate) has_window_columns: bool,
    /// The result columns, for those who name one where only a stream's column can stand.
    pub(crate) items: &'a [Item],
}

impl Names<'_> {
    /// Resolves the names in a part of the query.
    pub(crate) fn resolve(&self, part: &mut impl VisitMut) -> Vec<Refusal> {
        let mut resolver = Resolver { names: self, refusals: Vec::new() };
        let _ = part.visit(&mut resolver);
        resolver.refusals
    }

    fn event_time(&self) -> &str {
        let schema = &self.stream.schema;
        schema.fields.get(schema.event_time).map_or("rowtime", |field| &field.name)
    }

    fn column(&self, name: &Ident) -> Result<Ident, Refusal> {
        if self.has_window_columns && WINDOW_COLUMNS.contains(&name.value.as_str()) {
            return Ok(Ident::with_quote_and_span('"', name.span, format!("\0{}", name.value)));
        }
        let schema = &self.stream.schema;
        match schema.index_of(&name.value).and_then(|index| schema.fields.get(index)) {
            Some(field) => Ok(Ident::with_quote_and_span('"', name.span, &field.name)),
            None => Err(Refusal::new(name.span.start, self.unknown_column(&name.value))),
        }
    }

    fn unknown_column(&self, name: &str) -> String {
        let fields = &self.stream.schema.fields;
        let stream = &self.stream.name;
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
        let known = fields.iter().map(|field| field.name.as_str()).chain(["rowtime"]);
        match nearest(name, known) {
            Some(near) if near.eq_ignore_ascii_case(name) => {
                format!("`{stream}` has no column `{name}`; names are case-sensitive, write `{near}`")
            }
            Some(near) => format!("`{stream}` has no column `{name}`; did you mean `{near}`?"),
            None => {
                let columns: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
                format!("`{stream}` has no column `{name}`; its columns are {}", columns.join(", "))
            }
        }
    }

    /// `t.column`, `column.member` or `t.column.member`.
    fn compound(&self, parts: &[Ident]) -> Result<Expr, Refusal> {
        let qualified = parts.len() > 1
            && parts[0].value == self.qualifier
            && self.stream.schema.index_of(&parts[0].value).is_none();
        let parts = if qualified { &parts[1..] } else { parts };
        let [first, members @ ..] = parts else {
            return Err(Refusal::new(Location { line: 0, column: 0 }, "a column's name is missing"));
        };
        let column = self.column(first)?;
        let field = self.stream.schema.fields.iter().find(|field| field.name == column.value);
        let is_row = field.is_some_and(|field| matches!(field.data_type, weir_event::DataType::Row(_)));
        match (members, is_row) {
            ([], _) => Ok(Expr::Identifier(column)),
            (_, true) => {
                Ok(Expr::CompoundIdentifier(std::iter::once(column).chain(members.iter().cloned()).collect()))
            }
            _ => {
                let message =
                    format!("`{}` is not a row, it has no member `{}`", column.value, members[0].value);
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
        if let Some(instead) = elsewhere(name) {
            let message = format!("{} is not available; {instead}", name.to_uppercase());
            return Err(Refusal::new(at, message));
        }
        Err(Refusal::new(at, self.unknown_function(name)))
    }

    fn unknown_function(&self, name: &str) -> String {
        let aggregates = self.aggregates.names().into_iter().map(|name| name.to_lowercase());
        let plugins = self.catalog.aggregate_names();
        let known: Vec<String> =
            self.functions.names().into_iter().chain(aggregates).chain(plugins).collect();
        if let Some(how) = self.catalog.unseen(name) {
            return format!("there is no function `{name}`: {how}");
        }
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
            None => format!("there is no function `{name}`; a plugin can bring one"),
        }
    }
}

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
}

impl Resolver<'_> {
    fn expression(&mut self, expression: &mut Expr) -> Result<(), Refusal> {
        let at = expression.span().start;
        match expression {
            Expr::Identifier(name) => *name = self.names.column(name)?,
            Expr::CompoundIdentifier(parts) => *expression = self.names.compound(parts)?,
            Expr::Function(function) => {
                let name = single_name(&function.name)
                    .ok_or_else(|| Refusal::new(at, format!("there is no function `{}`", function.name)))?
                    .to_lowercase();
                if name == "current_timestamp" {
                    let span = Span::new(at, at);
                    *expression =
                        Expr::Identifier(Ident::with_quote_and_span('"', span, self.names.event_time()));
                    return Ok(());
                }
                let span = function.name.span();
                function.name = ObjectName::from(vec![Ident::with_span(span, &name)]);
                if self.names.aggregates.is_aggregate(&name) {
                    read_rows(function);
                }
                return self.names.function(function, &name);
            }
            Expr::Cast { data_type, .. } => in_milliseconds(data_type),
            Expr::TypedString(typed) => in_milliseconds(&mut typed.data_type),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                return Err(Refusal::new(
                    at,
                    "subqueries are not available; make the inner query a job of its own",
                ));
            }
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                return Err(Refusal::new(at, "`*` stands only in COUNT(*); write the column's name"));
            }
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                return Err(Refusal::new(at, "a query of a job has no parameters; write the value"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Times are whole milliseconds in weir; the library's own default is nanoseconds, which end in 2262.
fn in_milliseconds(data_type: &mut DataType) {
    if let DataType::Timestamp(digits @ None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) = data_type
    {
        *digits = Some(3);
    }
}

/// The known name that is nearest to a misspelt one, if it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let farthest = name.chars().count().div_ceil(3);
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min()
        .map(|(_, candidate)| candidate)
}
