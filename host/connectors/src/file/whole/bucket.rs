//! Objects of a store.

use super::{Shelf, WholeFile};
use crate::object::{Doing, ObjectPlace, Store, failed};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path as ObjectPath;
use object_store::{Error, GetOptions, GetRange, ObjectMeta};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use weir_connect::ConnectError;

/// Every look is paid for, and may be of many pages.
const POLL: Duration = Duration::from_secs(5);
/// In a glob a star does not go beyond a folder, and means no hidden file, as in shells.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The objects that a path or a glob in a store means.
#[derive(Debug)]
pub(crate) struct Bucket {
    place: ObjectPlace,
    pattern: Pattern,
    /// The folders above the first one with a glob's character.
    base: String,
    store: OnceLock<Arc<dyn Store>>,
}

impl Bucket {
    /// The objects of a place. Does no I/O; the error is that it is not a glob.
    pub(crate) fn new(place: ObjectPlace) -> Result<Bucket, String> {
        let pattern = Pattern::new(place.prefix()).map_err(|error| format!("not a glob: {error}"))?;
        let fixed = place.prefix().split('/').take_while(|folder| !folder.contains(['*', '?', '[']));
        let mut base: Vec<&str> = fixed.collect();
        if base.len() == place.prefix().split('/').count() {
            // The object itself.
            base.pop();
        }
        let base = base.join("/");
        Ok(Bucket { place, pattern, base, store: OnceLock::new() })
    }

    fn store(&self) -> Result<&Arc<dyn Store>, ConnectError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = self.place.connect()?;
        Ok(self.store.get_or_init(|| store))
    }

    fn object(&self, name: &str) -> ObjectPath {
        let slash = if self.base.is_empty() { "" } else { "/" };
        let path = format!("{}{slash}{name}", self.base);
        ObjectPath::parse(&path).unwrap_or_else(|_| ObjectPath::from(path))
    }

    fn file(&self, object: ObjectMeta) -> Option<WholeFile> {
        let path = object.location.to_string();
        let name = path.strip_prefix(&self.base)?.trim_start_matches('/').to_owned();
        let is_meant = self.pattern.matches_with(&path, OPTIONS) && object.size > 0;
        let identity = object.e_tag.unwrap_or_else(|| object.size.to_string());
        is_meant.then_some(WholeFile { name, identity, bytes: object.size })
    }
}

#[async_trait]
impl Shelf for Bucket {
    async fn list(&self) -> Result<Vec<WholeFile>, ConnectError> {
        let base = ObjectPath::parse(&self.base).unwrap_or_default();
        let listed: Result<Vec<ObjectMeta>, Error> = self.store()?.list(Some(&base)).try_collect().await;
        let shown = self.place.to_string();
        let listed = listed.map_err(|error| failed(&error, &Doing { what: "list", place: &shown }))?;
        Ok(listed.into_iter().filter_map(|object| self.file(object)).collect())
    }

    async fn read(&self, file: &WholeFile, range: Range<u64>) -> Result<Bytes, ConnectError> {
        let object = self.object(&file.name);
        let has_mark = file.identity != file.bytes.to_string();
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: has_mark.then(|| file.identity.clone()),
            ..GetOptions::default()
        };
        let store = self.store()?;
        let content = async { store.get_opts(&object, options).await?.bytes().await };
        content.await.map_err(|error| match &error {
            Error::Precondition { .. } | Error::NotFound { .. } => ConnectError::unavailable(format!(
                "`{}` was replaced or taken away while it was read",
                self.place.shown(&object)
            )),
            error => failed(error, &Doing { what: "read", place: &self.place.shown(&object) }),
        })
    }

    fn path(&self, name: &str) -> String {
        self.place.shown(&self.object(name))
    }

    fn asked(&self) -> String {
        self.place.to_string()
    }

    fn poll(&self) -> Duration {
        POLL
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn means(&self, file: &Path) -> bool {
        // The root, which has no slash at its end, then the path in the store.
        let root = self.place.shown(&ObjectPath::default());
        let file = file.to_string_lossy();
        let path = file.strip_prefix(root.trim_end_matches('/')).and_then(|path| path.strip_prefix('/'));
        path.is_some_and(|path| self.pattern.matches_with(path, OPTIONS))
    }
}
