//! What is said of the scalar functions: how each is called and what it gives.
//!
//! Must not know a query.

use super::functions::{is_own, told};
use super::library::documented;
use crate::spellings::TOLD;
use datafusion_expr::ScalarUDF;

/// What is said of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionDoc {
    /// How it is called.
    pub call: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// What it gives, as one line.
    pub does: String,
}

/// Every scalar function that a query can call without a plugin, in the order of their names.
pub fn function_docs() -> Vec<FunctionDoc> {
    let library = documented();
    let library = library.iter().filter(|function| !is_respelt(function.name()));
    let respelt = TOLD.iter().map(|(name, call, does)| {
        let doc = FunctionDoc { call: (*call).to_owned(), aliases: Vec::new(), does: (*does).to_owned() };
        ((*name).to_owned(), doc)
    });
    let of_library = library
        .filter(|function| !is_own(function) || told(function).is_some())
        .map(|function| (function.name().to_owned(), describe(function)));
    let mut all: Vec<_> = of_library.chain(respelt).collect();
    all.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    all.into_iter().map(|(_, doc)| doc).collect()
}

fn is_respelt(name: &str) -> bool {
    TOLD.iter().any(|(told, ..)| *told == name)
}

fn describe(function: &ScalarUDF) -> FunctionDoc {
    if let Some((call, does)) = told(function) {
        return FunctionDoc { call: call.to_owned(), aliases: Vec::new(), does: does.to_owned() };
    }
    let name = function.name();
    let aliases = function
        .aliases()
        .iter()
        .map(|alias| alias.to_lowercase())
        .filter(|alias| alias != name && !is_respelt(alias));
    let aliases = aliases.collect();
    let Some(doc) = function.documentation() else {
        return FunctionDoc { call: format!("{name}(..)"), aliases, does: String::new() };
    };
    let calls: Vec<&str> =
        doc.syntax_example.lines().map(str::trim).filter(|call| !call.is_empty()).collect();
    FunctionDoc { call: calls.join(" or "), aliases, does: first_sentence(&doc.description) }
}

/// The library's texts are pages of Markdown, of which the first sentence says what the value is.
fn first_sentence(text: &str) -> String {
    let first = text.trim().split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let ends = |word: &&str| word.ends_with('.') && !word.ends_with(".g.") && !word.ends_with(".e.");
    let end = words.iter().position(ends).map_or(words.len(), |at| at + 1);
    without_links(words[..end].join(" ").trim_end_matches('.'))
}

/// `[text](address)` as `text`: the addresses are those of other pages.
fn without_links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    let link = rest.split_once("](").and_then(|(name, rest)| Some((name, rest.split_once(')')?.1)));
    match link {
        Some((name, after)) => format!("{before}{name}{}", without_links(after)),
        None => format!("{before}[{}", without_links(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_a_sentence() {
        let page =
            "Counts [matches](https://example.org/a) of\n a pattern, e.g. `a[0]`. It\n is slow.\n\nMore.";
        assert_eq!(first_sentence(page), "Counts matches of a pattern, e.g. `a[0]`");
    }

    #[test]
    fn every_function_says_how_it_is_called() {
        let docs = function_docs();
        assert!(docs.len() > 100, "{}", docs.len());
        assert!(docs.iter().all(|doc| !doc.call.is_empty()));
        assert!(!docs.iter().any(|doc| doc.call.starts_with("now(")), "what a query cannot call is not told");
    }
}
