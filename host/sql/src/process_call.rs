//! Keyed logic in FROM: `FROM TABLE(visits(TABLE rides PARTITION BY user_id, 30))`.
//!
//! The parser's tree cannot hold it, so it is cut out of the tokens, and the table's bare name is left, as with window table
//! functions. Knows brackets and arguments. Must not know columns, types or which logic there is.

use crate::report::Refusal;
use crate::table_function::{closing, expression, keyword, split, word};
use crate::windows::WindowKind;
use sqlparser::ast::Expr;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Keyed logic of FROM, as it was written.
#[derive(Debug, Clone)]
pub(crate) struct ProcessCall {
    /// The name in lower case.
    pub(crate) name: String,
    pub(crate) at: Location,
    /// The place of what it reads.
    pub(crate) table_at: Location,
    /// Whose events go through it together, each with its place.
    pub(crate) partition_by: Vec<(Expr, Location)>,
    /// What stands behind the table.
    pub(crate) parameters: Vec<(Expr, Location)>,
}

/// Takes keyed logic out of the tokens, if there is some; the table's name stays in its place.
pub(crate) fn cut(tokens: &mut Vec<TokenWithSpan>) -> Result<Option<ProcessCall>, Refusal> {
    let is_window = |token: &TokenWithSpan| {
        word(token).is_none_or(|name| WindowKind::named(&name.to_lowercase()).is_some())
    };
    let is_start = |five: &[TokenWithSpan]| {
        keyword(&five[0]) == Keyword::FROM
            && keyword(&five[1]) == Keyword::TABLE
            && five[2].token == Token::LParen
            && !is_window(&five[3])
            && five[4].token == Token::LParen
    };
    let Some(from) = tokens.windows(5).position(is_start) else { return Ok(None) };
    let (at, open) = (tokens[from + 3].span.start, from + 4);
    let name = word(&tokens[from + 3]).unwrap_or_default().to_lowercase();
    let close = closing(tokens, open)
        .filter(|close| tokens.get(close + 1).is_some_and(|next| next.token == Token::RParen));
    // A window's name, misspelt.
    let has_descriptor = tokens[open..close.unwrap_or(tokens.len())]
        .iter()
        .any(|token| word(token).is_some_and(|word| word.eq_ignore_ascii_case("descriptor")));
    if has_descriptor {
        return Ok(None);
    }
    let Some(close) = close else {
        return Err(Refusal::new(at, format!("the brackets of {name} do not close; write {}", usage(&name))));
    };
    let (call, table) = read(name, at, &tokens[open + 1..close])?;
    tokens.splice(from + 1..close + 2, [table]);
    Ok(Some(call))
}

/// How a call is written.
pub(crate) fn usage(name: &str) -> String {
    format!("FROM TABLE({name}(TABLE rides PARTITION BY user_id))")
}

fn read(
    name: String,
    at: Location,
    tokens: &[TokenWithSpan],
) -> Result<(ProcessCall, TokenWithSpan), Refusal> {
    let parts = split(tokens);
    if let Some(part) = parts.iter().find(|part| part.iter().any(|token| token.token == Token::RArrow)) {
        let message = format!("named arguments are not available here; write {}", usage(&name));
        return Err(Refusal::new(part[0].span.start, message));
    }
    let table = parts.first().copied().unwrap_or_default();
    let parameters = parts.iter().skip(1);
    let (table, partition_by) = data(&name, at, table)?;
    let value = |part: &&[TokenWithSpan]| {
        let place = part.first().map_or(at, |first| first.span.start);
        Ok((expression(part, at)?, place))
    };
    let parameters = parameters.map(value).collect::<Result<_, Refusal>>()?;
    let table_at = table.span.start;
    Ok((ProcessCall { name, at, table_at, partition_by, parameters }, table))
}

/// `TABLE t PARTITION BY a | PARTITION BY (a, b)`.
fn data(
    name: &str,
    at: Location,
    tokens: &[TokenWithSpan],
) -> Result<(TokenWithSpan, Vec<(Expr, Location)>), Refusal> {
    let place = tokens.first().map_or(at, |first| first.span.start);
    let (table, columns) = match tokens {
        [table, of, partition, by, columns @ ..]
            if keyword(table) == Keyword::TABLE
                && word(of).is_some()
                && keyword(partition) == Keyword::PARTITION
                && keyword(by) == Keyword::BY
                && !columns.is_empty() =>
        {
            (of.clone(), columns)
        }
        [table, of, ..] if keyword(table) == Keyword::TABLE && word(of).is_some() => {
            let message = format!(
                "{name} takes the events of each key together, and PARTITION BY says of which; write {}",
                usage(name)
            );
            return Err(Refusal::new(place, message));
        }
        _ => {
            let message = format!("{name} reads TABLE and a stream's name; write {}", usage(name));
            return Err(Refusal::new(place, message));
        }
    };
    let inner = match columns {
        [open, inner @ .., close] if open.token == Token::LParen && close.token == Token::RParen => inner,
        columns => columns,
    };
    let column = |part: &[TokenWithSpan]| {
        let place = part.first().map_or(place, |first| first.span.start);
        Ok((expression(part, place)?, place))
    };
    let columns = split(inner).into_iter().map(column).collect::<Result<_, Refusal>>()?;
    Ok((table, columns))
}
