//! Files of this machine.

use super::{Shelf, WholeFile};
use crate::blocking::blocking;
use crate::file::input::failed;
use crate::file::names::{Listed, Names, Order};
use crate::file::trace::modified;
use async_trait::async_trait;
use bytes::Bytes;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;
use weir_connect::ConnectError;

/// A person does not notice it, and a disk neither.
const POLL: Duration = Duration::from_millis(200);

/// The files of a path or a glob.
#[derive(Debug)]
pub(crate) struct Disk(pub(crate) Names);

/// What changes where a file is written again, and where another takes its name: how long it is, its inode, and when it was
/// written last.
fn identity(bytes: u64, inode: u64, (seconds, nanos): (i64, i64)) -> String {
    format!("{bytes} {inode} {seconds}.{nanos:09}")
}

#[async_trait]
impl Shelf for Disk {
    async fn list(&self) -> Result<Vec<WholeFile>, ConnectError> {
        let names = self.0.clone();
        let listing = blocking(move || names.list(Order::Natural, None)).await?;
        let file = |file: Listed| WholeFile {
            identity: identity(file.bytes, file.identity.inode(), file.modified),
            name: file.name,
            bytes: file.bytes,
        };
        Ok(listing.files.into_iter().map(file).collect())
    }

    async fn read(&self, file: &WholeFile, range: Range<u64>) -> Result<Bytes, ConnectError> {
        let (path, wanted) = (self.0.path(&file.name), file.identity.clone());
        blocking(move || {
            let read = || {
                let file = File::open(&path)?;
                let found = file.metadata()?;
                if identity(found.len(), found.ino(), modified(&found)) != wanted {
                    return Ok(None);
                }
                let mut content = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut content, range.start)?;
                Ok(Some(Bytes::from(content)))
            };
            let content = read().map_err(|error| failed(&path, &error))?;
            content.ok_or_else(|| {
                ConnectError::unavailable(format!("`{}` was replaced while it was read", path.display()))
            })
        })
        .await
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name).display().to_string()
    }

    fn asked(&self) -> String {
        self.0.asked()
    }

    fn poll(&self) -> Duration {
        POLL
    }

    fn missing(&self) -> Option<String> {
        let listing = self.0.list(Order::Natural, None);
        listing.and_then(|listing| self.0.expect_some(&listing, false)).err().map(|error| error.message)
    }

    fn means(&self, file: &Path) -> bool {
        self.0.mean(file)
    }
}
