//! Window table functions: `FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))`.
//!
//! The parser's tree cannot hold them, so they are cut out of the tokens, and the table's bare name is left. Knows
//! brackets and arguments. Must not know columns, types or what a window means.

use crate::dialect::Flink;
use crate::parse::{RECURSION_LIMIT, syntax_error};
use crate::report::Refusal;
use crate::windows::{WindowArguments, WindowKind};
use sqlparser::ast::Expr;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// The names of the columns that a window table function adds.
pub(crate) const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// A window table function of FROM.
#[derive(Debug, Clone)]
pub(crate) struct TableFunction {
    pub(crate) window: WindowArguments,
    /// The place of what it reads.
    pub(crate) table_at: Location,
    /// Whose sessions they are; empty for other windows.
    pub(crate) partition_by: Vec<Expr>,
}

/// Takes the table function out of the tokens, if there is one; the table's name stays in its place.
pub(crate) fn cut(tokens: &mut Vec<TokenWithSpan>) -> Result<Option<TableFunction>, Refusal> {
    let is_start = |four: &[TokenWithSpan]| {
        keyword(&four[0]) == Keyword::FROM
            && keyword(&four[1]) == Keyword::TABLE
            && four[2].token == Token::LParen
            && matches!(four[3].token, Token::Word(_))
    };
    let Some(from) = tokens.windows(4).position(is_start) else { return Ok(None) };
    let name_at = from + 3;
    let at = tokens[name_at].span.start;
    let name = word(&tokens[name_at]).unwrap_or_default();
    let Some(kind) = WindowKind::named(&name.to_lowercase()) else {
        let message = format!("table function `{name}` not found; write TUMBLE, HOP, CUMULATE or SESSION");
        return Err(Refusal::new(at, message));
    };
    let open = name_at + 1;
    let closed = closing(tokens, open).filter(|_| tokens[open].token == Token::LParen);
    let closed = closed.filter(|close| tokens.get(close + 1).is_some_and(|it| it.token == Token::RParen));
    let Some(close) = closed else {
        return Err(Refusal::new(at, format!("the brackets of {name} do not close; write {}", usage(kind))));
    };
    let (function, table) = read(kind, at, &tokens[open + 1..close])?;
    tokens.splice(from + 1..close + 2, [table]);
    Ok(Some(function))
}

fn usage(kind: WindowKind) -> String {
    let (partition, lengths) = match kind {
        WindowKind::Tumble => ("", "INTERVAL '1' HOUR"),
        WindowKind::Hop | WindowKind::Cumulate => ("", "INTERVAL '1' HOUR, INTERVAL '1' DAY"),
        WindowKind::Session => (" PARTITION BY user_id", "INTERVAL '30' MINUTE"),
    };
    format!("TABLE({}(TABLE rides{partition}, DESCRIPTOR(rowtime), {lengths}))", kind.name())
}

pub(crate) fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

pub(crate) fn word(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

/// Where the bracket that opens at `open` closes.
pub(crate) fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The arguments, between commas that stand in no bracket.
pub(crate) fn split(tokens: &[TokenWithSpan]) -> Vec<&[TokenWithSpan]> {
    let mut depth = 0_usize;
    let parts = tokens.split(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.token == Token::Comma
    });
    parts.collect()
}

/// The arguments by their names; those without a name get the one of their position.
fn named(
    kind: WindowKind,
    at: Location,
    tokens: &[TokenWithSpan],
) -> Result<(Vec<(&'static str, &[TokenWithSpan])>, bool), Refusal> {
    let mut names = vec!["DATA", "TIMECOL"];
    names.extend(kind.lengths());
    if kind != WindowKind::Session {
        names.push("OFFSET");
    }
    let parts = split(tokens);
    let name_of = |part: &[TokenWithSpan]| match part {
        [name, arrow, ..] if arrow.token == Token::RArrow => word(name).map(str::to_uppercase),
        _ => None,
    };
    let is_named = parts.iter().any(|part| name_of(part).is_some());
    let mut found: Vec<(&'static str, &[TokenWithSpan])> = Vec::new();
    for (position, part) in parts.into_iter().enumerate() {
        let place = part.first().map_or(at, |first| first.span.start);
        let (name, value) = match name_of(part) {
            None if is_named => {
                let message = format!(
                    "{} has arguments with names and without; write all with names, or all in order",
                    kind.name()
                );
                return Err(Refusal::new(place, message));
            }
            None => (names.get(position).copied(), part),
            Some(written) => (names.iter().copied().find(|name| *name == written), &part[2..]),
        };
        let Some(name) = name else {
            let message =
                format!("{} takes the arguments {}; write {}", kind.name(), names.join(", "), usage(kind));
            return Err(Refusal::new(place, message));
        };
        if found.iter().any(|(known, _)| *known == name) {
            return Err(Refusal::new(place, format!("{} has {name} twice; leave one out", kind.name())));
        }
        found.push((name, value));
    }
    Ok((found, is_named))
}

fn read(
    kind: WindowKind,
    at: Location,
    tokens: &[TokenWithSpan],
) -> Result<(TableFunction, TokenWithSpan), Refusal> {
    let (arguments, is_named) = named(kind, at, tokens)?;
    let wanted = |name: &str| {
        let found = arguments.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        found.ok_or_else(|| Refusal::new(at, format!("{} has no {name}; write {}", kind.name(), usage(kind))))
    };
    let (table, partition_by) = data(kind, at, wanted("DATA")?)?;
    let time = descriptor(kind, at, wanted("TIMECOL")?)?;
    let lengths = kind.lengths().iter().map(|name| expression(wanted(name)?, at));
    let lengths = lengths.collect::<Result<Vec<_>, _>>()?;
    let shift = arguments.iter().find(|(known, _)| *known == "OFFSET");
    let shift = shift.map(|(_, value)| expression(value, at)).transpose()?;
    let name = kind.name().to_owned();
    let window = WindowArguments { kind, name, at, time, lengths, shift, is_named };
    let table_at = table.span.start;
    Ok((TableFunction { window, table_at, partition_by }, table))
}

/// `TABLE t [PARTITION BY a | PARTITION BY (a, b)]`.
fn data(
    kind: WindowKind,
    at: Location,
    tokens: &[TokenWithSpan],
) -> Result<(TokenWithSpan, Vec<Expr>), Refusal> {
    let place = tokens.first().map_or(at, |first| first.span.start);
    let [table, name, rest @ ..] = tokens else {
        return Err(Refusal::new(place, format!("{} reads a stream; write {}", kind.name(), usage(kind))));
    };
    if keyword(table) != Keyword::TABLE || word(name).is_none() {
        let message = format!("{} reads TABLE and a stream's name; write {}", kind.name(), usage(kind));
        return Err(Refusal::new(place, message));
    }
    let columns = match rest {
        [] => return Ok((name.clone(), Vec::new())),
        [partition, by, columns @ ..]
            if keyword(partition) == Keyword::PARTITION && keyword(by) == Keyword::BY =>
        {
            columns
        }
        [other, ..] => {
            let message = format!("`{other}` does not follow a stream's name; write {}", usage(kind));
            return Err(Refusal::new(other.span.start, message));
        }
    };
    if kind != WindowKind::Session {
        let message = format!("{} takes no PARTITION BY; name the columns in GROUP BY alone", kind.name());
        return Err(Refusal::new(rest[0].span.start, message));
    }
    let inner = match columns {
        [open, inner @ .., close] if open.token == Token::LParen && close.token == Token::RParen => inner,
        columns => columns,
    };
    let columns = split(inner).into_iter().map(|column| expression(column, place));
    Ok((name.clone(), columns.collect::<Result<Vec<_>, _>>()?))
}

/// `DESCRIPTOR(rowtime)`.
fn descriptor(kind: WindowKind, at: Location, tokens: &[TokenWithSpan]) -> Result<Expr, Refusal> {
    match tokens {
        [name, open, column @ .., close]
            if word(name).is_some_and(|name| name.eq_ignore_ascii_case("descriptor"))
                && open.token == Token::LParen
                && close.token == Token::RParen =>
        {
            expression(column, name.span.start)
        }
        _ => {
            let place = tokens.first().map_or(at, |first| first.span.start);
            let message =
                format!("{} takes its time as DESCRIPTOR(rowtime); write {}", kind.name(), usage(kind));
            Err(Refusal::new(place, message))
        }
    }
}

/// Reads tokens as one expression.
pub(crate) fn expression(tokens: &[TokenWithSpan], at: Location) -> Result<Expr, Refusal> {
    let at = tokens.first().map_or(at, |first| first.span.start);
    let mut parser =
        Parser::new(&Flink).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens.to_vec());
    let expression = parser.parse_expr().map_err(|error| {
        let refusal = syntax_error(error);
        if refusal.at.line <= 1 && refusal.at.column <= 1 {
            Refusal::new(at, refusal.message)
        } else {
            refusal
        }
    })?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(expression);
    }
    Err(Refusal::new(
        rest.span.start,
        format!("`{rest}` does not continue the argument; is a comma missing?"),
    ))
}
