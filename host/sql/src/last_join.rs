//! `a LAST JOIN b ON a.x = b.y [WITHIN INTERVAL '7' DAY]`: each row of the left side with the newest row of the right one
//! as of the row's time.
//!
//! There is no join operator. The rows of both sides are one table, keyed by what ON compares; the right side's columns
//! are what an aggregate over its rows says in an OVER frame that ends at the row, and only rows of the left side have
//! results. So lookups, late rows and replays agree by construction.
//!
//! Knows what names mean over both sides, and the aggregate. Must not know how streams are read.

use crate::aggregates::{Aggregates, Call};
use crate::grouping::Grouping;
use crate::parse::Parsed;
use crate::report::{Refusal, Report, START};
use crate::stage::{StageWindows, calls};
use crate::syntax::place;
use sqlparser::ast::{Expr, Ident, Visit, VisitMut, Visitor, VisitorMut};
use sqlparser::tokenizer::{Location, Span as Place};
use std::ops::ControlFlow;
use weir_event::Span;
use weir_event::suggestion::nearest;
use weir_timeline::OverFrame;

/// The column that says whether a row is of the right side.
pub(crate) const IS_RIGHT: &str = "\0right";

/// The aggregate that is the newest row of the right side.
const NEWEST: &str = "last_value";

/// Of a join without WITHIN, whose frame has no old end that a tail could move: rows that have become old are folded into
/// steps of this length, and these into one tile of all that is older, so that a key keeps little for ever.
const STEP: Span = Span::from_millis(3_600_000);

/// A join, its sides known.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) at: Location,
    pub(crate) left: Side,
    pub(crate) right: Side,
    /// The table's columns that are the key: what ON compares, as the left side calls it.
    pub(crate) keys: Vec<String>,
    /// How many inputs the left side has; those of the right one follow.
    pub(crate) left_inputs: u16,
    /// How much older than the left row the right one may be.
    pub(crate) within: Option<Span>,
}

/// One side.
#[derive(Debug)]
pub(crate) struct Side {
    /// What its columns may be qualified with.
    pub(crate) qualifier: String,
    pub(crate) columns: Vec<String>,
    /// Its column of the event time.
    pub(crate) event_time: String,
}

impl Side {
    /// The side's own name of a column.
    pub(crate) fn own(&self, name: &str) -> Option<&str> {
        let declared = self.columns.iter().find(|known| *known == name).map(String::as_str);
        declared.or((name == "rowtime").then_some(self.event_time.as_str()))
    }

    /// Whether it has a column of this name; `rowtime` by itself is the left side's.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|known| known == name)
    }
}

/// What the table calls a column of the right side.
pub(crate) fn right_name(qualifier: &str, column: &str) -> String {
    format!("{qualifier}.{column}")
}

impl Join {
    /// What the table calls the right side's columns.
    fn is_right(&self, name: &str) -> bool {
        let own = name.strip_prefix(self.right.qualifier.as_str()).and_then(|rest| rest.strip_prefix('.'));
        own.is_some_and(|own| self.right.has(own))
    }

    /// The step of its tail, where it needs one.
    pub(crate) fn tail(&self) -> Option<Span> {
        self.within.is_none().then_some(STEP)
    }

    /// Whether an expression is a column of the right side, or a member of one.
    pub(crate) fn is_right_value(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Identifier(name) => self.is_right(&name.value),
            Expr::CompoundIdentifier(path) => path.first().is_some_and(|name| self.is_right(&name.value)),
            _ => false,
        }
    }

    /// The values of the right side in an expression, each once.
    pub(crate) fn right_values(&self, expression: &Expr) -> Vec<Expr> {
        struct Finder<'f>(&'f Join, Vec<Expr>);
        impl Visitor for Finder<'_> {
            type Break = ();
            fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
                if self.0.is_right_value(expression) && !self.1.contains(expression) {
                    self.1.push(expression.clone());
                }
                ControlFlow::Continue(())
            }
        }
        let mut finder = Finder(self, Vec::new());
        let _ = expression.visit(&mut finder);
        finder.1
    }

    /// Gives columns the names that they have in the table of both sides.
    pub(crate) fn rename(&self, parsed: &mut Parsed, report: &mut Report<'_>) {
        let mut renaming = Renaming { join: self, refusals: Vec::new() };
        for item in &mut parsed.items {
            let _ = VisitMut::visit(&mut item.expression, &mut renaming);
        }
        let _ = VisitMut::visit(&mut parsed.filter, &mut renaming);
        report.refuse_all(renaming.refusals);
    }

    /// The grouping of the query that joins, which computes of each row of the left side alone.
    pub(crate) fn grouping(
        &self,
        parsed: &Parsed,
        aggregates: &Aggregates<'_>,
        report: &mut Report<'_>,
    ) -> Option<Grouping> {
        let refused = self.refused(parsed, aggregates);
        if !refused.is_empty() {
            report.refuse_all(refused);
            return None;
        }
        let frame = OverFrame::range(self.within);
        let key = |name: &String| (column(name, self.at), self.at);
        let windows = StageWindows::Over { frames: vec![frame], ahead: None };
        Some(Grouping { windows, keys: self.keys.iter().map(key).collect() })
    }

    fn refused(&self, parsed: &Parsed, aggregates: &Aggregates<'_>) -> Vec<Refusal> {
        let mut refused = Vec::new();
        let call =
            parsed.items.iter().find_map(|item| calls(&item.expression, aggregates).into_iter().next());
        let clause = parsed.group_by.first().or(parsed.having.as_ref()).map(|clause| place(clause, self.at));
        let function = parsed.table_function.as_ref().map(|function| function.window.at);
        if let Some(at) = call.map(|call| call.at).or(clause).or(function) {
            let message = "a query with LAST JOIN computes of each row alone: weir 0.1 does not have windows and aggregates \
                           over joined rows yet; let this job write to a Kafka topic that has a stream of its own, and \
                           aggregate that in another job";
            refused.push(Refusal::new(at, message));
        }
        if let Some(filter) = &parsed.filter
            && let Some(value) = self.right_values(filter).first()
        {
            let message = format!(
                "WHERE sees rows of `{}` before they are joined; leave `{}` out of it, and filter `{}` in a query inside FROM, \
                 as in LAST JOIN (SELECT .. FROM .. WHERE ..) AS {}",
                self.left.qualifier,
                crate::stage::written(value),
                self.right.qualifier,
                self.right.qualifier
            );
            refused.push(Refusal::new(place(value, START), message));
        }
        if parsed.items.iter().all(|item| self.right_values(&item.expression).is_empty()) {
            let message = format!(
                "the query names no column of `{}`; add one to SELECT, or leave LAST JOIN out",
                self.right.qualifier
            );
            refused.push(Refusal::new(self.at, message));
        }
        refused
    }

    /// The call that is the newest row of the right side, of which this value is wanted. That the row is there makes it not
    /// null, whatever the value is.
    pub(crate) fn call(&self, value: &Expr) -> Call {
        let is_right = column(IS_RIGHT, self.at);
        let arguments = vec![value.clone(), is_right.clone()];
        Call {
            name: NEWEST.to_owned(),
            distinct: false,
            names: (0..arguments.len()).map(member).collect(),
            arguments,
            parameters: Vec::new(),
            filter: Some(is_right),
            at: self.at,
        }
    }
}

/// What a value is called in the newest row of the right side.
pub(crate) fn member(index: usize) -> String {
    format!("v{index}")
}

pub(crate) fn column(name: &str, at: Location) -> Expr {
    Expr::Identifier(Ident::with_quote_and_span('"', Place::new(at, at), name))
}

struct Renaming<'j> {
    join: &'j Join,
    refusals: Vec<Refusal>,
}

impl VisitorMut for Renaming<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let path = match expression {
            Expr::Identifier(name) => vec![name.clone()],
            Expr::CompoundIdentifier(path) => path.clone(),
            _ => return ControlFlow::Continue(()),
        };
        match self.path(path) {
            Ok(mut path) if path.len() == 1 => *expression = Expr::Identifier(path.remove(0)),
            Ok(path) => *expression = Expr::CompoundIdentifier(path),
            Err(refusal) => self.refusals.push(refusal),
        }
        ControlFlow::Continue(())
    }
}

impl Renaming<'_> {
    fn path(&self, path: Vec<Ident>) -> Result<Vec<Ident>, Refusal> {
        let Join { left, right, .. } = self.join;
        let Some((first, rest)) = path.split_first() else { return Ok(path) };
        if first.value.starts_with('\0') {
            return Ok(path);
        }
        if let Some((second, members)) = rest.split_first() {
            if first.value == left.qualifier {
                self.known(left, second)?;
                return Ok(rest.to_vec());
            }
            if first.value == right.qualifier {
                let own = self.known(right, second)?;
                let name = Ident { value: right_name(&right.qualifier, own), ..first.clone() };
                return Ok([&[name], members].concat());
            }
        }
        match (left.has(&first.value), right.has(&first.value)) {
            (true, true) => {
                let message = format!(
                    "`{0}` is a column of both sides; write {1}.{0} or {2}.{0}",
                    first.value, left.qualifier, right.qualifier
                );
                Err(Refusal::new(first.span.start, message))
            }
            (false, true) => {
                let name = Ident { value: right_name(&right.qualifier, &first.value), ..first.clone() };
                Ok([&[name], rest].concat())
            }
            _ => Ok(path),
        }
    }

    fn known<'s>(&self, side: &'s Side, name: &Ident) -> Result<&'s str, Refusal> {
        side.own(&name.value).ok_or_else(|| unknown(side, name))
    }
}

pub(crate) fn unknown(side: &Side, name: &Ident) -> Refusal {
    let columns = side.columns.iter().map(String::as_str).filter(|column| !column.starts_with('\0'));
    let instead = match nearest(&name.value, columns.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its columns are {}", columns.collect::<Vec<_>>().join(", ")),
    };
    Refusal::new(name.span.start, format!("`{}` has no column `{}`; {instead}", side.qualifier, name.value))
}
