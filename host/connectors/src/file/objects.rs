//! Finished files as objects of a store. Blocking: it waits for the store on a thread that may.
//!
//! An object appears at once and whole. A large file is sent in parts when its checkpoint is prepared and completed when
//! that is safe; the token names the upload, so that it is completed after a crash too. A small one is put when the
//! checkpoint is safe, if nothing of its name is there. Until then both stay on this machine. Which uploads are under way
//! stands in a file beside each: those that no checkpoint names are given up at the next start.

use super::target::{Target, failed as disk_failed};
use super::written::Upload;
use crate::object::{Doing, ObjectPlace, Store, failed};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::multipart::PartId;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use weir_connect::ConnectError;

/// A part is so long: what stores take at least is 5 MiB. Tests need no large files.
const PART_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 8 << 20 };
/// Stores take 10,000 parts; a longer file has longer ones.
const MOST_PARTS: u64 = 9_000;
/// So many parts are on their way at once: enough for a line on which answers take long.
const PARTS_AT_ONCE: usize = 4;
/// A file of this size is sent in parts.
const LARGE_BYTES: u64 = 2 * PART_BYTES;
/// What stands beside a file that is being sent in parts.
const UPLOAD: &str = ".upload";

/// An upload that is under way.
#[derive(Debug, Serialize, Deserialize)]
struct UnderWay {
    path: String,
    id: String,
}

/// A place in an object store.
#[derive(Debug)]
pub(super) struct Objects {
    place: ObjectPlace,
    job: String,
    /// Where files lie until they appear.
    stage: PathBuf,
    store: OnceLock<Arc<dyn Store>>,
}

impl Objects {
    pub(super) fn new(place: ObjectPlace, job: &str, stage: PathBuf) -> Self {
        Objects { place, job: job.to_owned(), stage, store: OnceLock::new() }
    }

    fn store(&self) -> Result<&Arc<dyn Store>, ConnectError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = self.place.connect()?;
        Ok(self.store.get_or_init(|| store))
    }

    fn failed(&self, what: &str, path: &ObjectPath, error: &Error) -> ConnectError {
        failed(error, &Doing { what, place: &self.place.shown(path) })
    }

    fn disk_failed(&self, what: &str, path: &Path, error: &io::Error) -> ConnectError {
        disk_failed(&self.job, what, path, error)
    }

    /// Begins an upload and writes down that it is under way.
    async fn begin(&self, store: &dyn Store, from: &Path, path: &ObjectPath) -> Result<String, ConnectError> {
        let id = store.create_multipart(path).await.map_err(|error| self.failed("write", path, &error))?;
        let beside = beside(from);
        let note = UnderWay { path: path.to_string(), id: id.clone() };
        let written = serde_json::to_vec(&note).map_err(io::Error::other).and_then(|note| {
            fs::write(&beside, note)?;
            File::open(&beside)?.sync_all()
        });
        written.map_err(|error| self.disk_failed("write", &beside, &error))?;
        Ok(id)
    }

    /// Sends a file in parts.
    async fn send(&self, store: &dyn Store, from: &Path, path: &ObjectPath) -> Result<Upload, ConnectError> {
        let opened = File::open(from).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|error| self.disk_failed("read", from, &error))?;
        let id = self.begin(store, from, path).await?;
        let part_bytes = PART_BYTES.max(length.div_ceil(MOST_PARTS));
        let parts = stream::iter(0..length.div_ceil(part_bytes)).map(|part| {
            let (start, id, file) = (part * part_bytes, &id, &file);
            async move {
                let content = read_at(file, start, part_bytes.min(length - start));
                let content = content.map_err(|error| self.disk_failed("read", from, &error))?;
                let sent = store.put_part(path, id, part as usize, content.into()).await;
                sent.map(|sent| sent.content_id).map_err(|error| self.failed("write", path, &error))
            }
        });
        let parts: Vec<String> = parts.buffered(PARTS_AT_ONCE).try_collect().await?;
        Ok(Upload { id, parts })
    }

    async fn complete(&self, store: &dyn Store, path: &ObjectPath, upload: &Upload) -> Result<(), Error> {
        let parts = upload.parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        store.complete_multipart(path, &upload.id, parts).await.map(drop)
    }

    /// Completes an upload, whether that was done before or not.
    async fn appear(
        &self,
        store: &dyn Store,
        from: &Path,
        path: &ObjectPath,
        upload: &Upload,
    ) -> Result<(), ConnectError> {
        let Err(error) = self.complete(store, path, upload).await else { return Ok(()) };
        let length = fs::metadata(from).ok().map(|about| about.len());
        match store.head(path).await {
            // It was completed before, though nobody heard of it.
            Ok(there) if length.is_none_or(|length| length == there.size) => Ok(()),
            // It expired, or somebody gave it up; what it was made of is still here.
            Err(Error::NotFound { .. }) if is_gone(&error) && length.is_some() => {
                let again = self.send(store, from, path).await?;
                self.complete(store, path, &again).await.map_err(|error| self.failed("write", path, &error))
            }
            _ => Err(self.failed("finish", path, &error)),
        }
    }

    /// Puts a small file, if nothing of its name is there but itself.
    async fn put(&self, store: &dyn Store, content: Vec<u8>, path: &ObjectPath) -> Result<(), ConnectError> {
        let content = Bytes::from(content);
        let create = PutOptions::from(PutMode::Create);
        let put = store.put_opts(path, PutPayload::from(content.clone()), create).await;
        let Err(error) = put else { return Ok(()) };
        if !matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. }) {
            return Err(self.failed("write", path, &error));
        }
        let there = async { store.get(path).await?.bytes().await };
        let there = there.await.map_err(|error| self.failed("read", path, &error))?;
        if there == content {
            return Ok(());
        }
        Err(ConnectError::external(format!(
            "`{}` is there already and holds other rows: another job of this name writes to this place, or an older \
             state was put back; give the job a place of its own, or take the object away",
            self.place.shown(path)
        )))
    }
}

/// Whether an upload is not known to the store any more.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) || error.to_string().contains("NoSuchUpload")
}

fn beside(from: &Path) -> PathBuf {
    let mut name = from.as_os_str().to_owned();
    name.push(UPLOAD);
    PathBuf::from(name)
}

fn read_at(file: &File, start: u64, length: u64) -> io::Result<Bytes> {
    let mut content = vec![0; length as usize];
    file.read_exact_at(&mut content, start)?;
    Ok(Bytes::from(content))
}

/// Waits here: on a thread that may wait.
fn wait<T>(future: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    Handle::current().block_on(future)
}

impl Target for Objects {
    fn open(&self) -> Result<(), ConnectError> {
        self.store().map(drop)
    }

    fn probe(&self) -> Result<String, ConnectError> {
        self.names().map(|names| format!("{} objects are there; writing was not tried", names.len()))
    }

    fn names(&self) -> Result<Vec<String>, ConnectError> {
        let (store, prefix) = (self.store()?, self.place.path(""));
        let listed = store.list(Some(&prefix)).map_ok(|object| object.location);
        let below = |path: ObjectPath| {
            let path = path.to_string();
            path.strip_prefix(self.place.prefix()).map(|name| name.trim_start_matches('/').to_owned())
        };
        wait(async {
            let listed: Result<Vec<_>, Error> = listed.try_collect().await;
            let listed = listed.map_err(|error| self.failed("list", &prefix, &error))?;
            Ok(listed.into_iter().filter_map(below).collect())
        })
    }

    fn bring(&self, from: &Path, name: &str) -> Result<Option<Upload>, ConnectError> {
        let length = fs::metadata(from).map_err(|error| self.disk_failed("read", from, &error))?.len();
        if length < LARGE_BYTES {
            return Ok(None);
        }
        let store = self.store()?;
        wait(self.send(&**store, from, &self.place.path(name))).map(Some)
    }

    fn publish(
        &self,
        from: &Path,
        name: &str,
        upload: Option<&Upload>,
        is_prepared: bool,
    ) -> Result<(), ConnectError> {
        let (store, path) = (self.store()?, self.place.path(name));
        match upload {
            Some(upload) => wait(self.appear(&**store, from, &path, upload))?,
            None => match fs::read(from) {
                Ok(content) => wait(self.put(&**store, content, &path))?,
                // It was put before.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !is_prepared => return Ok(()),
                Err(error) => return Err(self.disk_failed("read", from, &error)),
            },
        }
        for done in [from.to_owned(), beside(from)] {
            match fs::remove_file(&done) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.disk_failed("remove", &done, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn settle(&self, _: &BTreeSet<&str>) -> Result<(), ConnectError> {
        Ok(())
    }

    fn clear(&self) -> Result<(), ConnectError> {
        let listed = |error: io::Error| self.disk_failed("list", &self.stage, &error);
        for entry in fs::read_dir(&self.stage).map_err(listed)? {
            let beside = entry.map_err(listed)?.path();
            if !beside.to_string_lossy().ends_with(UPLOAD) {
                continue;
            }
            let note = fs::read(&beside).map_err(|error| self.disk_failed("read", &beside, &error))?;
            // One that was cut short is of an upload that has no parts yet.
            if let Ok(UnderWay { path, id }) = serde_json::from_slice(&note) {
                let (store, path) = (self.store()?, ObjectPath::parse(&path).unwrap_or_default());
                match wait(async { Ok(store.abort_multipart(&path, &id).await) })? {
                    Ok(()) => {}
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(self.failed("give up an upload of", &path, &error)),
                }
            }
            fs::remove_file(&beside).map_err(|error| self.disk_failed("remove", &beside, &error))?;
        }
        Ok(())
    }
}
