//! The query's text as tokens: bounds on it, constructs that the parser's tree cannot hold, and the rewrite of
//! what it would read wrongly.
//!
//! Knows words and brackets. Must not know columns, functions or types.

use crate::dialect::Flink;
use crate::report::{Refusal, START};
use crate::unnest::is_unnest;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use weir_timeline::Exclude;

/// The longest query, in bytes. The longest that people write are a few KiB; what is far beyond was made by a
/// mistake, and planning it would hold up everything else.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;

/// The deepest tree of operators and brackets: planning walks it recursively, on stacks of 2 MiB.
pub(crate) const DEPTH_LIMIT: usize = 100;

/// `EXCLUDE` in a frame, which the parser's tree has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exclusion {
    /// The places of the brackets that hold the window.
    pub(crate) open: Location,
    pub(crate) close: Location,
    pub(crate) exclude: Exclude,
}

/// Reads the tokens, without white space and comments, and without the EXCLUDE of frames, which is told apart.
/// Errors: what no parser needs to see to refuse it.
pub(crate) fn tokens(text: &str) -> Result<Tokens, Vec<Refusal>> {
    if text.len() > TEXT_LIMIT_BYTES {
        let message = format!(
            "the query is {} bytes long, the limit is {TEXT_LIMIT_BYTES}; split it into several jobs",
            text.len()
        );
        return Err(vec![Refusal::new(START, message)]);
    }
    let mut tokens = Tokenizer::new(&Flink, text)
        .tokenize_with_location()
        .map_err(|error| vec![Refusal::new(error.location, lower_first(&error.message))])?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut refusals = constructs(&tokens);
    refusals.extend(too_deep(&tokens));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    call_top(&mut tokens);
    take_null_on_error(&mut tokens);
    let exclusions = take_exclusions(&mut tokens).map_err(|refusal| vec![refusal])?;
    let last_join = take_last_join(&mut tokens).map_err(|refusal| vec![refusal])?;
    Ok(Tokens { tokens, exclusions, last_join })
}

/// A query's tokens, and what was taken out of them.
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<TokenWithSpan>,
    pub(crate) exclusions: Vec<Exclusion>,
    pub(crate) last_join: Option<WrittenLastJoin>,
}

/// `LAST JOIN`, which the parser would read as an alias and another join.
pub(crate) struct WrittenLastJoin {
    pub(crate) at: Location,
    /// What stands behind WITHIN.
    pub(crate) within: Vec<TokenWithSpan>,
}

/// Puts a join that no query can write in place of LAST JOIN, and takes its `WITHIN ..` out.
fn take_last_join(tokens: &mut Vec<TokenWithSpan>) -> Result<Option<WrittenLastJoin>, Refusal> {
    let mut found = (0..tokens.len()).filter(|at| is_last_join(tokens, *at));
    let Some(at) = found.next() else { return Ok(None) };
    let place = tokens[at].span.start;
    if let Some(second) = found.next() {
        let message =
            "weir 0.1 takes one LAST JOIN in a query; write a job for each, one lookup can ask several jobs";
        return Err(Refusal::new(tokens[second].span.start, message));
    }
    let span = tokens[at].span;
    let of_parser = ["LEFT", "ANTI"].map(|word| TokenWithSpan { token: Token::make_keyword(word), span });
    tokens.splice(at..=at, of_parser);
    let is_within = |pair: &[TokenWithSpan]| {
        is_unquoted(&pair[0], "WITHIN") && keyword(Some(&pair[1])) == Keyword::INTERVAL
    };
    let Some(within) = tokens[at..].windows(2).position(is_within).map(|from| at + from) else {
        return Ok(Some(WrittenLastJoin { at: place, within: Vec::new() }));
    };
    let ends = |token: &TokenWithSpan| {
        token.token == Token::SemiColon
            || matches!(
                keyword(Some(token)),
                Keyword::WHERE
                    | Keyword::GROUP
                    | Keyword::HAVING
                    | Keyword::WINDOW
                    | Keyword::ORDER
                    | Keyword::LIMIT
            )
    };
    let length = tokens[within..].iter().position(ends).unwrap_or(tokens.len() - within);
    let taken: Vec<TokenWithSpan> = tokens.drain(within..within + length).skip(1).collect();
    Ok(Some(WrittenLastJoin { at: place, within: taken }))
}

/// Whether a join begins here that weir has.
fn is_ours(tokens: &[TokenWithSpan], at: usize) -> bool {
    is_last_join(tokens, at) || is_unnest(tokens, at)
}

fn is_last_join(tokens: &[TokenWithSpan], at: usize) -> bool {
    is_unquoted(&tokens[at], "LAST") && keyword(tokens.get(at + 1)) == Keyword::JOIN
}

fn is_unquoted(token: &TokenWithSpan, name: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name))
}

/// Takes `EXCLUDE ..` out of the frames.
fn take_exclusions(tokens: &mut Vec<TokenWithSpan>) -> Result<Vec<Exclusion>, Refusal> {
    // Brackets that are open, each with the exclusion of the window in it, if it has one.
    let mut open: Vec<(Location, Option<usize>)> = Vec::new();
    let (mut exclusions, mut at): (Vec<Exclusion>, _) = (Vec::new(), 0);
    while at < tokens.len() {
        match tokens[at].token {
            Token::LParen => open.push((tokens[at].span.start, None)),
            Token::RParen => {
                if let Some((_, Some(index))) = open.pop() {
                    exclusions[index].close = tokens[at].span.start;
                }
            }
            _ if at > 0 && ends_frame(&tokens[at - 1]) && keyword(Some(&tokens[at])) == Keyword::EXCLUDE => {
                if let Some((place, own)) = open.last_mut() {
                    let (exclude, words) = excluded(&tokens[at..])?;
                    *own = Some(exclusions.len());
                    exclusions.push(Exclusion { open: *place, close: *place, exclude });
                    tokens.drain(at..at + words);
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(exclusions)
}

/// Whether a frame may end with this token.
fn ends_frame(token: &TokenWithSpan) -> bool {
    matches!(keyword(Some(token)), Keyword::ROW | Keyword::PRECEDING | Keyword::FOLLOWING)
}

/// What the words from EXCLUDE on say, and how many they are.
fn excluded(tokens: &[TokenWithSpan]) -> Result<(Exclude, usize), Refusal> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    };
    let message = match (word(1).as_str(), word(2).as_str()) {
        ("CURRENT", "ROW") => return Ok((Exclude::CurrentRow, 3)),
        ("NO", "OTHERS") => return Ok((Exclude::None, 3)),
        ("TIES", _) => return Ok((Exclude::Ties, 2)),
        ("GROUP", _) => {
            "EXCLUDE GROUP is not available; end the frame before the row's time instead, as in RANGE BETWEEN INTERVAL \
             '90' DAY PRECEDING AND INTERVAL '0.001' SECOND PRECEDING"
        }
        _ => "EXCLUDE takes CURRENT ROW, TIES or NO OTHERS; write one of them",
    };
    Err(Refusal::new(tokens[0].span.start, message))
}

/// Makes `TOP` before a bracket a name: to the parser it is a clause of `SELECT`.
fn call_top(tokens: &mut [TokenWithSpan]) {
    for at in 1..tokens.len() {
        if tokens[at].token != Token::LParen {
            continue;
        }
        if let Token::Word(word) = &mut tokens[at - 1].token
            && word.keyword == Keyword::TOP
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
}

/// Takes `NULL ON EMPTY` and `NULL ON ERROR` out of calls of JSON functions: it is what they do, and the parser does not
/// read it.
fn take_null_on_error(tokens: &mut Vec<TokenWithSpan>) {
    let is_word = |token: &TokenWithSpan, words: &[&str]| match &token.token {
        Token::Word(word) => words.iter().any(|known| word.value.eq_ignore_ascii_case(known)),
        _ => false,
    };
    let mut at = 0;
    while let Some([null, on, what]) = tokens.get(at..at + 3) {
        if is_word(null, &["NULL"]) && is_word(on, &["ON"]) && is_word(what, &["EMPTY", "ERROR"]) {
            tokens.drain(at..at + 3);
        } else {
            at += 1;
        }
    }
}

fn keyword(token: Option<&TokenWithSpan>) -> Keyword {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Constructs that are recognised by their words, so that the refusal has their exact place.
fn constructs(tokens: &[TokenWithSpan]) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let (mut depth, mut in_from) = (0_usize, false);
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        let word = keyword(Some(token));
        let next = tokens.get(at + 1);
        if depth == 0 && word == Keyword::FROM {
            in_from = true;
        }
        let top_level = depth == 0 && in_from;
        let message = match word {
            Keyword::SELECT if is_operand_query(tokens, at) => {
                "a subquery cannot be a value of an expression: it would read another query's results, which weir 0.1 \
                 does not do yet; write a job for each query, one lookup can ask several jobs"
            }
            Keyword::JOIN if !at.checked_sub(1).is_some_and(|before| is_ours(tokens, before)) => {
                "of joins weir 0.1 has LAST JOIN (and CROSS JOIN UNNEST): write a LAST JOIN b ON a.x = b.y for each row of a with the newest row of b \
                 as of its time; one lookup can ask several jobs"
            }
            Keyword::UNION if keyword(next) != Keyword::ALL => {
                "UNION without ALL would have to remember every row for ever; write UNION ALL"
            }
            Keyword::INTERSECT | Keyword::EXCEPT if depth == 0 => {
                "set operations other than UNION ALL are not available; write a job for each query"
            }
            Keyword::ORDER if top_level && keyword(next) == Keyword::BY => {
                "results of a stream have no end to be sorted by; leave ORDER BY out (TOP(n, x) keeps the last n \
                 values in order of time)"
            }
            Keyword::LIMIT | Keyword::FETCH if top_level && !is_operand(next) => {
                "results of a stream have no end to be limited; leave it out (TOP(n, x) keeps the last n values of \
                 a key)"
            }
            Keyword::DEFAULT if keyword(tokens.get(at + 2)) == Keyword::ON => {
                "DEFAULT .. ON EMPTY or ON ERROR is not available; write COALESCE(JSON_VALUE(..), 0)"
            }
            Keyword::INTERVAL => match unknown_unit(&tokens[at + 1..]) {
                Some(unit) => {
                    let message =
                        format!("`{unit}` is not a unit of an interval; write DAY, HOUR, MINUTE or SECOND");
                    refusals.push(Refusal::new(tokens[at + 2].span.start, message));
                    continue;
                }
                None => continue,
            },
            _ => continue,
        };
        refusals.push(Refusal::new(token.span.start, message));
    }
    refusals
}

/// The word after the number of an interval, if it is not a unit: the parser would take it for an alias.
fn unknown_unit(tokens: &[TokenWithSpan]) -> Option<&str> {
    let [number, unit, ..] = tokens else { return None };
    let is_number = match &number.token {
        Token::Number(..) => true,
        Token::SingleQuotedString(text) => {
            text.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'-' | b'.' | b' '))
        }
        _ => false,
    };
    match &unit.token {
        Token::Word(word) if is_number && word.keyword == Keyword::NoKeyword => Some(&word.value),
        _ => None,
    }
}

/// Whether the words up to this one are UNION ALL.
fn is_union_all(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    keyword(before) == Keyword::UNION && keyword(tokens.get(at)) == Keyword::ALL
}

/// Whether a SELECT begins a subquery that is neither read by FROM or JOIN nor named by WITH.
fn is_operand_query(tokens: &[TokenWithSpan], at: usize) -> bool {
    let Some([before, open]) = at.checked_sub(2).and_then(|from| tokens.get(from..at)) else { return false };
    let is_source = matches!(keyword(Some(before)), Keyword::FROM | Keyword::AS | Keyword::JOIN)
        || before.token == Token::LParen
        || is_union_all(tokens, at - 2);
    open.token == Token::LParen && !is_source
}

/// Whether the token before this one was an operand, so that a word such as `limit` is a column.
fn is_operand(next: Option<&TokenWithSpan>) -> bool {
    match next.map(|next| &next.token) {
        Some(Token::Number(..)) => false,
        Some(Token::Word(word)) => {
            matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::IS | Keyword::IN)
        }
        _ => true,
    }
}

/// One level of brackets (or of CASE .. END), as far as it was read.
#[derive(Default)]
struct Level {
    /// Operators since the last comma, clause, AND or OR: each may deepen the tree by one.
    operators: usize,
    /// Depth of the deepest bracket in the same stretch.
    inner: usize,
    /// The deepest side of an AND or OR since the last comma or clause, and how many of these there are.
    side: usize,
    sides: usize,
    /// The deepest expression before the last comma or clause.
    deepest: usize,
    is_case: bool,
}

impl Level {
    fn cut(&mut self) {
        let deepest = self.depth();
        *self = Level { deepest, is_case: self.is_case, ..Level::default() };
    }

    fn next_side(&mut self) {
        self.side = self.side.max(self.operators + self.inner);
        self.sides += 1;
        (self.operators, self.inner) = (0, 0);
    }

    fn depth(&self) -> usize {
        self.deepest.max(self.sides + self.side.max(self.operators + self.inner))
    }
}

/// An upper bound on the depth of the tree that these tokens make, checked before there is a tree.
fn too_deep(tokens: &[TokenWithSpan]) -> Option<Refusal> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        let word = keyword(Some(token));
        let closes_case = word == Keyword::END && levels.last().is_some_and(|level| level.is_case);
        if matches!(token.token, Token::LParen | Token::LBracket) || word == Keyword::CASE {
            levels.push(Level { is_case: word == Keyword::CASE, ..Level::default() });
        } else if matches!(token.token, Token::RParen | Token::RBracket) || closes_case {
            if levels.len() > 1
                && let Some(closed) = levels.pop()
                && let Some(outer) = levels.last_mut()
            {
                outer.inner = outer.inner.max(closed.depth() + 1);
            }
        } else if let Some(level) = levels.last_mut() {
            match (&token.token, word) {
                (_, Keyword::AND | Keyword::OR) => level.next_side(),
                (Token::Comma, _)
                | (
                    _,
                    Keyword::WHEN
                    | Keyword::THEN
                    | Keyword::ELSE
                    | Keyword::FROM
                    | Keyword::WHERE
                    | Keyword::HAVING
                    | Keyword::GROUP
                    | Keyword::WINDOW,
                ) => level.cut(),
                (Token::Word(_), Keyword::NoKeyword)
                | (Token::Number(..) | Token::SingleQuotedString(_), _) => {}
                _ => level.operators += 1,
            }
        }
        let open: usize = levels.iter().map(Level::depth).max().unwrap_or(0) + levels.len();
        if open > DEPTH_LIMIT {
            let message = format!(
                "the expression is nested deeper than {DEPTH_LIMIT} operators and brackets; write IN (..) for a \
                 long chain of OR, or split it into several columns"
            );
            return Some(Refusal::new(token.span.start, message));
        }
    }
    None
}

/// The parser's messages begin with a capital letter, ours do not.
pub(crate) fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}
