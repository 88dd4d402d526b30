//! Queries inside FROM, which only filter and compute columns: `WITH x AS (SELECT ..)` and `FROM (SELECT ..)`.
//!
//! Such a query is taken into the outer one: its columns are written where they are named, and its condition joins the
//! outer WHERE. Knows their shape. Must not know columns, functions or types.

use crate::parse::{Item, items, refused_clauses, refused_select_clauses, single_name};
use crate::report::{Refusal, START};
use sqlparser::ast::{
    Cte, Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, Spanned, TableAlias, TableFactor,
    TableWithJoins, Visit, Visitor, With,
};
use sqlparser::tokenizer::Location;
use std::ops::ControlFlow;

/// A query inside FROM.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// What the query around it reads it as.
    pub(crate) name: String,
    /// What its own columns may be qualified with.
    pub(crate) qualifier: String,
    /// Its columns.
    pub(crate) items: Vec<Item>,
    /// Whether it has all the columns of what it reads, too.
    pub(crate) has_all: bool,
    pub(crate) filter: Option<Expr>,
}

/// What FROM reads in the end, and through which queries.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The stream's name and its place.
    pub(crate) table: String,
    pub(crate) table_at: Location,
    /// The queries between, from the stream's side on.
    pub(crate) views: Vec<View>,
    /// What columns of the outermost may be qualified with.
    pub(crate) qualifier: String,
    /// The place of what FROM names.
    pub(crate) at: Location,
}

/// The most parts that the columns of queries inside FROM may grow to where they are written out: a column that names
/// another twice doubles it, and a few dozen such queries would never end.
pub(crate) const PARTS_LIMIT: usize = 10_000;

/// How large an expression is: its parts, and how deep they are nested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) parts: usize,
    pub(crate) depth: usize,
}

impl Extent {
    pub(crate) fn of(expression: &Expr) -> Self {
        let mut walk = Walk { parts: 0, depth: 0, deepest: 0 };
        let _ = expression.visit(&mut walk);
        Extent { parts: walk.parts, depth: walk.deepest }
    }
}

struct Walk {
    parts: usize,
    depth: usize,
    deepest: usize,
}

impl Visitor for Walk {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.parts += 1;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// The named queries of WITH, each of which may read those before it.
pub(crate) fn named(with: Option<&With>) -> Result<&[Cte], Refusal> {
    match with {
        None => Ok(&[]),
        Some(with) if with.recursive => Err(Refusal::new(
            with.span().start,
            "WITH RECURSIVE is not available; a query of WITH reads a stream",
        )),
        Some(with) => Ok(&with.cte_tables),
    }
}

/// Refuses named queries that nothing reads: they would be left out without a word.
pub(crate) fn refuse_unread(named: &[Cte], source: &Source) -> Vec<Refusal> {
    let is_read = |cte: &&Cte| source.views.iter().any(|view| view.name == cte.alias.name.value);
    let unread = named.iter().filter(|cte| !is_read(cte));
    let refusal = |cte: &Cte| {
        let name = &cte.alias.name;
        Refusal::new(name.span.start, format!("nothing reads `{}`; leave it out of WITH", name.value))
    };
    unread.map(refusal).collect()
}

/// Follows FROM to the stream.
pub(crate) fn source(from: &[TableWithJoins], named: &[Cte]) -> Result<Source, Vec<Refusal>> {
    let [only] = from else {
        return Err(vec![match from.get(1) {
            Some(second) => Refusal::new(
                second.relation.span().start,
                "a job reads one stream; write a job for each stream, one lookup can ask several jobs",
            ),
            None => Refusal::new(START, "the query reads no stream; add FROM and the stream's name"),
        }]);
    };
    let at = only.relation.span().start;
    if !only.joins.is_empty() {
        return Err(vec![Refusal::new(at, "weir 0.1 does not have joins yet; a job reads one stream")]);
    }
    match &only.relation {
        TableFactor::Table { name, alias, args: None, sample: None, version: None, .. } => {
            let Some(table) = single_name(name) else {
                return Err(vec![Refusal::new(
                    at,
                    format!("`{name}` is not a stream's name; write the name alone"),
                )]);
            };
            let qualifier = alias.as_ref().map_or_else(|| table.clone(), |alias| alias.name.value.clone());
            match named.iter().position(|cte| cte.alias.name.value == table) {
                Some(position) => {
                    let cte = &named[position];
                    inside(&cte.query, &named[..position], &table, Some(&cte.alias), qualifier, at)
                }
                None => Ok(Source { table, table_at: at, views: Vec::new(), qualifier, at }),
            }
        }
        TableFactor::Derived { lateral: false, subquery, alias, .. } => {
            let at = if at.line == 0 { subquery.span().start } else { at };
            let name = alias.as_ref().map_or("the inner query", |alias| &alias.name.value);
            inside(subquery, named, name, alias.as_ref(), name.to_owned(), at)
        }
        _ => Err(vec![Refusal::new(
            at,
            "FROM takes the name of one stream, or a query in brackets that reads one",
        )]),
    }
}

/// Reads a query inside FROM.
fn inside(
    query: &Query,
    named_before: &[Cte],
    name: &str,
    alias: Option<&TableAlias>,
    qualifier: String,
    at: Location,
) -> Result<Source, Vec<Refusal>> {
    let own = named(query.with.as_ref()).map_err(|refusal| vec![refusal])?;
    let visible: Vec<Cte> = named_before.iter().chain(own).cloned().collect();
    let SetExpr::Select(select) = &*query.body else {
        return Err(vec![Refusal::new(
            at,
            format!("`{name}` is not one SELECT; write SELECT .. FROM .. WHERE .."),
        )]);
    };
    let mut refusals = refused_clauses(query);
    refusals.extend(refused_select_clauses(select));
    refusals.extend(refused_grouping(select, name));
    let mut inner = source(&select.from, &visible).map_err(|found| {
        refusals.extend(found);
        std::mem::take(&mut refusals)
    })?;
    refusals.extend(refuse_unread(own, &inner));
    let (has_all, listed) = without_star(&select.projection);
    let listed = items(listed).map_err(|found| refusals.extend(found)).unwrap_or_default();
    let listed =
        renamed(listed, has_all, alias, at).map_err(|refusal| refusals.push(refusal)).unwrap_or_default();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    inner.views.push(View {
        name: name.to_owned(),
        qualifier: std::mem::replace(&mut inner.qualifier, qualifier),
        items: listed,
        has_all,
        filter: select.selection.clone(),
    });
    Ok(Source { at, ..inner })
}

/// What makes rows of several rows stands in the outer query.
fn refused_grouping(select: &Select, name: &str) -> Option<Refusal> {
    let at = select.select_token.0.span.start;
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    (is_grouped || select.having.is_some() || !select.named_window.is_empty()).then(|| {
        Refusal::new(
            at,
            format!(
                "`{name}` groups its rows, and weir 0.1 does not read another query's results yet; an inner query \
                 filters and computes columns, GROUP BY and windows stand in the outer one"
            ),
        )
    })
}

/// The result columns beside `*`, and whether that is one of them.
fn without_star(projection: &[SelectItem]) -> (bool, Vec<SelectItem>) {
    let is_star = |item: &&SelectItem| {
        matches!(item, SelectItem::Wildcard(options) if options.opt_except.is_none()
        && options.opt_exclude.is_none() && options.opt_rename.is_none() && options.opt_replace.is_none())
    };
    let has_all = projection.iter().any(|item| is_star(&item));
    (has_all, projection.iter().filter(|item| !is_star(item)).cloned().collect())
}

/// `x (a, b)` gives the columns other names.
fn renamed(
    mut items: Vec<Item>,
    has_all: bool,
    alias: Option<&TableAlias>,
    at: Location,
) -> Result<Vec<Item>, Refusal> {
    let names = alias.map_or(&[][..], |alias| &alias.columns);
    if names.is_empty() {
        return Ok(items);
    }
    if has_all || names.len() != items.len() {
        let message = format!(
            "the list of names has {} columns, and not those of its query; write AS in it",
            names.len()
        );
        return Err(Refusal::new(at, message));
    }
    for (item, name) in items.iter_mut().zip(names) {
        item.name.clone_from(&name.name.value);
    }
    Ok(items)
}
