//! The part of a target after `?`: names and values, decoded.
//!
//! Must not know what any parameter means.

use crate::problem::Problem;
use crate::routes::Parameter;
use std::borrow::Cow;
use weir_event::suggestion::{instead_of, shown};

/// Parameters of a request: more than any route takes and any key has columns, few enough to compare each with each.
const MAX_PARAMETERS: usize = 256;

/// The parameters of a request in order.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads `name=value&..`; `+` is a blank and `%XX` a byte. A name may come once.
    pub(crate) fn parse(text: Option<&'a str>) -> Result<Query<'a>, Problem> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(Problem::malformed(format!("a request takes up to {MAX_PARAMETERS} parameters")));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Problem::malformed(format!(
                    "the parameter `{}` is given twice; give it once",
                    shown(&name)
                )));
            }
            parameters.push((name, value));
        }
        Ok(Query { parameters })
    }

    /// Takes out the value of a parameter.
    pub(crate) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.parameters.iter().position(|(known, _)| known == name)?;
        Some(self.parameters.swap_remove(at).1)
    }

    /// Takes out a parameter that is `true` or `false`.
    pub(crate) fn take_flag(&mut self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.take(name).as_deref() {
            None => Ok(default),
            Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(Problem::malformed(format!("`{name}` is true or false, not `{}`", shown(other))))
            }
        }
    }

    /// Takes out `limit`, from 1 to `most`.
    pub(crate) fn take_limit(&mut self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(limit) = self.take("limit") else { return Ok(default) };
        let read = limit.parse().ok().filter(|limit| (1..=most).contains(limit));
        let wrong = || format!("`limit` is a whole number from 1 to {most}, not `{}`", shown(&limit));
        read.ok_or_else(|| Problem::malformed(wrong()))
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Says what is wrong with each parameter that nobody took.
    pub(crate) fn leftovers(&self, known: &[&str]) -> Vec<String> {
        let unknown = |(name, _): &(Cow<'a, str>, _)| {
            format!("unknown parameter `{}`; {}", shown(name), instead_of(name, known.iter().copied()))
        };
        self.parameters.iter().map(unknown).collect()
    }

    /// Refuses parameters that are not in the route's table.
    pub(crate) fn finish(self, known: &[Parameter]) -> Result<(), Problem> {
        let known: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
        match self.leftovers(&known).as_slice() {
            [] => Ok(()),
            reasons => Err(Problem::of_reasons(crate::problem::Kind::Malformed, "the parameters", reasons)),
        }
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let pair = bytes
                    .get(at + 1..at + 3)
                    .and_then(|pair| Some((hexadecimal(pair[0])?, hexadecimal(pair[1])?)));
                let (high, low) = pair.ok_or_else(|| {
                    Problem::malformed(format!(
                        "`%` at byte {at} of `{}` is not followed by two hexadecimal digits",
                        shown(text)
                    ))
                })?;
                decoded.push(high << 4 | low);
                at += 2;
            }
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    let text = String::from_utf8(decoded);
    text.map(Cow::Owned).map_err(|_| Problem::malformed("a parameter is not UTF-8 after decoding its `%XX`"))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let mut query = Query::parse(Some("user_id=a%26b+c&flag=true&empty&&%C3%BC=%F0%9F%9A%95")).unwrap();
        assert_eq!(query.take("user_id").unwrap(), "a&b c");
        assert_eq!(query.take("ü").unwrap(), "🚕");
        assert!(query.take_flag("flag", false).unwrap());
        assert_eq!(query.take("empty").unwrap(), "");
        assert!(query.finish(&[]).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%FF", "a=1&a=2"] {
            assert!(Query::parse(Some(text)).is_err(), "{text}");
        }
        assert!(Query::parse(Some("explain=yes")).unwrap().take_flag("explain", false).is_err());
        let problem = Query::parse(Some("limt=3"))
            .unwrap()
            .finish(&[Parameter { name: "limit", does: "" }])
            .unwrap_err();
        assert_eq!(problem.detail(), "unknown parameter `limt`; did you mean `limit`?");
    }
}
