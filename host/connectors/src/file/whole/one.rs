//! One file of those that lie somewhere.

use super::{Shelf, WholeFile};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;

/// A file that was found, and no other.
#[derive(Debug)]
pub(crate) struct OneOfShelf {
    all: Arc<dyn Shelf>,
    file: WholeFile,
}

impl OneOfShelf {
    pub(crate) fn new(all: Arc<dyn Shelf>, file: &WholeFile) -> OneOfShelf {
        OneOfShelf { all, file: file.clone() }
    }
}

#[async_trait]
impl Shelf for OneOfShelf {
    async fn list(&self) -> Result<Vec<WholeFile>, ConnectError> {
        Ok(vec![self.file.clone()])
    }

    async fn read(&self, file: &WholeFile, range: Range<u64>) -> Result<Bytes, ConnectError> {
        self.all.read(file, range).await
    }

    fn path(&self, name: &str) -> String {
        self.all.path(name)
    }

    fn asked(&self) -> String {
        self.all.path(&self.file.name)
    }

    fn poll(&self) -> Duration {
        self.all.poll()
    }

    fn missing(&self) -> Option<String> {
        self.all.missing()
    }

    fn means(&self, file: &Path) -> bool {
        self.all.means(file)
    }
}
