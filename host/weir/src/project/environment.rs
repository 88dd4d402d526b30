//! Variables of the environment that somebody meant for weir and misspelt. Knows names, no values.

use std::collections::BTreeSet;
use weir_event::suggestion::nearest;
use weir_plan::{Diagnostic, place_of_variable, server_variables};

const PREFIX: &str = "WEIR_";
/// What the command line reads beside the server's settings.
const OF_COMMANDS: [&str; 5] =
    ["WEIR_SERVER", "WEIR_TOKEN", "WEIR_KEY_PASSWORD", "WEIR_REGISTRY_USERNAME", "WEIR_REGISTRY_PASSWORD"];

/// Warns of each variable of these that nobody has asked for and that is named almost as one is. Others are not told:
/// a definition of tomorrow, a build or a cluster may call its own whatever it likes.
pub(super) fn misspelt(names: impl Iterator<Item = String>, asked: &BTreeSet<String>) -> Vec<Diagnostic> {
    let settings = server_variables();
    let known = settings.iter().map(|variable| variable.name.as_str()).chain(OF_COMMANDS);
    let known: Vec<&str> = known.filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let mut found: Vec<Diagnostic> = names
        .filter(|name| !asked.contains(name))
        .filter_map(|name| {
            // The prefix, which all have, would make all alike.
            let own = name.strip_prefix(PREFIX).filter(|own| !known.contains(own))?;
            let near = nearest(own, known.iter().copied())?;
            let message = format!("is not known and changes nothing; did you mean `{PREFIX}{near}`?");
            Some(Diagnostic::warning(place_of_variable(&name), 1, 1, message))
        })
        .collect();
    found.sort_by(|left, right| left.file.cmp(&right.file));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_is_told_with_the_right_name_and_nothing_else_is() {
        let asked = BTreeSet::from(["WEIR_LISTEM".to_owned()]);
        let quiet = [
            "WEIR_LIMITS_BODY",
            "WEIR_TOKEN",
            "WEIR_SERVER",
            "WEIR_LOG",
            "WEIR_LISTEM",
            "WEIR_SERVICE_HOST",
            "WEIR_PORT",
            "WEIR_PORT_8080_TCP",
            "WEIR_TARGET_DIR",
            "WEIR_CASES",
            "WEIR_PLUGIN_COMPILER",
            "LISTEM",
        ];
        assert_eq!(misspelt(quiet.into_iter().map(str::to_owned), &asked), Vec::new());
        for (name, near) in [
            ("WEIR_LIMTS_BODY", "WEIR_LIMITS_BODY"),
            ("WEIR_SHARD", "WEIR_SHARDS"),
            ("WEIR_listen", "WEIR_LISTEN"),
            ("WEIR_CHECKPOINTS_EVERY", "WEIR_CHECKPOINT_EVERY"),
        ] {
            let told = misspelt(std::iter::once(name.to_owned()), &asked);
            assert!(told.len() == 1 && told[0].message.contains(&format!("`{near}`")), "{name}: {told:?}");
        }
    }
}
