//! The statuses of a value: every word, and what it says.
//!
//! Must not know when a value has which.

/// What a value is.
/// Of several that are true the greatest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Ok,
    Default,
    NotFound,
    Partial,
    CatchingUp,
    Stale,
    Error,
}

/// What is said of a status.
#[derive(Debug, Clone, Copy)]
pub struct StatusDoc {
    /// The word in an answer.
    pub word: &'static str,
    /// When a value has it.
    pub does: &'static str,
}

const fn doc(word: &'static str, does: &'static str) -> StatusDoc {
    StatusDoc { word, does }
}

/// In the order of the statuses.
const DOCS: &[StatusDoc] = &[
    doc("ok", "the value of the window's rows"),
    doc("default", "no row is in the window: the default that the job declares"),
    doc(
        "not_found",
        "no row is in the window: the aggregate of nothing, such as 0 for COUNT and null for SUM",
    ),
    doc(
        "partial",
        "the window begins before the data of the job, or of a feature that an edit has added or changed, which begin at `since`",
    ),
    doc("catching_up", "much of what the job's source holds is not read yet"),
    doc("stale", "the job stands still, or its source is further behind than `stale_after`"),
    doc("error", "the value could not be computed, for the `reason`"),
];

/// Every status of a value.
pub fn status_docs() -> &'static [StatusDoc] {
    DOCS
}

impl Status {
    /// The word in an answer.
    pub(crate) fn word(self) -> &'static str {
        DOCS[self as usize].word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_own_word() {
        for (status, word) in [
            (Status::Ok, "ok"),
            (Status::Default, "default"),
            (Status::NotFound, "not_found"),
            (Status::Partial, "partial"),
            (Status::CatchingUp, "catching_up"),
            (Status::Stale, "stale"),
            (Status::Error, "error"),
        ] {
            assert_eq!(status.word(), word);
        }
        assert_eq!(DOCS.len(), Status::Error as usize + 1);
    }
}
