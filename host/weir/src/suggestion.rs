//! What was probably meant by a name that nothing has.

/// Names further apart than this share of their length are no typing error.
const SIMILARITY: f64 = 0.7;

/// The end of a message about an unknown name: the nearest known one, or all of them.
pub(crate) fn instead_of(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((similarity, candidate)) if similarity >= SIMILARITY => format!("did you mean `{candidate}`?"),
        Some(_) => format!("there are: {}", known.join(", ")),
        None => "none are known".to_owned(),
    }
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
