//! Feature packs of projects: which files of a project's folder make one, what is said of them, and how a project looks
//! with one.
//!
//! Knows projects, definitions and their plans. Must not know what an artifact consists of, or where it lies: that is the
//! business of the crate `weir-pack`.

mod described;
mod selected;
mod view;

pub(crate) use described::{SoundProject, planned};
pub(crate) use selected::{Choice, Selection, select};
pub(crate) use view::View;

use crate::failure::Failure;
use std::collections::BTreeMap;

/// Values of variables, as the command line gives them: `NAME=VALUE`.
pub(crate) fn variables(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let one = |text: &String| {
        let wrong = || Failure::user(format!("--set {text}: write NAME=VALUE"));
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        Ok((name.to_owned(), value.to_owned()))
    };
    given.iter().map(one).collect()
}

/// A text of a pack that somebody else made: on one line, without what a terminal takes for an order.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
