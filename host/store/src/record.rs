//! Records: manifests, commits and HEAD as rows of at most 4 KiB. Knows their bytes; not when they are written.
//!
//! A record is cut into pieces: `crc32 | number of pieces | piece`, keyed by the record's name and the piece's number. The checksum
//! covers the key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chunk;
use crate::rows::{Change, Row, Rows};
use crate::{Epoch, Manifest, StoreError};

const HEADER_BYTES: usize = 8;

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The epoch of the newest commit.
    Head,
    /// One commit.
    Commit(Epoch),
    /// What one job gave for one epoch.
    Manifest(String, Epoch),
}

/// The commit record as stored: which manifest each job has in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitRecord {
    pub(crate) epoch: Epoch,
    pub(crate) jobs: BTreeMap<String, Epoch>,
}

const COMMIT_TAG: u8 = b'c';

impl Name {
    fn prefix(&self) -> Vec<u8> {
        match self {
            Name::Head => b"h".to_vec(),
            Name::Commit(epoch) => [&[COMMIT_TAG], epoch.0.to_be_bytes().as_slice()].concat(),
            Name::Manifest(job, epoch) => {
                // The length first, so that no job's name can be the beginning of another's key.
                let length = (job.len() as u64).to_be_bytes();
                [b"m".as_slice(), &length, job.as_bytes(), &epoch.0.to_be_bytes()].concat()
            }
        }
    }
}

/// The changes that put a record.
pub(crate) fn put(name: &Name, value: &impl Serialize) -> Result<Vec<Change>, StoreError> {
    let body = serde_json::to_vec(value).map_err(StoreError::visit)?;
    let prefix = name.prefix();
    let pieces: Vec<&[u8]> = chunk::pieces(&body).collect();
    let total = (pieces.len() as u32).to_be_bytes();
    let rows = pieces.iter().enumerate().map(|(number, piece)| {
        let key = [prefix.as_slice(), &(number as u32).to_be_bytes()].concat();
        let said = [total.as_slice(), piece].concat();
        let crc = checksum(&key, &said).to_be_bytes();
        (key, Some([crc.as_slice(), &said].concat()))
    });
    Ok(rows.collect())
}

/// The changes that remove a record.
pub(crate) fn remove(rows: &Rows, name: &Name) -> Result<Vec<Change>, StoreError> {
    Ok(rows.records(&name.prefix())?.into_iter().map(|(key, _)| (key.to_vec(), None)).collect())
}

/// Reads a record, `None` if there is none.
pub(crate) fn get<T: for<'a> Deserialize<'a>>(rows: &Rows, name: &Name) -> Result<Option<T>, StoreError> {
    let stored = rows.records(&name.prefix())?;
    if stored.is_empty() {
        return Ok(None);
    }
    let value = join(&name.prefix(), &stored).and_then(|body| serde_json::from_slice(&body).ok());
    value
        .map(Some)
        .ok_or_else(|| rows.damaged(format!("the record of {} is not what was written", name.text())))
}

/// Epochs of all commit records, rising.
pub(crate) fn commits(rows: &Rows) -> Result<Vec<Epoch>, StoreError> {
    let mut epochs: Vec<Epoch> = Vec::new();
    for (key, _) in rows.records(&[COMMIT_TAG])? {
        let bytes = key.get(1..9).and_then(|bytes| bytes.first_chunk::<8>());
        let epoch = bytes.map(|bytes| Epoch(u64::from_be_bytes(*bytes)));
        let epoch = epoch.ok_or_else(|| rows.damaged("a commit's key is cut short"))?;
        if epochs.last() != Some(&epoch) {
            epochs.push(epoch);
        }
    }
    Ok(epochs)
}

/// The changes that put a job's manifest.
pub(crate) fn put_manifest(job: &str, epoch: Epoch, manifest: &Manifest) -> Result<Vec<Change>, StoreError> {
    put(&Name::Manifest(job.to_owned(), epoch), manifest)
}

impl Name {
    fn text(&self) -> String {
        match self {
            Name::Head => "HEAD".to_owned(),
            Name::Commit(epoch) => format!("commit {epoch}"),
            Name::Manifest(job, epoch) => format!("job {job} at epoch {epoch}"),
        }
    }
}

fn checksum(key: &[u8], said: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(said);
    hasher.finalize()
}

/// Puts the pieces together. Rows after the last piece are of a longer record that this one replaced.
fn join(prefix: &[u8], stored: &[(Row, Row)]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut total = 1;
    for number in 0_u32.. {
        if number == total {
            break;
        }
        let (key, row) = stored.get(number as usize)?;
        let crc = u32::from_be_bytes(*row.first_chunk::<4>()?);
        let in_place = key.strip_prefix(prefix)? == number.to_be_bytes();
        if !in_place || checksum(key, &row[4..]) != crc {
            return None;
        }
        total = u32::from_be_bytes(*row.get(4..)?.first_chunk::<4>()?);
        body.extend_from_slice(row.get(HEADER_BYTES..)?);
    }
    Some(body)
}
