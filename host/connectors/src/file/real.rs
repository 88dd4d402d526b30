//! Where a path leads: the same for all paths to one folder, whether it is there or not yet.
//!
//! Looks at the disk; must not know what a path is for.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links to what is not there yet are followed as Linux follows links.
const MOST_LINKS: usize = 40;

/// Where a path leads. Links are followed as far as they are there; what comes behind is taken as it is written.
pub(super) fn real(path: &Path) -> PathBuf {
    follow(path, MOST_LINKS)
}

fn follow(path: &Path, links: usize) -> PathBuf {
    for above in path.ancestors() {
        let behind = path.strip_prefix(above).unwrap_or(Path::new(""));
        if let Ok(there) = fs::canonicalize(above) {
            return cleaned(&there.join(behind));
        }
        // Whatever it leads to may be made before it is followed again.
        if let Ok(target) = fs::read_link(above)
            && links > 0
        {
            let target = above.parent().map_or(target.clone(), |folder| folder.join(target));
            return follow(&target.join(behind), links - 1);
        }
    }
    cleaned(path)
}

/// The path without what stands in it to no effect, as `a/./b` and `a/../b`.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match (component, cleaned.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                cleaned.pop();
            }
            (component, _) => cleaned.push(component),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_to_one_place_also_before_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        symlink("out", path("before")).unwrap();
        symlink("loop", path("loop")).unwrap();
        let place = real(&path("out/x"));
        assert_eq!(real(&path("before/x")), place);
        fs::create_dir_all(path("out/deep/er")).unwrap();
        symlink("out", path("after")).unwrap();
        symlink(path("out/deep/er"), path("deep")).unwrap();
        for same in ["before/x", "after/x", "after/./y/../x", "deep/../../x"] {
            assert_eq!(real(&path(same)), place, "{same}");
        }
        assert_ne!(real(&path("loop/x")), place);
    }
}
