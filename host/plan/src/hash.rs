//! Hashes of definitions: what says that two versions of a feature make the same values.
//!
//! Knows only how parts become one hash. What the parts of a feature are is the planner's business.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// `sha256:` and the hexadecimal hash of the parts. Each part goes in behind its length, so that no two lists of
/// parts have the same bytes.
///
/// ```
/// use weir_plan::hash::definition_hash;
/// assert_ne!(definition_hash(["ab", "c"]), definition_hash(["a", "bc"]));
/// ```
pub fn definition_hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut text = String::from("sha256:");
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::definition_hash;

    #[test]
    fn the_hash_depends_on_the_parts_and_where_they_are_cut() {
        let of_nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(definition_hash([]), of_nothing);
        assert_ne!(definition_hash(["a", ""]), definition_hash(["", "a"]));
        assert_eq!(definition_hash(["a", "b"]), definition_hash(["a", "b"]));
    }
}
