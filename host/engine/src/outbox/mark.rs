//! The mark that what a sink's token covers is visible: it is after the checkpoint that holds the token that the sink makes
//! it so, and the checkpoint cannot say it. Blocking.
//!
//! For what is said of a sink that was taken out of its job alone: a mark that is missing makes nobody lose a row, and so
//! it is not synced. Knows tokens as texts.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use weir_connect::{Token, make_folder};

/// The file in the folder of a sink's outbox.
const NAME: &str = "visible";

/// What is visible of which sink.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VisibleMark {
    /// What the sink is known by.
    sink: Option<String>,
    token: Token,
}

impl VisibleMark {
    pub(crate) fn of(sink: Option<&str>, token: &Token) -> VisibleMark {
        VisibleMark { sink: sink.map(str::to_owned), token: token.clone() }
    }

    /// Leaves it in the folder of the sink's outbox, in place of the one before.
    pub(super) fn leave(&self, folder: &Path) {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let left = make_folder(folder).and_then(|()| fs::write(folder.join(NAME), text));
        if let Err(error) = left {
            tracing::debug!(folder = %folder.display(), %error, "a mark of rows that are visible could not be left");
        }
    }

    /// Whether it is the one in this folder.
    pub(crate) fn is_in(&self, folder: &Path) -> bool {
        let read = fs::read(folder.join(NAME)).ok();
        read.and_then(|text| serde_json::from_slice::<VisibleMark>(&text).ok()).as_ref() == Some(self)
    }
}
