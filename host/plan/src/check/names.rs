//! Names of streams and jobs: how they look, and where they come from when the definition gives none.

use super::node::{Node, Place, START};
use super::report::Report;

/// Longest name, in characters: names are parts of paths, metrics and keys of state.
const NAME_LIMIT: usize = 64;

/// Whether this can be the name of a stream, job or plugin.
///
/// ```
/// use weir_plan::is_name;
/// assert!(is_name("user_activity_7"));
/// assert!(!is_name("User-Activity"));
/// ```
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_LIMIT
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The name that the definition gives under `key`, or `default`, which is the file's.
pub(super) fn read(
    key: &str,
    given: Option<&Node>,
    default: &str,
    report: &mut Report,
) -> Option<(String, Place)> {
    let (name, place) = match given {
        Some(node) => (report.text(key, node)?, node.place),
        None => (default.to_owned(), START),
    };
    if is_name(&name) {
        return Some((name, place));
    }
    let rule = "a name is a lower-case letter and then at most 63 of a-z, 0-9 and _";
    if given.is_some() {
        report.error(place, format!("`{key}`: `{name}` is not a name; {rule}"));
    } else {
        report.error(
            place,
            format!("`{key}`: missing, and `{name}`, which the file is called, is not a name; {rule}"),
        );
    }
    None
}

/// What a file is called, without its folder and ending.
pub(super) fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}
