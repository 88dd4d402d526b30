//! Result columns: what each needs from the stage, and its expression over the stage's results.
//!
//! Knows how the tree of a result column falls apart into aggregates, keys, bounds of windows and columns of the
//! row. Must not know clauses or features.

use crate::labels;
use crate::report::Refusal;
use crate::stage::{ResultColumn, Stage, WINDOW_TIME, bound_of, calls, is_window_column};
use crate::syntax::place;
use crate::windows::{WindowBound, WindowCall, window_call};
use sqlparser::ast::{
    BinaryOperator, DateTimeField, Expr, Function, Ident, Interval, Spanned, Value, Visit, VisitMut, Visitor,
    VisitorMut,
};
use sqlparser::tokenizer::{Location, Span};
use std::ops::ControlFlow;
use weir_plan::ColumnRole;

/// A result column over the stage's results.
#[derive(Debug)]
pub(crate) struct ResultExpression {
    pub(crate) expression: Expr,
    pub(crate) role: ColumnRole,
}

/// Which kinds of the stage's columns an expression reads.
#[derive(Debug, Default, Clone, Copy)]
struct Uses {
    keys: bool,
    aggregates: bool,
    bounds: bool,
    carried: bool,
}

/// Takes a result column, or HAVING, apart.
pub(crate) fn result_expression(
    stage: &mut Stage<'_, '_>,
    mut expression: Expr,
    at: Location,
) -> Result<ResultExpression, Vec<Refusal>> {
    let key = stage.key_of(&expression);
    let reads_joined = stage.reads_joined(&expression);
    let is_column = is_column(&expression) && !reads_joined;
    let carries_whole = key.is_none()
        && !reads_joined
        && matches!(stage.windows, crate::stage::StageWindows::Over { .. })
        && calls(&expression, stage.aggregates).is_empty()
        && reads_row(&expression, stage);
    let mut extraction = Extraction { stage, at, uses: Uses::default(), refusals: Vec::new() };
    if carries_whole {
        // Computed once with the row, so that a row on which it fails is a dead letter before it counts.
        extraction.replace_by_row(&mut expression);
    } else {
        let _ = VisitMut::visit(&mut expression, &mut extraction);
    }
    let Extraction { uses, refusals, .. } = extraction;
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let only_bounds = uses.bounds && !(uses.keys || uses.aggregates || uses.carried);
    let role = match key {
        Some(key) => ColumnRole::Key(key),
        None if is_column => ColumnRole::Plain,
        None if only_bounds => ColumnRole::WindowBound,
        None if uses.carried && stage.windows.ahead().is_some() => return Err(vec![labels::of_row(at)]),
        None => ColumnRole::Feature,
    };
    Ok(ResultExpression { expression, role })
}

/// Whether an expression is a column, or a member of one.
pub(crate) fn is_column(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_column(inner),
        Expr::Identifier(name) => !name.value.starts_with('\0'),
        other => matches!(other, Expr::CompoundIdentifier(_)),
    }
}

/// Whether an expression reads a column of the row outside of the key.
fn reads_row(expression: &Expr, stage: &Stage<'_, '_>) -> bool {
    struct Columns<'c, 's, 'a> {
        stage: &'c Stage<'s, 'a>,
    }
    impl Visitor for Columns<'_, '_, '_> {
        type Break = ();
        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
            if is_column(expression) && self.stage.key_of(expression).is_none() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    Visit::visit(expression, &mut Columns { stage }).is_break()
}

struct Extraction<'e, 's, 'a> {
    stage: &'e mut Stage<'s, 'a>,
    at: Location,
    uses: Uses,
    refusals: Vec<Refusal>,
}

impl VisitorMut for Extraction<'_, '_, '_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Err(refusal) = self.expression(expression) {
            self.refusals.push(refusal);
            // Nothing below it is worth another message.
            *expression = Expr::Value(Value::Null.into());
        }
        ControlFlow::Continue(())
    }
}

impl Extraction<'_, '_, '_> {
    fn expression(&mut self, expression: &mut Expr) -> Result<(), Refusal> {
        if let Some(key) = self.stage.key_of(expression) {
            *expression = column(ResultColumn::Key(key), place(expression, self.at));
            self.uses.keys = true;
            return Ok(());
        }
        if let Some(joined) = self.stage.joined(expression) {
            *expression = joined;
            self.uses.aggregates = true;
            return Ok(());
        }
        match expression {
            Expr::Function(function) => {
                if let Some(replacement) = self.function(function)? {
                    *expression = replacement;
                }
            }
            // A column of a window table function, or what this walk itself has put in.
            Expr::Identifier(name) if name.value.starts_with('\0') => {
                let at = name.span.start;
                self.uses.bounds |= is_window_column(&name.value);
                if name.value == WINDOW_TIME {
                    *expression = before(column(ResultColumn::WindowEnd, at));
                }
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.replace_by_row(expression),
            _ => {}
        }
        Ok(())
    }

    fn replace_by_row(&mut self, expression: &mut Expr) {
        let at = place(expression, self.at);
        match self.stage.carry(expression.clone(), at) {
            Ok(carried) => {
                self.uses.carried = true;
                *expression = column(carried, at);
            }
            Err(refusal) => {
                self.refusals.push(refusal);
                *expression = Expr::Value(Value::Null.into());
            }
        }
    }

    fn function(&mut self, function: &Function) -> Result<Option<Expr>, Refusal> {
        let name = function.name.to_string();
        let at = function.name.span().start;
        if let Some((kind, bound)) = bound_of(&name) {
            self.stage.bound(kind, function)?;
            self.uses.bounds = true;
            return Ok(Some(match bound {
                WindowBound::Start => column(ResultColumn::WindowStart, at),
                WindowBound::End => column(ResultColumn::WindowEnd, at),
                WindowBound::Rowtime => before(column(ResultColumn::WindowEnd, at)),
            }));
        }
        match window_call(&name) {
            Some(WindowCall::Refused(message)) => return Err(Refusal::new(at, message)),
            Some(_) => {
                let upper = name.to_uppercase();
                let message =
                    format!("{upper} belongs in GROUP BY; as a column write {upper}_START or {upper}_END");
                return Err(Refusal::new(at, message));
            }
            None => {}
        }
        if self.stage.aggregates.is_aggregate(&name) {
            let aggregate = self.stage.aggregate(&name, function)?;
            self.uses.aggregates = true;
            return Ok(Some(column(aggregate, at)));
        }
        if function.over.is_some() {
            return Err(Refusal::new(at, format!("`{name}` is not an aggregate; leave OVER out")));
        }
        Ok(None)
    }
}

fn column(column: ResultColumn, at: Location) -> Expr {
    Expr::Identifier(Ident::with_quote_and_span('"', Span::new(at, at), column.name()))
}

/// One millisecond before a time.
fn before(time: Expr) -> Expr {
    let millisecond = Expr::Interval(Interval {
        value: Box::new(Expr::Value(Value::SingleQuotedString("1".to_owned()).into())),
        leading_field: Some(DateTimeField::Millisecond),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    });
    let difference =
        Expr::BinaryOp { left: Box::new(time), op: BinaryOperator::Minus, right: Box::new(millisecond) };
    Expr::Nested(Box::new(difference))
}
