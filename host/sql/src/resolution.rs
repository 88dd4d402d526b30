//! The names of a whole query, clause by clause: those of the queries inside FROM first, from the innermost on.
//!
//! Knows which clauses have names. Must not know what a name may be: that is `names`.

use crate::names::{Names, ResolvedView, too_large};
use crate::parse::{Item, Parsed};
use crate::report::{Refusal, Report};
use crate::spellings::{AT_TIME_ZONE, doubtful_patterns};
use crate::stage::first_call;
use crate::tokens::DEPTH_LIMIT;
use crate::views::{Extent, View};
use sqlparser::ast::Expr;

/// Resolves every name of a query; gives the indexes of the result columns that have one which was not found, `None`
/// where what they are computed from or grouped by has one: what else is wrong with them is not known then.
pub(crate) fn resolve_names(
    parsed: &mut Parsed,
    base: &Names<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<usize>> {
    warn_of_patterns(parsed, report);
    let items = parsed.items.clone();
    let qualifier = parsed.qualifier.clone();
    let has_window_columns = parsed.table_function.is_some();
    let (inner, filters) = resolve_views(std::mem::take(&mut parsed.views), base, report);
    parsed.inner_filters.extend(filters);
    let names =
        Names { view: inner.as_ref(), qualifier: &qualifier, has_window_columns, items: &items, ..*base };
    report.refuse_all(names.resolve(&mut parsed.group_by));
    report.refuse_all(names.resolve(&mut parsed.windows.named));
    if let Some(function) = &mut parsed.table_function {
        report.refuse_all(names.resolve(&mut function.window.time));
        report.refuse_all(names.resolve(&mut function.partition_by));
    }
    let is_sound = !report.has_errors();
    let mut misnamed = Vec::new();
    for (index, item) in parsed.items.iter_mut().enumerate() {
        let refusals = names.resolve(&mut item.expression);
        misnamed.extend((!refusals.is_empty()).then_some(index));
        report.refuse_all(refusals);
        note_zone(item, report);
    }
    report.refuse_all(names.resolve(&mut parsed.filter));
    report.refuse_all(names.resolve(&mut parsed.having));
    is_sound.then_some(misnamed)
}

/// Resolves the queries between what FROM reads in the end and the outer one, from the former's side on; gives the last,
/// and the conditions of all.
pub(crate) fn resolve_views(
    views: Vec<View>,
    base: &Names<'_>,
    report: &mut Report<'_>,
) -> (Option<ResolvedView>, Vec<Expr>) {
    let (mut inner, mut filters): (Option<ResolvedView>, _) = (None, Vec::new());
    for view in views {
        let names = Names { view: inner.as_ref(), qualifier: &view.qualifier, items: &view.items, ..*base };
        let (columns, filter) = resolve_view(&view, &names, report);
        filters.extend(filter);
        let View { name, has_all, .. } = view;
        inner = Some(ResolvedView { name, columns, has_all, reads: inner.map(Box::new) });
    }
    (inner, filters)
}

/// Warns of patterns that read or write something else than their author probably means.
fn warn_of_patterns(parsed: &Parsed, report: &mut Report<'_>) {
    let items = parsed.views.iter().flat_map(|view| &view.items).chain(&parsed.items);
    let expressions = items.map(|item| &item.expression);
    let conditions = parsed.views.iter().map(|view| &view.filter).chain([&parsed.filter, &parsed.having]);
    let parts = expressions.chain(conditions.flatten()).chain(&parsed.group_by);
    for (at, message) in parts.flat_map(doubtful_patterns) {
        report.warn(at, message);
    }
}

/// Tells that a time in a zone is written as the instant that it is.
fn note_zone(item: &Item, report: &mut Report<'_>) {
    if matches!(&item.expression, Expr::Function(function) if function.name.to_string() == AT_TIME_ZONE) {
        let name = &item.name;
        let message = format!(
            "`{name}` is the same instant in every zone, and is written in UTC; for what the clock of the zone shows write \
             DATE_FORMAT(.., 'yyyy-MM-dd HH:mm:ss')"
        );
        report.notice(item.at, message);
    }
}

/// The columns of a query inside FROM, and its condition.
fn resolve_view(
    view: &View,
    names: &Names<'_>,
    report: &mut Report<'_>,
) -> (Vec<(String, Expr)>, Option<Expr>) {
    let (mut columns, mut filter) = (Vec::new(), view.filter.clone());
    for item in &view.items {
        let mut expression = item.expression.clone();
        report.refuse_all(names.resolve(&mut expression));
        if view.has_all && names.inherited(&item.name).is_some_and(|inherited| inherited != expression) {
            let message = format!(
                "`{}` is a column of `*` and of this query, with another meaning; give this one another name with AS",
                item.name
            );
            report.refuse(Refusal::new(item.at, message));
        }
        if Extent::of(&expression).depth > DEPTH_LIMIT {
            report.refuse(too_large(item.at));
            expression = item.expression.clone();
        }
        columns.push((item.name.clone(), expression));
    }
    report.refuse_all(names.resolve(&mut filter));
    for part in columns.iter().map(|(_, column)| column).chain(&filter) {
        if let Some(call) = first_call(part, names.aggregates) {
            let message = format!(
                "{} is in `{}`, a query inside FROM, which only filters and computes columns; write it in the outer \
                 query: weir 0.1 does not read another query's results yet",
                call.name, view.name
            );
            report.refuse(Refusal::new(call.at, message));
        }
    }
    (columns, filter)
}
