//! `FROM orders CROSS JOIN UNNEST(items) AS t(item)`: a row for each item of a list.
//!
//! The parser does not read it here, so it is cut out of the tokens, and the stream's name is left. Knows what is written,
//! and the columns that it adds. Must not know what the query computes of them.

use crate::expressions::{Bound, Functions, ScopeColumn, type_name};
use crate::names::Names;
use crate::relation::stream_scope;
use crate::report::Refusal;
use crate::table_function::{closing, expression};
use arrow_schema::DataType as ArrowType;
use sqlparser::ast::Expr;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use weir_event::{DataType, Field};
use weir_plan::StreamDefinition;

/// What is to be written.
const USAGE: &str = "FROM orders CROSS JOIN UNNEST(items) AS t(item)";

/// An UNNEST as it was written.
#[derive(Debug, Clone)]
pub(crate) struct WrittenUnnest {
    /// The place of the stream's name before it.
    pub(crate) table_at: Location,
    /// What the stream's columns may be qualified with.
    qualifier: String,
    pub(crate) at: Location,
    list: Expr,
    /// The names that it gives to its columns.
    names: Vec<String>,
}

/// The columns that items of a list are.
#[derive(Debug)]
pub(crate) struct Items {
    /// The list, over the stream's columns.
    pub(crate) list: Bound,
    pub(crate) columns: Vec<Field>,
    /// Whether they are the fields of each item; else there is one, the item itself.
    pub(crate) of_fields: bool,
}

/// Takes all of them out of the tokens.
pub(crate) fn cut(tokens: &mut Vec<TokenWithSpan>) -> Result<Vec<WrittenUnnest>, Refusal> {
    let mut found = Vec::new();
    while let Some(cross) = (0..tokens.len()).find(|at| is_unnest(tokens, *at)) {
        let at = tokens[cross + 2].span.start;
        let refuse = |message: String| Err(Refusal::new(at, message));
        let Some((table_at, qualifier)) = table_before(tokens, cross) else {
            return refuse(format!("UNNEST stands behind the name of a stream; write {USAGE}"));
        };
        let open = cross + 3;
        let close = closing(tokens, open).filter(|_| tokens[open].token == Token::LParen);
        let Some(close) = close else {
            return refuse(format!("the brackets of UNNEST do not close; write {USAGE}"));
        };
        let list = expression(&tokens[open + 1..close], at)?;
        let Some((alias, names, end)) = alias(tokens, close + 1) else {
            return refuse(format!("UNNEST names its columns; write {USAGE}"));
        };
        tokens.drain(cross..end);
        leave_qualifier(tokens, &alias, &names);
        found.push(WrittenUnnest { table_at, qualifier, at, list, names });
    }
    Ok(found)
}

/// Whether `CROSS JOIN UNNEST(` begins here.
pub(crate) fn is_unnest(tokens: &[TokenWithSpan], at: usize) -> bool {
    let keywords = [Keyword::CROSS, Keyword::JOIN, Keyword::UNNEST];
    (at..).zip(keywords).all(|(at, wanted)| keyword(tokens.get(at)) == wanted)
}

fn keyword(token: Option<&TokenWithSpan>) -> Keyword {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn word(token: Option<&TokenWithSpan>) -> Option<&str> {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) => Some(&word.value),
        _ => None,
    }
}

/// The place of the name between FROM and here, if that is all there is except an alias; and the alias, or the name.
fn table_before(tokens: &[TokenWithSpan], cross: usize) -> Option<(Location, String)> {
    let from = tokens[..cross].iter().rposition(|token| keyword(Some(token)) == Keyword::FROM)?;
    let between = &tokens[from + 1..cross];
    let is_named =
        (1..=3).contains(&between.len()) && between.iter().all(|token| word(Some(token)).is_some());
    let last = word(between.last()).filter(|_| is_named)?;
    Some((between[0].span.start, last.to_owned()))
}

/// `AS t(a, b)`: the alias, the names, and where it ends.
fn alias(tokens: &[TokenWithSpan], from: usize) -> Option<(String, Vec<String>, usize)> {
    let from = from + usize::from(keyword(tokens.get(from)) == Keyword::AS);
    let alias = word(tokens.get(from))?.to_owned();
    let open = from + 1;
    let close = closing(tokens, open).filter(|_| tokens[open].token == Token::LParen)?;
    let names = tokens[open + 1..close].split(|token| token.token == Token::Comma);
    let name = |part: &[TokenWithSpan]| match part {
        [only] => word(Some(only)).map(str::to_owned),
        _ => None,
    };
    Some((alias, names.map(name).collect::<Option<_>>()?, close + 1))
}

/// Its columns are among those of the stream: `t.item` is `item`.
fn leave_qualifier(tokens: &mut Vec<TokenWithSpan>, alias: &str, names: &[String]) {
    let mut at = 0;
    while let Some([qualifier, period, column]) = tokens.get(at..at + 3) {
        let is_own = word(Some(qualifier)) == Some(alias)
            && period.token == Token::Period
            && word(Some(column)).is_some_and(|column| names.iter().any(|name| name == column));
        if is_own {
            tokens.drain(at..at + 2);
        }
        at += 1;
    }
}

impl WrittenUnnest {
    /// The columns that it adds to a stream's.
    pub(crate) fn items(
        &self,
        stream: &StreamDefinition,
        names: &Names<'_>,
        functions: &Functions<'_>,
    ) -> Result<Items, Vec<Refusal>> {
        let refuse = |message: String| Err(vec![Refusal::new(self.at, message)]);
        let mut list = self.list.clone();
        let unresolved = Names { qualifier: &self.qualifier, ..*names }.resolve(&mut list);
        if !unresolved.is_empty() {
            return Err(unresolved);
        }
        let bound = stream_scope(stream, None, functions).and_then(|scope| scope.bind(list));
        let list = match bound.and_then(Bound::normalised) {
            Ok(list) => list,
            Err(message) => return refuse(message),
        };
        let ArrowType::List(item) = &list.data_type else {
            return refuse(format!(
                "UNNEST takes a list, not a value of type {}",
                type_name(&list.data_type)
            ));
        };
        let Some(item) = DataType::from_arrow(item.data_type()) else {
            return refuse(format!("items of type {} cannot be columns", type_name(item.data_type())));
        };
        let types = match (self.names.len(), item) {
            (1, item) => vec![item],
            (count, DataType::Row(fields)) if fields.len() == count => {
                fields.into_iter().map(|(_, field)| field).collect()
            }
            (count, item) => {
                let message = format!(
                    "UNNEST gives items of type {item}, and {count} columns are named; {}",
                    match &item {
                        DataType::Row(fields) => format!("name one, or the {} fields", fields.len()),
                        _ => "name one".to_owned(),
                    }
                );
                return refuse(message);
            }
        };
        let of_fields = self.names.len() > 1;
        if let Some(name) = self.names.iter().find(|name| stream.schema.index_of(name).is_some()) {
            return refuse(format!(
                "`{name}` is a column of `{}`; give that of UNNEST another name",
                stream.name
            ));
        }
        let columns = self.names.iter().zip(types).map(|(name, data_type)| Field::named(name, data_type));
        Ok(Items { list, columns: columns.collect(), of_fields })
    }
}

impl Items {
    /// The columns that it adds, as a scope has them.
    pub(crate) fn scope_columns(&self) -> impl Iterator<Item = ScopeColumn> {
        self.columns.iter().enumerate().map(|(at, field)| ScopeColumn {
            name: field.name.clone(),
            data_type: field.data_type.to_arrow(),
            canonical: format!("{} {at}", self.canonical()),
        })
    }

    /// What makes its rows.
    pub(crate) fn canonical(&self) -> String {
        format!("unnest{}[{}]", if self.of_fields { "-fields" } else { "" }, self.list.canonical)
    }
}
