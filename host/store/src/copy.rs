//! A store's folder copied, for whoever only looks: opening a store mends and removes what a crash left.

use crate::{StoreError, files};
use std::fs;
use std::path::Path;

/// What copying a store's folder came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// There is no state in it.
    Empty,
    /// It has more bytes than were to be copied.
    TooLarge {
        /// So many.
        bytes: u64,
    },
    /// It was copied.
    Whole,
}

/// Copies the store in `folder` to `into`, unless it has more than `limit_bytes`; changes nothing in it.
///
/// # Errors
/// [`StoreError::Locked`] while a server has it open; else what the file system says.
pub fn copy(folder: &Path, into: &Path, limit_bytes: u64) -> Result<Copied, StoreError> {
    if files::read_state(folder)?.is_none() {
        return Ok(Copied::Empty);
    }
    // Held until the copy is made, so that no server starts meanwhile.
    let _lock = files::lock(folder, files::Patience::Looks)?;
    let failed = |source| StoreError::Io { doing: "copying", path: folder.to_path_buf(), source };
    let bytes = files::tree_bytes(folder).map_err(failed)?;
    if bytes > limit_bytes {
        return Ok(Copied::TooLarge { bytes });
    }
    copy_tree(folder, into).map_err(failed)?;
    Ok(Copied::Whole)
}

fn copy_tree(from: &Path, into: &Path) -> std::io::Result<()> {
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckpointStore, Manifest, SledStore, StoreOptions};
    use std::collections::BTreeMap;

    #[test]
    fn a_copy_has_the_same_head_and_one_in_use_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        assert_eq!(copy(&from, &into, u64::MAX).unwrap(), Copied::Empty);
        let store = SledStore::open(&from, StoreOptions::default()).unwrap();
        let manifest = Manifest { format: 1, segments: Vec::new(), body: serde_json::json!({"a": 1}) };
        store.commit(BTreeMap::from([("j".to_owned(), manifest)])).unwrap();
        let head = store.head().unwrap();
        assert!(matches!(copy(&from, &into, u64::MAX), Err(StoreError::Locked { .. })));
        drop(store);
        assert!(matches!(copy(&from, &into, 1).unwrap(), Copied::TooLarge { .. }));
        assert_eq!(copy(&from, &into, u64::MAX).unwrap(), Copied::Whole);
        let copied = SledStore::open(&into, StoreOptions::default()).unwrap();
        assert_eq!(copied.head().unwrap(), head);
    }
}
