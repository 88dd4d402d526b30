//! What was probably meant by a name that is not known, and how a message repeats a text from outside. Knows letters;
//! must not know what the names stand for.

use std::borrow::Cow;
use std::cmp::Reverse;

/// The longest part of a text from outside that a message repeats: as long as the longest name of anything here.
const SHOWN_BYTES: usize = 64;

/// A text from outside as messages repeat it: cut where it is longer than any name, so that no answer and no line of a
/// log grows with what somebody sends.
///
/// ```
/// use weir_event::suggestion::shown;
/// assert_eq!(shown("user_activity"), "user_activity");
/// assert_eq!(shown(&"a".repeat(1000)), format!("{}…", "a".repeat(64)));
/// ```
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_BYTES {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(SHOWN_BYTES)]))
}

/// The known name that is nearest to a misspelt one, if it is near enough to be meant: one letter in four may differ,
/// and of short names the first may not. A name that is longer than any known one can be is not compared: that takes as
/// many steps as both have letters together squared.
///
/// ```
/// use weir_event::suggestion::nearest;
/// assert_eq!(nearest("user_actvity", ["rides", "user_activity"]), Some("user_activity"));
/// assert_eq!(nearest("x", ["rides", "y"]), None);
/// ```
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > SHOWN_BYTES {
        return None;
    }
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    let farthest = length.div_ceil(4);
    let is_meant = |candidate: &str| length > 4 || candidate.chars().next() == lower.chars().next();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= farthest && is_meant(&candidate.to_lowercase()))
        // Letters are left out more often than put in.
        .min_by_key(|(distance, candidate)| (*distance, Reverse(candidate.len()), *candidate))
        .map(|(_, candidate)| candidate)
}

/// The end of a message about a name that is not known: the nearest known one, or all of them.
pub fn instead_of<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "none are known".to_owned(),
        None => format!("known: {}", known.join(", ")),
    }
}

/// As [`instead_of`], and says first that there is no such thing: `unknown key; did you mean ..`.
pub fn unknown<'k>(noun: &str, name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    format!("unknown {noun}; {}", instead_of(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_others_listed() {
        assert_eq!(instead_of("flie", ["file", "http"]), "did you mean `file`?");
        assert_eq!(instead_of("User_ID", ["geohash", "user_id"]), "did you mean `user_id`?");
        assert_eq!(instead_of("x", ["rides", "trips"]), "known: rides, trips");
        assert_eq!(instead_of("x", []), "none are known");
        assert_eq!(unknown("key", "folow", ["follow"]), "unknown key; did you mean `follow`?");
    }

    #[test]
    fn a_long_name_is_cut_between_letters_and_not_compared() {
        let long = "ü".repeat(50);
        assert_eq!(shown(&long), format!("{}…", "ü".repeat(32)));
        assert_eq!(shown(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(nearest(&"x".repeat(65), ["x".repeat(64).as_str()]), None);
        assert_eq!(nearest(&"x".repeat(64), ["x".repeat(63).as_str()]), Some("x".repeat(63).as_str()));
        assert_eq!(shown(&format!("{}ü", "x".repeat(63))), format!("{}…", "x".repeat(63)));
    }

    #[test]
    fn of_short_names_the_first_letter_is_not_mistyped() {
        assert_eq!(nearest("sum", ["num"]), None);
        assert_eq!(nearest("sun", ["sum"]), Some("sum"));
    }
}
