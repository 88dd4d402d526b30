//! From text to one `SELECT` over one table, which may be several streams as one; every other statement and clause is refused by name.
//!
//! Knows the shape of a query. Must not know columns, functions, types or what a window means.

use crate::dialect::Flink;
use crate::over::WindowClauses;
use crate::process_call::{self, ProcessCall};
use crate::report::{Refusal, START};
use crate::table_function::{TableFunction, cut, expression};
use crate::tokens::{Tokens, WrittenLastJoin, lower_first, tokens};
use crate::unnest::{self, WrittenUnnest};
use crate::views::{Base, Source, View, from, named, refuse_unread};
use crate::windows::interval;
use sqlparser::ast::{Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, SetOperator, Spanned};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use weir_event::Span;

/// How deep the parser may call itself: what the token check lets through needs less.
pub(crate) const RECURSION_LIMIT: usize = 400;

/// A query's parts.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// What FROM reads in the end.
    pub(crate) base: Base,
    /// The lists of streams whose items are rows.
    pub(crate) unnests: Vec<WrittenUnnest>,
    /// The queries between that and this one, from its side on.
    pub(crate) views: Vec<View>,
    /// The window table function around the table.
    pub(crate) table_function: Option<TableFunction>,
    /// The keyed logic around the table.
    pub(crate) process: Option<ProcessCall>,
    /// What columns may be qualified with: the name of what FROM reads, or its alias.
    pub(crate) qualifier: String,
    /// The result columns.
    pub(crate) items: Vec<Item>,
    pub(crate) filter: Option<Expr>,
    /// The conditions of the queries inside FROM, once their names are resolved.
    pub(crate) inner_filters: Vec<Expr>,
    pub(crate) group_by: Vec<Expr>,
    pub(crate) having: Option<Expr>,
    pub(crate) windows: WindowClauses,
}

/// A result column as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) expression: Expr,
    /// Its name: the alias, a plain column's own, or `EXPR$i`.
    pub(crate) name: String,
    /// Whether the user gave it an alias.
    pub(crate) is_named: bool,
    pub(crate) at: Location,
}

/// Parses a query.
pub(crate) fn parse(text: &str) -> Result<Parsed, Vec<Refusal>> {
    let Tokens { mut tokens, exclusions, last_join } = tokens(text)?;
    let within = last_join.map(|join| within(&join)).transpose().map_err(|refusal| vec![refusal])?;
    let unnests = unnest::cut(&mut tokens).map_err(|refusal| vec![refusal])?;
    let process = process_call::cut(&mut tokens).map_err(|refusal| vec![refusal])?;
    let table_function = cut(&mut tokens).map_err(|refusal| vec![refusal])?;
    let query = parse_query(tokens).map_err(|refusal| vec![refusal])?;
    let mut refusals = refused_clauses(&query);
    let named = named(query.with.as_ref()).map_err(|refusal| vec![refusal])?;
    let SetExpr::Select(select) = *query.body else {
        refusals.push(not_one_select(&query.body));
        return Err(refusals);
    };
    refusals.extend(refused_select_clauses(&select));
    let source = from(&select.from, named, within).map_err(|found| refusals.extend(found)).ok();
    if let Some(source) = &source {
        refusals.extend(refuse_unread(named, source));
        let of_window = table_function.as_ref().map(|it| (it.window.kind.name(), it.window.at, it.table_at));
        let of_logic = process.as_ref().map(|it| (it.name.as_str(), it.at, it.table_at));
        refusals.extend(of_window.into_iter().chain(of_logic).filter_map(|found| misplaced(found, source)));
        refusals.extend(not_of_streams(&unnests, source));
    }
    let items = items(select.projection).map_err(|found| refusals.extend(found)).ok();
    let group_by = group_by(select.group_by).map_err(|refusal| refusals.push(refusal)).ok();
    match (source, items, group_by) {
        (Some(source), Some(items), Some(group_by)) if refusals.is_empty() => Ok(Parsed {
            base: source.base,
            unnests,
            views: source.views,
            table_function,
            process,
            qualifier: source.qualifier,
            items,
            filter: select.selection,
            inner_filters: Vec::new(),
            group_by,
            having: select.having,
            windows: WindowClauses { named: select.named_window, exclusions },
        }),
        _ => Err(refusals),
    }
}

fn parse_query(tokens: Vec<TokenWithSpan>) -> Result<Box<Query>, Refusal> {
    let first = tokens.first().map(|token| (token.token.to_string().to_uppercase(), token.span.start));
    match first {
        Some((word, _)) if word == "SELECT" || word == "WITH" || word == "(" => {}
        Some((word, at)) => return Err(Refusal::new(at, other_statement(&word))),
        None => return Err(Refusal::new(START, "the query is empty; write SELECT .. FROM ..")),
    }
    let mut parser =
        Parser::new(&Flink).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
    let query = parser.parse_query().map_err(syntax_error)?;
    let mut is_statement = false;
    while parser.consume_token(&Token::SemiColon) {
        is_statement = true;
    }
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(query);
    }
    let message = match &rest.token {
        Token::Word(_) if is_statement => "a job is one SELECT; write a job for each query".to_owned(),
        token => {
            format!("`{token}` does not continue the query; is a comma or an operator missing before it?")
        }
    };
    Err(Refusal::new(rest.span.start, message))
}

/// The place of LAST JOIN, and what its WITHIN says.
fn within(join: &WrittenLastJoin) -> Result<(Location, Option<Span>), Refusal> {
    if join.within.is_empty() {
        return Ok((join.at, None));
    }
    let length = expression(&join.within, join.at)?;
    let span = interval(&length, join.at)?;
    if span <= Span::ZERO {
        return Err(Refusal::new(join.at, "WITHIN takes a positive length, such as INTERVAL '7' DAY"));
    }
    Ok((join.at, Some(span)))
}

/// What to do instead of a query of several SELECTs, or of one in brackets.
fn not_one_select(body: &SetExpr) -> Refusal {
    let at = body.span().start;
    let message = match body {
        SetExpr::SetOperation { op: SetOperator::Union, .. } => {
            "UNION ALL stands inside FROM; write SELECT .. FROM (SELECT .. FROM a UNION ALL SELECT .. FROM b)"
        }
        _ => "a job is one SELECT; write SELECT .. FROM .., without brackets around it",
    };
    Refusal::new(if at.line == 0 { START } else { at }, message)
}

/// What to do instead of a statement that is not a query.
fn other_statement(word: &str) -> String {
    match word {
        "INSERT" => {
            "leave INSERT INTO .. out and begin with SELECT; the job's `sinks` say where its results go"
                .to_owned()
        }
        "CREATE" => {
            "a query creates nothing; declare a stream in streams/NAME.yaml, and begin with SELECT".to_owned()
        }
        "EXPLAIN" => "leave EXPLAIN out; `weir check --explain` shows the plan".to_owned(),
        word => format!("a job is one SELECT over one stream, it cannot begin with `{word}`"),
    }
}

/// A table function, by its name, its place and that of its table, in a query inside FROM.
fn misplaced((name, at, table_at): (&str, Location, Location), source: &Source) -> Option<Refusal> {
    let message = || {
        format!(
            "{name} is in an inner query, and table functions belong in the outer one; write FROM TABLE({name}(TABLE x ..)) there"
        )
    };
    (table_at != source.at).then(|| Refusal::new(at, message()))
}

/// UNNEST behind what is not a stream, or twice behind one.
fn not_of_streams(unnests: &[WrittenUnnest], source: &Source) -> Vec<Refusal> {
    let tables = source.base.tables();
    let is_read = |unnest: &WrittenUnnest| tables.iter().any(|(_, at)| *at == unnest.table_at);
    let mut refusals = Vec::new();
    for (index, unnest) in unnests.iter().enumerate() {
        if unnests[..index].iter().any(|other| other.table_at == unnest.table_at) {
            let message = "weir 0.1 takes one UNNEST for a stream; write a job for each list";
            refusals.push(Refusal::new(unnest.at, message));
        } else if !is_read(unnest) {
            let message =
                "UNNEST stands behind the name of a stream, not of a query; write it in that query's FROM";
            refusals.push(Refusal::new(unnest.at, message));
        }
    }
    refusals
}

/// What of a query the parser could not read.
pub(crate) fn syntax_error(error: ParserError) -> Refusal {
    unreadable("the query", error)
}

/// What the parser could not read of a text that is called so.
pub(crate) fn unreadable(what: &str, error: ParserError) -> Refusal {
    let message = match error {
        ParserError::RecursionLimitExceeded => format!("{what} is nested too deep; split it"),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (text, at) = split_place(&message);
    let text = text.replace("Expected: ", "expected ").replace(", found: ", ", but found ");
    Refusal::new(
        at,
        format!("{what} cannot be read: {}", lower_first(&text.replace("found EOF", "found its end"))),
    )
}

/// The parser tells places within its messages.
fn split_place(message: &str) -> (&str, Location) {
    let found = message.rsplit_once(" at Line: ").and_then(|(text, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((text, Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
    });
    found.unwrap_or((message, START))
}

pub(crate) fn refused_clauses(query: &Query) -> Vec<Refusal> {
    let clauses = [
        (query.order_by.is_some(), "ORDER BY"),
        (query.limit_clause.is_some(), "LIMIT"),
        (query.fetch.is_some(), "FETCH"),
        (!query.locks.is_empty(), "FOR UPDATE"),
        (query.for_clause.is_some(), "FOR"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "|>"),
    ];
    not_available(&clauses, query.body.span().start)
}

pub(crate) fn refused_select_clauses(select: &Select) -> Vec<Refusal> {
    let at = select.select_token.0.span.start;
    let mut refusals = Vec::new();
    if select.distinct.is_some() {
        let message = "SELECT DISTINCT is not available; group by the columns in a window, such as GROUP BY user_id, \
                       TUMBLE(rowtime, INTERVAL '1' HOUR)";
        refusals.push(Refusal::new(at, message));
    }
    let clauses = [
        (select.top.is_some(), "SELECT TOP n without brackets"),
        (select.into.is_some(), "INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (select.exclude.is_some(), "EXCLUDE"),
    ];
    refusals.extend(not_available(&clauses, at));
    refusals
}

fn not_available(clauses: &[(bool, &str)], at: Location) -> Vec<Refusal> {
    let present = clauses.iter().filter(|(present, _)| *present);
    present.map(|(_, name)| Refusal::new(at, format!("{name} is not available; leave it out"))).collect()
}

/// The result columns, whose names differ.
pub(crate) fn items(projection: Vec<SelectItem>) -> Result<Vec<Item>, Vec<Refusal>> {
    let (mut items, mut refusals) = (Vec::<Item>::new(), Vec::new());
    for (position, item) in projection.into_iter().enumerate() {
        let at = item.span().start;
        let (expression, alias) = match item {
            SelectItem::UnnamedExpr(expression) => (expression, None),
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            _ => {
                let message = "SELECT * is not available; name the columns, so that a new column of the stream does \
                               not change the job's results";
                refusals.push(Refusal::new(at, message));
                continue;
            }
        };
        let is_named = alias.is_some();
        let name = match (alias, &expression) {
            (Some(alias), _) => alias.value,
            (None, Expr::Identifier(column)) => column.value.clone(),
            (None, Expr::CompoundIdentifier(parts)) if !parts.is_empty() => {
                parts[parts.len() - 1].value.clone()
            }
            (None, _) => format!("EXPR${position}"),
        };
        if let Some(first) = items.iter().position(|earlier| earlier.name == name) {
            let message = format!(
                "two result columns are called `{name}`, the {} and the {} one; give one of them another name with AS",
                ordinal(first + 1),
                ordinal(position + 1)
            );
            refusals.push(Refusal::new(at, message));
        }
        items.push(Item { expression, name, is_named, at });
    }
    if refusals.is_empty() { Ok(items) } else { Err(refusals) }
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn group_by(clause: GroupByExpr) -> Result<Vec<Expr>, Refusal> {
    let GroupByExpr::Expressions(expressions, modifiers) = clause else {
        return Err(Refusal::new(START, "GROUP BY ALL is not available; name the columns"));
    };
    for expression in &expressions {
        let at = expression.span().start;
        match expression {
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                return Err(Refusal::new(
                    at,
                    "grouping sets are not available; write a job for each grouping",
                ));
            }
            Expr::Value(_) => {
                return Err(Refusal::new(
                    at,
                    "GROUP BY takes no positions or constants; write the column's name",
                ));
            }
            _ => {}
        }
    }
    if modifiers.is_empty() {
        return Ok(expressions);
    }
    Err(Refusal::new(START, "GROUP BY .. WITH is not available; write a job for each grouping"))
}
