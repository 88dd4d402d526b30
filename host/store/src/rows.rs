//! The only file that names sled: rows of bytes in two trees, chunks of segments and records.
//!
//! sled can panic on damaged files, in any call. Here each call is fenced: a panic becomes
//! [`StoreError::Damaged`], and after one, or after a failed fsync, every further call fails at once, for nothing that sled then says can be
//! believed. Hangs are met at opening only, by `guard.rs`.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::StoreError;
use crate::chunk::Address;
use crate::files;

/// A stored value.
pub(crate) type Row = sled::IVec;

/// One change to the records: a value to put, or `None` to remove.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// An open sled folder.
pub(crate) struct Rows {
    db: sled::Db,
    chunks: sled::Tree,
    records: sled::Tree,
    folder: PathBuf,
    broken: OnceLock<Broken>,
}

#[derive(Clone, Debug)]
enum Broken {
    /// sled says that a page is not right; others may be.
    Damage(String),
    /// sled panicked: its locks and pages are in no known state.
    Panic(String),
    /// The system refused to read or write.
    Disk(io::ErrorKind, String),
}

impl Broken {
    fn error(self, folder: &Path) -> StoreError {
        let folder = folder.to_path_buf();
        match self {
            Broken::Damage(what) => StoreError::Damaged { folder, what },
            Broken::Panic(what) => StoreError::Damaged { folder, what: format!("sled panicked: {what}") },
            Broken::Disk(kind @ io::ErrorKind::PermissionDenied, reason) => {
                StoreError::Folder { folder, source: io::Error::new(kind, reason) }
            }
            Broken::Disk(kind, reason) if kind == io::ErrorKind::NotFound || !folder.exists() => {
                StoreError::Gone { folder, reason }
            }
            Broken::Disk(_, reason) => StoreError::Disk { folder, reason },
        }
    }
}

impl Rows {
    /// Opens or makes the folder. Can panic and hang on damage: call it through `guard::run`.
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Rows, StoreError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes)
            // We flush at commits; a timer would write, and collect garbage, at other times than asked.
            .flush_every_ms(None);
        let opened = catch(|| {
            let db = open_unlocked(&config)?;
            let chunks = db.open_tree("chunks")?;
            let records = db.open_tree("records")?;
            Ok((db, chunks, records))
        });
        let (db, chunks, records) = opened.map_err(|broken| broken.error(folder))?;
        Ok(Rows { db, chunks, records, folder: folder.to_path_buf(), broken: OnceLock::new() })
    }

    /// How the disk has failed, if it has.
    pub(crate) fn disk_failure(&self) -> Option<StoreError> {
        let failed = self.broken.get().filter(|broken| matches!(broken, Broken::Disk(..)));
        failed.map(|broken| broken.clone().error(&self.folder))
    }

    /// sled's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn call<T>(&self, work: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        if let Some(broken) = self.broken.get() {
            return Err(broken.clone().error(&self.folder));
        }
        catch(work).map_err(|broken| match broken {
            Broken::Damage(_) => broken.error(&self.folder),
            Broken::Panic(_) | Broken::Disk(..) => self.fail(broken),
        })
    }

    /// As if the disk had failed.
    #[cfg(test)]
    pub(crate) fn fail_disk(&self) {
        self.fail(Broken::Disk(io::ErrorKind::StorageFull, "a test's".to_owned()));
    }

    fn fail(&self, broken: Broken) -> StoreError {
        self.broken.get_or_init(|| broken).clone().error(&self.folder)
    }

    /// The error for bytes that are not what was written.
    pub(crate) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { folder: self.folder.clone(), what: what.into() }
    }

    /// Puts chunks. Not durable until `sync`.
    pub(crate) fn put_chunks(&self, chunks: Vec<(Address, Vec<u8>)>) -> Result<(), StoreError> {
        self.call(|| {
            for (address, stored) in chunks {
                self.chunks.insert(chunk_key(address), stored)?;
            }
            Ok(())
        })
    }

    /// The chunks of a segment with `from <= number < to`, in order.
    pub(crate) fn chunks(&self, segment: u64, from: u32, to: u32) -> Chunks<'_> {
        let low = chunk_key(Address { segment, number: from });
        let high = chunk_key(Address { segment, number: to });
        Chunks { rows: self, rest: self.chunks.range(low..high) }
    }

    /// Removes up to `limit` chunks of a segment; gives how many there were.
    pub(crate) fn remove_chunks(&self, segment: u64, limit: usize) -> Result<usize, StoreError> {
        self.call(|| {
            let low = chunk_key(Address { segment, number: 0 });
            let high = chunk_key(Address { segment, number: u32::MAX });
            let keys: Vec<Row> =
                self.chunks.range(low..=high).keys().take(limit).collect::<sled::Result<_>>()?;
            for key in &keys {
                self.chunks.remove(key)?;
            }
            Ok(keys.len())
        })
    }

    /// Ids of all segments of which a chunk is here, rising. Costs one seek per segment.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        let mut last = Row::default();
        while let Some((key, _)) = self.call(|| self.chunks.get_gt(&last))? {
            let address = address_of(&key).ok_or_else(|| self.damaged("a chunk's key is not an address"))?;
            found.push(address.segment);
            last = Row::from(&chunk_key(Address { segment: address.segment, number: u32::MAX }));
        }
        Ok(found)
    }

    /// All records whose key begins with `prefix`, in key order.
    pub(crate) fn records(&self, prefix: &[u8]) -> Result<Vec<(Row, Row)>, StoreError> {
        self.call(|| self.records.scan_prefix(prefix).collect())
    }

    /// Applies all changes of records or none. Not durable until `sync`.
    pub(crate) fn change_records(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.call(|| self.records.apply_batch(batch))
    }

    /// Makes all that was put durable. sled's flush hands its buffers to the system; the fsync of its files and folder
    /// is ours.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.call(|| self.db.flush())?;
        // What an fsync that failed once has kept cannot be known, and a second one may say yes to it all the same.
        files::sync_tree(&self.folder)
            .map_err(|error| self.fail(Broken::Disk(error.kind(), error.to_string())))
    }

    /// Bytes of files in the folder.
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        files::tree_bytes(&self.folder)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if matches!(self.broken.get(), Some(Broken::Panic(_))) {
            // Closing a sled that has panicked can panic or hang again: keep it open for the rest of the process.
            std::mem::forget(self.db.clone());
        }
    }
}

/// Chunks of one segment, as they come from sled.
pub(crate) struct Chunks<'a> {
    rows: &'a Rows,
    rest: sled::Iter,
}

impl Iterator for Chunks<'_> {
    type Item = Result<(Address, Row), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.rows.call(|| self.rest.next().transpose()).transpose()?;
        Some(next.and_then(|(key, stored)| match address_of(&key) {
            Some(address) => Ok((address, stored)),
            None => Err(self.rows.damaged("a chunk's key is not an address")),
        }))
    }
}

fn chunk_key(address: Address) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&address.segment.to_be_bytes());
    key[8..].copy_from_slice(&address.number.to_be_bytes());
    key
}

fn address_of(key: &[u8]) -> Option<Address> {
    let (segment, number) = (key.first_chunk::<8>()?, key.last_chunk::<4>()?);
    (key.len() == 12)
        .then(|| Address { segment: u64::from_be_bytes(*segment), number: u32::from_be_bytes(*number) })
}

/// Opens sled once its lock is free. No other process can hold it, for the store's own lock is ours.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let is_held = |error: &sled::Error| match error {
        sled::Error::Io(error) => error.to_string().starts_with("could not acquire lock"),
        _ => false,
    };
    files::once_let_go(|| config.open(), is_held)
}

/// Runs sled's code; panics and its errors become one kind of thing.
fn catch<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Broken> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if !is_damage(error.kind()) => {
            Err(Broken::Disk(error.kind(), error.to_string()))
        }
        Ok(Err(sled::Error::Corruption { .. })) => {
            Err(Broken::Damage("sled found bytes that are not what it wrote".to_owned()))
        }
        Ok(Err(error)) => Err(Broken::Damage(error.to_string())),
        Err(payload) => Err(Broken::Panic(panic_text(payload.as_ref()))),
    }
}

/// Files that are too short or senseless come as I/O errors, too.
fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput)
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".to_owned())
}
