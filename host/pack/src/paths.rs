//! Which paths a pack may have: only below the folders that a project's definitions, data and plugins have, so that no pack
//! changes a server's settings, its state, or what is no part of weir.

use crate::error::{PackError, Result};

/// The folders of a project that a pack may have files in. Components are in `plugins/`, all else in the others.
pub const FOLDERS: [&str; 7] = ["streams", "jobs", "queries", "schemas", "data", "tests", "plugins"];

/// Those of them that are no definitions, and hold what definitions name.
pub const NAMED_FOLDERS: [&str; 4] = ["queries", "schemas", "data", "tests"];

const PATH_BYTES: usize = 512;

/// Whether a path is that of a component.
pub fn is_component(path: &str) -> bool {
    let name = path.strip_prefix("plugins/").and_then(|name| name.strip_suffix(".wasm"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// Refuses a path that a pack may not have.
///
/// ```
/// use weir_pack::paths::check;
/// assert!(check("jobs/risk.yaml").is_ok() && check("plugins/geo.wasm").is_ok());
/// for bad in ["weir.yaml", "../jobs/risk.yaml", "/etc/passwd", "jobs/.hidden", ".weir/state", "plugins/geo.py"] {
///     assert!(check(bad).is_err());
/// }
/// ```
pub fn check(path: &str) -> Result<()> {
    let refuse = |reason: &str| {
        Err(PackError::user(format!("a pack cannot hold `{}`: {reason}", path.escape_debug())))
    };
    if path.len() > PATH_BYTES {
        return refuse("the path is too long");
    }
    if path.starts_with('/') || path.contains('\\') || path.contains(':') {
        return refuse("paths start at the project's folder, with / between names");
    }
    if path.chars().any(char::is_control) {
        return refuse("the path has characters that are not printed");
    }
    if path.split('/').any(|name| name == "..") {
        return refuse("it leads out of the project's folder");
    }
    if path.split('/').any(|name| name.is_empty() || name.starts_with('.')) {
        return refuse("a name in it is empty or begins with a dot");
    }
    match path.split_once('/') {
        Some(("plugins", _)) if !is_component(path) => {
            refuse("plugins/ has components alone, as plugins/NAME.wasm")
        }
        Some((folder, _)) if FOLDERS.contains(&folder) => Ok(()),
        _ => refuse(&format!("it has files in {} alone", in_words(&FOLDERS))),
    }
}

/// The folders for a message.
pub fn in_words(folders: &[&str]) -> String {
    folders.iter().map(|folder| format!("{folder}/")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folders() {
        for good in
            ["streams/a.yaml", "jobs/below/a.sql", "data/rides 1.jsonl", "plugins/geo.wasm", "schemas/ü.desc"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, part) in [
            ("", "a name in it is empty"),
            ("jobs", "alone"),
            ("jobs/", "a name in it is empty"),
            ("jobs//a.yaml", "a name in it is empty"),
            ("/jobs/a.yaml", "paths start at"),
            ("jobs/../../a.yaml", "leads out"),
            ("..", "leads out"),
            ("jobs/./a.yaml", "begins with a dot"),
            ("jobs\\..\\a.yaml", "paths start at"),
            ("C:/jobs/a.yaml", "paths start at"),
            ("jobs/a\0.yaml", "not printed"),
            ("jobs/a\n.yaml", "not printed"),
            ("weir.yaml", "alone"),
            ("Makefile", "alone"),
            (".weir/state/x", "begins with a dot"),
            ("data/.git/hooks/x", "begins with a dot"),
            ("packs/other.json", "alone"),
            ("plugins/below/geo.wasm", "components alone"),
            ("plugins/run.sh", "components alone"),
            ("plugins/.wasm", "begins with a dot"),
        ] {
            let said = check(bad).unwrap_err().message;
            assert!(said.contains(part), "{bad}: {said}");
        }
        assert!(check(&format!("jobs/{}", "a".repeat(600))).is_err());
    }
}
