//! What was probably meant by a name that is not known. Knows letters; must not know what the names stand for.

use std::cmp::Reverse;

/// The known name that is nearest to a misspelt one, if it is near enough to be meant: one letter in four may differ,
/// and of short names the first may not.
///
/// ```
/// use weir_event::suggestion::nearest;
/// assert_eq!(nearest("user_actvity", ["rides", "user_activity"]), Some("user_activity"));
/// assert_eq!(nearest("x", ["rides", "y"]), None);
/// ```
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
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
    fn of_short_names_the_first_letter_is_not_mistyped() {
        assert_eq!(nearest("sum", ["num"]), None);
        assert_eq!(nearest("sun", ["sum"]), Some("sum"));
    }
}
