//! How large the parts of a pack may be: what is larger is refused before it is held in memory.
//!
//! All of a pack is held in memory at once, so [`ALL_BYTES`] bounds what it takes.

use crate::error::{PackError, Result};
use std::io::Read;

/// A manifest or an index: registries take 4 MiB, and the largest of ours, with a layer for each of
/// [`COMPONENTS`], has some 80 KiB.
pub const MANIFEST_BYTES: u64 = 1 << 20;
/// The config, which lists every column and feature.
pub const CONFIG_BYTES: u64 = 8 << 20;
/// The layer of definitions and data, as it is sent.
pub const DEFINITIONS_BYTES: u64 = 32 << 20;
/// The same when it is unpacked: definitions have up to 1 MiB each, data is for trying and not for running.
pub const UNPACKED_BYTES: u64 = 128 << 20;
/// Files in it.
pub const FILES: usize = 10_000;
/// One component: those that carry an interpreter have some 40 MiB.
pub const COMPONENT_BYTES: u64 = 128 << 20;
/// Components of a pack.
pub const COMPONENTS: usize = 256;
/// All parts together.
pub const ALL_BYTES: u64 = 512 << 20;
/// A signature has four lines.
pub const SIGNATURE_BYTES: u64 = 4 << 10;
/// Signatures of one pack that are looked at.
pub const SIGNATURES: usize = 32;

/// Bytes for people.
pub fn shown(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// Everything of a reader that ends within so many bytes.
pub(crate) fn read(what: &str, reader: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| PackError::external(format!("cannot read {what}: {error}")))?;
    check(what, bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// Refuses what says that it is larger.
pub(crate) fn check(what: &str, bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(PackError::user(format!(
        "{what} has more than {}, which no part of its kind in a pack has; it is refused",
        shown(limit)
    )))
}
