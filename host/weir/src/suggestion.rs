//! What was probably meant by a name that nothing has.

/// Names further apart than this share of their length are no typing error.
const SIMILARITY: f64 = 0.7;

/// The end of a message about an unknown name: the nearest known one, or all of them.
pub(crate) fn instead_of(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "none are known".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// The known name that is most like this one, if any is like it at all.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let alike = |candidate: &'k str| (strsim::normalized_damerau_levenshtein(name, candidate), candidate);
    let nearest =
        known.iter().map(|candidate| alike(candidate)).max_by(|left, right| left.0.total_cmp(&right.0));
    nearest.filter(|(similarity, _)| *similarity >= SIMILARITY).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::instead_of;

    #[test]
    fn near_names_are_suggested_and_others_listed() {
        assert_eq!(instead_of("user_actvity", &["rides", "user_activity"]), "did you mean `user_activity`?");
        assert_eq!(instead_of("x", &["rides", "trips"]), "there are: rides, trips");
        assert_eq!(instead_of("x", &[]), "none are known");
    }
}
