//! Queries inside FROM, which only filter and compute columns: `WITH x AS (SELECT ..)` and `FROM (SELECT ..)`.
//!
//! Such a query is taken into the outer one: its columns are written where they are named, and its condition joins the
//! outer WHERE; those between UNION ALL are the branches of what the outer one reads. Knows their shape. Must not know columns, functions or types.

use crate::parse::{Item, items, refused_clauses, refused_select_clauses};
use crate::report::{Refusal, START};
use crate::syntax::single_name;
use sqlparser::ast::{
    Cte, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, Query, Select, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Spanned, TableAlias, TableFactor, TableWithJoins, Visit, Visitor, With,
};
use sqlparser::tokenizer::Location;
use std::ops::ControlFlow;
use weir_event::Span;

/// A query inside FROM.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// What the query around it reads it as.
    pub(crate) name: String,
    /// What its own columns may be qualified with.
    pub(crate) qualifier: String,
    pub(crate) at: Location,
    /// Its columns.
    pub(crate) items: Vec<Item>,
    /// Whether it has all the columns of what it reads, too.
    pub(crate) has_all: bool,
    pub(crate) filter: Option<Expr>,
}

/// What queries read in the end.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    /// A stream, by its name and the name's place.
    Stream(String, Location),
    /// The rows of several queries, which have as many columns and the names of the first one's.
    Union {
        /// What the query around it reads it as.
        name: String,
        at: Location,
        branches: Vec<Source>,
    },
    /// The rows of two sides.
    LastJoin(Box<JoinedSides>),
}

/// Both sides of LAST JOIN, and what it says of them.
#[derive(Debug, Clone)]
pub(crate) struct JoinedSides {
    pub(crate) at: Location,
    pub(crate) left: Source,
    pub(crate) right: Source,
    /// The condition behind ON.
    pub(crate) on: Expr,
    pub(crate) within: Option<Span>,
}

impl Base {
    /// Where it stands.
    pub(crate) fn at(&self) -> Location {
        match self {
            Base::Stream(_, at) | Base::Union { at, .. } => *at,
            Base::LastJoin(join) => join.at,
        }
    }

    /// The streams with their places, in order of the text.
    pub(crate) fn tables(&self) -> Vec<(&str, Location)> {
        match self {
            Base::Stream(name, at) => vec![(name, *at)],
            Base::Union { branches, .. } => branches.iter().flat_map(|source| source.base.tables()).collect(),
            Base::LastJoin(join) => [join.left.base.tables(), join.right.base.tables()].concat(),
        }
    }

    /// Whether it is read through the query of this name.
    fn reads(&self, query: &str) -> bool {
        match self {
            Base::Stream(..) => false,
            Base::Union { name, branches, .. } => {
                name == query || branches.iter().any(|source| source.reads(query))
            }
            Base::LastJoin(join) => join.left.reads(query) || join.right.reads(query),
        }
    }
}

impl Source {
    /// Whether it is read through the query of this name.
    fn reads(&self, query: &str) -> bool {
        self.base.reads(query) || self.views.iter().any(|view| view.name == query)
    }
}

/// What FROM reads in the end, and through which queries.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// What it reads in the end.
    pub(crate) base: Base,
    /// The queries between, from its side on.
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
    let unread = named.iter().filter(|cte| !source.reads(&cte.alias.name.value));
    let refusal = |cte: &Cte| {
        let name = &cte.alias.name;
        Refusal::new(name.span.start, format!("nothing reads `{}`; leave it out of WITH", name.value))
    };
    unread.map(refusal).collect()
}

/// Follows the outermost FROM; `last_join` says where it has LAST JOIN, and what is written behind WITHIN.
pub(crate) fn from(
    from: &[TableWithJoins],
    named: &[Cte],
    last_join: Option<(Location, Option<Span>)>,
) -> Result<Source, Vec<Refusal>> {
    let (Some((at, within)), [TableWithJoins { relation, joins }]) = (last_join, from) else {
        return source(from, named);
    };
    let [Join { relation: right, join_operator: JoinOperator::LeftAnti(constraint), .. }] = joins.as_slice()
    else {
        return source(from, named);
    };
    let JoinConstraint::On(on) = constraint else {
        let message = "LAST JOIN says by ON which rows belong together; write LAST JOIN b ON a.x = b.y";
        return Err(vec![Refusal::new(at, message)]);
    };
    let (left, right) = match (table(relation, named), table(right, named)) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            return Err(left.err().into_iter().chain(right.err()).flatten().collect());
        }
    };
    if left.qualifier == right.qualifier {
        let message =
            format!("both sides of LAST JOIN are called `{}`; give one another name with AS", left.qualifier);
        return Err(vec![Refusal::new(at, message)]);
    }
    let (qualifier, place) = (left.qualifier.clone(), left.at);
    let base = Base::LastJoin(Box::new(JoinedSides { at, left, right, on: on.clone(), within }));
    Ok(Source { base, views: Vec::new(), qualifier, at: place })
}

/// Follows FROM to the stream, or to the streams of UNION ALL.
fn source(from: &[TableWithJoins], named: &[Cte]) -> Result<Source, Vec<Refusal>> {
    let [only] = from else {
        return Err(vec![match from.get(1) {
            Some(second) => Refusal::new(
                second.relation.span().start,
                "FROM takes one stream; write (SELECT .. FROM a UNION ALL SELECT .. FROM b) for the rows of both, or a job \
                 for each stream: one lookup can ask several jobs",
            ),
            None => Refusal::new(START, "the query reads no stream; add FROM and the stream's name"),
        }]);
    };
    let at = only.relation.span().start;
    if !only.joins.is_empty() {
        let message =
            "LAST JOIN stands in the outermost FROM, and its sides may be queries; take it out of this one";
        return Err(vec![Refusal::new(at, message)]);
    }
    table(&only.relation, named)
}

/// Follows what FROM names.
fn table(relation: &TableFactor, named: &[Cte]) -> Result<Source, Vec<Refusal>> {
    let at = relation.span().start;
    match relation {
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
                None => Ok(Source { base: Base::Stream(table, at), views: Vec::new(), qualifier, at }),
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
    let mut selects = Vec::new();
    let mut refusals = refused_clauses(query);
    refusals.extend(union_all(&query.body, name, at, &mut selects));
    let mut branches = Vec::new();
    for select in selects {
        match filtered(select, &visible, name, alias, at) {
            Ok(branch) => branches.push(branch),
            Err(found) => refusals.extend(found),
        }
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let source = match branches.pop() {
        Some(only) if branches.is_empty() => Source { qualifier, at, ..only },
        last => {
            branches.extend(last);
            let branches = of_same_columns(branches, name, at)?;
            let base = Base::Union { name: name.to_owned(), at, branches };
            Source { base, views: Vec::new(), qualifier, at }
        }
    };
    let unread = refuse_unread(own, &source);
    if unread.is_empty() { Ok(source) } else { Err(unread) }
}

/// The SELECTs of a query, of which several stand between UNION ALL.
fn union_all<'q>(body: &'q SetExpr, name: &str, at: Location, selects: &mut Vec<&'q Select>) -> Vec<Refusal> {
    match body {
        SetExpr::Select(select) => {
            selects.push(select);
            Vec::new()
        }
        SetExpr::Query(query) if query.with.is_none() => {
            let mut refusals = refused_clauses(query);
            refusals.extend(union_all(&query.body, name, at, selects));
            refusals
        }
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
            let mut refusals = union_all(left, name, at, selects);
            refusals.extend(union_all(right, name, at, selects));
            refusals
        }
        _ => vec![Refusal::new(
            at,
            format!(
                "`{name}` is neither one SELECT nor several between UNION ALL; write SELECT .. FROM .. WHERE .."
            ),
        )],
    }
}

/// Reads a SELECT inside FROM, which filters and computes columns.
fn filtered(
    select: &Select,
    visible: &[Cte],
    name: &str,
    alias: Option<&TableAlias>,
    at: Location,
) -> Result<Source, Vec<Refusal>> {
    let mut refusals = refused_select_clauses(select);
    refusals.extend(refused_grouping(select, name));
    let mut inner = source(&select.from, visible).map_err(|found| {
        refusals.extend(found);
        std::mem::take(&mut refusals)
    })?;
    let (has_all, listed) = without_star(&select.projection);
    let listed = items(listed).map_err(|found| refusals.extend(found)).unwrap_or_default();
    let listed =
        renamed(listed, has_all, alias, at).map_err(|refusal| refusals.push(refusal)).unwrap_or_default();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    inner.views.push(View {
        name: name.to_owned(),
        qualifier: std::mem::take(&mut inner.qualifier),
        at: select.select_token.0.span.start,
        items: listed,
        has_all,
        filter: select.selection.clone(),
    });
    Ok(inner)
}

/// The queries of UNION ALL, whose columns go by their places and have the first one's names.
fn of_same_columns(mut branches: Vec<Source>, name: &str, at: Location) -> Result<Vec<Source>, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let first = branches.first().and_then(|first| first.views.last());
    let names: Vec<String> =
        first.iter().flat_map(|view| &view.items).map(|item| item.name.clone()).collect();
    for branch in &mut branches {
        if let Base::Union { at, .. } = branch.base {
            let message =
                "a query between UNION ALL reads another UNION ALL; write all SELECTs in one UNION ALL";
            refusals.push(Refusal::new(at, message));
        }
        let Some(view) = branch.views.last_mut() else { continue };
        let place = if view.at.line == 0 { at } else { view.at };
        if view.has_all {
            let message = "SELECT * is not available between UNION ALL, where columns go by their places; name the columns";
            refusals.push(Refusal::new(place, message));
        } else if view.items.len() == names.len() {
            view.items.iter_mut().zip(&names).for_each(|(item, name)| item.name.clone_from(name));
        } else {
            let message = format!(
                "the queries of `{name}` between UNION ALL have {} and {} columns; give each the same ones, in the same order",
                names.len(),
                view.items.len()
            );
            refusals.push(Refusal::new(place, message));
        }
    }
    if refusals.is_empty() { Ok(branches) } else { Err(refusals) }
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
